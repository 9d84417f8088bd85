"""`/imagine`, the message menu "Picture this", and the buttons below pictures: Discord in, an `Order` out."""

import asyncio
import contextlib
import logging
import re
from dataclasses import replace
from typing import Any, Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import Bot, already_acknowledged
from bot.credits.policy import DIRECT_SCOPE
from bot.drafts import Draft
from bot.errors import DeliveryError, DeliveryForbidden, DraftGone, MessageGone, NothingChosen
from bot.guilds import DEFAULTS
from bot.ops.logging import log_context
from bot.pictures import showing
from bot.pictures.choosing import Asked, Rules, choose, shape_sides
from bot.pictures.orders import Stored
from bot.pictures.request import PROMPT_LIMIT, SHAPES, Order, Picture
from bot.storage.errors import StorageBusy, StorageError
from cogs.ask import LARGEST_ID, Interaction, asker_of, moderates, place_of, promising, quotation
from cogs.forms import Fields, forms_of, give_back
from cogs.imagine_forms import KEPT, SENT, Kept, PictureForm, Typed, Wanted
from cogs.picture_options import (
    DESCRIPTIONS,
    SCHEDULER_CHOICES,
    SHAPE_CHOICES,
    CfgScale,
    Count,
    Prompt,
    Side,
    Steps,
    model_choices,
    of_their_kinds,
    price_range,
)

log = logging.getLogger(__name__)

READ_S: Final = 1.0
"""How long what an acknowledgement waits for may be read from the database: Discord gives three seconds in all."""

_EMOJI: Final = re.compile(r"<a?:(\w+):\d+>")
"""A server's own emoji as messages carry it; its name is all that can be drawn."""


def is_age_restricted(interaction: Interaction) -> bool:
    """Whether everybody who reads along there is of age, by Discord's rules; a thread is as its channel.

    Not so in direct messages, and where the channel of a thread is unknown because the bot is no member: what cannot be
    made sure of is not assumed.
    """
    channel: object = interaction.channel
    if isinstance(channel, discord.Thread):
        channel = channel.parent
    restrictable = (discord.TextChannel, discord.VoiceChannel, discord.StageChannel, discord.ForumChannel)
    return isinstance(channel, restrictable) and channel.is_nsfw()


async def rules_for(interaction: Interaction) -> Rules:
    """What holds where the interaction happened.

    Raises:
        StorageError: the server's settings could not be read in time.
    """
    services, scope_id = interaction.client.services, place_of(interaction).scope_id
    guild = DEFAULTS
    if scope_id != DIRECT_SCOPE:
        try:
            async with asyncio.timeout(READ_S):
                guild = await services.guilds.settings(scope_id)
        except TimeoutError as error:
            raise StorageBusy("the server's settings were not read in time") from error
    return Rules(catalog=services.catalog, guild=guild, age_restricted=is_age_restricted(interaction))


async def order_here(interaction: Interaction, wanted: Wanted) -> bool:
    """Order what is wanted as the reply to `interaction`; what is wrong at first sight is raised before there is one.

    False: the reply, which was there already, says what went wrong.
    """
    picture = choose(wanted.asked, await rules_for(interaction))
    return await place(interaction, picture, count=wanted.count, spoiler=wanted.spoiler, private=wanted.private)


async def place(interaction: Interaction, picture: Picture, *, count: int, spoiler: bool, private: bool) -> bool:
    """Order that picture, which is known to be allowed there. As `order_here`."""
    pictures = interaction.client.services.pictures
    order = Order(
        id=interaction.id,
        asker=asker_of(interaction.user),
        place=place_of(interaction),
        picture=picture,
        count=count,
        spoiler=spoiler,
        private=private,
        application_id=interaction.application_id,
        token=interaction.token,
        message_id=0,
        upload_limit_bytes=interaction.filesize_limit,
    )
    with log_context(request_id=order.id):
        pictures.check(picture.model, order.asker, order.place)
        async with promising(interaction, "picture"):
            message_id, hidden = await _deferred(interaction, private=private)
            try:
                order = replace(order, message_id=message_id, private=hidden)
                await pictures.order(order, interaction.client.words_for)
            except DeliveryError:
                raise  # the reply itself may be what is gone
            except Exception as error:  # noqa: BLE001 - the reply is loading: whatever it is, the one door fills it
                await interaction.client.report(interaction, error, loading=True)
                return False
    return True


