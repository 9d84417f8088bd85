"""What the documented chat endpoint takes, and what it counts."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import toktok

DEFAULT_MAX_COMPLETION_TOKENS: Final = 1_000
ENCODING: Final = "o200k_base"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """`dated` is the name in the answer. Limits are OpenAI's, in tokens.

    A picture costs `tile_base` plus `tile` for each 512-pixel tile, or, where `patch` is given, that factor for each
    patch of 32 pixels (platform.openai.com, "Images and vision", "Calculating costs").
    """

    dated: str
    context: int
    output: int
    tile_base: int = 0
    tile: int = 0
    patch: float | None = None


MODELS: Final[dict[str, Model]] = {
    "gpt-4o": Model(dated="gpt-4o-2024-08-06", context=128_000, output=16_384, tile_base=85, tile=170),
    "gpt-4o-mini": Model(dated="gpt-4o-mini-2024-07-18", context=128_000, output=16_384, tile_base=2_833, tile=5_667),
    "gpt-4.1": Model(dated="gpt-4.1-2025-04-14", context=1_047_576, output=32_768, tile_base=85, tile=170),
    "gpt-4.1-mini": Model(dated="gpt-4.1-mini-2025-04-14", context=1_047_576, output=32_768, patch=1.62),
    "gpt-4.1-nano": Model(dated="gpt-4.1-nano-2025-04-14", context=1_047_576, output=32_768, patch=2.46),
}

_FIELDS: Final = {"model", "messages", "temperature", "max_completion_tokens"}
# Tuples: what is looked up in them may be anything, also what has no hash.
_ROLES: Final = ("assistant", "developer", "user")
_DETAILS: Final = ("auto", "high", "low")
_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


class Refused(Exception):
    """The request breaks a documented rule; its text is the message of the 400."""


def count(texts: Iterable[str]) -> int:
    """The tokens in `texts`, each counted by itself."""
    return sum(toktok.batch_count(list(texts), ENCODING, 1))


def shorten(text: str, tokens: int) -> tuple[str, bool]:
    """`text` cut to at most `tokens` tokens, and whether anything was cut off."""
    short, whole = toktok.truncate(text, tokens, ENCODING)
    return short, whole > tokens


def check(body: object) -> int:
    """Raise `Refused` unless `body` is as documented. Returns the tokens of the prompt."""
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    if unknown := sorted(set(body) - _FIELDS):
        raise Refused(f"unrecognized request argument supplied: {', '.join(unknown)}")
    model = MODELS.get(body["model"]) if isinstance(body.get("model"), str) else None
    if model is None:
        raise Refused(f"the model must be one of {', '.join(MODELS)}")
    _check_temperature(body.get("temperature"))
    limit = _completion_limit(body.get("max_completion_tokens"), model)
    _check_messages(body.get("messages"))
    tokens = prompt_tokens(body["messages"], model)
    if tokens + limit > model.context:
        raise Refused(
            f"this model's maximum context length is {model.context} tokens; the messages have {tokens} and "
            f"{limit} were asked for in the completion"
        )
    return tokens


def completion_limit(body: dict[str, Any]) -> int:
    """The tokens that the answer to a checked `body` may have."""
    asked = body.get("max_completion_tokens")
    return DEFAULT_MAX_COMPLETION_TOKENS if asked is None else int(asked)


def prompt_tokens(messages: list[dict[str, Any]], model: Model) -> int:
    """OpenAI's own recipe: three tokens around each message and three to prime the answer (cookbook, "How to count
    tokens with tiktoken"), plus the pictures."""
    texts: list[str] = []
    pictures = 0
    for message in messages:
        texts.append(message["role"])
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                pictures += picture_tokens(part["image_url"].get("detail", "auto"), model)
    return count(texts) + 3 * len(messages) + 3 + pictures


def picture_tokens(detail: str, model: Model, *, width: int = 1024, height: int = 1024) -> int:
    """What one picture costs. The server fetches nothing, so it takes each for 1024 x 1024 pixels."""
    if model.patch is not None:
        patches = min(math.ceil(width / 32) * math.ceil(height / 32), 1_536)
        return math.ceil(patches * model.patch)
    if detail == "low":
        return model.tile_base
    scale = min(1.0, 2_048 / max(width, height))
    scale = min(scale, 768 / min(width * scale, height * scale) * scale)
    tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
    return model.tile_base + model.tile * tiles


def _check_temperature(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 2:
        raise Refused("temperature must be a number from 0.0 to 2.0, or null")


def _completion_limit(value: object, model: Model) -> int:
    if value is None:
        return DEFAULT_MAX_COMPLETION_TOKENS
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= model.output:
        raise Refused(f"max_completion_tokens must be an integer from 1 to {model.output}, or null")
    return value


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refused("messages must be an array with at least one message")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise Refused(f"{where} must have a role and a content, and nothing else")
        if message["role"] not in _ROLES:
            raise Refused(f"{where}.role must be one of {', '.join(_ROLES)}")
        content = message["content"]
        if isinstance(content, str):
            continue
        if message["role"] != "user" or not isinstance(content, list) or not content:
            raise Refused(f"{where}.content must be a string, or, for a user, a list of parts")
        for part_number, part in enumerate(content):
            _check_part(part, f"{where}.content[{part_number}]")


def _check_part(part: object, where: str) -> None:
    if not isinstance(part, dict) or len(part) != 2:
        raise Refused(f"{where} must be an object with a type and what it names")
    match part:
        case {"type": "text", "text": str()}:
            return
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            if not _is_fetchable(url):
                raise Refused(f"{where}.image_url.url must be an https address")
            if set(rest) - {"detail"} or rest.get("detail", "auto") not in _DETAILS:
                raise Refused(f"{where}.image_url.detail must be one of {', '.join(_DETAILS)}")
        case _:
            raise Refused(f"{where} must be a text part or an image_url part")


def _is_fetchable(url: str) -> bool:
    """https, as documented; plain http on loopback only, where the sandbox's own CDN lives."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )
