"""One sandbox and one Chromium for all tests of the page; each test has a browser profile of its own.

The sandbox is started as anybody starts it, `python -m sandbox`, on a free port and in a folder of its own. Tests share
its world, so each looks only at what it did itself.
"""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.page import CHROMIUM, Sandbox

REPOSITORY = Path(__file__).parents[2]
START_S = 60.0
STOP_S = 15.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(?= )")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}

Opener = Callable[..., Awaitable[Sandbox]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The page's address, once the bot is online."""
    state = tmp_path_factory.mktemp("sandbox")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--port", "0", "--no-open", "--state", str(state)),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            found = await _online(process.stdout)
        # What it says later must not fill the pipe.
        draining = asyncio.create_task(process.stdout.read())
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    await draining


async def _online(output: asyncio.StreamReader) -> str:
    """The address that is printed before the bot is told to be online."""
    said = []
    found = None
    async for raw in output:
        line = raw.decode()
        said.append(line)
        found = found or ADDRESS.search(line)
        if found and "online" in line:
            return found[0]
    raise AssertionError("the sandbox ended:\n" + "".join(said))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def opened(address: str, chromium: Browser) -> AsyncIterator[Opener]:
    """Opens the page, as often as a test likes. In the end none may have put a word on the console."""
    async with contextlib.AsyncExitStack() as stack:
        seen: list[Sandbox] = []

        async def open_page(**options: Any) -> Sandbox:
            context = await chromium.new_context(**{**DESK, **options})
            stack.push_async_callback(context.close)
            sandbox = Sandbox(await context.new_page(), address)
            seen.append(sandbox)
            await sandbox.load()
            return sandbox

        yield open_page
        assert [word for sandbox in seen for word in sandbox.console] == []


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox(opened: Opener) -> Sandbox:
    """The page at a desk's width, as Dana, in #general."""
    return await opened()