async def _deferred(interaction: Interaction, *, private: bool) -> tuple[int, bool]:
    """The id of the reply that now shows as loading, and whether only the asker sees it: Discord may decide so."""
    with already_acknowledged():
        response = await interaction.response.defer(thinking=True, ephemeral=private)
        if response is not None and response.message_id is not None:
            return response.message_id, private or response.is_ephemeral()
    reply = await interaction.original_response()
    return reply.id, reply.flags.ephemeral


class KeptOrders(commands.Cog):
    """What outlives a process: the orders that have not ended, and the buttons below all others.

    Apart from the doors to new orders, which go where the operator retires every model.
    """

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self._forms = forms_of(bot)

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(PictureButton, ShapeSelect, BackButton)
        self._forms.add(SENT, _form_sent)
        self._resuming = asyncio.create_task(self._resume(), name="go on with pictures of before")

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(PictureButton, ShapeSelect, BackButton)
        self._forms.remove(SENT)
        self._resuming.cancel()

    async def _resume(self) -> None:
        """Take up, once, the orders that an earlier process left, and from then on the new ones.

        Needs no gateway, only the login: discord.py is not ready before it has waited two seconds for more servers.
        """
        try:
            await self.bot.services.pictures.resume(self.bot.words_for)
        except StorageError as error:
            log.error("the pictures of before wait for the next start: %s", error)


class Imagine(commands.Cog):
    """Every door through which a picture is ordered."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        catalog, unit = bot.services.catalog, bot.services.unit
        price = price_range(catalog.image_models, unit)
        app_commands.choices(model=model_choices(catalog, unit))(self.imagine)
        app_commands.describe(  # all at once: what it leaves out it clears
            prompt="What to draw",
            count=f"How many pictures, 1 to 4, for {price} each",
            spoiler="Hide the pictures until somebody clicks on them",
            private="Show them only to you",
            **DESCRIPTIONS,
        )(self.imagine)
        self._menu = app_commands.ContextMenu(name="Picture this", callback=self.picture_this)

    async def cog_load(self) -> None:
        self.bot.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        self.bot.tree.remove_command(self._menu.name, type=self._menu.type)

    @app_commands.command(description="Draw pictures of what you describe")
    @app_commands.choices(scheduler=SCHEDULER_CHOICES, shape=SHAPE_CHOICES)
    async def imagine(
        self,
        interaction: Interaction,
        prompt: Prompt,
        model: str | None = None,
        shape: str | None = None,
        count: Count = 1,
        negative_prompt: Prompt | None = None,
        steps: Steps | None = None,
        cfg_scale: CfgScale | None = None,
        scheduler: str | None = None,
        width: Side | None = None,
        height: Side | None = None,
        spoiler: bool = False,
        private: bool = False,
    ) -> None:
        sent: dict[str, Any] = {"model": model, "shape": shape, "negative_prompt": negative_prompt}
        sent |= {"steps": steps, "cfg_scale": cfg_scale, "scheduler": scheduler, "width": width, "height": height}
        of_their_kinds({"prompt": prompt, "count": count, **sent})
        asked = Asked(prompt=prompt, **sent)
        await order_here(
            interaction, Wanted(asked=asked, count=count, spoiler=spoiler is True, private=private is True)
        )

    async def picture_this(self, interaction: Interaction, message: discord.Message) -> None:
        """The message menu: a form with the message's text as the prompt. What only the asker saw stays so."""
        rules = await rules_for(interaction)
        assert interaction.client.user is not None
        picture = choose(Asked(prompt=prompt_of(message, interaction.client.user.id)), rules)
        await _show_form(
            interaction,
            rules,
            "menu",
            Typed.of(picture, count=1, spoiler=False, private=message.flags.ephemeral),
        )


