"""Which fault meets which stage, and where one does not: by a table, with the reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.e2e.matrix.faults import FAULTS, Fault
from tests.e2e.matrix.stages import STAGES, Stage


@dataclass(frozen=True, kw_only=True)
class Case:
    """`silent` and `hanging` say why no route is left to tell who asked, or to close what looks unfinished."""

    fault: Fault
    stage: Stage
    silent: str | None = None
    hanging: str | None = None

    def __str__(self) -> str:
        return f"{self.stage}-{self.fault}"


def impossible(fault: Fault, stage: Stage) -> str | None:
    """Why there is no such case."""
    if fault.group == "api" and stage.next == "nothing":
        return "the API has had its say"
    if fault.name == "API refuses connections" and stage.name not in ("unacknowledged", "acknowledged"):
        return "the API was reached already"
    if fault.trouble.chat and stage.name in ("asked", "streaming"):
        return "the API has begun its answer"
    if fault.name == "message deleted" and not stage.there:
        return "there is no message yet"
    if stage.name == "ended" and fault.name in ("message deleted", "channel deleted", "guild left", "member left"):
        return "there is no button to press any more"
    if fault.name == "3 s late" and stage.name != "unacknowledged":
        return "it was acknowledged in time"
    if fault.name in ("3 s late", "15 min late") and stage.kind == "mention":
        return "a message is in no hurry, and has no token"
    if fault.name == "15 min late" and stage.name == "unacknowledged":
        return "3 s are enough"
    return None


UNSHOWN: Final = ("unacknowledged", "acknowledged", "held", "asked", "first edit")
"""The reply to a question shows nothing yet."""


def silent(fault: Fault, stage: Stage) -> str | None:
    """Why nobody can be told."""
    if fault.name == "3 s late":
        return "Discord takes no acknowledgement any more, and says so itself"
    if fault.name == "kill -9, wire lost" and stage.name == "unacknowledged":
        return "it never came to an acknowledgement, and Discord says so itself"
    if fault.name == "channel deleted" and stage.name == "unacknowledged":
        return "there is no place for a reply"
    if fault.name == "channel deleted" and stage.kind != "picture":
        return "the place is gone, and whoever deleted it does not want more of it"
    if fault.name in ("message deleted", "guild left", "permission lost") and stage.kind == "mention":
        return "the bot may not write there any more, or is not wanted to"
    return hanging(fault, stage)


def hanging(fault: Fault, stage: Stage) -> str | None:
    """Why no message can be closed."""
    if fault.name == "15 min late" and stage.kind == "question" and stage.name in UNSHOWN:
        return "only the interaction's token reached the reply, and it has ended"
    if fault.name in ("guild left", "permission lost") and stage.kind == "mention":
        return "the bot reaches nothing there any more"
    return None


def _cases() -> Iterator[Case]:
    for stage in STAGES:
        for fault in FAULTS:
            if impossible(fault, stage) is None:
                yield Case(fault=fault, stage=stage, silent=silent(fault, stage), hanging=hanging(fault, stage))


CASES: Final = tuple(_cases())
