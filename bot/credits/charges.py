"""The log line of a charge that is on disk: what it came to, for whom to ask about, and none of what was said."""

import logging
from typing import Final

from bot.credits.values import Entry

log: Final = logging.getLogger(__name__)


def log_charge(entry: Entry) -> None:
    """One line under the request's id. That comes from the entry: who calls this, after the commit, knows no other."""
    log.info(
        "charged (%s)",
        entry.reason,
        extra={
            "request_id": entry.key,
            "kind": entry.kind,
            "model": entry.model,
            "user_nano": entry.user_nano,
            "provider_nano": entry.provider_nano,
            "estimated": entry.estimated,
            "prompt_tokens": entry.prompt_tokens,
            "completion_tokens": entry.completion_tokens,
            "images": entry.images,
        },
    )
