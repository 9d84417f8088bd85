"""What goes over the wire, and what becomes of what comes back."""

import asyncio
import socket
import traceback
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

import bot.delivery.rest
from bot import errors
from bot.delivery.limits import Limiter
from bot.delivery.messages import Button, Outgoing, Upload, Urgency
from bot.delivery.rest import ANSWER_LIMIT_BYTES, ATTEMPTS, DiscordRest, _Answer, _retry_after_s, translate
from tests.delivery.server import MESSAGE, TOKEN, Answer, Asked, cut_off, discord, problem

FINAL, GROWTH = Urgency.FINAL, Urgency.GROWTH
Call = Callable[[DiscordRest], Awaitable[object]]


def text() -> Outgoing:
    return Outgoing(content="text")


def edit(rest: DiscordRest) -> Awaitable[object]:
    return rest.edit_original(5, TOKEN, text, FINAL)


def follow_up(rest: DiscordRest) -> Awaitable[object]:
    return rest.create_followup(5, TOKEN, text, FINAL, channel_id=7)


def post(rest: DiscordRest) -> Awaitable[object]:
    return rest.create_message(7, text)


async def test_an_interactions_message_is_edited_without_the_bots_authorisation() -> None:
    async with discord() as (server, rest):
        sent = await rest.edit_original(5, TOKEN, text, GROWTH)
        await rest.edit_webhook_message(5, TOKEN, 12, text, GROWTH)
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("PATCH", f"/api/v10/webhooks/5/{TOKEN}/messages/@original"),
        ("PATCH", f"/api/v10/webhooks/5/{TOKEN}/messages/12"),
    ]
    assert "Authorization" not in server.asked[0].headers
    assert server.asked[0].headers["User-Agent"].startswith("DiscordBot (")
    assert (sent.channel_id, sent.message_id, sent.attachments[0].id) == (7, 11, 21)


async def test_a_message_pings_nobody_and_no_buttons_clear_the_buttons() -> None:
    async with discord() as (server, rest):
        await edit(rest)
    assert server.asked[0].json == {
        "content": "text",
        "components": [],
        "allowed_mentions": {"parse": [], "replied_user": False},
    }


async def test_buttons_stand_in_rows_of_five() -> None:
    buttons = tuple(Button(custom_id=str(n), label="x", style="danger", emoji="⏹️") for n in range(6))
    async with discord() as (server, rest):
        await rest.edit_original(5, TOKEN, lambda: Outgoing(content="t", buttons=buttons), FINAL)
    rows = server.asked[0].json["components"]
    assert [len(row["components"]) for row in rows] == [5, 1]
    assert rows[1]["components"] == [
        {"type": 2, "style": 4, "custom_id": "5", "label": "x", "disabled": False, "emoji": {"name": "⏹️"}}
    ]


async def test_a_follow_up_of_a_private_answer_is_private() -> None:
    async with discord() as (server, rest):
        await rest.create_followup(5, TOKEN, text, FINAL, channel_id=7, ephemeral=True)
        await follow_up(rest)
    assert (server.asked[0].path, server.asked[0].query) == (f"/api/v10/webhooks/5/{TOKEN}", "wait=true")
    assert server.asked[0].json["flags"] == 64
    assert "flags" not in server.asked[1].json


async def test_a_reply_names_its_message_and_may_ping_the_asker() -> None:
    async with discord() as (server, rest):
        await rest.create_message(7, text, reply_to=99, ping_asker=True)
    asked = server.asked[0]
    assert asked.headers["Authorization"] == "Bot bot-token"
    assert asked.json["message_reference"] == {"message_id": "99", "fail_if_not_exists": False}
    assert asked.json["allowed_mentions"] == {"parse": [], "replied_user": True}
    assert asked.json["enforce_nonce"] is True
    assert 0 < len(asked.json["nonce"]) <= 25


