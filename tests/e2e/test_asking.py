"""Every way to ask: the command with its options, the message menu, a mention, a reply, a direct message."""

import pytest

from sandbox.discord.cdn import Upload
from sandbox.discord.commands import CommandType
from sandbox.discord.messages import Interaction, Message, ResponseType
from sandbox.discord.rules import Draft
from sandbox.minitoolai.script import Script, Tokens
from tests.e2e.house import House, labels
from tests.e2e.reading import asked, assert_readable, footer_of, picture, pictures_in, without_subtext

OPTIONS = ["prompt", "image", "image2", "image3", "file", "model", "temperature", "max_tokens", "private"]


async def refused(house: House, interaction: Interaction) -> str:
    """What the asker alone is told, instead of an answer."""
    await interaction.wait_for(lambda each: each.original is not None and not each.original.loading)
    assert interaction.response_type is ResponseType.MESSAGE
    assert interaction.original is not None
    assert interaction.original.visible_to is interaction.user
    assert not house.api.requests
    return interaction.original.content


async def form_of(interaction: Interaction) -> dict[int, str]:
    """The fields of the form that an interaction was answered with: the component's type to its custom_id."""
    await interaction.wait_for(lambda each: each.modal is not None)
    assert interaction.modal is not None
    fields = [label["component"] for label in interaction.modal["components"]]
    return {field["type"]: field["custom_id"] for field in fields}


TEXT_INPUT, CHECKBOX = 4, 23


async def test_a_question_is_answered_in_the_reply(house: House) -> None:
    house.api.script(Script("The capital of France is **Paris**."))
    interaction = await house.dana.slash(house.channel, "ask", prompt="What is the capital of France?")
    answer = await house.answer_to(interaction)
    assert without_subtext(answer.content) == "> What is the capital of France?\nThe capital of France is **Paris**."
    assert labels(answer) == ["Regenerate", "Delete"]


async def test_the_deferral_comes_before_the_api_is_asked(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt="Hello?")
    await house.api.wait_for_request()
    assert interaction.acknowledged.done()
    assert interaction.response_type is ResponseType.DEFERRED_MESSAGE
    await house.answer_to(interaction)


async def test_every_option_reaches_the_api(house: House) -> None:
    house.api.script(Script("Two cats and some Python."))
    interaction = await house.dana.slash(
        house.channel,
        "ask",
        prompt="What are these?",
        image=picture("one.png", "red"),
        image2=picture("two.png", "green"),
        image3=picture("three.png", "blue"),
        file=Upload(name="main.py", content=b"print('forty-two')\n"),
        model="gpt-4o",
        temperature=0.3,
        max_tokens=77,
    )
    body = (await house.api.wait_for_request()).body
    assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("gpt-4o", 0.3, 77)
    assert len(pictures_in(body)) == 3
    assert "What are these?" in asked(body)
    assert "main.py" in asked(body)
    assert "print('forty-two')" in asked(body)
    await house.answer_to(interaction)


async def test_the_command_offers_the_five_models_with_their_price_in_words(house: House) -> None:
    command = house.discord.world.commands.find("ask", CommandType.CHAT_INPUT, None)
    assert command is not None
    assert [option["name"] for option in command["options"]] == OPTIONS
    model = command["options"][OPTIONS.index("model")]
    assert [choice["value"] for choice in model["choices"]] == [
        "gpt-4o-mini",
        "gpt-4o",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
    ]
    assert model["choices"][0]["name"].endswith("($0.15 in, $0.60 out per 1M tokens)")


async def test_a_prompt_of_the_full_6000_characters_is_answered(house: House) -> None:
    prompt = "a" * 5_999 + "?"
    await house.answer_to(await house.dana.slash(house.channel, "ask", prompt=prompt))
    assert prompt in asked(house.api.requests[0].body)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "a" * 6_001}, "That is too long: 6,001 characters, and at most 6,000 fit"),
        ({"prompt": ""}, "There is nothing to answer"),
        ({"prompt": " \n "}, "There is nothing to answer"),
        ({"prompt": "x", "temperature": 3.0}, "`temperature` must lie between 0 and 2"),
        ({"prompt": "x", "temperature": -0.1}, "`temperature` must lie between 0 and 2"),
        ({"prompt": "x", "max_tokens": 0}, "`max_tokens` must lie between 1 and"),
        ({"prompt": "x", "max_tokens": 10**9}, "`max_tokens` must lie between 1 and"),
        ({"prompt": "x", "model": "gpt-9"}, "There is no model `gpt-9`"),
    ],
)
async def test_an_altered_client_is_told_what_is_wrong(house: House, options: dict[str, object], sentence: str) -> None:
    interaction = await house.dana.slash(house.channel, "ask", tampered=True, **options)
    assert sentence in await refused(house, interaction)


