"""The tree of causes. Errors carry facts; `cogs/words.py` alone turns them into sentences for people.

BotError
├── SettingsError               the environment is missing something or has it wrong
├── BadRequest                  the asker can mend it
│   ├── PromptEmpty
│   ├── PromptTooLong
│   ├── UnknownModel
│   ├── OutOfRange
│   ├── AttachmentRefused
│   ├── NothingToRepeat
│   ├── FormUnknown             one that an earlier version showed, or that nobody did
│   ├── FormUnreadable          an altered client sent it
│   ├── DraftGone               what a form stands on is too old
│   ├── AmountWrong             credits that are no amount, or not one that can be given
│   ├── UnknownTimeZone
│   ├── ModelNotAllowed         the server's admins left it out
│   │   └── DefaultLeftOut      they are about to leave out the default
│   ├── NothingToRemove         there is no such allowance
│   ├── TargetRefused           nobody who can be given credits
│   ├── ChannelRefused          the bot may not write there
│   ├── NothingChosen
│   ├── ChoiceUnknown           an option that is not among those documented
│   ├── PicturesOff             the server's admins want none
│   ├── AgeRestricted           the model is for age-restricted channels only
│   ├── WordBlocked             the server's word list has a word of it
│   ├── WordListRefused         a list that cannot be kept
│   ├── TooFast                 a flood
│   ├── TooLate                 what a button would change has been done
│   └── NotPermitted
├── CreditsError                the ledger says no; nothing was held
│   ├── CreditsRefused          too little is left
│   ├── MemberBlocked           the allowance is `none`
│   ├── CeilingReached          the operator's limit for this month
│   └── RequestEnded            this request was paid for, or given up, before
├── ProviderError               the MiniToolAI API
│   ├── ProviderUnreachable     no connection, or no answer in time
│   │   └── ProviderDown        so often that nothing is sent for a while
│   ├── ProviderRejected        400, 413, 422: it will not take this request
│   ├── ProviderKeyRefused      401, 403: the operator's key
│   ├── ProviderOutOfCredit     402: the operator's balance
│   ├── ProviderModelGone       404
│   ├── ProviderBusy            429, after the retries
│   ├── ProviderFailed          5xx, after the retries, or any other status
│   ├── PictureFailed           the API ended the job with `error`
│   ├── PictureLate             it was not done by its deadline
│   ├── PictureUnusable         what the API's address led to is no picture that can be shown
│   └── StreamFailed            after the first byte
│       ├── StreamBroken        connection lost, or no end that the API documents
│       ├── StreamStalled       nothing for too long
│       ├── StreamEmpty         it ended without a word
│       └── StreamReported      it carried an error object
├── Overloaded                  as many answers as configured are open
│   ├── Restarting              the bot is stopping, and takes nothing new
│   ├── OwnAnswersOpen          as many of the member's own answers as configured are open
│   └── LineFull                as many orders as configured wait in line
└── DeliveryError               Discord
    ├── MessageGone             message, channel or server deleted
    ├── DeliveryForbidden       a permission is missing
    ├── TokenExpired            the interaction's 15 minutes are over
    ├── DeliveryRefused         Discord will not take this body: a fault of ours
    └── DeliveryUnavailable     5xx, 429 or no connection, after the retries
"""

from datetime import datetime
from typing import Literal

AmountProblem = Literal["unreadable", "not positive", "too fine", "too large"]
AllowanceSource = Literal["member", "role", "server", "operator"]
CeilingScope = Literal["server", "bot"]
PromptKind = Literal["question", "picture"]
WordListProblem = Literal["too many", "too long", "unreadable"]
TargetProblem = Literal["left", "deleted", "bot", "everyone"]


class BotError(Exception):
    """The root. Never raised itself."""


class SettingsError(BotError):
    """`problems` has one line for each variable that is missing or wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadRequest(BotError):
    """Something the asker can mend. Nothing was charged or stored."""


class PromptEmpty(BadRequest):
    """No text, no image, no file: nothing to answer; or, `of` a picture, no word that describes it."""

    def __init__(self, of: PromptKind = "question") -> None:
        super().__init__(of)
        self.of: PromptKind = of


class PromptTooLong(BadRequest):
    """`length` and `limit` count `unit`: "characters" as typed, or "tokens" as the model reads them.

    The prompt `of` a question could be attached as a file, that of a picture not.
    """

    def __init__(self, *, length: int, limit: int, unit: str, of: PromptKind = "question") -> None:
        super().__init__(f"{length} {unit}, at most {limit}")
        self.length = length
        self.limit = limit
        self.unit = unit
        self.of: PromptKind = of


class UnknownModel(BadRequest):
    """The catalogue has no such model (any more)."""

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        super().__init__(model)
        self.model = model
        self.known = known


class OutOfRange(BadRequest):
    """An option outside its documented range, inclusive at both ends."""

    def __init__(self, option: str, *, low: float, high: float) -> None:
        super().__init__(f"{option} must lie between {low:g} and {high:g}")
        self.option = option
        self.low = low
        self.high = high


class AttachmentRefused(BadRequest):
    """`reason` is a sentence fragment that follows the file's name: "is not text", "has 90 million pixels; …"."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name
        self.reason = reason


