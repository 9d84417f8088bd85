"""What a disk does to a database: SQLite's error codes as a few causes that somebody can do something about."""

import sqlite3
from collections.abc import Mapping
from typing import Final, Literal

Trouble = Literal["full", "read-only", "locked", "damaged", "replaced", "failing"]
"""`damaged` and `replaced` do not pass while the process runs: what is in the file cannot be relied upon. The others
may pass, and whoever could not write tries again."""

LASTING: Final[frozenset[Trouble]] = frozenset({"damaged", "replaced"})

_BY_CODE: Final[Mapping[int, Trouble]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_AUTH: "read-only",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "failing",
    sqlite3.SQLITE_CANTOPEN: "failing",
    sqlite3.SQLITE_PROTOCOL: "failing",
}
"""Primary result codes (https://sqlite.org/rescode.html). Those that are missing are a statement's faults, not the
disk's."""


def trouble_of(error: BaseException | None) -> Trouble | None:
    """The cause behind an error, or behind what it was raised from; None where no disk is to blame."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
        if code is not None:
            return _BY_CODE.get(code & 0xFF)  # the rest of the code says where, not what
        error = error.__cause__
    return None
