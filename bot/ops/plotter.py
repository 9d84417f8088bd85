"""Has charts drawn by a process of its own, which starts when one is wanted and goes away when none is for a while.

The plotting library takes some 80 MB and a chart some 150 ms of a core: neither belongs into the process that has to
answer Discord within a second. The process gets the plan and nothing else: no token is in its environment.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bot.errors import BotError
from bot.ops.charts import Chart, plan

log = logging.getLogger(__name__)

IDLE_S: Final = 60.0
DEADLINE_S: Final = 20.0
"""For one chart, waiting and the start of the process included. A start takes about a second; on a machine whose fonts
matplotlib has never listed before, several."""
WAITING: Final = 16
"""Charts wanted at once, at most; about three seconds' work."""
EXIT_S: Final = 2.0
"""How long the process has for leaving by itself before it is killed."""
PICTURE_LIMIT: Final = 4_000_000
"""Bytes; a picture has some 30,000. More than this is no picture of ours."""

COMMAND: Final = (sys.executable, "-m", "bot.ops.drawing")
_PASSED_ON: Final = (
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "MPLCONFIGDIR",
    "LANG",
    "SYSTEMROOT",
    "TEMP",
    "USERPROFILE",
)


class ChartUnavailable(BotError):
    """No picture: too many are wanted, the process died twice, or it took too long. The numbers stand all the same."""


class Plotter:
    """Draws one chart at a time. `async with` ends the process at last.

    `command` starts the process and `idle_s` is how long it is kept; both are there for tests.
    """

    def __init__(
        self, *, command: Sequence[str] = COMMAND, idle_s: float = IDLE_S, deadline_s: float = DEADLINE_S
    ) -> None:
        self._command = tuple(command)
        self._idle_s = idle_s
        self._deadline_s = deadline_s
        self._turn = asyncio.Lock()
        self._wanted = 0
        self._closed = False
        self._process: Process | None = None
        self._farewell: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._turn.locked() and self._process is not None:
            # Somebody's chart is being drawn. Nobody will see it, and the end of the bot does not wait for it.
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        async with self._turn:
            self._keep()
            await self._dismiss()

    @property
    def pid(self) -> int | None:
        """The drawing process's id while there is one."""
        return self._process.pid if self._process is not None else None

    async def draw(self, chart: Chart) -> bytes:
        """The chart as a PNG of 1000 × 500 pixels.

        Raises:
            ChartUnavailable: 16 are wanted already; no picture within 20 s; the process died twice over it, or
                could not draw it. The log says which.
        """
        if self._wanted >= WAITING:
            log.warning("%d charts are wanted at once: one is left out", self._wanted)
            raise ChartUnavailable("too many charts are wanted at once")
        self._wanted += 1
        try:
            async with asyncio.timeout(self._deadline_s), self._turn:
                self._keep()
                return await self._drawn(json.dumps(asdict(plan(chart))).encode())
        except TimeoutError as error:
            log.warning("a chart took longer than %g s", self._deadline_s)
            raise ChartUnavailable("the chart took too long") from error
        finally:
            self._wanted -= 1

    async def _drawn(self, request: bytes) -> bytes:
        """The answer to `request`; where the process dies over it a second one tries, once."""
        try:
            try:
                return await self._asked(request)
            except (OSError, EOFError) as error:
                log.warning("the drawing process died, another one tries: %s", error)
                await self._kill()
                return await self._asked(request)
        except (OSError, EOFError) as error:
            log.error("the drawing process died twice over a chart: %s", error)
            await self._kill()
            raise ChartUnavailable("the drawing process died") from error
        except asyncio.CancelledError:
            # Its answer would be taken for the next chart's.
            await self._kill()
            raise

    async def _asked(self, request: bytes) -> bytes:
        if self._closed:
            raise ChartUnavailable("the bot is leaving")
        process = self._process = self._process or await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"P" + len(request).to_bytes(4, "big") + request)
        await process.stdin.drain()
        head = await process.stdout.readexactly(5)
        size = int.from_bytes(head[1:], "big")
        if head[:1] not in (b"I", b"E") or size > PICTURE_LIMIT:
            raise EOFError("it answered with something else than a picture")
        body = await process.stdout.readexactly(size)
        self._farewell = asyncio.create_task(self._leave(), name="the drawing process's idle time")
        if head[:1] == b"E":
            log.error("a chart could not be drawn: %s", body.decode(errors="replace"))
            raise ChartUnavailable("the chart could not be drawn")
        return body

    async def _started(self) -> Process:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread each: the numerical libraries would otherwise keep a pool for every core.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        # Its complaints go where the bot's log goes. A session of its own: Ctrl-C at the terminal is for the bot, which
        # ends the process in its own time.
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
        )

    async def _leave(self) -> None:
        await asyncio.sleep(self._idle_s)
        async with self._turn:
            self._farewell = None
            await self._dismiss()

    def _keep(self) -> None:
        """Call off the farewell of an idle process. Only while holding the turn: it has not begun to leave, then."""
        farewell, self._farewell = self._farewell, None
        if farewell is not None:
            farewell.cancel()

    async def _dismiss(self) -> None:
        """End the process the friendly way: it leaves when its input ends."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(EXIT_S):
                await self._process.wait()
        except TimeoutError:
            await self._kill()
        self._process = None

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
