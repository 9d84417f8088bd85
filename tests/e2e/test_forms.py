"""Forms and confirmations outlive the process that showed them, and a Discord that is slow to say that it has."""

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.answers.history import MemoryKey
from bot.drafts import BODY_LIMIT, LIFE_S, PER_PERSON
from bot.storage.snapshot import snapshot
from cogs.history import KEPT_INSTEAD
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.messages import Interaction, InteractionType, Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from tests.e2e.accounting import database_url
from tests.e2e.conversing import ask, told, turns
from tests.e2e.deciding import ended, services
from tests.e2e.drawing import draw, drawn, pictured, quick
from tests.e2e.house import REPOSITORY, House, labels
from tests.e2e.reading import asked

CALLBACK, FOLLOW_UP = "/interactions/…/callback", "/webhooks/{webhook_id}/{webhook_token}"
UNKNOWN_MESSAGE = "⚠️ I no longer have the message that this question is about: I keep it for 15 minutes."
UNKNOWN_FORM = "⚠️ I no longer know this form. Please open it again."
UNREADABLE = "⚠️ This form did not reach me as I showed it, so I did nothing. Please open it again."
TYPED_AGAIN = "⚠️ I no longer have what you typed: I keep it for 15 minutes. Please order with `/imagine`."
NO_MEMORY = "⚠️ I cannot reach my memory just now. Please try again in a minute."
MANAGERS_ONLY = "⚠️ Only members who can manage this server may do that."

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A form: what has to be there before, how it is opened, what is filled in by whom, and what comes of it."""

    prepare: Callable[[House], Awaitable[Message | None]]
    open: Callable[[House, Message | None], Awaitable[Interaction]]
    values: dict[str, object]
    check: Callable[[House, Interaction], Awaitable[None]]
    by_admin: bool = False

    async def send(self, house: House, opened: Interaction) -> Interaction:
        return await (house.admin if self.by_admin else house.dana).submit_modal(opened, self.values)


async def nothing(_: House) -> None:
    """Nothing has to be there."""


async def a_message(house: House) -> Message:
    return await house.noam.say(house.channel, "A cat in a hat")


async def a_picture(house: House) -> Message:
    return await draw(house, "A cat")


async def a_way_back(house: House) -> Message:
    """What Dana is told about what cannot be drawn so, with the button that leads back to the form."""
    form = await opened(house, await house.dana.click(await a_picture(house), label="Edit"))
    sent = await house.dana.submit_modal(form, {"prompt": "A dog", "size": "round"})
    return await told(house, sent)


async def about(house: House, message: Message | None) -> Interaction:
    assert message is not None
    return await house.dana.message_menu(house.channel, "Ask about this", message)


async def picture_this(house: House, message: Message | None) -> Interaction:
    assert message is not None
    return await house.dana.message_menu(house.channel, "Picture this", message)


async def edit(house: House, message: Message | None) -> Interaction:
    assert message is not None
    return await house.dana.click(message, label="Edit")


async def back(house: House, message: Message | None) -> Interaction:
    assert message is not None
    return await house.dana.click(message, label="Back to the form")


async def persona(house: House, _: Message | None) -> Interaction:
    return await house.admin.slash(house.channel, "settings persona")


async def words(house: House, _: Message | None) -> Interaction:
    return await house.admin.slash(house.channel, "settings blocked-words")


async def is_answered(house: House, sent: Interaction) -> None:
    await house.answer_to(sent)
    assert "A cat in a hat" in asked(house.api.requests[-1].body)
    assert "Why a hat?" in asked(house.api.requests[-1].body)


async def is_drawn(house: House, sent: Interaction) -> None:
    await pictured(house, sent)
    assert drawn(house, "prompt") == ["A dog"]


async def is_listed(house: House, sent: Interaction) -> None:
    assert "Blocked words: none → **2 words**" in (await ended(house, sent)).content


async def is_the_persona(house: House, sent: Interaction) -> None:
    assert "→ **12 characters of the server's own**" in (await ended(house, sent)).content


CASES = {
    "persona": Case(
        prepare=nothing, open=persona, values={"persona": "You are Bob."}, check=is_the_persona, by_admin=True
    ),
    "words": Case(prepare=nothing, open=words, values={"words": "darn\nzut"}, check=is_listed, by_admin=True),
    "about": Case(prepare=a_message, open=about, values={"question": "Why a hat?"}, check=is_answered),
    "picture this": Case(prepare=a_message, open=picture_this, values={"prompt": "A dog"}, check=is_drawn),
    "edit": Case(prepare=a_picture, open=edit, values={"prompt": "A dog"}, check=is_drawn),
    "back": Case(prepare=a_way_back, open=back, values={"size": "square"}, check=is_drawn),
}


async def opened(house: House, interaction: Interaction) -> Interaction:
    """The interaction once a form is open."""
    await house.discord.wait_until(lambda: interaction.modal, what="a form")
    return interaction


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


# Whenever it is sent


async def test_a_form_is_taken_before_discord_has_said_that_it_is_open(house: House, case: Case) -> None:
    there = await case.prepare(quick(house))
    slow = house.discord.faults.hold(Hold(method="POST", template=CALLBACK, answered=True))
    form = await opened(house, await case.open(house, there))
    assert slow.reached.is_set()
    await case.check(house, await case.send(house, form))
    slow.let_go()


async def test_a_form_is_taken_after_a_restart(empty_house: House, case: Case) -> None:
    house = quick(empty_house)
    async with house.running():
        there = await case.prepare(house)
        form = await opened(house, await case.open(house, there))
    async with house.running():
        sent = await case.send(house, form)
        await case.check(house, sent)
        assert sent.acknowledged.done()


async def test_a_way_back_to_a_form_works_after_a_restart(empty_house: House) -> None:
    house = quick(empty_house)
    async with house.running():
        there = await a_way_back(house)
    async with house.running():
        form = await opened(house, await back(house, there))
        assert {name: fields(form)[name] for name in ("prompt", "negative_prompt", "size")} == {
            "prompt": "A dog",
            "negative_prompt": "",
            "size": "round",
        }
        assert form.modal is not None
        assert form.modal["title"] == "Edit, and draw again"
        await is_drawn(house, await house.dana.submit_modal(form, {"size": ""}))


async def test_a_form_that_can_be_sent_once_more_is_taken_once_more(house: House) -> None:
    """Discord leaves a form open where the bot's answer to its submit was lost."""
    form = await opened(house, await about(house, await a_message(house)))
    for _ in range(2):
        await is_answered(house, await house.dana.submit_modal(form, {"question": "Why a hat?"}))


