"""The Discord client: lean intents, the command tree, and the one door through which every error reaches people."""

import asyncio
import contextlib
import hashlib
import logging
import math
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import discord
import orjson
import yarl
from discord import app_commands
from discord.ext import commands

from bot.errors import BotError, DeliveryError, DeliveryUnavailable, SettingsError
from bot.ops.health import Shard
from bot.ops.logging import log_context
from bot.storage.errors import StorageError

if TYPE_CHECKING:
    from bot.app import Services

log = logging.getLogger(__name__)

Explain = Callable[[BaseException], str | None]
"""Words for the asker, or None for an error that has none and is ours to look into."""

EXTENSIONS: Final = (
    "cogs.words",
    "cogs.forms",
    "cogs.ask",
    "cogs.imagine",
    "cogs.history",
    "cogs.usage",
    "cogs.quota",
    "cogs.settings",
    "cogs.doctor",
    "cogs.privacy",
    "cogs.help",
    "cogs.operator",
)
"""Loaded by name, since nothing in `bot` imports `cogs`."""

NOT_TAKEN: Final = (discord.HTTPException, aiohttp.ClientError, OSError)
"""What discord.py raises when Discord refuses a request, or cannot be reached: it translates no network errors."""

ALREADY_ACKNOWLEDGED: Final = 40060
"""Source: Discord's reference, "JSON Error Codes"."""

_GATEWAY_OWN: Final = (
    discord.gateway.ReconnectWebSocket,
    discord.gateway.WebSocketClosure,
    discord.DiscordException,
    aiohttp.ClientError,
    OSError,
    BotError,
)
"""What discord.py handles itself on the way from the socket, and our own word that it cannot go on."""

COMMANDS: Final = "commands"
"""The name under which it is remembered which commands Discord has."""

CANCEL_AGAIN_S: Final = 0.1
"""How long a cancellation may take to be felt."""

REGISTER_S: Final = 60.0
"""How long that may take before the bot starts without: discord.py waits out rate limits by itself."""

INTENTS: Final = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
"""No privileged intent: mentions, replies that ping the bot and direct messages carry their content without one."""


async def redirect(api_url: str) -> None:
    """Point all of discord.py at `api_url`, gateway included.

    discord.py has no argument for it. An invalid session sends it to `DEFAULT_GATEWAY`, so that must follow too.

    Raises:
        DeliveryError: the address does not answer as Discord's API does.
    """
    base = api_url.rstrip("/")
    discord.http.Route.BASE = base
    if yarl.URL(base).host == "discord.com":
        return
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session,
            session.get(f"{base}/gateway") as answer,
        ):
            gateway = yarl.URL((await answer.json())["url"])
    except (aiohttp.ClientError, TimeoutError, KeyError, TypeError, ValueError) as error:
        raise DeliveryError(f"DISCORD_API_URL {base} does not answer like Discord's API") from error
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = gateway


def live_through_malformed_payloads() -> None:
    """Make discord.py leave out what it cannot read, where it would end the process.

    It has no hook for that: an exception on the way from the socket to an event ends all shards. What is left out is
    logged with its traceback, which shows code and no content.
    """
    socket = discord.gateway.DiscordWebSocket
    received = socket.received_message
    if received.__name__ == _received_safely.__name__:
        return

    async def _received_safely_(self: discord.gateway.DiscordWebSocket, frame: Any, /) -> None:
        await _received_safely(received, self, frame)

    _received_safely_.__name__ = _received_safely.__name__
    socket.received_message = _received_safely_  # type: ignore[method-assign]


async def _received_safely(
    received: Callable[[discord.gateway.DiscordWebSocket, Any], Awaitable[None]],
    socket: discord.gateway.DiscordWebSocket,
    frame: Any,
) -> None:
    try:
        await received(socket, frame)
    except _GATEWAY_OWN:
        raise
    except zlib.error:
        log.error("the gateway's stream cannot be decompressed: connecting anew")
        raise discord.gateway.ReconnectWebSocket(socket.shard_id) from None
    except Exception:
        log.exception("a payload of the gateway cannot be read, and was left out")


@contextlib.contextmanager
def already_acknowledged() -> Iterator[None]:
    """Go on where Discord says that an interaction has had its response: only the answer to that one was lost."""
    try:
        yield
    except discord.HTTPException as error:
        if error.code != ALREADY_ACKNOWLEDGED:
            raise


