"""The loopback gateway: by a real discord.py client where clients differ, by a bare socket where bytes matter."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import discord
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from sandbox.discord.events import Event, Listener
from sandbox.discord.gateway import ACKNOWLEDGED_AFTER_S, EVENTS_KEPT, FRAMES_QUEUED_MAX, Gateway, Intent, intent_for

WAIT_S = 5.0
BOT_ID = 900
GUILD_ID = 5 << 22
CHANNEL_ID = 77
QUIET_INTENTS = Intent.GUILDS | Intent.GUILD_MESSAGES | Intent.DIRECT_MESSAGES


@dataclass(frozen=True)
class FakeGuild:
    id: int


@dataclass
class FakeWorld:
    """A server or two, one channel, one bot that may see everything."""

    guilds: list[FakeGuild] = field(default_factory=lambda: [FakeGuild(GUILD_ID)])
    listeners: list[Listener] = field(default_factory=list)
    application_id: int = 901
    bot_token: str = "right.token"

    def ready_user(self) -> dict[str, Any]:
        return user(BOT_ID, "bot") | {"bot": True, "verified": True, "mfa_enabled": False, "email": None, "flags": 0}

    def guilds_of_bot(self) -> list[FakeGuild]:
        return self.guilds

    def guild_create_payload(self, guild: FakeGuild) -> dict[str, Any]:
        return {
            "id": str(guild.id),
            "name": "A server",
            "owner_id": "1",
            "roles": [],
            "channels": [{"id": str(CHANNEL_ID), "type": 0, "name": "general", "position": 0}],
            "members": [member() | {"user": user(1, "ada")}, member() | {"user": user(2, "bob")}],
            "member_count": 2,
            "unavailable": False,
        }

    def bot_receives(self, event: Event) -> bool:
        return event.user_ids is None or BOT_ID in event.user_ids

    def say(self, content: str, *, guild_id: int | None = GUILD_ID, needs_content_intent: bool = False) -> None:
        self.emit("MESSAGE_CREATE", message(content, guild_id), guild_id, needs_content_intent=needs_content_intent)

    def emit(self, name: str, data: dict[str, Any], guild_id: int | None, **facts: Any) -> None:
        for listener in list(self.listeners):
            listener(Event(name=name, data=data, guild_id=guild_id, channel_id=CHANNEL_ID, **facts))


def user(user_id: int, name: str) -> dict[str, Any]:
    return {"id": str(user_id), "username": name, "discriminator": "0", "avatar": None, "global_name": None}


def member() -> dict[str, Any]:
    return {"roles": [], "joined_at": None, "deaf": False, "mute": False, "flags": 0}


def message(content: str, guild_id: int | None) -> dict[str, Any]:
    place = {} if guild_id is None else {"guild_id": str(guild_id), "member": member()}
    return place | {
        "id": "5000",
        "channel_id": str(CHANNEL_ID),
        "author": user(1, "ada"),
        "content": content,
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [{"type": 10, "id": 1, "content": "text"}],
        "pinned": False,
        "type": 0,
    }


@dataclass
class Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def gateway(world: FakeWorld, clock: Clock) -> AsyncIterator[Gateway]:
    gateway = Gateway(world, clock)
    app = web.Application()
    app.router.add_get("/", gateway.handle)
    app.router.add_get("/api/users/@me", _answering(world.ready_user()))
    app.router.add_get("/api/oauth2/applications/@me", _answering(_application(world)))
    async with TestServer(app) as server:
        gateway.url = str(server.make_url("/").with_scheme("ws"))
        yield gateway
        await gateway.close()


def _answering(data: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(data), headers={"Content-Type": "application/json"})

    return handle


def _application(world: FakeWorld) -> dict[str, Any]:
    return {
        "id": str(world.application_id),
        "name": "bot",
        "description": "",
        "icon": None,
        "rpc_origins": [],
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "flags": 0,
        "owner": user(1, "ada"),
        "team": None,
    }


# With a bare socket.


class Socket:
    """A client that speaks JSON and decides nothing by itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, op: int, data: Any = None) -> None:
        await self.socket.send_bytes(orjson.dumps({"op": op, "d": data}))

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        received: dict[str, Any] = orjson.loads(message.data)
        return received

    async def close_code(self) -> int | None:
        while not self.socket.closed:
            await self.socket.receive(timeout=WAIT_S)
        return self.socket.close_code

    async def identify(self, intents: int = QUIET_INTENTS, token: str = "right.token", **more: Any) -> dict[str, Any]:
        await self.send(2, {"token": token, "intents": int(intents), "properties": {}, **more})
        return await self.receive()

    async def names(self, count: int) -> list[str]:
        return [(await self.receive())["t"] for _ in range(count)]


