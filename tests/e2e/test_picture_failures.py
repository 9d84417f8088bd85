"""Whatever fails on a picture's way, at the API or in Discord: a clear sentence, and the credits are back."""

import asyncio
import io
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

import pytest
from PIL import Image

import bot.app
from bot.credits.values import Entry
from bot.pictures.fetching import Fetcher
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from sandbox.discord.rest import Recorded
from sandbox.minitoolai.picture_script import PictureScript, Served, Turn
from tests.e2e.accounting import books_are_right, entries, until
from tests.e2e.drawing import ENDED, order
from tests.e2e.house import House, labels
from tests.e2e.ordering import (
    FINISHED,
    MANY,
    NOTHING,
    PICTURE_NANO,
    Plays,
    Result,
    closed,
    copies,
    direct,
    hasty,
    looks_unfinished,
    on_reply,
    order_all,
    plays,
    press,
    results,
    shown,
    small,
    until_state,
)
from tests.e2e.reading import assert_readable, picture

WRONG_SETUP = (
    "⚠️ I am set up wrongly, so I cannot reach the AI service. "
    "Please tell the bot's operator; the log says what to mend."
)
OWN_PROBLEM = "⚠️ The AI service has a problem of its own. Please try again in a minute."
NO_ANSWER = "⚠️ The AI service did not answer. Please try again in a minute."
NOT_DRAWN = "⚠️ The AI service could not draw this. Please try again, with other words, or with another `model`."


def failed(words: str, *, reason: str = "failed", due: int = 1) -> Result:
    """Paid back, with those words; the API may have drawn `due` pictures."""
    return Result(says=f"{words} {NOTHING}", reason=reason, user_nano=0, provider_nano=due * PICTURE_NANO)


def refused(words: str) -> Result:
    return failed(words, reason="refused", due=0)


def unusable(what: str) -> Result:
    return failed(f"⚠️ The picture that came back {what}, so I do not show it. Please try again.")


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    framed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def encoded(form: str, side: int = 256) -> bytes:
    """A picture of noise in that format."""
    data = io.BytesIO()
    Image.effect_noise((side, side), 100).convert("RGB").save(data, form)
    return data.getvalue()


def submits(**turn: object) -> PictureScript:
    return PictureScript(submit=Turn(**turn))  # type: ignore[arg-type]  # the turn's names


def serves(**how: object) -> PictureScript:
    return PictureScript(serves=Served(**{"body": picture().content} | how))  # type: ignore[arg-type]  # its names


