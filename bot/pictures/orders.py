"""Picture orders on disk. Owns `picture_orders` and `pictures`, and with them all that a later process has to know.

Every function takes an open transaction, so that a caller can join it with the ledger's writes: an order's row appears
with its hold, and its last state with the end of that hold. What must not happen twice is decided by the condition of
one UPDATE.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson

from bot.answers.question import Asker, Place
from bot.credits import ledger
from bot.credits.rules import Consumed, Reason
from bot.credits.values import from_us, to_us
from bot.minitoolai.events import well_formed
from bot.minitoolai.images import JobRef
from bot.money import NO_MONEY, NanoDollars
from bot.pictures.request import Order, Picture
from bot.storage.database import Row, Tx

Going = Literal["waiting", "open", "uploading"]
End = Literal["delivered", "failed", "cancelled", "undelivered", "deleted"]
State = Going | End
PictureState = Literal["new", "submitted", "ready", "failed"]

GOING: Final[tuple[Going, ...]] = ("waiting", "open", "uploading")

_SNOWFLAKE_EPOCH: Final = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """One picture of an order, as far as it has come. `tries` counts submissions that the API may have taken.

    `job` and `submitted_at` are None until the API has answered a submission, `image_url` until it is ready; `took_ms`
    is the time between the two.
    """

    number: int
    state: PictureState = "new"
    tries: int = 0
    job: JobRef | None = None
    submitted_at: datetime | None = None
    image_url: str | None = field(default=None, repr=False)
    took_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An order with what has become of it. `image_nano` is the price of one picture, as it was when it was ordered.

    `images` were delivered. `dm_channel_id` is the owner's direct messages once it is to be delivered there, and
    `dm_message_id` the message that shows it. `untold` are words about its end that no message shows yet.
    """

    order: Order
    state: State
    image_nano: NanoDollars
    asked_at: datetime
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    images: int = 0
    dm_channel_id: int | None = None
    dm_message_id: int | None = None
    untold: str | None = None
    drawings: tuple[Drawing, ...] = ()

    @property
    def is_going(self) -> bool:
        """Whether it has not ended."""
        return self.state in GOING

    @property
    def messages(self) -> tuple[tuple[int, int], ...]:
        """Where it stands, as (channel id, message id): the reply, and the direct message that came in its place."""
        reply = (self.order.place.channel_id, self.order.message_id)
        if self.dm_channel_id is None or self.dm_message_id is None:
            return (reply,)
        return (reply, (self.dm_channel_id, self.dm_message_id))

    def is_at(self, channel_id: int) -> bool:
        """Whether one of its messages stands in that channel."""
        return any(channel == channel_id for channel, _ in self.messages)


def asked_at(order_id: int) -> datetime:
    """When Discord made the interaction. Source: Discord's reference, "Snowflakes"."""
    return _SNOWFLAKE_EPOCH + timedelta(milliseconds=order_id >> 22)


# Writing


async def insert(tx: Tx, order: Order, *, image_nano: NanoDollars, at: datetime) -> None:
    """Write the order down, in line. Known already: nothing changes."""
    added = await tx.execute(
        "INSERT INTO picture_orders (order_id, user_id, scope_id, guild_id, channel_id, message_id, application_id,"
        " interaction_token, asked, image_nano, state, asked_at_us, images)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, 0) ON CONFLICT (order_id) DO NOTHING",
        (
            order.id,
            order.asker.id,
            order.place.scope_id,
            order.place.guild_id,
            order.place.channel_id,
            order.message_id,
            order.application_id,
            order.token,
            _asked(order),
            image_nano,
            to_us(at),
        ),
    )
    if not added:
        return
    picture = order.picture
    for number in range(order.count):
        await tx.execute(
            "INSERT INTO pictures (order_id, number, state, tries, model, pixels, steps)"
            " VALUES (?, ?, 'new', 0, ?, ?, ?)",
            (order.id, number, picture.model, picture.width * picture.height, picture.steps),
        )


async def open_(tx: Tx, order_id: int, *, at: datetime) -> bool:
    """From the line to work. False: it is not in line any more."""
    changed = await tx.execute(
        "UPDATE picture_orders SET state = 'open', opened_at_us = ? WHERE order_id = ? AND state = 'waiting'",
        (to_us(at), order_id),
    )
    return changed == 1


async def claim_upload(tx: Tx, order_id: int) -> bool:
    """From work to its delivery, after which nobody cancels it. False: somebody has before."""
    changed = await tx.execute(
        "UPDATE picture_orders SET state = 'uploading' WHERE order_id = ? AND state = 'open'", (order_id,)
    )
    return changed == 1


