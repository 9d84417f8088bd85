"""Typing on one line: what a terminal without its own line editing sends, turned into lines."""

import codecs
import re
from typing import Final

LINE_MAX: Final = 20_000
"""Characters; what is typed beyond them is dropped. Discord takes 6,000 at most."""
HISTORY_MAX: Final = 200

_KEY: Final = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|O.|[^\[O])?|[^\x1b]", re.DOTALL)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;?]*|O)?\Z")


class Closed(Exception):
    """Ctrl-D on an empty line: nothing more will come."""


class Line:
    """The line being typed, with earlier ones under the arrow keys. Editing happens at its end alone."""

    def __init__(self) -> None:
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._history: list[str] = []
        self._place = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` finishes. Raises Closed."""
        arrived = self._pending + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(arrived)
        whole = arrived[: unfinished.start()] if unfinished else arrived
        self._pending = arrived[len(whole) :]
        lines: list[str] = []
        for key in _KEY.findall(whole):
            if key in "\r\n":
                lines.append(self._finish())
            else:
                self._press(key)
        return lines

    def _finish(self) -> str:
        line, self.text = self.text, ""
        if line.strip() and line not in self._history[-1:]:
            self._history = [*self._history, line][-HISTORY_MAX:]
        self._place = len(self._history)
        return line

    def _press(self, key: str) -> None:
        match key:
            case "\x04":
                if not self.text:
                    raise Closed
            case "\x7f" | "\b":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                self.text = re.sub(r"\S*\s*\Z", "", self.text)
            case "\x1b[A" | "\x1bOA":
                self._recall(-1)
            case "\x1b[B" | "\x1bOB":
                self._recall(+1)
            case "\t":
                self.text += " "
            case _:
                # Other keys, which move a cursor that does not move here, are no text.
                if key.isprintable() and len(self.text) < LINE_MAX:
                    self.text += key

    def _recall(self, step: int) -> None:
        self._place = min(max(self._place + step, 0), len(self._history))
        self.text = self._history[self._place] if self._place < len(self._history) else ""
