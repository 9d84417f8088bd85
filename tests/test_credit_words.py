"""What is said when the ledger or an admin's input is refused."""

from datetime import UTC, datetime

import pytest

from bot import errors
from bot.errors import BotError
from bot.money import CreditUnit
from cogs.words import explain

UNIT = CreditUnit(nano=1_000_000)
RESET = datetime(2030, 1, 1, tzinfo=UTC)


def refused(*, resets_at: datetime | None = RESET, scope_id: int = 7) -> errors.CreditsRefused:
    return errors.CreditsRefused(
        cost_nano=12_000_001, left_nano=3_500_000, resets_at=resets_at, source="server", role_id=None, scope_id=scope_id
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(), "needs 12.001 credits, and you have 3.5 left"),
        (refused(), f"starts anew <t:{int(RESET.timestamp())}:R>"),
        (refused(), "server's admins can raise it, with `/quota`"),
        (refused(scope_id=0), "Only the bot's operator can raise it"),
        (errors.MemberBlocked(source="member", role_id=None, scope_id=7), "have blocked you"),
        (errors.MemberBlocked(source="role", role_id=5, scope_id=7), "have blocked your role <@&5>"),
        (errors.MemberBlocked(source="operator", role_id=None, scope_id=0), "no credits for direct messages"),
        (errors.MemberBlocked(source="operator", role_id=None, scope_id=7), "admins can raise it"),
        (errors.CeilingReached("server", resets_at=RESET), "This server has used up"),
        (errors.CeilingReached("bot", resets_at=RESET), "I have used up"),
        (errors.RequestEnded(), "dealt with before"),
        (errors.ModelNotAllowed("gpt-4o", ("gpt-4o-mini",)), "admins allow: `gpt-4o-mini`"),
        (errors.DefaultLeftOut("gpt-4o", ("gpt-4o-mini",)), "`gpt-4o` is this server's default model"),
        (errors.UnknownTimeZone("@here `x`"), "`@here x`"),
    ],
)
def test_a_refusal_says_why_and_what_helps(error: BotError, words: str) -> None:
    assert words in (explain(error, UNIT) or "")


def test_an_allowance_that_never_comes_anew_promises_nothing() -> None:
    assert "anew" not in (explain(refused(resets_at=None), UNIT) or "")
