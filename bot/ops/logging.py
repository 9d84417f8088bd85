"""Log lines: for people or for machines, one a line, in UTC, without secrets.

No prompt and no answer is ever passed to a logger. Where a library would do so, its logger is held above that level.
"""

import copy
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from bot.settings import LogFormat, LogLevel

HIDDEN: Final = "…"
EXACT_MOST: Final = 2**53
"""The largest number up to which a double holds every whole one."""

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default={})  # noqa: B039 (never changed in place)

_LIBRARY_LEVELS: Final = {
    # At DEBUG these write what passes through them: the gateway's events and the database's parameters hold prompts.
    "discord": logging.INFO,
    "aiosqlite": logging.INFO,
    "PIL": logging.INFO,
    # A line for each request; the metrics count them.
    "aiohttp.access": logging.WARNING,
}

_RECONNECTING: Final = frozenset({"discord.client", "discord.shard"})

_INTERACTION_TOKEN: Final = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/?\s\"']+")
"""Who has an interaction's token can answer in the bot's name; libraries name such addresses in their warnings."""

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "context"}


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add fields such as `request_id` to every line that is logged inside, also by tasks started there."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def configure(*, level: LogLevel, fmt: LogFormat, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send log lines to `stream` (standard error). Called again, it replaces what it set up.

    `secrets` are hidden wherever they appear, tracebacks included.
    """
    handler = _Handler(stream or sys.stderr)
    handler.addFilter(_remember_context)
    handler.setFormatter(_FORMATTERS[fmt](Scrubber(secrets)))
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, told apart from what others (pytest, say) hang on the root logger."""

    def handle(self, record: logging.LogRecord) -> bool:
        return super().handle(_calmed(record))


def _calmed(record: logging.LogRecord) -> logging.LogRecord:
    """To discord.py a lost connection that it makes anew is an error, with a traceback. It is weather."""
    if record.name not in _RECONNECTING or not str(record.msg).startswith("Attempting a reconnect"):
        return record
    calm = copy.copy(record)
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "unknown"
    calm.msg, calm.args = f"{record.getMessage()} ({kind})", ()
    calm.levelno, calm.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    calm.exc_info = calm.exc_text = None
    return calm


class Scrubber:
    """Replaces secrets and the tokens of interactions by an ellipsis."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, so that a secret within another leaves no rest.
        known = sorted(filter(None, secrets), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known)) or r"(?!)")

    def __call__(self, text: str) -> str:
        return _INTERACTION_TOKEN.sub(rf"\1{HIDDEN}", self._known.sub(HIDDEN, text))


def _remember_context(record: logging.LogRecord) -> bool:
    """A handler's filter runs where the line is logged, so this is the context of who logs it."""
    record.context = dict(_context.get())
    return True


class _Formatter(logging.Formatter):
    def __init__(self, scrub: Callable[[str], str]) -> None:
        super().__init__()
        self.scrub = scrub

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The context's fields and those given as `extra`."""
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        return {**getattr(record, "context", {}), **extra}

    def traceback(self, record: logging.LogRecord) -> str:
        """The exception's traceback, or the stack asked for; empty where there is neither."""
        if record.exc_info and record.exc_info[0]:
            return self.formatException(record.exc_info)
        return record.exc_text or self.formatStack(record.stack_info or "")


class HumanFormatter(_Formatter):
    """`2026-11-22 10:03:19.123Z INFO    bot.app: Ready. guilds=3`, and a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; what would break it, or move a terminal's cursor, is escaped."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={value}" for name, value in self.fields(record).items())
        line = _one_line(f"{time}Z {record.levelname:<7} {record.name}: {record.getMessage()}{fields}")
        return self.scrub("\n".join(filter(None, [line, self.traceback(record)])))


class JsonFormatter(_Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, the fields, and `error`, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Texts are scrubbed before they are encoded, since encoding could change a secret's looks."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = self.fields(record)
        line |= {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if error := self.traceback(record):
            line["error"] = error
        return json.dumps({name: self._plain(value) for name, value in line.items()})

    def _plain(self, value: object) -> object:
        """Ids as text: readers that take every number for a double, jq and JavaScript among them, would change them."""
        if isinstance(value, int) and abs(value) > EXACT_MOST:
            return str(value)
        return value if isinstance(value, int | float | None) else self.scrub(str(value))


_FORMATTERS: Final[Mapping[LogFormat, Callable[[Callable[[str], str]], logging.Formatter]]] = {
    "human": HumanFormatter,
    "json": JsonFormatter,
}


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
