"""`python -m bot` from outside: what it says and how it ends, as a process."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.discord.faults import Fault
from sandbox.terminal.stage import Stage, open_stage

ROOT = Path(__file__).parent.parent
WAIT_S = 30
REQUIRED = ("DISCORD_TOKEN", "MINITOOLAI_API_KEY")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as opened:
        yield opened


def environ(folder: Path, stage: Stage | None = None, **overrides: str) -> dict[str, str]:
    """The real environment without anything of the bot's, then what points it at the stage."""
    ours = ("DISCORD_", "MINITOOLAI_", "DATABASE_", "LOG_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    plain["PYTHONPATH"] = str(ROOT)
    plain["PYTHONDONTWRITEBYTECODE"] = "1"
    if stage is not None:
        plain |= {
            "DISCORD_TOKEN": stage.discord.bot_token,
            "DISCORD_API_URL": stage.discord.api_url,
            "MINITOOLAI_API_KEY": stage.api.key,
            "MINITOOLAI_API_URL": stage.api.url,
            "DATABASE_URL": f"sqlite:///{folder}/a name with spaces.db",
        }
    return plain | overrides


@asynccontextmanager
async def started(
    folder: Path, environment: dict[str, str], *command: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", "bot")),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Exit status and all that was printed."""
    async with asyncio.timeout(WAIT_S):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def run(folder: Path, environment: dict[str, str], *options: str) -> tuple[int | None, str]:
    """`python -m bot` with these options."""
    async with started(folder, environment, sys.executable, "-m", "bot", *options) as process:
        return await end_of(process)


async def test_without_its_tokens_it_names_every_missing_variable_at_once(tmp_path: Path):
    status, output = await run(tmp_path, environ(tmp_path))
    assert status == 2
    assert [name for name in REQUIRED if f"{name} is missing" in output] == list(REQUIRED)
    assert "Traceback" not in output


async def test_a_wrong_variable_is_named_along_with_a_missing_one(tmp_path: Path):
    status, output = await run(tmp_path, environ(tmp_path, MAX_MESSAGES="many", DISCORD_TOKEN="a.b.c"))
    assert status == 2
    assert "MAX_MESSAGES must be" in output
    assert "MINITOOLAI_API_KEY is missing" in output
    assert "DISCORD_TOKEN is" not in output


async def test_a_default_model_that_the_catalogue_does_not_have_is_a_wrong_setting(tmp_path: Path, stage: Stage):
    status, output = await run(tmp_path, environ(tmp_path, stage, DEFAULT_MODEL="gpt-9"))
    assert status == 2
    assert "DEFAULT_MODEL must be one of " in output
    assert "not 'gpt-9'" in output


async def test_a_token_that_discord_refuses_is_a_wrong_setting(tmp_path: Path, stage: Stage):
    status, output = await run(tmp_path, environ(tmp_path, stage, DISCORD_TOKEN="not.the.token"))
    assert status == 2
    assert "DISCORD_TOKEN is not accepted" in output
    assert "not.the.token" not in output
    assert "Traceback" not in output


async def test_a_discord_that_cannot_be_reached_is_one_sentence(tmp_path: Path, stage: Stage):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v10"
        status, output = await run(tmp_path, environ(tmp_path, stage, DISCORD_API_URL=address))
    assert status == 1
    assert address in output
    assert "Traceback" not in output


async def test_a_connection_lost_at_login_is_one_sentence(tmp_path: Path, stage: Stage):
    stage.discord.faults.add(Fault(template="/users/@me", drop=True, times=None))
    status, output = await run(tmp_path, environ(tmp_path, stage))
    assert status == 1
    assert f"no connection to Discord at {stage.discord.api_url}" in output
    assert "Traceback" not in output


async def test_a_discord_that_refuses_the_login_is_one_sentence_in_the_log(tmp_path: Path, stage: Stage):
    stage.discord.faults.add(Fault(template="/users/@me", status=418, times=None))
    status, output = await run(tmp_path, environ(tmp_path, stage, LOG_FORMAT="json"))
    assert status == 1
    assert all(line.startswith("{") for line in output.splitlines())
    assert "Discord cannot let the bot in just now" in output
    assert "Traceback" not in output
    assert stage.discord.bot_token not in output


async def test_a_second_bot_on_the_same_database_is_refused_and_the_first_ends_at_sigterm(tmp_path: Path, stage: Stage):
    environment = environ(tmp_path, stage)
    async with started(tmp_path, environment) as first:
        await stage.discord.gateway.wait_ready(WAIT_S)
        status, output = await run(tmp_path, environment)
        assert status == 1
        assert "is in use by another process" in output
        assert "Traceback" not in output
        first.send_signal(signal.SIGTERM)
        status, output = await end_of(first)
    assert (status, "Traceback" in output) == (0, False)


async def test_the_procfiles_worker_comes_online_and_ends_at_sigterm(tmp_path: Path, stage: Stage):
    """As a host runs it. honcho looks for `python` on the path, and for .env beside the Procfile."""
    binaries = Path(sys.executable).parent
    (tmp_path / "Procfile").write_bytes((ROOT / "Procfile").read_bytes())
    environment = environ(tmp_path, stage, PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}")
    honcho = (sys.executable, "-m", "honcho", "start", "worker")
    async with started(tmp_path, environment, *honcho) as process:
        await stage.discord.gateway.wait_ready(WAIT_S)
        process.send_signal(signal.SIGTERM)
        status, output = await end_of(process)
    assert "Traceback" not in output
    assert status in (0, 128 + signal.SIGTERM, -signal.SIGTERM), output
    await stage.discord.wait_until(lambda: not any(each.connected for each in stage.discord.gateway.sessions))


async def test_without_its_libraries_it_says_how_to_install_them(tmp_path: Path):
    bare = (sys.executable, "-S", "-m", "bot", "doctor")
    async with started(tmp_path, environ(tmp_path), *bare) as process:
        status, output = await end_of(process)
    assert status == 1
    assert "pip install -r requirements.txt" in output
    assert "Traceback" not in output


async def test_a_missing_library_is_named_and_a_missing_part_of_the_bot_is_a_fault_of_ours(tmp_path: Path):
    """What cannot be imported: the first can be installed, the second could not be mended by that."""
    for module, ours in (("discord", False), ("bot.credits.commands", True)):
        without = f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_module('bot', run_name='__main__')"
        async with started(tmp_path, environ(tmp_path), sys.executable, "-c", without) as process:
            status, output = await end_of(process)
        assert (status, module in output) == (1, True)
        assert ("Traceback" in output, "pip install" in output) == (ours, not ours)


async def test_who_imports_the_command_line_starts_nothing(tmp_path: Path):
    async with started(tmp_path, environ(tmp_path), sys.executable, "-c", "import bot.__main__") as process:
        assert await end_of(process) == (0, "")


async def test_health_asks_the_bot_whose_address_is_set_and_says_where_none_is(tmp_path: Path):
    status, output = await run(tmp_path, environ(tmp_path, HEALTH_ADDRESS=""), "health")
    assert (status, output) == (1, "HEALTH_ADDRESS is not set, so the bot does not tell how it is\n")


async def test_the_doctor_names_everything_a_newcomer_has_not_set_and_ends_with_1(tmp_path: Path, stage: Stage):
    environment = environ(tmp_path, stage, DISCORD_TOKEN="", MINITOOLAI_API_KEY="")
    status, output = await run(tmp_path, environment, "doctor")
    assert status == 1
    assert [name for name in REQUIRED if f"PROBLEM  settings     {name} is missing" in output] == list(REQUIRED)
    assert "ok       api          The MiniToolAI API answers." in output
    assert output.endswith("\n2 problems.\n")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a folder of a test


async def test_the_doctor_finds_nothing_wrong_beside_a_running_bot(tmp_path: Path, stage: Stage):
    environment = environ(tmp_path, stage)
    async with started(tmp_path, environment):
        await stage.discord.gateway.wait_ready(WAIT_S)
        status, output = await run(tmp_path, environment, "doctor", "--json")
    report = json.loads(output)
    assert (status, report["ok"]) == (0, True)
    assert [finding for finding in report["findings"] if finding["level"] in ("warning", "problem")] == []
    assert "The bot is running on this database" in output
    assert not any(secret in output for secret in (stage.discord.bot_token, stage.api.key))


async def test_the_doctor_tells_a_wrong_token_and_a_wrong_key_apart_without_showing_them(tmp_path: Path, stage: Stage):
    environment = environ(tmp_path, stage, DISCORD_TOKEN="not.the.token", MINITOOLAI_API_KEY="not-the-key")
    status, output = await run(tmp_path, environment, "doctor")
    assert status == 1
    assert "PROBLEM  discord      Discord does not know the token." in output
    assert "PROBLEM  api          The MiniToolAI API refuses the key" in output
    assert "not.the.token" not in output
    assert "not-the-key" not in output
