"""Everything that can happen to a bot in its life, each as one deed done to a scene that is held at a stage."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sandbox.discord import events
from sandbox.discord.events import Event
from sandbox.discord.faults import Fault as Ordered
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.permissions import Permission
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stages import NO_TROUBLE, Trouble

Group = Literal["gateway", "rest", "place", "interaction", "api", "process"]
Strike = Callable[[Scene], Awaitable[None]]


async def _nothing(_: Scene) -> None:
    """The API's trouble is in its script."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`strike` is done while the stage is held, `follow` once it goes on. `complaints` are what the log may say of it
    as an error, beside nothing."""

    name: str
    group: Group
    strike: Strike = _nothing
    follow: Strike = _nothing
    trouble: Trouble = NO_TROUBLE
    environment: Mapping[str, str] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


# The gateway


def _gateway(name: str, deed: Callable[[Scene], Awaitable[None]]) -> Fault:
    return Fault(name=name, group="gateway", strike=deed, complaints=("Attempting a reconnect",))


async def _drop(scene: Scene) -> None:
    await scene.house.discord.gateway.drop()


async def _drop_with_code(scene: Scene) -> None:
    await scene.house.discord.gateway.drop(4000)


async def _op_7(scene: Scene) -> None:
    await scene.house.discord.gateway.request_reconnect()


async def _invalid_resumable(scene: Scene) -> None:
    await scene.house.discord.gateway.invalidate(resumable=True)


async def _invalid(scene: Scene) -> None:
    await scene.house.discord.gateway.invalidate(resumable=False)


async def _malformed(scene: Scene) -> None:
    gateway = scene.house.discord.gateway
    gateway.dispatch_raw("MESSAGE_CREATE", {"id": "1", "channel_id": "2", "author": 7})
    gateway.dispatch_raw("INTERACTION_CREATE", {"id": "1", "type": 2, "data": []})
    gateway.dispatch_raw("SOMETHING_NEW", None)
    gateway.send_raw({"op": 0, "t": "GUILD_CREATE"})
    gateway.send_raw([])


GATEWAY: Final = (
    _gateway("gateway drop", _drop),
    _gateway("gateway closed 4000", _drop_with_code),
    _gateway("op 7", _op_7),
    _gateway("invalid session, resumable", _invalid_resumable),
    _gateway("invalid session", _invalid),
    Fault(name="malformed payload", group="gateway", strike=_malformed, complaints=("a payload of the gateway",)),
)


# REST


def _rest(name: str, **fields: Any) -> Fault:
    """The next request to Discord, whatever it is about, and as many as `times` says."""

    async def strike(scene: Scene) -> None:
        scene.house.discord.faults.add(Ordered(**fields))

    return Fault(name=name, group="rest", strike=strike)


async def _change_bucket(scene: Scene) -> None:
    limits = scene.house.discord.limits
    limits.set_rule("interaction_webhook", bucket="another", limit=3, window_s=0.1)
    limits.set_rule("channel_message_edit", bucket="another still", limit=3, window_s=0.1)


async def _restore_bucket(scene: Scene) -> None:
    await scene.quiet()
    limits = scene.house.discord.limits
    limits.set_rule("interaction_webhook", bucket="", limit=50, window_s=1.0)
    limits.set_rule("channel_message_edit", bucket="", limit=50, window_s=1.0)


REST: Final = (
    _rest("500", status=500),
    _rest("500 four times", status=500, times=4),
    _rest("502 page", status=502, html=True),
    _rest("429", status=429, retry_after_s=0.05),
    _rest("429 without headers", status=429, headers=False, retry_after_s=0.05),
    _rest("global 429", status=429, global_=True, retry_after_s=0.05),
    _rest("dropped connection", drop=True),
    _rest("answer lost", drop=True, carried_out=True),
    _rest("slow", delay_s=0.05, times=3),
    Fault(name="bucket changed", group="rest", strike=_change_bucket, follow=_restore_bucket),
)


# Places and people


async def _forbid(scene: Scene) -> None:
    scene.channel.set_overwrite(
        scene.house.discord.world.bot,
        deny=Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.ATTACH_FILES,
    )


async def _delete_message(scene: Scene) -> None:
    """The bot's own: the newest that the asker sees."""
    message = next(each for each in reversed(scene.messages) if not each.deleted and _is_danas(scene, each))
    await scene.house.admin.delete(message)


def _is_danas(scene: Scene, message: Message) -> bool:
    return message.interaction is None or message.interaction.user is scene.house.dana.user


async def _delete_channel(scene: Scene) -> None:
    scene.channel.delete()


async def _leave_guild(scene: Scene) -> None:
    scene.house.discord.world.kick_bot(scene.house.guild)


async def _delete_role(scene: Scene) -> None:
    scene.house.guild.remove_role(scene.role)


async def _member_leaves(scene: Scene) -> None:
    scene.house.guild.leave(scene.house.dana.user)


