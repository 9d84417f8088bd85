"""The command line's part of the storage: `python -m bot backup FILE` and `python -m bot restore FILE`."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bot.errors import BotError
from bot.settings import read_one
from bot.storage.backup import Copied, back_up, restore
from bot.storage.database import sqlite_path


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `backup` and `restore` to the command line."""
    backup = commands.add_parser("backup", help="copy the database to a file; the bot may be running")
    backup.add_argument("file", type=Path, help="the file to write; it holds people's questions, so keep it private")
    backup.add_argument("--force", action="store_true", help="replace the file if there is one")
    back = commands.add_parser("restore", help="put a backup in the database's place; the bot must be stopped")
    back.add_argument("file", type=Path, help="a file that `backup` has written")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what the command line says. 0: done; 1: not done, and nothing has changed."""
    try:
        database = sqlite_path(str(read_one("DATABASE_URL", environ)))
        if arguments.command == "backup":
            copied = back_up(database, arguments.file, force=arguments.force)
            sys.stdout.write(f"{database} is backed up to {_described(copied)}\n")
            return 0
        copied = restore(arguments.file, database, now=datetime.now(UTC))
    except (BotError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{arguments.file} is restored to {_described(copied)}\n")
    if copied.kept is not None:
        sys.stdout.write(f"the database of before is {copied.kept}\n")
    return 0


def _described(copied: Copied) -> str:
    return f"{copied.file}: schema {copied.schema}, {copied.size_bytes:,} bytes, checked"