async def note_try(tx: Tx, order_id: int, number: int) -> bool:
    """Write down that a submission is about to go out. False: the order is not open any more, and nothing may."""
    changed = await tx.execute(
        "UPDATE pictures SET tries = tries + 1 WHERE order_id = ? AND number = ?"
        " AND EXISTS (SELECT 1 FROM picture_orders WHERE order_id = ? AND state = 'open')",
        (order_id, number, order_id),
    )
    return changed == 1


async def take_back_try(tx: Tx, order_id: int, number: int) -> None:
    """The last submission was turned down, or never went out: the API cannot want to be paid for it."""
    await tx.execute(
        "UPDATE pictures SET tries = tries - 1 WHERE order_id = ? AND number = ? AND tries > 0", (order_id, number)
    )


async def note_job(tx: Tx, order_id: int, number: int, job: JobRef, *, at: datetime) -> None:
    """The API has taken the picture."""
    await tx.execute(
        "UPDATE pictures SET state = 'submitted', job_id = ?, signature = ?, submitted_at_us = ?"
        " WHERE order_id = ? AND number = ?",
        (job.job_id, job.signature, to_us(at), order_id, number),
    )


async def note_ready(tx: Tx, order_id: int, number: int, *, url: str, took_ms: int | None) -> None:
    """The API has drawn the picture; `took_ms` is None where nobody saw how long that took."""
    await tx.execute(
        "UPDATE pictures SET state = 'ready', image_url = ?, took_ms = ? WHERE order_id = ? AND number = ?",
        (well_formed(url), took_ms, order_id, number),
    )


async def note_failed(tx: Tx, order_id: int, number: int) -> None:
    """There will be no such picture."""
    await tx.execute("UPDATE pictures SET state = 'failed' WHERE order_id = ? AND number = ?", (order_id, number))


async def note_dm_channel(tx: Tx, order_id: int, channel_id: int) -> None:
    """It is about to be delivered to its owner's direct messages."""
    await tx.execute("UPDATE picture_orders SET dm_channel_id = ? WHERE order_id = ?", (channel_id, order_id))