async def test_a_private_answer_is_seen_by_its_asker_alone(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt="A secret?", private=True)
    answer = await house.answer_to(interaction)
    assert house.dana.sees(answer)
    assert not house.noam.sees(answer)
    assert footer_of(answer).endswith("private memory")


async def test_the_footer_names_model_tokens_exact_price_and_memory(house: House) -> None:
    house.api.script(Script("Yes.", usage=Tokens(prompt_tokens=1_001, completion_tokens=7)))
    answer = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Is it?"))
    assert footer_of(answer) == "-# gpt-4o-mini · 1,001 tokens in, 7 out · 0.155 credits ($0.00015435) · shared memory"
    second = await house.answer_to(await house.noam.slash(house.channel, "ask", prompt="Is it, too?"))
    assert footer_of(second).endswith(" · shared memory, 1 turn")


async def test_the_message_menu_opens_a_form_and_takes_text_pictures_and_file_of_the_message(house: House) -> None:
    notes = Upload(name="notes.txt", content=b"the notes of the meeting")
    message = await house.noam.say(house.channel, "Look at our plan", files=[picture(), notes])
    opened = await house.dana.message_menu(house.channel, "Ask about this", message)
    fields = await form_of(opened)
    submitted = await house.dana.submit_modal(opened, {fields[TEXT_INPUT]: "Is it a good one?"})
    answer = await house.answer_to(submitted)
    body = house.api.requests[0].body
    for words in ("Look at our plan", "Noam", "Is it a good one?", "the notes of the meeting"):
        assert words in asked(body)
    assert len(pictures_in(body)) == 1
    assert not answer.ephemeral


async def test_the_message_menu_reads_what_only_embeds_say(house: House) -> None:
    fields = [{"name": "Wind", "value": "north, strong"}]
    message = house.discord.world.create_message(
        house.channel, house.noam.user, Draft(embeds=[{"type": "rich", "title": "Weather report", "fields": fields}])
    )
    await house.answer_to(await asked_about(house, message, "Shall we sail?"))
    said = asked(house.api.requests[0].body)
    assert "Weather report" in said
    assert "Wind: north, strong" in said


async def test_the_message_menu_calls_no_message_hidden(house: House) -> None:
    sticker = house.discord.world.create_message(house.channel, house.noam.user, Draft())
    await house.answer_to(await asked_about(house, sticker, "What is it?"))
    assert "Discord hides" not in asked(house.api.requests[0].body)


async def test_a_question_about_what_only_the_asker_saw_is_answered_to_them_alone(house: House) -> None:
    house.api.script(Script("The code is 4711."))
    interaction = await house.dana.slash(house.channel, "ask", prompt="The code?", private=True)
    secret = await house.answer_to(interaction)
    answer = await house.answer_to(await asked_about(house, secret, "Is it safe?"))
    assert "4711" in asked(house.api.requests[-1].body)
    assert answer.visible_to is house.dana.user
    await house.answer_to(await house.noam.slash(house.channel, "ask", prompt="What do you know?"))
    assert "4711" not in asked(house.api.requests[-1].body)


async def asked_about(house: House, message: Message, question: str) -> Interaction:
    """Dana's question about a message, by its menu."""
    opened = await house.dana.message_menu(house.channel, "Ask about this", message)
    fields = await form_of(opened)
    return await house.dana.submit_modal(opened, {fields[TEXT_INPUT]: question})


async def test_the_form_of_the_message_menu_can_keep_the_answer_private(house: House) -> None:
    message = await house.noam.say(house.channel, "A poem")
    opened = await house.dana.message_menu(house.channel, "Ask about this", message)
    fields = await form_of(opened)
    submitted = await house.dana.submit_modal(opened, {fields[TEXT_INPUT]: "Whose is it?", fields[CHECKBOX]: True})
    answer = await house.answer_to(submitted)
    assert answer.visible_to is house.dana.user


async def test_a_mention_is_answered_by_a_reply_that_pings_nobody(house: House) -> None:
    question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} What is the time?")
    answer = await house.reply_in(house.channel, question)
    assert answer.mentions_pinged == set()
    assert asked(house.api.requests[0].body).endswith("What is the time?")
    assert house.discord.world.bot.mention not in asked(house.api.requests[0].body)


