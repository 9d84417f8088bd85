"""The command line's part of the doctor: `python -m bot doctor` looks at everything that keeps a bot from working."""

import argparse
import asyncio
import io
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from bot.ops.doctor import machine
from bot.ops.doctor.database import database_findings
from bot.ops.doctor.discord import discord_findings
from bot.ops.doctor.findings import Check, Finding, Level, examine
from bot.ops.doctor.minitoolai import minitoolai_findings
from bot.ops.doctor.setup import ENV_FILE, Setup, catalog_findings, file_findings, settings_findings
from bot.ops.logging import configure
from bot.settings import VARIABLES
from bot.storage.database import sqlite_path

LINE_WIDTH: Final = 100
DATABASE_S: Final = 90.0
"""Reading a large database through, and recomputing its balances, takes longer than asking over a network."""

_LABELS: Final[dict[Level, str]] = {"ok": "ok", "note": "note", "warning": "WARNING", "problem": "PROBLEM"}
_INDENT: Final = " " * 22


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor` to the command line."""
    doctor = commands.add_parser(
        "doctor", help="look for what keeps the bot from working; costs nothing, and the bot may be running"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Examine the bot as it would start in `folder`, and print what was found. 1 where there is a problem, else 0."""
    setup = Setup.read(folder)
    secrets = [setup.values.get(variable.field) for variable in VARIABLES if variable.secret]
    configure(level="WARNING", fmt="human", secrets=[secret for secret in secrets if secret])
    findings = asyncio.run(examine(checks(setup)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without “ or → is no reason to end here
    sys.stdout.write(as_json(findings) if arguments.json else as_text(findings))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def checks(setup: Setup) -> list[Check]:
    """All of them, in the order in which a newcomer mends things."""
    return [
        Check(name="versions", run=machine.version_findings),
        Check(name=ENV_FILE, run=partial(file_findings, setup)),
        Check(name="settings", run=partial(settings_findings, setup)),
        Check(name="catalogue", run=partial(catalog_findings, setup)),
        Check(name="discord", run=partial(_discord, setup)),
        Check(name="api", run=partial(_api, setup)),
        Check(name="database", run=partial(_database, setup), deadline_s=DATABASE_S),
        Check(name="disk", run=partial(_disk, setup)),
        Check(name="time zones", run=machine.time_zone_findings),
        Check(name="drawing", run=machine.drawing_findings, deadline_s=30.0),
    ]


async def _discord(setup: Setup) -> Sequence[Finding]:
    if missing := _unusable(setup, "discord_api_url", "discord_token"):
        return _not_looked_at("discord", missing)
    return await discord_findings(setup.values["discord_api_url"], setup.values["discord_token"])


async def _api(setup: Setup) -> Sequence[Finding]:
    if missing := _unusable(setup, "minitoolai_api_url"):
        return _not_looked_at("api", missing)
    return await minitoolai_findings(setup.values["minitoolai_api_url"], setup.values.get("minitoolai_api_key"))


async def _database(setup: Setup) -> Sequence[Finding]:
    if missing := _unusable(setup, "database_url"):
        return _not_looked_at("database", missing)
    return await database_findings(setup.values["database_url"])


async def _disk(setup: Setup) -> Sequence[Finding]:
    if missing := _unusable(setup, "database_url"):
        return _not_looked_at("disk", missing)
    return await machine.disk_findings(sqlite_path(setup.values["database_url"]).parent)


def _unusable(setup: Setup, *fields: str) -> list[str]:
    """The names of the variables among `fields` that have no value."""
    return [variable.name for variable in VARIABLES if variable.field in fields and variable.field not in setup.values]


def _not_looked_at(check: str, variables: Sequence[str]) -> Sequence[Finding]:
    """A note: the variable itself is told of as a problem of the settings."""
    what = f"Not looked at: {' and '.join(variables)} must be set right first."
    return [Finding(check=check, level="note", what=what)]


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each finding, its cure below it, and what it comes to."""
    counts = Counter(finding.level for finding in findings)
    told = [_counted(counts["problem"], "problem"), _counted(counts["warning"], "warning")]
    end = " and ".join(words for words in told if words) or "Nothing is wrong"
    return "".join(map(_entry, findings)) + f"\n{end}.\n"


def _entry(finding: Finding) -> str:
    head = f"{_LABELS[finding.level]:<9}{finding.check:<13}"
    lines = _wrapped(finding.what, head)
    if finding.cure is not None:
        lines += _wrapped(f"Cure: {finding.cure}", _INDENT)
    return "".join(f"{line}\n" for line in lines)


def _wrapped(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        text,
        LINE_WIDTH,
        initial_indent=head,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""


def as_json(findings: Sequence[Finding]) -> str:
    """`ok` is whether there is no problem, as in the exit code."""
    ok = all(finding.level != "problem" for finding in findings)
    written = {"ok": ok, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(written, ensure_ascii=False, indent=2) + "\n"
