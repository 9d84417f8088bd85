"""Pictures: what reaches the model, what is refused, and how long they can be asked about."""

import asyncio
import io

import pytest
from PIL import Image

from bot.answers import preparing
from bot.answers.history import MemoryKey
from sandbox.discord.cdn import Upload
from sandbox.discord.messages import Message
from sandbox.minitoolai.script import Script
from tests.e2e.conversing import ask, closed, picture_parts, turned_down, turns
from tests.e2e.house import House
from tests.e2e.reading import footer_of, picture

DAY_S = 25 * 3_600.0
"""Longer than Discord signs an attachment's address for."""


def image(kind: str, size: tuple[int, int] = (16, 16)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, format=kind)
    return data.getvalue()


async def asked_with_picture(house: House, **options: object) -> Message:
    """An answer to a question with a picture, once it is known where the picture can be read again."""
    answer = await ask(house, "What is this?", answer="A cat.", image=picture(), **options)
    key = MemoryKey.private(house.channel.id, house.dana.user.id) if options.get("private") else None
    async with asyncio.timeout(30):
        # It is stored just after the answer is whole; each look waits for the database's next turn.
        while (await turns(house, key))[-1].asked.images[0].id != answer.attachments[0].id:
            pass
    return answer


def reads_of(house: House, message: Message) -> int:
    """How often the bot read that message."""
    return sum(
        each.method == "GET" and each.path.endswith(f"/messages/{message.id}") for each in house.discord.requests
    )


async def test_pictures_reach_the_model_as_addresses_with_their_detail(house: House) -> None:
    await ask(house, "Compare", image=picture("a.png"), image2=picture("b.png"), image3=picture("c.png"))
    parts = picture_parts(house.api.requests[-1].body)
    assert [set(part) for part in parts] == [{"url", "detail"}] * 3
    assert [part["detail"] for part in parts] == ["auto"] * 3
    assert all(part["url"].startswith(house.discord.cdn_url) for part in parts)
    assert [name in part["url"] for name, part in zip(("a.png", "b.png", "c.png"), parts, strict=True)] == [True] * 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_pictures_type_is_read_from_its_bytes_not_its_name(house: House, kind: str) -> None:
    await ask(house, "What is this?", image=Upload(name="notes.txt", content=image(kind), content_type="text/plain"))
    assert len(picture_parts(house.api.requests[-1].body)) == 1


async def test_what_only_calls_itself_a_picture_is_refused(house: House) -> None:
    page = Upload(name="cat.png", content=b"<html><body>a cat</body></html>", content_type="image/png")
    said = await turned_down(house, "What is this?", image=page)
    assert said.content == "⚠️ `cat.png` is not a jpg, png, webp or gif picture."
    assert not house.api.requests
    assert await turns(house) == ()


async def test_a_truncated_picture_is_refused(house: House) -> None:
    said = await turned_down(house, "What is this?", image=Upload(name="cat.png", content=image("PNG")[:-30]))
    assert said.content == "⚠️ `cat.png` is a damaged picture: it cannot be read to its end."


async def test_a_picture_over_the_size_limit_is_refused_unread(empty_house: House) -> None:
    house = empty_house
    async with house.running(IMAGE_LIMIT_MB="1"):
        large = Upload(name="large.png", content=image("PNG") + bytes(1_100_000), content_type="image/png")
        said = await turned_down(house, "What is this?", image=large)
        assert said.content == "⚠️ `large.png` is 1.2 MB; at most 1 MB are read."
        assert await turns(house) == ()
    assert not house.api.requests


async def test_a_picture_with_too_many_pixels_is_refused(empty_house: House) -> None:
    house = empty_house
    async with house.running(IMAGE_LIMIT_MEGAPIXELS="1"):
        said = await turned_down(house, "What?", image=Upload(name="wide.png", content=image("PNG", (1_200, 1_000))))
        assert said.content == "⚠️ `wide.png` has 1.2 megapixels; at most 1."
        assert await turns(house) == ()
    assert not house.api.requests


async def test_a_model_that_cannot_see_gives_way_to_one_that_can_and_the_footer_says_so(house: House) -> None:
    answer = await ask(house, "What is this?", image=picture(), model="gpt-4.1")
    assert house.api.requests[-1].body["model"] == "gpt-4o"
    assert "gpt-4.1 cannot see pictures, so gpt-4o answered" in footer_of(answer)


async def test_an_answer_shows_the_commands_picture_again_with_words_for_it(house: House) -> None:
    answer = await ask(house, "What is this?", image=picture("cat.png"))
    [shown] = answer.attachments
    assert (shown.filename, shown.description) == ("cat.png", "Picture 1 of the question")
    assert house.discord.world.cdn.content(shown) == picture("cat.png").content


async def test_a_follow_up_sends_the_picture_of_before(house: House) -> None:
    await asked_with_picture(house)
    await ask(house, "What colour is it?")
    assert len(picture_parts(house.api.requests[-1].body)) == 1


async def test_yesterdays_picture_is_sent_under_a_fresh_address(house: House) -> None:
    answer = await asked_with_picture(house)
    first = picture_parts(house.api.requests[-1].body)[0]["url"]
    house.discord.clock.advance(DAY_S)
    later = await ask(house, "What colour is it?")
    [part] = picture_parts(house.api.requests[-1].body)
    assert part["url"] != first
    assert part["url"].partition("?")[0] == house.discord.world.cdn.url(answer.attachments[0]).partition("?")[0]
    assert reads_of(house, answer) == 1
    assert "can no longer be read" not in footer_of(later)


