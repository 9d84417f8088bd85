"""Shows an answer while it grows.

One task writes, one request at a time, and what it sends is rendered when the rate limits let it go: so each edit shows
the newest text, and none is sent for nothing. Where the text outgrows a message it goes on in the next; beyond
`max_messages`, or where Discord allows no further message, the whole answer comes as a file on the last one.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from bot.answers.markdown import Pages, harmless
from bot.delivery.messages import CONTENT_LIMIT, Button, Outgoing, Sent, Surface, Upload, Urgency, utf16_length
from bot.errors import DeliveryError, DeliveryForbidden, DeliveryRefused, DeliveryUnavailable, MessageGone

TAIL_ROOM: Final = 160
"""UTF-16 units kept free in each message for the mark, or for notice and footer, which are cut to what is there."""
PAGE_LIMIT: Final = CONTENT_LIMIT - TAIL_ROOM
FILE_NAME: Final = "answer.md"

WRITING: Final = "writing…"
WRITING_MORE: Final = "still writing: the whole answer will come as a file…"
GOES_ON: Final = f"-# 📄 The answer goes on: all of it is in {FILE_NAME}."
REST_LOST: Final = "-# ⚠️ The rest is missing: Discord did not let me attach it as a file here."
NOTHING: Final = "-# (no text)"

GRACE_S: Final = 1.0
"""So long the last edit waits for one on its way; then it goes anyway, and once more after that one's answer."""
CREATION_GRACE_S: Final = 15.0
"""The same for a new message or a file, which must not be sent twice."""
OVERDUE_S: Final = 15.0
"""So long an overdue edit's answer is awaited after the last edit."""
INSIST_S: Final = 30.0
"""So long the last edits are tried while Discord is unavailable."""
INSIST_UPLOAD_S: Final = 90.0
ABANDON_S: Final = 10.0
"""So long it is tried to close an answer that something unforeseen ended."""
FAILURES_BORNE: Final = 5
"""So many growth edits in a row may fail."""
PAUSE_S: Final = 0.5
PAUSE_MOST_S: Final = 4.0


class _Superseded(Exception):
    """A growth edit's turn came after the end had begun: nothing is to be sent."""


class _NoFurtherMessage(Exception):
    """Discord allows no further message; the file must do."""


