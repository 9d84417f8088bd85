"""A server's own list of words: found in what people ask, masked in what they are answered. Pure.

Words are compared as people read them: whatever their case, width, accents and vowel points, and whatever invisible
characters, or marks that Discord takes for formatting (`d**ar**n`), stand between their letters. A word of a script
that sets spaces between words has to stand alone (`ass` is not in `class`); one of a script without them is found
anywhere. Letters of another script that look alike are other letters.
"""

import unicodedata
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
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
KEPT_CHARACTERS: Final = 200_000
"""Of all lists whose patterns are kept. A pattern takes about 130 bytes for each, so this comes to some 26 MB."""
KEPT_LEAST: Final = 20
"""Characters that even a shorter list counts as."""
MASK: Final = "▮"

HELD_LIMIT: Final = 512
"""Characters that a `Masker` holds back at most: whoever puts more of them between two letters has parted them."""

_UNSEEN: Final = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\u2800]")
"""Among them what Unicode counts as letters or marks: fillers, variation selectors. U+2800 is Braille without a dot."""
_ACCENT: Final = regex.compile(
    r"(?V1)[[[\p{M}&&[\p{Zinh}\p{Latn}\p{Grek}\p{Cyrl}\p{Hebr}\p{Arab}\p{Syrc}]]--[\u3099\u309a]]\u0640]"
)
"""Accents, Hebrew points, Arabic vowels, and the stroke that lengthens Arabic words. The marks of other scripts, the
two for voiced kana among them, are letters."""
_FORMATTING: Final = frozenset("*_~|`")
_NO_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD: Final = rf"(?:(?![{_NO_SPACES}])[\p{{L}}\p{{M}}\p{{N}}_])"
"""What makes a word a part of another one."""
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
        if not regex.search(r"[\p{L}\p{M}\p{N}_]", folded):
            raise WordListRefused("unreadable", word=word, limit=WORD_LIMIT)
        words.setdefault(folded, word)
    if len(words) > WORDS_LIMIT or len(text) > LIST_LIMIT:
        raise WordListRefused("too many", word="", limit=WORDS_LIMIT)
    return tuple(words.values())


@dataclass(frozen=True, slots=True)
class _Folded:
    """Text as it is compared; `sources[i]` is where its character `i` comes from in the text itself.

    `bare`: without the marks that may be formatting.
    """

    text: str
    sources: tuple[int, ...]

    @classmethod
    def of(cls, text: str, *, bare: bool = False) -> "_Folded":
        folded: list[str] = []
        sources: list[int] = []
        for at, character in enumerate(text):
            for one in _fold(character):
                if (one == " " and folded and folded[-1] == " ") or (bare and one in _FORMATTING):
                    continue
                folded.append(one)
                sources.append(at)
        return cls("".join(folded), tuple(sources))

    def index(self, at: int) -> int:
        """Where character `at` of the text itself, or the first after it that is compared, stands in this."""
        return bisect_left(self.sources, at)


@lru_cache(maxsize=4_096)
def _fold(character: str) -> str:
    """What stands for one character in a comparison: nothing for what cannot be seen, nor for accents and points."""
    if character.isspace():
        return " "
    if _UNSEEN.match(character):
        return ""
    return _ACCENT.sub("", unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold()))


def _readings(text: str) -> Iterator[_Folded]:
    """The text as it was written and, where that is another one, as it reads once Discord has formatted it."""
    written = _Folded.of(text)
    yield written
    if not _FORMATTING.isdisjoint(written.text):
        yield _Folded.of(text, bare=True)


