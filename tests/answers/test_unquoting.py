"""Rules of what the API says about an error, on its way into the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.conversing import QUOTE_MARK, unquoting
from bot.minitoolai.chat import ChatRequest, Message

WITHHELD = "(its words are withheld: they quote the conversation)"


def request(*texts: str) -> ChatRequest:
    messages = (
        Message(role="developer", text="You are a helpful assistant."),
        *(Message(role="user", text=text) for text in texts),
    )
    return ChatRequest(model="gpt-4o", messages=messages, temperature=1.0, max_completion_tokens=9)


@pytest.mark.parametrize(
    "detail",
    [
        "invalid content: Where is the treasure of the Sierra Madre?",
        "near 'treasure of the Sierra'",
        "the text 'hush!' is not allowed",
    ],
)
def test_words_that_quote_the_conversation_are_withheld(detail: str) -> None:
    assert unquoting(detail, request("hush!", "Where is the treasure of the Sierra Madre?")) == WITHHELD


@pytest.mark.parametrize("detail", ["", "max_completion_tokens is too large", "You are a helpful assistant."])
def test_other_words_are_kept(detail: str) -> None:
    assert unquoting(detail, request("Where is the treasure?")) == detail


@given(before=st.text(max_size=30), text=st.text(min_size=QUOTE_MARK, max_size=60), after=st.text(max_size=30))
def test_no_question_gets_through_whole(before: str, text: str, after: str) -> None:
    assert text not in unquoting(before + text + after, request(text)) or text in WITHHELD
