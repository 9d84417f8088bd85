"""The doors to pictures: an order, the buttons below it, and what happens to open orders at a start and an end."""

from bot.answers.journey import Words
from bot.answers.question import Asker
from bot.pictures.orders import Stored
from bot.pictures.request import Order, Picture


class Pictures:
    """Takes orders of pictures and answers for them until they are delivered or paid back. One for each process."""

    def check(self, picture: Picture, asker: Asker) -> None:
        """Refuse at first sight, before anything is promised.

        Raises:
            UnknownModel: the catalogue has no such model.
            LineFull, Overloaded: as many orders as configured wait, or the bot is stopping.
        """
        raise NotImplementedError

    async def order(self, order: Order, words: Words) -> None:
        """Hold the price of all its pictures, write the order down, and see to it from here on: its message is shown
        and kept by the runner. Returns once it is on disk. The same interaction twice is one order.

        Raises:
            UnknownModel, LineFull, Overloaded: as `check`.
            CreditsError: the asker, the server or the bot cannot pay for it.
            StorageError: nothing was held.
        """
        raise NotImplementedError

    async def cancel(self, order_id: int, *, by: int, at: int, moderator: bool) -> None:
        """End an order that is not being uploaded; its credits go back, and its message says so at once.

        Raises:
            NothingToRepeat: it is not known in this channel.
            NotPermitted: neither who asked nor a moderator.
            TooLate: it has ended, or its pictures are on their way.
        """
        raise NotImplementedError

    async def stored(self, order_id: int, *, by: int, at: int) -> Stored:
        """The order and its state, for its buttons; for years.

        Raises:
            NothingToRepeat: it is not known in this channel, was deleted, or is somebody else's private one.
        """
        raise NotImplementedError

    async def delete(self, order_id: int, *, by: int, at: int, moderator: bool) -> tuple[tuple[int, int], ...]:
        """End the order if it is still going, and forget what was asked; returns its messages as (channel id, message
        id) for the caller to delete.

        Raises:
            NothingToRepeat, NotPermitted: as `cancel`.
            TooLate: its pictures are on their way, and can be deleted in a moment.
        """
        raise NotImplementedError

    async def resume(self, words: Words) -> None:
        """Go on with what an earlier process left, once Discord is ready. Called again it does nothing."""
        raise NotImplementedError

    async def close(self) -> None:
        """Take no more orders and leave the open ones, as they are on disk, to the next start."""
        raise NotImplementedError