async def test_files_come_beside_the_payload_and_those_that_stay_are_named_first() -> None:
    uploads = (Upload(name="ein „Bild“.png", content=b"\x89png", description="alt"), Upload(name="b.md", content=b""))
    async with discord() as (server, rest):
        await rest.edit_message(7, 11, lambda: Outgoing(content="t", uploads=uploads), keep=(21,))
    asked = server.asked[0]
    assert asked.json["attachments"] == [
        {"id": "21"},
        {"id": 0, "filename": "ein „Bild“.png", "description": "alt"},
        {"id": 1, "filename": "b.md", "description": ""},
    ]
    assert asked.files == {"files[0]": ("ein „Bild“.png", b"\x89png"), "files[1]": ("b.md", b"")}


async def test_messages_are_read_deleted_and_typing_is_shown() -> None:
    async with discord() as (server, rest):
        assert await rest.get_message(7, 11) == MESSAGE
        server.always = lambda _: web.Response(status=204)
        await rest.delete_message(7, 11)
        await rest.delete_webhook_message(5, TOKEN, "@original")
        await rest.typing(7)
    assert [(asked.method, asked.path.removeprefix("/api/v10")) for asked in server.asked[1:]] == [
        ("DELETE", "/channels/7/messages/11"),
        ("DELETE", f"/webhooks/5/{TOKEN}/messages/@original"),
        ("POST", "/channels/7/typing"),
    ]


async def test_typing_that_the_limits_hold_back_is_left_out() -> None:
    async with discord() as (server, rest):
        server.always = lambda _: web.Response(status=204)
        async with asyncio.timeout(0.5):
            for _ in range(10):
                await rest.typing(7)
    assert len(server.asked) == 1


async def test_typing_that_cannot_be_shown_is_no_error() -> None:
    async with discord() as (server, rest):
        # No room for a second try in this window, however long the first answer took.
        server.always = problem(503, X_RateLimit_Limit="9", X_RateLimit_Remaining="0", X_RateLimit_Reset_After="60")
        await rest.typing(7)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "webhook", "error"),
    [
        (404, 10003, False, errors.MessageGone),
        (404, 10004, False, errors.MessageGone),
        (404, 10008, True, errors.MessageGone),
        (404, 0, False, errors.MessageGone),
        (403, 50001, False, errors.DeliveryForbidden),
        (403, 50013, False, errors.DeliveryForbidden),
        (403, 50007, False, errors.DeliveryForbidden),
        (400, 50083, False, errors.DeliveryForbidden),
        (403, 0, False, errors.DeliveryForbidden),
        (401, 0, False, errors.DeliveryForbidden),
        (401, 0, True, errors.TokenExpired),
        (401, 50027, True, errors.TokenExpired),
        (404, 10015, True, errors.TokenExpired),
        (400, 50035, True, errors.DeliveryRefused),
        (413, 40005, True, errors.DeliveryRefused),
        (400, 30046, False, errors.DeliveryUnavailable),
        (500, 0, True, errors.DeliveryUnavailable),
        (429, 0, True, errors.DeliveryUnavailable),
    ],
)
def test_every_refusal_becomes_an_error_of_ours(
    status: int, code: int, webhook: bool, error: type[errors.DeliveryError]
) -> None:
    translated = translate(status, {"code": code, "message": "no"}, webhook=webhook)
    assert type(translated) is error
    assert (translated.status, translated.code, translated.detail) == (status, code, "no")


@pytest.mark.parametrize("fault", [problem(500), problem(502), cut_off])
@pytest.mark.parametrize("call", [edit, post])
async def test_what_is_harmless_to_repeat_is_repeated(fault: Answer, call: Call) -> None:
    async with discord() as (server, rest):
        server.answers = [fault, fault]
        await call(rest)
    assert len(server.asked) == 3
    assert len({str(asked.json) for asked in server.asked}) == 1  # the same nonce, too
    assert len(server.pauses) == 2
    assert 0 < server.pauses[0] < server.pauses[1]