def prompt_of(message: discord.Message, me: int) -> str:
    """What a message says, as words to draw: names for mentions and emoji, and without the bot's own footers."""
    text = quotation(message, me) or ""
    for user in message.mentions:
        text = text.replace(f"<@{user.id}>", user.display_name).replace(f"<@!{user.id}>", user.display_name)
    return _EMOJI.sub(r"\1", text)[:PROMPT_LIMIT]


async def _show_form(interaction: Interaction, rules: Rules, name: str, typed: Typed) -> None:
    """A form with the models that can be chosen there. Where there are none, raises why."""
    rules.pick_model()
    form = PictureForm(name, typed, rules.offered, interaction.client.services.unit)
    await interaction.response.send_modal(form)


async def _form_sent(interaction: Interaction, match: "re.Match[str]", fields: Fields) -> None:
    """Order what was typed; where nothing comes of it, say why, and give it back."""
    typed = Typed.read(fields)
    try:
        if await order_here(interaction, typed.wanted()):
            return
        words = ""  # the reply has said it
    except Exception as error:  # noqa: BLE001 - whatever it is, what was typed must not be lost
        words = interaction.client.words_for(error)
    await _give_back(interaction, words, Kept(form=match["name"], typed=typed))


async def _give_back(interaction: Interaction, words: str, kept: Kept) -> None:
    """With a button that opens the form again; where the disk does not take what was typed, with that itself."""
    draft = Draft(
        id=interaction.id,
        user_id=interaction.user.id,
        guild_id=interaction.guild_id,
        kind="picture",
        body=kept.body(),
    )
    try:
        await interaction.client.services.drafts.keep(draft)
    except (StorageError, ValueError) as error:  # the latter: an altered client sent more than a form can hold
        log.warning("what was typed could not be kept: %s", type(error).__name__)
        await give_back(interaction, words, typed=kept.typed.text)
    else:
        await give_back(interaction, f"{words}\n{KEPT}".lstrip(), view=_back_view(draft.id))


def _back_view(draft_id: int) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Back to the form", emoji="✏️", custom_id=f"picture:back:{draft_id}"))
    view.stop()  # only its looks are wanted: `BackButton` answers
    return view


async def _stored(interaction: Interaction, order_id: int) -> Stored:
    """The order of a button. NothingToRepeat where it is not known there; StorageError where it took too long."""
    try:
        async with asyncio.timeout(READ_S):
            return await interaction.client.services.pictures.stored(
                order_id, by=interaction.user.id, at=place_of(interaction).channel_id
            )
    except TimeoutError as error:
        raise StorageBusy("the order was not read in time") from error


class PictureButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"picture:(?P<action>cancel|again|edit|shape|details|delete):(?P<order_id>[0-9]{1,20})",
):
    """The buttons below pictures. They name a stored order, so they outlive the process that made them."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], action: str, order_id: int) -> None:
        super().__init__(item)
        self.action = action
        self.order_id = order_id

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "PictureButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, match["action"], int(match["order_id"]))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await _ACTIONS[self.action](interaction, self.order_id)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)


class ShapeSelect(
    discord.ui.DynamicItem[discord.ui.Select[discord.ui.View]],
    template=r"picture:shape-of:(?P<order_id>[0-9]{1,20})",
):
    """Takes the shape in which a stored order is drawn again."""

    def __init__(self, item: discord.ui.Select[discord.ui.View], order_id: int) -> None:
        super().__init__(item)
        self.order_id = order_id

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "ShapeSelect":
        assert isinstance(item, discord.ui.Select)
        return cls(item, int(match["order_id"]))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await _order_shaped(interaction, self.order_id, self.item.values)
        except Exception as error:  # noqa: BLE001 - as above
            await interaction.client.report(interaction, error)


class BackButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"picture:back:(?P<draft_id>[0-9]{1,20})",
):
    """Opens a form again with what its presser had typed, whichever process gave that back."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], draft_id: int) -> None:
        super().__init__(item)
        self.draft_id = draft_id

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "BackButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, min(int(match["draft_id"]), LARGEST_ID))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await _back(interaction, self.draft_id)
        except Exception as error:  # noqa: BLE001 - as above
            await interaction.client.report(interaction, error)


