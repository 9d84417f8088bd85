"""What the operator sees of a running bot: its health, its numbers, its log, and its database's way back."""

import asyncio
import contextlib
import io
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.app import open_bot
from bot.ops import logging as bot_logging
from bot.ops.memory import system_trim
from bot.settings import Settings
from bot.storage.backup import back_up, restore
from sandbox.discord.messages import Interaction, Message
from sandbox.minitoolai.picture_script import PictureScript, Served
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import USAGE, USED_NANO, books_are_right, charged, entries, holds, until
from tests.e2e.conversing import ask, told
from tests.e2e.house import API_KEY, REPOSITORY, House, discord_py_restored, has_button
from tests.e2e.reading import picture

PROMPT = "Where is the Sierra Madre?"
SAID = "Between two deserts."


@pytest.fixture
def port() -> int:
    """One that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Told:
    status: int
    checks: Mapping[str, Any]


async def get(port: int, path: str) -> Told:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
        return Told(answer.status, (await answer.json())["checks"])


async def numbers(port: int) -> dict[str, float]:
    """Every sample: `name{label=value}` without the prefix, labels in their order."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {_written(sample.name, sample.labels): sample.value for sample in samples}


async def numbers_at_rest(port: int) -> dict[str, float] | None:
    """As `numbers`, once no answer is open."""
    found = await numbers(port)
    return found if not found["open_answers"] else None


async def numbers_after_first_words(port: int, *, answers: int) -> dict[str, float] | None:
    """As `numbers`, once Discord has told that it shows the first words of so many answers."""
    found = await numbers(port)
    return found if found["answer_first_words_seconds_count"] == answers else None


