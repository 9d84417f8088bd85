"""Decode the chat endpoint's answer: bytes in any cut go in, `ChatEvent`s come out. No I/O.

Two layers. `FieldDecoder` obeys the rules for `text/event-stream` (WHATWG HTML, section 9.2.6, "Interpreting an event
stream") down to the data fields. `ChatDecoder` reads OpenAI's `chat.completion.chunk` objects out of them.

Both `feed` methods are generators, so that what came before a fault is delivered before the fault is raised, however
the network cut the bytes. Exhaust one before the next call.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from bot.errors import StreamBroken, StreamReported
from bot.minitoolai.chat import ChatEvent, Finished, TextDelta, Usage

EVENT_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""The longest line, and the longest event, that is kept in memory."""

DETAIL_LIMIT: Final = 500
"""Characters kept of a message that the API sends about an error."""

_BOM: Final = b"\xef\xbb\xbf"
_DONE: Final = b"[DONE]"


class FieldDecoder:
    """Turns bytes into the values of data fields; None stands for the blank line that ends an event.

    Comments and all other fields are passed over. Lines end with LF, CRLF or CR. A line costs time in proportion to its
    length, however many pieces it comes in.
    """

    def __init__(self, *, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Take the next bytes. Raises `StreamBroken` for a line beyond the limit."""
        if self._after_cr and data:
            # The CR ended its line already; an LF right after it belongs to the same line end.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return
        self._after_cr = data[-1] == 0x0D
        lines = data.splitlines()  # of bytes: at LF, CRLF and CR only
        unfinished = b"" if data[-1] in b"\r\n" else lines.pop()
        for line in lines:
            if self._begun:
                line = self._complete(line)
            if not line:
                self._at_start = False
                yield None
            elif (value := self._value(line)) is not None:
                yield value
        if unfinished:
            self._keep(unfinished)

    def end(self) -> Iterator[bytes | None]:
        """The stream is over. A last line or event without its line end still counts, unlike in the standard."""
        if self._begun and (value := self._value(self._complete(b""))) is not None:
            yield value
        yield None

    def _keep(self, piece: bytes) -> None:
        self._begun.append(piece)
        self._begun_bytes += len(piece)
        if self._begun_bytes > self._limit:
            raise StreamBroken(f"a line of more than {self._limit} bytes")

    def _complete(self, rest: bytes) -> bytes:
        self._keep(rest)
        line = b"".join(self._begun)
        self._begun.clear()
        self._begun_bytes = 0
        return line

    def _value(self, line: bytes) -> bytes | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            # Exactly one space after the colon belongs to the syntax.
            return line[6:] if line[5:6] == b" " else line[5:]
        return b"" if line == b"data" else None


class ChatDecoder:
    """Turns the bytes of one answer into its events.

    Blank lines between the objects are not needed: a data line that is a whole JSON object counts at once. (The API's
    guide prints its example without them.) Whatever follows `[DONE]` is passed over. `tidy` is applied to the API's own
    error messages before they become part of an exception.
    """

    def __init__(
        self, *, limit_bytes: int = EVENT_LIMIT_BYTES, tidy: Callable[[str], str] = lambda detail: one_line(detail)
    ) -> None:
        self._fields = FieldDecoder(limit_bytes=limit_bytes)
        self._limit = limit_bytes
        self._tidy = tidy
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._high = ""
        self.finished = False
        """A finish reason has come: the answer is whole, and only its usage may follow."""
        self.done = False
        """`[DONE]` has come: nothing more is needed from the connection."""

    def feed(self, data: bytes) -> Iterator[ChatEvent]:
        """Take the next bytes.

        Raises `StreamReported` for an error object, `StreamBroken` for what is no JSON object or over the limit.
        """
        for value in self._fields.feed(data):
            if self.done:
                return
            chunk = self._chunk(value)
            if chunk is not None:
                yield from self._read(chunk)

    def end(self) -> Iterator[ChatEvent]:
        """The body is over. Raises `StreamBroken` unless a finish reason or `[DONE]` has come.

        Once the model has finished, a torn rest is no loss: it could only have been the usage or `[DONE]`.
        """
        try:
            for value in self._fields.end():
                chunk = None if self.done else self._chunk(value)
                if chunk is not None:
                    yield from self._read(chunk)
        except StreamBroken:
            if not self.finished:
                raise
        if not (self.done or self.finished):
            raise StreamBroken("the body ended before the answer did")
        yield from self._flush()

    def _chunk(self, value: bytes | None) -> dict[str, Any] | None:
        """The JSON object that this field completes, or None where there is none (yet)."""
        if value is None:
            return self._end_event() if self._held else None
        if not self._held:
            if value == _DONE:
                self.done = True
                return None
            try:
                chunk = parse(value)
            except ValueError:
                pass  # not whole yet, or not JSON: the blank line decides
            else:
                return _as_object(chunk)
        self._held.append(value)
        self._held_bytes += len(value) + 1
        if self._held_bytes > self._limit:
            raise StreamBroken(f"an event of more than {self._limit} bytes")
        return None

    def _end_event(self) -> dict[str, Any] | None:
        data = b"\n".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        stripped = data.strip()
        if stripped == _DONE:
            self.done = True
        if self.done or not stripped:
            return None
        try:
            return _as_object(parse(data))
        except ValueError:
            # Without its cause: that one quotes the answer's text.
            raise StreamBroken(f"an event of {len(data)} bytes that is not JSON") from None

    def _read(self, chunk: dict[str, Any]) -> Iterator[ChatEvent]:
        if error := chunk.get("error"):
            raise StreamReported(self._tidy(error_message(error) or "an error without a message"))
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            if isinstance(content, str) and content and (text := self._mend(content)):
                yield TextDelta(text)
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason and not self.finished:
                yield from self._flush()
                self.finished = True
                yield Finished(well_formed(reason))
        if (usage := _usage(chunk.get("usage"))) is not None:
            yield usage

    def _mend(self, text: str) -> str:
        """Join a surrogate pair that was split between two deltas; replace what has no partner."""
        if self._high:
            text = self._high + text
            self._high = ""
        elif text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            self._high = text[-1]
            text = text[:-1]
        return well_formed(text)

    def _flush(self) -> Iterator[TextDelta]:
        if self._high:
            self._high = ""
            yield TextDelta("\ufffd")


def well_formed(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD, so that it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def one_line(detail: str) -> str:
    """`detail` on one line without control characters, at most `DETAIL_LIMIT` characters: fit for a log."""
    printable = "".join(character if character.isprintable() else " " for character in detail[: DETAIL_LIMIT * 4])
    return " ".join(printable.split())[:DETAIL_LIMIT]


def error_message(error: object) -> str:
    """The API's own words in `{"message": …}`, `"…"`, or either of them under `error`; "" where there are none."""
    for _ in range(3):
        if not isinstance(error, dict):
            break
        error = error.get("error") or error.get("message")
    return well_formed(error) if isinstance(error, str) else ""


def parse(data: bytes) -> object:
    """The JSON in `data`. Raises `ValueError`.

    orjson refuses lone surrogates and torn UTF-8, which must not end an answer; the standard library takes both.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _as_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StreamBroken(f"an event that is a JSON {type(value).__name__}, not an object")
    return value


def _usage(value: object) -> Usage | None:
    """The usage, or None where there is none or its counts are not counts."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = value.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=min(cached or 0, prompt))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
