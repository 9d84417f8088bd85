"""One picture's way through the API: submitted, asked for, ready. Each step is on disk before the next."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from bot.errors import (
    PictureFailed,
    PictureLate,
    ProviderBusy,
    ProviderError,
    ProviderKeyRefused,
    ProviderOutOfCredit,
    ProviderRejected,
    ProviderUnreachable,
)
from bot.minitoolai.client import MiniToolAI
from bot.minitoolai.images import Failed, JobRef, Ready
from bot.pictures import orders
from bot.pictures.estimates import Estimates
from bot.pictures.journal import Journal
from bot.pictures.orders import Drawing
from bot.pictures.polling import PollGate, pause_s
from bot.pictures.request import Order

log = logging.getLogger(__name__)

SUBMISSIONS: Final = 3
"""How often one process submits a picture, at most."""
RESUME_S: Final = 15.0
"""So long at least a picture is asked about after a restart, however long ago it was ordered: it may be ready."""
TRIES: Final = 6
"""How often all of them do, as far as the API may have taken it: a process that dies again and again must end, too."""
JITTER: Final = (1.0, 1.2)
"""Never less than the pause: the least of them is what an API is presumed to bear."""
GATE_S: Final = 30.0
"""How long a poll waits for its turn, at most."""
RETRY_AFTER_LIMIT_S: Final = 20.0
"""The longest pause between two polls that the API may ask for."""
OPERATOR_MUST_ACT: Final = (ProviderKeyRefused, ProviderOutOfCredit)


class OrderEnded(Exception):
    """The order was cancelled or deleted meanwhile: whoever did that has ended it."""


class Drawer:
    """Has pictures drawn. `timeout_s` is how long the API may take for each; `now` gives unix seconds."""

    def __init__(
        self,
        *,
        api: MiniToolAI,
        journal: Journal,
        gate: PollGate,
        estimates: Estimates,
        timeout_s: float,
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._journal = journal
        self._gate = gate
        self._estimates = estimates
        self._timeout_s = timeout_s
        self._now = now

    def expected_s(self, order: Order) -> float | None:
        """How long such a picture will take, as far as can be told."""
        picture = order.picture
        return self._estimates.expected_s(picture.model, picture.width * picture.height, picture.steps)

    async def draw(self, order: Order, drawing: Drawing) -> str:
        """The address of the picture, from wherever an earlier process has left it.

        Raises:
            ProviderError: there will be no such picture.
            OrderEnded: nobody wants it any more.
            StorageError: the next start goes on with it.
        """
        if drawing.state == "failed":
            raise PictureFailed("it had failed before the restart")
        if drawing.image_url is not None:
            return drawing.image_url
        try:
            if drawing.job is None:
                job = await self._submit(order, drawing)
                return await self._wait(order, drawing.number, job, waited_s=0.0, resumed=False)
            return await self._wait(order, drawing.number, drawing.job, waited_s=self._waited_s(drawing), resumed=True)
        except ProviderError as error:
            level = logging.ERROR if isinstance(error, OPERATOR_MUST_ACT) else logging.WARNING
            # Its kind and status alone: the API's own words may quote the prompt.
            log.log(level, "picture %d failed: %s %s", drawing.number + 1, type(error).__name__, error.status or "")
            await self._journal.write(lambda tx: orders.note_failed(tx, order.id, drawing.number))
            raise

    async def _submit(self, order: Order, drawing: Drawing) -> JobRef:
        failures = 0
        while True:
            if drawing.tries + failures >= TRIES:
                raise PictureFailed("submitted too often")
            try:
                return await self._submit_once(order, drawing.number)
            except ProviderError as error:
                failures += 1
                if failures >= SUBMISSIONS or not self._api.retry.worth_a_retry(error):
                    raise
                rest_s = self._api.retry.pause_s(failures, error)
                log.info("a submission failed, next in %.1f s: %s", rest_s, type(error).__name__)
            await asyncio.sleep(rest_s)

    async def _submit_once(self, order: Order, number: int) -> JobRef:
        if not await self._journal.write(lambda tx: orders.note_try(tx, order.id, number)):
            raise OrderEnded
        taken = False

        def note_taken(one: bool) -> None:
            nonlocal taken
            taken = one

        try:
            job = await self._api.submit(order.picture.request, taken=note_taken)
        except ProviderError as error:
            if not taken:
                await self._journal.write(lambda tx: orders.take_back_try(tx, order.id, number))
            if isinstance(error, ProviderRejected):
                # To its owner it is a picture that the API would not draw, whichever way it says so.
                raise PictureFailed(error.detail, status=error.status) from error
            raise
        at = datetime.fromtimestamp(self._now(), UTC)
        await self._journal.write(lambda tx: orders.note_job(tx, order.id, number, job, at=at))
        return job

    async def _wait(self, order: Order, number: int, job: JobRef, *, waited_s: float, resumed: bool) -> str:
        """Poll until it is ready. After a restart that begins at once: it may be ready for long."""
        loop = asyncio.get_running_loop()
        began = loop.time() - waited_s
        deadline = began + self._timeout_s
        rest_s = 0.0 if resumed else self._pause_s(order, 0.0)
        while True:
            await asyncio.sleep(min(rest_s, max(deadline - loop.time(), 0.0)))
            url, asked_s = await self._poll(job)
            elapsed_s = loop.time() - began
            if url is not None:
                await self._note_ready(order, number, url, took_s=None if resumed else elapsed_s)
                return url
            if loop.time() >= deadline:
                raise PictureLate(waited_s=self._timeout_s)
            rest_s = max(self._pause_s(order, elapsed_s), asked_s)

    async def _poll(self, job: JobRef) -> tuple[str | None, float]:
        """The picture's address if it is ready, and the pause that the API asked for.

        Raises:
            PictureFailed: the API says that it will not be.
        """
        try:
            await self._gate.enter(within_s=GATE_S)
            state = await self._api.poll(job)
        except ProviderBusy as error:
            return None, min(error.retry_after_s or 0.0, RETRY_AFTER_LIMIT_S)
        except (ProviderError, TimeoutError) as error:
            log.info("a poll failed: %s", type(error).__name__)
            return None, 0.0
        match state:
            case Ready(url=url):
                return url, 0.0
            case Failed():
                raise PictureFailed("the API ended the job")
            case _:
                return None, 0.0

    async def _note_ready(self, order: Order, number: int, url: str, *, took_s: float | None) -> None:
        picture = order.picture
        if took_s is not None:
            self._estimates.note(picture.model, picture.width * picture.height, picture.steps, took_s)
        took_ms = None if took_s is None else round(took_s * 1_000)
        await self._journal.write(lambda tx: orders.note_ready(tx, order.id, number, url=url, took_ms=took_ms))

    def _pause_s(self, order: Order, elapsed_s: float) -> float:
        return pause_s(elapsed_s, self.expected_s(order)) * random.uniform(*JITTER)

    def _waited_s(self, drawing: Drawing) -> float:
        """How long an earlier process has waited, and the time between the two. A clock that was set back says 0."""
        submitted = drawing.submitted_at
        since_s = 0.0 if submitted is None else self._now() - submitted.timestamp()
        return min(max(since_s, 0.0), max(self._timeout_s - RESUME_S, 0.0))


def is_unreachable(error: BaseException) -> bool:
    """Whether no request came about."""
    return isinstance(error, ProviderUnreachable) and not error.sent
