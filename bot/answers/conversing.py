"""The way from a prepared request to its shown, paid and remembered answer."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Final

from bot.answers.charge import Charge
from bot.answers.ending import Ended
from bot.answers.footer import footer, memory_in_words
from bot.answers.journey import (
    NOTICES,
    STATES,
    UNPAID,
    WHOLE,
    Ending,
    Heard,
    Prepared,
    Result,
    Running,
    Words,
    ending_buttons,
    ending_of,
    heading_of,
    reason_of,
    stop_button,
)
from bot.answers.live import Live
from bot.answers.records import Records, asked_at, begin
from bot.answers.stopwatch import Stopwatch
from bot.answers.tokens import TokenCounter, image_tokens
from bot.credits.late import LateEnds
from bot.credits.ledger import Ledger
from bot.credits.notices import used_notice
from bot.credits.rules import NOTHING, PAYERS, Consumed, Reason
from bot.credits.values import Hold, HoldRequest
from bot.delivery.messages import Surface
from bot.errors import (
    DeliveryError,
    DeliveryForbidden,
    DeliveryUnavailable,
    MessageGone,
    ProviderError,
    ProviderKeyRefused,
    ProviderOutOfCredit,
    TokenExpired,
)
from bot.minitoolai.chat import ChatRequest, Finished, TextDelta, Usage
from bot.minitoolai.client import MiniToolAI
from bot.money import CreditUnit, NanoDollars
from bot.observer import SILENT, Observer
from bot.settings import Settings
from bot.storage.errors import StorageError
from bot.wordlist import Masker

log = logging.getLogger(__name__)

USAGE_WAIT_S: Final = 2.0
"""How long the API may take to send its figures, or close, after it has said that the answer is finished."""
SILENCE_S: Final = 4.0
"""After so long without a word the reply says that the model is at it, and offers Stop."""
QUOTE_MARK: Final = 12
"""So many characters in a row that stand in the conversation and in the API's words for an error are a quotation."""
LEARN_S: Final = 1.0
"""How long who is cancelled waits to hear whether it was written down how the answer has ended."""
ABANDONED: Final = "⚠️ Cut off: something went wrong on my side."
TORN: Final = "⚠️ Cut off: a part of this answer was deleted."
OPERATOR_MUST_ACT: Final = (ProviderKeyRefused, ProviderOutOfCredit)