async def test_an_open_form_is_kept_by_nobody(house: House, case: Case) -> None:
    there = await case.prepare(quick(house))
    await opened(house, await case.open(house, there))
    await ask(house, "Another thing")
    assert house.bot is not None
    assert house.bot._connection._view_store._modals == {}


def test_every_form_of_the_bot_is_one_that_nobody_keeps() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "cogs").glob("*.py")}
    assert [name for name, source in sources.items() if "ui.Modal" in source] == ["forms.py"]


def fields(form: Interaction) -> dict[str, Any]:
    """What stands in a form's text fields."""
    assert form.modal is not None
    inner = [each["component"] for each in form.modal["components"]]
    return {each["custom_id"]: each.get("value", "") for each in inner if each["type"] == 4}


# Who may


@pytest.mark.parametrize("name", ["persona", "words"])
async def test_who_may_not_manage_the_server_any_more_changes_nothing_with_an_open_form(
    house: House, name: str
) -> None:
    user = house.discord.world.add_user("Mona")
    role = house.guild.add_role("Managers", permissions=Permission.MANAGE_GUILD)
    house.guild.join(user, roles=[role])
    mona = house.discord.person(user)
    case = CASES[name]
    command = {"persona": "settings persona", "words": "settings blocked-words"}[name]
    form = await opened(house, await mona.slash(house.channel, command))
    before = await services(house).guilds.settings(house.guild.id)
    role.permissions = Permission(0)
    sent = await mona.submit_modal(form, case.values)
    assert (await ended(house, sent)).content == MANAGERS_ONLY
    assert await services(house).guilds.settings(house.guild.id) == before


