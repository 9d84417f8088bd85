"""What people are told: the one mapping from causes to sentences."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from discord import app_commands
from discord.utils import format_dt

from bot import errors
from bot.client import Bot
from bot.credits.policy import DIRECT_SCOPE
from bot.money import CreditUnit, NanoDollars
from bot.storage.errors import StorageDamaged, StorageError

_WRONG_SETUP: Final = (
    "⚠️ I am set up wrongly, so I cannot reach the AI service. "
    "Please tell the bot's operator; the log says what to mend."
)


def _seconds(wait_s: float) -> str:
    """Whole seconds, rounded up: who waits for as long has waited long enough."""
    whole = math.ceil(wait_s)
    return f"{whole:,} second{'' if whole == 1 else 's'}"


def _minutes(wait_s: float) -> str:
    """Whole minutes, or seconds where it is less than two of them."""
    return _seconds(wait_s) if wait_s < 120 else f"{wait_s / 60:,.0f} minutes"


def _busy(error: errors.ProviderBusy) -> str:
    wait = f"in {_seconds(error.retry_after_s)}" if error.retry_after_s else "in a minute"
    return f"⚠️ The AI service is too busy just now. Please try again {wait}."


_FORGOTTEN: Final[dict[errors.PromptKind, str]] = {
    "question": "⚠️ I no longer know this answer, so this button cannot do anything. Please ask again.",
    "picture": "⚠️ I no longer know this order, so this button cannot do anything. Please order with `/imagine`.",
}

_DRAFT_GONE: Final[dict[errors.PromptKind, str]] = {
    "question": (
        "⚠️ I no longer have the message that this question is about: I keep it for 15 minutes. Please choose it again, "
        "with Apps > Ask about this in its menu."
    ),
    "picture": "⚠️ I no longer have what you typed: I keep it for 15 minutes. Please order with `/imagine`.",
}

_NOTHING_SAID: Final[dict[errors.PromptKind, str]] = {
    "question": "⚠️ There is nothing to answer: please write a question, or attach a picture or a file.",
    "picture": "⚠️ There is nothing to draw: I draw from words alone. Please describe the picture.",
}


def _too_long(error: errors.PromptTooLong) -> str:
    way_out = "attach it as a `file`" if error.unit == "characters" else "ask about it in parts"
    else_do = f", or {way_out}" if error.of == "question" else ""
    return (
        f"⚠️ That is too long: {error.length:,} {error.unit}, and at most {error.limit:,} fit. "
        f"Please shorten it{else_do}."
    )


def _attachment(error: errors.AttachmentRefused) -> str:
    name = error.name.replace("`", "'")  # a backtick would end the code that shows the name as it is
    return f"⚠️ `{name}` {error.reason}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _typed(text: str) -> str:
    """The beginning of what somebody typed, as code, in which no Markdown and no mention works."""
    return f"`{' '.join(text.replace('`', ' ').split())[:40] or ' '}`"


def _unknown_model(error: errors.UnknownModel) -> str:
    known = f"Please choose one of {_listed(error.known)}." if error.known else "The bot's operator offers no other."
    return f"⚠️ There is no model {_typed(error.model)} (any more). {known}"


def _model_not_allowed(error: errors.ModelNotAllowed) -> str:
    if not error.allowed:
        return (
            "⚠️ None of the models that this server's admins allow can draw here. An age-restricted channel may do; "
            "admins change that with `/settings picture-models`."
        )
    return f"⚠️ `{error.model[:80]}` is not among the models that this server's admins allow: {_listed(error.allowed)}."


def _amount_wrong(error: errors.AmountWrong) -> str:
    wrong: dict[errors.AmountProblem, str] = {
        "unreadable": "is not an amount that I can read. Please write credits like `100`, `1,000` or `0.5`.",
        "not positive": "is not more than nothing. Please write an amount of credits above zero.",
        "too fine": f"is finer than I can count: the smallest step is {error.finest} credits.",
        "too large": f"is more than I can give: at most {error.largest} credits.",
    }
    return f"⚠️ {_typed(error.text)} {wrong[error.problem]}"


def _unknown_zone(error: errors.UnknownTimeZone) -> str:
    typed = _typed(error.name)
    close = f"Did you mean {_listed(error.close)}?" if error.close else "They are named like `Europe/Paris`."
    return f"⚠️ I know no time zone {typed}. {close}"


_DEFAULT_COMMANDS: Final[dict[errors.PromptKind, str]] = {
    "question": "/settings default-model",
    "picture": "/settings picture-defaults",
}


def _word_list_refused(error: errors.WordListRefused) -> str:
    word = _typed(error.word)
    wrong: dict[errors.WordListProblem, str] = {
        "too many": f"That is more than a list can have: at most {error.limit} words.",
        "too long": f"{word} is too long for a word: at most {error.limit} characters.",
        "unreadable": f"{word} has no letter or digit that I could look for.",
    }
    return f"⚠️ {wrong[error.problem]} Nothing was changed."


def _default_left_out(error: errors.DefaultLeftOut) -> str:
    return (
        f"⚠️ `{error.model}` is this server's default model, so it has to be among the allowed ones. Allow it too, or "
        f"choose another default with `{_DEFAULT_COMMANDS[error.of]}` first."
    )


_TARGETS: Final[dict[errors.TargetProblem, str]] = {
    "left": "⚠️ That is not a member of this server (any more). Credits are for members and roles.",
    "deleted": "⚠️ That role does not exist in this server (any more).",
    "bot": "⚠️ Bots get no credits: I answer people only. Please choose a member or a role.",
    "everyone": "⚠️ For everyone, leave the `target` out: that is the server's default.",
}


def _channel_refused(error: errors.ChannelRefused) -> str:
    where = f"<#{error.channel_id}>"
    if not error.missing:
        return f"⚠️ I do not see {where}, or nobody can write messages there. Please choose another channel."
    return f"⚠️ I may not write in {where}. There I need: {', '.join(error.missing)}."


def _credits_refused(error: errors.CreditsRefused, unit: CreditUnit) -> str:
    cost, left = unit.show(NanoDollars(error.cost_nano), up=True), unit.show(NanoDollars(error.left_nano))
    again = "" if error.resets_at is None else f" Your allowance starts anew {format_dt(error.resets_at, 'R')}."
    return f"⚠️ That needs {cost} credits, and you have {left} left.{again} {_who_can_raise(error.scope_id)}"


def _who_can_raise(scope_id: int) -> str:
    if scope_id == DIRECT_SCOPE:
        return "Only the bot's operator can raise it."
    return "This server's admins can raise it, with `/quota`."


def _blocked(error: errors.MemberBlocked) -> str:
    if error.scope_id == DIRECT_SCOPE:
        return "⚠️ The bot's operator gives no credits for direct messages. Please ask me in a server."
    rules = {"member": "you", "role": f"your role <@&{error.role_id}>", "server": "its members"}
    whom = rules.get(error.source)
    if whom is None:
        return f"⚠️ The bot's operator gives no credits here by default. {_who_can_raise(error.scope_id)}"
    return f"⚠️ This server's admins have blocked {whom} from spending credits. Only they can change that."


def _ceiling(error: errors.CeilingReached) -> str:
    whose = "This server has" if error.scope == "server" else "I have"
    return (
        f"⚠️ {whose} used up what the bot's operator pays for in a month. "
        f"It goes on {format_dt(error.resets_at, 'R')}, or when the operator raises the limit."
    )


def _choice_unknown(error: errors.ChoiceUnknown) -> str:
    known = f"one of {_listed(error.known)}" if error.known else "it anew"
    return f"⚠️ `{error.option}` cannot be {_typed(error.value)}. Please choose {known}."


def _line_full(error: errors.LineFull) -> str:
    orders = f"{error.limit:,} order{'' if error.limit == 1 else 's'}"
    if error.limit == 0:
        whose = "You have" if error.own else "There are"
        return f"⚠️ {whose} as many orders under way as I draw at once. Please try again once a picture has come."
    if error.own:
        return f"⚠️ You have {orders} in line already. Please wait for a picture, or cancel one."
    return f"⚠️ So many want pictures that there are {orders} in line already. Please try again in a few minutes."


_CREDIT_SENTENCES: Final[dict[type[BaseException], Callable[[Any, CreditUnit], str]]] = {
    errors.CreditsRefused: _credits_refused,
}
"""Those that name amounts."""

_SENTENCES: Final[dict[type[BaseException], str | Callable[[Any], str]]] = {
    errors.PromptEmpty: lambda e: _NOTHING_SAID[e.of],
    errors.PromptTooLong: _too_long,
    errors.UnknownModel: _unknown_model,
    errors.OutOfRange: lambda e: f"⚠️ `{e.option}` must lie between {e.low:,.10g} and {e.high:,.10g}.",
    errors.AttachmentRefused: _attachment,
    errors.NothingToRepeat: lambda e: _FORGOTTEN[e.of],
    errors.FormUnknown: "⚠️ I no longer know this form. Please open it again.",
    errors.FormUnreadable: "⚠️ This form did not reach me as I showed it, so I did nothing. Please open it again.",
    errors.DraftGone: lambda e: _DRAFT_GONE[e.of],
    errors.NotPermitted: lambda e: f"⚠️ Only {e.needed} may do that.",
    errors.AmountWrong: _amount_wrong,
    errors.UnknownTimeZone: _unknown_zone,
    errors.ModelNotAllowed: _model_not_allowed,
    errors.DefaultLeftOut: _default_left_out,
    errors.NothingToRemove: "⚠️ There is nothing to remove: no allowance is set for that target itself.",
    errors.TargetRefused: lambda e: _TARGETS[e.problem],
    errors.ChannelRefused: _channel_refused,
    errors.NothingChosen: "⚠️ Please choose at least one.",
    errors.ChoiceUnknown: _choice_unknown,
    errors.PicturesOff: (
        "⚠️ Pictures are switched off in this server. Its admins can switch them on, with `/settings images`."
    ),
    errors.AgeRestricted: lambda e: (
        f"⚠️ `{e.model[:80]}` draws in age-restricted channels only. Please choose another `model`, or go to such a "
        "channel."
    ),
    errors.TooLate: (
        "⚠️ It is too late for that: the order has ended, or its pictures are on their way. In a moment, **Delete** "
        "removes it."
    ),
    errors.MemberBlocked: _blocked,
    errors.CeilingReached: _ceiling,
    errors.RequestEnded: "⚠️ This request has been dealt with before. Please send it again.",
    errors.ProviderUnreachable: "⚠️ The AI service did not answer. Please try again in a minute.",
    errors.ProviderDown: lambda e: (
        f"⚠️ The AI service is down just now. I try it again in {_seconds(e.retry_after_s)}; please ask after that."
    ),
    errors.ProviderRejected: (
        "⚠️ The AI service would not take this request. Please change it, or leave out what is attached, and try again."
    ),
    errors.ProviderKeyRefused: _WRONG_SETUP,
    errors.ProviderOutOfCredit: "⚠️ The AI account behind me has run dry. The bot's operator has to top it up.",
    errors.ProviderModelGone: "⚠️ The AI service no longer has this model. Please choose another `model`.",
    errors.ProviderBusy: _busy,
    errors.ProviderFailed: "⚠️ The AI service has a problem of its own. Please try again in a minute.",
    errors.PictureFailed: (
        "⚠️ The AI service could not draw this. Please try again, with other words, or with another `model`."
    ),
    errors.PictureLate: lambda e: (
        f"⚠️ The picture was not done after {_minutes(e.waited_s)}, so I stopped waiting. Please try again later, or "
        "with another `model`."
    ),
    errors.PictureUnusable: lambda e: (
        f"⚠️ The picture that came back {e.reason}, so I do not show it. Please try again."
    ),
    errors.StreamBroken: "⚠️ The connection to the AI service was lost.",
    errors.StreamStalled: lambda e: f"⚠️ The AI service said nothing for {_seconds(e.silent_s)}.",
    errors.StreamEmpty: "⚠️ The AI service answered without a word. Please try again, or ask in other words.",
    errors.StreamReported: "⚠️ The AI service reported an error instead of going on.",
    errors.MessageGone: "The message was deleted, so I stopped writing it.",
    errors.DeliveryForbidden: (
        "⚠️ I am not allowed to write there. A server admin can grant me View Channel, Send Messages and Attach Files."
    ),
    errors.TokenExpired: "⚠️ Discord let me answer for 15 minutes, and they are over. Please try again.",
    errors.DeliveryRefused: "⚠️ Discord refused what I wanted to show. Please tell the bot's operator.",
    errors.DeliveryUnavailable: "⚠️ Discord does not take what I want to show just now. Please try again in a minute.",
    errors.Overloaded: "⚠️ I am at work on as much as I can take. Please try again in a minute.",
    errors.LineFull: _line_full,
    errors.WordBlocked: (
        "⚠️ This server's admins have a list of words that are not for here, and one of them is in there. "
        "Please put it in other words."
    ),
    errors.WordListRefused: _word_list_refused,
    errors.OwnAnswersOpen: lambda e: (
        f"⚠️ {'An answer is' if e.limit == 1 else f'{e.limit} answers are'} being written for you already. "
        "Please wait for the end of one, or stop it, and ask again."
    ),
    errors.TooFast: lambda e: f"⚠️ That was quick. Please wait {_minutes(e.retry_after_s)} before you ask again.",
    errors.Restarting: "⚠️ I am being restarted. Please try again in a minute.",
    StorageDamaged: (
        "🛑 My memory is damaged, so I take nothing new until my operator has mended it. Nothing was charged."
    ),
    StorageError: "⚠️ I cannot reach my memory just now. Please try again in a minute.",
    app_commands.MissingPermissions: "⚠️ You do not have the permission for that here.",
    app_commands.NoPrivateMessage: "⚠️ That works in servers only.",
    app_commands.CommandNotFound: (
        "⚠️ This command has changed since Discord last looked. Please wait a minute, or restart Discord, and try again."
    ),
    app_commands.CommandSignatureMismatch: (
        "⚠️ This command has changed since Discord last looked. Please wait a minute, or restart Discord, and try again."
    ),
    app_commands.TransformerError: "⚠️ One of the options has a value that I cannot read. Please choose it anew.",
}


def explain(error: BaseException, unit: CreditUnit) -> str | None:
    """The sentence for `error`, by its class or the nearest ancestor that has one; None for the unforeseen."""
    for kind in type(error).__mro__:
        if (with_amounts := _CREDIT_SENTENCES.get(kind)) is not None:
            return with_amounts(error, unit)
        sentence = _SENTENCES.get(kind)
        if sentence is not None:
            return sentence if isinstance(sentence, str) else sentence(error)
    return None


async def setup(bot: Bot) -> None:
    bot.explain = partial(explain, unit=bot.services.unit)