async def test_yesterdays_picture_of_a_members_own_message_is_sent_under_a_fresh_address(house: House) -> None:
    house.api.script(Script("A cat."))
    mine = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}> what is this?", files=[picture()])
    answer = await house.reply_in(house.channel, mine)
    assert answer.attachments == []
    house.discord.clock.advance(DAY_S)
    await ask(house, "What colour is it?")
    [part] = picture_parts(house.api.requests[-1].body)
    assert part["url"].partition("?")[0] == house.discord.world.cdn.url(mine.attachments[0]).partition("?")[0]


async def test_a_picture_that_is_gone_is_said_so_and_not_asked_for_again(house: House) -> None:
    answer = await asked_with_picture(house)
    await house.admin.delete(answer)
    house.discord.clock.advance(DAY_S)
    later = await ask(house, "What colour is it?")
    assert picture_parts(house.api.requests[-1].body) == []
    assert "[picture no longer available: cat.png]" in str(house.api.requests[-1].body)
    assert "a picture of before can no longer be read: attach it again to ask about it" in footer_of(later)
    again = await ask(house, "And its tail?")
    assert "can no longer be read" in footer_of(again)
    assert reads_of(house, answer) == 1


async def test_a_private_answers_picture_can_be_asked_about_while_its_address_works(house: House) -> None:
    answer = await asked_with_picture(house, private=True)
    assert answer.visible_to is house.dana.user
    await ask(house, "What colour is it?", private=True)
    assert len(picture_parts(house.api.requests[-1].body)) == 1
    house.discord.clock.advance(DAY_S)
    later = await ask(house, "And today?", private=True)
    assert picture_parts(house.api.requests[-1].body) == []
    assert "can no longer be read" in footer_of(later)
    assert reads_of(house, answer) == 0


async def test_an_attachment_whose_address_has_expired_is_refused_with_words(house: House) -> None:
    house.discord.world.cdn.lifetime_s = -1
    said = await turned_down(house, "What is this?", image=picture())
    assert said.content == (
        "⚠️ `cat.png` can no longer be read: Discord's address for it has expired. Please attach it again."
    )
    assert not house.api.requests
    assert await turns(house) == ()


async def test_only_the_newest_pictures_of_before_are_sent(empty_house: House) -> None:
    house = empty_house
    async with house.running(HISTORY_IMAGES="1"):
        await ask(house, "One", image=picture("one.png"))
        await ask(house, "Two", image=picture("two.png"))
        await ask(house, "Which was first?")
    [part] = picture_parts(house.api.requests[-1].body)
    assert "two.png" in part["url"]
    assert "[picture: one.png]" in str(house.api.requests[-1].body)


async def test_after_a_restart_yesterdays_picture_is_found_again(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await ask(house, "What is this?", image=picture())
    house.discord.clock.advance(DAY_S)
    async with house.running():
        await ask(house, "What colour is it?")
    assert len(picture_parts(house.api.requests[-1].body)) == 1


async def test_a_model_that_cannot_see_says_so_of_the_pictures_of_before(house: House) -> None:
    await ask(house, "What is this?", image=picture())
    later = await ask(house, "Thanks. What is 2 + 2?", model="gpt-4.1")
    assert house.api.requests[-1].body["model"] == "gpt-4.1"
    assert "gpt-4.1 cannot see the pictures of before" in footer_of(later)


async def test_regenerate_reads_yesterdays_picture_again(house: House) -> None:
    answer = await asked_with_picture(house)
    house.discord.clock.advance(DAY_S)
    house.api.script(Script("A red square."))
    again = await house.answer_to(await house.dana.click(answer, label="Regenerate"))
    assert again.content.startswith("> What is this?\nA red square.")
    assert len(picture_parts(house.api.requests[-1].body)) == 1
    assert reads_of(house, answer) == 1


async def test_attachments_beyond_what_is_read_are_said(house: House) -> None:
    house.api.script(Script("Three cats."))
    files = [picture() for _ in range(4)] + [Upload("a.txt", b"one"), Upload("b.txt", b"two")]
    question = await house.dana.say(house.channel, f"<@{house.discord.application_id}> What are these?", files=files)
    answer = await house.reply_in(house.channel, question)
    assert "2 more attached than I read: three pictures and one file" in answer.content
    assert len(picture_parts(house.api.requests[-1].body)) == 3


async def test_pictures_that_open_answers_hold_have_a_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "HELD_BYTES", 1)
    held = asyncio.Event()
    house.api.script(Script("A cat.", gate=held))
    first = await house.dana.slash(house.channel, "ask", prompt="What is this?", image=picture())
    await house.discord.wait_until(lambda: house.api.requests)
    said = await turned_down(house, "And this?", by=house.noam, image=picture())
    assert said.content == "⚠️ I am at work on as much as I can take. Please try again in a minute."
    await ask(house, "And without a picture?", by=house.noam)
    held.set()
    await house.answer_to(first)
    await closed(house, first)
    await ask(house, "And this now?", by=house.noam, image=picture())
