"""Rules of log lines: what they carry, and what they never show."""

import asyncio
import io
import json
import logging
import re
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ops.logging import HIDDEN, Scrubber, configure, log_context
from bot.settings import LogFormat

TOKEN = "made-up.for-these.tests"
log = logging.getLogger("bot.tests")


pytestmark = pytest.mark.usefixtures("logging_restored")


def started(fmt: LogFormat = "human", **options: Any) -> io.StringIO:
    stream = io.StringIO()
    configure(**{"level": "INFO", "fmt": fmt, "secrets": [TOKEN], "stream": stream} | options)
    return stream


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_human_line_has_time_level_logger_message_and_fields():
    stream = started()
    log.info("Ready on %s shards.", 2, extra={"guilds": 3})
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z INFO    bot\.tests: Ready on 2 shards\. guilds=3\n"
    assert re.fullmatch(line, stream.getvalue())


def test_a_json_line_is_one_object_with_the_same():
    stream = started("json")
    log.warning("Ready on %s shards.", 2, extra={"guilds": 3, "region": None})
    [line] = objects(stream)
    assert line.pop("time").endswith("+00:00")
    expected = {"level": "WARNING", "logger": "bot.tests", "message": "Ready on 2 shards.", "guilds": 3, "region": None}
    assert line == expected


@pytest.mark.parametrize("fmt", ["human", "json"])
def test_a_token_is_hidden_wherever_it_appears(fmt: LogFormat):
    stream = started(fmt)
    with log_context(header=f"Bot {TOKEN}"):
        try:
            int(TOKEN)  # its error repeats what it could not read
        except ValueError:
            log.exception("refused %s", TOKEN, extra={"cause": [TOKEN]}, stack_info=True)
    assert TOKEN not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'`"), min_size=5))
def test_a_secret_is_hidden_before_json_changes_its_looks(secret: str):
    stream = started("json", secrets=[secret])
    log.info("a %s b", secret)
    assert objects(stream)[0]["message"] == f"a {HIDDEN} b"


def test_a_secret_within_another_leaves_no_rest():
    assert Scrubber(["abcde", "abcdefgh", ""])("x abcdefgh y abcde") == f"x {HIDDEN} y {HIDDEN}"


@pytest.mark.parametrize(
    "route", ["webhooks/12/{}/messages/@original", "interactions/12/{}/callback", "webhooks/12/{}?wait=1"]
)
def test_an_interactions_token_is_hidden(route: str):
    shown = Scrubber([])(f"PATCH https://discord.com/api/v10/{route.format('aW50ZXJhY3Rpb24')} responded with 429")
    assert shown == f"PATCH https://discord.com/api/v10/{route.format(HIDDEN)} responded with 429"


def test_a_message_cannot_forge_a_second_line():
    stream = started()
    log.info("guild %s", "x\n2026-01-01 CRITICAL \x1b[2J\u202e")
    assert stream.getvalue().count("\n") == 1
    assert r"x\n2026-01-01 CRITICAL \x1b[2J\u202e" in stream.getvalue()


def test_an_unpaired_surrogate_is_written_all_the_same(tmp_path):
    for fmt in ("human", "json"):
        with (tmp_path / fmt).open("w", encoding="utf-8") as stream:
            started(fmt, stream=stream)
            # Past pytest's own handlers: a parallel run cannot send what those caught from process to process.
            (ours,) = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is stream]
            ours.handle(logging.makeLogRecord({"name": "bot.tests", "levelname": "INFO", "msg": "name \ud800"}))
        assert r"\ud800" in (tmp_path / fmt).read_text("utf-8")


def test_fields_of_the_context_are_added_inside_it_only():
    stream = started("json")
    with log_context(request_id=7):
        with log_context(model="gpt-4o"):
            log.info("inner")
        log.info("outer")
    log.info("outside")
    fields = [(line.get("request_id"), line.get("model")) for line in objects(stream)]
    assert fields == [(7, "gpt-4o"), (7, None), (None, None)]


async def test_concurrent_tasks_keep_their_own_fields():
    stream = started("json")
    meeting = asyncio.Barrier(2)

    async def work(number: int) -> None:
        with log_context(request_id=number):
            await meeting.wait()
            log.info("%s", number)

    async with asyncio.TaskGroup() as group:
        group.create_task(work(1))
        group.create_task(work(2))
    lines = objects(stream)
    assert len(lines) == 2
    assert all(line["message"] == str(line["request_id"]) for line in lines)


def test_libraries_never_write_what_passes_through_them():
    stream = started(level="DEBUG")
    logging.getLogger("discord.gateway").debug("event with a prompt")
    logging.getLogger("aiosqlite").debug("parameters with a prompt")
    logging.getLogger("aiohttp.access").info("GET /")
    assert stream.getvalue() == ""
    log.debug("ours")
    logging.getLogger("discord.client").info("logged in")
    assert stream.getvalue().count("\n") == 2


@pytest.mark.parametrize("library", ["discord.client", "discord.shard"])
def test_a_lost_connection_is_a_warning_without_a_traceback(library: str):
    stream = started()
    lost = ConnectionResetError("Cannot write to closing transport")
    logging.getLogger(library).error("Attempting a reconnect in %.2fs", 1.5, exc_info=lost)
    assert f"WARNING {library}: Attempting a reconnect in 1.50s (ConnectionResetError)" in stream.getvalue()
    assert "Traceback" not in stream.getvalue()


def test_any_other_error_of_a_library_keeps_its_traceback():
    stream = started()
    logging.getLogger("discord.client").error("Ignoring exception in on_message", exc_info=ConnectionResetError())
    [line, error] = stream.getvalue().splitlines()
    assert "ERROR   discord.client: Ignoring exception in on_message" in line
    assert error == "ConnectionResetError"


def test_a_higher_level_holds_for_libraries_too():
    stream = started(level="ERROR")
    logging.getLogger("discord.client").warning("hm")
    assert stream.getvalue() == ""
    logging.getLogger("discord.client").error("oh")
    assert "oh" in stream.getvalue()


def test_configured_again_each_line_is_written_once():
    first, second = started(), started()
    log.info("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_warnings_become_log_lines():
    stream = started()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "py.warnings" in stream.getvalue()


def test_an_id_is_text_in_json_and_a_small_number_a_number():
    """A reader that takes every number for a double would change the last digits of an id."""
    stream = started("json")
    log.info("answered", extra={"request_id": 1_574_056_013_403_783_168, "tokens": 20})
    [line] = objects(stream)
    assert (line["request_id"], line["tokens"]) == ("1574056013403783168", 20)
