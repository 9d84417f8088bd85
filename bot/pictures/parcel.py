"""What is delivered: the files fetched and made to fit, and the message that goes with them."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.answers.journey import Words
from bot.credits.notices import used_notice
from bot.delivery.messages import Outgoing, Upload
from bot.errors import PictureUnusable, ProviderError, ProviderFailed, ProviderUnreachable
from bot.pictures import showing
from bot.pictures.fetching import Fetched
from bot.pictures.orders import Stored
from bot.pictures.showing import Misplaced
from bot.pictures.shrinking import Fitted, fit
from bot.pictures.tools import Tools
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

FETCHES: Final = 3
"""How often a picture is fetched from the address that the API named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetches:
    """The files of an order's pictures by their numbers, and why the others are missing."""

    files: Mapping[int, Fetched]
    missing: tuple[ProviderError, ...]


class Packer:
    """Makes one order's messages with pictures. `words` turns what is missing into a sentence."""

    def __init__(self, tools: Tools, stored: Stored, words: Words) -> None:
        self._tools = tools
        self._stored = stored
        self._order = stored.order
        self._words = words

    async def fetch(self, urls: Mapping[int, str], missing: Sequence[ProviderError]) -> Fetches:
        """The files at `urls` that can be had; `missing` says why there are no others.

        Raises:
            ProviderError: there is none.
        """
        results = await asyncio.gather(*(self._fetch_one(url) for url in urls.values()))
        files = {number: one for number, one in zip(urls, results, strict=True) if isinstance(one, Fetched)}
        lost = (*missing, *(one for one in results if not isinstance(one, Fetched)))
        if not files:
            raise lost[-1]
        return Fetches(files=dict(sorted(files.items())), missing=lost)

    async def _fetch_one(self, url: str) -> Fetched | ProviderError:
        failures = 0
        while True:
            try:
                return await self._tools.fetcher.fetch(url)
            except (ProviderUnreachable, ProviderFailed) as error:
                failures += 1
                log.info("a picture could not be fetched, attempt %d: %s", failures, type(error).__name__)
                if failures >= FETCHES:
                    return error
            except PictureUnusable as error:
                log.warning("the picture that came back %s", error.reason)
                return error
            await asyncio.sleep(self._tools.patience.backoff_s(failures))

    async def pack(self, fetches: Fetches, *, limit_bytes: int, misplaced: Misplaced | None) -> Outgoing:
        """The message with the files, each in at most `limit_bytes`.

        Raises:
            PictureUnusable: none can be made to fit.
        """
        fitted: dict[int, Fitted] = {}
        missing = list(fetches.missing)
        for number, one in fetches.files.items():
            try:
                fitted[number] = await fit(one.content, one.facts, limit_bytes)
            except PictureUnusable as error:
                missing.append(error)
        if not fitted:
            raise missing[-1]
        shown = await self._shown(missing, misplaced, fitted.values())
        return replace(shown, uploads=tuple(self._upload(number, one) for number, one in fitted.items()))

    def _upload(self, number: int, fitted: Fitted) -> Upload:
        return Upload(
            name=showing.file_name(self._order, number + 1, fitted.kind),
            content=fitted.content,
            description=showing.alt_text(self._order, number + 1),
        )

    async def _shown(
        self, missing: Sequence[ProviderError], misplaced: Misplaced | None, files: Collection[Fitted]
    ) -> Outgoing:
        images = len(files)
        notes = ["made smaller to fit"] if any(one.shrunk for one in files) else []
        if any(one.first_frame_only for one in files):
            notes.append("its first frame alone")
        if (used := await self._used_notice()) is not None:
            notes.append(used)
        return showing.delivered(
            self._order,
            images=images,
            cost=self._tools.price(self._stored, images),
            unit=self._tools.unit,
            notes=notes,
            lead=showing.dm_words(self._order, misplaced) if misplaced is not None else "",
            why=self._words(missing[0]).removeprefix("⚠️ ") if missing else "",
        )

    async def _used_notice(self) -> str | None:
        """What the footer says of an allowance that is nearly used. The order's hold counts as what it will cost."""
        asker, scope_id = self._order.asker, self._order.place.scope_id
        try:
            standing = await self._tools.ledger.standing(scope_id, asker.id, asker.role_ids, at=self._tools.moment())
        except StorageError:
            return None
        return used_notice(standing.used_percent, standing.ends_at)
