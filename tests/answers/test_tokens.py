import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.tokens import TOKENS_PER_ROLE, TokenCounter, image_tokens, whole_text

EXACT = TokenCounter()
BYTES = TokenCounter(exact=False)
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=200)


def test_counts_are_those_of_the_encoding() -> None:
    assert EXACT.exact
    EXACT.load()
    assert EXACT.count_many(["", "hello world", "שלום עולם", "<|endoftext|>"]) == [0, 2, 2, 7]


def test_a_role_is_one_token() -> None:
    assert {EXACT.count(role) for role in ("developer", "user", "assistant")} == {TOKENS_PER_ROLE}


def test_a_conversation_adds_its_frame_to_the_texts() -> None:
    assert EXACT.count_messages(["hello world", "hello world"]) == 2 * (3 + 1 + 2) + 3


@given(ANY_TEXT)
def test_bytes_are_never_fewer_than_tokens(text: str) -> None:
    assert BYTES.count(text) >= EXACT.count(text)


@given(st.lists(ANY_TEXT, max_size=5))
def test_many_texts_count_as_each_alone(texts: list[str]) -> None:
    assert EXACT.count_many(texts) == [EXACT.count(text) for text in texts]


@given(ANY_TEXT)
def test_whole_text_can_be_encoded_and_leaves_sound_text_alone(text: str) -> None:
    cleaned = whole_text(text)
    cleaned.encode()
    assert whole_text(cleaned) == cleaned
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert cleaned == text


def test_a_lone_surrogate_is_replaced_and_a_pair_joined() -> None:
    assert whole_text("a\ud83db") == "a\ufffdb"
    assert whole_text("\ud83d\ude00") == "😀"


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [  # the first three are the examples of OpenAI's guide
        ((1024, 1024), "high", 765),
        ((2048, 4096), "high", 1105),
        ((4096, 8192), "low", 85),
        ((768, 768), "high", 765),
        ((1024, 768), "high", 765),
        ((1, 2048), "high", 85 + 4 * 170),
        (None, "high", 85 + 8 * 170),
    ],
)
def test_a_picture_costs_by_its_tiles(size: tuple[int, int] | None, detail: str, tokens: int) -> None:
    assert image_tokens("gpt-4o", detail=detail, size=size) == tokens
    assert image_tokens("gpt-4.1-2025-04-14", detail=detail, size=size) == tokens


def test_the_small_model_has_prices_of_its_own() -> None:
    assert image_tokens("gpt-4o-mini", size=(1024, 1024)) == 2_833 + 4 * 5_667
    assert image_tokens("gpt-4o-mini-2024-07-18", detail="low") == 2_833


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(["gpt-4o", "gpt-4o-mini", "gpt-4.1", "other"]))
def test_no_picture_costs_more_than_one_of_unknown_size(width: int, height: int, model: str) -> None:
    cost = image_tokens(model, detail="high", size=(width, height))
    assert image_tokens(model, detail="low") < cost <= image_tokens(model, detail="auto")
    assert cost == image_tokens(model, detail="high", size=(height, width))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_a_picture_without_extent_has_no_price(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        image_tokens("gpt-4o", size=size)
