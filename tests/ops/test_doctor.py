"""`python -m bot doctor`: each mistake that newcomers make, made for real, with what is said about it."""

import asyncio
import io
import json
import shutil
import socket
import sqlite3
import ssl
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, redirect_stdout, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

from bot.client import Bot
from bot.ops.doctor import database as database_checks
from bot.ops.doctor import machine
from bot.ops.doctor.command import as_json, as_text, checks, run
from bot.ops.doctor.database import RESTORE, _unreadable, database_findings
from bot.ops.doctor.discord import application_findings, clock_findings, discord_findings, start_findings
from bot.ops.doctor.findings import Check, Finding, Level, examine, worst
from bot.ops.doctor.minitoolai import UNANSWERABLE, minitoolai_findings
from bot.ops.doctor.permissions import ADMINISTRATOR, INVITED, NEEDED, permission_findings
from bot.ops.doctor.setup import Setup, catalog_findings, file_findings, settings_findings
from bot.ops.doctor.web import Answer, Failure, _failure, ask
from bot.storage.database import Database, Tx
from bot.storage.migrate import MIGRATIONS
from sandbox.discord.faults import Fault
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer

KEY = "the-key"
GOOD = {"DISCORD_TOKEN": "a.b.c", "MINITOOLAI_API_KEY": KEY}
PEER = ConnectionKey("example.org", 443, True, True, None, None, None)
LOGINS = {"total": 1000, "reset_after": 36_000_000}


def of(findings: Sequence[Finding], level: Level) -> list[str]:
    return [finding.what for finding in findings if finding.level == level]


def only(findings: Sequence[Finding], level: Level) -> Finding:
    [finding] = [finding for finding in findings if finding.level == level]
    return finding


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the bot's in the environment."""
    for name in ("DISCORD_TOKEN", "MINITOOLAI_API_KEY", "DATABASE_URL", "DISCORD_API_URL", "MINITOOLAI_API_URL"):
        monkeypatch.delenv(name, raising=False)


def setup(folder: Path, **values: str) -> Setup:
    """What is read from a folder whose .env has these values."""
    file = folder / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    file.chmod(0o600)
    return Setup.read(folder)


# How checks are run


async def fails() -> Sequence[Finding]:
    raise RuntimeError("the token is a.b.c")


async def hangs() -> Sequence[Finding]:
    await asyncio.Event().wait()
    return []


async def works() -> Sequence[Finding]:
    return [Finding(check="works", level="ok", what="It works.")]


async def test_a_check_that_fails_or_hangs_hides_no_other():
    found = await examine(
        [
            Check(name="fails", run=fails),
            Check(name="hangs", run=hangs, deadline_s=0.01),
            Check(name="works", run=works),
        ]
    )
    assert [(finding.check, finding.level) for finding in found] == [
        ("fails", "problem"),
        ("hangs", "warning"),
        ("works", "ok"),
    ]
    assert "a.b.c" not in as_text(found)


@pytest.mark.parametrize("level", ["warning", "problem"])
def test_nothing_is_wrong_without_a_cure(level: Level):
    with pytest.raises(ValueError, match="no cure"):
        Finding(check="x", level=level, what="Broken.")


@given(st.lists(st.sampled_from(["ok", "note", "warning", "problem"])))
def test_the_worst_of_findings_is_as_bad_as_the_worst_among_them(levels: list[Level]):
    findings = [Finding(check="x", level=level, what="w", cure="c") for level in levels]
    severe = next((level for level in ("problem", "warning", "note") if level in levels), "ok")
    assert worst(findings) == severe


def test_text_has_a_cure_below_each_finding_and_counts_at_its_end():
    bad = Finding(check="api", level="problem", what="It is broken. " * 10, cure="Mend it.")
    text = as_text([bad, Finding(check="disk", level="ok", what="Fine.")])
    assert text.startswith("PROBLEM  api          It is broken.")
    assert "\n                      Cure: Mend it.\nok       disk         Fine.\n" in text
    assert text.endswith("\n\n1 problem.\n")
    assert max(map(len, text.splitlines())) <= 100
    assert as_text([]).endswith("Nothing is wrong.\n")


