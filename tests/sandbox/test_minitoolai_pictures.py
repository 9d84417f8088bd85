"""The loopback API's image half: what it takes, how jobs become pictures, and every way it can be told to go wrong."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from PIL import Image

from bot.minitoolai import images
from sandbox.minitoolai import MiniToolAIServer, PictureOrder, PictureScript, Served, Turn, picture_rules
from sandbox.minitoolai.faults import pixel_bomb

KEY = "mini-key"


def said(**changes: Any) -> dict[str, Any]:
    return {"model": "dreamshaper", "prompt": "a fox", "width": 256, "height": 256, **changes}


class Caller:
    """A plain HTTP client, so that the server is not tried through the bot's own."""

    def __init__(self, api: MiniToolAIServer, session: aiohttp.ClientSession) -> None:
        self.api = api
        self.session = session

    async def post(self, path: str, body: Any, *, key: str | None = KEY) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        async with self.session.post(f"{self.api.url}/{path}", data=data, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    async def submit(self, script: PictureScript | None = None, **changes: Any) -> dict[str, Any]:
        """The body of the next question about the job that this makes."""
        if script is not None:
            self.api.script_picture(script)
        status, answer = await self.post("texttoimage/", said(**changes))
        assert (status, answer["status"]) == (200, "success")
        return {"jobid": str(answer["jobid"]), "signature": answer["signature"]}

    async def poll(self, job: dict[str, Any]) -> tuple[int, Any]:
        return await self.post("texttoimage/jobs/", job)

    async def address(self, script: PictureScript | None = None, **changes: Any) -> str:
        """Where a finished picture is."""
        _, answer = await self.poll(await self.submit(script, **changes))
        assert isinstance(answer["image_url"], str)
        return answer["image_url"]

    async def fetch(self, url: str) -> tuple[int, bytes]:
        async with self.session.get(url, allow_redirects=False) as response:
            return response.status, await response.read()


@pytest.fixture
async def api() -> AsyncIterator[MiniToolAIServer]:
    async with MiniToolAIServer(api_key=KEY, pace_s=0) as server:
        yield server


@pytest.fixture
async def caller(api: MiniToolAIServer) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(api, session)


# The documented way


async def test_an_order_becomes_a_job_and_the_job_a_picture(api: MiniToolAIServer, caller: Caller) -> None:
    gate = asyncio.Event()
    api.script_picture(PictureScript(gate=gate))
    status, answer = await caller.post("texttoimage/", said(width=320))
    assert (status, list(answer), answer["status"]) == (200, ["status", "jobid", "signature"], "success")
    assert (type(answer["jobid"]), type(answer["signature"])) == (int, str)
    job = {"jobid": str(answer["jobid"]), "signature": answer["signature"]}
    assert (await caller.poll(job))[1]["status"] == "processing"
    gate.set()
    status, answer = await caller.poll(job)
    assert (status, list(answer)) == (200, ["status", "image_url", "message"])
    assert (answer["status"], answer["message"]) == ("success", "success")
    assert "/api/" not in answer["image_url"]
    status, data = await caller.fetch(answer["image_url"])
    image = Image.open(io.BytesIO(data))
    assert (status, image.format, image.size) == (200, "PNG", (320, 256))


async def test_what_is_left_out_is_as_documented(caller: Caller) -> None:
    assert picture_rules.check({"model": "amigo", "prompt": "x"}) == picture_rules.Asked(
        model="amigo",
        prompt="x",
        negative_prompt="",
        scheduler="DPM++ SDE",
        steps=4,
        cfg_scale=2.0,
        width=1_024,
        height=1_024,
    )


def test_the_documented_words_and_ranges_are_the_bots() -> None:
    """The stand-in and the bot have each their own copy of the guide."""
    assert picture_rules.SCHEDULERS == images.SCHEDULERS
    assert len(picture_rules.MODELS) == 15


async def test_the_same_order_twice_is_two_pictures(caller: Caller) -> None:
    first, second = [await caller.fetch(await caller.address()) for _ in range(2)]
    assert first != second


async def test_an_order_is_remembered_with_its_times_and_its_price(api: MiniToolAIServer, caller: Caller) -> None:
    job = await caller.submit()
    for _ in range(3):
        await caller.poll(job)
    order = await api.wait_for_picture()
    assert [order] == list(api.pictures)
    assert order.body == said()
    assert (order.polls, order.hasty, order.downloaded_at, order.billed_nano) == (3, 0, [], 1_500_000)
    assert order.ready_at is not None
    assert order.told_ready_at is not None
    assert order.arrived_at <= order.ready_at <= order.polled_at[0] <= order.told_ready_at <= order.polled_at[1]
    await caller.fetch(order.url or "")
    assert order.first_download_at == order.downloaded_at[0] >= order.polled_at[-1]
    assert KEY not in repr(order)


async def test_a_picture_takes_its_time(caller: Caller) -> None:
    async with MiniToolAIServer(api_key=KEY, picture_s=600) as slow:
        caller.api = slow
        job = await caller.submit()
        assert (await caller.poll(job))[1]["status"] == "processing"
        quick = await caller.submit(PictureScript(ready_after_s=0))
        assert (await caller.poll(quick))[1]["status"] == "success"
        assert slow.pictures[0].ready_at is None


# What is refused


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (b"{oops", "JSON"),
        ([1], "object"),
        (said(model="dall-e"), "model"),
        (said(model=None), "model"),
        (said(model=["amigo"]), "model"),
        (said(prompt=""), "prompt"),
        (said(prompt=" \n"), "prompt"),
        (said(prompt=None), "prompt"),
        (said(prompt=7), "prompt"),
        (said(negativePrompt=7), "negativePrompt"),
        (said(negative_prompt="x"), "negative_prompt"),
        (said(scheduler="Euler b"), "scheduler"),
        (said(scheduler=""), "scheduler"),
        (said(scheduler=["Euler"]), "scheduler"),
        (said(steps=0), "steps"),
        (said(steps=9), "steps"),
        (said(steps=4.0), "steps"),
        (said(steps=True), "steps"),
        (said(cfgScale=0.9), "cfgScale"),
        (said(cfgScale=7.1), "cfgScale"),
        (said(cfgScale="2"), "cfgScale"),
        (said(width=255), "width"),
        (said(width=1_345), "width"),
        (said(height=255), "height"),
        (said(height=1_345), "height"),
        (said(height="512"), "height"),
    ],
)
async def test_what_the_guide_does_not_allow_is_a_400_that_says_why(
    api: MiniToolAIServer, caller: Caller, body: Any, about: str
) -> None:
    api.script_picture(PictureScript(ready_after_s=600))
    status, answer = await caller.post("texttoimage/", body)
    assert status == 400
    assert (answer["status"], answer["jobid"], answer["signature"]) == ("error", None, None)
    assert about in answer["message"]
    assert [(order.status, order.billed_nano) for order in api.pictures] == [(400, 0)]
    assert (await caller.poll(await caller.submit()))[1]["status"] == "processing"  # the script was not taken


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": None, "steps": None, "cfgScale": None, "width": None, "height": None, "negativePrompt": None},
        {"scheduler": "DPM fast", "steps": 1, "cfgScale": 1, "width": 256, "height": 1_344, "negativePrompt": ""},
        {"steps": 8, "cfgScale": 7.0},
        {"model": "autismmix"},
    ],
)
async def test_what_the_guide_allows_becomes_a_job(caller: Caller, change: dict[str, Any]) -> None:
    assert await caller.submit(**change)


