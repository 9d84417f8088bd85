"""Text files that come with a question."""

import pytest

from sandbox.discord.cdn import Upload
from sandbox.minitoolai.script import Script
from tests.e2e.conversing import ask, conversation, turned_down, turns
from tests.e2e.house import House, has_button

SOURCE = "def greet():\n    print('```hello```')\n"


def last_text(house: House) -> str:
    return conversation(house.api.requests[-1].body)[-1].text


async def test_a_files_text_reaches_the_model_fenced_and_under_its_name(house: House) -> None:
    await ask(house, "What does it do?", file=Upload(name="greet.py", content=SOURCE.encode()))
    assert last_text(house) == f"Dana: What does it do?\n\n[file: greet.py]\n````\n{SOURCE}````"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_text_is_read_in_its_encoding(house: House, encoding: str) -> None:
    await ask(house, "What?", file=Upload(name="brief.txt", content="Grüße, 世界 👋".encode(encoding)))
    assert "Grüße, 世界 👋" in last_text(house)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("program.txt", b"\x7fELF\x02\x01\x01\0\0\0", "is not a text file (in UTF-8 or UTF-16)"),
        ("cat.bin", bytes(range(256)), "is not a text file (in UTF-8 or UTF-16)"),
        ("nothing.txt", b"", "is empty"),
        ("blank.txt", b" \n\t\n", "is empty"),
        ("book.txt", b"word " * 50_000, "is 250 kB; at most 200 kB are read"),
    ],
)
async def test_what_is_no_readable_text_is_refused_with_its_name_and_the_reason(
    house: House, name: str, content: bytes, reason: str
) -> None:
    said = await turned_down(house, "What does it say?", file=Upload(name=name, content=content))
    assert said.content == f"⚠️ `{name}` {reason}."
    assert not house.api.requests
    assert await turns(house) == ()


async def test_more_text_than_the_model_can_read_is_refused(empty_house: House) -> None:
    house = empty_house
    async with house.running(FILE_LIMIT_KB="2000"):
        said = await turned_down(house, "Sum it up", file=Upload(name="book.txt", content=b"word " * 200_000))
        assert said.content == (
            "⚠️ That is too long: 200,136 tokens, and at most 127,000 fit. Please shorten it, or ask about it in parts."
        )
        assert await turns(house) == ()
    assert not house.api.requests


async def test_a_file_is_remembered_for_the_next_question(house: House) -> None:
    await ask(house, "What does it do?", file=Upload(name="greet.py", content=SOURCE.encode()))
    await ask(house, "Which function is in it?")
    first = conversation(house.api.requests[-1].body)[0]
    assert "[file: greet.py]" in first.text
    assert SOURCE in first.text


async def test_regenerate_still_has_the_file_when_discord_has_it_no_longer(house: House) -> None:
    await ask(house, "Before")
    answer = await ask(house, "What does it do?", file=Upload(name="greet.py", content=SOURCE.encode()))
    await ask(house, "After")  # so that the first answer's record is in the database
    house.discord.clock.advance(25 * 3_600)
    house.api.script(Script("It greets."))
    again = await house.dana.click(answer, label="Regenerate")
    await house.discord.wait_until(
        lambda: any("It greets." in m.content and has_button(m, "Regenerate") for m in [*again.messages, answer])
    )
    assert SOURCE in last_text(house)


async def test_a_mention_brings_its_file_along(house: House) -> None:
    house.api.script(Script("It greets."))
    file = Upload(name="greet.py", content=SOURCE.encode())
    mine = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}> what does it do?", files=[file])
    await house.reply_in(house.channel, mine)
    assert SOURCE in last_text(house)
