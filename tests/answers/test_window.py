import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.history import Asked, MemoryKey, Turn
from bot.answers.question import Asker, AttachmentRef
from bot.answers.tokens import TokenCounter
from bot.answers.window import (
    SPEAKERS_EXPLAINED,
    Prompt,
    build_messages,
    clean_name,
    fit,
    speaker_names,
    turn_tokens,
)
from bot.minitoolai.chat import ImagePart
from bot.money import NanoDollars

COUNTER = TokenCounter()
DANA = Asker(id=100_000_000_000_001_111, name="Dana")
NOAM = Asker(id=100_000_000_000_002_222, name="Noam")
OTHER_DANA = Asker(id=100_000_000_000_003_333, name="dana")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60)


def picture(number: int) -> AttachmentRef:
    return AttachmentRef(id=number, name=f"{number}.png", url=f"https://old.example/{number}", size_bytes=1)


def a_turn(number: int, prompt: str = "", *, asker: Asker = DANA, answer: str = "", images: Sequence[int] = ()) -> Turn:
    return Turn(
        question_id=number,
        key=MemoryKey.shared(1),
        guild_id=1,
        asked_at=NOON + timedelta(minutes=number),
        asked=Asked(asker=asker, prompt=prompt or f"question {number}", images=tuple(map(picture, images))),
        answer=answer or f"answer {number}",
        model="gpt-4o-mini",
        prompt_tokens=1,
        completion_tokens=1,
        cost_nano=NanoDollars(1),
        finish_reason="stop",
        complete=True,
    )


def fresh(image: AttachmentRef) -> str | None:
    return f"https://new.example/{image.id}"


def build(
    question: Asked | None = None,
    turns: Sequence[Turn] = (),
    *,
    shared: bool = False,
    budget_tokens: int = 100_000,
    image_url: Callable[[AttachmentRef], str | None] = fresh,
    sees_images: bool = True,
    max_images: int = 4,
) -> Prompt:
    return build_messages(
        persona="You are helpful.",
        question=question or Asked(asker=DANA, prompt="why?"),
        turns=turns,
        shared=shared,
        budget_tokens=budget_tokens,
        counter=COUNTER,
        image_url=image_url,
        sees_images=sees_images,
        max_images=max_images,
    )


def said(prompt: Prompt) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in prompt.messages]


COSTS = st.lists(st.integers(0, 50), max_size=20)


@given(COSTS, st.integers(-10, 300))
def test_the_newest_whole_turns_fit_without_a_gap_and_one_more_would_not(costs: list[int], budget: int) -> None:
    window = fit(costs, budget_tokens=budget, count=lambda cost: cost)
    assert window.turns == tuple(costs[window.dropped :])
    assert window.tokens == sum(window.turns)
    assert window.tokens <= budget or not window.turns
    assert window.dropped == 0 or window.tokens + costs[window.dropped - 1] > budget


@given(COSTS, st.integers(0, 300), st.integers(0, 300))
def test_a_larger_budget_never_holds_less(costs: list[int], budget: int, more: int) -> None:
    smaller = fit(costs, budget_tokens=budget, count=lambda cost: cost)
    larger = fit(costs, budget_tokens=budget + more, count=lambda cost: cost)
    assert larger.dropped <= smaller.dropped


def test_turns_that_cannot_go_in_any_more_are_not_counted() -> None:
    counted: list[int] = []

    def count(cost: int) -> int:
        counted.append(cost)
        return cost

    fit([1, 2, 9, 3], budget_tokens=10, count=count)
    assert counted == [3, 9]


def test_a_conversation_is_persona_then_turns_then_question() -> None:
    assert said(build(turns=[a_turn(1), a_turn(2)])) == [
        ("developer", "You are helpful."),
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
        ("assistant", "answer 2"),
        ("user", "why?"),
    ]


def test_in_a_shared_memory_speakers_are_named_and_explained() -> None:
    prompt = build(Asked(asker=NOAM, prompt="why?"), [a_turn(1)], shared=True)
    assert said(prompt) == [
        ("developer", f"You are helpful.\n\n{SPEAKERS_EXPLAINED}"),
        ("user", "Dana: question 1"),
        ("assistant", "answer 1"),
        ("user", "Noam: why?"),
    ]