def test_json_says_whether_all_is_well():
    bad = Finding(check="api", level="problem", what="“Broken”", cure="Mend it.")
    assert json.loads(as_json([bad])) == {
        "ok": False,
        "findings": [{"check": "api", "level": "problem", "what": "“Broken”", "cure": "Mend it."}],
    }
    assert json.loads(as_json([]))["ok"] is True


# Settings


async def test_every_wrong_setting_is_a_problem_of_its_own(tmp_path: Path):
    found = await settings_findings(setup(tmp_path, MAX_MESSAGES="many", DISCORD_TOKEN="123456789012345678"))
    told = of(found, "problem")
    assert [text.split()[0] for text in told] == ["DISCORD_TOKEN", "MINITOOLAI_API_KEY", "MAX_MESSAGES"]


async def test_one_wrong_setting_keeps_no_other_check_from_looking(tmp_path: Path):
    read = setup(tmp_path, MAX_MESSAGES="many", **GOOD)
    assert read.values["discord_token"] == "a.b.c"
    assert "max_messages" not in read.values
    found = await examine([check for check in checks(setup(tmp_path)) if check.name in ("discord", "database", "disk")])
    assert of(found, "note")[0] == "Not looked at: DISCORD_TOKEN must be set right first."
    assert {finding.check for finding in found} == {"discord", "database", "disk"}


async def test_what_needs_a_wrong_setting_is_not_looked_at_and_says_so(tmp_path: Path):
    read = setup(tmp_path, DISCORD_API_URL="ftp://a", MINITOOLAI_API_URL="ftp://b", DATABASE_URL="bot.db", **GOOD)
    names = ("discord", "api", "database", "disk")
    found = await examine([check for check in checks(read) if check.name in names])
    assert [(finding.check, finding.level, finding.what) for finding in found] == [
        ("discord", "note", "Not looked at: DISCORD_API_URL must be set right first."),
        ("api", "note", "Not looked at: MINITOOLAI_API_URL must be set right first."),
        ("database", "note", "Not looked at: DATABASE_URL must be set right first."),
        ("disk", "note", "Not looked at: DATABASE_URL must be set right first."),
    ]


@pytest.mark.usefixtures("logging_restored")
def test_the_report_can_be_written_to_what_is_no_terminal(tmp_path: Path):
    setup(tmp_path, DISCORD_API_URL="ftp://a", MINITOOLAI_API_URL="ftp://b", DATABASE_URL="bot.db")
    with redirect_stdout(io.StringIO()) as printed:
        assert run(Namespace(json=True), tmp_path) == 1
    assert json.loads(printed.getvalue())["ok"] is False


async def test_an_allowance_that_is_no_amount_is_found_before_the_start(tmp_path: Path):
    found = await settings_findings(setup(tmp_path, DEFAULT_ALLOWANCE="0/day", **GOOD))
    assert "DEFAULT_ALLOWANCE" in only(found, "problem").what


async def test_without_a_file_a_newcomer_is_told_to_copy_the_example(tmp_path: Path):
    found = await file_findings(Setup.read(tmp_path))
    assert "Copy .env.example to .env" in (only(found, "note").cure or "")


async def test_a_misspelt_name_is_told_with_the_right_one(tmp_path: Path):
    found = await file_findings(setup(tmp_path, DISCORD_TOKN="x", EDITOR="vi"))
    assert only(found, "warning").cure == "Did you mean DISCORD_TOKEN?"
    assert "EDITOR" not in as_text(found)


