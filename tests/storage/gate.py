"""Keeps the database's writer or reader busy."""

import asyncio
import threading
from typing import Final

LIMIT_S: Final = 10.0


class Gate:
    """Keeps an operation where it is, in its thread, until it is opened."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        """For an operation: wait here."""
        self._reached.set()
        assert self._opened.wait(LIMIT_S)

    async def reached(self) -> None:
        """For a test: return once the operation waits."""
        assert await asyncio.to_thread(self._reached.wait, LIMIT_S)

    def open(self) -> None:
        self._opened.set()
