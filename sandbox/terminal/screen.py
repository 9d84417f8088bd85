"""Where the conversation is written: on a terminal that redraws its last lines, or on paper, line after line."""

import os
import unicodedata
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

DIM, BOLD, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_ERASE_BELOW: Final = "\x1b[J"
_FALLBACK: Final = os.terminal_size((80, 24))


class Screen(Protocol):
    """`print` stays; `show` is the part that grows, replaced by each call, with the line being typed below it."""

    @property
    def grows(self) -> bool: ...

    def print(self, lines: Sequence[str]) -> None: ...

    def show(self, lines: Sequence[str], prompt: str, typed: str) -> None: ...


class Paper:
    """Output that is read later, or by a program: what grows is left out until it has grown."""

    grows = False

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def print(self, lines: Sequence[str]) -> None:
        self._out.write("".join(f"{harmless(line)}\n" for line in lines))
        self._out.flush()

    def show(self, lines: Sequence[str], prompt: str, typed: str) -> None:
        """Nothing."""


class Glass:
    """A terminal. It needs no more of it than to move up, to the line's start, and to erase from there."""

    grows = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: tuple[Sequence[str], str, str] = ((), "", "")
        self._rows = 0

    def print(self, lines: Sequence[str]) -> None:
        """Above what grows, which is drawn anew below."""
        text = "".join(f"{styled(harmless(line))}\r\n" for line in lines)
        self._draw(text)

    def show(self, lines: Sequence[str], prompt: str, typed: str) -> None:
        if (lines, prompt, typed) != self._shown:
            self._shown = (lines, prompt, typed)
            self._draw("")

    def close(self) -> None:
        """Take the line being typed away, and leave the cursor on an empty one."""
        self._shown = ((), "", "")
        self._draw("")

    def _draw(self, above: str) -> None:
        size = self._size()
        lines, prompt, typed = self._shown
        rows = [row for line in lines for row in wrapped(harmless(line), size.columns)]
        # The last column is left free: terminals differ in where the cursor is once it is filled.
        last = prompt + end_of(harmless(typed), size.columns - 1 - width(prompt))
        # What is higher than the terminal could not be erased again.
        rows = [*rows[-(size.lines - 2) :], last] if size.lines > 2 else [last]
        up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
        self._rows = len(rows)
        self._out.write(f"{up}\r{_ERASE_BELOW}{above}" + "\r\n".join(rows))
        self._out.flush()

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._out.fileno())
        except OSError:
            return _FALLBACK
        # Some terminals do not know their size, and say 0.
        return size if size.columns > 0 and size.lines > 0 else _FALLBACK


def harmless(text: str) -> str:
    """`text` on one line, unable to move the cursor or set a colour: others wrote it."""
    text = text.replace("\t", "    ")
    return "".join(
        character if unicodedata.category(character) not in ("Cc", "Zl", "Zp") else "\N{SYMBOL FOR SUBSTITUTE}"
        for character in text
    )


def styled(line: str) -> str:
    """A message's head in bold, its buttons and the terminal's own words dim."""
    if line.startswith("["):
        return f"{BOLD}{line}{PLAIN}"
    return f"{DIM}{line}{PLAIN}" if line.startswith(("--", "> ", "    :")) else line


def width(text: str) -> int:
    """In columns: East Asian wide characters and emoji take two, combining ones none."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(line: str, columns: int) -> list[str]:
    """`line` in rows of less than `columns` columns, so that the terminal breaks none itself."""
    rows, row, used = list[str](), "", 0
    for character in line:
        size = _columns(character)
        if row and used + size > columns - 1:
            rows.append(row)
            row, used = "", 0
        row += character
        used += size
    return [*rows, row]


def end_of(text: str, columns: int) -> str:
    """As much of the end of `text` as fits into `columns`."""
    used = 0
    for place in range(len(text) - 1, -1, -1):
        used += _columns(text[place])
        if used > columns:
            return text[place + 1 :]
    return text
