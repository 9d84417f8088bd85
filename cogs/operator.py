"""Tells the operator, by direct message, what only they can change."""

import asyncio
import logging
from typing import Final

import discord
from discord.ext import commands

from bot.app import Notice
from bot.client import NOT_TAKEN, Bot
from bot.credits.values import CeilingNotice
from bot.money import as_dollars
from bot.ops import disk

log = logging.getLogger(__name__)

PAUSES_S: Final = (1.0, 10.0, 60.0, 600.0, 3_600.0)
"""Between the tries to reach the operator: each thing is said seldom, so it must not be lost to a bad minute."""


def in_words(notice: Notice) -> str:
    """What the operator reads."""
    return _of_a_ceiling(notice) if isinstance(notice, CeilingNotice) else _of_the_disk(notice)


def _of_the_disk(notice: disk.DiskNotice) -> str:
    mark = {"well": "✅", "low": "⚠️"}.get(notice.state, "🛑")
    return f"{mark} {disk.in_words(notice)}"


def _of_a_ceiling(notice: CeilingNotice) -> str:
    """`80 % of this month's ceiling for the whole bot ($50.00) are used. It begins anew …`"""
    whose = "the whole bot" if notice.scope == "bot" else f"the server {notice.scope_id}"
    resets = int(notice.resets_at.timestamp())
    ceiling = as_dollars(notice.ceiling_nano)
    if notice.percent >= 100:
        return (
            f"🛑 This month's ceiling for {whose} ({ceiling}) is reached. Questions are refused until <t:{resets}:f>, "
            "or until you raise it in the bot's settings."
        )
    return f"⚠️ {notice.percent} % of this month's ceiling for {whose} ({ceiling}) are used. It ends <t:{resets}:R>."


class Operator(commands.Cog):
    """Owns the task that hands over notices; without OPERATOR_USER_ID they stay in the log."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self._task: asyncio.Task[None] | None = None

    async def cog_load(self) -> None:
        if self.bot.services.settings.operator_user_id is not None:
            self._task = asyncio.create_task(self._tell(self.bot.services.settings.operator_user_id), name="notices")

    async def cog_unload(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _tell(self, operator_id: int) -> None:
        await self.bot.wait_until_ready()
        while True:
            notice = await self.bot.services.notices.get()
            await self._deliver(operator_id, in_words(notice))

    async def _deliver(self, operator_id: int, words: str) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                operator = await self.bot.fetch_user(operator_id)
                await operator.send(words)
                return
            except (discord.Forbidden, discord.NotFound) as error:
                log.warning("the operator takes no direct message: %s", error)
                return
            except NOT_TAKEN as error:
                # Of the network's failures only the kind: their words may carry the address, and so the token.
                log.warning("the operator could not be told: %s", type(error).__name__)
            if pause_s is not None:
                await asyncio.sleep(pause_s)


async def setup(bot: Bot) -> None:
    await bot.add_cog(Operator(bot))
