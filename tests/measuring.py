"""Coverage in the processes that tests start: those are measured too, where the tests themselves are."""

import os
from collections.abc import Sequence


def coverages_variables() -> dict[str, str]:
    """For an environment that a test makes from nothing: what coverage has set in ours so that whatever Python we start
    is measured (`patch = ["subprocess"]` in pyproject.toml). Nothing where nobody measures."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def measured(command: Sequence[str]) -> list[str]:
    """`command` with those variables, for one that starts it with a cleaned environment."""
    variables = [f"{name}={value}" for name, value in coverages_variables().items()]
    return ["env", *variables, *command] if variables else list(command)