PLACE: Final = (
    Fault(name="permission lost", group="place", strike=_forbid),
    Fault(name="message deleted", group="place", strike=_delete_message),
    Fault(name="channel deleted", group="place", strike=_delete_channel),
    Fault(name="guild left", group="place", strike=_leave_guild),
    Fault(name="role deleted", group="place", strike=_delete_role),
    Fault(name="member left", group="place", strike=_member_leaves),
)


# Interactions


async def deliver_again(scene: Scene) -> None:
    """Discord delivers what was asked once more."""
    key, door = next(reversed(scene.doors.items()))
    world = scene.house.discord.world
    if isinstance(door, Interaction):
        data, name = world.interaction_payload(door), events.INTERACTION_CREATE
        users = frozenset({world.bot.id})
        guild_id, channel_id = scene.house.guild.id, scene.channel.id
        world.emit(Event(name=name, data=data, guild_id=guild_id, channel_id=channel_id, user_ids=users))
    else:
        data = door.payload_for_bot() | {"guild_id": str(scene.house.guild.id)}
        scene.house.discord.gateway.dispatch_raw(events.MESSAGE_CREATE, data)
    assert key in scene.asked


async def _late_3_s(scene: Scene) -> None:
    scene.house.discord.clock.advance(3.5)


async def _late_15_min(scene: Scene) -> None:
    scene.house.discord.clock.advance(15 * 60 + 1)


INTERACTION: Final = (
    Fault(name="interaction twice", group="interaction", strike=deliver_again),
    Fault(name="3 s late", group="interaction", strike=_late_3_s),
    Fault(name="15 min late", group="interaction", strike=_late_15_min),
)


# The API


async def _open_circuit(scene: Scene) -> None:
    assert scene.house.bot is not None
    circuit = scene.house.bot.services.api.circuit
    while not circuit.is_open:
        circuit.failed(circuit.enter())


PAGE: Final = b"<html><body>Bad gateway</body></html>"
UNREACHABLE: Final = {"MINITOOLAI_API_URL": "http://127.0.0.1:9/api"}
IMPATIENT: Final = {"CHAT_FIRST_BYTE_TIMEOUT_S": "0.3", "CHAT_GAP_TIMEOUT_S": "0.3"}


def _api(name: str, **fields: Any) -> Fault:
    return Fault(name=name, group="api", trouble=Trouble(**fields))


API: Final = (
    Fault(name="API refuses connections", group="api", environment=UNREACHABLE),
    _api("API hangs up", chat={"hang_up": True}, turn={"hang_up": True}),
    _api("API 500", chat={"status": 500}, turn={"status": 500}),
    _api("API 429", chat={"status": 429}, turn={"status": 429}),
    _api("API page", chat={"status": 502, "error_body": PAGE}, turn={"status": 502, "body": PAGE}),
    _api("API page with 200", chat={"error_body": PAGE}, turn={"body": PAGE}),
    _api(
        "API breaks off",
        breaks="break_after",
        submit={"answer_lost": True},
        drawn={"url": "http://127.0.0.1:9/picture.png"},
        serve={"break_after": 10},
    ),
    _api(
        "API error object",
        breaks="error_after",
        submit={"refused": True},
        drawn={"error": "cannot draw that"},
        serve={"body": b"no picture at all"},
    ),
    Fault(name="API stalls", group="api", trouble=Trouble(breaks="stall_after"), environment=IMPATIENT),
    Fault(name="API outage", group="api", strike=_open_circuit),
)


# The process


async def _terminate(scene: Scene) -> None:
    scene.stopping = asyncio.create_task(scene.life.stop(), name="SIGTERM")
    while scene.house.bot is not None and not scene.house.bot.services.answers._closing:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def _terminated(scene: Scene) -> None:
    assert scene.stopping is not None
    await scene.stopping
    await scene.begin()


async def _kill(scene: Scene) -> None:
    await scene.life.kill(scene.unlock)


async def _begin(scene: Scene) -> None:
    await scene.begin()


async def _kill_and_lose(scene: Scene) -> None:
    """What was on the wire to Discord is lost with it."""
    await scene.life.kill(scene.unlock)
    scene.house.discord.faults.add(Ordered(drop=True, times=None))


async def _begin_anew(scene: Scene) -> None:
    await asyncio.sleep(0.01)  # what was held back has been dropped then
    scene.house.discord.faults.clear()
    await scene.begin()


PROCESS: Final = (
    Fault(name="SIGTERM", group="process", strike=_terminate, follow=_terminated),
    Fault(name="kill -9", group="process", strike=_kill, follow=_begin),
    Fault(name="kill -9, wire lost", group="process", strike=_kill_and_lose, follow=_begin_anew),
)
FAULTS: Final = (*GATEWAY, *REST, *PLACE, *INTERACTION, *API, *PROCESS)