async def test_a_file_that_others_may_read_is_noted(tmp_path: Path):
    read = setup(tmp_path, **GOOD)
    assert [finding.level for finding in await file_findings(read)] == ["ok"]
    (tmp_path / ".env").chmod(0o644)
    assert only(await file_findings(read), "note").cure == f"chmod 600 {tmp_path / '.env'}"


async def test_a_file_in_another_encoding_is_a_problem_with_all_else_looked_at(tmp_path: Path):
    (tmp_path / ".env").write_bytes("DISCORD_TOKEN=a.b.c".encode("utf-16"))
    read = Setup.read(tmp_path)
    assert "is not UTF-8" in only(await file_findings(read), "problem").what
    assert read.values["max_messages"] == 5


async def test_a_catalogue_and_a_default_model_that_do_not_fit_are_problems(tmp_path: Path):
    assert of(await catalog_findings(setup(tmp_path)), "problem") == []
    found = await catalog_findings(setup(tmp_path, DEFAULT_MODEL="gpt-9"))
    assert "'gpt-9'" in only(found, "problem").what
    found = await catalog_findings(setup(tmp_path, CATALOG_FILE=str(tmp_path / "none.toml")))
    assert only(found, "note").what == "Not looked at: CATALOG_FILE has to be corrected first."
    own = tmp_path / "own.toml"
    own.write_text('[chat.gpt-4o]\ninput_nano = "cheap"\n', encoding="utf-8")
    found = await catalog_findings(setup(tmp_path, CATALOG_FILE=str(own)))
    assert "own.toml" in only(found, "problem").what


# The machine


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("aiohttp>=99", "warning", "aiohttp is "),
        ("no-such-library-of-ours", "problem", "no-such-library-of-ours is not installed."),
    ],
)
async def test_a_library_out_of_its_range_is_found(tmp_path: Path, line: str, level: Level, words: str):
    project = tmp_path / "pyproject.toml"
    project.write_text(
        f'[project]\nrequires-python = ">=3.11"\ndependencies = ["{line}", "orjson"]\n', encoding="utf-8"
    )
    assert only(await machine.version_findings(project), level).what.startswith(words)


async def test_a_library_that_this_machine_does_not_need_may_be_missing(tmp_path: Path):
    project = tmp_path / "pyproject.toml"
    line = "no-such-library-of-ours; python_version < '3'"
    project.write_text(f'[project]\nrequires-python = ">=3.11"\ndependencies = ["{line}"]\n', encoding="utf-8")
    assert only(await machine.version_findings(project), "ok")


async def test_without_the_source_tree_the_installed_bot_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    installed = tmp_path / "minitoolai_discord-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: minitoolai-discord\nVersion: 1\nRequires-Python: >=3.11\n"
        "Requires-Dist: aiohttp>=99\nRequires-Dist: no-such-library; extra == 'dev'\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    [found] = await machine.version_findings(tmp_path / "pyproject.toml")
    assert (found.level, found.what.startswith("aiohttp is ")) == ("warning", True)


async def test_a_machine_that_knows_no_time_zones_is_warned_about(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "zone_names", lambda: ["UTC"])
    assert "tzdata" in (only(await machine.time_zone_findings(), "warning").cure or "")


@pytest.mark.parametrize(("flush_s", "level"), [(0.099, "ok"), (0.1, "note")])
def test_a_slow_disk_is_noted(flush_s: float, level: Level):
    assert machine._speed(flush_s).level == level


