import logging
from collections.abc import Iterator

import pytest

from bot.ops.logging import _LIBRARY_LEVELS


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """For tests that set up the log: afterwards it is as before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in _LIBRARY_LEVELS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
