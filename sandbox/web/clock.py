"""One clock for two processes: the page lets time pass, and the bot, a process of its own, sees it pass as well.

By how much the sandbox's time is ahead stands in a small file that both map into memory. `python -m sandbox.web.clock`
is `python -m bot` with that lead added to every clock of the calendar; the bot itself is unchanged. Deadlines and
pauses run by `time.monotonic`, which stays as it is: what the bot is waiting for does not come sooner.
"""

import datetime as datetimes
import mmap
import os
import runpy
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "SANDBOX_CLOCK"
ADVANCE_LIMIT_S: Final = 366 * 86_400.0
TOTAL_LIMIT_S: Final = 20 * ADVANCE_LIMIT_S
"""So many years on, what the bot works out still is a date."""
_LEAD: Final = struct.Struct("<d")


class Lead:
    """By how many seconds the sandbox's time is ahead, in a file that several processes read and one writes."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        with path.open("a+b") as file:
            if os.fstat(file.fileno()).st_size < _LEAD.size:
                file.write(_LEAD.pack(0.0))
                file.flush()
            self._map = mmap.mmap(file.fileno(), _LEAD.size)

    def get(self) -> float:
        (seconds,) = _LEAD.unpack_from(self._map)
        return float(seconds)

    def set(self, seconds: float) -> None:
        _LEAD.pack_into(self._map, 0, seconds)

    def close(self) -> None:
        self._map.close()


def shift(lead_s: Callable[[], float]) -> None:
    """Put every clock of the calendar in this process forward by `lead_s()`, for good.

    Only for who looks clocks up afterwards: `from time import time` in a module that was imported before keeps its own.
    """
    real_time, real_time_ns, real = time.time, time.time_ns, datetimes.datetime

    def shifted() -> float:
        return real_time() + lead_s()

    class Calendar(type):
        """Whatever is a datetime is one of these, and none is ever made: the constructor gives ordinary ones."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real)

    class Shifted(datetimes.datetime, metaclass=Calendar):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real(*args, **kwargs)

        @classmethod
        def now(cls, tz: datetimes.tzinfo | None = None) -> Any:
            return real.fromtimestamp(shifted(), tz)

        @classmethod
        def today(cls) -> Any:
            return real.fromtimestamp(shifted())

        @classmethod
        def utcnow(cls) -> Any:
            return real.fromtimestamp(shifted(), datetimes.UTC).replace(tzinfo=None)

    time.time = shifted
    time.time_ns = lambda: real_time_ns() + int(lead_s() * 1e9)
    datetimes.datetime = Shifted  # type: ignore[misc]  # that is the point


def main() -> None:
    """Become the bot, by the clock that the variable SANDBOX_CLOCK names."""
    lead = Lead(Path(os.environ[VARIABLE]))
    shift(lead.get)
    sys.argv[:] = ["bot", *sys.argv[1:]]
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