class Conversation:
    """Asks, shows the answer as it streams, ends it."""

    def __init__(
        self,
        *,
        settings: Settings,
        api: MiniToolAI,
        ledger: Ledger,
        late: LateEnds,
        unit: CreditUnit,
        counter: TokenCounter,
        records: Records,
        owe: Callable[[int, Ended], bool],
        now: Callable[[], float],
        observer: Observer = SILENT,
    ) -> None:
        """`owe` takes an answer that Discord does not take now: its id, and how it has ended, as is on disk. False: it
        has no room.
        """
        self._observer = observer
        self._settings = settings
        self._api = api
        self._ledger = ledger
        self._late = late
        self._unit = unit
        self._counter = counter
        self._records = records
        self._owe = owe
        self._now = now

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    async def _hold(self, prepared: Prepared, token: str | None) -> Hold:
        """Set the worst case apart: all that is sent, and the longest answer, or as much of it as can be paid.

        Raises:
            CreditsError: not even a short answer can be paid. StorageError: nothing is held. NothingToRepeat: what
                it would repeat has been forgotten meanwhile.
        """
        question, model = prepared.job.question, prepared.model
        wanted = prepared.request.max_completion_tokens
        return await self._ledger.hold(
            HoldRequest(
                key=question.id,
                scope_id=question.place.scope_id,
                user_id=question.asker.id,
                role_ids=frozenset(question.asker.role_ids),
                kind="chat",
                model=model.id,
                fixed_nano=model.price(input_tokens=prepared.prompt.tokens(image_tokens(model.id)), output_tokens=0),
                unit_nano=model.price(input_tokens=0, output_tokens=1),
                units_wanted=wanted,
                units_minimum=min(self._settings.min_answer_tokens, wanted),
                at=self.moment(),
            ),
            # With the hold, so that the Stop button of an answer that a crash leaves open finds something to close.
            along=partial(begin, prepared.job, token),
        )

    async def give(self, prepared: Prepared, running: Running, surface: Surface, words: Words) -> None:
        """Hold, ask, show as it streams, end it, settle. Whatever happens, the hold ends, or what ends it is on disk.

        Raises:
            CreditsError: the answer cannot be paid. Nothing was asked of the API.
            NothingToRepeat: what it would repeat has been forgotten meanwhile. Nothing was asked, or held.
            DeliveryError: the answer could not be shown, or was deleted. The question is not remembered then.
            StorageError: nothing could be held, and nothing was asked of the API.
        """
        hold = await self._hold(prepared, surface.token)
        charge = Charge(self._ledger, hold, late=self._late, now=self.moment)
        prepared = prepared.within(charge.hold)
        heard = Heard()
        reason: Reason = "cut"
        try:
            await self._show(prepared, charge, heard, running, surface, words)
        except MessageGone:
            # Who pressed Stop has had what they wanted of it: deleting it then does not unpay it.
            reason = "stopped" if running.halted == "stopped" else "deleted"
            raise
        except DeliveryError:
            reason = "undelivered"
            raise
        except asyncio.CancelledError:
            reason = "shutdown"
            raise
        finally:
            if not charge.ended:
                await charge.end(reason, self._consumed(prepared, heard))

    async def _show(
        self,
        prepared: Prepared,
        charge: Charge,
        heard: Heard,
        running: Running,
        surface: Surface,
        words: Words,
    ) -> None:
        answer_id = prepared.job.question.id
        stopwatch = Stopwatch(self._observer, asked_at=asked_at(answer_id).timestamp(), now=self._now)
        remembered = False
        live = Live(
            surface,
            max_messages=self._settings.max_messages,
            stop=stop_button(answer_id),
            heading=heading_of(prepared.job),
            note_messages=partial(self._records.note_messages, answer_id),
            note_shown=stopwatch.shown,
        )
        try:
            async with live, _closed_on_failure(live, answer_id):
                live.attach(prepared.uploads)
                await self._listen(prepared, heard, live, running, stopwatch)
                stopwatch.said()
                result = self._result(prepared, heard, running, words)
                live.check()
                # Remembered before its last edit, so that the next question finds it, and charged after it, so that
                # nobody pays for what they were not shown. In between, what is on disk is enough to do both.
                ended, noted = await self._note_ending(prepared, result, charge, live)
                remembered = ended.remembered
                whole = await self._deliver(live, prepared, ended, charge, noted=noted)
                if whole:
                    stopwatch.whole()
        except Exception:
            await self._records.take_back(prepared.job, remembered=remembered, sent=live.messages_closed)
            raise
        if not whole:
            log.warning("Discord is out of reach: the last edit of an answer comes later, and its charge with it")
        log.info("answered (%s) by %s, %d + %d tokens", result.ending, prepared.model.id, *_counts(result.usage))

    async def _note_ending(self, prepared: Prepared, result: Result, charge: Charge, live: Live) -> tuple[Ended, bool]:
        make = partial(self._ended, prepared, result, charge, live)
        try:
            return await self._records.note_ending(prepared, result, live.messages_shown, make=make)
        except asyncio.CancelledError:
            await self._leave_if_noted(prepared.job.question.id, charge)
            raise

    async def _deliver(self, live: Live, prepared: Prepared, ended: Ended, charge: Charge, *, noted: bool) -> bool:
        """Show the end, and charge it then. False: Discord is out of reach, and both are left to `owe`'s taker.

        Raises:
            DeliveryError: it cannot be shown, or, where it was not `noted`, not now.
        """
        answer_id = prepared.job.question.id
        buttons = ending_buttons(answer_id, may_continue=ended.may_continue)
        try:
            sent = await live.finish(footer=ended.footer, buttons=buttons, notice=ended.notice, torn=ended.torn)
            await self._records.settle(prepared, ended, charge, sent)
        except DeliveryUnavailable:
            if not (noted and self._owe(answer_id, ended)):
                raise
            charge.leave()
            return False
        except asyncio.CancelledError:
            if noted and _costs(ended):  # else there is nothing that a restart could change
                charge.leave()
            raise
        return True

    async def _leave_if_noted(self, answer_id: int, charge: Charge) -> None:
        """Leave the charge to who shows the answer, if it was written down how it has ended though who wrote it was
        cancelled: that takes back no write that had its turn.

        It is left also where that is not known in time: then the next start either shows it whole and charges it, or
        cuts it off, and its hold ends by the crash rule.
        """
        leave = True
        try:
            async with asyncio.timeout(LEARN_S):
                noted = await self._records.noted_ending(answer_id)
            leave = noted is not None and _costs(noted)
        except (TimeoutError, StorageError) as error:
            log.warning("how an answer has ended is perhaps written down, perhaps not: %s", type(error).__name__)
        finally:
            if leave:
                charge.leave()

    async def _listen(
        self, prepared: Prepared, heard: Heard, live: Live, running: Running, stopwatch: Stopwatch
    ) -> None:
        """Pull the stream to its end, a halt, or an error of the API's, which is part of what was heard."""
        if running.halted:
            return
        loop = asyncio.get_running_loop()
        masker = Masker(prepared.words)

        def say(text: str) -> None:
            if not text:
                return
            if not heard.parts and not text.lstrip().startswith("`"):  # else the model does it
                live.add(prepared.reopening)
            heard.parts.append(text)
            live.add(text)

        silence = loop.call_later(SILENCE_S, live.note, "thinking…")
        try:
            async with (
                asyncio.timeout(None) as running.scope,
                aclosing(self._api.chat(prepared.request, taken=heard.note_taken)) as events,
            ):
                async for event in events:
                    if isinstance(event, TextDelta):
                        silence.cancel()
                        say(masker.feed(event.text))
                    elif isinstance(event, Finished):
                        stopwatch.said()
                        heard.finish_reason = event.reason
                        running.scope.reschedule(loop.time() + USAGE_WAIT_S)
                    else:
                        heard.usage = event
        except TimeoutError:
            if not (running.halted or heard.finish_reason):
                raise
        except ProviderError as error:
            heard.error = error
            detail = unquoting(error.detail, prepared.request)
            if isinstance(error, OPERATOR_MUST_ACT):
                log.error("the AI service refuses the operator's account: %s %s", type(error).__name__, detail)
            else:
                log.warning("the AI service failed: %s %s", type(error).__name__, detail)
        finally:
            silence.cancel()
            say(masker.end())
            running.scope = None  # what comes now ends nothing: a deadline that is over cannot be moved

    def _result(self, prepared: Prepared, heard: Heard, running: Running, words: Words) -> Result:
        ending = ending_of(heard, running)
        return Result(
            ending=ending,
            reason=reason_of(ending, heard),
            text=heard.text,
            finish_reason=heard.finish_reason,
            usage=self._usage(prepared, heard),
            estimated=heard.usage is None and heard.taken,
            consumed=self._consumed(prepared, heard),
            notice=_cut_off(words(heard.error), ending) if heard.error is not None else NOTICES.get(ending),
        )

    def _usage(self, prepared: Prepared, heard: Heard) -> Usage:
        """The API's own figures, or the tokenizer's."""
        if not heard.taken:
            return Usage(prompt_tokens=0, completion_tokens=0)
        return heard.usage or Usage(
            prompt_tokens=prepared.prompt.tokens(image_tokens(prepared.model.id)),
            completion_tokens=self._counter.count(heard.text),
        )

    def _consumed(self, prepared: Prepared, heard: Heard) -> Consumed:
        if not heard.taken:
            return NOTHING
        usage, model = self._usage(prepared, heard), prepared.model
        asked = model.price(input_tokens=prepared.prompt.tokens(image_tokens(model.id)), output_tokens=0)
        return Consumed(
            nano=model.price(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens),
            estimated=heard.usage is None,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            lost_nano=NanoDollars((heard.tries - 1) * asked),
        )

    def _ended(self, prepared: Prepared, result: Result, charge: Charge, live: Live, remembered: bool) -> Ended:
        return Ended(
            state=STATES[result.ending],
            reason=result.reason,
            consumed=result.consumed,
            text=live.text,
            heading=heading_of(prepared.job),
            footer=self._footer(prepared, result, charge, remembered=remembered),
            notice=result.notice,
            torn=result.ending not in WHOLE,
            may_continue=remembered and result.ending == "length",
            remembered=remembered,
        )

    def _footer(self, prepared: Prepared, result: Result, charge: Charge, *, remembered: bool) -> str:
        if result.ending in UNPAID:
            return f"{prepared.model.id} · not charged, not remembered"
        paid = charge.paid(result.reason, result.consumed)
        standing = charge.hold.standing
        notes = list(prepared.notes)
        if result.ending == "length":
            notes.append(prepared.length_note)
        if prepared.key is not None and not remembered and result.text.strip():
            notes.append("could not be remembered")
        if (used := used_notice(charge.hold.used_percent_after(paid), standing.ends_at)) is not None:
            notes.append(used)
        return footer(
            model=prepared.model.id,
            usage=result.usage,
            estimated=result.estimated,
            cost=paid,
            unit=self._unit,
            memory=memory_in_words(
                prepared.key, asker_name=prepared.asked.asker.name, turns=prepared.prompt.turns_used
            ),
            notes=notes,
        )


