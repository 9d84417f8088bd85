"""Pictures of earlier questions: a Discord address that still works, where there is one.

Discord signs an attachment's address for about a day; reading the message again signs it anew. An attachment that no
message carries (a slash command's own) cannot be read again, which is why answers carry their question's pictures.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from bot.answers.attachments import is_fresh
from bot.answers.question import AttachmentRef
from bot.errors import DeliveryError

log = logging.getLogger(__name__)

MARGIN_S: Final = 300.0
"""An address that ends sooner is read anew: the API may fetch it only when its queue has moved on."""

GONE_LIMIT: Final = 1_000
"""How many messages are remembered as unreadable, so that they are not asked for with every question."""


class MessageReader(Protocol):
    """Reads one message as Discord describes it; raises DeliveryError."""

    async def get_message(self, channel_id: int, message_id: int) -> dict[str, Any]: ...


class PictureAddresses:
    """Finds working addresses, reading messages again where it must."""

    def __init__(self, reader: MessageReader, *, now: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._now = now
        self._gone: dict[tuple[int, int], None] = {}

    async def working(self, pictures: Iterable[AttachmentRef]) -> Mapping[int, str]:
        """The addresses by attachment id; a picture that can no longer be read is left out."""
        found: dict[int, str] = {}
        stale: dict[tuple[int, int], list[AttachmentRef]] = {}
        for picture in pictures:
            if is_fresh(picture.url, now=self._now(), margin_s=MARGIN_S):
                found[picture.id] = picture.url
            elif picture.channel_id is not None and picture.message_id is not None:
                stale.setdefault((picture.channel_id, picture.message_id), []).append(picture)
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(self._read_again(*where)) for where in stale if where not in self._gone]
        signed = {attachment_id: url for read in reads for attachment_id, url in read.result().items()}
        wanted = {picture.id for pictures_there in stale.values() for picture in pictures_there}
        return found | {attachment_id: url for attachment_id, url in signed.items() if attachment_id in wanted}

    async def _read_again(self, channel_id: int, message_id: int) -> dict[int, str]:
        try:
            message = await self._reader.get_message(channel_id, message_id)
        except DeliveryError as error:
            log.info("a message with a picture cannot be read again: %s", type(error).__name__)
            if error.status in (403, 404):
                self._remember_gone(channel_id, message_id)
            return {}
        forwarded = [snapshot.get("message", {}) for snapshot in message.get("message_snapshots", ())]
        return {
            int(attachment["id"]): str(attachment["url"])
            for carrier in (message, *forwarded)
            for attachment in carrier.get("attachments", ())
        }

    def _remember_gone(self, channel_id: int, message_id: int) -> None:
        self._gone[channel_id, message_id] = None
        while len(self._gone) > GONE_LIMIT:
            del self._gone[next(iter(self._gone))]