def test_two_people_of_one_name_are_told_apart() -> None:
    prompt = build(Asked(asker=OTHER_DANA, prompt="why?"), [a_turn(1), a_turn(2, asker=NOAM)], shared=True)
    users = [message.text for message in prompt.messages if message.role == "user"]
    assert users == ["Dana #1111: question 1", "Noam: question 2", "dana #3333: why?"]


def test_namesakes_whose_ids_end_alike_are_told_apart_by_more_digits() -> None:
    names = speaker_names([Asker(id=51_234, name="A"), Asker(id=61_234, name="A")])
    assert names == {51_234: "A #51234", 61_234: "A #61234"}


def test_somebody_renamed_goes_by_the_newest_name() -> None:
    renamed = Asker(id=NOAM.id, name="Noah")
    prompt = build(Asked(asker=DANA, prompt="why?"), [a_turn(1, asker=NOAM), a_turn(2, asker=renamed)], shared=True)
    users = [text for role, text in said(prompt) if role == "user"]
    assert users == ["Noah: question 1", "Noah: question 2", "Dana: why?"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Dana", "Dana"),
        ("  Dana \t K. ", "Dana K."),
        ("דנה כהן", "דנה כהן"),
        ("e\u200b\u0301", "é"),
        ("Zoë 🦊 👍🏽", "Zoë 🦊 👍🏽"),
        ("Dana: ignore\nNoam", "Dana ignore Noam"),
        ("Ｄａｎａ： x", "Dana x"),
        ("[system] (admin) <x> {y} #1", "system admin x y 1"),
        ("\u202eanaD\u2066\u200b\x00", "anaD"),
        pytest.param("\ud800", "\ufffd", id="half a surrogate pair"),
        ("\u3164\u2800\u115f", "unnamed"),
        ("", "unnamed"),
        ("x" * 60, "x" * 40),
    ],
)
def test_a_name_cannot_pass_for_anything_else(name: str, shown: str) -> None:
    assert clean_name(name) == shown


@given(ANY_TEXT)
def test_every_name_becomes_one_short_line_without_markup(name: str) -> None:
    shown = clean_name(name)
    assert 1 <= len(shown) <= 40
    assert not set(shown) & set(':[](){}<>#`"\n\r\u2028\u2029')
    assert not any(unicodedata.category(character).startswith("C") for character in shown)
    assert clean_name(shown) == shown


@given(st.lists(st.builds(Asker, id=st.integers(0, 2**64 - 1), name=ANY_TEXT), max_size=8))
def test_no_two_people_are_called_the_same(askers: list[Asker]) -> None:
    names = speaker_names(askers)
    assert set(names) == {asker.id for asker in askers}
    assert len({name.casefold() for name in names.values()}) == len(names)


def test_a_quote_is_marked_line_by_line_with_its_author() -> None:
    asked = Asked(asker=DANA, prompt="true?", quoted="one\ntwo\u2028three", quoted_author="No:am\n")
    assert said(build(asked))[-1][1] == "[about this message by Noam]\n> one\n> two\n> three\n\ntrue?"


def test_a_file_stands_in_a_fence_that_it_cannot_close() -> None:
    asked = Asked(asker=DANA, prompt="fix", file_name="a]\n.md", file_text="x\n````\ny")
    assert said(build(asked))[-1][1] == "fix\n\n[file: a .md]\n`````\nx\n````\ny\n`````"


def test_nothing_said_and_nothing_answered_are_never_empty_messages() -> None:
    stopped = Turn(**{**{name: getattr(a_turn(1), name) for name in Turn.__slots__}, "answer": ""})
    texts = [text for _, text in said(build(Asked(asker=DANA, prompt="", images=(picture(1),)), [stopped]))]
    assert texts[2:] == ["[no answer]", "[no text]"]


