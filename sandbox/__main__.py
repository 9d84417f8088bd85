"""The command line: `python -m sandbox`. A Discord, a MiniToolAI, the real bot, and a page to talk to it."""

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bot.settings import environment
from sandbox.lock import FolderInUse, sole_sandbox
from sandbox.terminal.child import ROOT, Child, running_bot
from sandbox.terminal.keyboard import chunks, is_live, lines, no_chunks, single_keys
from sandbox.terminal.keys import Closed
from sandbox.terminal.screen import Glass, Paper
from sandbox.terminal.stage import Api, Stage, open_stage
from sandbox.terminal.talk import HOW_TO, Conversation, Quit
from sandbox.web import memory
from sandbox.web.books import Books
from sandbox.web.clock import VARIABLE as CLOCK_VARIABLE
from sandbox.web.scene import CLOCK, Scene, open_scene
from sandbox.web.server import open_page

READY_S: Final = 60.0
"""How long the bot may take to come online."""
DEFAULT_API_URL: Final = "https://minitoolai.com/api"
DEFAULT_STATE: Final = ROOT / "data" / "sandbox"
LOG_LINES: Final = 12
_ELSEWHERE: Final = "End that one first, or let this one remember elsewhere: --state FOLDER"
PAGE_PORT: Final = 8765
"""Where the page is unless it is told otherwise, or something else is there: an address that can be kept."""


def main() -> int:
    """0 after a clean end, 1 where the bot ended by itself or the sandbox could not start, 2 for wrong arguments."""
    options = _arguments()
    try:
        options.state.mkdir(parents=True, exist_ok=True)
        # Before anything there is touched: another sandbox may live in it.
        with sole_sandbox(options.state):
            if options.fresh:
                _forget(options.state)
            return asyncio.run(_cancelled_by_signals(options))
    except BrokenPipeError:
        # Whoever read our output has gone. Nothing is left to say, and Python shall not try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FolderInUse:
        print(f"The sandbox cannot start: another one runs in {options.state}. {_ELSEWHERE}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The sandbox cannot start: {_why(error, options.port)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _why(error: OSError, port: int | None) -> str:
    """In words, with what to do."""
    if error.errno == errno.EADDRINUSE and port:
        return f"something else is at port {port}. Name another with --port, or leave that out."
    if error.filename is not None:
        # Of FileExistsError too, which is what `mkdir` says of a file that has the folder's name.
        return f"{error.filename}: {error.strerror}. Name a folder that can be written to: --state FOLDER"
    return error.strerror or str(error)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Try the bot without Discord and without an API key: a stand-in for each runs on this machine, and "
        "the real bot between them. Talk to it in the browser. No .env is changed.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        help=f"where the page is (default: {PAGE_PORT}, or a free one); with --terminal, the stand-in for Discord",
    )
    parser.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, metavar="FOLDER", help="what the bot remembers and logs is here"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs left in that folder")
    parser.add_argument(
        "--api-key",
        nargs="?",
        const="",
        metavar="KEY",
        help="let MiniToolAI answer for real, and be paid; without KEY, with MINITOOLAI_API_KEY of the environment "
        "or .env, which keeps it out of the list of processes",
    )
    parser.add_argument("--api-url", metavar="URL", help=f"where that API is (default: {DEFAULT_API_URL})")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.add_argument("--terminal", action="store_true", help="talk to the bot here, in the terminal, without a page")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="with --terminal: go on after the input's end, until a signal; :quit still ends it",
    )
    options = parser.parse_args()
    try:
        options.api = _api(options.api_key, options.api_url)
    except ValueError as problem:
        parser.error(str(problem))
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _api(key: str | None, url: str | None) -> Api | None:
    """The real API as ordered, None for the simulation. Raises ValueError."""
    if key is None:
        if url is not None:
            raise ValueError("--api-url needs --api-key")
        return None
    key = key or environment(ROOT).get("MINITOOLAI_API_KEY", "").strip()
    if not key:
        raise ValueError("--api-key without KEY needs MINITOOLAI_API_KEY in the environment or in .env")
    return Api(url=url or DEFAULT_API_URL, key=key, simulated=False)


def _forget(state: Path) -> None:
    # By name, and not the locks: the folder may be anybody's, and who waits for a lock waits for that file.
    for name in ("bot.db", "bot.db-wal", "bot.db-shm", CLOCK):
        (state / name).unlink(missing_ok=True)
    memory.forget(state)


