"""What happens in the bot, told to whoever counts it: one word from where it happens, and no library behind it."""

from typing import Final, Literal

ApiOperation = Literal["chat", "stream", "submit", "poll"]
"""What the API is asked for. A `chat` ends well with the first byte of its answer, and its `stream` begins there."""
GatewayEvent = Literal["ready", "resumed", "lost"]


class Observer:
    """Does nothing itself; `bot/ops/metrics.py` counts.

    Every method returns at once, never raises, and is called on the event loop. Durations are seconds. No argument is
    an id or somebody's words: labels made of them have to stay few.
    """

    # Answers

    def first_words_shown(self, after_s: float) -> None:
        """Discord shows the first words of an answer, so long after Discord took the question."""

    def words_shown(self, age_s: float) -> None:
        """Discord took an edit that shows new words; the oldest of them had waited so long since the API said them."""

    def answer_whole(self, after_s: float) -> None:
        """An answer stands as it will stay, so long after the API's last word."""

    def failed(self, cause: str) -> None:
        """An error came to the one door; `cause` is its class in `bot.errors`, or `unexpected`."""

    # Discord

    def interaction_acknowledged(self, after_s: float) -> None:
        """Discord took the first response to an interaction, so long after it made it."""

    def discord_answered(self, route: str, status: int, took_s: float) -> None:
        """A request was answered. `route` is its method and path without ids; `status` is 0 where no answer came."""

    def rate_limit_waited(self, urgency: str, waited_s: float) -> None:
        """A request of ours had its leave to be sent after so long."""

    def gateway(self, event: GatewayEvent) -> None:
        """A shard's session began, went on, or lost its connection."""

    # The API

    def api_answered(self, operation: ApiOperation, cause: str | None, took_s: float) -> None:
        """A request ended; `cause` is the error's class, None where there was none."""

    # The database and the loop

    def write_waited(self, waited_s: float) -> None:
        """A write is on disk so long after it was asked for, its wait in line included."""

    def group_committed(self, operations: int, took_s: float) -> None:
        """So many writes shared one commit, which took so long from its first statement."""

    def loop_lagged(self, lag_s: float) -> None:
        """A timer of the event loop rang so much too late."""


SILENT: Final = Observer()
"""For those whom nobody counts."""
