"""A server's own list of words: found in what people ask, masked in what they are answered. Pure.

Words are compared as people read them: whatever their case, width, accents and vowel points, and whatever invisible
characters stand between their letters. A word of a script that sets spaces between words has to stand alone (`ass` is
not in `class`); one of a script without them is found anywhere.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import regex

from bot.errors import WordListRefused

WORDS_LIMIT: Final = 300
WORD_LIMIT: Final = 60
"""Characters of one word, or phrase, as it is compared."""
LIST_LIMIT: Final = 4_000
"""Characters of the whole list: what a modal's text field takes."""
MASK: Final = "▮"

_INVISIBLE: Final = frozenset({"Cf", "Cc"})
_NO_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD: Final = r"[\p{L}\p{M}\p{N}_]"
_STARTS_IN_SUCH: Final = regex.compile(rf"[{_NO_SPACES}]")
_NOTHING: Final = regex.compile(r"(?!)")


def parse_words(text: str) -> tuple[str, ...]:
    """The words of a list as an admin types it, one a line or between commas, each once, as typed.

    Raises:
        WordListRefused: too many, or one that is too long or has no letter that could be found.
    """
    typed = [" ".join(part.split()) for line in text.splitlines() for part in line.split(",")]
    words: dict[str, str] = {}
    for word in filter(None, typed):
        folded = _Folded.of(word).text.strip()
        if len(folded) > WORD_LIMIT:
            raise WordListRefused("too long", word=word, limit=WORD_LIMIT)
        if not regex.search(_WORD, folded):
            raise WordListRefused("unreadable", word=word, limit=WORD_LIMIT)
        words.setdefault(folded, word)
    if len(words) > WORDS_LIMIT or len(text) > LIST_LIMIT:
        raise WordListRefused("too many", word="", limit=WORDS_LIMIT)
    return tuple(words.values())


@dataclass(frozen=True, slots=True)
class _Folded:
    """Text as it is compared; `sources[i]` is where its character `i` comes from in the text itself."""

    text: str
    sources: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "_Folded":
        folded: list[str] = []
        sources: list[int] = []
        for at, character in enumerate(text):
            for one in _fold(character):
                if one == " " and folded and folded[-1] == " ":
                    continue
                folded.append(one)
                sources.append(at)
        return cls("".join(folded), tuple(sources))


@lru_cache(maxsize=4_096)
def _fold(character: str) -> str:
    """What stands for one character in a comparison: nothing for what cannot be seen, nor for accents and points."""
    if character.isspace():
        return " "
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(one for one in apart if not _is_accent(one))


def _is_accent(one: str) -> bool:
    """Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowels. The marks of other scripts are letters."""
    return "\u0300" <= one <= "\u036f" or "\u0591" <= one <= "\u05c7" or "\u064b" <= one <= "\u065f" or one == "\u0670"


class WordList:
    """Made once for a list; an empty one finds nothing."""

    def __init__(self, words: Iterable[str]) -> None:
        folded = sorted({_Folded.of(word).text.strip() for word in words} - {""}, key=lambda word: (-len(word), word))
        self._pattern = regex.compile("|".join(map(_alone, folded))) if folded else _NOTHING
        self.is_empty: Final = not folded

    def finds(self, *texts: str | None) -> bool:
        """Whether one of the words stands in one of the texts."""
        return not self.is_empty and any(self._pattern.search(_Folded.of(text).text) for text in texts if text)

    def masked(self, text: str) -> str:
        """`text` with a mark in place of each character of such words; its length stays."""
        return text if self.is_empty else _hide(text, self._found(_Folded.of(text)))

    def undecided_from(self, text: str) -> int:
        """Where in `text`, which goes on, a word may begin of which only the beginning is there; its length if none."""
        if self.is_empty:
            return len(text)
        folded = _Folded.of(text)
        at = 0
        while (found := self._pattern.search(folded.text, at, partial=True)) is not None:
            if found.partial or found.end() == len(folded.text):
                start = found.start()
                return folded.sources[start] if start < len(folded.sources) else len(text)
            at = found.end()
        return len(text)

    def _found(self, folded: _Folded) -> list[tuple[int, int]]:
        """The places in the text itself, from a first character to behind a last one."""
        return [
            (folded.sources[found.start()], folded.sources[found.end() - 1] + 1)
            for found in self._pattern.finditer(folded.text)
        ]


class Masker:
    """Masks a text that comes in pieces. What may turn out to be a listed word is held back until that is known."""

    def __init__(self, words: WordList) -> None:
        self._words = words
        self._held = ""
        self._before = ""

    def feed(self, piece: str) -> str:
        """What can be shown now, of this piece and what was held."""
        if self._words.is_empty:
            return piece
        self._held += piece
        # The character before decides whether a word stands alone; it has been shown, and is not shown again.
        text = self._before + self._held
        return self._show(max(self._words.undecided_from(text) - len(self._before), 0))

    def end(self) -> str:
        """The rest, when there is no more."""
        return self._show(len(self._held))

    def _show(self, count: int) -> str:
        if not count:
            return ""
        masked = self._words.masked(self._before + self._held)[len(self._before) :]
        shown, self._held = masked[:count], self._held[count:]
        self._before = (self._before + shown)[-1:]
        return shown


def _alone(word: str) -> str:
    """The pattern of one folded word."""
    before = "" if _STARTS_IN_SUCH.match(word[0]) else rf"(?<!{_WORD})"
    after = "" if _STARTS_IN_SUCH.match(word[-1]) else rf"(?!{_WORD})"
    return f"{before}{regex.escape(word, literal_spaces=True)}{after}"


def _hide(text: str, places: Iterable[tuple[int, int]]) -> str:
    hidden = list(text)
    for start, end in places:
        hidden[start:end] = [one if one.isspace() else MASK for one in hidden[start:end]]
    return "".join(hidden)
