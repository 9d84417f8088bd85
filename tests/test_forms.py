"""What is read of a submitted form, whatever an altered client makes of it, and what of it is given back."""

from typing import Any

import pytest
from discord.utils import MISSING
from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.messages import CONTENT_LIMIT, utf16_length
from bot.errors import FormUnreadable
from cogs.forms import FIELDS_LIMIT, TEXT_LIMIT, Fields, with_typed
from cogs.imagine_forms import Kept, Typed

NAMES = st.sampled_from(["prompt", "model", "only_me"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "custom_id", "value", "values", "component", "components"]), inner)
    ),
    max_leaves=20,
)
FIELD = st.fixed_dictionaries(
    {"type": st.sampled_from([3, 4, 23]), "custom_id": NAMES},
    optional={"value": ANYTHING, "values": ANYTHING},
)
LABEL = st.fixed_dictionaries({"type": st.just(18), "component": FIELD | ANYTHING})
ROW = st.fixed_dictionaries({"type": st.just(1), "components": st.lists(FIELD | ANYTHING, max_size=3)})


@given(components=st.lists(LABEL | ROW | FIELD | ANYTHING, max_size=5) | ANYTHING)
def test_whatever_is_sent_is_a_value_of_its_kind_or_unreadable(components: object) -> None:
    fields = Fields.read({"components": components})
    assert isinstance(fields.typed, str)
    for read, kinds in ((fields.text, str), (fields.chosen, str | None), (fields.checked, bool)):
        for name in ("prompt", "model", "only_me"):
            try:
                value = read(name)
            except FormUnreadable:
                continue
            assert isinstance(value, kinds)


def label(**field: Any) -> dict[str, Any]:
    return {"type": 18, "id": 1, "component": {"id": 2, **field}}


def test_what_was_left_empty_may_come_as_nothing() -> None:
    fields = Fields.read(
        {
            "components": [
                label(type=4, custom_id="prompt", value=None),
                label(type=4, custom_id="rest"),
                label(type=3, custom_id="model", values=[]),
                label(type=23, custom_id="only_me", value=None),
            ]
        }
    )
    assert (fields.text("prompt"), fields.text("rest")) == ("", "")
    assert fields.chosen("model") is None
    assert not fields.checked("only_me")
    assert fields.typed == ""


def test_no_more_is_read_than_a_form_can_have() -> None:
    fields = Fields.read(
        {"components": [label(type=4, custom_id=str(n), value="x" * 10_000) for n in range(10 * FIELDS_LIMIT)]}
    )
    assert len(fields.by_id) == FIELDS_LIMIT
    assert len(fields.typed) <= FIELDS_LIMIT * (TEXT_LIMIT + 2)


def test_what_was_typed_is_in_no_log() -> None:
    assert "secret" not in repr(Fields.read({"components": [label(type=4, custom_id="a", value="secret")]}))


# Giving back


@given(words=st.just("⚠️ Too late.") | st.just(""), typed=st.text(st.sampled_from("a `\n𝕏"), max_size=30))
def test_what_is_given_back_is_what_was_typed(words: str, typed: str) -> None:
    content, file = with_typed(words, typed)
    if not typed.strip():
        assert (content, file) == (words, MISSING)
    elif file is MISSING:
        assert content.endswith(f"```\n{typed}\n```")
        assert content.count("```") == 2
    else:
        assert file.fp.read().decode() == typed


@pytest.mark.parametrize("length", [1_900, 1_950, 2_000, 4_000, 80_000])
def test_what_is_given_back_fits_into_a_message(length: int) -> None:
    content, file = with_typed("⚠️ Too late.", "𝕏" * (length // 2))
    assert utf16_length(content) <= CONTENT_LIMIT
    assert (file is MISSING) == (length < 2_000)


texts = st.text("ab: \n", max_size=30)
typed = st.builds(Typed, prompt=texts, negative_prompt=texts, model=texts, size=texts, rest=texts)


@given(typed=typed, form=st.sampled_from(["edit", "menu"]))
def test_what_is_kept_of_a_form_is_all_of_it(typed: Typed, form: str) -> None:
    kept = Kept(form=form, typed=typed)
    assert Kept.from_draft(kept.body()) == kept
    assert all(text in typed.text for text in (typed.prompt, typed.negative_prompt, typed.model, typed.rest))