async def _back(interaction: Interaction, draft_id: int) -> None:
    body = await interaction.client.services.drafts.get(draft_id, "picture", user_id=interaction.user.id)
    if body is None:
        raise DraftGone("picture")
    kept = Kept.from_draft(body)
    await _show_form(interaction, await rules_for(interaction), kept.form, kept.typed)


async def _cancel(interaction: Interaction, order_id: int) -> None:
    await interaction.response.defer()
    await interaction.client.services.pictures.cancel(
        order_id, by=interaction.user.id, at=place_of(interaction).channel_id, moderator=moderates(interaction)
    )


async def _again(interaction: Interaction, order_id: int) -> None:
    order = (await _stored(interaction, order_id)).order
    await _order_anew(interaction, order, order.picture)


async def _order_shaped(interaction: Interaction, order_id: int, chosen: list[str]) -> None:
    if not chosen:
        raise NothingChosen
    sides = shape_sides(chosen[0])
    order = (await _stored(interaction, order_id)).order
    await _order_anew(interaction, order, replace(order.picture, width=sides["width"], height=sides["height"]))


async def _order_anew(interaction: Interaction, order: Order, picture: Picture) -> None:
    """Order `picture` as that order was, by who presses: theirs to pay, and to decide about.

    Its values were checked when it was ordered, perhaps years ago; as a new one they are checked by today's rules.
    """
    rules = await rules_for(interaction)
    rules.permit(picture.model)
    rules.permit_words(picture.prompt)
    await place(interaction, replace(picture), count=order.count, spoiler=order.spoiler, private=order.private)


async def _edit(interaction: Interaction, order_id: int) -> None:
    order = (await _stored(interaction, order_id)).order
    typed = Typed.of(order.picture, count=order.count, spoiler=order.spoiler, private=order.private)
    await _show_form(interaction, await rules_for(interaction), "edit", typed)


async def _shape(interaction: Interaction, order_id: int) -> None:
    services = interaction.client.services
    order = (await _stored(interaction, order_id)).order
    (await rules_for(interaction)).permit(order.picture.model)
    options = [
        discord.SelectOption(
            label=name.capitalize(),
            value=name,
            description=f"{width} × {height}" + (", as it is now" if name == order.picture.shape else ""),
        )
        for name, (width, height) in SHAPES.items()
    ]
    view = discord.ui.View(timeout=None)
    select: discord.ui.Select[discord.ui.View] = discord.ui.Select(
        custom_id=f"picture:shape-of:{order.id}", options=options, placeholder="Choose a shape"
    )
    view.add_item(select)
    view.stop()  # only its looks are wanted: `ShapeSelect` answers
    cost = services.catalog.image_model(order.picture.model).price(order.count)
    await interaction.response.send_message(
        f"Draw it again in another shape, for {showing.price_in_words(cost, services.unit)}:", view=view, ephemeral=True
    )


async def _details(interaction: Interaction, order_id: int) -> None:
    order = (await _stored(interaction, order_id)).order
    await interaction.response.send_message(showing.details(order), ephemeral=True)


async def _delete(interaction: Interaction, order_id: int) -> None:
    services, here = interaction.client.services, place_of(interaction)
    await interaction.response.defer()  # first of all: pictures that are on their way are waited for
    messages = await services.pictures.delete(
        order_id, by=interaction.user.id, at=here.channel_id, moderator=moderates(interaction)
    )
    with contextlib.suppress(discord.NotFound):  # a second press, or a moderator, was quicker
        await interaction.delete_original_response()
    pressed = interaction.message.id if interaction.message else None
    for channel_id, message_id in messages:
        if message_id != pressed:
            # Where it can be deleted by nobody but who sees it, or is gone already, there is nothing left to do.
            with contextlib.suppress(MessageGone, DeliveryForbidden):
                await services.rest.delete_message(channel_id, message_id)


_ACTIONS: Final = {
    "cancel": _cancel,
    "again": _again,
    "edit": _edit,
    "shape": _shape,
    "details": _details,
    "delete": _delete,
}


async def setup(bot: Bot) -> None:
    await bot.add_cog(KeptOrders(bot))
    if bot.services.catalog.image_models:
        await bot.add_cog(Imagine(bot))