async def test_another_python_is_found(tmp_path: Path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nrequires-python = "<3"\ndependencies = []\n', encoding="utf-8")
    assert only(await machine.version_findings(project), "problem").what.startswith("This is Python 3.")


async def test_what_runs_these_tests_is_what_the_bot_needs():
    for found in (
        await machine.version_findings(),
        await machine.time_zone_findings(),
        await machine.drawing_findings(),
    ):
        assert {finding.level for finding in found} == {"ok"}, as_text(found)


async def test_a_folder_that_is_not_there_yet_stands_for_the_one_above(tmp_path: Path):
    found = await machine.disk_findings(tmp_path / "data" / "deep")
    assert of(found, "problem") == []
    assert f"({tmp_path})" in found[0].what
    assert files(tmp_path) == []


async def test_a_file_where_the_folder_should_be_is_a_problem(tmp_path: Path):
    (tmp_path / "data").write_text("")
    assert "is not a folder" in only(await machine.disk_findings(tmp_path / "data"), "problem").what


@pytest.mark.parametrize(
    ("free_bytes", "level"), [(10**7, "problem"), (10**8, "warning"), (10**10, "ok")], ids=["full", "low", "fine"]
)
def test_a_disk_that_fills_up_is_told_before_it_is_full(tmp_path: Path, free_bytes: int, level: Level):
    assert machine._room(tmp_path, free_bytes).level == level


# The database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bot.db"


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def made(url: str, *, schema: int | None = None) -> None:
    """A database as the bot leaves it; with `schema`, as an older version did."""
    with tempfile.TemporaryDirectory() as older:
        for file in sorted(MIGRATIONS.glob("*.sql"))[:schema]:
            shutil.copy(file, older)
        async with Database.open(url, migrations=Path(older)):
            pass


def altered(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "bot.db") as connection:
        connection.execute(sql)
    connection.close()


async def test_a_database_that_is_not_there_yet_is_fine_and_not_made(tmp_path: Path, url: str):
    assert only(await database_findings(url), "note").cure is None
    assert files(tmp_path) == []


async def test_a_sound_database_is_told_as_sound(url: str):
    await made(url)
    found = await database_findings(url)
    assert {finding.level for finding in found} == {"ok"}
    assert "No bot is running on this database." in of(found, "ok")
    assert of(found, "ok")[-1] == "0 entries, 0 accounts: all balances are right."


async def test_the_bot_may_be_running_on_it(url: str):
    async with Database.open(url):
        found = await database_findings(url)
    assert {finding.level for finding in found} == {"ok"}
    assert found[0].what.startswith("The bot is running on this database")


async def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path, url: str):
    (tmp_path / "bot.db").write_bytes(b"no database " * 1000)
    found = only(await database_findings(url), "problem")
    assert ("file is not a database" in found.what, found.cure) == (True, RESTORE)


async def test_nobody_is_sent_to_a_backup_for_a_file_that_is_only_locked_or_closed_to_them(tmp_path: Path):
    for name in ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_IOERR_READ"):
        error = sqlite3.OperationalError("it does not work")
        error.sqlite_errorname = name
        assert _unreadable(tmp_path / "bot.db", error).cure not in (None, RESTORE)


async def test_a_folder_in_the_files_place_is_a_problem(tmp_path: Path, url: str):
    await asyncio.to_thread((tmp_path / "bot.db").mkdir)
    assert only(await database_findings(url), "problem").what.endswith("bot.db is no file.")


async def test_damaged_pages_are_found(tmp_path: Path, url: str):
    async with Database.open(url) as database:

        async def fill(tx: Tx) -> None:
            await tx.execute("CREATE TABLE filler (word TEXT)")
            for number in range(400):
                await tx.execute("INSERT INTO filler VALUES (?)", (f"{number} " * 200,))

        await database.write(fill)
    file = tmp_path / "bot.db"
    content = bytearray(file.read_bytes())
    content[-60_000:-20_000] = b"\xff" * 40_000
    file.write_bytes(content)
    assert "damaged" in of(await database_findings(url), "problem")[0]


async def test_a_newer_versions_database_is_told_as_that(tmp_path: Path, url: str):
    await made(url)
    altered(tmp_path, "INSERT INTO schema_version VALUES (9999, '9999_later', 'x', 'then')")
    found = only(await database_findings(url), "problem")
    assert found.what.startswith("A newer version of the bot made this database")


