"""Whether Discord is reached and knows the token, how the application is set up, and whose clock is right."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final

from bot.delivery.rest import USER_AGENT
from bot.ops.doctor.findings import Finding, Level
from bot.ops.doctor.permissions import INVITED
from bot.ops.doctor.web import Answer, Failure, ask

VARIABLE: Final = "DISCORD_API_URL"
PORTAL: Final = "https://discord.com/developers/applications"

CONTENT_INTENT: Final = 1 << 18 | 1 << 19
MEMBERS_INTENT: Final = 1 << 14 | 1 << 15
PRESENCE_INTENT: Final = 1 << 12 | 1 << 13
"""For verified bots and for those in few servers. Source: Discord's reference, "Application Flags"."""

PRIVILEGED: Final[Mapping[str, int]] = {
    "Message Content": CONTENT_INTENT,
    "Server Members": MEMBERS_INTENT,
    "Presence": PRESENCE_INTENT,
}

STARTS_FEW: Final = 50
"""Of the thousand logins a day that Discord allows; a bot that crashes and is started again uses one each time."""

SKEW_WARNED_S: Final = 5.0
SKEW_BROKEN_S: Final = 300.0


async def discord_findings(api_url: str, token: str, *, now: Callable[[], float] = time.time) -> Sequence[Finding]:
    """Three readings, which change nothing. `now` gives this machine's unix seconds."""
    base, headers = api_url.rstrip("/"), {"Authorization": f"Bot {token}", "User-Agent": USER_AGENT}
    paths = ("/users/@me", "/applications/@me", "/gateway/bot")
    begun = now()
    me, application, gateway = await asyncio.gather(
        *(ask("GET", f"{base}{path}", variable=VARIABLE, headers=headers) for path in paths)
    )
    if isinstance(me, Failure):
        return [_finding("problem", f"Discord {me.what}.", me.cure)]
    clock = clock_findings(me.headers.get("Date"), begun=begun, ended=now())
    if me.status != 200 or "username" not in me.body:
        return [_refused(me), *clock]
    findings = [_finding("ok", f"Discord knows the token: it is {me.body['username']}'s.")]
    if isinstance(application, Answer) and application.status == 200:
        findings += application_findings(application.body)
    if isinstance(gateway, Answer) and gateway.status == 200:
        findings += start_findings(gateway.body)
    return [*findings, *clock]


def _refused(me: Answer) -> Finding:
    if me.status == 401:
        cure = f"Copy DISCORD_TOKEN anew from the page “Bot” of your application at {PORTAL} (“Reset Token”)."
        return _finding("problem", "Discord does not know the token.", cure)
    if me.status == 429:
        cure = "Wait some minutes, and start the bot only once."
        return _finding("warning", "Discord takes no more requests from here for now (status 429).", cure)
    if me.status >= 500:
        cure = "Try later; https://discordstatus.com tells more."
        return _finding("warning", f"Discord has a problem of its own (status {me.status}).", cure)
    what = f"What answers at {VARIABLE} is not Discord's API (status {me.status})."
    return _finding("problem", what, f"Leave {VARIABLE} out, unless you run a proxy.")


def application_findings(application: Mapping[str, Any]) -> list[Finding]:
    """What is set in the developer portal, as far as the bot cares."""
    findings = []
    if application.get("interactions_endpoint_url"):
        what = "The application sends its commands to a web address, so the bot does not hear of them."
        cure = f"Empty “Interactions Endpoint URL” on the page “General Information” at {PORTAL}."
        findings.append(_finding("problem", what, cure))
    if application.get("bot_require_code_grant"):
        what = "The application requires a code grant, so inviting the bot ends in an error."
        findings.append(
            _finding("warning", what, f"Switch “Requires OAuth2 Code Grant” off on the page “Bot” at {PORTAL}.")
        )
    if application.get("approximate_guild_count") == 0:
        what = "The bot is in no server yet."
        findings.append(_finding("note", what, f"Invite it: {invite_url(application.get('id', ''))}"))
    flags = application.get("flags") or 0
    granted = [name for name, bits in PRIVILEGED.items() if flags & bits]
    if granted:
        what = f"The application may use what the bot does not need: the intents {' and '.join(granted)}."
        findings.append(_finding("note", what, f"They can be switched off on the page “Bot” at {PORTAL}."))
    else:
        findings.append(_finding("ok", "No privileged intent is switched on, and none is needed."))
    return findings


def invite_url(application_id: str) -> str:
    """The address that adds the bot to a server, with the permissions it uses."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application_id}"
        f"&scope=bot+applications.commands&permissions={INVITED}"
    )


def start_findings(gateway: Mapping[str, Any]) -> list[Finding]:
    """How often the bot may still log in today."""
    limit = gateway.get("session_start_limit")
    if not isinstance(limit, dict):
        return []
    left, total = int(limit.get("remaining", 0)), int(limit.get("total", 0))
    hours = int(limit.get("reset_after", 0)) / 3_600_000
    what = f"{left:,} of {total:,} logins are left for the next {hours:.0f} hours."
    if left > STARTS_FEW:
        return [_finding("ok", what)]
    level: Level = "warning" if left else "problem"
    return [
        _finding(level, what, "Find out from the log why the bot starts so often; Discord resets the token at none.")
    ]


def clock_findings(date: str | None, *, begun: float, ended: float) -> list[Finding]:
    """This machine's clock, read before and after the request, beside Discord's `Date`, which counts whole seconds."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return [Finding(check="clock", level="note", what="Discord did not say what time it is.")]
    skew_s = max(begun - (theirs + 1), theirs - ended, 0.0)
    ahead = begun > theirs
    return [clock_finding(skew_s if ahead else -skew_s)]


def clock_finding(ahead_s: float) -> Finding:
    """`ahead_s` is how much later it is here than at Discord, negative where it is earlier."""
    if abs(ahead_s) <= SKEW_WARNED_S:
        return Finding(check="clock", level="ok", what="This machine's clock agrees with Discord's.")
    level: Level = "problem" if abs(ahead_s) > SKEW_BROKEN_S else "warning"
    what = (
        f"This machine's clock is {abs(ahead_s):,.0f} seconds {'ahead of' if ahead_s > 0 else 'behind'} Discord's. "
        "The 15 minutes in which an answer can be edited, the life of pictures' addresses and the days of allowances "
        "are reckoned with it."
    )
    return Finding(check="clock", level=level, what=what, cure="Let the machine set its clock over the network (NTP).")


def _finding(level: Level, what: str, cure: str | None = None) -> Finding:
    return Finding(check="discord", level=level, what=what, cure=cure)