Connect = Callable[..., Awaitable[Socket]]


@pytest.fixture
async def connect(gateway: Gateway) -> AsyncIterator[Connect]:
    async with aiohttp.ClientSession() as http, AsyncExitStack() as sockets:

        async def connect(query: str = "v=10&encoding=json") -> Socket:
            socket = Socket(await sockets.enter_async_context(http.ws_connect(f"{gateway.url}?{query}")))
            if "v=10" in query:
                hello = await socket.receive()
                assert hello["op"] == 10
                assert hello["d"]["heartbeat_interval"] == round(gateway.heartbeat_interval_s * 1000)
            return socket

        yield connect


async def test_ready_names_this_gateway_and_servers_come_one_by_one(connect: Connect, gateway: Gateway) -> None:
    socket = await connect()
    ready = await socket.identify()
    assert (ready["t"], ready["s"]) == ("READY", 1)
    assert ready["d"]["resume_gateway_url"] == gateway.url
    assert ready["d"]["guilds"] == [{"id": str(GUILD_ID), "unavailable": True}]
    assert ready["d"]["application"] == {"id": "901", "flags": 0}
    assert "shard" not in ready["d"]
    guild = await socket.receive()
    assert (guild["t"], guild["s"], guild["d"]["name"]) == ("GUILD_CREATE", 2, "A server")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"intents": "all"}, 4013),
        ({"intents": 1 << 30}, 4013),
        ({"intents": int(Intent.MESSAGE_CONTENT)}, 4014),
        ({"intents": int(Intent.GUILD_MEMBERS)}, 4014),
        ({"shard": [2, 2]}, 4010),
        ({"shard": "0/1"}, 4010),
    ],
)
async def test_a_wrong_identify_gets_its_close_code(connect: Connect, sent: dict[str, Any], code: int) -> None:
    socket = await connect()
    await socket.send(2, {"token": "right.token", "intents": 1, "properties": {}} | sent)
    assert await socket.close_code() == code


async def test_a_privileged_intent_is_granted_by_the_applications_flags(connect: Connect, gateway: Gateway) -> None:
    gateway.application_flags = 1 << 19
    assert (await (await connect()).identify(Intent.MESSAGE_CONTENT))["t"] == "READY"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"not json", 4002),
        (b"[]", 4002),
        (b'{"op": 99}', 4001),
        (b'{"op": 0}', 4001),
        (b'{"op": 3, "d": {}}', 4003),
        (b'{"op": 1, "d": "' + b"x" * 5_000 + b'"}', 4002),
    ],
)
async def test_what_a_client_may_not_say_gets_its_close_code(connect: Connect, frame: bytes, code: int) -> None:
    socket = await connect()
    await socket.socket.send_bytes(frame)
    assert await socket.close_code() == code


async def test_identifying_twice_is_refused(connect: Connect) -> None:
    socket = await connect()
    await socket.identify()
    await socket.send(2, {"token": "right.token", "intents": 0})
    assert await socket.close_code() == 4005


async def test_another_api_version_is_refused(connect: Connect) -> None:
    assert await (await connect("v=9")).close_code() == 4012


async def test_more_than_120_commands_a_minute_are_refused(connect: Connect) -> None:
    socket = await connect()
    for _ in range(121):
        await socket.send(1, None)
    assert await socket.close_code() == 4008


