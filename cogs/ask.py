"""`/ask`, the message menu "Ask about this", mentions, replies and direct messages: Discord in, a `Question` out."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import discord
from discord import app_commands
from discord.ext import commands

from bot.answers.attachments import shown_name, shown_size
from bot.answers.question import Asker, AttachmentRef, Place, Question
from bot.arrivals import Arrival, Kind
from bot.client import NOT_TAKEN, Bot, already_acknowledged
from bot.delivery.messages import Button
from bot.delivery.surfaces import ChannelSurface, InteractionSurface
from bot.drafts import Draft
from bot.errors import DeliveryError, DeliveryForbidden, DraftGone, MessageGone, RequestEnded, TooFast
from bot.ops.logging import log_context
from bot.storage.errors import StorageError
from cogs.forms import Fields, Form, forms_of, give_back

log = logging.getLogger(__name__)

PROMPT_LIMIT: Final = 6_000
"""Discord's own limit for a text option, in characters."""
MODAL_LIMIT: Final = 4_000
"""Discord's own limit for a text input, in characters."""
IMAGE_LIMIT: Final = 3
LARGEST_ID: Final = (1 << 63) - 1
"""The largest that the database compares with: what is made up beyond it is as unknown as it."""
TOKEN_LIFE_S: Final = 15 * 60
COMPLAINT_PAUSE_S: Final = 600
"""How long a member is not told again, by direct message, that the bot may not write in a channel."""

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "prompt": "Your question",
    "image": "A picture to look at (jpg, png, webp, gif)",
    "image2": "A second picture",
    "image3": "A third picture",
    "model": "Which model answers, and what it costs",
    "temperature": "0 is the most predictable, 2 the most surprising; 1 if left out",
    "max_tokens": "The longest answer, in tokens (about four characters each)",
    "private": "Only you see the answer, and it stays out of the shared memory",
}
"""Of a question's options, all but the file's, which names the operator's limit."""

HIDDEN: Final = (
    "[Discord hides the text of this message from the assistant. To have it read, its menu has Apps > Ask about this.]"
)
"""What the model is shown of a reply's message without the privileged intent, so that it can say what to do."""

LEFT_BEHIND_PRIVATE: Final = "Forgotten. Discord lets me delete the last message only; the others you can dismiss."
LEFT_BEHIND: Final = "Forgotten. I am no member here, so Discord lets me delete the last message of the answer only."

_ABOUT: Final = re.compile(r"ask:about:(?P<draft_id>[0-9]{1,20})")
"""The custom id of the form."""

_PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif")

Interaction: TypeAlias = discord.Interaction[Bot]


def place_of(interaction: Interaction) -> Place:
    """Where an interaction happened, and whether the bot itself is there or was brought along by a user."""
    assert interaction.channel_id is not None
    if interaction.guild_id is not None:
        present = interaction.client.get_guild(interaction.guild_id) is not None
    else:
        present = interaction.context.dm_channel is True
    return Place(channel_id=interaction.channel_id, guild_id=interaction.guild_id, bot_present=present)


def asker_of(user: discord.User | discord.Member) -> Asker:
    """Who asks, with their roles where they are a member; Discord sends those along with all that a member does."""
    roles = tuple(role.id for role in user.roles) if isinstance(user, discord.Member) else ()
    return Asker(id=user.id, name=shown_name(user.display_name), role_ids=roles)


def reference_to(attachment: discord.Attachment, message: discord.Message | None = None) -> AttachmentRef:
    """`message` is the one that carries the attachment; a slash command's attachment has none."""
    return AttachmentRef(
        id=attachment.id,
        name=shown_name(attachment.filename),
        url=attachment.url,
        size_bytes=attachment.size,
        content_type=attachment.content_type,
        channel_id=message.channel.id if message else None,
        message_id=message.id if message else None,
    )