@pytest.mark.parametrize("path", ["texttoimage/", "texttoimage/jobs/"])
@pytest.mark.parametrize("key", [None, "another"])
async def test_every_request_needs_the_key(api: MiniToolAIServer, caller: Caller, path: str, key: str | None) -> None:
    assert (await caller.post(path, said(), key=key))[0] == 401
    assert not api.pictures


@pytest.mark.parametrize("path", ["texttoimage", "texttoimage/jobs"])
async def test_the_trailing_slashes_are_part_of_the_paths(caller: Caller, path: str) -> None:
    async with caller.session.post(f"{caller.api.url}/{path}") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "body", [b"{", [], {}, {"jobid": 1, "signature": "s"}, {"jobid": "1"}, {"jobid": "1", "signature": None}]
)
async def test_a_question_that_is_not_as_documented_is_a_400(caller: Caller, body: Any) -> None:
    assert (await caller.post("texttoimage/jobs/", body))[0] == 400


async def test_only_the_signature_opens_a_job(caller: Caller) -> None:
    job = await caller.submit()
    for wrong in ({**job, "signature": "guess"}, {**job, "signature": "ש"}, {**job, "jobid": "1"}):
        assert (await caller.poll(wrong))[1]["status"] == "error"
    assert (await caller.poll(job))[1]["status"] == "success"


async def test_nothing_is_served_before_it_is_done_nor_what_never_was(api: MiniToolAIServer, caller: Caller) -> None:
    await caller.submit(PictureScript(held=True))
    url = api.pictures[0].url or ""
    assert (await caller.fetch(url))[0] == 404
    assert (await caller.fetch(url.replace(api.pictures[0].job_id or "", "7")))[0] == 404
    api.release_pictures()
    assert (await caller.fetch(url))[0] == 200