async def _cancelled_by_signals(options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows
            loop.add_signal_handler(getattr(signal, name), task.cancel)
    try:
        return await (_run_terminal if options.terminal else _run_page)(options)
    except asyncio.CancelledError:
        return 0


# In the terminal


async def _run_terminal(options: argparse.Namespace) -> int:
    async with open_stage(port=options.port or 0, api=options.api) as stage:
        print(*_greeting(stage, options.state), sep="\n", flush=True)
        async with running_bot(stage, options.state) as child:
            return await _until_either_ends(child, _talk(stage, child, serve=options.serve))


async def _until_either_ends(child: Child, work: Coroutine[None, None, None]) -> int:
    """0 once `work` is done; 1, with the last words of its log, where the bot ends before. Raises what `work` does."""
    ended = asyncio.create_task(child.ended(), name="the bot")
    working = asyncio.create_task(work, name="the conversation")
    try:
        await asyncio.wait({ended, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ended, working):
            task.cancel()
        await asyncio.gather(ended, working, return_exceptions=True)
    if not ended.cancelled():
        print(f"\nThe bot ended {ended.result()}. The end of {child.log}:", file=sys.stderr)
        print(*(f"  {line}" for line in child.tail(LOG_LINES)), sep="\n", file=sys.stderr)
        print("Where what it remembers is damaged, start with --fresh, which forgets it.", file=sys.stderr)
        return 1
    working.result()
    print("Stopping the bot…", flush=True)
    return 0


def _about(stage: Stage) -> list[str]:
    if stage.api.simulated:
        return [
            "Answers come from a simulation: this is a sandbox, with no model and no Discord behind it.",
            "The bot is the real one, run as `python -m bot`; it talks to stand-ins on this machine alone.",
        ]
    return [
        f"This is a sandbox without Discord, but {stage.api.url} answers, and your account there pays.",
        "The bot is the real one, run as `python -m bot`. An API outside this machine cannot see your pictures.",
    ]


def _greeting(stage: Stage, state: Path) -> list[str]:
    return [
        *_about(stage),
        f"Discord: {stage.discord.api_url}   memory and log: {state}",
        "",
        *(f"  {line}" for line in HOW_TO),
        "",
        "Starting the bot…",
    ]


async def _talk(stage: Stage, child: Child, *, serve: bool) -> None:
    """Until the input ends; with `serve`, until cancelled."""
    try:
        await stage.discord.gateway.wait_ready(READY_S)
    except TimeoutError:
        print(f"The bot is not online after {READY_S:g} s; its log is {child.log}", file=sys.stderr)
        raise
    print("The bot is online.\n", flush=True)
    try:
        await (_live if is_live(sys.stdin, sys.stdout) else _on_paper)(stage, child)
    except Quit:
        return
    except Closed:
        pass
    if serve:
        print("Serving until a signal.", flush=True)
        await asyncio.Event().wait()


async def _live(stage: Stage, child: Child) -> None:
    glass = Glass(sys.stdout)
    conversation = Conversation(stage, child, glass)
    with single_keys(sys.stdin):
        try:
            await _beside(conversation, conversation.type(chunks(sys.stdin.fileno())))
        finally:
            glass.close()


async def _on_paper(stage: Stage, child: Child) -> None:
    conversation = Conversation(stage, child, Paper(sys.stdout))
    # Python has no sys.stdin where the descriptor was closed; by now something else may have that number.
    source = chunks(sys.stdin.fileno()) if sys.stdin is not None else no_chunks()
    await _beside(conversation, conversation.read(lines(source)))


async def _beside(conversation: Conversation, listening: Coroutine[None, None, None]) -> None:
    """Listen, with the screen kept up to date meanwhile. Raises what either raises."""
    tasks = [asyncio.create_task(conversation.show()), asyncio.create_task(listening)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await conversation.close()


# In the browser


async def _run_page(options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(open_scene(options.state, api=options.api))
        clock = {CLOCK_VARIABLE: str((options.state / CLOCK).resolve())}
        bot = running_bot(scene.stage, options.state, module="sandbox.web.clock", extra=clock)
        child = await stack.enter_async_context(bot)
        books = Books(options.state, child.environ)
        address = await stack.enter_async_context(_page_at(options.port, scene, books, child))
        print(*_about(scene.stage), "", f"Open {address} in a browser; Ctrl-C ends it.", sep="\n", flush=True)
        print(f"Memory and log: {options.state}", flush=True)
        return await _until_either_ends(child, _attend(scene.stage, child, address, opens=not options.no_open))


@asynccontextmanager
async def _page_at(port: int | None, scene: Scene, books: Books, child: Child) -> AsyncIterator[str]:
    """The page at `port`, which must be free then; without one, at PAGE_PORT or wherever else. Raises OSError."""
    async with AsyncExitStack() as stack:
        try:
            wanted = PAGE_PORT if port is None else port
            address = await stack.enter_async_context(open_page(scene, books=books, child=child, port=wanted))
        except OSError:
            if port is not None:
                raise
            address = await stack.enter_async_context(open_page(scene, books=books, child=child))
        yield address


async def _attend(stage: Stage, child: Child, address: str, *, opens: bool) -> None:
    """Until cancelled."""
    if opens and _has_desktop():
        await asyncio.to_thread(webbrowser.open, address)
    try:
        await stage.discord.gateway.wait_ready(READY_S)
    except TimeoutError:
        print(f"The bot is not online after {READY_S:g} s; its log is {child.log}", file=sys.stderr, flush=True)
    else:
        print("The bot is online.", flush=True)
    await asyncio.Event().wait()


def _has_desktop() -> bool:
    """Whether a browser that opens can be seen. Over SSH none can, and `webbrowser` might start one in the terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