def claims_picture(attachment: discord.Attachment) -> bool:
    """Whether it says that it is one. What it really is, its bytes decide later."""
    return (attachment.content_type or "").startswith("image/") or attachment.filename.lower().endswith(_PICTURES)


@dataclass(frozen=True, slots=True)
class Attached:
    """What is read of what came along: three pictures and one other file. `left_out` counts the rest."""

    images: tuple[AttachmentRef, ...]
    file: AttachmentRef | None
    left_out: int


def attachments_of(*messages: discord.Message) -> Attached:
    """The attachments of messages, the first message's first, and of what they forward."""
    pictures: list[AttachmentRef] = []
    others: list[AttachmentRef] = []
    for message in messages:
        forwarded = (each for shot in message.message_snapshots for each in shot.attachments)
        for attachment in (*message.attachments, *forwarded):
            (pictures if claims_picture(attachment) else others).append(reference_to(attachment, message))
    return Attached(
        images=tuple(pictures[:IMAGE_LIMIT]),
        file=others[0] if others else None,
        left_out=len(pictures[IMAGE_LIMIT:]) + len(others[1:]),
    )


def words_of(embed: discord.Embed) -> str:
    fields = (f"{field.name}: {field.value}" for field in embed.fields)
    return "\n".join(part for part in (embed.title, embed.description, *fields) if part)


def text_of(message: discord.Message) -> str:
    """What a message says, with the text of what it forwards."""
    forwarded = [shot.content for shot in message.message_snapshots if shot.content]
    embedded = [] if message.content else [words_of(embed) for embed in message.embeds]
    return "\n\n".join(part for part in (message.content, *forwarded, *embedded) if part)


def quotation(message: discord.Message, me: int, *, hidden: str | None = None) -> str | None:
    """The text of the message that a question is about; None where it has none but pictures or files.

    `hidden` stands for a message of which Discord shows nothing at all. The bot's own answers are quoted without their
    footer, which the model would take up as a way to end.
    """
    text = text_of(message)
    if message.author.id == me:
        text = "\n".join(line for line in text.splitlines() if not line.startswith("-# ")).strip()
    return text or (None if message.attachments or message.message_snapshots else hidden)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A message that a question is to be about, freed from Discord's objects. `private`: only the asker saw it."""

    quoted: str | None
    quoted_author: str
    attached: Attached
    private: bool

    @classmethod
    def of(cls, message: discord.Message, me: int) -> "Chosen":
        """What of a message goes with a question."""
        return cls(
            quoted=quotation(message, me),
            quoted_author=shown_name(message.author.display_name),
            attached=attachments_of(message),
            private=message.flags.ephemeral,
        )

    @classmethod
    def from_draft(cls, body: dict[str, Any]) -> "Chosen":
        """The other way round from `asdict`. DraftGone: another version of the bot wrote it."""
        try:
            attached = body["attached"]
            return cls(
                quoted=body["quoted"],
                quoted_author=body["quoted_author"],
                attached=Attached(
                    images=tuple(AttachmentRef(**each) for each in attached["images"]),
                    file=AttachmentRef(**attached["file"]) if attached["file"] is not None else None,
                    left_out=attached["left_out"],
                ),
                private=body["private"],
            )
        except (KeyError, TypeError) as error:
            raise DraftGone("question") from error


def surface_of(interaction: Interaction, *, private: bool, place: Place) -> InteractionSurface:
    """The reply of an interaction that has been deferred."""
    return InteractionSurface(
        interaction.client.services.rest,
        application_id=interaction.application_id,
        token=interaction.token,
        channel_id=place.channel_id,
        ephemeral=private,
        bot_present=place.bot_present,
        expires_at=interaction.created_at.timestamp() + TOKEN_LIFE_S,
    )


def promising(interaction: Interaction, kind: Kind) -> AbstractAsyncContextManager[None]:
    """Around an acknowledgement that promises a reply, and all that is done to give it: see `Arrivals.promising`."""
    return interaction.client.services.arrivals.promising(
        Arrival(
            interaction_id=interaction.id,
            application_id=interaction.application_id,
            token=interaction.token,
            kind=kind,
        )
    )


