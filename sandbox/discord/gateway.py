"""Discord's gateway v10 on loopback: sessions that identify, receive what their intents allow, and resume.

Opcodes, close codes and intents: https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway and
https://discord.com/developers/docs/events/gateway. Where a client breaks a rule, it gets Discord's close code.
"""

import asyncio
import importlib
import secrets
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import WSMsgType, web

from sandbox.discord.events import Event, GatewaySource, without_content

EVENTS_KEPT: Final = 4_096
"""A session replays at most this many events; a client that missed more has to identify again."""

FRAMES_QUEUED_MAX: Final = 2 * EVENTS_KEPT
"""A client that leaves this many frames unread is cut off. READY with the 2,500 servers of a shard fits."""

SESSIONS_KEPT: Final = 64
RESUMABLE_FOR_S: Final = 300.0
GUILDS_PER_SHARD_MAX: Final = 2_500
PAYLOAD_BYTES_MAX: Final = 4_096
COMMANDS_MAX: Final = 120
COMMANDS_WINDOW_S: Final = 60.0
IDENTIFY_WINDOW_S: Final = 5.0
IDENTIFIES_A_DAY: Final = 1_000
HEARTBEATS_MISSED_MAX: Final = 2
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
ACKNOWLEDGED_AFTER_S: Final = 0.01
"""Discord is never so near that an acknowledgement is there at once; discord.py, which notes when it sent a heartbeat
only after that was sent, would then measure from the one before, and find a latency of 41 s."""
_GRAIN_S: Final = 0.05


class Op(IntEnum):
    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE_UPDATE = 3
    VOICE_STATE_UPDATE = 4
    RESUME = 6
    RECONNECT = 7
    REQUEST_GUILD_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11
    REQUEST_SOUNDBOARD_SOUNDS = 31


class CloseCode(IntEnum):
    GOING_AWAY = 1001
    UNKNOWN_ERROR = 4000
    UNKNOWN_OPCODE = 4001
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    RATE_LIMITED = 4008
    SESSION_TIMED_OUT = 4009
    INVALID_SHARD = 4010
    SHARDING_REQUIRED = 4011
    INVALID_API_VERSION = 4012
    INVALID_INTENTS = 4013
    DISALLOWED_INTENTS = 4014


class Intent(IntFlag):
    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_MODERATION = 1 << 2
    GUILD_EXPRESSIONS = 1 << 3
    GUILD_INTEGRATIONS = 1 << 4
    GUILD_WEBHOOKS = 1 << 5
    GUILD_INVITES = 1 << 6
    GUILD_VOICE_STATES = 1 << 7
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    GUILD_MESSAGE_TYPING = 1 << 11
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    DIRECT_MESSAGE_TYPING = 1 << 14
    MESSAGE_CONTENT = 1 << 15
    GUILD_SCHEDULED_EVENTS = 1 << 16
    AUTO_MODERATION_CONFIGURATION = 1 << 20
    AUTO_MODERATION_EXECUTION = 1 << 21
    GUILD_MESSAGE_POLLS = 1 << 24
    DIRECT_MESSAGE_POLLS = 1 << 25


_ALL_INTENTS: Final = sum(Intent)

_GRANTING_FLAGS: Final = {
    Intent.GUILD_PRESENCES: 1 << 12 | 1 << 13,
    Intent.GUILD_MEMBERS: 1 << 14 | 1 << 15,
    Intent.MESSAGE_CONTENT: 1 << 18 | 1 << 19,
}
"""The application flags, full and limited, that grant a privileged intent."""

