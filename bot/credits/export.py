"""Entries as CSV (RFC 4180), for spreadsheets. Pure."""

import csv
import io
from collections.abc import Callable
from typing import Final

from bot.credits.values import Entry

_COLUMNS: Final[dict[str, Callable[[Entry], object]]] = {
    "key": lambda entry: entry.key,
    "entry": lambda entry: entry.entry_kind,
    "server": lambda entry: entry.scope_id,
    "user": lambda entry: entry.user_id,
    "asked_at": lambda entry: entry.asked_at.isoformat(),
    "written_at": lambda entry: entry.written_at.isoformat(),
    "kind": lambda entry: entry.kind or "",
    "model": lambda entry: entry.model or "",
    "reason": lambda entry: entry.reason,
    "held_nano": lambda entry: entry.held_nano,
    "from_allowance_nano": lambda entry: entry.from_allowance_nano,
    "from_grant_nano": lambda entry: entry.from_grant_nano,
    "granted_nano": lambda entry: entry.granted_nano,
    "provider_nano": lambda entry: entry.provider_nano,
    "estimated": lambda entry: int(entry.estimated),
    "prompt_tokens": lambda entry: entry.prompt_tokens,
    "completion_tokens": lambda entry: entry.completion_tokens,
    "images": lambda entry: entry.images,
    "by": lambda entry: "" if entry.by_id is None else entry.by_id,
}


def header() -> str:
    """The first line. Amounts are in nano-dollars, times in UTC; the server 0 stands for direct messages."""
    return _line(list(_COLUMNS))


def row(entry: Entry) -> str:
    """The entry's line."""
    return _line([_harmless(column(entry)) for column in _COLUMNS.values()])


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _line(values: list[object] | list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()