class Ask(commands.Cog):
    """Every door through which a question comes in."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.answers = bot.services.answers
        catalog = bot.services.catalog
        app_commands.choices(
            model=[app_commands.Choice(name=model.choice_name, value=model.id) for model in catalog.chat_models]
        )(self.ask)
        limit = shown_size(bot.services.settings.file_limit_bytes)
        file = f"A text or source file to read, up to {limit}"
        app_commands.describe(**DESCRIPTIONS, file=file)(self.ask)  # all at once: what it leaves out it clears
        self._menu = app_commands.ContextMenu(name="Ask about this", callback=self.ask_about)
        self._complained: dict[tuple[int, int], float] = {}
        self._forms = forms_of(bot)

    async def cog_load(self) -> None:
        self.bot.tree.add_command(self._menu)
        self.bot.add_dynamic_items(AnswerButton)
        self._forms.add(_ABOUT, self._about_sent)
        self._recovering = asyncio.create_task(self._recover(), name="close what a crash left open")

    async def cog_unload(self) -> None:
        self.bot.tree.remove_command(self._menu.name, type=self._menu.type)
        self.bot.remove_dynamic_items(AnswerButton)
        self._forms.remove(_ABOUT)
        self._recovering.cancel()

    async def _recover(self) -> None:
        """Bring to their end the answers that an earlier process left, or that Discord was out of reach for."""
        await self.bot.wait_until_ready()
        failures = 0
        while True:
            try:
                failures = 0 if await self._recover_once() else failures + 1
            except StorageError as error:
                failures += 1
                log.error("answers of before could not be closed: %s", error)
            except Exception:  # the top of a loop: what one answer does to it is not the others' fault
                failures += 1
                log.exception("unexpected error while answers of before were closed")
            await self.bot.services.recovery.wait(failures)

    async def _recover_once(self) -> bool:
        """Whether nothing is left.

        Raises:
            StorageError: what is left cannot be read, or not be written down as closed.
        """
        services = self.bot.services
        assert self.bot.application_id is not None
        if closed := await services.arrivals.close_all():
            log.warning("replies that a crash left loading, with nothing begun: %d closed", closed)
        done = await services.recovery.close_all(self.bot.application_id)
        if done.finished or done.cut or done.unreachable:
            log.warning(
                "answers that were left open: %d finished, %d closed as cut off, %d out of reach",
                done.finished,
                done.cut,
                done.unreachable,
            )
        return not (done.left or services.arrivals.left)

    @app_commands.command(description="Ask the AI; it answers here, remembering this channel's conversation")
    async def ask(
        self,
        interaction: Interaction,
        prompt: app_commands.Range[str, 1, PROMPT_LIMIT],
        image: discord.Attachment | None = None,
        image2: discord.Attachment | None = None,
        image3: discord.Attachment | None = None,
        file: discord.Attachment | None = None,
        model: str | None = None,
        temperature: app_commands.Range[float, 0.0, 2.0] | None = None,
        max_tokens: app_commands.Range[int, 1, 32_768] | None = None,
        private: bool = False,
    ) -> None:
        await self.answer_here(
            interaction,
            Question(
                id=interaction.id,
                asker=asker_of(interaction.user),
                place=place_of(interaction),
                prompt=prompt,
                images=tuple(reference_to(each) for each in (image, image2, image3) if each is not None),
                file=reference_to(file) if file is not None else None,
                model=model,
                temperature=temperature,
                max_tokens=max_tokens,
                private=private,
            ),
        )

    async def ask_about(self, interaction: Interaction, message: discord.Message) -> None:
        """The message menu: a form asks for the question, the message goes with it."""
        draft = Draft(
            id=interaction.id,
            user_id=interaction.user.id,
            guild_id=interaction.guild_id,
            kind="question",
            body=asdict(Chosen.of(message, interaction.application_id)),
        )
        await interaction.client.services.drafts.keep(draft)
        await interaction.response.send_modal(AskAboutForm(draft.id))

    async def _about_sent(self, interaction: Interaction, match: "re.Match[str]", fields: Fields) -> None:
        prompt, only_me = fields.text("question"), fields.checked("only_me")
        chosen = await _chosen(interaction, int(match["draft_id"]))
        question = Question(
            id=interaction.id,
            asker=asker_of(interaction.user),
            place=place_of(interaction),
            prompt=prompt,
            images=chosen.attached.images,
            file=chosen.attached.file,
            left_out=chosen.attached.left_out,
            quoted=chosen.quoted,
            quoted_author=chosen.quoted_author,
            private=only_me or chosen.private,  # what only the asker saw stays so
        )
        if not await self.answer_here(interaction, question) and prompt.strip():
            await give_back(interaction, "", typed=prompt)

    async def answer_here(self, interaction: Interaction, question: Question) -> bool:
        """Answer a question as the reply to `interaction`; what is wrong at first sight is said to the asker alone.

        False: the reply says why there is no answer, and nothing else.
        """
        with log_context(request_id=question.id):
            self.answers.check(question)
            async with promising(interaction, "question"):
                with already_acknowledged():
                    await interaction.response.defer(thinking=True, ephemeral=question.private)
                surface = surface_of(interaction, private=question.private, place=question.place)
                answering = self.answers.answer(question, surface, self.bot.words_for)
                return await _filling(interaction, surface, answering)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """A mention, a reply that pings the bot, or a direct message. Bots are not answered: two could talk on."""
        if message.author.bot or message.type not in (discord.MessageType.default, discord.MessageType.reply):
            return
        me = self.bot.user
        assert me is not None
        if message.guild is not None and all(user.id != me.id for user in message.mentions):
            return
        with log_context(request_id=message.id):
            try:
                await self._answer_message(message, me.id)
            except DeliveryForbidden as error:
                await self._complain(message, error)
            except TooFast as error:
                if error.first:  # an answer to each message of a flood would be a flood, too
                    await self._say(message, self.bot.words_for(error))
            except RequestEnded:
                log.info("the same message came again after its answer had ended")
            except MessageGone:
                log.info("the answer or its channel was deleted")  # who did it does not want another message there
            except Exception as error:  # noqa: BLE001 - a listener's top: the one door takes whatever comes
                await self._say(message, self.bot.words_for(error))

    async def _answer_message(self, message: discord.Message, me: int) -> None:
        self._require_permissions(message)
        question = self._question_from(message, me)
        self.answers.check(question)
        surface = ChannelSurface(
            self.bot.services.rest, channel_id=message.channel.id, reply_to=message.id, ping_asker=False
        )
        typing = asyncio.create_task(self._show_typing(message.channel.id), name="typing")
        try:
            await self.answers.answer(question, surface, self.bot.words_for)
        finally:
            typing.cancel()

    async def _show_typing(self, channel_id: int) -> None:
        """A courtesy: neither its wait for the rate limits nor its failure is the answer's."""
        with contextlib.suppress(DeliveryError):
            await self.bot.services.rest.typing(channel_id)

    def _question_from(self, message: discord.Message, me: int) -> Question:
        content = text_of(message).replace(f"<@{me}>", "").replace(f"<@!{me}>", "").strip()
        replied = message.reference.resolved if message.reference else None
        quoted = replied if isinstance(replied, discord.Message) else None
        attached = attachments_of(message, *([quoted] if quoted is not None else []))
        return Question(
            id=message.id,
            is_message=True,
            asker=asker_of(message.author),
            place=Place(
                channel_id=message.channel.id, guild_id=message.guild.id if message.guild is not None else None
            ),
            prompt=content,
            images=attached.images,
            file=attached.file,
            left_out=attached.left_out,
            # Direct messages are never hidden: one without words is a sticker, or a poll.
            quoted=quotation(quoted, me, hidden=HIDDEN if message.guild else None) if quoted is not None else None,
            quoted_author=shown_name(quoted.author.display_name) if quoted is not None else None,
        )

    def _require_permissions(self, message: discord.Message) -> None:
        """Ask Discord for nothing that it would refuse: refusals in numbers get a bot's address banned for a while."""
        if message.guild is None or isinstance(message.channel, discord.PartialMessageable):
            return
        mine = message.channel.permissions_for(message.guild.me)
        may_send = mine.send_messages_in_threads if isinstance(message.channel, discord.Thread) else mine.send_messages
        if not (mine.view_channel and may_send):
            raise DeliveryForbidden("the bot may not write here")

    async def _say(self, message: discord.Message, words: str) -> None:
        try:
            await message.reply(words, mention_author=False)
        except RuntimeError:  # aiohttp's, of a session that has been closed
            if not self.bot.is_closed():
                raise
            log.info("a message came while the bot was ending")
        except discord.Forbidden as error:
            await self._complain(message, error)
        except NOT_TAKEN as error:
            log.warning("an error message could not be shown: %s", type(error).__name__)

    async def _complain(self, message: discord.Message, cause: Exception) -> None:
        """Tell by direct message that the bot may not write there, not more often than every ten minutes."""
        now = time.monotonic()
        self._complained = {key: at for key, at in self._complained.items() if now - at < COMPLAINT_PAUSE_S}
        key = (message.author.id, message.channel.id)
        if key in self._complained:
            return
        self._complained[key] = now
        log.info("may not write in channel %d: %s", message.channel.id, cause)
        try:
            await message.author.send(
                f"You asked me something in <#{message.channel.id}>, but I may not write there. A server admin can "
                "grant me View Channel and Send Messages (in threads: Send Messages in Threads). "
                "`/ask` works without them."
            )
        except NOT_TAKEN as error:
            log.info("nor can the asker be told: %s", type(error).__name__)