def submit(house: House, custom_id: str, components: object, *, by: Person | None = None) -> Interaction:
    """A form that an altered client made up."""
    data: Json = {"custom_id": custom_id, "components": components}
    return house.discord.world.create_interaction(
        InteractionType.MODAL_SUBMIT, (by or house.dana).user, house.channel, data
    )


def text(custom_id: str, value: object) -> Json:
    return {"type": 18, "id": 1, "component": {"type": 4, "id": 2, "custom_id": custom_id, "value": value}}


def select(custom_id: str, values: object) -> Json:
    return {"type": 18, "id": 1, "component": {"type": 3, "id": 2, "custom_id": custom_id, "values": values}}


def box(value: object) -> Json:
    """The one of the form about a message."""
    return {"type": 18, "id": 1, "component": {"type": 23, "id": 2, "custom_id": "only_me", "value": value}}


async def test_a_made_up_form_of_the_settings_is_refused(house: House) -> None:
    for custom_id, name in (("settings:persona", "persona"), ("settings:blocked-words", "words")):
        for value in ("mine", " ", "x" * 101):
            sent = submit(house, custom_id, [text(name, value)])
            assert (await ended(house, sent)).content == MANAGERS_ONLY


# What altered clients send

CUSTOM_IDS = ["settings:persona", "settings:blocked-words", "ask:about:1", "picture:form:edit", "picture:form:menu"]
FIRST = ("persona", "words", "question", "prompt")
"""The fields that the forms have first."""
UNREADABLE_ONES: dict[str, object] = {
    "none": [],
    "an empty one": [{}],
    "a label without a field": [{"type": 18, "id": 1}],
    "no components": ["persona", None, 7],
    "another field": [text("another", "x")],
    "no row": [{"type": 1, "id": 1, "components": "none"}],
    "numbers": [text(name, 7) for name in FIRST],
    "too long": [text(name, "x" * 8_001) for name in FIRST],
    "another kind": [select(name, ["x"]) for name in FIRST],
}


async def is_refused(house: House, custom_id: str, components: object, what: str) -> None:
    said = await told(house, submit(house, custom_id, components, by=house.admin))
    assert (said.content, said.visible_to) == (UNREADABLE, house.admin.user), what


@pytest.mark.parametrize("custom_id", CUSTOM_IDS)
async def test_a_form_without_its_fields_is_refused_clearly(house: House, custom_id: str) -> None:
    for what, components in UNREADABLE_ONES.items():
        await is_refused(house, custom_id, components, what)
    assert not house.api.requests
    assert not house.api.pictures


async def test_a_form_whose_model_is_no_choice_is_refused_clearly(house: House) -> None:
    others = [text(name, "a") for name in ("prompt", "negative_prompt", "size", "rest")]
    for values in (None, "amigo", ["amigo", "realism"], [7]):
        await is_refused(house, "picture:form:edit", [select("model", values), *others], str(values))


async def test_a_form_whose_box_is_neither_ticked_nor_not_is_refused_clearly(house: House) -> None:
    await is_refused(house, "ask:about:1", [text("question", "Why?"), box("yes")], "a word")


async def test_a_form_that_nobody_knows_is_refused_with_what_was_typed(house: House) -> None:
    """An earlier version of the bot gave its forms random custom ids."""
    row = {"type": 1, "id": 1, "components": [{"type": 4, "id": 2, "custom_id": "b", "value": "And more"}]}
    for custom_id in ("9b1f" * 8, "settings:persona:1", "ask:about:", "picture:form:other", "x"):
        said = await told(house, submit(house, custom_id, [text("a", "A long story"), row]))
        assert said.content == f"{UNKNOWN_FORM}\nThis is what you typed:\n```\nA long story\n\nAnd more\n```"
    assert (await told(house, submit(house, "x", []))).content == UNKNOWN_FORM


# What was typed


def given_back(typed: str) -> str:
    return f"This is what you typed:\n```\n{typed}\n```"


