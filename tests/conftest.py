"""What holds for all tests: how Hypothesis runs, how soon the API is asked about a picture, and what is garbage."""

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from bot.pictures import drawing
from bot.pictures.polling import pause_s

settings.register_profile("here", deadline=None, print_blob=True)
# The same examples each time in CI, so that a red run there is never news of another change.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Collecting the tests makes some 400,000 objects that all stay: until they are there, nothing is worth looking for.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector look from then on, and only at what the tests make: it else spends a sixth of their time.

    However the collection ends, and also where it is left to workers.
    """
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


POLLS_SOONER = 10
"""Most tests of pictures would wait half a second for their first poll, and for nothing else."""


@pytest.fixture(autouse=True, scope="session")
def sooner_polls() -> Iterator[None]:
    """Ask about pictures ten times as soon; `tests/pictures/test_polling.py` holds how soon it is in truth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "pause_s", lambda elapsed_s, expected_s: pause_s(elapsed_s, expected_s) / POLLS_SOONER)
        yield
