"""What people are told: the one mapping from causes to sentences."""

import math
from collections.abc import Callable
from typing import Any, Final

from discord import app_commands

from bot import errors
from bot.client import Bot
from bot.storage.errors import StorageError

_WRONG_SETUP: Final = (
    "⚠️ I am set up wrongly, so I cannot reach the AI service. "
    "Please tell the bot's operator; the log says what to mend."
)


def _seconds(wait_s: float) -> str:
    """Whole seconds, rounded up: who waits for as long has waited long enough."""
    whole = math.ceil(wait_s)
    return f"{whole:,} second{'' if whole == 1 else 's'}"


def _busy(error: errors.ProviderBusy) -> str:
    wait = f"in {_seconds(error.retry_after_s)}" if error.retry_after_s else "in a minute"
    return f"⚠️ The AI service is too busy just now. Please try again {wait}."


def _too_long(error: errors.PromptTooLong) -> str:
    way_out = "attach it as a `file`" if error.unit == "characters" else "ask about it in parts"
    return (
        f"⚠️ That is too long: {error.length:,} {error.unit}, and at most {error.limit:,} fit. "
        f"Please shorten it, or {way_out}."
    )


def _attachment(error: errors.AttachmentRefused) -> str:
    name = error.name.replace("`", "'")  # a backtick would end the code that shows the name as it is
    return f"⚠️ `{name}` {error.reason}."


def _unknown_model(error: errors.UnknownModel) -> str:
    known = ", ".join(f"`{model}`" for model in error.known)
    return f"⚠️ There is no model `{error.model[:80]}` (any more). Please choose one of {known}."


_SENTENCES: Final[dict[type[BaseException], str | Callable[[Any], str]]] = {
    errors.PromptEmpty: "⚠️ There is nothing to answer: please write a question, or attach a picture or a file.",
    errors.PromptTooLong: _too_long,
    errors.UnknownModel: _unknown_model,
    errors.OutOfRange: lambda e: f"⚠️ `{e.option}` must lie between {e.low:,.10g} and {e.high:,.10g}.",
    errors.AttachmentRefused: _attachment,
    errors.NothingToRepeat: "⚠️ I no longer know this answer, so this button cannot do anything. Please ask again.",
    errors.NotPermitted: lambda e: f"⚠️ Only {e.needed} may do that.",
    errors.ProviderUnreachable: "⚠️ The AI service did not answer. Please try again in a minute.",
    errors.ProviderRejected: (
        "⚠️ The AI service would not take this question. Please change it, or leave out the attachments, and try again."
    ),
    errors.ProviderKeyRefused: _WRONG_SETUP,
    errors.ProviderOutOfCredit: "⚠️ The AI account behind me has run dry. The bot's operator has to top it up.",
    errors.ProviderModelGone: "⚠️ The AI service no longer has this model. Please choose another `model`.",
    errors.ProviderBusy: _busy,
    errors.ProviderFailed: "⚠️ The AI service has a problem of its own. Please try again in a minute.",
    errors.StreamBroken: "⚠️ The connection to the AI service was lost.",
    errors.StreamStalled: lambda e: f"⚠️ The AI service said nothing for {_seconds(e.silent_s)}.",
    errors.StreamEmpty: "⚠️ The AI service answered without a word. Please try again, or ask in other words.",
    errors.StreamReported: "⚠️ The AI service reported an error instead of going on.",
    errors.MessageGone: "The message with the answer was deleted, so I stopped writing it.",
    errors.DeliveryForbidden: (
        "⚠️ I am not allowed to write there. A server admin can grant me View Channel, Send Messages and Attach Files."
    ),
    errors.TokenExpired: "⚠️ Discord let me answer for 15 minutes, and they are over. Please ask again.",
    errors.DeliveryRefused: "⚠️ Discord refused the answer. Please tell the bot's operator.",
    errors.DeliveryUnavailable: "⚠️ Discord does not take the answer just now. Please ask again in a minute.",
    errors.Overloaded: "⚠️ I am answering as many questions as I can. Please try again in a minute.",
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


def explain(error: BaseException) -> str | None:
    """The sentence for `error`, by its class or the nearest ancestor that has one; None for the unforeseen."""
    for kind in type(error).__mro__:
        sentence = _SENTENCES.get(kind)
        if sentence is not None:
            return sentence if isinstance(sentence, str) else sentence(error)
    return None


async def setup(bot: Bot) -> None:
    bot.explain = explain
