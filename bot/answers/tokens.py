"""How many tokens a text, a conversation and a picture are to the model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

try:
    import toktok
except ImportError:  # no build for this platform: count bytes instead
    toktok = None

ENCODING: Final = "o200k_base"
"""The encoding of the gpt-4o and gpt-4.1 families, which is every chat model of the API."""

TOKENS_PER_MESSAGE: Final = 3
"""What frames each message of a conversation. Source, also of the next two: OpenAI's guide "How to count tokens"."""

TOKENS_PER_ROLE: Final = 1
"""The word `developer`, `user` or `assistant`."""

TOKENS_FOR_REPLY: Final = 3
"""What opens the model's own message, once a request."""


def whole_text(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD: it can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TokenCounter:
    """Counts as the model does, or, where `exact` is false, counts UTF-8 bytes.

    A token is at least one byte, so the bytes are never fewer than the tokens: a price held by them is enough.
    """

    def __init__(self, *, exact: bool = True) -> None:
        self.exact = exact and toktok is not None

    def load(self) -> None:
        """Read the encoding, about 0.25 s of work that the first count would do otherwise. For a thread."""
        self.count("")

    def count(self, text: str) -> int:
        """The tokens of `text`, special-token names counted as the ordinary text they are."""
        return self.count_many((text,))[0]

    def count_many(self, texts: Iterable[str]) -> list[int]:
        """The tokens of each of `texts`, in order."""
        cleaned = [whole_text(text) for text in texts]
        if not self.exact:
            return [len(text.encode()) for text in cleaned]
        counts: list[int] = toktok.batch_count(cleaned, ENCODING, threads=1)
        return counts

    def count_messages(self, texts: Sequence[str]) -> int:
        """The tokens of a request whose messages have these texts; pictures come on top."""
        return sum(map(message_tokens, self.count_many(texts))) + TOKENS_FOR_REPLY


def message_tokens(text_tokens: int) -> int:
    """A message's tokens, from its text's."""
    return TOKENS_PER_MESSAGE + TOKENS_PER_ROLE + text_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class _TileRule:
    """Prices of a picture in tokens. Source: OpenAI's guide "Images and vision", calculating costs."""

    base: int
    tile: int


_TILE_RULES: Final = (
    ("gpt-4o-mini", _TileRule(base=2_833, tile=5_667)),
    ("gpt-4.1-mini", _TileRule(base=2_833, tile=5_667)),  # not published by tiles: the dearest rule, to be safe
    ("gpt-4.1-nano", _TileRule(base=2_833, tile=5_667)),
    ("gpt-4o", _TileRule(base=85, tile=170)),
    ("gpt-4.1", _TileRule(base=85, tile=170)),
)
_UNKNOWN_RULE: Final = _TileRule(base=2_833, tile=5_667)

_LONG_SIDE: Final = 2_048
_SHORT_SIDE: Final = 768
_TILE_SIDE: Final = 512
_MOST_TILES: Final = math.ceil(_LONG_SIDE / _TILE_SIDE) * math.ceil(_SHORT_SIDE / _TILE_SIDE)


def image_tokens(model: str, *, detail: str = "auto", size: tuple[int, int] | None = None) -> int:
    """The most tokens that a picture of `size` (width, height in pixels) costs; without a size, any picture.

    `low` detail costs the base alone. `high`, and `auto` which may choose it, add a price for each tile of 512 pixels
    of the picture scaled into 2,048 by 2,048 and to a shortest side of 768.
    """
    rule = next((rule for prefix, rule in _TILE_RULES if model.startswith(prefix)), _UNKNOWN_RULE)
    if detail == "low":
        return rule.base
    return rule.base + rule.tile * (_MOST_TILES if size is None else _tiles(*size))


def _tiles(width: int, height: int) -> int:
    if min(width, height) <= 0:
        raise ValueError("a picture has pixels")
    # Integers throughout: 768 must not become 768.0000001 and a tile more. Scale by numerator/denominator.
    long_side, short_side = max(width, height), min(width, height)
    numerator, denominator = min(
        ((_LONG_SIDE, long_side), (_SHORT_SIDE, short_side)), key=lambda scale: scale[0] / scale[1]
    )
    across = -(-long_side * numerator // (denominator * _TILE_SIDE))
    down = -(-short_side * numerator // (denominator * _TILE_SIDE))
    return max(across, 1) * max(down, 1)