class AskAboutForm(Form, title="Ask about this message"):
    """Asks for the question about a message that was chosen before, and is kept as a draft."""

    question: discord.ui.Label["AskAboutForm"] = discord.ui.Label(
        text="Your question",
        component=discord.ui.TextInput(
            custom_id="question",
            style=discord.TextStyle.paragraph,
            placeholder="What does this mean? Translate it. What is in the picture?",
            max_length=MODAL_LIMIT,
        ),
    )
    only_me: discord.ui.Label["AskAboutForm"] = discord.ui.Label(
        text="Show the answer only to me",
        component=discord.ui.Checkbox(custom_id="only_me"),
    )

    def __init__(self, draft_id: int) -> None:
        super().__init__(custom_id=f"ask:about:{draft_id}")


async def _chosen(interaction: Interaction, draft_id: int) -> Chosen:
    """The message that the form was opened for. DraftGone where it is not known any more; StorageError."""
    drafts = interaction.client.services.drafts
    body = await drafts.get(min(draft_id, LARGEST_ID), "question", user_id=interaction.user.id)
    if body is None:
        raise DraftGone("question")
    return Chosen.from_draft(body)


Action: TypeAlias = Literal["stop", "again", "more", "delete"]


class AnswerButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"ask:(?P<action>stop|again|more|delete):(?P<answer_id>[0-9]{1,20})",
):
    """The buttons below an answer. They name a stored answer, so they outlive the process that made them."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], action: str, answer_id: int) -> None:
        super().__init__(item)
        self.action = action
        self.answer_id = answer_id

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, interaction: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "AnswerButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, match["action"], min(int(match["answer_id"]), LARGEST_ID))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await _ACTIONS[self.action](interaction, self.answer_id)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)


def moderates(interaction: Interaction) -> bool:
    """Whether who pressed a button may decide about what others asked for there."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