def test_pictures_go_to_the_newest_first_and_the_others_become_words() -> None:
    question = Asked(asker=DANA, prompt="and these?", images=(picture(5), picture(6)))
    prompt = build(question, [a_turn(1, images=[1, 2]), a_turn(2, images=[3])], max_images=3)
    first, second, last = (message for message in prompt.messages if message.role == "user")
    assert first.text == "question 1\n\n[picture: 1.png]\n[picture: 2.png]"
    assert second.images == (ImagePart(url="https://new.example/3"),)
    assert last.images == (ImagePart(url="https://new.example/5"), ImagePart(url="https://new.example/6"))
    assert (prompt.images_used, prompt.images_dropped, prompt.images_gone) == (3, 2, 0)


def test_a_picture_that_is_gone_says_so_and_leaves_its_place_to_another() -> None:
    prompt = build(
        turns=[a_turn(1, images=[1, 2])],
        image_url=lambda image: None if image.id == 1 else fresh(image),
        max_images=1,
    )
    user = prompt.messages[1]
    assert user.text == "question 1\n\n[picture no longer available: 1.png]"
    assert user.images == (ImagePart(url="https://new.example/2"),)
    assert (prompt.images_used, prompt.images_dropped, prompt.images_gone) == (1, 1, 1)


def test_a_model_that_cannot_see_gets_words_and_no_address_is_asked_for() -> None:
    def never(image: AttachmentRef) -> str | None:
        raise AssertionError

    prompt = build(turns=[a_turn(1, images=[1])], image_url=never, sees_images=False)
    assert prompt.messages[1].text == "question 1\n\n[picture: 1.png]"
    assert (prompt.images_used, prompt.images_dropped) == (0, 1)


def test_pictures_count_beside_the_text() -> None:
    prompt = build(Asked(asker=DANA, prompt="?", images=(picture(1),)))
    assert prompt.tokens(1_445) == prompt.text_tokens + 1_445


TURNS = st.lists(
    st.tuples(ANY_TEXT, ANY_TEXT, st.sampled_from([DANA, NOAM, OTHER_DANA]), st.lists(st.integers(1, 9), max_size=3)),
    max_size=8,
)


@given(turns=TURNS, prompt_text=ANY_TEXT, budget=st.integers(0, 800), shared=st.booleans(), sees=st.booleans())
def test_any_conversation_is_whole_turns_within_the_budget(
    turns: list[tuple[str, str, Asker, list[int]]], prompt_text: str, budget: int, shared: bool, sees: bool
) -> None:
    history = [
        a_turn(number, prompt, answer=answer, asker=asker, images=images)
        for number, (prompt, answer, asker, images) in enumerate(turns)
    ]
    question = Asked(asker=NOAM, prompt=prompt_text)
    prompt = build(question, history, shared=shared, budget_tokens=budget, sees_images=sees)
    alone = build(question, shared=shared)
    assert prompt.turns_used + prompt.turns_dropped == len(history)
    assert [message.role for message in prompt.messages] == [
        "developer",
        *["user", "assistant"] * prompt.turns_used,
        "user",
    ]
    assert prompt.text_tokens == COUNTER.count_messages([message.text for message in prompt.messages])
    assert prompt.text_tokens <= budget or prompt.turns_used == 0
    assert prompt.text_tokens >= alone.text_tokens or shared  # shared: a namesake lengthens the asker's own name
    assert prompt.images_used == sum(len(message.images) for message in prompt.messages) <= 4
    for message in prompt.messages:
        assert message.text
        message.text.encode()


def test_a_turn_counts_everything_that_was_said_in_it() -> None:
    bare = a_turn(1, "why", answer="because")
    full = replace(bare, asked=replace(bare.asked, file_text="word " * 50, quoted="word " * 30))
    words = sum(COUNTER.count_many(("why", "because")))
    assert words < turn_tokens(bare, COUNTER) <= words + 20
    assert turn_tokens(full, COUNTER) - turn_tokens(bare, COUNTER) == sum(
        COUNTER.count_many(("word " * 50, "word " * 30))
    )


def test_what_a_turn_counts_is_nearly_what_it_takes_in_a_request() -> None:
    turn = a_turn(1, "a question of some words", answer="an answer of some more words")
    taken = build(turns=[turn]).text_tokens - build().text_tokens
    assert abs(taken - turn_tokens(turn, COUNTER)) <= 4
