"""The command line's part of the ledger: `python -m bot ledger check` and `… ledger export`.

Both read one state of the file and may run beside the bot: they take no lock and write nothing to it.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from bot.credits.check import check
from bot.credits.export import header, row
from bot.credits.reports import Span, entries_page
from bot.errors import BotError
from bot.settings import read_one
from bot.storage.database import Tx
from bot.storage.snapshot import snapshot


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ledger` with its two actions to the command line."""
    ledger = commands.add_parser("ledger", help="check the ledger or write it out; the bot may be running")
    actions = ledger.add_subparsers(dest="action", required=True)
    actions.add_parser("check", help="recompute every balance; exit code 1 where one is wrong")
    export = actions.add_parser("export", help="write every entry as CSV")
    export.add_argument("--output", type=Path, help="the file to write; without it, standard output")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what the command line says. 0: done, and all is well; 1: differences, or no database to read."""
    try:
        url = _database_url(environ)
        if arguments.action == "check":
            return asyncio.run(_check(url))
        return asyncio.run(_export(url, arguments.output))
    except (BotError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _database_url(environ: Mapping[str, str]) -> str:
    return str(read_one("DATABASE_URL", environ))


async def _check(url: str) -> int:
    async with snapshot(url) as tx:
        checked = await check(tx)
    for difference in checked.differences:
        sys.stdout.write(f"{difference}\n")
    found = f"{len(checked.differences)} differences" if checked.differences else "all balances are right"
    sys.stdout.write(
        f"{checked.entries} entries, {checked.open_holds} open holds, {checked.accounts} accounts: {found}\n"
    )
    return 1 if checked.differences else 0


async def _export(url: str, output: Path | None) -> int:
    with ExitStack() as stack:
        file: TextIO = sys.stdout
        if output is not None:
            file = stack.enter_context(output.open("w", encoding="utf-8", newline=""))
        async with snapshot(url) as tx:
            await _write(tx, file)
    return 0


async def _write(tx: Tx, file: TextIO) -> None:
    file.write(header())
    after = -1
    while page := await entries_page(tx, None, Span(), after=after):
        file.writelines(map(row, page))
        after = page[-1].key