class _FilesRefused(Exception):
    """Discord does not take the files: what there is to read is shown without them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ending:
    footer: str
    buttons: tuple[Button, ...]
    notice: str | None
    torn: bool


@dataclass(kw_only=True, slots=True)
class _Flight:
    """The growth edit that is being written. `rendered` once it may be on its way."""

    number: int
    creates: bool
    rendered: Outgoing | None = None
    has_words: bool = False
    unshown_since: float | None = None

    @property
    def carries_files(self) -> bool:
        return self.rendered is not None and self.rendered.uploads is not None

    @property
    def grace_s(self) -> float:
        return CREATION_GRACE_S if self.creates or self.carries_files else GRACE_S


class Live:
    """`async with Live(…)` owns the writer: nothing is on its way, and no task is left, after `finish` or the block."""

    def __init__(
        self,
        surface: Surface,
        *,
        max_messages: int,
        stop: Button,
        heading: str = "",
        page_limit: int = PAGE_LIMIT,
        note_messages: Callable[[tuple[Sent, ...]], None] | None = None,
        note_shown: Callable[[float], None] = lambda _: None,
        known: tuple[Sent, ...] = (),
    ) -> None:
        """`heading` are whole lines shown above the first words, and not part of the answer.

        `note_messages` is told of the answer's messages whenever there is one more; it must not block. `known` are
        those that exist already, shown by an earlier process.
        Nor must `note_shown`, which is told, after each edit that shows new words, for how many seconds the oldest of
        them had been waiting.
        """
        if max_messages < 1:
            raise ValueError("an answer needs at least one message")
        self.failure: DeliveryError | None = None
        self._surface = surface
        self._most = max_messages
        self._stop = stop
        self._pages = Pages(page_limit)
        self._heading = heading
        self._note_messages = note_messages
        self._note_shown = note_shown
        self._unshown_since: float | None = None
        self._parts: list[str] = []
        self._fed = 0
        self._open = ""
        self._note: str | None = None
        self._uploads: tuple[Upload, ...] = ()
        self._shown: list[Outgoing] = []
        self._sent = list(known)
        self._settled = 0
        self._has_words = False
        self._files_refused = False
        self._ending = False
        self._finished = False
        self._flight: _Flight | None = None
        self._unanswered: tuple[int, Outgoing] | None = None
        self._failures = 0
        self._changed = asyncio.Event()
        self._landed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._run(), name="live answer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        await self._end_writer()

    @property
    def text(self) -> str:
        """All that was added, without the heading."""
        return "".join(self._parts)

    @property
    def messages_shown(self) -> tuple[Sent, ...]:
        """The messages as they exist in Discord now."""
        return tuple(self._sent)

    @property
    def messages_closed(self) -> tuple[Sent, ...]:
        """The same, where nothing looks unfinished; else none of them: a press of Stop is to close what does."""
        return self.messages_shown if self._unfinished() is None else ()

    async def begins_to_show(self, timeout_s: float) -> bool:
        """Whether a message shows something, after waiting for the first one to do so, or to fail, or for the time.

        Text of which nothing can be shown before it ends, such as half a mark, is not waited for.
        """
        if self._flight is None and self._next() is None:
            return bool(self._sent)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._landed.wait()
        return bool(self._sent)

    def check(self) -> None:
        """Raise MessageGone if somebody has deleted the answer: there is nothing left to finish."""
        if isinstance(self.failure, MessageGone):
            raise self.failure

    def add(self, text: str) -> None:
        """Let the answer grow; never waits.

        Raises the DeliveryError with which the writer ended, if it did and there is no hope: where Discord is only
        unavailable, `finish` tries again.
        """
        if self.failure is not None and not isinstance(self.failure, DeliveryUnavailable):
            raise self.failure
        self._parts.append(text)
        if self._unshown_since is None:
            self._unshown_since = asyncio.get_running_loop().time()
        self._changed.set()

    def attach(self, uploads: tuple[Upload, ...]) -> None:
        """Files for message 0. They ride on its next edit after the first words, or else on the last."""
        self._uploads += uploads

    def note(self, line: str | None) -> None:
        """What to say beside the mark, also before the first words; None takes it back."""
        self._note = line
        self._changed.set()

    async def finish(
        self, *, footer: str, buttons: tuple[Button, ...], notice: str | None = None, torn: bool = False
    ) -> tuple[Sent, ...]:
        """Show the answer's final state and return its messages. `torn`: the text broke off, perhaps inside a mark.

        A growth edit that waits is dropped, one on its way is awaited for `GRACE_S`. Raises the DeliveryError that
        ended the writer, or that the last edits met: DeliveryUnavailable after `INSIST_S` of trying.
        """
        if self._finished:
            return tuple(self._sent)
        self._ending = True
        ending = _Ending(footer=footer, buttons=buttons, notice=notice, torn=torn)
        try:
            overdue = await self._quiet()
            if self.failure is not None and not isinstance(self.failure, DeliveryUnavailable):
                raise self.failure
            await self._insist(ending)
            if overdue is not None:
                await self._end_writer(patience_s=OVERDUE_S)
                await self._insist(ending, again=overdue)
        finally:
            await self._end_writer()
        self._finished = True
        self.failure = self._unanswered = None
        return tuple(self._sent)

    async def abandon(self, *, notice: str, buttons: tuple[Button, ...]) -> None:
        """Take mark and Stop from the last message, and say that nothing follows, in place of a `finish` that failed.

        Uses nothing but what is shown already, or may be, for nobody knows what failed. Best effort, for at most
        `ABANDON_S`.
        """
        self._ending = True
        with contextlib.suppress(DeliveryError, TimeoutError):
            async with asyncio.timeout(ABANDON_S):
                await self._land()
                if (unfinished := self._unfinished()) is not None:
                    number, text = unfinished
                    closed = Outgoing(content=_compose(text, notice), buttons=buttons)
                    sent = await self._surface.write(number, lambda: closed, Urgency.FINAL)
                    if self._unanswered is None or self._unanswered[0] != number:  # else that may come after it
                        self._record(number, closed, sent)
        await self._end_writer()

    async def _land(self) -> None:
        """Await the answer to a growth edit that is on its way, for its grace and half of `ABANDON_S` at most."""
        flight, patience_s = self._flight, 0.0
        if flight is not None and flight.rendered is not None:
            patience_s = min(flight.grace_s, ABANDON_S / 2)
        await self._end_writer(patience_s=patience_s)

    def _unfinished(self) -> tuple[int, str] | None:
        """The last message, if it wears the mark and Stop, or may, or is a full page after which nothing came; and its
        words without the mark.

        A further message that may exist or not cannot be reached; made again it might be there twice. The one before
        it stands for it.
        """
        last = len(self._shown) - 1
        if self._unanswered is not None and self._unanswered[0] == max(last, 0):
            number, state = self._unanswered
        elif self._shown:
            number, state = last, self._shown[-1]
        else:
            return None
        if self._stop in state.buttons:
            return number, state.content.rpartition("\n")[0]
        return (number, state.content) if not state.buttons else None

    # Growing

    async def _run(self) -> None:
        try:
            while not self._ending:
                await self._changed.wait()
                self._changed.clear()
                while not self._ending and (number := self._next()) is not None:
                    await self._grow(number)
        except _Superseded:
            return
        except DeliveryError as error:
            self.failure = error
        finally:
            self._landed.set()

    async def _grow(self, number: int) -> None:
        creates = number >= len(self._sent)
        flight = _Flight(number=number, creates=creates)
        try:
            await self._write_growth(flight)
        except (DeliveryForbidden, DeliveryRefused):
            if flight.carries_files:
                self._refuse_files()
            elif creates and number > 0:
                self._most = number
            else:
                raise
        except DeliveryUnavailable:
            if creates and number > 0:
                self._most = number
                return
            self._failures += 1
            if self._failures > FAILURES_BORNE:
                raise
            self._changed.set()
            await asyncio.sleep(_pause_s(self._failures))

    def _refuse_files(self) -> None:
        self._uploads = ()
        self._files_refused = True

    async def _write_growth(self, flight: _Flight) -> None:
        def render() -> Outgoing:
            if self._ending:
                raise _Superseded
            self._feed()
            state = self._growing(flight.number)
            flight.has_words = self._total() > 0
            if flight.has_words and flight.number == min(self._total(), self._most) - 1:
                flight.unshown_since = self._take_unshown(flight.unshown_since)
            rides = bool(self._uploads) and flight.number == 0 and self._has_words
            flight.rendered = replace(state, uploads=self._uploads) if rides else state
            self._unanswered = (flight.number, state)
            return flight.rendered

        urgency = Urgency.GROWTH if self._has_words else Urgency.FIRST
        self._flight = flight
        try:
            sent = await self._surface.write(flight.number, render, urgency)
        except BaseException as error:
            if isinstance(error, DeliveryError) and not isinstance(error, DeliveryUnavailable):
                self._unanswered = None  # Discord has answered: it did not take it
            if flight.unshown_since is not None:
                self._unshown_since = flight.unshown_since
            raise
        finally:
            self._flight = None
        self._failures = 0
        self._tell_shown(flight.unshown_since)
        assert flight.rendered is not None  # or else there was nothing to write
        self._record(flight.number, flight.rendered, sent)
        self._has_words = self._has_words or flight.has_words

    def _take_unshown(self, before: float | None = None) -> float | None:
        """Since when the oldest words have waited that an edit shows; `before`, where it showed older ones already."""
        since, self._unshown_since = self._unshown_since, None
        return since if before is None else before

    def _tell_shown(self, since: float | None) -> None:
        if since is not None:
            self._note_shown(asyncio.get_running_loop().time() - since)

    def _next(self) -> int | None:
        """The first message that does not show what it should, or None."""
        self._feed()
        last = min(self._total(), self._most) - 1
        if last < 0:
            return 0 if self._note is not None and self._differs(0) else None
        for number in range(min(self._settled, last), last + 1):
            if self._differs(number):
                return number
            self._settled = number
        return None

    def _differs(self, number: int) -> bool:
        return number >= len(self._shown) or self._shown[number] != self._growing(number)

    def _growing(self, number: int) -> Outgoing:
        """What message `number` shows while the answer grows: a full page alone, or the last one with the mark."""
        closed = self._pages.closed
        full = number < len(closed)
        if full and number < self._most - 1:
            return Outgoing(content=harmless(closed[number]))
        text = harmless(closed[number] if full else self._open)
        saying = WRITING_MORE if self._total() > self._most else self._note or WRITING
        return Outgoing(content=_compose(text, f"-# ✍️ {saying}"), buttons=(self._stop,))

    def _feed(self) -> None:
        if self._fed < len(self._parts):
            self._pages.feed("".join((self._heading if self._fed == 0 else "", *self._parts[self._fed :])))
            self._fed = len(self._parts)
            self._open = self._pages.open()

    def _total(self) -> int:
        return len(self._pages.closed) + bool(self._open)

    def _record(self, number: int, state: Outgoing, sent: Sent) -> None:
        if state.uploads is not None and number == 0:
            self._uploads = tuple(kept for kept in self._uploads if not any(kept is gone for gone in state.uploads))
        self._shown[number : number + 1] = [replace(state, uploads=None)]
        if self._unanswered is not None and self._unanswered[0] == number:
            self._unanswered = None
        is_new = number >= len(self._sent)
        self._sent[number : number + 1] = [sent]
        self._landed.set()
        if is_new and self._note_messages is not None:
            self._note_messages(tuple(self._sent))

    # Ending

    async def _quiet(self) -> int | None:
        """Stop growing. The number of the message whose edit is overdue and may still arrive, or None."""
        writer, flight = self._writer, self._flight
        if writer is None:
            raise RuntimeError("Live must be entered before it is finished")
        if flight is None or flight.rendered is None:
            await self._end_writer()
        else:
            await asyncio.wait({writer}, timeout=flight.grace_s)
        if writer.done():
            return None if writer.cancelled() else writer.result()
        if flight is not None and flight.creates:
            await self._end_writer()
            if flight.number > 0:
                self._most = flight.number  # it may exist or not: made again, it might be there twice
            return None
        return flight.number if flight is not None else None

    async def _end_writer(self, *, patience_s: float = 0.0) -> None:
        writer = self._writer
        if writer is None:
            return
        if patience_s:
            await asyncio.wait({writer}, timeout=patience_s)
        writer.cancel()
        await asyncio.wait({writer})

    async def _insist(self, ending: _Ending, *, again: int | None = None) -> None:
        """Bring every message to its final state; message `again` even if it seems to be there already."""
        failures: list[DeliveryUnavailable] = []
        try:
            async with asyncio.timeout(INSIST_UPLOAD_S if self._uploads or self._overflows() else INSIST_S):
                while True:
                    try:
                        await self._write_finals(ending, again)
                        self._tell_shown(self._take_unshown())
                        return
                    except _NoFurtherMessage:
                        self._most = len(self._sent)
                    except _FilesRefused:
                        self._refuse_files()
                    except DeliveryUnavailable as error:
                        failures.append(error)
                        await asyncio.sleep(_pause_s(len(failures)))
        except TimeoutError:
            self.failure = failures[-1] if failures else DeliveryUnavailable("the last edit was not answered in time")
            raise self.failure from None
        except DeliveryError as error:
            self.failure = error
            raise

    async def _write_finals(self, ending: _Ending, again: int | None) -> None:
        states = self._finals(ending)
        for number, state in enumerate(states):
            there = number < len(self._shown) and self._shown[number] == replace(state, uploads=None)
            if number == again or not there or state.uploads is not None:
                await self._write_final(number, state)
        for number in range(len(states), len(self._sent)):
            await self._surface.delete(number)
        del self._sent[len(states) :], self._shown[len(states) :]

    async def _write_final(self, number: int, state: Outgoing) -> None:
        creates_further = number >= len(self._sent) and number > 0
        try:
            sent = await self._surface.write(number, lambda: state, Urgency.FINAL)
        except (DeliveryUnavailable, DeliveryForbidden, DeliveryRefused) as error:
            if creates_further:
                raise _NoFurtherMessage from error
            if state.uploads is not None and not isinstance(error, DeliveryUnavailable):
                raise _FilesRefused from error
            raise
        self._record(number, state, sent)

    def _finals(self, ending: _Ending) -> list[Outgoing]:
        pages = self._final_pages(torn=ending.torn)
        over = len(pages) > self._most
        pages = pages[: self._most] or [""]
        states = [Outgoing(content=page) for page in pages]
        rest = (REST_LOST if self._files_refused else GOES_ON) if over else ""
        content = _compose(pages[-1], rest, (ending.notice or "").strip(), _subtext(ending.footer.strip()))
        states[-1] = Outgoing(content=content or NOTHING, buttons=ending.buttons)
        if self._uploads:
            states[0] = replace(states[0], uploads=self._uploads)
        if over and not self._files_refused and not self._has_file(len(states) - 1):
            states[-1] = replace(states[-1], uploads=(*(states[-1].uploads or ()), self._whole()))
        return states

    def _final_pages(self, *, torn: bool = False) -> list[str]:
        self._feed()
        last = self._pages.open(final=True, torn=torn)
        return [harmless(page) for page in (*self._pages.closed, *([last] if last else []))]

    def _overflows(self) -> bool:
        return len(self._final_pages()) > self._most

    def _has_file(self, number: int) -> bool:
        return number < len(self._sent) and any(kept.name == FILE_NAME for kept in self._sent[number].attachments)

    def _whole(self) -> Upload:
        text = self.text.encode("utf-8", "replace")
        return Upload(name=FILE_NAME, content=text, description="The whole answer")


def _subtext(line: str) -> str:
    return line if not line or line.startswith("-# ") else f"-# {line}"


def _compose(page: str, *lines: str) -> str:
    """`page` and the lines below it; of those, the later is cut first where a message would grow too long."""
    content = page
    for line in lines:
        room = CONTENT_LIMIT - utf16_length(content) - bool(content)
        fitting = _cut(line, room)
        if fitting:
            content = f"{content}\n{fitting}" if content else fitting
    return content


def _cut(line: str, room: int) -> str:
    """`line` in at most `room` UTF-16 units; "" where not even a few would fit."""
    if utf16_length(line) <= room:
        return line
    if room < 8:
        return ""
    kept = line.encode("utf-16-le", "surrogatepass")[: (room - 1) * 2].decode("utf-16-le", "ignore")
    return kept.rstrip() + "…"


def _pause_s(failures: int) -> float:
    return float(min(PAUSE_S * 2 ** (failures - 1), PAUSE_MOST_S))