def _written(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return name.removeprefix("bot_") + (f"{{{inside}}}" if inside else "")


@contextlib.asynccontextmanager
async def writing(house: House) -> AsyncIterator[Interaction]:
    """An answer of which the first words are shown, held back by the API until the block ends."""
    gate = asyncio.Event()
    house.api.script(Script(["The first", " and the last."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Tell me")
    await house.discord.wait_until(lambda: interaction.original and has_button(interaction.original, "Stop"))
    yield interaction
    gate.set()
    await house.answer_to(interaction)


# Health


async def test_it_is_alive_before_it_is_connected_and_ready_after(empty_house: House, port: int) -> None:
    settings = Settings.load(empty_house.environment(HEALTH_ADDRESS=f"127.0.0.1:{port}"))
    with discord_py_restored():
        async with open_bot(settings, now=empty_house.discord.clock.now) as bot:
            assert (await get(port, "healthz")).status == 200
            before = await get(port, "readyz")
            assert (before.status, before.checks["gateway"]["shards_up"]) == (503, 0)
            serving = asyncio.create_task(bot.serve(settings.discord_token))
            await empty_house.discord.gateway.wait_ready(30)
            await until_ready(port)
            await bot.close()
            await serving


async def until_ready(port: int) -> Told:
    async def look() -> Told | None:
        found = await get(port, "readyz")
        return found if found.status == 200 else None

    found = await until(look)
    assert found is not None
    return found


async def test_after_a_lost_connection_it_is_ready_again_and_has_counted_it(empty_house: House, port: int) -> None:
    gateway = empty_house.discord.gateway
    async with empty_house.running(HEALTH_ADDRESS=f"127.0.0.1:{port}"):
        await until_ready(port)
        await gateway.drop(4000)
        await gateway.wait_ready(20)
        gateway_now = (await until_ready(port)).checks["gateway"]
        assert (gateway_now["shards"], gateway_now["shards_up"], gateway_now["shards_beating"]) == (1, 1, 1)
        found = await numbers(port)
    assert found["gateway_events_total{event=ready}"] == 1
    assert found["gateway_events_total{event=lost}"] == 1
    assert found["gateway_events_total{event=resumed}"] == 1


async def test_an_outage_of_the_api_is_told_and_the_bot_stays_ready(empty_house: House, port: int) -> None:
    async with empty_house.running(HEALTH_ADDRESS=f"127.0.0.1:{port}"):
        await until_ready(port)
        for _ in range(5):
            await ask(empty_house, "Are you there?", answer=Script(status=503))
        ready, found = await get(port, "readyz"), await numbers(port)
    assert ready.status == 200
    assert (ready.checks["api"]["ok"], ready.checks["api"]["circuit"]) == (False, "open")
    assert ready.checks["api"]["last_success_s"] is None
    assert ready.checks["api"]["last_failure_s"] < 10
    assert found["api_circuit_open"] == 1
    assert found["api_requests_total{operation=chat,outcome=ProviderFailed}"] == 5
    assert found["errors_total{cause=ProviderFailed}"] == 5


async def test_an_address_that_is_taken_ends_the_start_with_a_word_for_the_operator(empty_house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot"),
            cwd=REPOSITORY,
            env={**os.environ, **empty_house.environment(HEALTH_ADDRESS=address)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert f"HEALTH_ADDRESS: nobody can listen at {address}" in output.decode()
    assert "Traceback" not in output.decode()


# Numbers


async def test_an_answer_is_counted_from_its_question_to_its_charge(empty_house: House, port: int) -> None:
    house = empty_house
    async with house.running(HEALTH_ADDRESS=f"127.0.0.1:{port}"):
        await ask(house, PROMPT, answer=Script(SAID, usage=USAGE))
        async with writing(house):
            during = await until(partial(numbers_after_first_words, port, answers=2))
        after = await until(partial(numbers_at_rest, port))
    assert (during["open_answers"], during["open_holds"], after["open_holds"]) == (1, 1, 0)
    assert during["requests_total{ending=finished,kind=chat,model=gpt-4o-mini}"] == 1
    assert during["tokens_total{direction=prompt,model=gpt-4o-mini}"] == USAGE.prompt_tokens
    assert during["charged_nanodollars_total{kind=chat,model=gpt-4o-mini}"] == USED_NANO
    assert during["lost_nanodollars_total{ending=finished,kind=chat}"] == 0
    for once_each in ("answer_first_words_seconds_count", "interaction_acknowledgement_seconds_count"):
        assert (during[once_each], after[once_each]) == (2, 2)
    assert (during["answer_completion_seconds_count"], after["answer_completion_seconds_count"]) == (1, 2)
    assert after["answer_staleness_seconds_count"] == 3  # one edit showed the first answer, two the second
    assert after["discord_requests_total{route=POST interactions callback,status=2xx}"] == 2
    assert after["discord_requests_total{route=PATCH webhook original,status=2xx}"] >= 3
    assert after["database_write_seconds_count"] >= after["database_group_operations_count"] > 0


async def test_no_text_and_no_id_of_anybodys_is_in_the_numbers(empty_house: House, port: int) -> None:
    house = empty_house
    async with house.running(HEALTH_ADDRESS=f"127.0.0.1:{port}"):
        await ask(house, PROMPT, answer=SAID)
        found = "\n".join(await numbers(port))
    for hidden in ("Sierra", "deserts", str(house.guild.id), str(house.dana.user.id), API_KEY, house.discord.bot_token):
        assert hidden not in found


# The log


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a bot in this process writes from now on, in JSON; a setting of its own would come too late."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    bot_logging.configure(level="INFO", fmt="json", secrets=(API_KEY,), stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines_of(log: io.StringIO, request_id: int) -> list[tuple[str, str]]:
    """(logger, message) of each line of one request, in their order."""
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [(line["logger"], line["message"]) for line in lines if line.get("request_id") == str(request_id)]


async def said_of(log: io.StringIO, request_id: int, last: str) -> list[str]:
    """The messages of one request, once `last` is among them: it is logged a moment after it is on disk."""

    async def found() -> list[str] | None:
        messages = [message for _, message in lines_of(log, request_id)]
        return messages if last in messages else None

    return await until(found)


def assert_discreet(house: House, log: io.StringIO, *said: str) -> None:
    written = log.getvalue()
    tokens = [interaction.token for interaction in house.discord.world._interactions.values()]
    for secret in (*said, *tokens, API_KEY, house.discord.bot_token):
        assert secret not in written


async def test_an_answer_can_be_followed_from_its_hold_to_its_charge(house: House, log: io.StringIO) -> None:
    house.api.script(Script(SAID))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    await house.answer_to(interaction)
    await house.bot.services.answers.close(grace_s=10)  # the last line comes after the last edit
    assert [logger for logger, _ in lines_of(log, interaction.id)] == [
        "bot.credits.ledger",
        "bot.credits.charges",
        "bot.answers.conversing",
    ]
    assert lines_of(log, interaction.id)[1][1] == "charged (finished)"
    assert_discreet(house, log, "Sierra", "deserts")


async def test_a_charges_line_has_its_figures(house: House, log: io.StringIO) -> None:
    house.api.script(Script(SAID, usage=USAGE))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    await house.answer_to(interaction)
    await said_of(log, interaction.id, "charged (finished)")
    [line] = [each for each in map(json.loads, log.getvalue().splitlines()) if each["message"].startswith("charged")]
    figures = {name: line[name] for name in ("kind", "model", "user_nano", "provider_nano", "estimated", "images")}
    assert figures == {
        "kind": "chat",
        "model": "gpt-4o-mini",
        "user_nano": USED_NANO,
        "provider_nano": USED_NANO,
        "estimated": False,
        "images": 0,
    }
    assert (line["prompt_tokens"], line["completion_tokens"]) == (USAGE.prompt_tokens, USAGE.completion_tokens)


async def test_a_question_that_fails_can_be_followed_and_its_error_quotes_nobody(
    house: House, log: io.StringIO
) -> None:
    house.api.script(Script(status=500, error_body={"error": {"message": f"cannot answer {PROMPT}"}}))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    await told(house, interaction)
    await charged(house, interaction.id)
    await house.bot.services.answers.close(grace_s=10)
    messages = [message for _, message in lines_of(log, interaction.id)]
    assert messages[0] == "on hold"
    assert any(message.startswith("the AI service failed: ProviderFailed") for message in messages)
    assert "charged (refused)" in messages
    assert any(message.startswith("answered (failed)") for message in messages)
    assert_discreet(house, log, "Sierra")


async def test_a_mention_is_followed_by_its_message(house: House, log: io.StringIO) -> None:
    house.api.script(Script(SAID))
    question: Message = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}> {PROMPT}")
    await house.reply_in(house.channel, question)
    await said_of(log, question.id, "charged (finished)")
    assert_discreet(house, log, "Sierra", "deserts")


@pytest.mark.parametrize(("private_addresses", "ending"), [("on", "finished"), ("off", "failed")])
async def test_a_picture_can_be_followed_from_its_hold_to_its_charge(
    empty_house: House, log: io.StringIO, private_addresses: str, ending: str
) -> None:
    """Without private addresses a picture on loopback cannot be fetched, and the order fails."""
    house = empty_house
    house.api.script_picture(PictureScript(serves=Served(body=picture().content)))
    async with house.running(PICTURE_PRIVATE_ADDRESSES=private_addresses):
        interaction = await house.dana.slash(house.channel, "imagine", prompt="the Sierra Madre at dawn")
        messages = await said_of(log, interaction.id, f"charged ({ending})")
        assert messages[0] == "on hold"
        assert_discreet(house, log, "Sierra")


async def test_what_is_refused_at_first_sight_is_logged_under_its_interaction(house: House, log: io.StringIO) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT, max_tokens=32_768)
    await told(house, interaction)
    assert lines_of(log, interaction.id) == [("bot.client", "told the asker: OutOfRange")]
    assert_discreet(house, log, "Sierra")


# The way back


@asynccontextmanager
async def slowly_answering(house: House, count: int) -> AsyncIterator[list[Interaction]]:
    """So many answers that are being written, in a process of their own, which is killed at the end."""
    house.api.answer = lambda _: Script(["word "] * 2_000, chunk_delay_s=0.01)
    async with house.process() as process:
        asked = [await house.dana.slash(house.channel, "ask", prompt=f"Question {number}") for number in range(count)]
        await house.discord.wait_until(
            lambda: all(one.original and has_button(one.original, "Stop") for one in asked), timeout_s=20
        )
        yield asked
        process.kill()
        await process.wait()


async def test_a_backup_taken_while_it_answers_is_restored_after_a_crash_with_right_books(
    empty_house: House, tmp_path: Path
) -> None:
    house = empty_house
    database, file = house.folder / "bot.db", tmp_path / "backup.db"
    async with house.running():
        await ask(house, "Before the backup", answer="Yes.")
        await books_are_right(house)
    before = await entries(house)
    async with slowly_answering(house, 5) as asked:
        await asyncio.to_thread(back_up, database, file)
        late = await house.noam.slash(house.channel, "ask", prompt="After the backup")
        await house.discord.wait_until(lambda: late.original and has_button(late.original, "Stop"), timeout_s=20)
    copied = await asyncio.to_thread(restore, file, database, now=datetime.now(UTC))
    assert copied.kept is not None
    assert sorted(await holds(house)) == sorted(one.id for one in asked), "held at the moment of the backup"
    async with house.running():
        await books_are_right(house)
        after = await entries(house)
        assert {key: entry.reason for key, entry in after.items() if key not in before} == {
            one.id: "crashed" for one in asked
        }
        assert {key: after[key] for key in before} == before
        assert "Here I am." in (await ask(house, "And now?", answer="Here I am.")).content
        await books_are_right(house)


@pytest.mark.skipif(system_trim() is None, reason="another C library")
async def test_freed_memory_goes_back_to_the_system_as_long_as_the_bot_runs(empty_house: House) -> None:
    def is_done() -> bool:
        return "giving memory back" in {task.get_name() for task in asyncio.all_tasks()}

    async with empty_house.running():
        assert is_done()
    assert not is_done()


async def test_a_lost_connection_that_discord_py_tells_of_twice_is_counted_once(empty_house: House, port: int) -> None:
    async with empty_house.running(HEALTH_ADDRESS=f"127.0.0.1:{port}") as bot:
        await until_ready(port)
        await bot.on_shard_disconnect(0)
        await bot.on_shard_disconnect(0)
        assert not bot.gateway()[0].up
        await bot.on_shard_resumed(0)
        assert bot.gateway()[0].up
        found = await numbers(port)
    assert found["gateway_events_total{event=lost}"] == 1
    assert found["gateway_events_total{event=resumed}"] == 1
