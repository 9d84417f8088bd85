"""Discord is told of the commands when they changed, and only then; and the bot lives without that."""

import logging
from collections.abc import Iterator
from typing import Any

import discord
import pytest

from bot.client import EXTENSIONS, redirect
from sandbox.discord.commands import CommandType
from sandbox.discord.faults import Fault
from tests.e2e.conversing import ask
from tests.e2e.house import House, discord_py_restored

TEMPLATE = "/applications/{application_id}/commands"


def registrations(house: House) -> int:
    """How often Discord was sent the commands."""
    return sum(request.method == "PUT" and request.template == TEMPLATE for request in house.discord.requests)


def registered(house: House) -> set[str]:
    return {command["name"] for command in house.discord.world.commands.all(None)}


def described(name: str, command: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a member reads below a command, its subcommands and their options, by its full name."""
    yield name, command["description"]
    for option in command.get("options", ()):
        yield from described(f"{name} {option['name']}", option)


async def test_a_second_start_registers_nothing(empty_house: House) -> None:
    for _ in range(2):
        async with empty_house.running():
            pass
    assert registrations(empty_house) == 1


async def test_every_command_and_every_option_says_what_it_is_for(house: House) -> None:
    commands = [c for c in house.discord.world.commands.all(None) if c["type"] == CommandType.CHAT_INPUT]
    said = {name: words for command in commands for name, words in described(command["name"], command)}
    assert said["ask prompt"] == "Your question"
    assert [name for name, words in said.items() if words in ("", "…")] == []


async def test_commands_that_changed_are_registered(empty_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr("bot.client.EXTENSIONS", [name for name in EXTENSIONS if name != "cogs.help"])
        async with empty_house.running():
            assert "help" not in registered(empty_house)
    async with empty_house.running() as bot:
        assert registered(empty_house) == {command.name for command in bot.tree.get_commands()}
    assert registrations(empty_house) == 2


async def test_commands_that_somebody_took_away_are_registered_again(empty_house: House) -> None:
    async with empty_house.running():
        pass
    empty_house.discord.world.commands.replace(None, [])
    async with empty_house.running():
        assert registrations(empty_house) == 2
    assert registered(empty_house)


async def test_a_bot_whose_commands_are_not_taken_starts_and_tries_at_its_next_start(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    empty_house.discord.faults.add(Fault(method="PUT", template=TEMPLATE, status=403))
    with caplog.at_level(logging.ERROR):
        async with empty_house.running():
            pass
    assert "the commands could not be registered" in caplog.text
    async with empty_house.running():
        reply = await ask(empty_house, "Hello?", answer="Hello!")
    assert "Hello!" in reply.content


async def test_discords_own_address_leaves_its_gateway_as_it_is() -> None:
    with discord_py_restored():
        before = discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
        await redirect("https://discord.com/api/v10/")
        assert discord.http.Route.BASE == "https://discord.com/api/v10"
        assert before == discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