class NothingToRepeat(BadRequest):
    """A button whose stored answer, or picture order, is no longer known."""

    def __init__(self, of: PromptKind = "question") -> None:
        super().__init__(of)
        self.of: PromptKind = of


class FormUnknown(BadRequest):
    """A submitted form that nothing here takes: an earlier version showed it, or an altered client made it up."""


class FormUnreadable(BadRequest):
    """A form without one of its fields, or with one of another kind: only an altered client sends such."""


class DraftGone(BadRequest):
    """What a form stands on is too old, or was never theirs: the message that a question is about or, `of` a picture,
    what was typed before."""

    def __init__(self, of: PromptKind = "question") -> None:
        super().__init__(of)
        self.of: PromptKind = of


class NotPermitted(BadRequest):
    """`needed` says who may: "the person who asked, or a moderator"."""

    def __init__(self, needed: str) -> None:
        super().__init__(needed)
        self.needed = needed


class AmountWrong(BadRequest):
    """`text` is no amount of credits that can be given; `finest` and `largest` are the bounds, in credits."""

    def __init__(self, text: str, problem: AmountProblem, *, finest: str, largest: str) -> None:
        super().__init__(f"{text[:40]!r} is {problem}")
        self.text = text
        self.problem: AmountProblem = problem
        self.finest = finest
        self.largest = largest