async def test_a_migration_that_was_changed_is_named(tmp_path: Path, url: str):
    await made(url)
    altered(tmp_path, "UPDATE schema_version SET checksum = 'x' WHERE number = 1")
    assert only(await database_findings(url), "problem").what.startswith("Migration 0001_")


async def test_an_older_versions_database_is_brought_up_to_date_on_trial_only(tmp_path: Path, url: str):
    await made(url, schema=1)
    before = (tmp_path / "bot.db").read_bytes()
    found = await database_findings(url)
    assert of(found, "problem") == []
    assert only(found, "note").what.startswith("The database has schema 1; the next start brings it to ")
    assert (tmp_path / "bot.db").read_bytes() == before


async def test_an_older_versions_database_that_cannot_be_brought_up_to_date_is_a_problem(tmp_path: Path, url: str):
    await made(url)
    altered(tmp_path, "DELETE FROM schema_version WHERE number > 1")
    assert "cannot be brought" in only(await database_findings(url), "problem").what


async def test_a_large_older_database_is_not_tried_in_memory(url: str, monkeypatch: pytest.MonkeyPatch):
    await made(url, schema=1)
    monkeypatch.setattr(database_checks, "TRIAL_LIMIT_BYTES", 1)
    found = only(await database_findings(url), "note")
    assert found.what.startswith("An older version made the database; the next start brings it to ")


async def test_a_file_that_cannot_be_read_through_in_time_is_not_called_damaged(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    await made(url)
    monkeypatch.setattr(database_checks, "QUICK_CHECK_S", 0.0)
    monkeypatch.setattr(database_checks, "LOOK_EVERY", 1)
    found = await database_findings(url)
    assert of(found, "problem") == []
    assert "too large to be read through" in only(found, "note").what


async def test_an_empty_file_is_one_that_the_bot_prepares(tmp_path: Path, url: str):
    (tmp_path / "bot.db").touch()
    assert only(await database_findings(url), "note").what.startswith("The database is empty")


async def test_another_programs_database_is_not_ours(tmp_path: Path, url: str):
    altered(tmp_path, "CREATE TABLE bookmarks (address TEXT)")
    assert only(await database_findings(url), "problem").what == "The file is a database of another program."


async def test_a_balance_that_is_wrong_is_found(tmp_path: Path, url: str):
    await made(url)
    altered(tmp_path, "INSERT INTO month_totals VALUES (7, 202611, 5, 0, 0, 0)")
    found = only(await database_findings(url), "problem")
    assert (found.check, "5 nano-dollars too much" in found.what) == ("ledger", True)


# Discord


@pytest.fixture
async def discord() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


def unused_address() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/api"


async def test_a_bot_that_nobody_has_invited_gets_its_invite(discord: DiscordServer):
    found = await discord_findings(discord.api_url, discord.bot_token)
    assert of(found, "problem") + of(found, "warning") == []
    assert f"client_id={discord.application_id}&" in (only(found, "note").cure or "")
    discord.world.add_guild("Makers")
    assert of(await discord_findings(discord.api_url, discord.bot_token), "note") == []


async def test_the_invite_asks_for_what_the_bots_own_asks_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Bot, "application_id", 1)
    assert f"&permissions={INVITED}" in Bot.invite_url(Bot.__new__(Bot))


async def test_a_token_that_discord_does_not_know_is_a_problem_and_never_shown(discord: DiscordServer):
    found = await discord_findings(discord.api_url, "wrong.token.altogether")
    assert only(found, "problem").what == "Discord does not know the token."
    assert "wrong.token" not in as_text(found)


async def test_a_discord_that_is_not_there_is_a_problem():
    found = await discord_findings(unused_address(), "a.b.c")
    assert only(found, "problem").what == "Discord takes no connection."


async def test_discords_own_trouble_is_not_the_operators(discord: DiscordServer):
    discord.faults.add(Fault(template="/users/@me", status=503))
    assert (
        "a problem of its own (status 503)"
        in only(await discord_findings(discord.api_url, discord.bot_token), "warning").what
    )


