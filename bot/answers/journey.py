"""The values of a question's journey, from its preparation to its ending. Without I/O."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bot.answers.ending import AnswerState
from bot.answers.history import Asked, MemoryKey
from bot.answers.plain import as_heading
from bot.answers.question import Question
from bot.answers.window import Prompt
from bot.catalog import ChatModel
from bot.credits.rules import Consumed, Reason
from bot.credits.values import Hold
from bot.delivery.messages import Button, Outgoing, Upload
from bot.errors import ProviderError, ProviderUnreachable, StreamFailed
from bot.minitoolai.chat import ChatRequest, Usage
from bot.wordlist import WordList

Words = Callable[[BaseException], str]
"""What an error is to the reader."""

HEADING_LIMIT: Final = 200
"""Characters of the question that its answer repeats."""

UNPAID: Final = frozenset({"cut", "failed", "restart"})
"""Endings for which the asker pays nothing, as `bot/credits/rules.py` says."""

Ending = Literal["finished", "length", "filtered", "stopped", "restart", "cut", "failed"]

STATES: Final[dict[Ending, AnswerState]] = {
    "finished": "done",
    "length": "done",
    "filtered": "done",
    "stopped": "stopped",
    "restart": "cut",
    "cut": "cut",
    "failed": "failed",
}

NOTICES: Final[dict[Ending, str]] = {
    "filtered": "⚠️ The AI service's content filter ended this answer.",
    "stopped": "⏹️ Stopped.",
    "restart": "⚠️ Cut off: I am being restarted. Please press Regenerate in a minute.",
}

INTERRUPTED: Final = "⚠️ Cut off: I was interrupted while writing this."

WHOLE: Final = frozenset({"finished", "filtered"})
"""Any other broke off, perhaps inside a mark, which is then closed."""

REMEMBERED: Final = frozenset({"finished", "length", "filtered", "stopped"})
"""What a later question is reminded of. An answer that failed is nobody's fault but ours, and is shown, not kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One answer to give. `root_id` is the question whose turn it becomes part of; another one's, where it is asked
    again (`again`) or carried on (`more`). `repeats` is the answer below which the button for that was pressed."""

    question: Question
    root_id: int
    kind: Literal["new", "again", "more"] = "new"
    repeats: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Everything that is known before the API is asked. `reopening` opens the code block anew in which the answer
    stopped that is carried on; `words` are masked in the answer."""

    job: Job
    model: ChatModel
    key: MemoryKey | None
    asked: Asked
    prompt: Prompt
    request: ChatRequest
    uploads: tuple[Upload, ...]
    notes: tuple[str, ...]
    reopening: str
    words: WordList
    length_note: str = ""

    def within(self, hold: Hold) -> "Prepared":
        """The same, with an answer no longer than what is on hold pays for."""
        wanted, units = self.request.max_completion_tokens, hold.units
        note = f"ended at the limit of {units:,} tokens"
        if units < wanted:
            who = "your credits pay" if self._is_askers_last(hold) else "the bot's operator pays"
            note = f"ended at {units:,} of {wanted:,} tokens: {who} for no more"
        return replace(self, request=replace(self.request, max_completion_tokens=units), length_note=note)

    def _is_askers_last(self, hold: Hold) -> bool:
        """Whether it was the asker's own credits that left no room for one more token, and no ceiling."""
        room = hold.standing.room_nano
        return room is not None and room < self.model.price(input_tokens=0, output_tokens=1)


@dataclass(kw_only=True, slots=True)
class Running:
    """An answer that is being given, by `task`. `halt` ends its stream, whose deadline is `scope`; before there is one,
    it is remembered in `halted`, and after it there is nothing to end."""

    asker_id: int
    channel_id: int
    task: asyncio.Task[object] | None
    scope: asyncio.Timeout | None = None
    halted: Literal["stopped", "restart"] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def halt(self, why: Literal["stopped", "restart"]) -> None:
        self.halted = self.halted or why
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time())


@dataclass(kw_only=True, slots=True)
class Heard:
    """What the API said so far. `tries` counts the requests that it took and did not turn down: it may want to be paid
    for each, and has answered the last at most."""

    tries: int = 0
    parts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ProviderError | None = None

    @property
    def taken(self) -> bool:
        return self.tries > 0

    def note_taken(self, taken: bool) -> None:
        """A request has gone out, or the one that went out last was turned down."""
        self.tries += 1 if taken else -1

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How it ended, and what it took. `reason` is the ledger's word for it."""

    ending: Ending
    reason: Reason
    text: str
    finish_reason: str | None
    usage: Usage
    estimated: bool
    consumed: Consumed
    notice: str | None


def button(action: str, answer_id: int, label: str, emoji: str) -> Button:
    """A button that names a stored answer; `cogs.ask` knows it by this form of `custom_id`."""
    return Button(custom_id=f"ask:{action}:{answer_id}", label=label, emoji=emoji)


def stop_button(answer_id: int) -> Button:
    """What an answer wears while it is being written."""
    return replace(button("stop", answer_id, "Stop", "⏹️"), style="danger")


def ending_buttons(answer_id: int, *, may_continue: bool) -> tuple[Button, ...]:
    """What can be done with an answer that has ended."""
    more = (button("more", answer_id, "Continue", "▶️"),) if may_continue else ()
    return (
        *more,
        button("again", answer_id, "Regenerate", "🔁"),
        button("delete", answer_id, "Delete", "🗑️"),
    )


def interrupted(shown: str, answer_id: int) -> Outgoing:
    """What to show in place of an answer that looks unfinished, though no process is writing it any more.

    Said twice, by a start and a press of Stop at one moment, it stands there once.
    """
    lines = shown.splitlines()
    while lines and (lines[-1].startswith("-# ") or lines[-1] == INTERRUPTED):  # the mark that it is being written
        lines.pop()
    content = "\n".join((*lines, INTERRUPTED)).strip()
    return Outgoing(content=content, buttons=ending_buttons(answer_id, may_continue=False))


def ending_of(heard: Heard, running: Running) -> Ending:
    """How an answer ended, by what was heard; one that was halted after its last word has finished."""
    if heard.error is not None:
        return "cut" if heard.text.strip() else "failed"
    if heard.finish_reason is None and running.halted is not None:
        return running.halted
    match heard.finish_reason:
        case "length":
            return "length"
        case "content_filter":
            return "filtered"
        case _:
            return "finished"


def reason_of(ending: Ending, heard: Heard) -> Reason:
    """The ledger's word for an ending; what the API may have taken without an answer is recorded as its due."""
    error = heard.error
    match ending:
        case "restart":
            return "shutdown"
        case "failed" if isinstance(error, StreamFailed):
            return "cut"
        case "failed" if heard.taken or (isinstance(error, ProviderUnreachable) and error.sent):
            return "unanswered"
        case "failed":
            return "refused"
        case _:
            return ending


def is_remembered(prepared: Prepared, result: Result) -> bool:
    """Whether it belongs into the memory that the question reads."""
    return prepared.key is not None and result.ending in REMEMBERED and bool(result.text.strip())


def heading_of(job: Job) -> str:
    """Discord shows who used a command, not what they asked: the answer says it, unless its only reader knows."""
    question = job.question
    repeats = not (question.is_message or question.private or job.kind == "more")
    return as_heading(question.prompt, HEADING_LIMIT) if repeats else ""