class WordList:
    """Made once for a list; an empty one finds nothing."""

    def __init__(self, words: Iterable[str]) -> None:
        folded = sorted({_Folded.of(word).text.strip() for word in words} - {""}, key=lambda word: (-len(word), word))
        # The library keeps 500 patterns of its own accord, however large: those of whom nobody asks any more, too.
        self._pattern = regex.compile("|".join(map(_alone, folded)), cache_pattern=False) if folded else _NOTHING
        self.is_empty: Final = not folded

    def finds(self, *texts: str | None) -> bool:
        """Whether one of the words stands in one of the texts."""
        if self.is_empty:
            return False
        return any(self._pattern.search(reading.text) for text in texts if text for reading in _readings(text))

    def masked(self, text: str, start: int = 0) -> str:
        """`text` with a mark in place of each character of such words; its length stays.

        Words begin at `start` or later: what stands before it only decides whether a word stands alone.
        """
        if self.is_empty:
            return text
        places = [place for reading in _readings(text) for place in self._places(reading, start)]
        return _hide(text, places)

    def _places(self, reading: _Folded, start: int) -> Iterator[tuple[int, int]]:
        for found in self._pattern.finditer(reading.text, reading.index(start)):
            yield reading.sources[found.start()], reading.sources[found.end() - 1] + 1

    def undecided_from(self, text: str, start: int = 0) -> int:
        """Where in `text`, which goes on, a word may begin of which only the beginning is there; its length if none."""
        if self.is_empty:
            return len(text)
        return min(self._undecided_from(reading, len(text), start) for reading in _readings(text))

    def _undecided_from(self, folded: _Folded, end: int, start: int) -> int:
        at = folded.index(start)
        while (found := self._pattern.search(folded.text, at, partial=True)) is not None:
            if found.partial or found.end() == len(folded.text):
                start = found.start()
                return folded.sources[start] if start < len(folded.sources) else end
            at = found.end()
        return end


class WordLists:
    """Makes each list once, since its pattern takes up to 60 ms to compile. Those that were not asked for longest are
    forgotten first, so that their characters come to `KEPT_CHARACTERS`, or they are one list."""

    def __init__(self, *, kept_characters: int = KEPT_CHARACTERS) -> None:
        self._most = kept_characters
        self._lists: OrderedDict[tuple[str, ...], WordList] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._lists)

    def of(self, words: tuple[str, ...]) -> WordList:
        """The list of those words."""
        if (known := self._lists.get(words)) is not None:
            self._lists.move_to_end(words)
            return known
        made = self._lists[words] = WordList(words)
        self._characters += _weight(words)
        if self._characters > self._most:
            self._forget()
        return made

    def _forget(self) -> None:
        while self._characters > self._most and len(self._lists) > 1:
            forgotten, _ = self._lists.popitem(last=False)
            self._characters -= _weight(forgotten)
        regex.purge()  # the library notes the text of every pattern, whether it is to keep it or not


def _weight(words: tuple[str, ...]) -> int:
    return max(KEPT_LEAST, sum(map(len, words)))


class Masker:
    """Masks a text that comes in pieces. What may turn out to be a listed word is held back until that is known, up to
    HELD_LIMIT: then it is taken as it stands."""

    def __init__(self, words: WordList) -> None:
        self._words = words
        self._held = ""
        self._before = ""

    def feed(self, piece: str) -> str:
        """What can be shown now, of this piece and what was held."""
        if self._words.is_empty:
            return piece
        self._held += piece
        before = len(self._before)
        known = self._words.undecided_from(self._before + self._held, before) - before
        return self._show(known if len(self._held) - known <= HELD_LIMIT else len(self._held))

    def end(self) -> str:
        """The rest, when there is no more."""
        return self._show(len(self._held))

    def _show(self, count: int) -> str:
        if not count:
            return ""
        before = len(self._before)
        masked = self._words.masked(self._before + self._held, before)[before:]
        shown, self._before = masked[:count], _end_that_counts(self._before + self._held[:count])
        self._held = self._held[count:]
        return shown


def _end_that_counts(text: str) -> str:
    """The end of `text` from its last character that is compared: it decides whether a word behind it stands alone.

    In either reading: what formatting stands behind it is kept, too.
    """
    at = len(text) - 1
    while at > 0 and (not _fold(text[at]) or _fold(text[at]) in _FORMATTING):
        at -= 1
    kept = text[max(at, 0) :]
    return kept if len(kept) <= WORD_LIMIT else kept[0] + kept[1 - WORD_LIMIT :]


def _alone(word: str) -> str:
    """The pattern of one folded word."""
    before = "" if _STARTS_IN_SUCH.match(word[0]) else rf"(?<!{_WORD})"
    after = r"(?![\u3099\u309a])" if _STARTS_IN_SUCH.match(word[-1]) else rf"(?!{_WORD})"
    return f"{before}{regex.escape(word, literal_spaces=True)}{after}"


def _hide(text: str, places: Iterable[tuple[int, int]]) -> str:
    hidden = list(text)
    for start, end in places:
        hidden[start:end] = [one if one.isspace() else MASK for one in hidden[start:end]]
    return "".join(hidden)