async def test_a_heartbeat_is_acknowledged_unless_the_test_says_otherwise(connect: Connect, gateway: Gateway) -> None:
    socket = await connect()
    sent_s = asyncio.get_running_loop().time()
    await socket.send(1, None)
    assert (await socket.receive())["op"] == 11
    # Sooner than over any network, discord.py has not noted yet when it sent the heartbeat.
    assert asyncio.get_running_loop().time() - sent_s > 0.9 * ACKNOWLEDGED_AFTER_S
    gateway.acknowledges_heartbeats = False
    await socket.send(1, None)
    assert (await socket.identify())["t"] == "READY"


async def test_a_client_without_heartbeats_is_timed_out(connect: Connect, gateway: Gateway, clock: Clock) -> None:
    gateway.heartbeat_interval_s = 0.02
    socket = await connect()
    await socket.identify()
    clock.now_s += 1.0
    assert await socket.close_code() == 4009


async def test_presence_and_voice_are_heard_and_change_nothing(connect: Connect, gateway: Gateway) -> None:
    socket = await connect()
    await socket.identify(Intent.DIRECT_MESSAGES)
    await socket.send(3, {"status": "idle", "afk": False, "since": None, "activities": []})
    await socket.send(4, {"guild_id": str(GUILD_ID), "channel_id": None, "self_mute": False, "self_deaf": False})
    await socket.send(1, None)
    assert (await socket.receive())["op"] == 11


async def test_members_are_found_by_id_and_by_name(connect: Connect) -> None:
    socket = await connect()
    await socket.identify(Intent.GUILD_MESSAGES)
    await socket.send(8, {"guild_id": str(GUILD_ID), "user_ids": ["2", "3"], "limit": 0, "nonce": "n"})
    chunk = (await socket.receive())["d"]
    assert ([member["user"]["id"] for member in chunk["members"]], chunk["not_found"]) == (["2"], ["3"])
    assert chunk["nonce"] == "n"
    await socket.send(8, {"guild_id": str(GUILD_ID), "query": "a", "limit": 1})
    assert [member["user"]["username"] for member in (await socket.receive())["d"]["members"]] == ["ada"]


async def test_events_follow_the_intents(connect: Connect, world: FakeWorld) -> None:
    socket = await connect()
    await socket.identify(Intent.DIRECT_MESSAGES)
    world.say("in the server")
    world.emit("TYPING_START", {}, None)
    world.emit("CHANNEL_CREATE", {}, GUILD_ID)
    world.say("in private", guild_id=None)
    world.emit("INTERACTION_CREATE", {"id": "1"}, GUILD_ID)
    assert await socket.names(2) == ["MESSAGE_CREATE", "INTERACTION_CREATE"]


async def test_what_the_bot_may_not_see_is_not_sent(connect: Connect, world: FakeWorld) -> None:
    socket = await connect()
    await socket.identify(Intent.GUILD_MESSAGES)
    world.emit("MESSAGE_CREATE", message("secret", GUILD_ID), GUILD_ID, user_ids=frozenset({1}))
    world.say("for all")
    assert (await socket.receive())["d"]["content"] == "for all"


async def test_content_is_empty_where_it_needs_the_intent(connect: Connect, gateway: Gateway, world: FakeWorld) -> None:
    gateway.application_flags = 1 << 18
    blind, seeing = await connect(), await connect()
    await blind.identify(Intent.GUILD_MESSAGES)
    await seeing.identify(Intent.GUILD_MESSAGES | Intent.MESSAGE_CONTENT)
    world.say("hidden", needs_content_intent=True)
    world.say("shown", needs_content_intent=False)
    hidden, shown = (await blind.receive())["d"], (await blind.receive())["d"]
    assert (hidden["content"], hidden["components"], shown["content"]) == ("", [], "shown")
    assert (await seeing.receive())["d"]["content"] == "hidden"