def _readable_or_over(parse: Callable[[Any], None]) -> Callable[[Any], None]:
    """Without its greeting a session is nothing: better to end, and be started anew, than to look alive."""

    def parse_ready(data: Any) -> None:
        try:
            parse(data)
        except Exception as error:
            raise DeliveryUnavailable("Discord's greeting cannot be read") from error

    return parse_ready


def _fingerprint(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> str:
    """A text that differs whenever our commands do, or Discord's are not the ones it made of them."""
    versions = sorted((str(command["id"]), str(command["version"])) for command in theirs)
    content = orjson.dumps([ours, versions], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()


def _cause(error: BaseException) -> str:
    """A label for an error that has words. Libraries' own classes are too many."""
    return type(error).__name__ if isinstance(error, BotError) else "other"


class Tree(app_commands.CommandTree["Bot"]):
    """Sends whatever a command raises to the one door."""

    async def on_error(self, interaction: discord.Interaction["Bot"], error: app_commands.AppCommandError, /) -> None:
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        await interaction.client.report(interaction, cause)

    async def interaction_check(self, interaction: discord.Interaction["Bot"], /) -> bool:
        """Refuse what an altered client sends in place of a number: discord.py fails at it, without a word to the
        asker, and with the value in the log.

        Raises:
            TransformerError: there is such an option.
        """
        data: Any = interaction.data
        number = discord.AppCommandOptionType.number
        for option in _leaves(data):
            typed = not option.get("focused")
            if option["type"] == number.value and typed and not isinstance(option["value"], int | float):
                raise app_commands.TransformerError("an option", number, app_commands.Transformer())
        return True


def _leaves(specification: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The options of an interaction's command that have values."""
    for option in specification.get("options", ()):
        if "options" in option:
            yield from _leaves(option)
        elif "value" in option:
            yield option


class Bot(commands.AutoShardedBot):
    """Carries the services to the cogs; `explain` is set by `cogs.words`."""

    explain: Explain

    def __init__(self, services: "Services", **options: Any) -> None:
        # Voice is not what the bot is for: no warning that its libraries are missing.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=Tree,
            intents=INTENTS,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            **options,
        )
        self.services = services
        self._shards_up: set[int] = set()
        live_through_malformed_payloads()
        parsers = self._connection.parsers
        parsers["READY"] = _readable_or_over(parsers["READY"])

    async def serve(self, token: str) -> None:
        """Stay connected until cancelled.

        Raises:
            SettingsError: Discord does not know the token.
            DeliveryUnavailable: Discord cannot let the bot in just now.
        """
        try:
            await self._stay_connected(token)
        except discord.LoginFailure as error:
            problem = "DISCORD_TOKEN is not accepted by Discord: copy it anew from the developer portal, page “Bot”"
            raise SettingsError([problem]) from error
        except (discord.HTTPException, discord.GatewayNotFound) as error:
            raise DeliveryUnavailable(f"Discord cannot let the bot in just now: {error}") from error

    async def _stay_connected(self, token: str) -> None:
        """`start`, which ends when this is cancelled: discord.py swallows that while it connects a shard anew."""
        task = asyncio.create_task(self.start(token), name="connection to Discord")
        try:
            await asyncio.wait({task})
        finally:
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
        task.result()

    async def setup_hook(self) -> None:
        for extension in EXTENSIONS:
            await self.load_extension(extension)
        try:
            async with asyncio.timeout(REGISTER_S):
                await self._register_commands()
        except (*NOT_TAKEN, app_commands.CommandSyncFailure, StorageError) as error:
            # The commands of the last start are still there, and mentions work without any.
            log.error("the commands could not be registered: %s", error)

    async def _register_commands(self) -> None:
        """Tell Discord of the commands where they are not those that it has: it takes new ones 200 times a day.

        Discord gives a command a new version with each change, whoever makes it, and fills in what was left out. So
        what is compared is our commands, as sent last, together with the ids and versions that Discord answered then.

        Raises:
            discord.HTTPException, CommandSyncFailure: Discord would not take them.
            StorageError: it is not known which were sent last.
        """
        assert self.application_id is not None
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        there = await self.http.get_global_commands(self.application_id)
        if await self.services.remembered.get(COMMANDS) == _fingerprint(payload, there):
            log.info("the commands are registered already")
            return
        made = await self.http.bulk_upsert_global_commands(self.application_id, payload)
        await self.services.remembered.put(COMMANDS, _fingerprint(payload, made))
        log.info("registered %d commands", len(made))

    # The gateway

    async def on_shard_connect(self, shard_id: int) -> None:
        self._shards_up.add(shard_id)
        self.services.metrics.gateway("ready")

    async def on_shard_resumed(self, shard_id: int) -> None:
        self._shards_up.add(shard_id)
        self.services.metrics.gateway("resumed")

    async def on_shard_disconnect(self, shard_id: int) -> None:
        if shard_id in self._shards_up:  # discord.py tells of one loss up to twice
            self._shards_up.discard(shard_id)
            self.services.metrics.gateway("lost")

    def gateway(self) -> tuple[Shard, ...]:
        """Every shard there should be, one while their number is not known."""
        return tuple(self._shard(number) for number in self.shard_ids or range(self.shard_count or 1))

    def _shard(self, number: int) -> Shard:
        shard = self.get_shard(number)
        if shard is None:
            return Shard(up=False, latency_s=math.nan, acknowledged_ago_s=None, heartbeat_every_s=None)
        # discord.py tells nobody when it last heard Discord's heart.
        socket = shard._parent.ws  # noqa: SLF001
        beating = socket._keep_alive  # noqa: SLF001
        return Shard(
            up=number in self._shards_up and not shard.is_closed(),
            latency_s=shard.latency,
            acknowledged_ago_s=time.perf_counter() - beating._last_ack if beating is not None else None,  # noqa: SLF001
            heartbeat_every_s=beating.interval if beating is not None else None,
        )

    async def on_message(self, message: discord.Message, /) -> None:
        """Text commands do not exist here; the cogs listen for mentions themselves."""

    async def on_ready(self) -> None:
        assert self.user is not None
        log.info("connected as %s in %d servers; invite: %s", self.user, len(self.guilds), self.invite_url())

    def invite_url(self) -> str:
        """The address that adds the bot to a server with the permissions it uses."""
        assert self.application_id is not None
        permissions = discord.Permissions(
            view_channel=True,
            send_messages=True,
            send_messages_in_threads=True,
            attach_files=True,
            embed_links=True,
            read_message_history=True,
        )
        return discord.utils.oauth_url(
            self.application_id, permissions=permissions, scopes=("bot", "applications.commands")
        )

    async def report(
        self, interaction: discord.Interaction["Bot"], error: BaseException, *, loading: bool = False
    ) -> None:
        """The one door: words to who asked, the unexpected to the log with a reference that the words name.

        `loading` says that the reply still shows nothing: then the words are its content. Discord lets few further
        messages through in a channel, 30 a minute, and so many may be refused at once.
        """
        if isinstance(error, RuntimeError) and self.is_closed():  # aiohttp's, of a session that has been closed
            log.info("an interaction came while the bot was ending")
            return
        with log_context(request_id=interaction.id):
            if await self._report(interaction, error, loading=loading):
                await self.services.arrivals.told(interaction.id)
            else:
                self.services.arrivals.untold(interaction.id)

    async def _report(self, interaction: discord.Interaction["Bot"], error: BaseException, *, loading: bool) -> bool:
        """Whether Discord took the words."""
        words = self.words_for(error)
        try:
            with already_acknowledged():
                if not interaction.response.is_done():
                    await interaction.response.send_message(words, ephemeral=True)
                    return True
            if loading:
                await interaction.edit_original_response(content=words, view=None)
            else:
                # A reply that is still loading is filled by this; one that shows words already keeps them.
                await interaction.followup.send(words, ephemeral=True)
            return True
        except NOT_TAKEN as failure:
            # Of the network's failures only the kind: their words may carry the address, and so the token.
            log.warning("an error message could not be shown: %s", type(failure).__name__)
        except RuntimeError:  # as above
            if not self.is_closed():
                raise
            log.info("an error message could not be shown: the bot is ending")
        return False

    def words_for(self, error: BaseException) -> str:
        """A sentence for people. What nobody foresaw is logged with its traceback under the reference it names."""
        if isinstance(error, NOT_TAKEN):
            # discord.py's word for what `DeliveryUnavailable` is for our own requests. Its own words may carry a token.
            log.warning("Discord did not take a response: %s", type(error).__name__)
            error = DeliveryUnavailable(type(error).__name__)
        words = self.explain(error)
        self.services.metrics.failed(_cause(error) if words is not None else "unexpected")
        if words is not None:
            if isinstance(error, BotError):
                log.info("told the asker: %s", type(error).__name__)
            return words
        reference = secrets.token_hex(4)
        log.error("unexpected error %s", reference, exc_info=error)
        return (
            "⚠️ Something went wrong on my side. If it happens again, tell the bot's operator "
            f"this reference: `{reference}`."
        )

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        log.exception("unexpected error in %s", event_method)