async def test_asking_too_often_is_a_429(caller: Caller) -> None:
    async with MiniToolAIServer(api_key=KEY, poll_gap_s=600) as strict:
        caller.api = strict
        first, second = await caller.submit(), await caller.submit()
        assert [(await caller.poll(job))[0] for job in (first, second, first)] == [200, 200, 429]
        assert [(order.polls, order.hasty) for order in strict.pictures] == [(2, 1), (1, 0)]


# Being told to go wrong: submitting


@pytest.mark.parametrize(
    "turn", [Turn(status=500), Turn(body={"status": "success"}), Turn(status=429, headers={"Retry-After": "7"})]
)
async def test_a_scripted_answer_makes_no_job(api: MiniToolAIServer, caller: Caller, turn: Turn) -> None:
    api.script_picture(PictureScript(submit=turn))
    assert (await caller.post("texttoimage/", said()))[0] == turn.status
    [order] = api.pictures
    assert (order.status, order.job_id, order.billed_nano) == (turn.status, None, 0)


async def test_the_documented_refusal_names_no_job(api: MiniToolAIServer, caller: Caller) -> None:
    api.script_picture(PictureScript(refused=True))
    refusal = {"status": "error", "jobid": None, "signature": None}
    assert await caller.post("texttoimage/", said()) == (200, refusal)
    assert api.pictures[0].billed_nano == 0


@pytest.mark.parametrize(
    ("script", "billed"), [(PictureScript(submit=Turn(hang_up=True)), 0), (PictureScript(answer_lost=True), 1_500_000)]
)
async def test_a_lost_answer_is_billed_and_a_lost_question_is_not(
    api: MiniToolAIServer, caller: Caller, script: PictureScript, billed: int
) -> None:
    api.script_picture(script)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.submit()
    order = await api.wait_for_picture()
    await order.until(lambda order: order.ended.is_set())
    assert order.billed_nano == billed
    assert (order.job_id is not None) == bool(billed)


async def test_who_leaves_while_a_submission_is_held_has_ordered_nothing(api: MiniToolAIServer, caller: Caller) -> None:
    task = asyncio.create_task(caller.submit(PictureScript(submit=Turn(held=True))))
    order = await api.wait_for_picture()
    task.cancel()
    await order.until(lambda order: order.ended.is_set())
    assert (order.client_left, order.job_id) == (True, None)


async def test_scripts_are_taken_in_turn_and_then_the_answer_function(api: MiniToolAIServer, caller: Caller) -> None:
    def answer(order: PictureOrder) -> PictureScript:
        return PictureScript(error=f"order {order.number}")

    api.picture_answer = answer
    api.script_picture(PictureScript(error="first"))
    words = [(await caller.poll(await caller.submit()))[1]["message"] for _ in range(2)]
    assert words == ["first", "order 2"]


# Being told to go wrong: the job


async def test_each_question_can_have_its_own_answer(api: MiniToolAIServer, caller: Caller) -> None:
    turns = [Turn(status=500), Turn(body={"status": "queued"}), Turn(status=429, body={})]
    job = await caller.submit(PictureScript(polls=turns, running={"status": "almost"}, held=True))
    assert [await caller.poll(job) for _ in range(4)] == [
        (500, {"status": "error", "message": "as scripted"}),
        (200, {"status": "queued"}),
        (429, {}),
        (200, {"status": "almost"}),
    ]
    api.release_pictures()
    assert (await caller.poll(job))[1]["status"] == "success"


async def test_a_question_can_be_dropped_or_never_answered(api: MiniToolAIServer, caller: Caller) -> None:
    gate = asyncio.Event()
    job = await caller.submit(PictureScript(polls=[Turn(hang_up=True), Turn(gate=gate)]))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.poll(job)
    task = asyncio.create_task(caller.poll(job))
    await api.pictures[0].until(lambda order: order.polls == 2)
    assert not task.done()
    gate.set()
    assert (await task)[1]["status"] == "success"


async def test_a_job_can_fail_and_then_costs_nothing(api: MiniToolAIServer, caller: Caller) -> None:
    job = await caller.submit(PictureScript(error="no such fox", held=True))
    assert api.pictures[0].billed_nano == 1_500_000
    api.release_pictures()
    answer = {"status": "error", "image_url": None, "message": "no such fox"}
    assert await caller.poll(job) == (200, answer)
    assert api.pictures[0].billed_nano == 0


