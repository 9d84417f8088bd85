"""The moments of a question and of a picture at which something can go wrong, each brought about and held there."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, overload

from sandbox.minitoolai.picture_script import PictureScript, Served, Turn
from sandbox.minitoolai.script import Script
from tests.e2e.house import has_button
from tests.e2e.matrix.scene import PICTURE, Scene

CALLBACK: Final = "/interactions/…/callback"
REPLY: Final = "…/messages/…"
BEGINNING: Final = "The treasure, @everyone, lies "
END: Final = "in Durango."
PATIENCE_S: Final = 20.0

Place = Literal["chat", "submit", "poll", "serve", "nothing"]
"""What the API is asked next, after a stage: a trouble of its can strike there and nowhere else."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with the API: fields of the script of an answer, and of the `Turn` or the rest about a picture."""

    chat: Mapping[str, Any] = field(default_factory=dict)
    turn: Mapping[str, Any] = field(default_factory=dict)
    submit: Mapping[str, Any] = field(default_factory=dict)
    drawn: Mapping[str, Any] = field(default_factory=dict)
    serve: Mapping[str, Any] = field(default_factory=dict)
    breaks: Literal["break_after", "error_after", "stall_after", None] = None


NO_TROUBLE: Final = Trouble()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`reach` brings a scene there, with the API's trouble to come. `next` is what the API is asked afterwards, and
    `written` says whether the reply shows something of its own already."""

    name: str
    kind: Literal["question", "mention", "picture"]
    reach: Callable[[Scene, Trouble], Awaitable[None]]
    next: Place
    there: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def _script(scene: Scene, trouble: Trouble, chunks: Sequence[str], *, at: int = 0, **fields: Any) -> Script:
    """An answer with the trouble after `at` chunks."""
    breaks = {} if trouble.breaks is None else {trouble.breaks: at}
    if trouble.breaks == "stall_after" and "gate" in fields:
        breaks = {"gate": asyncio.Event()}
    return Script([f"{chunks[0]} <@{scene.house.noam.user.id}> ", *chunks[1:]], **{**fields, **trouble.chat, **breaks})


# Questions


async def _ask_unacknowledged(scene: Scene, trouble: Trouble) -> None:
    scene.chat = _script(scene, trouble, (BEGINNING, END))
    hold = scene.hold("POST", CALLBACK)
    await scene.ask()
    await scene.reached(hold)


async def _ask_acknowledged(scene: Scene, trouble: Trouble) -> None:
    scene.chat = _script(scene, trouble, (BEGINNING, END))
    hold = scene.hold("POST", CALLBACK, answered=True)
    await scene.ask()
    await scene.reached(hold)


Begin = Callable[[Scene], Awaitable[object]]


def _held(begin: Begin) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, trouble: Trouble) -> None:
        scene.chat = _script(scene, trouble, (BEGINNING, END), first_gate=scene.gate())
        await begin(scene)
        await _until(lambda: bool(scene.requests))

    return reach


def _asked(begin: Begin) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, trouble: Trouble) -> None:
        scene.chat = _script(scene, trouble, (BEGINNING, END), gate=scene.gate(), stall_after=0)
        await begin(scene)
        await _until(lambda: bool(scene.requests) and scene.requests[0].status == 200)

    return reach


def _streaming(begin: Begin) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, trouble: Trouble) -> None:
        scene.chat = _script(scene, trouble, (BEGINNING, END), at=1, gate=scene.gate(), stall_after=1)
        await begin(scene)
        await scene.shown(lambda message: "The treasure" in message.content, "the first words")

    return reach


def _first_edit(begin: Begin, method: str) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, trouble: Trouble) -> None:
        scene.chat = _script(scene, trouble, (BEGINNING, END), at=2)
        hold = scene.hold(method, REPLY if method == "PATCH" else "/channels/…/messages")
        await begin(scene)
        await scene.reached(hold)

    return reach


def _all_shown(begin: Begin) -> Callable[[Scene], Awaitable[asyncio.Event]]:
    """Every word is shown, and the API has not said yet that it was the last."""

    async def reach(scene: Scene) -> asyncio.Event:
        gate = asyncio.Event()
        scene.chat = _script(scene, NO_TROUBLE, (BEGINNING + END,), gate=gate, stall_after=1)
        await begin(scene)
        await scene.shown(lambda message: END in message.content, "all words")
        return gate

    return reach


def _settling(begin: Begin) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, _: Trouble) -> None:
        gate = await _all_shown(begin)(scene)
        scene.lock_database()
        gate.set()
        await scene.requests[0].ended.wait()
        await asyncio.sleep(0.01)  # a write that waits for a lock of somebody else's announces nothing

    return reach


def _last_edit(begin: Begin, *, answered: bool) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, _: Trouble) -> None:
        gate = await _all_shown(begin)(scene)
        hold = scene.hold("PATCH", REPLY, answered=answered)
        gate.set()
        await scene.reached(hold)

    return reach


async def _ask_anew(scene: Scene, trouble: Trouble) -> None:
    """It has ended; the fault comes, and then somebody presses Regenerate."""
    scene.chat = _script(scene, NO_TROUBLE, (BEGINNING, END))
    await scene.ask()
    message = await scene.ended("Regenerate")
    await scene.quiet()
    scene.chat = _script(scene, trouble, (BEGINNING, END))
    scene.afterwards = lambda: scene.press(message, "Regenerate", kind="chat")


async def _until(holds_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds_true():  # noqa: ASYNC110 - the API and the database announce nothing
            await asyncio.sleep(0.001)


def _question(name: str, reach: Callable[[Scene, Trouble], Awaitable[None]], **fields: Any) -> Stage:
    return Stage(name=name, kind="question", reach=reach, **{"next": "chat", **fields})


def _mention(name: str, reach: Callable[[Scene, Trouble], Awaitable[None]], **fields: Any) -> Stage:
    return Stage(name=name, kind="mention", reach=reach, **{"next": "chat", **fields})


QUESTIONS: Final = (
    _question("unacknowledged", _ask_unacknowledged, there=False),
    _question("acknowledged", _ask_acknowledged),
    _question("held", _held(Scene.ask)),
    _question("asked", _asked(Scene.ask)),
    _question("first edit", _first_edit(Scene.ask, "PATCH"), next="nothing"),
    _question("streaming", _streaming(Scene.ask)),
    _question("settling", _settling(Scene.ask), next="nothing"),
    _question("last edit", _last_edit(Scene.ask, answered=False), next="nothing"),
    _question("last edit unanswered", _last_edit(Scene.ask, answered=True), next="nothing"),
    _question("ended", _ask_anew),
)
MENTIONS: Final = (
    _mention("held", _held(Scene.mention), there=False),
    _mention("asked", _asked(Scene.mention), there=False),
    _mention("first edit", _first_edit(Scene.mention, "POST"), next="nothing", there=False),
    _mention("streaming", _streaming(Scene.mention)),
    _mention("last edit", _last_edit(Scene.mention, answered=False), next="nothing"),
)


# Pictures


class Turns(Sequence[Turn]):
    """How the coming questions about a job are answered: what is queued, then as documented."""

    def __init__(self, *turns: Turn) -> None:
        self.queue = deque(turns)

    def __len__(self) -> int:
        return 1 << 30

    @overload
    def __getitem__(self, number: int) -> Turn: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Turn]: ...
    def __getitem__(self, number: int | slice) -> Turn | Sequence[Turn]:
        return self.queue.popleft() if self.queue else Turn()


SERVES: Final = Served(body=PICTURE)


def _drawing(scene: Scene, trouble: Trouble, place: Place, **fields: Any) -> PictureScript:
    """A job with the trouble at that place."""
    match place:
        case "submit":
            return PictureScript(serves=SERVES, submit=Turn(**{**fields, **trouble.turn}), **trouble.submit)
        case "poll":
            return PictureScript(serves=SERVES, polls=Turns(Turn(**{**fields, **trouble.turn})), **trouble.drawn)
        case _:
            serves = replace(SERVES, turn=Turn(**{**fields, **trouble.turn}), **trouble.serve)
            return PictureScript(serves=serves)


async def _order_unacknowledged(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = _drawing(scene, trouble, "submit")
    hold = scene.hold("POST", CALLBACK)
    await scene.order()
    await scene.reached(hold)


async def _order_acknowledged(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = _drawing(scene, trouble, "submit")
    hold = scene.hold("POST", CALLBACK, answered=True)
    await scene.order()
    await scene.reached(hold)


async def _in_line(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = PictureScript(serves=SERVES, gate=scene.gate())
    await scene.order(by=scene.house.noam)
    await _until(lambda: bool(scene.orders))
    scene.drawing = _drawing(scene, trouble, "submit")
    await scene.order()
    await scene.shown(lambda message: "in line" in message.content, "a place in line")


async def _submitting(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = _drawing(scene, trouble, "submit", gate=scene.gate())
    await scene.order()
    await _until(lambda: bool(scene.orders))
    await _progress_shown(scene)


async def _polling(scene: Scene, trouble: Trouble) -> None:
    """The job is not done, and was asked for more than once."""
    gate, turns = scene.gate(), Turns()
    scene.drawing = PictureScript(serves=SERVES, gate=gate, polls=turns, **trouble.drawn)
    await scene.order()
    await _until(lambda: bool(scene.orders) and scene.orders[0].polls > 1)
    await _progress_shown(scene)
    if trouble.turn:
        turns.queue.append(Turn(**trouble.turn))


async def _ready(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = _drawing(scene, trouble, "poll", gate=scene.gate())
    await scene.order()
    await _until(lambda: bool(scene.orders) and scene.orders[0].polls > 0)
    await _progress_shown(scene)


async def _downloading(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = _drawing(scene, trouble, "serve", gate=scene.gate())
    await scene.order()
    await _until(lambda: bool(scene.orders) and bool(scene.orders[0].downloaded_at))
    await _progress_shown(scene)


def _uploading(*, answered: bool) -> Callable[[Scene, Trouble], Awaitable[None]]:
    async def reach(scene: Scene, _: Trouble) -> None:
        gate = asyncio.Event()
        scene.drawing = _drawing(scene, NO_TROUBLE, "serve", gate=gate)
        await scene.order()
        await _until(lambda: bool(scene.orders) and bool(scene.orders[0].downloaded_at))
        await _progress_shown(scene)
        hold = scene.hold("PATCH", REPLY, answered=answered)
        gate.set()
        await scene.reached(hold)

    return reach


async def _order_anew(scene: Scene, trouble: Trouble) -> None:
    scene.drawing = PictureScript(serves=SERVES)
    await scene.order()
    message = await scene.ended("Again")
    await scene.quiet()
    scene.drawing = _drawing(scene, trouble, "submit")
    scene.afterwards = lambda: scene.press(message, "Again", kind="image")


async def _progress_shown(scene: Scene) -> None:
    await scene.shown(lambda message: has_button(message, "Cancel"), "progress")


def _picture(name: str, reach: Callable[[Scene, Trouble], Awaitable[None]], **fields: Any) -> Stage:
    return Stage(name=name, kind="picture", reach=reach, **{"next": "submit", **fields})


PICTURES: Final = (
    _picture("unacknowledged", _order_unacknowledged, there=False),
    _picture("acknowledged", _order_acknowledged),
    _picture("in line", _in_line, environment={"PICTURE_ORDERS_OPEN": "1"}),
    _picture("submitting", _submitting),
    _picture("polling", _polling, next="poll"),
    _picture("ready", _ready, next="poll"),
    _picture("downloading", _downloading, next="serve"),
    _picture("uploading", _uploading(answered=False), next="nothing"),
    _picture("uploaded unanswered", _uploading(answered=True), next="nothing"),
    _picture("ended", _order_anew),
)
STAGES: Final = (*QUESTIONS, *MENTIONS, *PICTURES)