async def test_a_reply_to_the_bot_asks_on_and_takes_what_it_answers_along(house: House) -> None:
    house.api.script(Script("Lisbon is lovely."))
    first = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Where to?"))
    question = await house.noam.say(house.channel, "And in winter?", reply_to=first)
    await house.reply_in(house.channel, question)
    body = house.api.requests[-1].body
    assert "Lisbon is lovely." in asked(body)
    assert "And in winter?" in asked(body)
    assert "-# gpt-4o-mini" not in asked(body), "the footer is no part of what was said"


async def test_a_reply_whose_message_discord_hides_is_answered_with_the_way_to_show_it(house: House) -> None:
    first = await house.noam.say(house.channel, "Tabs are better than spaces.")
    mention = house.discord.world.bot.mention
    await house.reply_in(house.channel, await house.dana.say(house.channel, f"{mention} true?", reply_to=first))
    body = house.api.requests[-1].body
    assert "Noam" in asked(body)
    assert "true?" in asked(body)
    assert "Ask about this" in asked(body)


async def test_a_reply_to_a_message_that_mentions_the_bot_takes_its_words_along(house: House) -> None:
    mention = house.discord.world.bot.mention
    first = await house.noam.say(house.channel, f"{mention} Tabs are better than spaces.", files=[picture()])
    await house.reply_in(house.channel, first)
    await house.reply_in(house.channel, await house.dana.say(house.channel, f"{mention} true?", reply_to=first))
    body = house.api.requests[-1].body
    assert asked(body).count("Tabs are better than spaces.") >= 2
    assert pictures_in(body)


async def test_a_mention_without_words_is_told_what_to_write(house: House) -> None:
    question = await house.dana.say(house.channel, house.discord.world.bot.mention)
    reply = await house.discord.wait_until(lambda: answer_among(house, question))
    assert reply.content.startswith("⚠️ There is nothing to answer")
    assert not house.api.requests


def answer_among(house: House, question: Message) -> Message | None:
    return next((m for m in house.channel.messages.values() if m.reply_to is question), None)


async def test_a_direct_message_needs_no_mention(house: House) -> None:
    dm = house.discord.world.dm(house.dana.user)
    answer = await house.reply_in(dm, await house.dana.say(dm, "Are you there?", files=[picture()]))
    assert footer_of(answer).startswith("-# gpt-4o-mini")
    assert len(pictures_in(house.api.requests[0].body)) == 1


async def test_other_bots_everyone_and_replies_without_a_ping_are_not_answered(house: House) -> None:
    world = house.discord.world
    robot = world.add_user("Robot", bot=True)
    house.guild.join(robot)
    mention = world.bot.mention
    first = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="First"))
    ignored = [
        await house.discord.person(robot).say(house.channel, f"{mention} let us talk for ever"),
        await house.admin.say(house.channel, "@everyone good morning"),
        await house.dana.say(house.channel, "thanks!", reply_to=first, ping=False),
        await house.dana.say(house.channel, "nothing to do with the bot"),
        world.create_message(house.channel, world.bot, Draft(content=f"{mention} myself")),
    ]
    await house.reply_in(house.channel, await house.dana.say(house.channel, f"{mention} Last"))
    assert len(house.api.requests) == 2
    assert all(answer_among(house, message) is None for message in ignored)


async def test_a_commands_answer_repeats_the_question_as_plain_text_on_one_line(house: House) -> None:
    house.api.script(Script("Yes."))
    prompt = "Is **this**\n# a question of @everyone at https://example.com?" + " And more." * 40
    interaction = await house.dana.slash(house.channel, "ask", prompt=prompt)
    answer = await house.answer_to(interaction)
    heading, *rest = answer.content.split("\n")
    assert heading.startswith(
        "> Is \\*\\*this\\*\\* \\# a question of @\u200beveryone at https\u200b://example.com? And more."
    )
    assert heading.endswith("…")
    assert rest[0] == "Yes."
    assert_readable(answer)


async def test_a_mention_and_a_private_question_are_not_repeated(house: House) -> None:
    house.api.script(Script("For all."), Script("For you."))
    question = await house.dana.say(house.channel, f"<@{house.discord.application_id}> Is it so?")
    assert (await house.reply_in(house.channel, question)).content.startswith("For all.")
    private = await house.dana.slash(house.channel, "ask", prompt="Is it so?", private=True)
    assert (await house.answer_to(private)).content.startswith("For you.")


async def test_the_command_states_how_large_a_file_may_be(empty_house: House) -> None:
    async with empty_house.running(FILE_LIMIT_KB="300"):
        registered = empty_house.discord.world.commands.find("ask", CommandType.CHAT_INPUT, None)
        assert registered is not None
        (file,) = [option for option in registered["options"] if option["name"] == "file"]
        assert file["description"] == "A text or source file to read, up to 300 kB"