@pytest.mark.parametrize("fault", [problem(500), problem(502), cut_off])
async def test_a_follow_up_that_may_exist_is_not_sent_again(fault: Answer) -> None:
    async with discord() as (server, rest):
        server.answers = [fault]
        with pytest.raises(errors.DeliveryUnavailable):
            await follow_up(rest)
    assert len(server.asked) == 1


@pytest.mark.parametrize("urgency", list(Urgency))
async def test_attempts_are_bounded(urgency: Urgency) -> None:
    def page(_: Asked) -> web.Response:
        return web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html")

    async with discord() as (server, rest):
        server.always = page
        with pytest.raises(errors.DeliveryUnavailable) as caught:
            await rest.edit_message(7, 11, text, urgency)
    assert caught.value.status == 502
    assert len(server.asked) == ATTEMPTS[urgency]


@pytest.mark.parametrize("call", [edit, follow_up, post])
async def test_a_429_is_waited_for_and_repeated(call: Call) -> None:
    def slow_down(_: Asked) -> web.Response:
        body = {"message": "slow", "retry_after": 0.03, "global": False}
        return web.json_response(body, status=429, headers={"Retry-After": "1", "Via": "1.1"})

    async with discord() as (server, rest):
        server.answers = [slow_down]
        begun = asyncio.get_running_loop().time()
        await call(rest)
        assert asyncio.get_running_loop().time() - begun >= 0.03
    assert len(server.asked) == 2
    assert server.pauses == []


async def test_each_attempt_shows_what_is_newest() -> None:
    contents = iter(["old", "new"])
    async with discord() as (server, rest):
        server.answers = [problem(500)]
        await rest.edit_original(5, TOKEN, lambda: Outgoing(content=next(contents)), GROWTH)
    assert [asked.json["content"] for asked in server.asked] == ["old", "new"]


async def test_a_forbidden_route_is_not_asked_again_and_again() -> None:
    async with discord() as (server, rest):
        server.answers = [problem(403, 50013)]
        for _ in range(3):
            with pytest.raises(errors.DeliveryForbidden) as caught:
                await post(rest)
            assert caught.value.code == 50013
        await rest.create_message(8, text)
    assert [asked.path for asked in server.asked] == ["/api/v10/channels/7/messages", "/api/v10/channels/8/messages"]


async def test_where_nobody_listens_it_is_tried_and_then_said_without_the_token() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with aiohttp.ClientSession() as session:
        rest = DiscordRest(address, "bot-token", session, Limiter(), sleep=pause)
        with pytest.raises(errors.DeliveryUnavailable) as caught:
            await follow_up(rest)
    assert len(pauses) == ATTEMPTS[FINAL] - 1
    said = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in said
    assert "bot-token" not in said


@pytest.mark.parametrize("fault", [problem(400, 50035), problem(500), cut_off])
async def test_no_error_carries_the_token(fault: Answer) -> None:
    async with discord() as (server, rest):
        server.always = fault
        with pytest.raises(errors.DeliveryError) as caught:
            await edit(rest)
    said = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in said
    assert "bot-token" not in said


async def test_the_headers_teach_the_limiter() -> None:
    headers = {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": "0.2",
        "X-RateLimit-Bucket": "b",
    }
    async with discord() as (server, rest):
        server.always = lambda _: web.json_response(MESSAGE, headers=headers)
        await edit(rest)
        begun = asyncio.get_running_loop().time()
        await edit(rest)
        assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_a_render_that_raises_sends_nothing() -> None:
    def render() -> Outgoing:
        raise LookupError

    async with discord() as (server, rest):
        with pytest.raises(LookupError):
            await rest.edit_original(5, TOKEN, render, GROWTH)
        assert server.asked == []


async def test_a_success_without_a_message_is_no_success() -> None:
    async with discord() as (server, rest):
        server.always = lambda _: web.json_response({"id": "x"})
        with pytest.raises(errors.DeliveryUnavailable):
            await edit(rest)