def half(form: str) -> PictureScript:
    body = encoded(form)
    return serves(body=body[: len(body) // 2])


CUT_OFF = "is damaged: it cannot be read to its end"


def redirected(*hops: str) -> PictureScript:
    return serves(redirects=hops)


SUBMISSIONS: dict[str, tuple[list[PictureScript], Result]] = {
    "400": ([submits(status=400)], refused(NOT_DRAWN)),
    "401": ([submits(status=401)], refused(WRONG_SETUP)),
    "402": (
        [submits(status=402)],
        refused("⚠️ The AI account behind me has run dry. The bot's operator has to top it up."),
    ),
    "403": ([submits(status=403)], refused(WRONG_SETUP)),
    "404": (
        [submits(status=404)],
        refused("⚠️ The AI service no longer has this model. Please choose another `model`."),
    ),
    "422": ([submits(status=422)], refused(NOT_DRAWN)),
    "429 for long": (
        [submits(status=429, headers={"Retry-After": "60"})],
        refused("⚠️ The AI service is too busy just now. Please try again in 60 seconds."),
    ),
    "429 three times": (
        [submits(status=429)] * 3,
        refused("⚠️ The AI service is too busy just now. Please try again in a minute."),
    ),
    "500 three times": ([submits(status=500)] * 3, refused(OWN_PROBLEM)),
    "503 once": ([submits(status=503)], FINISHED),
    "429 once": ([submits(status=429)], FINISHED),
    "a redirect": ([submits(status=302, headers={"Location": "http://127.0.0.1/"})], refused(OWN_PROBLEM)),
    "refused in words": ([PictureScript(refused=True)], refused(NOT_DRAWN)),
    "a job without an id": ([submits(body={"status": "success", "jobid": None, "signature": "x"})], refused(NOT_DRAWN)),
    "silence": ([submits(delay_s=2.0)], failed(NO_ANSWER)),
    "hung up three times": ([submits(hang_up=True)] * 3, failed(NO_ANSWER, due=3)),
    "a page": ([submits(body="<html>busy</html>")], failed(OWN_PROBLEM)),
    "broken JSON": ([submits(body='{"status": "succ')], failed(OWN_PROBLEM)),
    "a job id that is a list": (
        [submits(body={"status": "success", "jobid": [1], "signature": "x"})],
        failed(OWN_PROBLEM),
    ),
    "an answer that is lost": (
        [PictureScript(answer_lost=True)],
        Result(says="", reason="finished", user_nano=PICTURE_NANO, provider_nano=2 * PICTURE_NANO),
    ),
}  # fmt: skip

ODD_POLLS: list[object] = ["<html>busy</html>", "{", "[]", "null", "", {"status": 7}, {"status": "success"}]
JOBS: dict[str, tuple[list[PictureScript], Result]] = {
    "error": ([PictureScript(error="no")], failed(NOT_DRAWN)),
    "never done": (
        [PictureScript(held=True)],
        failed(
            "⚠️ The picture was not done after 4 seconds, so I stopped waiting. Please try again later, or with "
            "another `model`."
        ),
    ),
    "polls that fail for a while": (
        [small(polls=[Turn(status=500), Turn(status=404), Turn(hang_up=True), Turn(status=429)])], FINISHED
    ),
    "odd polls": ([small(polls=[Turn(body=body) for body in ODD_POLLS[:4]])], FINISHED),
    "odder polls": ([small(polls=[Turn(body=body) for body in ODD_POLLS[4:]])], FINISHED),
    "a poll without an end": ([small(polls=[Turn(delay_s=2.0)])], FINISHED),
}  # fmt: skip

ADDRESSES: dict[str, tuple[list[PictureScript], Result]] = {
    "ftp": ([PictureScript(url="ftp://127.0.0.1/a.png")], unusable("lies at an address that is not http(s)")),
    "file": ([PictureScript(url="file:///etc/passwd")], unusable("lies at an address that is not http(s)")),
    "data": ([PictureScript(url="data:image/png;base64,AAAA")], unusable("lies at an address that is not http(s)")),
    "a path": ([PictureScript(url="/a.png")], unusable("lies at an address that is not http(s)")),
    "brackets": ([PictureScript(url="http://[]/")], unusable("lies at an address that cannot be read")),
    "a password": (
        [PictureScript(url="http://a:b@127.0.0.1/a.png")],
        unusable("lies at an address with a name and password in it"),
    ),
    "nobody there": ([PictureScript(url="http://127.0.0.1:1/a.png")], failed(NO_ANSWER)),
    "to a file": ([redirected("file:///etc/passwd")], unusable("lies at an address that is not http(s)")),
    "round and round": ([redirected(*["{next}"] * 9)], unusable("is passed on from address to address too often")),
    "passed on": ([redirected("{next}", "{next}")], FINISHED),
    "a page": ([serves(body=b"<!DOCTYPE html><p>Sorry", content_type="image/png")], unusable("is a web page")),
    "an endless page": ([serves(body=b"<html>" + b"a" * 99, endless=True)], unusable("is a web page")),
    "nothing": ([serves(body=b"")], unusable("is empty")),
    "words": ([serves(body=b"Sorry, try again")], unusable("is not a jpg, png, webp or gif picture")),
    "cut off": ([serves(cut_to=60)], unusable("is damaged: it cannot be read to its end")),
    "half a JPEG": ([half("JPEG")], unusable(CUT_OFF)),
    "half a WebP": ([half("WEBP")], unusable(CUT_OFF)),
    "half a GIF": ([half("GIF")], unusable(CUT_OFF)),
    "half a PNG": ([half("PNG")], unusable(CUT_OFF)),
    "a JPEG": ([serves(body=encoded("JPEG"))], FINISHED),
    "a WebP": ([serves(body=encoded("WEBP"))], FINISHED),
    "a GIF": ([serves(body=encoded("GIF"))], FINISHED),
    "a BMP": ([serves(body=encoded("BMP", 16))], unusable("is not a jpg, png, webp or gif picture")),
    "a bomb": ([serves(body=png_of(60_000, 60_000))], unusable("has 3,600 million pixels")),
    "a bomb of one line": ([serves(body=png_of(2**31 - 1, 1))], unusable("has 2,148 million pixels")),
    "no end": ([serves(endless=True)], unusable("is larger than 1 MB")),
    "too long": ([serves(padded_to=1_500_000)], unusable("is larger than 1 MB")),
    "gone": ([serves(turn=Turn(status=410))], unusable("is not at its address (status 410)")),
    "404 for good": ([serves(turn=Turn(status=404))], failed(OWN_PROBLEM)),
    "500 for good": ([serves(turn=Turn(status=500))], failed(OWN_PROBLEM)),
    "broken off": ([serves(break_after=30)], failed(NO_ANSWER)),
    "stalled": ([serves(stall_after=30)], failed(NO_ANSWER)),
}  # fmt: skip


@pytest.mark.parametrize("table", ["submissions", "jobs", "addresses"])
async def test_each_failure_of_the_api_has_its_words_and_gives_the_credits_back(
    empty_house: House, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    house = empty_house
    cases = {"submissions": SUBMISSIONS, "jobs": JOBS, "addresses": ADDRESSES}[table]
    play = plays(house, {prompt: scripts for prompt, (scripts, _) in cases.items()})
    hasty(monkeypatch, late_s=4.0)
    async with house.running(PICTURE_LIMIT_MB="1", **MANY):
        ordered = await order_all(house, cases)
        ended = await results(house, play, ordered)
        assert ended == {prompt: expected for prompt, (_, expected) in cases.items()}
        for each in ordered.values():
            assert each.original is not None
            assert_readable(each.original)
            assert labels(each.original) == (ENDED if each.original.attachments else ["Again", "Edit", "Delete"])
        assert await house.dana.slash(house.channel, "help"), "the process is unharmed"


async def test_of_four_pictures_the_one_that_failed_is_not_paid(house: House) -> None:
    play = plays(house, {"a cat": [small(), PictureScript(error="no")], "a dog": [serves(body=b"<html>")]})
    ordered = await order_all(house, ["a cat", "a dog"], count=4)
    ended = await results(house, play, ordered)
    words = {"a cat": NOT_DRAWN, "a dog": unusable("is a web page").says.removesuffix(f" {NOTHING}")}
    assert ended == {
        prompt: Result(
            says=f"⚠️ 1 of 4 failed, its credits came back. {why.removeprefix('⚠️ ')}",
            reason="finished",
            user_nano=3 * PICTURE_NANO,
            provider_nano=4 * PICTURE_NANO,
        )
        for prompt, why in words.items()
    }
    for each in ordered.values():
        assert each.original is not None
        assert "4.5 credits ($0.0045)" in each.original.content


async def test_in_production_no_address_of_the_api_opens_the_operators_network(empty_house: House) -> None:
    house = empty_house
    play = plays(house, {"mapped": [PictureScript(url="http://[::ffff:7f00:1]/a.png")]})
    async with house.running(PICTURE_PRIVATE_ADDRESSES="off", **MANY):
        ended = await results(house, play, await order_all(house, ["plain", "mapped"]))
    assert ended == dict.fromkeys(ended, unusable("lies at a private address"))
    assert not any(asked.downloaded_at for asked in house.api.pictures), "it was opened all the same"


async def test_a_redirect_into_the_operators_network_is_refused(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    hops = {"IPv4": "http://127.0.0.2:1/", "IPv6": "http://[::1]:1/"}
    play = plays(house, {prompt: [redirected(hop)] for prompt, hop in hops.items()})
    the_internet = partial(Fetcher, is_public=lambda address: address == IPv4Address("127.0.0.1"))
    monkeypatch.setattr(bot.app, "Fetcher", the_internet)
    async with house.running(PICTURE_PRIVATE_ADDRESSES="off", **MANY):
        ended = await results(house, play, await order_all(house, hops))
    assert ended == dict.fromkeys(hops, unusable("lies at a private address"))


# Discord


@dataclass(kw_only=True)
class Held:
    """An order that the API draws until its gate opens, and which shows its progress."""

    interaction: Interaction
    gate: asyncio.Event

    @property
    def reply(self) -> Message:
        assert self.interaction.original is not None
        return self.interaction.original


async def hold(
    house: House, play: Plays, prompt: str, *, count: int = 1, serves: Served | None = None, **options: object
) -> Held:
    gate = asyncio.Event()
    serves = serves or Served(body=picture().content)
    play.scripts[prompt] = [PictureScript(gate=gate, serves=serves)] * count
    interaction = await order(house, prompt, count=count, **options)  # type: ignore[arg-type]  # its names
    await shown(house, interaction, lambda reply: "Cancel" in labels(reply))
    return Held(interaction=interaction, gate=gate)


TROUBLES: dict[str, dict[str, object]] = {
    "500": {"status": 500, "times": 4},
    "a page": {"status": 502, "html": True, "times": 4},
    "hung up": {"drop": True, "times": 4},
    "429": {"status": 429, "times": 2, "retry_after_s": 0.2},
    "429 without headers": {"status": 429, "times": 2, "retry_after_s": 0.2, "headers": False},
    "done, and hung up": {"drop": True, "carried_out": True, "times": 3},
    "done, and a page": {"status": 502, "html": True, "carried_out": True, "times": 3},
    "done, and hung up for good": {"drop": True, "carried_out": True},
    "too large": {"error_code": 40005, "times": 1},
    "far too large": {"status": 413, "html": True, "times": 2},
}


async def test_what_discord_fails_at_for_a_while_delays_a_picture_and_never_doubles_it(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    hasty(monkeypatch)
    play = plays(house)
    async with house.running(**MANY):
        held = {trouble: await hold(house, play, trouble) for trouble in TROUBLES}
        faults = {}
        for trouble, one in held.items():
            faults[trouble] = house.discord.faults.add(on_reply(one.interaction, **TROUBLES[trouble]))
            one.gate.set()
        ended = await results(house, play, {trouble: one.interaction for trouble, one in held.items()})
        assert ended == dict.fromkeys(TROUBLES, FINISHED)
        assert all(fault.hits for fault in faults.values())
        assert direct(house) == []
    house.discord.rate_limited.clear()  # those that were ordered


async def test_what_nobody_can_tell_to_have_arrived_is_not_sent_a_second_way(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    hasty(monkeypatch)
    play = plays(house)
    async with house.running():
        held = await hold(house, play, "a cat")
        house.discord.faults.add(on_reply(held.interaction, drop=True, carried_out=True))
        blind = house.discord.faults.add(on_reply(held.interaction, method="GET", status=503, times=9))
        held.gate.set()
        assert await results(house, play, {"a cat": held.interaction}) == {"a cat": FINISHED}
        assert blind.hits == 9
        assert direct(house) == []


async def test_what_discord_finds_too_large_after_all_is_made_smaller(house: House) -> None:
    noise = encoded("PNG")
    guild = house.discord.world.add_guild("Small", upload_limit_bytes=3 * len(noise))
    guild.join(house.dana.user)
    held = await hold(
        house, plays(house), "noise", serves=Served(body=noise), at=guild.add_text_channel("art"), count=2
    )
    held.interaction.upload_limit_bytes = len(noise) * 9 // 10
    held.gate.set()
    await closed(house, held.interaction)
    found = copies(house, held.interaction)
    assert [file.filename.rpartition(".")[2] for _, file in found] == ["webp", "webp"]
    assert [file.width for _, file in found] == [256, 256]
    assert "made smaller to fit" in held.reply.content


async def test_a_direct_message_that_discord_fails_at_for_a_while_comes_once(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, play = empty_house, plays(empty_house)
    hasty(monkeypatch)
    async with house.running(**MANY):
        held = {}
        for trouble in ("500", "hung up", "429", "done, and hung up", "done, and a page"):
            person = house.discord.person(house.discord.world.add_user(trouble))
            house.guild.join(person.user)
            held[trouble] = await hold(house, play, trouble, count=2, by=person)
            await house.admin.delete(held[trouble].reply)
            house.discord.faults.add(in_direct(house, person, **TROUBLES[trouble]))
        for one in held.values():
            one.gate.set()
        written = await closed(house, *(one.interaction for one in held.values()))
        for one in held.values():
            entry, found = written[one.interaction.id], copies(house, one.interaction)
            assert (entry.reason, entry.images, len(found)) == ("finished", 2, 2)
            assert [message for message, _ in found] == direct(house, one.interaction.user) * 2
            assert "📬 Your pictures: my reply in" in found[0][0].content
    house.discord.rate_limited.clear()  # those that were ordered


def in_direct(house: House, person: Person, **how: object) -> Fault:
    """A fault of every message to that person."""
    dm = house.discord.world.dm(person.user)
    how = {"method": "POST", "template": "/channels/…/messages"} | how
    return Fault(when=lambda _, path: str(dm.id) in path, **how)  # type: ignore[arg-type]  # the fault's names


LATE_ENDS = ("delivered", "failed", "cancelled")


async def test_a_progress_that_discord_shows_late_is_not_what_stays(empty_house: House) -> None:
    house, play = empty_house, plays(empty_house)
    async with house.running(**MANY | {"PICTURE_ORDERS_OPEN": "3"}):
        wrong = Served(body=b"<html>")
        held = {end: await hold(house, play, end, serves=wrong if end == "failed" else None) for end in LATE_ENDS}
        for one in held.values():
            house.discord.faults.add(on_reply(one.interaction, delay_s=7.0, times=1))

        # The fourth one's place in line.
        known = [one.interaction.token for one in held.values()]
        house.discord.faults.add(
            Fault(method="PATCH", when=lambda _, path: not any(token in path for token in known), delay_s=7.0)
        )
        waiting = await order(house, "in line")

        async def late() -> list[Recorded]:
            faulted = [each for each in house.discord.requests if each.faulted]
            return faulted if len(faulted) == len(held) + 1 else []

        slow = await until(late)
        await press("cancel", waiting, house.dana)
        await until_state(house, waiting, "cancelled")
        await house.dana.click(held["cancelled"].reply, label="Cancel")
        for one in held.values():
            one.gate.set()
        written = await closed(house, waiting, *(one.interaction for one in held.values()))
        reasons = {end: written[one.interaction.id].reason for end, one in held.items()}
        assert reasons == {"delivered": "finished", "failed": "failed", "cancelled": "cancelled"}
        assert not any(each.finished for each in slow)
        await house.discord.wait_until(lambda: all(each.finished for each in slow), timeout_s=30)
        await house.discord.wait_until(
            lambda: not any(looks_unfinished(each) for each in (waiting, *(one.interaction for one in held.values()))),
            timeout_s=12,
        )


Trouble = Callable[[House, Held], Awaitable[None]]


async def message_deleted(house: House, held: Held) -> None:
    assert held.reply.guild is not None
    await house.discord.person(held.reply.guild.owner).delete(held.reply)


async def channel_deleted(_: House, held: Held) -> None:
    held.reply.channel.delete()


async def server_left(house: House, held: Held) -> None:
    assert held.reply.guild is not None
    house.discord.world.kick_bot(held.reply.guild)


async def may_not_see(house: House, held: Held) -> None:
    held.reply.channel.set_overwrite(house.discord.world.bot, deny=Permission.VIEW_CHANNEL)


async def refuses_files(house: House, held: Held) -> None:
    house.discord.faults.add(on_reply(held.interaction, error_code=50013))


async def nothing(_: House, __: Held) -> None:
    """The token ends, or not; nothing else happens."""


async def places(house: House, kinds: Iterable[str]) -> dict[str, Channel]:
    """A channel of a server of its own for each, in which Dana is a member."""
    found = {}
    for kind in kinds:
        guild = house.discord.world.add_guild(kind, bot_present=not kind.startswith("user app"))
        guild.join(house.dana.user)
        found[kind] = guild.add_text_channel("art")
    return found


BEFORE: dict[str, tuple[Trouble, str]] = {
    "nothing": (nothing, "reply"),
    "user app": (nothing, "reply"),
    "private": (nothing, "reply"),
    "message deleted": (message_deleted, "direct"),
    "private and refused": (refuses_files, "direct"),
    "channel deleted": (channel_deleted, "direct"),
    "server left": (server_left, "reply"),
    "may not see": (may_not_see, "reply"),
    "refuses files": (refuses_files, "direct"),
}
AFTER: dict[str, tuple[Trouble, str]] = {
    "nothing": (nothing, "reply"),
    "user app": (nothing, "direct"),
    "private": (nothing, "direct"),
    "message deleted": (message_deleted, "direct"),
    "channel deleted": (channel_deleted, "direct"),
    "server left": (server_left, "direct"),
    "may not see": (may_not_see, "direct"),
}


def where(house: House, held: Held) -> str:
    """Where its pictures stand: in its reply, in direct messages, or nowhere."""
    stands = {message.channel.is_private for message, _ in copies(house, held.interaction)}
    return {frozenset({True}): "direct", frozenset({False}): "reply"}.get(frozenset(stands), "nowhere")


@pytest.mark.parametrize("dms", ["open", "closed"])
@pytest.mark.parametrize("minutes", [0, 16])
async def test_a_picture_goes_by_whatever_way_is_left_and_is_paid_back_where_there_is_none(
    empty_house: House, monkeypatch: pytest.MonkeyPatch, minutes: int, dms: str
) -> None:
    house = empty_house
    hasty(monkeypatch)
    house.dana.user.has_installed_app = True
    table, play = AFTER if minutes else BEFORE, plays(house)
    async with house.running(**MANY):
        held = {}
        for kind, channel in (await places(house, table)).items():
            held[kind] = await hold(house, play, kind, count=2, at=channel, private=kind.startswith("private"))
        house.dana.user.accepts_dms = dms == "open"
        house.discord.clock.advance(minutes * 60)
        for kind, (trouble, _) in table.items():
            await trouble(house, held[kind])
        for one in held.values():
            one.gate.set()
        written = await closed_on_disk(house, held)
    expected = {kind: "nowhere" if way == "direct" and dms == "closed" else way for kind, (_, way) in table.items()}
    assert {kind: where(house, one) for kind, one in held.items()} == expected
    for kind, one in held.items():
        entry, found = written[one.interaction.id], copies(house, one.interaction)
        arrived = expected[kind] != "nowhere"
        assert (entry.reason, entry.images) == (("finished", 2) if arrived else ("undelivered", 0))
        assert entry.user_nano == len(found) * PICTURE_NANO == entry.images * PICTURE_NANO
        assert entry.provider_nano == play.billed_nano(kind) == 2 * PICTURE_NANO
        assert len({message for message, _ in found}) <= 1


async def closed_on_disk(house: House, held: dict[str, Held]) -> dict[int, Entry]:
    """The entries once all have ended; what their messages say is not the matter where they cannot be reached."""

    async def ended() -> bool:
        return {one.interaction.id for one in held.values()} <= set(await entries(house))

    await until(ended, timeout_s=20)
    await books_are_right(house)
    return await entries(house)
