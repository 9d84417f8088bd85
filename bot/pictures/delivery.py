"""Where an order is shown: its reply by the interaction's token, then by the bot's own routes, then a direct message.

Delivering is idempotent: in the reply it is one edit that replaces whatever files are there, and in direct messages a
look at the newest messages comes before each repetition.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from bot.delivery.messages import Outgoing, Sent, Urgency
from bot.delivery.rest import DiscordRest
from bot.delivery.surfaces import InteractionSurface
from bot.errors import DeliveryError, DeliveryForbidden, DeliveryUnavailable, MessageGone, TokenExpired
from bot.pictures import showing
from bot.pictures.orders import Stored, asked_at
from bot.pictures.showing import Misplaced

log = logging.getLogger(__name__)

TOKEN_LIFE_S: Final = 15 * 60
"""Source: Discord's reference, "Receiving and Responding"."""
DM_UPLOAD_LIMIT_BYTES: Final = 10 * 1024 * 1024
"""What Discord takes for one file in direct messages, whatever a server's boosts allow."""
LOOK_BACK: Final = 50
"""How many of the newest direct messages are looked through for an order's files: an order is a matter of minutes."""
GRACE_S: Final = 1.0
"""How long an edit of the progress that is on its way is awaited before the next state is sent."""
OVERDUE_S: Final = 10.0
"""How long it is awaited after that, which is as long as a request may take: landing late, it would show progress in
place of the end."""
BUSY_S: Final = 2.0
"""Between two edits of the progress."""
PATIENT_S: Final = 5.0
LATE_S: Final = 30.0
"""From here on an order's progress is shown every `PATIENT_S`."""
CHANNEL_S: Final = 12.0
"""The same by the channel's routes, whose edits everybody in the channel shares."""
FAILURES_BORNE: Final = 5

Make = Callable[[int, Misplaced | None], Awaitable[Outgoing]]
"""The message to deliver, in files of so many bytes each at most, and why it goes to direct messages, if it does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """Where an order's pictures stand, and how many of them."""

    channel_id: int
    message_id: int
    images: int
    by_dm: bool


class Display:
    """Shows one order. `now` gives unix seconds by Discord's clock.

    `note_dm` is awaited with the channel of the owner's direct messages before anything is posted there.
    """

    def __init__(
        self,
        rest: DiscordRest,
        stored: Stored,
        *,
        now: Callable[[], float],
        note_dm: Callable[[int], Awaitable[None]],
    ) -> None:
        order = stored.order
        self._rest = rest
        self._order = order
        self._now = now
        self._note_dm = note_dm
        self._dm_channel_id = stored.dm_channel_id
        self._dm_tried = stored.dm_channel_id is not None
        self._lost: Misplaced | None = None
        self._surface = InteractionSurface(
            rest,
            application_id=order.application_id,
            token=order.token,
            channel_id=order.place.channel_id,
            ephemeral=order.private,
            expires_at=asked_at(order.id).timestamp() + TOKEN_LIFE_S if order.token else float("-inf"),
            bot_present=order.place.bot_present,
            clock=now,
            known=(Sent(channel_id=order.place.channel_id, message_id=order.message_id),),
        )

    @property
    def by_token(self) -> bool:
        """Whether edits still go by the interaction's token."""
        return self._surface.by_token

    @property
    def reply_lost(self) -> bool:
        """Whether the reply is gone, or out of reach."""
        return self._lost is not None

    def give_up_reply(self) -> None:
        """What is delivered from now on goes to direct messages."""
        self._lost = self._lost or "forbidden"

    async def edit(self, render: Callable[[], Outgoing], urgency: Urgency) -> None:
        """Show something without files in the reply.

        Raises:
            DeliveryError: it does not get there.
        """
        await self._surface.write(0, render, urgency)

    async def deliver(self, make: Make) -> Arrived:
        """Show the pictures, once, wherever they get through.

        Raises:
            DeliveryUnavailable: worth another try later: see `give_up_reply` for when that has lasted.
            DeliveryError: nothing reaches the reply, nor its owner.
        """
        if self._lost is None:
            outgoing = await make(self._order.upload_limit_bytes, None)
            try:
                sent = await self._surface.write(0, lambda: outgoing, Urgency.FINAL)
            except (MessageGone, DeliveryForbidden, TokenExpired) as error:
                log.info("the reply cannot be reached (%s): delivered by direct message", type(error).__name__)
                self._lost = "gone" if isinstance(error, MessageGone) else "forbidden"
            else:
                return _arrived(sent, outgoing, by_dm=False)
        return await self._deliver_by_dm(make, self._lost)

    async def _deliver_by_dm(self, make: Make, why: Misplaced) -> Arrived:
        channel_id = await self._open_dm()
        if self._dm_tried and (found := await self._own_in_dm(channel_id)) is not None:
            return found
        outgoing = await make(min(self._order.upload_limit_bytes, DM_UPLOAD_LIMIT_BYTES), why)
        self._dm_tried = True
        # At most 25 characters. Discord remembers it for minutes: a message that the look above came too early for.
        nonce = f"p{self._order.id}"
        sent = await self._rest.create_message(channel_id, lambda: outgoing, Urgency.FINAL, nonce=nonce)
        return _arrived(sent, outgoing, by_dm=True)

    async def tell_by_dm(self, outgoing: Outgoing) -> None:
        """Say something to the owner whose reply is out of reach.

        Raises:
            DeliveryError: that does not get there either.
        """
        channel_id = self._dm_channel_id or await self._rest.create_dm(self._order.asker.id)
        nonce = f"e{self._order.id}"
        await self._rest.create_message(channel_id, lambda: outgoing, Urgency.FINAL, nonce=nonce)

    async def _open_dm(self) -> int:
        if self._dm_channel_id is None:
            channel_id = await self._rest.create_dm(self._order.asker.id)
            await self._note_dm(channel_id)
            self._dm_channel_id = channel_id
        return self._dm_channel_id

    async def find(self) -> Arrived | None:
        """Where the order's files have arrived already, as an earlier try may have left them. None: nowhere.

        Raises:
            DeliveryUnavailable: nobody can tell now.
        """
        with contextlib.suppress(MessageGone, DeliveryForbidden, TokenExpired):
            message = await self._read_reply()
            if message is not None and (own := self._own_files(message)):
                return Arrived(
                    channel_id=self._order.place.channel_id,
                    message_id=self._order.message_id,
                    images=own,
                    by_dm=False,
                )
        if self._dm_tried and self._dm_channel_id is not None:
            with contextlib.suppress(MessageGone, DeliveryForbidden):
                return await self._own_in_dm(self._dm_channel_id)
        return None

    async def _read_reply(self) -> dict[str, Any] | None:
        """The reply as it stands; None where no route reads it."""
        order = self._order
        if self.by_token:
            with contextlib.suppress(TokenExpired):
                return await self._rest.get_webhook_message(order.application_id, order.token, "@original")
        if order.private or not order.place.bot_present:
            return None
        return await self._rest.get_message(order.place.channel_id, order.message_id)

    async def _own_in_dm(self, channel_id: int) -> Arrived | None:
        for message in await self._rest.newest_messages(channel_id, limit=LOOK_BACK):
            if own := self._own_files(message):
                return Arrived(channel_id=channel_id, message_id=int(message["id"]), images=own, by_dm=True)
        return None

    def _own_files(self, message: dict[str, Any]) -> int:
        names = [str(file.get("filename", "")) for file in message.get("attachments", ())]
        return sum(showing.is_own_file(self._order, name) for name in names)


