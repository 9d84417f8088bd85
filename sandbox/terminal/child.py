"""The real bot as a process of its own, pointed at the stage."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sandbox.terminal.stage import Stage

ROOT: Final = Path(__file__).parents[2]
STOP_S: Final = 15.0
"""How long the bot may take to end its answers after SIGTERM before it is killed."""
LOG_NAME: Final = "bot.log"
TAIL_BYTES: Final = 4_000


def environment(stage: Stage, state: Path) -> dict[str, str]:
    """Ours, with what points the bot at the stage. A variable of the environment wins over the `.env` file, so that
    file is neither changed nor can it send the bot to the real Discord."""
    return {
        **os.environ,
        "DISCORD_TOKEN": stage.discord.bot_token,
        "DISCORD_API_URL": stage.discord.api_url,
        "MINITOOLAI_API_KEY": stage.api.key,
        "MINITOOLAI_API_URL": stage.api.url,
        "DATABASE_URL": f"sqlite:///{state.resolve()}/bot.db",
        # The simulation serves its pictures from this machine; the real API's come from elsewhere or not at all.
        "PICTURE_PRIVATE_ADDRESSES": "on" if stage.api.simulated else "off",
        "PYTHONUNBUFFERED": "1",
    }


class Child:
    """The process, from `start` to `stop`. What it logs is in `log`, which begins anew with each start."""

    def __init__(self, environ: dict[str, str], log: Path, *, module: str = "bot") -> None:
        self.log = log
        self.environ = environ
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._restarting = asyncio.Lock()

    async def start(self) -> None:
        """Raises OSError where the log cannot be written."""
        with self.log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "sandbox.terminal.leash", self._module),
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                # A group of its own, so that Ctrl-C reaches only us and the bot is stopped once, in order.
                process_group=0 if sys.platform != "win32" else None,
            )

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def restart(self) -> None:
        """Stop it and start it again."""
        async with self._restarting:
            await self.stop()
            await self.start()

    async def ended(self) -> str:
        """How it ended, in words, once it has by itself."""
        while True:
            process = self._process
            assert process is not None, "started before it is waited for"
            code = await process.wait()
            async with self._restarting:
                if process is self._process:
                    return f"by signal {-code}" if code < 0 else f"with exit status {code}"

    def tail(self, lines: int) -> list[str]:
        """The last lines of the log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-lines:]


@asynccontextmanager
async def running_bot(
    stage: Stage, state: Path, *, module: str = "bot", extra: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """`python -m bot` from here to the end of the block. `state` is a folder that exists.

    `module` is run in place of `bot`, with the variables `extra`.

    Raises:
        OSError: `state` cannot be written to.
    """
    child = Child({**environment(stage, state), **(extra or {})}, state / LOG_NAME, module=module)
    try:
        await child.start()
        yield child
    finally:
        # A task of its own: whatever cancels us meanwhile must not leave the bot behind.
        stopping = asyncio.create_task(child.stop())
        while not stopping.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(stopping)
        stopping.result()