@pytest.mark.parametrize("url", ["ftp://example.com/a.png", "data:image/png;base64,AA", "http://10.0.0.1/a.png", None])
async def test_any_address_can_be_told(caller: Caller, url: str | None) -> None:
    assert (await caller.poll(await caller.submit(PictureScript(url=url))))[1]["image_url"] == url


async def test_the_true_address_can_be_part_of_it(api: MiniToolAIServer, caller: Caller) -> None:
    assert await caller.address(PictureScript(url="{url}?big=1")) == f"{api.pictures[0].url}?big=1"


# Being told to go wrong: the picture


@pytest.mark.parametrize(("form", "ending"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp"), ("gif", "gif")])
async def test_a_picture_can_have_any_type(caller: Caller, form: Any, ending: str) -> None:
    url = await caller.address(PictureScript(serves=Served(format=form)))
    assert url.endswith(f".{ending}")
    async with caller.session.get(url) as response:
        assert response.content_type == f"image/{form}"
        assert Image.open(io.BytesIO(await response.read())).format == form.upper()


@pytest.mark.parametrize("body", [b"", b"<html>hello", pixel_bomb()])
async def test_any_bytes_can_take_its_place(caller: Caller, body: bytes) -> None:
    url = await caller.address(PictureScript(serves=Served(body=body, content_type="text/html")))
    assert await caller.fetch(url) == (200, body)


@pytest.mark.parametrize("status", [404, 500])
async def test_its_address_can_fail(caller: Caller, status: int) -> None:
    url = await caller.address(PictureScript(serves=Served(turn=Turn(status=status, body="<h1>Sorry</h1>"))))
    assert await caller.fetch(url) == (status, b"<h1>Sorry</h1>")


async def test_redirects_lead_anywhere_and_count_as_one_download(api: MiniToolAIServer, caller: Caller) -> None:
    url = await caller.address(PictureScript(serves=Served(redirects=["{next}", "{next}"], body=b"there")))
    async with caller.session.get(url) as response:
        assert (await response.read(), len(response.history)) == (b"there", 2)
    assert len(api.pictures[0].downloaded_at) == 1
    url = await caller.address(PictureScript(serves=Served(redirects=["http://10.0.0.1/x.png"])))
    async with caller.session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "http://10.0.0.1/x.png")


async def test_a_picture_can_be_cut_padded_or_broken_off(api: MiniToolAIServer, caller: Caller) -> None:
    body = b"0123456789"
    for served, received in ((Served(body=body, cut_to=4), b"0123"), (Served(body=body, padded_to=12), body + b"\0\0")):
        assert await caller.fetch(await caller.address(PictureScript(serves=served))) == (200, received)
    url = await caller.address(PictureScript(serves=Served(body=body, break_after=4)))
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.fetch(url)
    assert api.pictures[-1].bytes_sent == 4


@pytest.mark.parametrize("body", [b"0123456789", b"", None])
async def test_an_endless_picture_ends_when_its_reader_has_enough(
    api: MiniToolAIServer, caller: Caller, body: bytes | None
) -> None:
    url = await caller.address(PictureScript(serves=Served(body=body, endless=True)))
    async with caller.session.get(url) as response:
        assert response.content_length is None
        assert len(await response.content.readexactly(1_000)) == 1_000
        response.close()
    await api.pictures[0].until(lambda order: order.downloads_left == 1)


async def test_a_picture_can_trickle_and_stall(api: MiniToolAIServer, caller: Caller) -> None:
    served = Served(body=b"0123456789", chunk_bytes=1, chunk_delay_s=0.001, stall_after=4)
    url = await caller.address(PictureScript(serves=served))
    async with caller.session.get(url) as response:
        assert await response.content.readexactly(4) == b"0123"
        rest = asyncio.create_task(response.read())
        assert api.pictures[0].bytes_sent == 4
        api.release_pictures()
        assert await rest == b"456789"


async def test_closing_the_server_blames_nobody(caller: Caller) -> None:
    async with MiniToolAIServer(api_key=KEY) as api:
        caller.api = api
        task = asyncio.create_task(caller.submit(PictureScript(submit=Turn(held=True))))
        order = await api.wait_for_picture()
    with pytest.raises(aiohttp.ClientError):
        await task
    assert order.ended.is_set()
    assert not order.client_left


async def test_waiting_has_a_bound(api: MiniToolAIServer, caller: Caller) -> None:
    with pytest.raises(TimeoutError):
        await api.wait_for_picture(timeout_s=0.01)
    await caller.submit()
    with pytest.raises(TimeoutError):
        await api.pictures[0].until(lambda order: order.polls == 1, timeout_s=0.01)
    assert api.pictures.maxlen == 1_000