async def test_each_shard_gets_its_servers_and_shard_0_the_direct_messages(
    connect: Connect, gateway: Gateway, world: FakeWorld
) -> None:
    world.guilds = [FakeGuild(4 << 22), FakeGuild(5 << 22)]
    even, odd = await connect(), await connect()
    ready = [await even.identify(shard=[0, 2]), await odd.identify(shard=[1, 2])]
    assert [len(event["d"]["guilds"]) for event in ready] == [1, 1]
    assert [event["d"]["shard"] for event in ready] == [[0, 2], [1, 2]]
    assert [(await socket.receive())["d"]["id"] for socket in (even, odd)] == [str(4 << 22), str(5 << 22)]
    world.say("odd", guild_id=5 << 22)
    world.say("direct", guild_id=None)
    assert (await even.receive())["d"]["content"] == "direct"
    assert (await odd.receive())["d"]["content"] == "odd"
    await gateway.wait_ready(WAIT_S, shards=2)


async def test_an_identify_before_its_five_seconds_are_over_is_counted(
    connect: Connect, gateway: Gateway, clock: Clock
) -> None:
    await (await connect()).identify(shard=[0, 2])
    await (await connect()).identify(shard=[1, 2])
    clock.now_s += 5.0
    await (await connect()).identify(shard=[1, 2])
    assert (gateway.identifies, gateway.hasty_identifies) == (3, 1)
    assert gateway.session_start_limit()["remaining"] == 997