_INTENT_BY_PREFIX: Final[tuple[tuple[str, Intent, Intent], ...]] = (
    ("MESSAGE_REACTION_", Intent.GUILD_MESSAGE_REACTIONS, Intent.DIRECT_MESSAGE_REACTIONS),
    ("MESSAGE_POLL_", Intent.GUILD_MESSAGE_POLLS, Intent.DIRECT_MESSAGE_POLLS),
    ("MESSAGE_", Intent.GUILD_MESSAGES, Intent.DIRECT_MESSAGES),
    ("TYPING_", Intent.GUILD_MESSAGE_TYPING, Intent.DIRECT_MESSAGE_TYPING),
    ("CHANNEL_PINS_", Intent.GUILDS, Intent.DIRECT_MESSAGES),
    ("PRESENCE_", Intent.GUILD_PRESENCES, Intent.GUILD_PRESENCES),
    ("GUILD_MEMBERS_CHUNK", Intent(0), Intent(0)),
    ("GUILD_MEMBER_", Intent.GUILD_MEMBERS, Intent.GUILD_MEMBERS),
    ("GUILD_BAN_", Intent.GUILD_MODERATION, Intent.GUILD_MODERATION),
    ("GUILD_AUDIT_", Intent.GUILD_MODERATION, Intent.GUILD_MODERATION),
    ("GUILD_EMOJIS_", Intent.GUILD_EXPRESSIONS, Intent.GUILD_EXPRESSIONS),
    ("GUILD_STICKERS_", Intent.GUILD_EXPRESSIONS, Intent.GUILD_EXPRESSIONS),
    ("GUILD_SOUNDBOARD_", Intent.GUILD_EXPRESSIONS, Intent.GUILD_EXPRESSIONS),
    ("GUILD_INTEGRATIONS_", Intent.GUILD_INTEGRATIONS, Intent.GUILD_INTEGRATIONS),
    ("INTEGRATION_", Intent.GUILD_INTEGRATIONS, Intent.GUILD_INTEGRATIONS),
    ("WEBHOOKS_", Intent.GUILD_WEBHOOKS, Intent.GUILD_WEBHOOKS),
    ("INVITE_", Intent.GUILD_INVITES, Intent.GUILD_INVITES),
    ("VOICE_STATE_", Intent.GUILD_VOICE_STATES, Intent.GUILD_VOICE_STATES),
    ("GUILD_SCHEDULED_EVENT_", Intent.GUILD_SCHEDULED_EVENTS, Intent.GUILD_SCHEDULED_EVENTS),
    ("AUTO_MODERATION_RULE_", Intent.AUTO_MODERATION_CONFIGURATION, Intent.AUTO_MODERATION_CONFIGURATION),
    ("AUTO_MODERATION_ACTION_", Intent.AUTO_MODERATION_EXECUTION, Intent.AUTO_MODERATION_EXECUTION),
    ("GUILD_", Intent.GUILDS, Intent.GUILDS),
    ("CHANNEL_", Intent.GUILDS, Intent.GUILDS),
    ("THREAD_", Intent.GUILDS, Intent.GUILDS),
    ("STAGE_INSTANCE_", Intent.GUILDS, Intent.GUILDS),
)
"""Which intent an event needs, in a server and in direct messages; the first prefix decides, no prefix needs none."""


@lru_cache(maxsize=256)
def intent_for(event_name: str, *, in_guild: bool) -> Intent:
    """The intent that `event_name` needs there, or no intent at all, as for interactions."""
    for prefix, guild, direct in _INTENT_BY_PREFIX:
        if event_name.startswith(prefix):
            return guild if in_guild else direct
    return Intent(0)


_CLIENT_COMMANDS: Final = frozenset(
    {Op.PRESENCE_UPDATE, Op.VOICE_STATE_UPDATE, Op.REQUEST_GUILD_MEMBERS, Op.REQUEST_SOUNDBOARD_SOUNDS}
)


class _Break(Exception):
    """The client broke a rule: its socket is closed with `code`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_Encoder: TypeAlias = Callable[[bytes], str | bytes]
"""Turns a payload into a frame: text or bytes."""


def _plain() -> _Encoder:
    return lambda payload: payload.decode(errors="replace")


def _zlib_stream() -> _Encoder:
    stream = zlib.compressobj()
    return lambda payload: stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)


def _zstd_stream() -> _Encoder:
    """With what discord.py would use: the zstandard package, else Python 3.14's own module.

    Raises ModuleNotFoundError where there is neither; then no client here asks for it.
    """
    try:
        zstandard = importlib.import_module("zstandard")
    except ModuleNotFoundError:
        stream = importlib.import_module("compression.zstd").ZstdCompressor()
        return lambda payload: bytes(stream.compress(payload, mode=stream.FLUSH_BLOCK))
    stream = zstandard.ZstdCompressor().compressobj()
    return lambda payload: bytes(stream.compress(payload) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))


_ENCODERS: Final[Mapping[str, Callable[[], _Encoder]]] = {
    "": _plain,
    "zlib-stream": _zlib_stream,
    "zstd-stream": _zstd_stream,
}


@dataclass(slots=True)
class _Commands:
    """A client's commands in the current window."""

    opened_s: float = float("-inf")
    count: int = 0

    def admit(self, now_s: float) -> bool:
        if now_s - self.opened_s >= COMMANDS_WINDOW_S:
            self.opened_s, self.count = now_s, 0
        self.count += 1
        return self.count <= COMMANDS_MAX


