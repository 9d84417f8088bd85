"""Whether the MiniToolAI API answers and takes the key, asked in a way that cannot cost anything.

No endpoint is documented that is free and needs the key. So a chat request is sent without a model and without
messages, both of which are required: there is nothing to answer and nothing to bill, and the API has to refuse it.
What that proves depends on what it looks at first, so the same request is sent with a key that is certainly wrong. Only
where that one is refused for its key, and ours for its content, has ours been looked at and taken.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from bot.ops.doctor.findings import Finding, Level
from bot.ops.doctor.web import Answer, Failure, ask

VARIABLE: Final = "MINITOOLAI_API_URL"
CHAT_PATH: Final = "/chat-completions/"
UNANSWERABLE: Final = b"{}"
WRONG_KEY: Final = "not-a-key"

REFUSES_KEY: Final = (401, 403)
REFUSES_CONTENT: Final = (400, 413, 422)

NOT_PROVEN: Final = "How much credit the account has cannot be asked for."


async def minitoolai_findings(api_url: str, api_key: str | None) -> Sequence[Finding]:
    """Two requests, or one without a key (None: it is missing or unusable), none of which can be billed."""
    keys = [WRONG_KEY] if api_key is None else [api_key, WRONG_KEY]
    ours, *rest = await asyncio.gather(*(_ask(api_url, key) for key in keys))
    if isinstance(ours, Failure):
        return [_finding("problem", f"The MiniToolAI API {ours.what}.", ours.cure)]
    if api_key is None:
        return [_reached(ours), _finding("note", "The key was not looked at: MINITOOLAI_API_KEY has to be set first.")]
    reached = _reached(ours)
    return [reached, _judged(ours, rest[0])] if reached.level == "ok" else [reached]


async def _ask(api_url: str, key: str) -> Answer | Failure:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    url = f"{api_url.rstrip('/')}{CHAT_PATH}"
    return await ask("POST", url, variable=VARIABLE, headers=headers, data=UNANSWERABLE)


def _reached(ours: Answer) -> Finding:
    """What the status says of the address, whatever it says of the key."""
    if ours.status == 404 or 300 <= ours.status < 400:
        moved = "redirects elsewhere" if ours.status != 404 else "knows no chat"
        what = f"What answers at {VARIABLE} {moved} (status {ours.status})."
        return _finding("problem", what, f"Leave {VARIABLE} out for the default, or write it as the API's guide does.")
    if ours.status >= 500:
        return _finding("warning", f"The MiniToolAI API has a problem of its own (status {ours.status}).", "Try later.")
    return _finding("ok", "The MiniToolAI API answers.")


def _judged(ours: Answer, wrong: Answer | Failure) -> Finding:
    """What the refusal of our key's request means beside that of a wrong key's."""
    if ours.status in REFUSES_KEY:
        cure = "Copy MINITOOLAI_API_KEY again from your account at https://minitoolai.com."
        return _finding("problem", f"The MiniToolAI API refuses the key (status {ours.status}).", cure)
    if ours.status == 402:
        return _finding("problem", "The account behind the key has run dry.", "Top it up at https://minitoolai.com.")
    if ours.status == 429:
        return _finding("warning", "The MiniToolAI API is too busy to look at the key.", "Try again in a minute.")
    if ours.status not in REFUSES_CONTENT:
        return _finding("note", f"Whether the key is taken could not be proven (status {ours.status}). {NOT_PROVEN}")
    if isinstance(wrong, Answer) and wrong.status in REFUSES_KEY:
        return _finding("ok", f"The key is taken. {NOT_PROVEN}")
    what = "The key was not refused, but neither was a wrong one, so only a real question can tell whether it is good."
    return _finding("note", f"{what} {NOT_PROVEN}", "Start the bot and ask it something: gpt-4.1-nano costs the least.")


def _finding(level: Level, what: str, cure: str | None = None) -> Finding:
    return Finding(check="api", level=level, what=what, cure=cure)