async def compressed_names(gateway: Gateway, compress: str, expand: Callable[[bytes], bytes]) -> list[str | None]:
    """The names of the first three payloads, each of which has to come whole in its own frame."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{gateway.url}?v=10&encoding=json&compress={compress}") as socket,
    ):
        await socket.send_str(orjson.dumps({"op": 2, "d": {"token": "right.token", "intents": 1}}).decode())
        return [orjson.loads(expand(await socket.receive_bytes(timeout=WAIT_S)))["t"] for _ in range(3)]


async def test_zlib_is_one_stream_flushed_at_each_payload(gateway: Gateway) -> None:
    inflate = zlib.decompressobj()

    def expand(frame: bytes) -> bytes:
        assert frame.endswith(b"\x00\x00\xff\xff")
        return inflate.decompress(frame)

    assert await compressed_names(gateway, "zlib-stream", expand) == [None, "READY", "GUILD_CREATE"]


async def test_zstd_is_one_stream_flushed_at_each_payload(gateway: Gateway) -> None:
    context = discord.utils._ActiveDecompressionContext()
    if context.COMPRESSION_TYPE != "zstd-stream":
        pytest.skip("neither the zstandard package nor Python 3.14")

    def expand(frame: bytes) -> bytes:
        return (context.decompress(frame) or "").encode()

    assert await compressed_names(gateway, "zstd-stream", expand) == [None, "READY", "GUILD_CREATE"]


async def test_an_unknown_compression_is_refused_before_the_upgrade(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await http.ws_connect(f"{gateway.url}?v=10&compress=brotli")


async def resume(socket: Socket, session_id: str, sequence: int) -> dict[str, Any]:
    await socket.send(6, {"token": "right.token", "session_id": session_id, "seq": sequence})
    return await socket.receive()


async def test_resuming_replays_what_was_missed_and_only_that(
    connect: Connect, gateway: Gateway, world: FakeWorld
) -> None:
    first = await connect()
    ready = await first.identify(Intent.GUILD_MESSAGES)
    world.say("seen")
    seen = await first.receive()
    await gateway.drop(4000)
    world.say("missed")
    second = await connect()
    missed = await resume(second, ready["d"]["session_id"], seen["s"])
    assert (missed["d"]["content"], missed["s"]) == ("missed", seen["s"] + 1)
    assert (await second.receive())["t"] == "RESUMED"
    (session,) = gateway.sessions
    assert (session.resumed, session.replayed, session.connected) == (1, 1, True)


@pytest.mark.parametrize(("known", "sequence"), [(False, 1), (True, 99), (True, None)])
async def test_a_session_that_cannot_be_resumed_is_invalid(
    connect: Connect, gateway: Gateway, known: bool, sequence: int | None
) -> None:
    session_id = (await (await connect()).identify())["d"]["session_id"]
    socket = await connect()
    answer = await resume(socket, session_id if known else "unknown", sequence)  # type: ignore[arg-type]
    assert (answer["op"], answer["d"]) == (9, False)
    assert (await socket.identify())["t"] == "READY"


async def test_a_client_that_missed_too_much_cannot_resume(
    connect: Connect, gateway: Gateway, world: FakeWorld
) -> None:
    ready = await (await connect()).identify(Intent.GUILD_MESSAGES)
    await gateway.drop()
    for _ in range(EVENTS_KEPT + 1):
        world.emit("MESSAGE_DELETE", {}, GUILD_ID)
    assert (await resume(await connect(), ready["d"]["session_id"], ready["s"]))["op"] == 9


async def test_a_session_expires_and_a_finished_one_is_forgotten(
    connect: Connect, gateway: Gateway, clock: Clock
) -> None:
    lost = await (await connect()).identify()
    await gateway.drop()
    clock.now_s += 301.0
    assert (await resume(await connect(), lost["d"]["session_id"], 1))["op"] == 9

    finished = await connect()
    await finished.identify()
    await finished.socket.close(code=1000)
    await gateway.wait_until(lambda: gateway.sessions == [], WAIT_S)


async def test_a_client_that_does_not_read_is_cut_off(connect: Connect, gateway: Gateway, world: FakeWorld) -> None:
    await (await connect()).identify(Intent.GUILD_MESSAGES)
    # All of it is emitted without giving the writer a turn, as if the client's window were shut.
    for _ in range(FRAMES_QUEUED_MAX + 1):
        world.emit("MESSAGE_DELETE", {}, GUILD_ID)
    await gateway.wait_until(lambda: not gateway.sessions[0].connected, WAIT_S)


async def test_a_closed_gateway_hears_the_world_no_longer(connect: Connect, gateway: Gateway, world: FakeWorld) -> None:
    socket = await connect()
    await socket.identify()
    await asyncio.gather(gateway.close(), socket.close_code())
    assert socket.socket.close_code == 1001
    assert world.listeners == []


@pytest.mark.parametrize(
    ("name", "guild", "direct"),
    [
        ("MESSAGE_CREATE", Intent.GUILD_MESSAGES, Intent.DIRECT_MESSAGES),
        ("MESSAGE_REACTION_ADD", Intent.GUILD_MESSAGE_REACTIONS, Intent.DIRECT_MESSAGE_REACTIONS),
        ("GUILD_MEMBER_ADD", Intent.GUILD_MEMBERS, Intent.GUILD_MEMBERS),
        ("GUILD_ROLE_UPDATE", Intent.GUILDS, Intent.GUILDS),
        ("THREAD_CREATE", Intent.GUILDS, Intent.GUILDS),
        ("PRESENCE_UPDATE", Intent.GUILD_PRESENCES, Intent.GUILD_PRESENCES),
        ("INTERACTION_CREATE", Intent(0), Intent(0)),
        ("GUILD_MEMBERS_CHUNK", Intent(0), Intent(0)),
    ],
)
def test_an_events_intent_is_the_documented_one(name: str, guild: Intent, direct: Intent) -> None:
    assert (intent_for(name, in_guild=True), intent_for(name, in_guild=False)) == (guild, direct)


# With discord.py.


class Bot(discord.Client):
    """Writes down what it hears; identifies again without discord.py's pause of 5 s."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(int(QUIET_INTENTS)), guild_ready_timeout=0.01)
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        pass

    async def on_ready(self) -> None:
        self.heard.put_nowait(f"ready in {len(self.guilds)}")

    async def on_resumed(self) -> None:
        self.heard.put_nowait("resumed")

    async def on_message(self, message: discord.Message) -> None:
        self.heard.put_nowait(message.content)

    async def hears(self, count: int = 1) -> list[str]:
        async with asyncio.timeout(WAIT_S):
            return [await self.heard.get() for _ in range(count)]


@asynccontextmanager
async def running(bot: discord.Client, token: str = "right.token") -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(bot.start(token))
    try:
        yield task
    finally:
        await bot.close()
        await asyncio.wait([task], timeout=WAIT_S)