class _Connection:
    """One socket. Frames are queued and written by a task of its own, so that no listener ever waits for a client."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, encode: _Encoder) -> None:
        self._socket = socket
        self._transport = transport
        self._encode = encode
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(FRAMES_QUEUED_MAX)
        self.session: GatewaySession | None = None
        self.clients_close_code: int | None = None
        self.commands = _Commands()
        self.retired = False
        """Told to go: nothing it still says counts."""

    def send(self, op: Op, data: Any = None) -> None:
        self.send_frame(orjson.dumps({"op": op, "d": data, "s": None, "t": None}))

    def send_frame(self, payload: bytes) -> None:
        try:
            self._frames.put_nowait(payload)
        except asyncio.QueueFull:
            self.abort()

    async def write(self) -> None:
        """Write queued frames until the socket fails or the task is cancelled."""
        try:
            while True:
                frame = self._encode(await self._frames.get())
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    if isinstance(frame, str):
                        await self._socket.send_str(frame)
                    else:
                        await self._socket.send_bytes(frame)
        except (ConnectionError, TimeoutError):
            self.abort()

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next payload, or None when the client has gone. Raises TimeoutError."""
        message = await self._socket.receive(timeout=timeout_s)
        if message.type is WSMsgType.CLOSE:
            # The socket itself forgets this code if the client is gone before our half of the closing.
            self.clients_close_code = message.data
        if message.type is WSMsgType.TEXT:
            return str(message.data).encode()
        return bytes(message.data) if message.type is WSMsgType.BINARY else None

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Cut the connection as a broken network would: without a close frame."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(slots=True)
class GatewaySession:
    """What Discord remembers of a client between its sockets. `resumed` counts resumes, `replayed` events."""

    id: str
    intents: Intent
    shard_id: int
    shard_count: int
    sequence: int = 0
    resumed: int = 0
    replayed: int = 0
    connection: _Connection | None = None
    detached_s: float = 0.0
    _events: deque[tuple[int, bytes]] = field(default_factory=deque)
    _last_lost: int = 0

    @property
    def connected(self) -> bool:
        return self.connection is not None

    def serves(self, guild_id: int | None) -> bool:
        """Whether the server, or None for direct messages, is this shard's business."""
        return ((guild_id or 0) >> 22) % self.shard_count == self.shard_id

    def wants(self, event: Event) -> bool:
        needed = intent_for(event.name, in_guild=event.guild_id is not None)
        return self.serves(event.guild_id) and (not needed or bool(self.intents & needed))

    def dispatch(self, name: str, data: Mapping[str, Any], *, keep: bool = True) -> None:
        """Send an event, now or when the client resumes; what is not kept is never replayed."""
        self.sequence += 1
        frame = orjson.dumps({"op": Op.DISPATCH, "t": name, "s": self.sequence, "d": data})
        if keep:
            self._events.append((self.sequence, frame))
        if len(self._events) > EVENTS_KEPT:
            self._last_lost, _ = self._events.popleft()
        if self.connection is not None:
            self.connection.send_frame(frame)

    def can_resume_after(self, sequence: int) -> bool:
        return self._last_lost <= sequence <= self.sequence

    def resume(self, connection: _Connection, sequence: int) -> None:
        self.connection = connection
        self.resumed += 1
        for number, frame in self._events:
            if number > sequence:
                self.replayed += 1
                connection.send_frame(frame)
        self.dispatch("RESUMED", {"_trace": ["sandbox"]}, keep=False)