async def the_last(house: House, sent: Interaction, what: str) -> Message:
    """The message that gives back what was typed, or the way back to it, which only its sender sees."""
    message = await house.discord.wait_until(lambda: next((m for m in sent.messages if what in m.content), None))
    assert message.visible_to is sent.user
    return message


async def test_a_question_that_is_turned_down_at_first_sight_is_given_back(empty_house: House) -> None:
    house = empty_house
    async with house.running(QUESTIONS_PER_MINUTE="1"):
        form = await opened(house, await about(house, await a_message(house)))
        await ask(house, "Something else")
        said = await told(house, await house.dana.submit_modal(form, {"question": "Why a hat?"}))
        assert said.content.startswith("⚠️ That was quick.")
        assert said.content.endswith(given_back("Why a hat?"))
        assert said.visible_to is house.dana.user


LOST = {
    "not at all": [],
    "and Discord's answer to the acknowledgement is lost": [
        Fault(method="POST", template=CALLBACK, status=502, html=True, carried_out=True)
    ],
}


@pytest.fixture(params=LOST)
def lost(request: pytest.FixtureRequest) -> list[Fault]:
    return [replace(fault) for fault in LOST[str(request.param)]]


async def test_a_question_that_is_turned_down_later_is_given_back_beside_the_reason(
    empty_house: House, lost: list[Fault]
) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="none"):
        form = await opened(house, await about(house, await a_message(house)))
        for fault in lost:
            house.discord.faults.add(fault)
        sent = await house.dana.submit_modal(form, {"question": "Why a hat?"})
        assert (await told(house, sent)).content.startswith("⚠️")
        assert (await the_last(house, sent, "typed")).content == given_back("Why a hat?")


async def test_of_a_question_without_words_nothing_is_given_back(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="none"):
        form = await opened(house, await about(house, await a_message(house)))
        sent = await house.dana.submit_modal(form, {"question": " "})
        assert (await told(house, sent)).content.startswith("⚠️")
        await the_last(house, await house.dana.submit_modal(form, {"question": "Why a hat?"}), "typed")
        assert len(sent.messages) == 1
        assert "could not be given back" not in caplog.text


async def test_a_picture_that_is_turned_down_later_leaves_a_way_back(empty_house: House, lost: list[Fault]) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="none"):
        form = await opened(house, await picture_this(house, await a_message(house)))
        for fault in lost:
            house.discord.faults.add(fault)
        sent = await house.dana.submit_modal(form, {"prompt": "A dog"})
        assert (await told(house, sent)).content.startswith("⚠️")
        assert labels(await the_last(house, sent, "typed")) == ["Back to the form"]


async def test_a_list_of_words_that_is_refused_is_given_back(house: House) -> None:
    form = await opened(house, await words(house, None))
    sent = await house.admin.submit_modal(form, {"words": "darn\n!!!"})
    said = await told(house, sent)
    assert said.content.startswith("⚠️ `!!!` has no letter or digit that I could look for. Nothing was changed.")
    assert said.content.endswith(given_back("darn\n!!!"))
    assert said.visible_to is house.admin.user


async def test_a_persona_that_the_disk_does_not_take_is_given_back(house: House) -> None:
    form = await opened(house, await persona(house, None))
    with disk_that_takes_nothing(house):
        sent = await house.admin.submit_modal(form, {"persona": "You are Bob."})
        said = await the_last(house, sent, "typed")
    assert said.content.startswith(NO_MEMORY)
    assert said.content.endswith(given_back("You are Bob."))


# Drafts


async def drafts(house: House) -> list[int]:
    """The ids of all drafts on disk."""
    async with snapshot(database_url(house)) as tx:
        return [row["draft_id"] for row in await tx.fetch_all("SELECT draft_id FROM drafts ORDER BY draft_id")]


def content_of(message: Message) -> str:
    """The text of the file that a message carries."""
    [file] = message.attachments
    content = message.channel.world.cdn.content(file)
    assert content is not None
    return content.decode()