def _arrived(sent: Sent, outgoing: Outgoing, *, by_dm: bool) -> Arrived:
    return Arrived(
        channel_id=sent.channel_id, message_id=sent.message_id, images=len(outgoing.uploads or ()), by_dm=by_dm
    )


class _Quiet(Exception):
    """There is no more progress to show."""


class Progress:
    """Keeps a reply showing how its order stands, until it is told to be quiet. Nothing waits for it.

    `render` gives the newest state at the moment when it may be sent. Used as an async context manager, whose end stops
    it. No failure of it hurts the order. `begun`: its message shows something already, which an earlier process wrote
    and this one's memory of Discord's limits does not know of.
    """

    def __init__(self, display: Display, render: Callable[[], Outgoing], *, begun: bool = False) -> None:
        self._display = display
        self._render = render
        self._begun = begun
        self._in_flight = False
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self.overdue = False
        """Whether an edit is on its way still, and may land at any time, once it is told to be quiet."""

    async def __aenter__(self) -> "Progress":
        self._task = asyncio.create_task(self._run(), name="progress of an order")
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._stopped:
            await self.quiet()
        await self._end()

    async def quiet(self) -> None:
        """Show no more. An edit that is on its way is awaited for `GRACE_S`; see `overdue`, and `settled`."""
        self._stopped = True
        task = self._task
        if task is None or task.done():
            return
        if self._in_flight:
            await asyncio.wait({task}, timeout=GRACE_S)
            self.overdue = not task.done()
        else:
            await self._end()

    async def settled(self) -> None:
        """Wait until the edit that was on its way has landed, or is given up."""
        assert self._task is not None, "it was entered"
        await asyncio.wait({self._task}, timeout=OVERDUE_S)
        await self._end()

    async def _end(self) -> None:
        assert self._task is not None, "it was entered"
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began, failures, urgency = loop.time(), 0, Urgency.FIRST
        if self._begun:
            await asyncio.sleep(BUSY_S)
        while not self._stopped:
            try:
                await self._display.edit(self._render_now, urgency)
            except _Quiet:
                return
            except DeliveryUnavailable:
                failures += 1
                if failures > FAILURES_BORNE:
                    return
            except DeliveryError as error:
                log.info("an order's progress is shown no more: %s", type(error).__name__)
                return
            finally:
                self._in_flight = False
            urgency = Urgency.GROWTH
            if not self._stopped:  # else nobody waits for the pause
                await asyncio.sleep(self._pause_s(loop.time() - began) * (1 + failures))

    def _render_now(self) -> Outgoing:
        if self._stopped:  # between two attempts: the next would come after what is to stay
            raise _Quiet
        state = self._render()
        self._in_flight = True
        return state

    def _pause_s(self, elapsed_s: float) -> float:
        if not self._display.by_token:
            return CHANNEL_S
        return BUSY_S if elapsed_s < LATE_S else PATIENT_S
