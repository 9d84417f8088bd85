"""The command line: `python -m bot` serves; its subcommands find what is amiss, look at the books, keep copies."""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
from pathlib import Path

# The collector finds nothing while modules are imported, and looking takes an eighth of the start.
gc.disable()
try:
    import aiohttp

    from bot.app import run
    from bot.credits import commands as ledger
    from bot.errors import BotError, SettingsError
    from bot.ops import probe
    from bot.ops.doctor import command as doctor
    from bot.ops.logging import configure
    from bot.settings import Settings, environment
    from bot.storage import commands as storage
except ImportError as error:
    # What newcomers meet first: another Python than the one that has the libraries, or one that is too old.
    if (error.name or "").partition(".")[0] in ("bot", "cogs"):
        raise
    sys.exit(
        f"The bot cannot start: {error}.\n"
        f"This is Python {sys.version.split()[0]} at {sys.executable}; 3.11 or newer is needed, with the libraries.\n"
        "Install them with `python -m pip install -r requirements.txt`, or let `make run` do it."
    )
gc.enable()

log = logging.getLogger("bot")


def main() -> int:
    """Serve Discord, or do what a subcommand says. The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="Serves the bot on Discord. Settings come from the environment and from .env; see .env.example.",
    )
    commands = parser.add_subparsers(dest="command", title="instead of serving")
    doctor.add_parser(commands)
    ledger.add_parser(commands)
    storage.add_parsers(commands)
    commands.add_parser("health", help="ask the running bot whether it is ready; exit code 1 where it is not")
    arguments = parser.parse_args()
    match arguments.command:
        case "doctor":
            return doctor.run(arguments, Path.cwd())
        case "ledger":
            return ledger.run(arguments, environment())
        case "backup" | "restore":
            return storage.run(arguments, environment())
        case "health":
            return probe.run(environment())
        case _:
            return serve()


def serve() -> int:
    """Serve Discord until SIGINT or SIGTERM; 0 after a clean stop, 1 when it cannot go on, 2 for wrong settings."""
    try:
        settings = Settings.load(environment())
    except SettingsError as error:
        return _refuse(error)
    configure(level=settings.log_level, fmt=settings.log_format, secrets=settings.secrets)
    # What the imports have made stays as long as the process. The collector, which stops everything for the while,
    # need not look at it again each time.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(_serve(settings))
    except SettingsError as error:
        return _refuse(error)
    except BotError as error:
        log.error("%s", error)
        return 1
    except aiohttp.ClientError as error:
        # While it runs, the connection is made anew; only the first one ends the process, for its host to try again.
        log.error("no connection to Discord at %s: %s", settings.discord_api_url, error)
        return 1
    except KeyboardInterrupt:
        pass
    except Exception:
        # The outermost door: through the log, which hides secrets and keeps its format, instead of the interpreter.
        log.critical("stopped by an unexpected error", exc_info=True)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    """Run until a signal cancels it, which is the ordinary end."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has no handlers for signals; Ctrl-C still interrupts there
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await run(settings)


def _refuse(error: SettingsError) -> int:
    print("The bot cannot start:", *(f"  - {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
    print("Each variable is explained in .env.example; put yours into a file named .env.", file=sys.stderr)
    print("`python -m bot doctor` looks for whatever else may be wrong.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
