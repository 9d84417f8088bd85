"""Rules of cancelling what the API draws already: some are free, and for whoever goes on there is a pause."""

import pytest

from bot.errors import TooFast
from bot.pictures.cancels import FREE, REMEMBERED, WINDOW_S, Cancels

DANA, NOAM = 1, 2


def test_after_so_many_there_is_a_pause_until_the_oldest_is_over():
    cancels = Cancels()
    for number in range(FREE):
        cancels.check(DANA, float(number))
        cancels.note(DANA, float(number))
    with pytest.raises(TooFast) as caught:
        cancels.check(DANA, 100.0)
    assert caught.value.retry_after_s == WINDOW_S - 100.0
    cancels.check(NOAM, 100.0)
    cancels.check(DANA, WINDOW_S)
    cancels.note(DANA, WINDOW_S)
    with pytest.raises(TooFast):
        cancels.check(DANA, WINDOW_S)


def test_what_is_remembered_has_a_bound():
    cancels = Cancels()
    for _ in range(FREE):
        cancels.note(DANA, 0.0)
    with pytest.raises(TooFast):
        cancels.check(DANA, 2.0)
    for user_id in range(NOAM, NOAM + REMEMBERED):
        cancels.note(user_id, 1.0)
    cancels.check(DANA, 2.0)