async def test_a_question_that_comes_too_late_is_given_back_with_what_to_do(house: House) -> None:
    form = await opened(house, await about(house, await a_message(house)))
    house.discord.clock.advance(LIFE_S + 1)
    said = await told(house, await house.dana.submit_modal(form, {"question": "Why a hat?\nAnd `why` a cat?"}))
    assert said.content == (
        f"{UNKNOWN_MESSAGE} Please choose it again, with Apps > Ask about this in its menu.\n"
        "This is what you typed:\n```\nWhy a hat?\nAnd `why` a cat?\n```"
    )
    assert said.visible_to is house.dana.user
    assert not house.api.requests


@pytest.mark.parametrize("question", ["Why? " * 500, "Why is ```this``` no cat?"])
async def test_a_question_that_fits_no_code_block_is_given_back_as_a_file(house: House, question: str) -> None:
    form = await opened(house, await about(house, await a_message(house)))
    house.discord.clock.advance(LIFE_S + 1)
    said = await told(house, await house.dana.submit_modal(form, {"question": question}))
    assert said.content.endswith("\nWhat you typed is in the file.")
    assert content_of(said) == question


@pytest.mark.parametrize("draft_id", [1, 99_999_999_999_999_999_999])
async def test_a_question_about_nothing_that_is_known_is_given_back(house: House, draft_id: int) -> None:
    sent = submit(house, f"ask:about:{draft_id}", [text("question", "Why?"), box(False)])
    said = await told(house, sent)
    assert said.content.startswith(UNKNOWN_MESSAGE)
    assert "```\nWhy?\n```" in said.content


async def test_nobody_asks_about_what_another_has_chosen(house: House) -> None:
    secret = await house.noam.say(house.channel, "The code is 4711.")
    form = await opened(house, await about(house, secret))
    assert form.modal is not None
    sent = submit(house, form.modal["custom_id"], [text("question", "What?"), box(False)], by=house.noam)
    assert (await told(house, sent)).content.startswith(UNKNOWN_MESSAGE)
    assert not house.api.requests


async def test_a_draft_of_another_kind_is_unknown(house: House) -> None:
    message = await a_way_back(quick(house))
    [draft_id] = await drafts(house)
    sent = submit(house, f"ask:about:{draft_id}", [text("question", "What?"), box(False)])
    assert (await told(house, sent)).content.startswith(UNKNOWN_MESSAGE)
    await opened(house, await back(house, message))


async def test_a_draft_that_another_version_wrote_is_unknown(house: House) -> None:
    message = await a_way_back(quick(house))
    form = await opened(house, await about(house, await a_message(house)))
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db")) as connection, connection:
        connection.execute("UPDATE drafts SET body = '{}'")
    assert (await told(house, await back(house, message))).content == TYPED_AGAIN
    sent = await house.dana.submit_modal(form, {"question": "Why?"})
    assert (await told(house, sent)).content.startswith(UNKNOWN_MESSAGE)


async def test_a_way_back_that_is_taken_too_late_says_so(house: House) -> None:
    message = await a_way_back(quick(house))
    house.discord.clock.advance(LIFE_S + 1)
    assert (await told(house, await back(house, message))).content == TYPED_AGAIN


async def test_a_way_back_is_its_own_persons_alone(house: House) -> None:
    message = await a_way_back(quick(house))
    pressed = await house.noam.click(message, label="Back to the form", tampered=True)
    assert (await told(house, pressed)).content == TYPED_AGAIN


async def test_a_person_has_no_more_drafts_than_the_newest(house: House) -> None:
    message = await a_message(house)
    forms = [await opened(house, await about(house, message)) for _ in range(PER_PERSON + 1)]
    assert await drafts(house) == [form.id for form in forms[1:]]
    sent = await house.dana.submit_modal(forms[0], {"question": "Why a hat?"})
    assert (await told(house, sent)).content.startswith(UNKNOWN_MESSAGE)
    await is_answered(house, await house.dana.submit_modal(forms[1], {"question": "Why a hat?"}))