async def test_a_discord_that_takes_no_more_requests_is_told_with_the_wait(discord: DiscordServer):
    discord.faults.add(Fault(template="/users/@me", status=429))
    found = only(await discord_findings(discord.api_url, discord.bot_token), "warning")
    assert (found.what, "Wait" in (found.cure or "")) == (
        "Discord takes no more requests from here for now (status 429).",
        True,
    )


async def test_what_discord_does_not_tell_of_itself_keeps_back_nothing_else(discord: DiscordServer):
    for template in ("/applications/@me", "/gateway/bot"):
        discord.faults.add(Fault(template=template, status=503))
    found = await discord_findings(discord.api_url, discord.bot_token)
    assert [(finding.check, finding.level) for finding in found] == [("discord", "ok"), ("clock", "ok")]
    assert start_findings({}) == []


async def test_another_server_than_discord_is_told_as_that():
    async with MiniToolAIServer() as api:
        found = await discord_findings(api.url, "a.b.c")
    assert "is not Discord's API (status 404)" in only(found, "problem").what


@pytest.mark.parametrize(
    ("application", "level", "words"),
    [
        ({"interactions_endpoint_url": "https://example.org"}, "problem", "Interactions Endpoint URL"),
        ({"bot_require_code_grant": True}, "warning", "Requires OAuth2 Code Grant"),
        ({"flags": 1 << 19}, "note", "can be switched off"),
    ],
)
def test_what_is_set_wrong_in_the_portal_is_named_as_there(application: dict[str, object], level: Level, words: str):
    assert words in (only(application_findings(application), level).cure or "")


@pytest.mark.parametrize(("left", "level"), [(0, "problem"), (50, "warning"), (999, "ok")])
def test_few_logins_left_are_told(left: int, level: Level):
    [found] = start_findings({"session_start_limit": {**LOGINS, "remaining": left}})
    assert (found.level, f"{left} of 1,000 logins are left for the next 10 hours." in found.what) == (level, True)


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(60, "warning"), (-60, "warning"), (3600, "problem"), (-3600, "problem"), (2, "ok")]
)
async def test_a_clock_that_is_wrong_by_discords_is_found(discord: DiscordServer, ahead_s: float, level: Level):
    found = await discord_findings(discord.api_url, discord.bot_token, now=lambda: time.time() + ahead_s)
    [clock] = [finding for finding in found if finding.check == "clock"]
    assert clock.level == level
    assert level == "ok" or ("ahead of" if ahead_s > 0 else "behind") in clock.what


@given(offset_s=st.floats(-4, 4), took_s=st.floats(0, 30))
def test_a_right_clock_is_right_however_long_the_answer_took(offset_s: float, took_s: float):
    """The date was written at some moment between question and answer, its fraction cut off."""
    at = 1_800_000_000.0
    date = "Fri, 15 Jan 2027 08:00:00 GMT"
    [found] = clock_findings(date, begun=at + offset_s - took_s, ended=at + offset_s + took_s)
    assert found.level == "ok"


def test_without_a_date_nothing_is_said_of_the_clock():
    [found] = clock_findings(None, begun=0.0, ended=0.0)
    assert found.level == "note"


