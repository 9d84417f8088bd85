"""What went between the bot, Discord and MiniToolAI: the newest of it, by its outside alone.

Kept are method, route template, status and duration. Addresses, headers and bodies hold tokens and what people wrote;
none of that is kept.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from sandbox.discord.events import Event
from sandbox.discord.refusals import Json
from sandbox.discord.rest import Recorded
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer

KEPT: Final = 500
CHAT: Final = "/chat-completions/"
PICTURES: Final = "/texttoimage/"


class _Seen:
    """Which numbered requests are still under way."""

    def __init__(self) -> None:
        self._last = 0
        self._open: set[int] = set()

    def ends(self, number: int, *, ended: bool) -> bool:
        """Whether this is the first time that it is seen to have ended."""
        if number > self._last:
            self._last = number
            self._open.add(number)
        if not ended or number not in self._open:
            return False
        self._open.discard(number)
        return True


class Traffic:
    """`entries` are numbered from 1 without gaps. `changed` is called after each that Discord made."""

    def __init__(self, discord: DiscordServer, api: MiniToolAIServer | None, changed: Callable[[], None]) -> None:
        self._discord = discord
        self._api = api
        self._changed = changed
        self._entries: deque[Json] = deque(maxlen=KEPT)
        self._count = 0
        self._chats = _Seen()
        self._pictures = _Seen()
        discord.observers.append(self._on_request)
        discord.world.listeners.append(self._on_event)

    def close(self) -> None:
        self._discord.observers.remove(self._on_request)
        self._discord.world.listeners.remove(self._on_event)

    def after(self, number: int) -> list[Json]:
        """The entries above `number` that are still kept, oldest first."""
        self._collect()
        return [entry for entry in self._entries if entry["n"] > number]

    def note_gateway(self, what: str) -> None:
        """The bot's connection came or went."""
        self._add(kind="gateway", method="←", what=what)
        self._changed()

    def _on_request(self, record: Recorded) -> None:
        note = f"code {record.code}" if record.code else "the connection was cut" if not record.status else None
        if record.status == 429:
            note = record.headers.get("X-RateLimit-Scope") or "rate limit"
        self._add(
            kind="rest",
            method=record.method,
            what=record.template or "(no such route)",
            status=record.status or None,
            ms=(record.finished - record.started) * 1000,
            faulted=record.faulted,
            note=note,
        )
        self._changed()

    def _on_event(self, event: Event) -> None:
        if self._discord.world.bot_receives(event):
            self._add(kind="gateway", method="→", what=event.name)
            self._changed()

    def _collect(self) -> None:
        """MiniToolAI tells nobody of its requests, so they are looked up: each once, when it has ended."""
        if self._api is None:
            return
        for received in self._api.requests:
            if self._chats.ends(received.number, ended=received.ended.is_set() or received.status >= 400):
                self._add_call(
                    CHAT,
                    received.status,
                    received.sent_at[-1] - received.arrived_at if received.sent_at else None,
                    f"{len(received.sent)} chunks" if received.sent else None,
                )
        for order in self._api.pictures:
            done_at = order.downloaded_at[0] if order.downloaded_at else None
            failed = order.ended.is_set() and (order.status >= 400 or order.job_id is None)
            if self._pictures.ends(order.number, ended=failed or done_at is not None):
                took_s = done_at - order.arrived_at if done_at is not None else None
                self._add_call(PICTURES, order.status, took_s, f"asked {order.polls} times" if order.polls else None)

    def _add_call(self, what: str, status: int, took_s: float | None, note: str | None) -> None:
        ms = None if took_s is None else took_s * 1000
        self._add(kind="api", method="POST", what=what, status=status or None, ms=ms, note=note)

    def _add(
        self,
        *,
        kind: str,
        method: str,
        what: str,
        status: int | None = None,
        ms: float | None = None,
        faulted: bool = False,
        note: str | None = None,
    ) -> None:
        self._count += 1
        self._entries.append(
            {
                "n": self._count,
                "at_s": self._discord.clock.now(),
                "kind": kind,
                "method": method,
                "what": what,
                "status": status,
                "ms": None if ms is None else round(ms, 1),
                "faulted": faulted,
                "note": note,
            }
        )


def limits_json(discord: DiscordServer) -> list[Json]:
    """The rate limits now."""
    return [
        {
            "name": usage.name,
            "limit": usage.limit,
            "window_s": usage.window_s,
            "used": usage.used,
            "windows": usage.windows,
            "admitted": usage.admitted,
            "refused": usage.refused,
        }
        for usage in discord.limits.usage()
    ]
