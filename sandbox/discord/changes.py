"""Waiting for something to become true without polling: whoever changes the world says so."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """One condition for the whole world; predicates are looked at again at most once a turn of the event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def notify(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    async def wait_until(self, predicate: Callable[[], T], *, timeout_s: float = 30.0, what: str = "") -> T:
        """The first true result of `predicate`. Raises TimeoutError, naming `what`, after `timeout_s`."""
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                while not (result := predicate()):
                    waiter.clear()
                    await waiter.wait()
                return result
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s:g} s: {what or predicate}") from None
        finally:
            self._waiters.discard(waiter)
