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


class Traffic:
    """`entries` are numbered from 1 without gaps. `changed` is called after each that Discord made."""

    def __init__(self, discord: DiscordServer, api: MiniToolAIServer | None, changed: Callable[[], None]) -> None:
        self._discord = discord
        self._api = api
        self._changed = changed
        self._entries: deque[Json] = deque(maxlen=KEPT)
        self._count = 0
        self._open: set[int] = set()
        self._seen = 0
        discord.observers.append(self._on_request)
        discord.world.listeners.append(self._on_event)

    def close(self) -> None:
        self._discord.observers.remove(self._on_request)
        self._discord.world.listeners.remove(self._on_event)

    def after(self, number: int) -> list[Json]:
        """The entries above `number` that are still kept, oldest first."""
        self._collect()
        return [entry for entry in self._entries if entry["n"] > number]

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
        for received in self._api.requests if self._api is not None else ():
            if received.number > self._seen:
                self._seen = received.number
                self._open.add(received.number)
            if received.number in self._open and (received.ended.is_set() or received.status >= 400):
                self._open.discard(received.number)
                last = received.sent_at[-1] if received.sent_at else None
                self._add(
                    kind="api",
                    method="POST",
                    what=getattr(received, "path", CHAT),
                    status=received.status or None,
                    ms=(last - received.arrived_at) * 1000 if last is not None else None,
                    note=f"{len(received.sent)} chunks" if received.sent else None,
                )

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
