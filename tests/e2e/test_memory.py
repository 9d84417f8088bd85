"""What goes along with the next question, whose it is, and where it ends."""

import asyncio

from bot.answers.history import MemoryKey
from sandbox.minitoolai.script import Received, Script
from tests.e2e.conversing import Said, ask, conversation, told, turns
from tests.e2e.house import House
from tests.e2e.reading import footer_of


async def test_the_next_question_carries_the_turns_before_it_in_their_order(house: House) -> None:
    await ask(house, "My cat is called Miro.", answer="Noted.")
    await ask(house, "And my dog?", answer="You have not told me.")
    third = await ask(house, "What is my cat called?", answer="Miro.")
    assert conversation(house.api.requests[-1].body) == [
        Said(role="user", text="Dana: My cat is called Miro."),
        Said(role="assistant", text="Noted."),
        Said(role="user", text="Dana: And my dog?"),
        Said(role="assistant", text="You have not told me."),
        Said(role="user", text="Dana: What is my cat called?"),
    ]
    assert "shared memory, 2 turns" in footer_of(third)


async def test_members_are_told_apart_in_a_shared_memory(house: House) -> None:
    await ask(house, "I like tea.", by=house.dana)
    await ask(house, "I like coffee.", by=house.noam)
    users = [said.text for said in conversation(house.api.requests[-1].body) if said.role == "user"]
    assert users == ["Dana: I like tea.", "Noam: I like coffee."]


async def test_two_members_called_alike_are_told_apart(house: House) -> None:
    twin = house.discord.world.add_user("Dana")
    house.guild.join(twin)
    await ask(house, "I like tea.", by=house.dana)
    await ask(house, "I like coffee.", by=house.discord.person(twin))
    users = [said.text for said in conversation(house.api.requests[-1].body) if said.role == "user"]
    names = [text.partition(":")[0] for text in users]
    assert len(set(names)) == 2
    assert all(name.startswith("Dana #") for name in names)


async def test_a_thread_has_a_memory_of_its_own(house: House) -> None:
    await ask(house, "The password is swordfish.")
    thread = house.channel.add_thread("aside", creator=house.dana.user)
    await ask(house, "What is the password?", channel=thread)
    assert conversation(house.api.requests[-1].body) == [Said(role="user", text="Dana: What is the password?")]
    assert len(await turns(house)) == len(await turns(house, MemoryKey.shared(thread.id))) == 1


async def test_a_small_budget_keeps_the_newest_whole_turns(empty_house: House) -> None:
    house = empty_house
    async with house.running(HISTORY_TOKENS="60"):
        await ask(house, "An old question", answer="old " * 40)
        await ask(house, "A recent question", answer="A recent answer.")
        last = await ask(house, "The last question")
    assert [said.text for said in conversation(house.api.requests[-1].body)] == [
        "Dana: A recent question",
        "A recent answer.",
        "Dana: The last question",
    ]
    assert "shared memory, 1 turn" in footer_of(last)


async def test_without_a_budget_nothing_of_before_is_sent(empty_house: House) -> None:
    house = empty_house
    async with house.running(HISTORY_TOKENS="0"):
        await ask(house, "First")
        await ask(house, "Second")
    assert [said.text for said in conversation(house.api.requests[-1].body)] == ["Dana: Second"]


async def test_two_who_ask_at_once_are_both_answered_and_remembered(house: House) -> None:
    gates = {"tea": asyncio.Event(), "coffee": asyncio.Event()}

    def answer(received: Received) -> Script:
        word = conversation(received.body)[-1].text.split()[-1]
        return Script(["All about ", word, "."], gate=gates[word])

    house.api.answer = answer
    dana = await house.dana.slash(house.channel, "ask", prompt="Tell me of tea")
    noam = await house.noam.slash(house.channel, "ask", prompt="Tell me of coffee")
    for _ in gates:
        await house.api.wait_for_request()
    gates["coffee"].set()  # who asked later is answered first
    assert "All about coffee." in (await house.answer_to(noam)).content
    gates["tea"].set()
    assert "All about tea." in (await house.answer_to(dana)).content
    kept = [(turn.asked.asker.name, turn.asked.prompt, turn.answer) for turn in await turns(house)]
    assert kept == [("Dana", "Tell me of tea", "All about tea."), ("Noam", "Tell me of coffee", "All about coffee.")]


async def test_a_private_answer_stays_out_of_the_shared_memory_and_in_the_askers_own(house: House) -> None:
    await ask(house, "My birthday is in May.", private=True)
    await ask(house, "When is my birthday?")
    assert "May" not in str(house.api.requests[-1].body)
    await ask(house, "When is Dana's birthday?", by=house.noam, private=True)
    assert "May" not in str(house.api.requests[-1].body)
    again = await ask(house, "When was it?", private=True)
    assert [said.text for said in conversation(house.api.requests[-1].body)] == [
        "My birthday is in May.",
        "An answer.",
        "When was it?",
    ]
    assert "private memory, 1 turn" in footer_of(again)
    assert again.visible_to is house.dana.user


async def test_personal_memory_keeps_people_apart(house: House) -> None:
    await told(house, await house.admin.slash(house.channel, "history mode", mode="personal"))
    await ask(house, "I like tea.", by=house.dana)
    await ask(house, "What do I like?", by=house.noam)
    assert [said.text for said in conversation(house.api.requests[-1].body)] == ["What do I like?"]
    mine = await ask(house, "What do I like?", by=house.dana)
    assert conversation(house.api.requests[-1].body)[0].text == "I like tea."
    assert "Dana's own memory, 1 turn" in footer_of(mine)


async def test_where_memory_is_off_nothing_is_kept_or_sent(house: House) -> None:
    await ask(house, "Before it was switched off")
    await told(house, await house.admin.slash(house.channel, "history mode", mode="off"))
    answer = await ask(house, "First")
    await ask(house, "A private one", private=True)
    await ask(house, "Second")
    assert [said.text for said in conversation(house.api.requests[-1].body)] == ["Second"]
    assert "no memory" in footer_of(answer)
    assert [turn.asked.prompt for turn in await turns(house)] == ["Before it was switched off"]


async def test_a_restart_changes_nothing(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await told(house, await house.admin.slash(house.channel, "history mode", mode="personal"))
        await ask(house, "My cat is called Miro.", answer="Noted.")
    async with house.running():
        answer = await ask(house, "What is my cat called?")
    assert [said.text for said in conversation(house.api.requests[-1].body)] == [
        "My cat is called Miro.",
        "Noted.",
        "What is my cat called?",
    ]
    assert "Dana's own memory, 1 turn" in footer_of(answer)