class Gateway:
    """The gateway's sessions and sockets, and the faults that tests ask for.

    `url` (ws://…) is what READY names for resuming; whoever serves `handle` sets it before the first client comes.
    `application_flags` say which privileged intents are granted. With `acknowledges_heartbeats` off, clients see a
    connection that has gone silent. `clock` gives seconds and times heartbeats, identifies and expiry; it is not the
    world's clock, which tests set forward: every client would seem silent then.
    """

    def __init__(self, world: GatewaySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._world = world
        self._clock = clock
        self.url = ""
        self.application_flags = 0
        self.heartbeat_interval_s = 41.25
        self.max_concurrency = 1
        self.acknowledges_heartbeats = True
        self.identifies = 0
        self.hasty_identifies = 0
        self._identified_s: dict[int, float] = {}
        self._sessions: dict[str, GatewaySession] = {}
        self._connections: set[_Connection] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        world.listeners.append(self._on_event)

    @property
    def sessions(self) -> list[GatewaySession]:
        """The sessions that are connected or can be resumed, oldest first."""
        return list(self._sessions.values())

    def session_start_limit(self) -> dict[str, int]:
        """As `GET /gateway/bot` reports it."""
        return {
            "total": IDENTIFIES_A_DAY,
            "remaining": max(0, IDENTIFIES_A_DAY - self.identifies),
            "reset_after": 86_400_000,
            "max_concurrency": self.max_concurrency,
        }

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until a change of the sessions makes `condition` true. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

    async def wait_ready(self, timeout_s: float, *, shards: int = 1) -> None:
        """Wait until `shards` sessions are connected and were sent all of READY. Raises TimeoutError."""
        await self.wait_until(lambda: sum(session.connected for session in self.sessions) >= shards, timeout_s)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket until either side closes it."""
        try:
            encoder = _ENCODERS[request.query.get("compress", "")]()
        except (KeyError, ModuleNotFoundError):
            raise web.HTTPBadRequest(reason="Unknown compression") from None
        socket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = _Connection(socket, request.transport, encoder)
        self._connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            await self._converse(connection, request.query)
        except _Break as broken:
            await connection.close(broken.code, broken.reason)
        finally:
            self._connections.discard(connection)
            self._detach(connection)
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        return socket

    async def close(self) -> None:
        """Tell every client that the server goes away, and listen to the world no longer."""
        with suppress(ValueError):
            self._world.listeners.remove(self._on_event)
        await self.drop(CloseCode.GOING_AWAY)
        self._sessions.clear()

    # Faults.

    async def drop(self, code: int | None = None) -> None:
        """Close every socket with `code`, or cut it without a close frame. Sessions stay resumable."""
        connections = list(self._connections)
        for connection in connections:
            self._detach(connection)
            if code is None:
                connection.abort()
        if code is not None:
            await asyncio.gather(*(connection.close(code) for connection in connections))

    async def request_reconnect(self) -> None:
        """Op 7: clients close their sockets and resume."""
        for connection in list(self._connections):
            self._detach(connection)
            connection.send(Op.RECONNECT)
            connection.retired = True

    async def invalidate(self, *, resumable: bool) -> None:
        """Op 9: clients resume if they may, else they identify anew."""
        for connection in list(self._connections):
            session = connection.session
            self._detach(connection)
            if session is not None and not resumable:
                self._sessions.pop(session.id, None)
            connection.send(Op.INVALID_SESSION, resumable)
            connection.retired = True

    def send_raw(self, payload: Any) -> None:
        """Send every client `payload` as it is: bytes and text unchanged, anything else as JSON."""
        frame = payload.encode() if isinstance(payload, str) else payload
        for connection in list(self._connections):
            connection.send_frame(frame if isinstance(frame, bytes) else orjson.dumps(frame))

    def dispatch_raw(self, name: str, data: Any) -> None:
        """Dispatch `data` to every session, whatever its intents, with a sequence number as an event has it."""
        for session in self.sessions:
            session.dispatch(name, data)

    # From the world.

    def _on_event(self, event: Event) -> None:
        if not self._world.bot_receives(event):
            return
        for session in self.sessions:
            if session.wants(event):
                hide = event.needs_content_intent and not session.intents & Intent.MESSAGE_CONTENT
                session.dispatch(event.name, without_content(event.data) if hide else event.data)

    # From clients.

    async def _converse(self, connection: _Connection, query: Mapping[str, str]) -> None:
        if query.get("v") != "10":
            raise _Break(CloseCode.INVALID_API_VERSION, "Invalid API version.")
        if query.get("encoding", "json") != "json":
            raise _Break(CloseCode.DECODE_ERROR, "Only JSON is spoken here.")
        interval_ms = round(self.heartbeat_interval_s * 1000)
        connection.send(Op.HELLO, {"heartbeat_interval": interval_ms, "_trace": ["sandbox"]})
        due_s = self._next_heartbeat_s()
        while True:
            try:
                payload = await connection.receive(max(_GRAIN_S, due_s - self._clock()))
            except TimeoutError:
                if self._clock() >= due_s:
                    raise _Break(CloseCode.SESSION_TIMED_OUT, "Session timed out.") from None
                continue
            if payload is None:
                self._forget_if_finished(connection)
                return
            op, data = _decode(payload)
            if not connection.commands.admit(self._clock()):
                raise _Break(CloseCode.RATE_LIMITED, "You are being rate limited.")
            if op is Op.HEARTBEAT:
                due_s = self._next_heartbeat_s()
            if not connection.retired:
                self._obey(connection, op, data)

    def _next_heartbeat_s(self) -> float:
        return self._clock() + HEARTBEATS_MISSED_MAX * self.heartbeat_interval_s

    def _obey(self, connection: _Connection, op: Op, data: Any) -> None:
        if op is Op.HEARTBEAT:
            if self.acknowledges_heartbeats:
                loop = asyncio.get_running_loop()
                loop.call_later(ACKNOWLEDGED_AFTER_S, connection.send, Op.HEARTBEAT_ACK)
        elif op in (Op.IDENTIFY, Op.RESUME):
            if connection.session is not None:
                raise _Break(CloseCode.ALREADY_AUTHENTICATED, "Already authenticated.")
            if not isinstance(data, dict):
                raise _Break(CloseCode.DECODE_ERROR, "Error while decoding payload.")
            self._authenticate(data)
            (self._identify if op is Op.IDENTIFY else self._resume)(connection, data)
        elif op not in _CLIENT_COMMANDS:
            raise _Break(CloseCode.UNKNOWN_OPCODE, "Unknown opcode.")
        elif connection.session is None:
            raise _Break(CloseCode.NOT_AUTHENTICATED, "Not authenticated.")
        elif op is Op.REQUEST_GUILD_MEMBERS:
            self._send_members(connection.session, data)
        # What is left, presence, voice and soundboards, is heard and changes nothing here.

    def _authenticate(self, data: Mapping[str, Any]) -> None:
        token = str(data.get("token", "")).removeprefix("Bot ")
        if not secrets.compare_digest(token.encode(), self._world.bot_token.encode()):
            raise _Break(CloseCode.AUTHENTICATION_FAILED, "Authentication failed.")

    def _identify(self, connection: _Connection, data: Mapping[str, Any]) -> None:
        intents = self._granted_intents(data.get("intents"))
        shard_id, shard_count = _shard(data.get("shard", [0, 1]))
        self._pace(shard_id)
        session = GatewaySession(
            id=secrets.token_hex(16),
            intents=intents,
            shard_id=shard_id,
            shard_count=shard_count,
        )
        guilds = [guild for guild in self._world.guilds_of_bot() if session.serves(guild.id)]
        if len(guilds) > GUILDS_PER_SHARD_MAX:
            raise _Break(CloseCode.SHARDING_REQUIRED, "Sharding required.")
        self._remember(session)
        self._attach(connection, session)
        session.dispatch("READY", self._ready(session, guilds, sharded="shard" in data))
        if intents & Intent.GUILDS:
            for guild in guilds:
                session.dispatch("GUILD_CREATE", self._world.guild_create_payload(guild))
        self._announce()

    def _ready(self, session: GatewaySession, guilds: list[Any], *, sharded: bool) -> dict[str, Any]:
        ready = {
            "v": 10,
            "user_settings": {},
            "user": self._world.ready_user(),
            "session_type": "normal",
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "relationships": [],
            "private_channels": [],
            "presences": [],
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "application": {"id": str(self._world.application_id), "flags": self.application_flags},
            "_trace": ["sandbox"],
        }
        return ready | {"shard": [session.shard_id, session.shard_count]} if sharded else ready

    def _resume(self, connection: _Connection, data: Mapping[str, Any]) -> None:
        self._forget_expired()
        session = self._sessions.get(str(data.get("session_id")))
        sequence = data.get("seq")
        if session is None or not isinstance(sequence, int) or not session.can_resume_after(sequence):
            connection.send(Op.INVALID_SESSION, False)
            return
        if session.connection is not None:
            # The client noticed the loss of its old socket before we did.
            session.connection.abort()
            self._detach(session.connection)
        self._attach(connection, session)
        session.resume(connection, sequence)
        self._announce()

    def _granted_intents(self, number: Any) -> Intent:
        if not isinstance(number, int) or number < 0 or number & ~_ALL_INTENTS:
            raise _Break(CloseCode.INVALID_INTENTS, "Invalid intent(s).")
        intents = Intent(number)
        for privileged, flags in _GRANTING_FLAGS.items():
            if intents & privileged and not self.application_flags & flags:
                raise _Break(CloseCode.DISALLOWED_INTENTS, "Disallowed intent(s).")
        return intents

    def _pace(self, shard_id: int) -> None:
        """Count identifies that come before their 5 s are over; they are let through so that tests stay quick."""
        key = shard_id % self.max_concurrency
        now_s = self._clock()
        self.identifies += 1
        self.hasty_identifies += now_s - self._identified_s.get(key, -IDENTIFY_WINDOW_S) < IDENTIFY_WINDOW_S
        self._identified_s[key] = now_s

    def _send_members(self, session: GatewaySession, data: Any) -> None:
        """One chunk with the members that are asked for, by id or by the beginning of their name."""
        if not isinstance(data, dict):
            raise _Break(CloseCode.DECODE_ERROR, "Error while decoding payload.")
        guild = next((guild for guild in self._world.guilds_of_bot() if str(guild.id) == str(data["guild_id"])), None)
        if guild is None:
            return
        wanted = data.get("user_ids", [])
        ids = {str(user_id) for user_id in (wanted if isinstance(wanted, list) else [wanted])}
        members = [
            member
            for member in self._world.guild_create_payload(guild).get("members", [])
            if (member["user"]["id"] in ids if ids else member["user"]["username"].startswith(data.get("query", "")))
        ]
        found = {member["user"]["id"] for member in members}
        chunk = {
            "guild_id": str(guild.id),
            "members": members[: data.get("limit") or None],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": sorted(ids - found),
        }
        session.dispatch("GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if "nonce" in data else {}))

    # Sessions.

    def _attach(self, connection: _Connection, session: GatewaySession) -> None:
        connection.session = session
        session.connection = connection

    def _detach(self, connection: _Connection) -> None:
        session, connection.session = connection.session, None
        if session is not None and session.connection is connection:
            session.connection = None
            session.detached_s = self._clock()
            self._announce()

    def _remember(self, session: GatewaySession) -> None:
        self._forget_expired()
        while len(self._sessions) >= SESSIONS_KEPT:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[session.id] = session

    def _forget_expired(self) -> None:
        oldest_s = self._clock() - RESUMABLE_FOR_S
        for session in self.sessions:
            if not session.connected and session.detached_s < oldest_s:
                del self._sessions[session.id]

    def _forget_if_finished(self, connection: _Connection) -> None:
        """A client that closes with 1000 or 1001 does not come back for its session."""
        if connection.session is not None and connection.clients_close_code in (1000, 1001):
            self._sessions.pop(connection.session.id, None)

    def _announce(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _decode(payload: bytes) -> tuple[Op, Any]:
    """The opcode and data of a client's payload."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise _Break(CloseCode.DECODE_ERROR, "Payload too large.")
    try:
        decoded = orjson.loads(payload)
        number, data = decoded["op"], decoded.get("d")
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        raise _Break(CloseCode.DECODE_ERROR, "Error while decoding payload.") from None
    try:
        return Op(number), data
    except ValueError:
        raise _Break(CloseCode.UNKNOWN_OPCODE, "Unknown opcode.") from None


def _shard(value: Any) -> tuple[int, int]:
    match value:
        case [int(shard_id), int(shard_count)] if 0 <= shard_id < shard_count:
            return shard_id, shard_count
    raise _Break(CloseCode.INVALID_SHARD, "Invalid shard.")
