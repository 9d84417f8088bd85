"""Says in an order's message how it ended without pictures, however long Discord takes to hear of it."""

import asyncio
import logging
from typing import Final

from bot.delivery.messages import Outgoing, Urgency
from bot.errors import DeliveryError, DeliveryUnavailable, MessageGone
from bot.pictures import orders, showing
from bot.pictures.delivery import Display
from bot.pictures.orders import Stored
from bot.pictures.tools import Tools

log = logging.getLogger(__name__)

PAUSES_S: Final = (1.0, 3.0, 10.0, 30.0, 60.0)
"""Between the tries. After the last one it is left to the next start."""


async def tell(tools: Tools, display: Display, stored: Stored, words: str) -> Outgoing:
    """Say in an order's message how it ended, and write down that it has been said. Returns what it shows.

    Raises:
        StorageError: the next start says it again.
    """
    outgoing = showing.ended(stored.order, words=words)
    for pause_s in PAUSES_S:
        try:
            await display.edit(lambda: outgoing, Urgency.FINAL)
            break
        except DeliveryUnavailable as error:
            log.info("an order's end could not be shown yet: %s", error.detail)
        except MessageGone:
            break  # whoever deleted it does not wait for it
        except DeliveryError:
            await _tell_by_dm(display, outgoing)
            break
        await asyncio.sleep(pause_s)
    else:
        return outgoing
    await tools.journal.write(lambda tx: orders.note_told(tx, stored.order.id))
    return outgoing


async def _tell_by_dm(display: Display, outgoing: Outgoing) -> None:
    try:
        await display.tell_by_dm(outgoing)
    except DeliveryError as error:
        log.info("an order's end can be told to nobody: %s", type(error).__name__)