class UnknownTimeZone(BadRequest):
    """No such zone in the IANA database. `close` has names that look like it, the likeliest first."""

    def __init__(self, name: str, close: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.close = close


class ModelNotAllowed(BadRequest):
    """The server's admins allow other models only."""

    def __init__(self, model: str, allowed: tuple[str, ...]) -> None:
        super().__init__(model)
        self.model = model
        self.allowed = allowed


class DefaultLeftOut(ModelNotAllowed):
    """The server's default `model` has to be among the models that are to be `allowed`."""

    def __init__(self, model: str, allowed: tuple[str, ...], of: PromptKind = "question") -> None:
        super().__init__(model, allowed)
        self.of: PromptKind = of


class NothingToRemove(BadRequest):
    """Nobody has set an allowance for that target."""


class TargetRefused(BadRequest):
    """Credits are for members and roles of the server: not for who `left`, a role `deleted`, a `bot` or a bot's role.

    Nor for @everyone (`everyone`), whose allowance is the server's default.
    """

    def __init__(self, problem: TargetProblem) -> None:
        super().__init__(problem)
        self.problem: TargetProblem = problem


class ChannelRefused(BadRequest):
    """The bot lacks the permissions `missing`, by the names that Discord's client gives them, in that channel.

    None missing: it is no channel that messages can be posted in, or one that the bot does not see.
    """

    def __init__(self, channel_id: int, missing: tuple[str, ...] = ()) -> None:
        super().__init__(f"channel {channel_id}")
        self.channel_id = channel_id
        self.missing = missing


class NothingChosen(BadRequest):
    """A choice of which at least one is needed."""


class ChoiceUnknown(BadRequest):
    """`value` is none of the `known` ones that `option` takes: a tampered client, or an old button."""

    def __init__(self, option: str, value: str, *, known: tuple[str, ...]) -> None:
        super().__init__(f"{option} {value[:40]!r}")
        self.option = option
        self.value = value
        self.known = known


class PicturesOff(BadRequest):
    """The server's admins have switched pictures off."""


class AgeRestricted(BadRequest):
    """`model` draws in age-restricted channels only, by the server's admins or the bot's operator."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


class WordBlocked(BadRequest):
    """The server's own list has a word of what was asked. Which one, nobody is told: that is how lists are mapped."""


class WordListRefused(BadRequest):
    """`word` is "too long" (over `limit` characters) or "unreadable" (no letter in it), or there are "too many"."""

    def __init__(self, problem: WordListProblem, *, word: str, limit: int) -> None:
        super().__init__(problem)
        self.problem: WordListProblem = problem
        self.word = word
        self.limit = limit


class TooFast(BadRequest):
    """The member may ask again in `retry_after_s` seconds. `first`: they have not been told of it yet."""

    def __init__(self, *, retry_after_s: float, first: bool) -> None:
        super().__init__(f"{retry_after_s:.1f} s too soon")
        self.retry_after_s = retry_after_s
        self.first = first


class TooLate(BadRequest):
    """The order has ended, or is being uploaded: there is nothing to cancel."""


class CreditsError(BotError):
    """The ledger says no. Nothing was held or charged."""


class CreditsRefused(CreditsError):
    """`left_nano` does not pay for `cost_nano`, the least that would be of use.

    `resets_at` is when the allowance starts anew, None where it never does. `source` names the rule in force, `role_id`
    the role where it is one's. In a server (`scope_id` is not 0) its admins can raise it, elsewhere the bot's operator.
    """

    def __init__(
        self,
        *,
        cost_nano: int,
        left_nano: int,
        resets_at: datetime | None,
        source: AllowanceSource,
        role_id: int | None,
        scope_id: int,
    ) -> None:
        super().__init__(f"{left_nano} nano-dollars left, {cost_nano} needed")
        self.cost_nano = cost_nano
        self.left_nano = left_nano
        self.resets_at = resets_at
        self.source: AllowanceSource = source
        self.role_id = role_id
        self.scope_id = scope_id


class MemberBlocked(CreditsError):
    """The allowance in force is `none`: grants do not help either. Facts as in CreditsRefused."""

    def __init__(self, *, source: AllowanceSource, role_id: int | None, scope_id: int) -> None:
        super().__init__(f"blocked by the {source}'s allowance")
        self.source: AllowanceSource = source
        self.role_id = role_id
        self.scope_id = scope_id


class CeilingReached(CreditsError):
    """What the operator pays in a month, for one server or the whole bot, is used up until `resets_at`."""

    def __init__(self, scope: CeilingScope, *, resets_at: datetime) -> None:
        super().__init__(f"the {scope}'s ceiling for this month is reached")
        self.scope: CeilingScope = scope
        self.resets_at = resets_at


class RequestEnded(CreditsError):
    """This request's hold has ended before: it must not be served a second time."""


class ProviderError(BotError):
    """The MiniToolAI API failed. `detail` is the API's own message, for the log and never for users."""

    def __init__(self, detail: str = "", *, status: int | None = None) -> None:
        super().__init__(detail or type(self).__name__)
        self.detail = detail
        self.status = status


class ProviderUnreachable(ProviderError):
    """No connection, or no answer in time. `sent`: the API may have taken the request, and may bill it."""

    def __init__(self, detail: str = "", *, sent: bool = False) -> None:
        super().__init__(detail)
        self.sent = sent


class ProviderDown(ProviderUnreachable):
    """The API failed so often in a row that nothing is sent to it before `retry_after_s` seconds have passed."""

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__(f"not asked: it was down, next try in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class ProviderRejected(ProviderError):
    """400, 413, 422: the API will not take this request."""


class ProviderKeyRefused(ProviderError):
    """401, 403: the operator's key."""


class ProviderOutOfCredit(ProviderError):
    """402: the operator's balance."""


class ProviderModelGone(ProviderError):
    """404: the API does not know the model, or the address."""


class ProviderBusy(ProviderError):
    """429 after the retries. `retry_after_s` is what the API asked for, if it did."""

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail, status=429)
        self.retry_after_s = retry_after_s


class ProviderFailed(ProviderError):
    """5xx after the retries, or a status that the API does not document."""


class PictureFailed(ProviderError):
    """The API ended the job with `error`, or would not make one of the request."""


class PictureLate(ProviderError):
    """The job was not done `waited_s` seconds after it was taken."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__(f"not done after {waited_s:g} s")
        self.waited_s = waited_s


class PictureUnusable(ProviderError):
    """What the API's address led to. `reason` follows "The picture that came back": "is a web page"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamFailed(ProviderError):
    """The answer had begun. What came before stays visible, marked as cut off."""


class StreamBroken(StreamFailed):
    """The connection was lost, the body unreadable, or the end not one that the API documents."""


class StreamStalled(StreamFailed):
    """Nothing came for `silent_s` seconds."""

    def __init__(self, *, silent_s: float) -> None:
        super().__init__(f"nothing for {silent_s:g} s")
        self.silent_s = silent_s


class StreamEmpty(StreamFailed):
    """The answer ended without a word."""


class StreamReported(StreamFailed):
    """The stream carried an error object."""


class Overloaded(BotError):
    """As many answers as configured are open already."""


class Restarting(Overloaded):
    """The bot is stopping: what was begun may end, nothing new begins."""


class OwnAnswersOpen(Overloaded):
    """`limit` answers to the same member are being written already."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} answers are open")
        self.limit = limit


class LineFull(Overloaded):
    """`limit` orders wait in line already: the member's own where `own`, else everybody's."""

    def __init__(self, *, limit: int, own: bool) -> None:
        super().__init__(f"{limit} orders wait in line")
        self.limit = limit
        self.own = own


class DeliveryError(BotError):
    """Discord would not take it. `code` is Discord's JSON error code, 0 where it gave none."""

    def __init__(self, detail: str = "", *, status: int = 0, code: int = 0) -> None:
        super().__init__(detail or type(self).__name__)
        self.detail = detail
        self.status = status
        self.code = code


class MessageGone(DeliveryError):
    """The message, its channel or its server was deleted."""


class DeliveryForbidden(DeliveryError):
    """The bot lacks a permission there."""


class TokenExpired(DeliveryError):
    """The interaction's 15 minutes are over."""


class DeliveryRefused(DeliveryError):
    """Discord refuses the body: a fault of ours."""


class DeliveryUnavailable(DeliveryError):
    """5xx, 429 or no connection, after the retries."""
