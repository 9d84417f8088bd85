"""Faults that a test or a person at the sandbox's page orders for coming requests, and holds that keep them waiting."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

Predicate = Callable[[str, str], bool]
"""Takes the method and the path below /api/v10."""


@dataclass(kw_only=True, slots=True)
class Fault:
    """What goes wrong, for which requests, how often (`times` None: always).

    A request matches by `method`, by `template` (as in the OpenAPI document; "…" stands for any run of characters) and
    by `when`, as far as they are given. Then, after `delay_s`:
    `drop` cuts the connection without an answer; `html` answers `status` with a page, as Discord's front does;
    `error_code` answers with that JSON error; status 429 answers as a rate limit of `retry_after_s`, `global_` or not,
    with `headers` or without; any other `status` answers so. With none of these the request only waits.
    `carried_out` lets the request take effect before its answer is lost.
    """

    method: str | None = None
    template: str | None = None
    when: Predicate | None = None
    times: int | None = 1
    status: int | None = None
    error_code: int | None = None
    html: bool = False
    headers: bool = True
    global_: bool = False
    retry_after_s: float = 1.0
    delay_s: float = 0.0
    drop: bool = False
    carried_out: bool = False
    hits: int = field(default=0, init=False)

    @property
    def answers(self) -> bool:
        """Whether the request gets something else than its own answer."""
        return self.drop or self.html or self.status is not None or self.error_code is not None

    def matches(self, method: str, template: str, path: str) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and (self.method is None or self.method == method)
            and (self.template is None or _pattern(self.template).fullmatch(template) is not None)
            and (self.when is None or self.when(method, path))
        )


@dataclass(kw_only=True, slots=True, eq=False)
class Hold:
    """Keeps one coming request waiting until `let_go`: before anything becomes of it or, `answered`, between its taking
    effect and its answer. Which one: as for a `Fault`. `reached` is set once the request waits.
    """

    method: str | None = None
    template: str | None = None
    when: Predicate | None = None
    answered: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, template: str, path: str) -> bool:
        return (
            not self.reached.is_set()
            and (self.method is None or self.method == method)
            and (self.template is None or _pattern(self.template).fullmatch(template) is not None)
            and (self.when is None or self.when(method, path))
        )

    async def wait(self) -> None:
        await self._released.wait()

    def let_go(self) -> None:
        """The request goes on, or is not kept waiting when it comes."""
        self.reached.set()
        self._released.set()


class Faults:
    """The ordered faults; the first that matches a request is used. Holds come before them."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def hold(self, hold: Hold) -> Hold:
        self._holds.append(hold)
        return hold

    def clear(self) -> None:
        """No more faults; what is held back goes on."""
        self._faults.clear()
        for hold in self._holds:
            hold.let_go()
        self._holds.clear()

    def take_hold(self, method: str, template: str, path: str) -> Hold | None:
        for hold in self._holds:
            if hold.matches(method, template, path):
                hold.reached.set()
                return hold
        return None

    def take(self, method: str, template: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.matches(method, template, path):
                fault.hits += 1
                return fault
        return None


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in template.split("…")))
