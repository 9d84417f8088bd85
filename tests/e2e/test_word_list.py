"""A server's own word list: it refuses what is asked and masks what is answered, here and nowhere else."""

from bot.wordlist import MASK, WORD_LIMIT
from sandbox.discord.cdn import Upload
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import charged
from tests.e2e.conversing import ask, told, turned_down, turns
from tests.e2e.deciding import ended, is_posted
from tests.e2e.deciding import told as told_admin
from tests.e2e.drawing import draw, quick, refused
from tests.e2e.drawing import told as told_of_picture
from tests.e2e.house import House

REFUSAL = (
    "⚠️ This server's admins have a list of words that are not for here, and one of them is in there. "
    "Please put it in other words."
)


async def listed(house: House, words: str, *, tampered: bool = False) -> str:
    """What the admin reads after sending the form."""
    opened = await house.admin.slash(house.channel, "settings blocked-words")
    await opened.wait_for(lambda interaction: interaction.modal)
    return (await ended(house, await house.admin.submit_modal(opened, {"words": words}, tampered=tampered))).content


async def test_a_question_with_a_listed_word_is_refused_and_nothing_is_asked_or_charged(house: House) -> None:
    assert "Blocked words: none → **2 words**" in await listed(house, "darn\nzut alors")
    reply = await turned_down(house, "What does D\u200bÁRN mean?")
    assert reply.content == REFUSAL
    assert not house.api.requests
    assert await turns(house) == ()
    await ask(house, "What does darning mean?")


async def test_an_answer_is_masked_as_it_streams_and_as_it_is_remembered(house: House) -> None:
    await listed(house, "darn")
    reply = await ask(house, "Say it", answer=Script(["Oh da", "rn", " it, dar", "ned! Da", "rn"]))
    assert f"Oh {MASK * 4} it, darned! {MASK * 4}\n" in reply.content
    (turn,) = await turns(house)
    assert turn.answer == f"Oh {MASK * 4} it, darned! {MASK * 4}"
    assert "darn " not in "".join(str(request.body) for request in house.discord.requests)


async def test_a_picture_of_a_listed_word_is_refused_and_what_to_leave_out_may_be_named(house: House) -> None:
    await listed(house, "darn")
    assert await refused(house, "a DARN lighthouse") == REFUSAL
    assert not house.api.pictures
    await draw(quick(house), "a lighthouse", negative_prompt="darn")


async def test_the_list_counts_in_its_server_alone(house: House) -> None:
    await listed(house, "darn")
    direct = house.discord.world.dm(house.dana.user)
    interaction = await house.dana.slash(direct, "ask", prompt="What is a darn?")
    assert REFUSAL not in (await told(house, interaction)).content


async def test_an_emptied_list_blocks_nothing(house: House) -> None:
    await listed(house, "darn")
    assert "Blocked words: 1 word → **none**" in await listed(house, "")
    await ask(house, "Oh darn?", answer="Darn.")


async def test_a_list_that_cannot_be_kept_changes_nothing(house: House) -> None:
    assert "has no letter or digit that I could look for" in await listed(house, "darn\n!!!")
    long = "w" * (WORD_LIMIT + 1)
    said = f"is too long for a word: at most {WORD_LIMIT} characters. Nothing was changed."
    assert said in await listed(house, f"darn\n{long}")
    assert "at most 300 words" in await listed(house, "\n".join(f"w{n}" for n in range(301)))
    assert "at most 300 words" in await listed(house, "word\n" * 1_000, tampered=True)
    await ask(house, "Oh darn?", answer="Darn.")


async def test_the_log_channel_does_not_quote_the_list(house: House) -> None:
    log = house.guild.add_text_channel("log")
    await told_admin(house, "settings log-channel", channel=log)
    await listed(house, "darn")
    posted = await is_posted(house, log, "blocked words")
    assert "darn" not in posted.content


async def test_a_masked_answer_costs_what_the_api_counted(house: House) -> None:
    await listed(house, "darn")
    await ask(house, "Say it", answer="Oh darn it")
    entry = await charged(house)
    assert entry.reason == "finished"
    assert entry.completion_tokens == house.api.requests[-1].billed.completion_tokens


async def test_a_file_with_a_listed_word_is_refused_by_its_text_and_by_its_name(house: House) -> None:
    await listed(house, "darn")
    for upload in (Upload(name="brief.txt", content=b"Oh d**ar**n it"), Upload(name="darn.txt", content=b"Oh well")):
        assert (await turned_down(house, "Sum it up", file=upload)).content == REFUSAL
    assert not house.api.requests
    assert await turns(house) == ()


async def test_a_picture_of_before_is_not_drawn_again_once_its_word_is_listed(house: House) -> None:
    reply = await draw(quick(house), "a darn lighthouse")
    shaping = await house.dana.click(reply, label="Shape")
    shapes = await house.discord.wait_until(lambda: next((m for m in shaping.messages if m.components), None))
    assert shapes is not None
    await listed(house, "darn")
    assert await told_of_picture(house, await house.dana.click(reply, label="Again")) == REFUSAL
    assert await told_of_picture(house, await house.dana.select(shapes, ["wide"])) == REFUSAL
    assert len(house.api.pictures) == 1
