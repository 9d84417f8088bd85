"""What can be made to go wrong from the page, each by a name: in Discord, and where it is simulated, in MiniToolAI."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sandbox.discord.faults import Fault
from sandbox.discord.refusals import Json
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Turn
from sandbox.minitoolai.script import Script
from sandbox.minitoolai.server import MiniToolAIServer

PACE_S: Final = 0.02
"""Of the simulation's answers, a chunk: a human pace to read at."""
RETRY_AFTER_S: Final = 2.0
SLOW_S: Final = 2.0
CHUNKS_BEFORE_BREAK: Final = 12
PICTURE_S: Final = 3.0
SLOW_PICTURE_S: Final = 60.0
_LATER: Final = {"Retry-After": f"{RETRY_AFTER_S:g}"}


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What a fault is called and does: what it orders of Discord, how it changes an answer or a picture's order."""

    name: str
    label: str
    help: str
    discord: Callable[[], Fault] | None = None
    api: Callable[[Script], Script] | None = None
    picture: Callable[[PictureScript], PictureScript] | None = None


def _every_other() -> Callable[[str, str], bool]:
    """Of the requests, the second, the fourth and so on: what is tried again gets through."""
    seen = 0

    def matches(_: str, __: str) -> bool:
        nonlocal seen
        seen += 1
        return seen % 2 == 0

    return matches


_KINDS: Final = (
    _Kind(
        name="discord-429",
        label="Discord answers 429",
        help=f"Every other request is told to wait {RETRY_AFTER_S:g} seconds.",
        discord=lambda: Fault(status=429, retry_after_s=RETRY_AFTER_S, times=None, when=_every_other()),
    ),
    _Kind(
        name="discord-500",
        label="Discord answers 500",
        help="Every other request fails inside Discord.",
        discord=lambda: Fault(status=500, times=None, when=_every_other()),
    ),
    _Kind(
        name="discord-slow",
        label="Discord is slow",
        help=f"Each request takes {SLOW_S:g} seconds longer.",
        discord=lambda: Fault(delay_s=SLOW_S, times=None),
    ),
    _Kind(
        name="api-outage",
        label="MiniToolAI is down",
        help="Each request is answered 503.",
        api=lambda _: Script(status=503),
        picture=lambda script: replace(script, submit=Turn(status=503)),
    ),
    _Kind(
        name="api-429",
        label="MiniToolAI answers 429",
        help="Each request is told that there were too many.",
        api=lambda _: Script(status=429, headers=_LATER),
        picture=lambda script: replace(script, submit=Turn(status=429, headers=_LATER)),
    ),
    _Kind(
        name="api-broken",
        label="Streams break off",
        help="The connection is lost in the middle of each answer.",
        api=lambda script: replace(script, break_after=min(CHUNKS_BEFORE_BREAK, len(script.chunks()))),
    ),
    _Kind(
        name="api-slow",
        label="MiniToolAI is slow",
        help=f"Each answer begins {5 * SLOW_S:g} seconds late and comes at a fifth of the pace.",
        api=lambda script: replace(script, first_delay_s=5 * SLOW_S, chunk_delay_s=5 * PACE_S),
    ),
    _Kind(
        name="pictures-slow",
        label="Pictures are slow",
        help=f"Each picture takes {SLOW_PICTURE_S:g} seconds.",
        picture=lambda script: replace(script, ready_after_s=SLOW_PICTURE_S),
    ),
    _Kind(
        name="pictures-fail",
        label="Pictures fail",
        help="Each picture ends with an error, and costs nothing.",
        picture=lambda script: replace(script, error="The picture could not be made."),
    ),
)
GATEWAY_DROP: Final = "gateway-drop"


class Switches:
    """The faults and whether they are on; what nothing bends is answered by the simulation at a human pace."""

    def __init__(self, discord: DiscordServer, api: MiniToolAIServer | None) -> None:
        self._discord = discord
        self._kinds = {kind.name: kind for kind in _KINDS if api is not None or kind.discord is not None}
        self._ordered: dict[str, Fault] = {}
        self._hits = dict.fromkeys((*self._kinds, GATEWAY_DROP), 0)
        self._bending: list[_Kind] = []
        if api is not None:
            api.pace_s = PACE_S
            api.bend = self._bend
            api.picture_answer = self._picture

    def json(self) -> list[Json]:
        for name, fault in self._ordered.items():
            self._hits[name] = fault.hits
        on = {*self._ordered, *(kind.name for kind in self._bending)}
        listed = [
            {
                "name": kind.name,
                "label": kind.label,
                "help": kind.help,
                "on": kind.name in on,
                "momentary": False,
                "hits": self._hits[kind.name],
            }
            for kind in self._kinds.values()
        ]
        drop = {"name": GATEWAY_DROP, "label": "Drop the gateway", "help": "The bot's connection is cut, once."}
        return [*listed, drop | {"on": False, "momentary": True, "hits": self._hits[GATEWAY_DROP]}]

    async def switch(self, name: str, *, on: bool) -> None:
        """Raises KeyError for a name that is none."""
        if name == GATEWAY_DROP:
            if on:
                self._hits[name] += 1
                await self._discord.gateway.drop()
            return
        kind = self._kinds[name]
        if kind.discord is None:
            self._bending = [each for each in self._bending if each is not kind] + ([kind] if on else [])
            return
        self._ordered.pop(name, None)
        if on:
            self._ordered[name] = kind.discord()
            self._hits[name] = 0
        self._discord.faults.clear()
        for fault in self._ordered.values():
            self._discord.faults.add(fault)

    def _bend(self, script: Script) -> Script:
        for kind in self._bending:
            if kind.api is not None:
                self._hits[kind.name] += 1
                script = kind.api(script)
        return script

    def _picture(self, _: PictureOrder) -> PictureScript:
        script = PictureScript(ready_after_s=PICTURE_S)
        for kind in self._bending:
            if kind.picture is not None:
                self._hits[kind.name] += 1
                script = kind.picture(script)
        return script
