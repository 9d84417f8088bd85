"""What a check-up finds, as values, and how the checks are run: all at once, each within its deadline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "note", "warning", "problem"]
"""`problem`: the bot does not start, or does not answer. `warning`: something people use fails, or soon will."""

LEVELS: Final[tuple[Level, ...]] = ("ok", "note", "warning", "problem")
"""From the mildest."""

DEADLINE_S: Final = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """`what` is one or more sentences about what `check` found, and `cure` what to do about it. Neither has a secret.

    What is a warning or a problem has a cure.
    """

    check: str
    level: Level
    what: str
    cure: str | None = None

    def __post_init__(self) -> None:
        if self.level in ("warning", "problem") and not self.cure:
            raise ValueError(f"no cure for: {self.what}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """`run` may raise whatever it likes: that is a finding, too."""

    name: str
    run: Callable[[], Awaitable[Sequence[Finding]]]
    deadline_s: float = DEADLINE_S


async def examine(checks: Iterable[Check]) -> tuple[Finding, ...]:
    """Run the checks side by side; their findings in the order of the checks."""
    found = await asyncio.gather(*map(_run, checks))
    return tuple(finding for findings in found for finding in findings)


async def _run(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.deadline_s):
            return await check.run()
    except TimeoutError:
        what = f"This took longer than {check.deadline_s:g} seconds and was given up."
        return [
            Finding(check=check.name, level="warning", what=what, cure="Try again when this machine has less to do.")
        ]
    except Exception as error:
        # One check that fails must not hide what the others found. Only the kind is shown: the words of an unforeseen
        # error may carry anything, a secret as well, and the log alone takes those out.
        log.error("the check of %s failed", check.name, exc_info=True)
        what = f"This could not be looked at: an unexpected {type(error).__name__}."
        cure = "The log has the details; please report them to those who wrote the bot."
        return [Finding(check=check.name, level="problem", what=what, cure=cure)]


def worst(findings: Iterable[Finding]) -> Level:
    """The most severe level among the findings; `ok` where there are none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")
