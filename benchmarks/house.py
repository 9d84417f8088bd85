"""Discord and MiniToolAI on loopback in this process, and the real bot, unchanged, in another."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from sandbox.discord.people import Person
from sandbox.discord.places import Guild
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer

REPOSITORY: Final = Path(__file__).parents[1]
READY_S: Final = 30.0
STOP_S: Final = 20.0
CHECK_S: Final = 60.0
KEY: Final = "key-of-the-benchmark"
REMEMBERED: Final = 200_000
"""Requests that the loopback Discord keeps: those of a thousand answers of a minute."""


@dataclass(frozen=True, kw_only=True)
class House:
    """`pid` is the bot's process, `log` what it wrote."""

    discord: DiscordServer
    api: MiniToolAIServer
    guild: Guild
    people: tuple[Person, ...]
    pid: int
    log: Path


@asynccontextmanager
async def open_house(
    *,
    people: int,
    profile: Path | None = None,
    one_core: bool = False,
    poll_gap_s: float = 0.0,
    overrides: Mapping[str, str] | None = None,
) -> AsyncIterator[House]:
    """A server with so many members and a bot that is connected to it. Discord's OpenAPI document is not checked.

    With `profile`, an absolute path, the bot runs under cProfile, which slows it down and leaves its figures there.
    With `one_core` the bot has one of the machine's cores and this process has the others.
    Polls of one picture within `poll_gap_s` are answered 429. `overrides` are variables of the bot's environment.
    """
    with TemporaryDirectory() as folder:
        async with (
            DiscordServer(remember=REMEMBERED) as discord,
            MiniToolAIServer(api_key=KEY, poll_gap_s=poll_gap_s) as api,
        ):
            world = discord.world
            guild = world.add_guild("Benchmark", owner=world.add_user("Owner"))
            users = [world.add_user(f"Member {number}") for number in range(people)]
            for user in users:
                guild.join(user)
            log = Path(folder) / "bot.log"
            async with _bot(discord, api, Path(folder), log, profile, overrides or {}) as pid:
                if one_core:
                    _part(pid)
                yield House(
                    discord=discord,
                    api=api,
                    guild=guild,
                    people=tuple(discord.person(user) for user in users),
                    pid=pid,
                    log=log,
                )


@asynccontextmanager
async def _bot(
    discord: DiscordServer,
    api: MiniToolAIServer,
    folder: Path,
    log: Path,
    profile: Path | None,
    overrides: Mapping[str, str],
) -> AsyncIterator[int]:
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "SYSTEMROOT", "LANG")},
        "PYTHONPATH": str(REPOSITORY),
        "DISCORD_TOKEN": discord.bot_token,
        "DISCORD_API_URL": discord.api_url,
        "MINITOOLAI_API_KEY": KEY,
        "MINITOOLAI_API_URL": api.url,
        "DATABASE_URL": f"sqlite:///{folder}/bot.db",
        "PICTURE_PRIVATE_ADDRESSES": "on",  # the loopback API serves its pictures on this machine
        **overrides,
    }
    profiler = ("-m", "cProfile", "-o", str(profile)) if profile is not None else ()
    with log.open("wb") as output:
        # Its working folder is empty: a .env of the developer's must not reach it.
        process = await asyncio.create_subprocess_exec(
            sys.executable, *profiler, "-m", "bot", cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            await _ready(discord, process, log)
            yield process.pid
        finally:
            await _stop(process)


def _part(pid: int) -> None:
    """Give the process the first core, threads that it has already included, and this process all others."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("this system cannot keep a process to one core")
    first, *others = sorted(os.sched_getaffinity(0))
    for thread in (Path("/proc") / str(pid) / "task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, others or {first})


class Books(NamedTuple):
    """What `ledger check` said, and whether every balance is right and nothing is on hold."""

    said: str
    right: bool


async def check_books(house: House) -> Books:
    """The bot's own check of the ledger, beside the running bot."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "ledger", "check"),
        cwd=house.log.parent,
        env={"PYTHONPATH": str(REPOSITORY), "DATABASE_URL": f"sqlite:///{house.log.parent}/bot.db"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(CHECK_S):
        said, _ = await process.communicate()
    return Books(said.decode().strip(), process.returncode == 0 and b" 0 open holds" in said)


async def _ready(discord: DiscordServer, process: asyncio.subprocess.Process, log: Path) -> None:
    """Raises RuntimeError with the bot's own words where it does not come up."""
    ready = asyncio.create_task(discord.gateway.wait_ready(READY_S))
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() or ready.exception() is not None:
            raise RuntimeError(f"the bot did not connect:\n{end_of(log)}")
    finally:
        ready.cancel()
        ended.cancel()


def end_of(log: Path) -> str:
    """The last 2,000 characters of what the bot wrote."""
    return log.read_text(errors="replace")[-2000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
