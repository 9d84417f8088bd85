"""How soon one answer's words are read."""

import asyncio
from collections.abc import Callable

from bot.observer import Observer


class Stopwatch:
    """Tells the observer of one answer. `asked_at` and `now` are unix seconds by Discord's clock."""

    def __init__(self, observer: Observer, *, asked_at: float, now: Callable[[], float]) -> None:
        self._observer = observer
        self._asked_at = asked_at
        self._now = now
        self._shown = False
        self._said_at: float | None = None

    def shown(self, age_s: float) -> None:
        """An edit showed new words; the oldest of them had waited so long."""
        if not self._shown:
            self._shown = True
            self._observer.first_words_shown(self._now() - self._asked_at)
        self._observer.words_shown(age_s)

    def said(self) -> None:
        """The API has said its last word. Said again it changes nothing."""
        if self._said_at is None:
            self._said_at = asyncio.get_running_loop().time()

    def whole(self) -> None:
        """The answer stands as it will stay."""
        if self._said_at is not None:
            self._observer.answer_whole(asyncio.get_running_loop().time() - self._said_at)
