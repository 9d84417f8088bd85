"""The permissions that the bot uses in a channel, by the names of Discord's client, and what fails without each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.ops.doctor.findings import Finding, Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """`bit` is Discord's; `without` says what fails. `in_thread` None: it counts in channels and threads alike.

    `needs_sending`: who may not send messages has it nowhere, whatever the server decided on it.
    """

    name: str
    bit: int
    without: str
    level: Level = "warning"
    in_thread: bool | None = None
    needs_sending: bool = False


ADMINISTRATOR: Final = 1 << 3
"""Stands for all the others."""
VIEW_CHANNEL: Final = 1 << 10

NEEDED: Final = (
    Needed(
        name="View Channel",
        bit=VIEW_CHANNEL,
        without="I do not see mentions here, and of an answer that takes over 15 minutes the end is lost",
    ),
    Needed(
        name="Send Messages",
        bit=1 << 11,
        without="I cannot answer mentions here; commands work all the same",
        in_thread=False,
    ),
    Needed(
        name="Send Messages in Threads",
        bit=1 << 38,
        without="I cannot answer mentions here; commands work all the same",
        in_thread=True,
    ),
    Needed(
        name="Read Message History",
        bit=1 << 16,
        without="I cannot reply to the message that mentions me, nor read the one it replies to",
    ),
    Needed(
        name="Attach Files",
        bit=1 << 15,
        without="pictures, long answers as a file, and exports may not arrive",
        needs_sending=True,
    ),
    Needed(
        name="Embed Links",
        bit=1 << 14,
        without="links in my answers show no preview",
        level="note",
        needs_sending=True,
    ),
)
"""External emojis are left out: nothing that the bot writes has any."""

INVITED: Final = sum(needed.bit for needed in NEEDED)
"""What the invite asks for."""


def permission_findings(granted: int, *, in_thread: bool) -> Sequence[Finding]:
    """What is missing of `granted`, Discord's bits for the bot in one channel.

    Who does not see a channel can do nothing there, and who may not write cannot attach either: only the cause is told.
    """
    wanted = [needed for needed in NEEDED if needed.in_thread in (None, in_thread)]
    missing = [needed for needed in wanted if not granted & (needed.bit | ADMINISTRATOR)]
    if not missing:
        return [Finding(check="permissions", level="ok", what="I have every permission that I use here.")]
    if missing[0].bit == VIEW_CHANNEL:
        missing = missing[:1]
    elif any(needed.in_thread is not None for needed in missing):
        missing = [needed for needed in missing if not needed.needs_sending]
    return [_missing(needed) for needed in missing]


def _missing(needed: Needed) -> Finding:
    what = f"Without **{needed.name}** {needed.without}."
    cure = (
        f"Allow me {needed.name}: Edit Channel → Permissions → my role, or for all channels in Server Settings → Roles."
    )
    return Finding(check="permissions", level=needed.level, what=what, cure=cure)
