"""What a model can be made to write in the bot's name, and nobody should take for what it is not.

Discord shows `[words](address)` as the words alone, and whoever presses them goes where the address says. And the small
lines of `-# ` are where the bot says in its own voice what was charged, and what went wrong.
"""

import re
from collections.abc import Callable
from typing import Final

_LINK: Final = re.compile(
    r"""!?\[(?P<words>(?:\\.|\[[^\[\]\n]{0,80}\]|[^\[\]\\\n]){0,300})\]
    \([ ]?<?(?P<address>[A-Za-z][\w+.-]{0,30}:(?:\([^()\s<>]{0,100}\)|[^()\s<>]){1,500})>?
    (?:[ ]"[^"\n]{0,100}")?[ ]?\)""",
    re.VERBOSE,
)
_SEAM: Final = re.compile(r"\]\((?=\s*+<?\s*+[A-Za-z][\w+.-]*+:)")
"""Where what stands in brackets and its address meet; parted, they are no link, however Discord reads the rest."""
_SMALL: Final = re.compile(r"^([ \t]*+(?:>[ \t]*+|(?:[-*+]|\d++[.)])[ \t]++)*+-#)[ \t]", re.MULTILINE)
_FENCE: Final = re.compile(
    r"""(?P<lead>(?:>[ ]|[ \t])*)```[^`\n]*\n
    (?=\s*[^\s`])(?P<code>(?:(?P=lead)(?:(?!```)[^\n])*\n)+?)(?P=lead)[ \t]*```[^\S\n]*$""",
    re.VERBOSE | re.MULTILINE,
)
"""All lines of an indented or quoted one begin alike; or else Discord ends the item or quote, and with it the code."""
_INLINE: Final = re.compile(r"(?P<run>`{1,2})(?!`)(?P<code>(?:[^`\n]|(?<!`)`(?!`))*?[^`\n])(?P=run)(?!`)")
_PAIR: Final = re.compile(r"(?<!\\)(\*\*?|__?|~~|\|\|)[^*_~|\n]+\1(?!\w)|^[ \t]*\*[ ]|(?<=\w)_(?=\w)", re.MULTILINE)
"""Marks that Discord pairs, too, or that are none."""
_BRACKETS: Final = re.compile(r"\[[^\[\]]*\]")
_MARK: Final = re.compile(r"[*_]|~~|\|\|")
_CLOSING: Final = re.compile(r"\*|__|_(?!\w)|~~|\|\|")


def harmless(page: str) -> str:
    """The page with `words <address>` in place of `[words](address)` and without small lines.

    What is surely code stays as it is. The page is never longer than it was.
    """
    if "](" in page:
        page = _replaced(page, _LINK, _open)
    if "](" in page:
        page = _replaced(page, _SEAM, lambda _: "] ")
    if "-#" in page:
        page = _replaced(page, _SMALL, lambda match: f"{match[1]}\u200b")
    return page


def _replaced(page: str, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> str:
    code = _code(page)

    def replacement(match: re.Match[str]) -> str:
        return match[0] if any(start <= match.start() < end for start, end in code) else by(match)

    return pattern.sub(replacement, page)


def _open(match: re.Match[str]) -> str:
    words, address = match["words"].strip(), match["address"]
    return f"<{address}>" if words in ("", address) else f"{words} <{address}>"


def _code(page: str) -> list[tuple[int, int]]:
    """Where code stands (start, end) that Discord can show as nothing else, up to the first backtick in doubt.

    Discord ends a fence at any three backticks, and emphasis even inside of what would be code behind its first mark.
    """
    found: list[tuple[int, int]] = []
    prose, position = "", 0
    while (tick := page.find("`", position)) >= 0:
        prose += page[position:tick]
        match = _FENCE.match(page, page.rfind("\n", 0, tick) + 1) or _INLINE.match(page, tick)
        if match is None or _is_part_of_more(prose) or _is_torn(match["code"], prose):
            break
        found.append(match.span("code"))
        prose, position = f"{prose}`", match.end()
    return found


def _is_part_of_more(before: str) -> bool:
    """Whether the backtick that follows on `before` may be escaped, or a part of an address."""
    word = before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
    return word.endswith("\\") or "://" in word or "<" in word


def _is_torn(code: str, before: str) -> bool:
    """Whether a mark or a link that was begun in the text `before` may end within `code`."""
    if "[" in before and "](" in _BRACKETS.sub("", code):
        return True
    return bool(_CLOSING.search(code) and _MARK.search(_PAIR.sub("", before)))
