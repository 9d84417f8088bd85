"""The bot's own pauses, made short: the order of things is what the matrix is about, not how long they take."""

import asyncio
from functools import partial
from typing import Any

import discord
import pytest

import bot.answers.live
import bot.answers.recovery
import bot.answers.service
import bot.app
import bot.delivery.rest
import bot.minitoolai.client
import bot.pictures.drawing
import bot.pictures.telling
from bot.client import Bot
from bot.minitoolai.client import RetryPolicy
from bot.pictures.tools import Patience

SPEED = 50.0


class _QuickSleep:
    """`asyncio` for a module of discord.py's, whose attempts are seconds apart."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay_s: float) -> None:
        await asyncio.sleep(delay_s / SPEED)


def hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(discord.webhook.async_, "asyncio", _QuickSleep())
    patch.setattr(discord.http, "asyncio", _QuickSleep())
    patch.setattr(discord.client, "asyncio", _QuickSleep())
    patch.setattr(discord.shard, "asyncio", _QuickSleep())
    patch.setattr(discord.backoff.ExponentialBackoff, "delay", lambda _: 0.01)
    patch.setattr(bot.delivery.rest, "BACKOFF_S", 0.005)
    patch.setattr(bot.answers.live, "PAUSE_S", 0.01)
    patch.setattr(bot.answers.service, "CLOSE_S", 1.0)
    patch.setattr(bot.answers.recovery, "PAUSE_S", 0.01)
    patch.setattr(bot.answers.recovery, "PAUSE_MOST_S", 0.1)
    patch.setattr(bot.pictures.drawing, "pause_s", lambda *_: 0.02)
    patch.setattr(bot.pictures.telling, "PAUSES_S", (0.01, 0.02, 0.05, 0.1, 0.2))
    patch.setattr(bot.app, "Bot", partial(Bot, guild_ready_timeout=0.01))
    patch.setattr(bot.app, "Patience", partial(Patience, pause_s=0.01))
    patch.setattr(bot.app, "RetryPolicy", partial(RetryPolicy, base_s=0.01))