@pytest.fixture
def discord_py_comes_here(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    url = URL(gateway.url)
    monkeypatch.setattr(discord.http.Route, "BASE", str(url.with_scheme("http") / "api"))
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", url)


@pytest.fixture
async def bot(discord_py_comes_here: None) -> AsyncIterator[Bot]:
    bot = Bot()
    async with running(bot):
        assert await bot.hears() == ["ready in 1"]
        yield bot


async def test_discord_py_becomes_ready_and_hears_messages(bot: Bot, gateway: Gateway, world: FakeWorld) -> None:
    await gateway.wait_ready(WAIT_S)
    world.say("hello")
    assert await bot.hears() == ["hello"]
    assert gateway.sessions[0].intents == QUIET_INTENTS


@pytest.mark.parametrize("code", [None, 1000, 1001, 4000, 4009])
async def test_discord_py_resumes_after_a_lost_connection_and_misses_nothing(
    bot: Bot, gateway: Gateway, world: FakeWorld, code: int | None
) -> None:
    world.say("before")
    assert await bot.hears() == ["before"]
    dropping = asyncio.create_task(gateway.drop(code))
    await gateway.wait_until(lambda: not gateway.sessions[0].connected, WAIT_S)
    world.say("meanwhile")
    await dropping
    assert sorted(await bot.hears(2)) == ["meanwhile", "resumed"]
    assert [session.resumed for session in gateway.sessions] == [1]


async def test_discord_py_resumes_when_it_is_asked_to_reconnect(bot: Bot, gateway: Gateway, world: FakeWorld) -> None:
    await gateway.request_reconnect()
    world.say("meanwhile")
    assert sorted(await bot.hears(2)) == ["meanwhile", "resumed"]


async def test_discord_py_identifies_again_after_an_invalid_session(
    bot: Bot, gateway: Gateway, world: FakeWorld
) -> None:
    await gateway.invalidate(resumable=False)
    assert await bot.hears() == ["ready in 1"]
    assert gateway.identifies == 2
    world.say("hello again")
    assert await bot.hears() == ["hello again"]


async def test_discord_py_resumes_a_session_that_is_invalid_for_a_moment(bot: Bot, gateway: Gateway) -> None:
    await gateway.invalidate(resumable=True)
    assert await bot.hears() == ["resumed"]
    assert gateway.identifies == 1


async def test_a_malformed_event_reaches_discord_py_as_it_is(bot: Bot, gateway: Gateway, world: FakeWorld) -> None:
    gateway.send_raw({"op": 0, "t": "NO_SUCH_EVENT", "s": 7, "d": None})
    gateway.send_raw('{"op": 11}')
    world.say("still there")
    assert await bot.hears() == ["still there"]


class ShardedBot(discord.AutoShardedClient):
    """Writes down the shard of each message; its shards identify without discord.py's pause of 5 s between them."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(int(QUIET_INTENTS)), shard_count=2, guild_ready_timeout=0.01)
        self.heard: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        pass

    async def on_message(self, message: discord.Message) -> None:
        shard_id = message.guild.shard_id if message.guild else 0
        self.heard.put_nowait((shard_id, message.content))


@pytest.mark.usefixtures("discord_py_comes_here")
async def test_a_sharded_discord_py_hears_each_server_and_resumes_each_shard(
    gateway: Gateway, world: FakeWorld
) -> None:
    world.guilds = [FakeGuild(4 << 22), FakeGuild(5 << 22)]
    sharded = ShardedBot()
    async with running(sharded), asyncio.timeout(WAIT_S):
        await gateway.wait_ready(WAIT_S, shards=2)
        await gateway.drop()
        await gateway.wait_until(lambda: all(session.resumed for session in gateway.sessions), WAIT_S)
        world.say("even", guild_id=4 << 22)
        world.say("odd", guild_id=5 << 22)
        assert {await sharded.heard.get(), await sharded.heard.get()} == {(0, "even"), (1, "odd")}


@pytest.mark.usefixtures("discord_py_comes_here")
async def test_discord_py_is_told_that_its_token_is_wrong() -> None:
    stranger = Bot()
    async with running(stranger, token="wrong") as task:
        with pytest.raises(discord.ConnectionClosed) as caught:
            await asyncio.wait_for(task, WAIT_S)
    assert caught.value.code == 4004
