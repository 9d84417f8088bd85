"""What the loopback API is told to answer, and what it remembers of a request: values."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Token counts; `cached_tokens` are part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """One answer. Every place is counted in chunks sent before it: `break_after=0` sends none.

    - `text`: a string is cut into chunks of about a token; a list gives the chunks.
    - `raw`: these exact bytes, each written by itself, in place of text, finish reason, usage and `[DONE]`.
    - `status`, `headers`, `error_body` (JSON for an object, else text or bytes): with another status than 200, or with
      an `error_body`, no stream is sent at all.
    - `first_delay_s` passes before the status line, and `first_gate` is waited for; `chunk_delay_s` before every chunk
      but the first (or a function of the chunk's number).
    - `hang_up` closes the connection without any answer; `break_after` closes it in the stream.
    - `error_after` sends an error object there, and ends.
    - `stall_after` hangs there until `gate` is set or, without a gate, `MiniToolAIServer.release` is called. A `gate`
      alone holds back the first chunk.
    - `usage`: counted ("auto"), left out (None), or given.
    - `comments` sends a comment before every chunk.
    """

    text: str | Sequence[str] = ""
    _: KW_ONLY
    first_delay_s: float = 0.0
    chunk_delay_s: float | Callable[[int], float] = 0.0
    finish_reason: str | None = "stop"
    usage: Literal["auto"] | Tokens | None = "auto"
    done: bool = True
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error_body: object = None
    hang_up: bool = False
    break_after: int | None = None
    stall_after: int | None = None
    error_after: int | None = None
    raw: Sequence[bytes] | None = None
    line_ending: Literal["\n", "\r\n", "\r"] = "\n"
    comments: bool = False
    gate: asyncio.Event | None = None
    first_gate: asyncio.Event | None = None

    def chunks(self) -> list[str]:
        """The text in the pieces that are sent."""
        return cut(self.text) if isinstance(self.text, str) else list(self.text)

    def delay_s(self, number: int) -> float:
        """The pause before chunk `number`."""
        if number == 0:
            return 0.0
        return self.chunk_delay_s(number) if callable(self.chunk_delay_s) else self.chunk_delay_s


@dataclass(kw_only=True, slots=True, eq=False)
class Received:
    """A request and what became of it. Times are of `time.monotonic`.

    `headers` lack the API key; `peer_port` tells connections apart. `status` is 0 until an answer begins. `sent` and
    `sent_at` grow with every chunk of text (or of raw bytes, whose text stays ""). `billed` is what the answer cost,
    known once `ended` is set; None where nothing was billed.
    """

    number: int
    body: dict[str, Any]
    headers: dict[str, str]
    peer_port: int
    arrived_at: float
    status: int = 0
    sent: list[str] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    client_left: bool = False
    billed: Tokens | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _grown: asyncio.Event | None = None

    def note(self, text: str, *, at: float) -> None:
        """A chunk was sent."""
        self.sent.append(text)
        self.sent_at.append(at)
        if self._grown is not None:
            self._grown.set()
            self._grown = None

    async def wait_sent(self, count: int, *, timeout_s: float = 30.0) -> None:
        """Return once `count` chunks have been sent. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while len(self.sent) < count:
                self._grown = self._grown or asyncio.Event()
                await self._grown.wait()


_PIECE: Final = re.compile(r"\s*\S{1,6}|\s+$")


def cut(text: str) -> list[str]:
    """`text` in pieces of about a token each; joined they are `text`."""
    return _PIECE.findall(text)
