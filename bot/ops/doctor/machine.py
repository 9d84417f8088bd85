"""The machine and what is installed on it: Python, libraries, time zones, drawing, room and speed of the disk."""

import asyncio
import importlib
import importlib.metadata
import os
import platform
import shutil
import statistics
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import bot
from bot.credits.policy import zone_names
from bot.ops.doctor.findings import Finding, Level

DISTRIBUTION: Final = "minitoolai-discord"
INSTALL: Final = "python -m pip install -r requirements.txt, in the bot's folder and with the Python that runs it"

FREE_LEAST_BYTES: Final = 50_000_000
"""Below this a database may stop taking writes within hours."""
FREE_GOOD_BYTES: Final = 500_000_000

FLUSHES: Final = 9
FLUSH_SLOW_S: Final = 0.1
"""Every question waits for two or three flushes, so with this its asker waits for a third of a second."""


def declared(pyproject: Path) -> tuple[str, list[str]]:
    """The range of Python versions and the requirements: of the source tree that is run, else of what is installed.

    Raises:
        PackageNotFoundError: neither is there.
    """
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], project["dependencies"]
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    required = importlib.metadata.requires(DISTRIBUTION) or []
    return metadata["Requires-Python"], [each for each in required if "extra ==" not in each]


async def version_findings(pyproject: Path | None = None) -> Sequence[Finding]:
    """Python and every library against the ranges that the bot was tried with."""
    root = Path(bot.__file__).parents[1]
    try:
        python, requirements = await asyncio.to_thread(declared, pyproject or root / "pyproject.toml")
    except importlib.metadata.PackageNotFoundError:
        what = "Which versions the bot needs cannot be told: its pyproject.toml is missing."
        return [Finding(check="versions", level="note", what=what)]
    findings = [*_python(python), *(found for each in requirements for found in _library(Requirement(each)))]
    words = (
        f"Python {platform.python_version()}, discord.py {_installed('discord.py')}, aiohttp {_installed('aiohttp')}"
    )
    return findings or [Finding(check="versions", level="ok", what=f"{words}, and the rest as they should be.")]


def _python(wanted: str) -> list[Finding]:
    version = platform.python_version()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return []
    cure = f"Install Python {wanted}, and the bot's libraries for it: {INSTALL}."
    return [Finding(check="versions", level="problem", what=f"This is Python {version}.", cure=cure)]


def _library(wanted: Requirement) -> list[Finding]:
    if wanted.marker is not None and not wanted.marker.evaluate():
        return []
    version, cure = _installed(wanted.name), f"Install what the bot was tried with: {INSTALL}."
    if version is None:
        what = f"{wanted.name} is not installed."
        return [Finding(check="versions", level="problem", what=what, cure=cure)]
    if wanted.specifier.contains(version, prereleases=True):
        return []
    what = f"{wanted.name} is {version}, and the bot was tried with {wanted.specifier}."
    return [Finding(check="versions", level="warning", what=what, cure=cure)]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


async def time_zone_findings() -> Sequence[Finding]:
    """Servers choose whose midnight begins their day: by names that this machine has to know."""
    count = len(await asyncio.to_thread(zone_names))
    if count > 1:
        return [Finding(check="time zones", level="ok", what=f"{count} time zones are known.")]
    what = "This machine knows no time zone but UTC, so servers cannot choose theirs."
    return [Finding(check="time zones", level="warning", what=what, cure=f"Install tzdata: {INSTALL}.")]


async def drawing_findings() -> Sequence[Finding]:
    """Attached pictures and the charts of /usage need compiled libraries, which fail in ways of their own."""
    uses = {"PIL.Image": "pictures that people attach", "matplotlib.figure": "the charts of /usage"}
    findings = []
    for module, use in uses.items():
        try:
            await asyncio.to_thread(importlib.import_module, module)
        except ImportError as error:
            what = f"{module.partition('.')[0]} cannot be loaded, which {use} need: {error}."
            findings.append(Finding(check="drawing", level="warning", what=what, cure=f"Install it anew: {INSTALL}."))
    return findings or [Finding(check="drawing", level="ok", what="Pillow and matplotlib can be loaded.")]


async def disk_findings(folder: Path) -> Sequence[Finding]:
    """Whether the database's folder can be written to, has room, and how long a flush to it takes.

    One that is not there yet stands for its nearest folder that is: the bot makes the rest.
    """
    return await asyncio.to_thread(_disk, folder)


def _disk(folder: Path) -> list[Finding]:
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path())
    free = shutil.disk_usage(there).free
    findings = [_room(there, free)]
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = f"{there.absolute()} is not a folder that this user may write in, and the database is to be there."
        cure = "Give the folder to the user that runs the bot, or name another place in DATABASE_URL."
        return [*findings, Finding(check="disk", level="problem", what=what, cure=cure)]
    try:
        flush_s = measure_flush_s(there)
    except OSError as error:
        what = f"Nothing can be written in {there.absolute()}: {error.strerror or error}."
        return [*findings, Finding(check="disk", level="problem", what=what, cure="Make room there, or mend the disk.")]
    return [*findings, _speed(flush_s)]


def _room(folder: Path, free_bytes: int) -> Finding:
    what = f"{free_bytes / 1e9:,.1f} GB are free where the database is ({folder.absolute()})."
    if free_bytes >= FREE_GOOD_BYTES:
        return Finding(check="disk", level="ok", what=what)
    level: Level = "problem" if free_bytes < FREE_LEAST_BYTES else "warning"
    what = f"Only {free_bytes / 1e6:,.0f} MB are free where the database is ({folder.absolute()})."
    return Finding(check="disk", level=level, what=what, cure="Make room: with a full disk nobody is served.")


def _speed(flush_s: float) -> Finding:
    what = f"A flush to that disk takes {flush_s * 1000:.1f} ms."
    if flush_s < FLUSH_SLOW_S:
        return Finding(check="disk", level="ok", what=what)
    cure = "Put the database on a local disk, not on a network's: each question waits for several flushes."
    return Finding(check="disk", level="note", what=what, cure=cure)


def measure_flush_s(folder: Path) -> float:
    """The median of a few writes of one page with their flush, as a commit does them. OSError where that fails."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FLUSHES):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times)
