"""The word of warning in an answer's footer. Pure."""

from datetime import datetime

from bot.credits.values import USED_NOTICE_PERCENT, Standing


def used_notice(percent: int | None, resets_at: datetime | None) -> str | None:
    """`⚠️ 84 % of your allowance used, new <t:1793541600:R>` from 80 % on; None below, and where there is no amount.

    `percent` is of `Standing.used_percent` or `Hold.used_percent_after`; `resets_at` None: the allowance never comes
    anew. Discord shows `<t:…:R>` as a distance in the reader's language.
    """
    if percent is None or percent < USED_NOTICE_PERCENT:
        return None
    used = "all of your allowance used" if percent >= 100 else f"{percent} % of your allowance used"
    again = "" if resets_at is None else f", new <t:{int(resets_at.timestamp())}:R>"
    return f"⚠️ {used}{again}"


def notice_for(standing: Standing) -> str | None:
    """The same for an account as it stands."""
    return used_notice(standing.used_percent, standing.ends_at)
