"""The log line of a charge."""

import logging

import pytest

from bot.credits.charges import log_charge
from tests.credits.books import NOW, Books, consumed, request


async def test_a_charge_is_logged_under_its_request_with_what_it_came_to_and_not_for_whom(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    await books.ledger.hold(request(1, 100))
    used = consumed(70, estimated=True, prompt_tokens=4, completion_tokens=5, images=2)
    ended = await books.ledger.end(1, "undelivered", used, at=NOW)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        log_charge(ended.entry)
    [line] = caplog.records
    assert line.getMessage() == "charged (undelivered)"
    facts = {
        "request_id": 1,
        "kind": "chat",
        "model": "gpt-4o-mini",
        "user_nano": 0,
        "provider_nano": 70,
        "estimated": True,
        "prompt_tokens": 4,
        "completion_tokens": 5,
        "images": 2,
    }
    usual = vars(logging.makeLogRecord({})).keys() | {"message"}
    assert {name: value for name, value in vars(line).items() if name not in usual} == facts