# The MiniToolAI API


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Its address."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(ours: int, wrong: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An API that answers our key and any other with these statuses; its address, and what it was sent."""
    bodies: list[bytes] = []

    async def chat(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        mine = request.headers["Authorization"] == f"Bearer {KEY}"
        return web.Response(status=ours if mine else wrong, headers={"Location": "https://example.org/"})

    app = web.Application()
    app.router.add_post("/api/chat-completions/", chat)
    async with served(app) as address:
        yield f"{address}/api", bodies


async def test_a_right_key_is_told_from_a_wrong_one_without_a_question():
    async with MiniToolAIServer(api_key=KEY) as api:
        found = await minitoolai_findings(api.url, KEY)
        assert [finding.level for finding in found] == ["ok", "ok"]
        assert found[1].what.startswith("The key is taken.")
        found = await minitoolai_findings(api.url, "another-key")
        assert "refuses the key (status 401)" in only(found, "problem").what
        assert "another-key" not in as_text(found)
        assert [received.billed for received in api.requests] == [None]


@pytest.mark.parametrize(
    ("ours", "wrong", "level", "words"),
    [
        (400, 400, "note", "neither was a wrong one"),
        (422, 403, "ok", "The key is taken."),
        (403, 403, "problem", "refuses the key"),
        (402, 401, "problem", "run dry"),
        (429, 401, "warning", "too busy"),
        (200, 200, "note", "could not be proven (status 200)"),
        (503, 503, "warning", "a problem of its own (status 503)"),
        (404, 404, "problem", "knows no chat (status 404)"),
        (301, 301, "problem", "redirects elsewhere (status 301)"),
    ],
)
async def test_each_answer_says_what_it_proves_of_the_key(ours: int, wrong: int, level: Level, words: str):
    async with answering(ours, wrong) as (url, bodies):
        found = await minitoolai_findings(url, KEY)
    assert [text for text in of(found, level) if words in text]
    assert bodies == [UNANSWERABLE] * 2


async def test_without_a_key_the_address_is_looked_at_all_the_same():
    async with MiniToolAIServer(api_key=KEY) as api:
        found = await minitoolai_findings(api.url, None)
    assert [finding.level for finding in found] == ["ok", "note"]
    found = await minitoolai_findings(unused_address(), None)
    assert only(found, "problem").what == "The MiniToolAI API takes no connection."


# What a failed request means


async def test_a_server_without_tls_where_it_should_have_it_is_told_as_that():
    async with MiniToolAIServer(api_key=KEY) as api:
        failed = await ask("GET", api.url.replace("http:", "https:"), variable="MINITOOLAI_API_URL")
    assert isinstance(failed, Failure)
    assert failed.what == "does not speak TLS at that address"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ClientConnectorDNSError(PEER, OSError("no such name")), "name cannot be resolved"),
        (aiohttp.ClientConnectorCertificateError(PEER, ssl.CertificateError()), "does not trust"),
        (ssl.SSLCertVerificationError(), "does not trust"),
        (TimeoutError(), "did not answer within 10 seconds"),
        (aiohttp.ClientConnectorError(PEER, OSError("refused")), "takes no connection"),
        (aiohttp.ServerDisconnectedError(), "broke the connection off (ServerDisconnectedError)"),
    ],
)
def test_each_failure_is_told_from_the_others_and_names_the_variable(error: Exception, words: str):
    told = _failure(error, "DISCORD_API_URL")
    assert words in told.what
    assert "DISCORD_API_URL" in told.cure or "trust" in told.what


async def test_of_an_endless_answer_no_more_is_read_than_one_can_have():
    """What is cut off is no JSON, so it counts as an answer without an object."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"[" * 16_384)
        return response

    app = web.Application()
    app.router.add_get("/", endless)
    async with served(app) as address:
        answer = await ask("GET", address, variable="DISCORD_API_URL")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, {})


# Permissions


@given(st.integers(0, (1 << 53) - 1), st.booleans())
def test_every_permission_that_is_missing_is_told_or_hidden_by_its_cause(granted: int, in_thread: bool):
    found = permission_findings(granted, in_thread=in_thread)
    used = [needed for needed in NEEDED if needed.in_thread in (None, in_thread)]
    missing = {needed.name for needed in used if not granted & needed.bit} if not granted & ADMINISTRATOR else set()
    told = {name for name in missing for finding in found if f"**{name}**" in finding.what}
    assert bool(told) == bool(missing)
    assert len(found) == max(len(told), 1)
    if not missing & {"View Channel", "Send Messages", "Send Messages in Threads"}:
        assert told == missing