async def test_a_direct_message_channel_is_opened_by_its_recipients_id() -> None:
    async with discord() as (server, rest):
        server.answers.append(lambda _: web.json_response({"id": "80", "type": 1}))
        assert await rest.create_dm(42) == 80
    assert (server.asked[0].method, server.asked[0].path) == ("POST", "/api/v10/users/@me/channels")
    assert server.asked[0].json == {"recipient_id": "42"}
    assert server.asked[0].headers["Authorization"] == "Bot bot-token"


async def test_one_person_who_takes_no_direct_messages_keeps_nobody_else_from_them() -> None:
    async with discord() as (server, rest):
        server.answers.append(problem(403, 50007))
        server.always = lambda _: web.json_response({"id": "80"})
        with pytest.raises(errors.DeliveryForbidden):
            await rest.create_dm(42)
        assert await rest.create_dm(43) == 80


async def test_an_answer_without_a_channel_is_no_channel() -> None:
    async with discord() as (server, rest):
        server.always = lambda _: web.json_response({})
        with pytest.raises(errors.DeliveryUnavailable):
            await rest.create_dm(42)


async def test_the_newest_messages_are_read_as_a_list() -> None:
    async with discord() as (server, rest):
        server.answers.append(lambda _: web.json_response([MESSAGE, "no object"]))
        server.answers.append(lambda _: web.json_response({"no": "list"}))
        assert await rest.newest_messages(7, limit=5) == (MESSAGE,)
        assert await rest.newest_messages(7, limit=5) == ()
    assert (server.asked[0].path, server.asked[0].query) == ("/api/v10/channels/7/messages", "limit=5")


async def test_a_button_without_an_emoji_names_none() -> None:
    async with discord() as (server, rest):
        await rest.edit_original(
            5, TOKEN, lambda: Outgoing(content="t", buttons=(Button(custom_id="a", label="x"),)), FINAL
        )
    (shown,) = server.asked[0].json["components"][0]["components"]
    assert shown["label"] == "x"
    assert "emoji" not in shown


async def test_a_forbidden_route_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.delivery.rest, "REFUSAL_HOLDS_S", 0.0)
    async with discord() as (server, rest):
        server.answers = [problem(403, 50013)]
        with pytest.raises(errors.DeliveryForbidden):
            await post(rest)
        await post(rest)
    assert len(server.asked) == 2


async def test_of_too_many_refusals_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.delivery.rest, "REFUSALS_REMEMBERED", 2)
    async with discord() as (server, rest):
        server.answers = [problem(403, 50013)] * 3
        for channel_id in (7, 8, 9):
            with pytest.raises(errors.DeliveryForbidden):
                await rest.create_message(channel_id, text)
        await rest.create_message(7, text)
        for channel_id in (8, 9):
            with pytest.raises(errors.DeliveryForbidden):
                await rest.create_message(channel_id, text)
    assert [asked.path.split("/")[4] for asked in server.asked] == ["7", "8", "9", "7"]


async def test_an_answer_that_is_too_long_is_not_read() -> None:
    async with discord() as (server, rest):
        server.always = lambda _: web.json_response(MESSAGE | {"content": "x" * ANSWER_LIMIT_BYTES})
        assert await rest.get_message(7, 11) == {}


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (2.5, "9", 2.5),
        (0, None, 0.0),
        (None, "9", 9.0),
        ("soon", "9", 9.0),
        (-1, "9", 9.0),
        (1e9, "9", 9.0),
        (float("nan"), "9", 9.0),
        (None, None, 1.0),
        (-1, "-1", 1.0),
        (None, "Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
    ],
)
def test_a_429_says_in_its_body_or_its_header_how_long_to_wait_or_it_is_a_second(
    body: object, header: str | None, seconds: float
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    assert _retry_after_s(_Answer(429, headers, {"retry_after": body})) == seconds