@contextlib.asynccontextmanager
async def _closed_on_failure(live: Live, answer_id: int) -> AsyncIterator[None]:
    """Leave no reply that looks unfinished, whatever goes wrong; the one door says what it was."""
    try:
        yield
    except MessageGone:
        if len(live.messages_shown) > 1:  # one of several: the last of them may be there yet
            await live.abandon(notice=TORN, buttons=ending_buttons(answer_id, may_continue=False))
        raise
    except (DeliveryForbidden, TokenExpired):
        raise  # there is no way to the message any more
    except Exception:
        await live.abandon(notice=ABANDONED, buttons=ending_buttons(answer_id, may_continue=False))
        raise


def unquoting(detail: str, request: ChatRequest) -> str:
    """The API's own words fit for a log: withheld where they repeat what people wrote.

    A run of `QUOTE_MARK` characters in common counts as a quotation, or the whole of a shorter text.
    """
    written = [message.text for message in request.messages if message.role != "developer"]
    runs = {detail[start : start + QUOTE_MARK] for start in range(len(detail) - QUOTE_MARK + 1)}
    if any((len(text) < QUOTE_MARK and text in detail) or any(run in text for run in runs) for text in written):
        return "(its words are withheld: they quote the conversation)"
    return detail


def _costs(ended: Ended) -> bool:
    return PAYERS[ended.reason].user != "nothing"


def _cut_off(words: str, ending: Ending) -> str:
    """`words` about an error, which say first that an answer stands above them in part."""
    return f"⚠️ Cut off. {words.removeprefix('⚠️ ')}" if ending == "cut" else words


def _counts(usage: Usage) -> tuple[int, int]:
    return usage.prompt_tokens, usage.completion_tokens