async def test_what_is_larger_than_any_form_is_given_back_as_a_file(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    others = [text(name, "") for name in ("negative_prompt", "size", "rest")]
    sent = submit(house, "picture:form:edit", [text("prompt", "A dog"), select("model", ["x" * BODY_LIMIT]), *others])
    said = await told(house, sent)
    assert said.content.endswith("\nWhat you typed is in the file.")
    assert content_of(said).startswith("A dog\nModel: xx")
    assert await drafts(house) == []
    assert "unexpected" not in caplog.text


async def test_who_erases_everything_has_no_way_back(house: House) -> None:
    message = await a_way_back(quick(house))
    question = await told(house, await house.dana.slash(house.channel, "privacy erase"))
    await house.dana.click(question, label="Erase")
    await house.discord.wait_until(lambda: "✅ Erased" in question.content)
    assert await drafts(house) == []
    assert (await told(house, await back(house, message))).content == TYPED_AGAIN


async def test_privacy_show_counts_what_is_under_way(house: House) -> None:
    await opened(house, await about(house, await a_message(house)))
    said = await told(house, await house.dana.slash(house.channel, "privacy show"))
    assert "- 1 form under way" in said.content


@contextlib.contextmanager
def disk_that_takes_nothing(house: House) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


async def test_where_the_disk_takes_no_draft_the_form_is_not_opened(house: House) -> None:
    message = await a_message(house)
    with disk_that_takes_nothing(house):
        interaction = await about(house, message)
        assert (await told(house, interaction)).content == NO_MEMORY
        assert interaction.modal is None


async def test_where_the_disk_takes_no_draft_what_was_typed_is_given_back_as_text(house: House) -> None:
    form = await opened(house, await edit(house, await a_picture(quick(house))))
    with disk_that_takes_nothing(house):
        sent = await house.dana.submit_modal(
            form, {"prompt": "A dog", "negative_prompt": "ads", "size": "round", "rest": "count: 2"}
        )
        said = await told(house, sent)
    assert said.content.startswith("⚠️ `size` cannot be `round`.")
    assert said.content.endswith(
        "\nThis is what you typed:\n```\nA dog\nNegative prompt: ads\nModel: realvision\nSize: round\ncount: 2\n```"
    )
    assert labels(said) == []


# Confirmations

CONFIRMATIONS = {
    "Forget": ("history clear", FOLLOW_UP, "Forgotten: 1 turn.", 0),
    "Keep": ("history clear", FOLLOW_UP, "Kept.", 1),
    "Erase": ("privacy erase", CALLBACK, "✅ Erased", 0),
}


@pytest.fixture(params=CONFIRMATIONS)
def label(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def question_of(house: House, interaction: Interaction) -> Message:
    """What asks for the confirmation, once it is seen."""
    message = await house.discord.wait_until(
        lambda: next((m for m in interaction.messages if labels(m)), None), what="a question"
    )
    assert message is not None
    return message


async def press(house: House, question: Message, label: str) -> None:
    """Dana confirms, and it is done as she is told."""
    _, _, said, left = CONFIRMATIONS[label]
    await house.dana.click(question, label=label)
    await house.discord.wait_until(lambda: said in question.content, what=said)
    assert labels(question) == []
    assert len(await turns(house)) == left


async def test_a_confirmation_is_taken_before_discord_has_said_that_it_was_asked_for(house: House, label: str) -> None:
    command, template, *_ = CONFIRMATIONS[label]
    await ask(house, "A question")
    slow = house.discord.faults.hold(Hold(method="POST", template=template, answered=True))
    question = await question_of(house, await house.dana.slash(house.channel, command))
    assert slow.reached.is_set()
    await press(house, question, label)
    slow.let_go()


async def test_a_confirmation_is_taken_after_a_restart(empty_house: House, label: str) -> None:
    house = empty_house
    async with house.running():
        await ask(house, "A question")
        question = await question_of(house, await house.dana.slash(house.channel, CONFIRMATIONS[label][0]))
    async with house.running():
        await press(house, question, label)


async def test_what_is_forgotten_already_is_not_forgotten_again(house: House) -> None:
    await ask(house, "A question")
    first, second = await clearing(house), await clearing(house)
    await press(house, first, "Forget")
    await house.dana.click(second, label="Forget")
    await house.discord.wait_until(lambda: second.content == "There is nothing left to forget.")
    assert labels(second) == []


def rewritten(question: Message, old: str, new: str) -> None:
    """The buttons as an altered client sends them."""
    for row in question.components:
        for button in row["components"]:
            assert old in button["custom_id"]
            button["custom_id"] = button["custom_id"].replace(old, new)


async def clearing(house: House, *, by: Person | None = None, **options: object) -> Message:
    """The question of `/history clear`."""
    return await question_of(house, await (by or house.dana).slash(house.channel, "history clear", **options))


@pytest.mark.parametrize("change", ["another person", "a later time"])
async def test_a_made_up_confirmation_forgets_nothing(house: House, change: str) -> None:
    await ask(house, "To be kept")
    question = await clearing(house)
    if change == "another person":
        rewritten(question, str(house.dana.user.id), str(house.noam.user.id))
    else:
        until = question.components[0]["components"][0]["custom_id"].rpartition(":")[2]
        rewritten(question, until, str(int(until) + 1_000))
    await house.dana.click(question, label="Forget")
    await house.discord.wait_until(lambda: question.content == KEPT_INSTEAD)
    assert labels(question) == []
    assert len(await turns(house)) == 1


async def test_a_member_makes_up_no_right_to_forget_what_others_asked(house: House) -> None:
    await ask(house, "Noam's", by=house.noam)
    await ask(house, "Dana's")
    question = await clearing(house)
    rewritten(question, ":part:", ":all:")
    pressed = await house.dana.click(question, label="Forget")
    said = await told_beside(house, pressed)
    assert said.content == "⚠️ Only members who can manage messages may do that."
    assert len(await turns(house)) == 2


async def told_beside(house: House, pressed: Interaction) -> Message:
    """What somebody is told beside the message whose button they pressed."""
    message = await house.discord.wait_until(
        lambda: next((m for m in pressed.messages if m is not pressed.message and m.content), None), what="words"
    )
    assert message is not None
    return message


async def test_who_moderates_no_more_when_they_confirm_forgets_nothing(house: House) -> None:
    role = house.guild.add_role("Moderators", permissions=Permission.MANAGE_MESSAGES)
    user = house.discord.world.add_user("Mona")
    house.guild.join(user, roles=[role])
    mona = house.discord.person(user)
    await ask(house, "To be kept")
    question = await clearing(house, by=mona)
    role.permissions = Permission(0)
    said = await told_beside(house, await mona.click(question, label="Forget"))
    assert said.content == "⚠️ Only members who can manage messages may do that."
    assert len(await turns(house)) == 1


async def test_what_is_forgotten_is_what_was_asked_though_the_mode_has_changed(house: House) -> None:
    await ask(house, "Shared")
    question = await clearing(house, by=house.admin)
    await told(house, await house.admin.slash(house.channel, "history mode", mode="personal"))
    mine = MemoryKey.personal(house.channel.id, house.admin.user.id)
    await ask(house, "My own", by=house.admin)
    await house.admin.click(question, label="Forget")
    await house.discord.wait_until(lambda: question.content == "Forgotten: 1 turn.")
    assert await turns(house) == ()
    assert len(await turns(house, mine)) == 1


@pytest.mark.parametrize(("which", "what"), [("this channel's", "own"), ("my private one", "private")])
async def test_ones_own_memories_are_forgotten_by_their_own_button(house: House, which: str, what: str) -> None:
    await told(house, await house.admin.slash(house.channel, "history mode", mode="personal"))
    await ask(house, "In private", private=True)
    await ask(house, "My own")
    kept = {
        "own": MemoryKey.private(house.channel.id, house.dana.user.id),
        "private": MemoryKey.personal(house.channel.id, house.dana.user.id),
    }[what]
    question = await clearing(house, which=which)
    await house.dana.click(question, label="Forget")
    await house.discord.wait_until(lambda: question.content == "Forgotten: 1 turn.")
    assert len(await turns(house, kept)) == 1
