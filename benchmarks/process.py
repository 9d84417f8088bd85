"""What another process costs, read from /proc; nothing where there is no /proc."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a process has used since it began. `waited_s` is how long it was ready to run and no core was free."""

    cpu_s: float
    waited_s: float
    rss_bytes: int
    peak_rss_bytes: int


def cost_of(pid: int) -> Cost | None:
    """The cost of a running process; None where this system does not tell."""
    folder = Path("/proc") / str(pid)
    try:
        status = (folder / "status").read_text().splitlines()
        fields = {name: value.split() for name, _, value in (line.partition(":") for line in status)}
        cpu_s, waited_s = _scheduled(folder)
        return Cost(
            cpu_s=cpu_s,
            waited_s=waited_s,
            rss_bytes=int(fields["VmRSS"][0]) * 1024,
            peak_rss_bytes=int(fields["VmHWM"][0]) * 1024,
        )
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _scheduled(folder: Path) -> tuple[float, float]:
    """CPU and waiting time in seconds: to the nanosecond from schedstat, or to the clock tick, without the waiting."""
    try:
        threads = [(task / "schedstat").read_text().split() for task in (folder / "task").iterdir()]
        return sum(int(ran) for ran, *_ in threads) / 1e9, sum(int(waited) for _, waited, *_ in threads) / 1e9
    except (OSError, ValueError):
        # The second field is the name in parentheses, which may hold spaces.
        after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK"), 0.0