async def _stop(interaction: Interaction, answer_id: int) -> None:
    answers = interaction.client.services.answers
    at = place_of(interaction).channel_id
    if answers.is_open(answer_id):
        answers.stop(answer_id, by=interaction.user.id, at=at, moderator=moderates(interaction))
        await interaction.response.defer()
        return
    assert interaction.message is not None  # what has a button is one
    closed = await answers.close_forgotten(
        answer_id,
        by=interaction.user.id,
        at=at,
        moderator=moderates(interaction),
        message_id=interaction.message.id,
        shown=interaction.message.content,
    )
    if closed is None:
        await interaction.response.defer()
        return
    await interaction.response.edit_message(content=closed.content, view=_view_of(closed.buttons))


def _view_of(buttons: Sequence[Button]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for each in buttons:
        view.add_item(discord.ui.Button(custom_id=each.custom_id, label=each.label, emoji=each.emoji))
    view.stop()  # only its looks are wanted: `AnswerButton` answers for the buttons
    return view


async def _again(interaction: Interaction, answer_id: int) -> None:
    await _ask_anew(interaction, answer_id, carry_on=False)


async def _more(interaction: Interaction, answer_id: int) -> None:
    await _ask_anew(interaction, answer_id, carry_on=True)


async def _ask_anew(interaction: Interaction, answer_id: int, *, carry_on: bool) -> None:
    services = interaction.client.services
    place = place_of(interaction)
    record = await services.answers.record_for(answer_id, by=interaction.user.id, at=place.channel_id)
    services.answers.admit(interaction.user.id)
    private = record.question.private
    async with promising(interaction, "question"):
        with already_acknowledged():
            await interaction.response.defer(thinking=True, ephemeral=private)
        surface = surface_of(interaction, private=private, place=place)
        repeat = services.answers.carry_on if carry_on else services.answers.again
        answering = repeat(
            record,
            new_id=interaction.id,
            asker=asker_of(interaction.user),
            surface=surface,
            words=interaction.client.words_for,
        )
        await _filling(interaction, surface, answering)


async def _filling(interaction: Interaction, surface: InteractionSurface, answering: Awaitable[None]) -> bool:
    """Answer; an error that comes before the first word fills the reply that is still loading. False: one did."""
    try:
        await answering
    except DeliveryError:
        raise  # the reply itself may be what is gone
    except RequestEnded:
        # Discord has delivered it again: words about that would take the place of the answer that stands there.
        log.info("the same interaction came again after its answer had ended")
    except Exception as error:
        if surface.has_written:
            raise
        await interaction.client.report(interaction, error, loading=True)
        return False
    return True


async def _delete(interaction: Interaction, answer_id: int) -> None:
    services = interaction.client.services
    place = place_of(interaction)
    messages = await services.answers.delete(
        answer_id, by=interaction.user.id, at=place.channel_id, moderator=moderates(interaction)
    )
    await interaction.response.defer()
    here = interaction.message.id if interaction.message else None
    with contextlib.suppress(discord.NotFound):  # a second press, or a moderator, was quicker
        await interaction.delete_original_response()
    others = [other for other in messages if other[1] != here]
    if not others:
        return
    private = interaction.message is not None and interaction.message.flags.ephemeral
    if private or not place.bot_present:
        # A button's token reaches the message with the button alone, and the bot's own routes none of these.
        await interaction.followup.send(LEFT_BEHIND_PRIVATE if private else LEFT_BEHIND, ephemeral=True)
        return
    for channel_id, message_id in others:
        with contextlib.suppress(MessageGone):
            await services.rest.delete_message(channel_id, message_id)


_ACTIONS: Final = {"stop": _stop, "again": _again, "more": _more, "delete": _delete}


async def setup(bot: Bot) -> None:
    await bot.add_cog(Ask(bot))