async def note_told(tx: Tx, order_id: int) -> None:
    """Its message shows how it ended, or cannot be reached: the interaction's token is of no more use."""
    await tx.execute("UPDATE picture_orders SET untold = NULL, interaction_token = '' WHERE order_id = ?", (order_id,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an order ends: its last `state`, the ledger's word for it, and what its message still has to say about it.

    `untaken` is the ledger's word where the API took nothing. `images` and `dm_message_id` are those of a delivery.
    """

    state: End
    reason: Reason
    untaken: Reason | None = None
    untold: str | None = None
    images: int = 0
    dm_message_id: int | None = None


async def end(tx: Tx, order_id: int, ending: Ending, *, at: datetime, uploading: bool = True) -> bool:
    """End an order that has not ended, and its hold with it. False: it had, and nothing has changed.

    Without `uploading` one whose pictures are on their way is left alone, too.

    The user pays for the delivered pictures. What else the API took is the provider's due and the operator's loss.
    """
    row = await tx.fetch_one(
        "UPDATE picture_orders SET state = ?, ended_at_us = ?, images = ?, dm_message_id = ?, untold = ?,"
        " interaction_token = CASE WHEN ? THEN interaction_token ELSE '' END"
        " WHERE order_id = ? AND (state IN ('waiting', 'open') OR (? AND state = 'uploading')) RETURNING image_nano",
        (
            ending.state,
            to_us(at),
            ending.images,
            ending.dm_message_id,
            ending.untold,
            int(ending.untold is not None),
            order_id,
            int(uploading),
        ),
    )
    if row is None:
        return False
    consumed, tries = await _consumed(tx, order_id, ending, NanoDollars(row["image_nano"]))
    reason = ending.reason if tries else ending.untaken or ending.reason
    await ledger.end(tx, order_id, reason, consumed, at=at)
    return True


async def _consumed(tx: Tx, order_id: int, ending: Ending, image_nano: NanoDollars) -> tuple[Consumed, int]:
    """What the order used of the API, and how many submissions that may have taken."""
    row = await tx.fetch_one("SELECT COALESCE(SUM(tries), 0) AS tries FROM pictures WHERE order_id = ?", (order_id,))
    tries: int = row["tries"] if row is not None else 0
    lost = max(0, tries - ending.images)
    consumed = Consumed(
        nano=NanoDollars(image_nano * ending.images),
        estimated=False,
        images=ending.images,
        lost_nano=NanoDollars(image_nano * lost) if lost else NO_MONEY,
    )
    return consumed, tries


async def forget(tx: Tx, order_id: int) -> bool:
    """Remove what was asked from an order that has ended. False: it has not."""
    changed = await tx.execute(
        "UPDATE picture_orders SET state = 'deleted', asked = '', interaction_token = '', untold = NULL"
        " WHERE order_id = ? AND state IN ('delivered', 'failed', 'cancelled', 'undelivered', 'deleted')",
        (order_id,),
    )
    if changed:
        await tx.execute(
            "UPDATE pictures SET job_id = NULL, signature = NULL, image_url = NULL WHERE order_id = ?", (order_id,)
        )
    return changed == 1


# Reading


async def read(tx: Tx, order_id: int) -> Stored | None:
    """An order; None where there never was one, or it was deleted."""
    row = await tx.fetch_one("SELECT * FROM picture_orders WHERE order_id = ? AND state <> 'deleted'", (order_id,))
    return None if row is None else await _stored(tx, row)


async def read_going(tx: Tx, *, limit: int) -> list[Stored]:
    """The orders that have not ended, the oldest first."""
    rows = await tx.fetch_all(
        "SELECT * FROM picture_orders WHERE state IN ('waiting', 'open', 'uploading') ORDER BY order_id LIMIT ?",
        (limit,),
    )
    return [await _stored(tx, row) for row in rows]


async def read_untold(tx: Tx, *, since: datetime, limit: int) -> list[Stored]:
    """The orders whose end, after `since`, their messages do not show yet."""
    rows = await tx.fetch_all(
        "SELECT * FROM picture_orders WHERE state IN ('failed', 'cancelled', 'undelivered') AND untold IS NOT NULL"
        " AND ended_at_us > ? ORDER BY order_id LIMIT ?",
        (to_us(since), limit),
    )
    return [await _stored(tx, row) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeTaken:
    """How long one picture took: what estimates are made of."""

    model: str
    pixels: int
    steps: int
    took_ms: int


async def read_times_taken(tx: Tx, *, limit: int) -> list[TimeTaken]:
    """The newest, the oldest of them first."""
    rows = await tx.fetch_all(
        "SELECT model, pixels, steps, took_ms FROM pictures WHERE took_ms IS NOT NULL"
        " ORDER BY order_id DESC, number DESC LIMIT ?",
        (limit,),
    )
    return [
        TimeTaken(model=row["model"], pixels=row["pixels"], steps=row["steps"], took_ms=row["took_ms"])
        for row in reversed(rows)
    ]


# Rows and values


def _asked(order: Order) -> str:
    """What no column of its own holds. Lone surrogates, which a tampered client may send, are no JSON."""
    picture = {
        key: well_formed(value) if isinstance(value, str) else value for key, value in asdict(order.picture).items()
    }
    asked = {
        "asker": {"name": well_formed(order.asker.name), "role_ids": order.asker.role_ids},
        "bot_present": order.place.bot_present,
        "picture": picture,
        "count": order.count,
        "spoiler": order.spoiler,
        "private": order.private,
        "upload_limit_bytes": order.upload_limit_bytes,
    }
    return orjson.dumps(asked).decode()


async def _stored(tx: Tx, row: Row) -> Stored:
    drawings = await tx.fetch_all("SELECT * FROM pictures WHERE order_id = ? ORDER BY number", (row["order_id"],))
    return Stored(
        order=_order(row, orjson.loads(row["asked"])),
        state=row["state"],
        image_nano=NanoDollars(row["image_nano"]),
        asked_at=from_us(row["asked_at_us"]),
        opened_at=_time(row["opened_at_us"]),
        ended_at=_time(row["ended_at_us"]),
        images=row["images"],
        dm_channel_id=row["dm_channel_id"],
        dm_message_id=row["dm_message_id"],
        untold=row["untold"],
        drawings=tuple(_drawing(drawing) for drawing in drawings),
    )


def _order(row: Row, asked: dict[str, Any]) -> Order:
    return Order(
        id=row["order_id"],
        asker=Asker(id=row["user_id"], name=asked["asker"]["name"], role_ids=tuple(asked["asker"]["role_ids"])),
        place=Place(channel_id=row["channel_id"], guild_id=row["guild_id"], bot_present=asked["bot_present"]),
        picture=Picture(**asked["picture"]),
        count=asked["count"],
        spoiler=asked["spoiler"],
        private=asked["private"],
        application_id=row["application_id"],
        token=row["interaction_token"],
        message_id=row["message_id"],
        upload_limit_bytes=asked["upload_limit_bytes"],
    )


def _drawing(row: Row) -> Drawing:
    job = None if row["job_id"] is None else JobRef(job_id=row["job_id"], signature=row["signature"])
    return Drawing(
        number=row["number"],
        state=row["state"],
        tries=row["tries"],
        job=job,
        submitted_at=_time(row["submitted_at_us"]),
        image_url=row["image_url"],
        took_ms=row["took_ms"],
    )


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
