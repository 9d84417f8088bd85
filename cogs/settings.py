"""`/settings`: what a server's admins decide for their server. They only narrow what the operator allows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import format_dt

from bot.answers.history import Mode
from bot.answers.plain import escaped
from bot.catalog import ChatModel, ImageModel
from bot.client import Bot
from bot.credits.policy import Period, period_bounds, zone_names
from bot.errors import DefaultLeftOut, NothingChosen, OutOfRange
from bot.guilds import PERSONA_LIMIT, GuildSettings, SettingsChange, find_zone
from bot.pictures.choosing import shape_sides
from bot.pictures.defaults import PictureDefaults
from bot.wordlist import LIST_LIMIT, parse_words
from cogs.ask import Interaction
from cogs.decisions import (
    SETTING_NAMES,
    answer,
    check_log_channel,
    decided,
    models_words,
    plain,
    setting_words,
)
from cogs.forms import Fields, Form, forms_of
from cogs.picture_options import (
    DESCRIPTIONS,
    SCHEDULER_CHOICES,
    SHAPE_CHOICES,
    CfgScale,
    Prompt,
    Side,
    Steps,
    model_choices,
    of_their_kinds,
    price_each,
    price_range,
)
from cogs.usage import require_manager

ZONES_SUGGESTED: Final = 25
"""Discord's limit for the choices of an autocomplete."""
LONGEST_KEPT: Final = 3_650
"""Days that a server can choose where the operator keeps everything for ever."""
PERSONA_SHOWN: Final = 300
PERSONA_LINES: Final = 10
"""Characters and lines of the persona that `show` quotes; `/settings persona` has the rest."""
NONE_DRAWS: Final = "The bot's operator offers no models that draw."

Model: TypeAlias = ChatModel | ImageModel
Edit: TypeAlias = Callable[[GuildSettings], GuildSettings]

_PERSONA: Final = re.compile("settings:persona")
_WORDS: Final = re.compile("settings:blocked-words")
"""The custom ids of the forms. They need not say more: the server is where they are sent from."""

_PERIODS: Final[tuple[Period, ...]] = ("day", "week", "month")


class PostedIn(app_commands.Transformer):
    """A channel as Discord sends it: whether the bot sees it, and may write there, we say in words of our own."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        kinds = discord.ChannelType
        return [kinds.text, kinds.news, kinds.public_thread, kinds.private_thread, kinds.news_thread]

    async def transform(self, _: Interaction, value: discord.Object, /) -> int:  # type: ignore[override]  # our client
        """The channel's id."""
        return value.id


LogChannel: TypeAlias = app_commands.Transform[int, PostedIn]


@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class SettingsCog(commands.GroupCog, group_name="settings", group_description="How I work in this server"):
    """Each command asks for Manage Server itself: a server's override of Discord's check lets nobody else through."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.services = bot.services
        self._forms = forms_of(bot)
        catalog = bot.services.catalog
        self.operator_model = bot.services.settings.default_model or catalog.default.id
        app_commands.choices(
            model=[app_commands.Choice(name=model.choice_name, value=model.id) for model in catalog.chat_models]
        )(self.default_model)
        app_commands.choices(model=model_choices(catalog, self.services.unit))(self.picture_defaults)

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(ModelSelect)
        self._forms.add(_PERSONA, self._persona_sent)
        self._forms.add(_WORDS, self._words_sent)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(ModelSelect)
        self._forms.remove(_PERSONA)
        self._forms.remove(_WORDS)

    @app_commands.command(description="What is decided for this server")
    async def show(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        settings = await self.services.guilds.settings(guild.id)
        lines = [f"### Settings of {plain(guild.name)}"]
        for name, words in SETTING_NAMES.items():
            value = setting_words(name, getattr(settings, name))
            note = f" (`{self.operator_model}`)" if name == "default_model" and settings.default_model is None else ""
            lines.append(f"- {words[0].upper()}{words[1:]}: **{value}**{note}")
            if name == "age_restricted_models":
                lines += self._marked_by_operator()
        if settings.persona is not None:
            lines.append(_quoted(settings.persona))
        lines.append("-# Credits are decided with `/quota`, who shares a memory in one channel with `/history mode`.")
        await interaction.followup.send("\n".join(lines), ephemeral=True)

    @app_commands.command(name="log-channel", description="Where changes of credits and settings are posted")
    @app_commands.describe(channel="I must be able to write there; leave it out to post nowhere")
    async def log_channel(self, interaction: Interaction, channel: LogChannel | None = None) -> None:
        guild = await self._begin(interaction)
        if channel is not None:
            check_log_channel(guild, channel)
        await self._change(interaction, guild, lambda now: replace(now, log_channel_id=channel))

    @app_commands.command(name="time-zone", description="Whose midnight begins a new day for credits here")
    @app_commands.describe(zone="Such as Europe/Paris; type to search")
    async def time_zone(self, interaction: Interaction, zone: app_commands.Range[str, 1, 100]) -> None:
        guild = await self._begin(interaction)
        name = find_zone(zone)
        await self._change(interaction, guild, lambda now: replace(now, time_zone=name), said=_periods)

    @time_zone.autocomplete("zone")
    async def suggest_zones(self, _: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        now = datetime.now(UTC)
        return [
            app_commands.Choice(name=f"{name} ({now.astimezone(ZoneInfo(name)):%a %H:%M} there now)", value=name)
            for name in matching_zones(typed)
        ]

    @app_commands.command(name="default-model", description="Which model answers when nobody chooses one")
    @app_commands.describe(model="Leave it out for the operator's choice")
    async def default_model(self, interaction: Interaction, model: str | None = None) -> None:
        guild = await self._begin(interaction)
        chosen = None if model is None else self.services.catalog.chat_model(model).id

        def edit(now: GuildSettings) -> GuildSettings:
            now.check_model(chosen or self.operator_model)
            return replace(now, default_model=chosen)

        await self._change(interaction, guild, edit)

    @app_commands.command(name="allowed-models", description="Which models members can choose here")
    async def allowed_models(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        settings = await self.services.guilds.settings(guild.id)
        await interaction.followup.send(
            f"Which models may members of this server use? Now: **"
            f"{setting_words('allowed_models', settings.allowed_models)}**",
            view=self._model_view(settings),
            ephemeral=True,
        )

    @app_commands.command(description="How I present myself and answer here, in your words")
    async def persona(self, interaction: Interaction) -> None:
        guild_id = require_manager(interaction)
        settings = await self.services.guilds.settings(guild_id)
        await interaction.response.send_modal(PersonaForm(settings.persona))

    @app_commands.command(
        name="blocked-words", description="Words that are refused in what members ask, and masked in what I answer"
    )
    async def blocked_words(self, interaction: Interaction) -> None:
        guild_id = require_manager(interaction)
        settings = await self.services.guilds.settings(guild_id)
        await interaction.response.send_modal(WordsForm(settings.blocked_words))

    @app_commands.command(description="Whether members can order pictures here")
    @app_commands.describe(pictures="on or off")
    @app_commands.rename(pictures="allowed")
    async def images(self, interaction: Interaction, pictures: Literal["on", "off"]) -> None:
        guild = await self._begin(interaction)
        await self._change(
            interaction, guild, lambda now: replace(now, images=pictures == "on"), said=self._said_of_pictures
        )

    @app_commands.command(name="picture-defaults", description="How pictures are drawn here where nobody says how")
    @app_commands.describe(**DESCRIPTIONS, clear="Yes: forget what was decided before; the rest is the API's own again")
    @app_commands.choices(scheduler=SCHEDULER_CHOICES, shape=SHAPE_CHOICES)
    async def picture_defaults(
        self,
        interaction: Interaction,
        model: str | None = None,
        shape: str | None = None,
        negative_prompt: Prompt | None = None,
        scheduler: str | None = None,
        steps: Steps | None = None,
        cfg_scale: CfgScale | None = None,
        width: Side | None = None,
        height: Side | None = None,
        clear: bool = False,
    ) -> None:
        guild = await self._begin(interaction)
        sent: dict[str, object] = {"model": model, "shape": shape, "negative_prompt": negative_prompt}
        sent |= {"scheduler": scheduler, "steps": steps, "cfg_scale": cfg_scale, "width": width, "height": height}
        given = {name: value for name, value in of_their_kinds(sent).items() if value is not None}
        if not given and not clear:
            await self._show_defaults(interaction, guild)
            return
        chosen = shape_sides(given.pop("shape", None)) | given
        if model is not None:
            self.services.catalog.image_model(model)

        def edit(now: GuildSettings) -> GuildSettings:
            kept = {} if clear else now.picture_defaults.chosen
            return replace(now, picture_defaults=PictureDefaults(**kept | chosen))

        await self._change(interaction, guild, edit)

    @app_commands.command(name="picture-models", description="Which models draw pictures here")
    async def picture_models(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        if not self.services.catalog.image_models:
            await interaction.followup.send(NONE_DRAWS, ephemeral=True)
            return
        settings = await self.services.guilds.settings(guild.id)
        now = setting_words("picture_models", settings.picture_models)
        await interaction.followup.send(
            f"Which models may draw for members of this server? Now: **{now}**",
            view=self._picture_view("picture-models", lambda each: _among(each.id, settings.picture_models)),
            ephemeral=True,
        )

    @app_commands.command(name="age-restricted-models", description="Which models draw in age-restricted channels only")
    async def age_restricted_models(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        if not self.services.catalog.image_models:
            await interaction.followup.send(NONE_DRAWS, ephemeral=True)
            return
        settings = await self.services.guilds.settings(guild.id)
        now = setting_words("age_restricted_models", settings.age_restricted_models)
        lines = [
            f"Which models are to draw in age-restricted channels only? Now: **{now}**",
            *self._marked_by_operator(),
        ]
        await interaction.followup.send(
            "\n".join(lines),
            view=self._picture_view(
                "age-restricted-models",
                lambda each: each.age_restricted or each.id in settings.age_restricted_models,
                least=0,
            ),
            ephemeral=True,
        )

    @app_commands.command(description="How channels remember where nobody chose with /history mode")
    @app_commands.describe(mode="shared: one memory for everyone; personal: one each; off: none; left out: my own way")
    async def memory(self, interaction: Interaction, mode: Mode | None = None) -> None:
        guild = await self._begin(interaction)
        await self._change(interaction, guild, lambda now: replace(now, memory=mode))

    @app_commands.command(description="How long questions, answers and orders are kept, and buttons work")
    @app_commands.describe(days="Older ones are deleted within the hour; leave it out for the operator's choice")
    async def retention(self, interaction: Interaction, days: int | None = None) -> None:
        guild = await self._begin(interaction)
        privacy = self.services.privacy
        longest = privacy.limits.memory or LONGEST_KEPT
        if days is not None and not 1 <= days <= longest:
            raise OutOfRange("days", low=1, high=longest)
        kept = days or privacy.limits.memory
        falling = await privacy.falls_under(guild.id, days)
        await self._change(
            interaction,
            guild,
            lambda now: replace(now, retention_days=days),
            said=lambda _: _said_of_retention(kept, falling),
        )
        privacy.forget_soon()

    async def allow(self, interaction: Interaction, guild: discord.Guild, chosen: list[str]) -> None:
        """Let members choose among these models. All of them stand for whatever the operator will offer, too.

        Raises:
            NothingChosen, UnknownModel, DefaultLeftOut: nothing is changed.
        """
        allowed = _narrowed(
            [self.services.catalog.chat_model(name) for name in chosen], self.services.catalog.chat_models
        )

        def edit(now: GuildSettings) -> GuildSettings:
            default = now.default_model or self.operator_model
            if allowed and default not in allowed:
                raise DefaultLeftOut(default, allowed)
            return replace(now, allowed_models=allowed)

        await self._change(interaction, guild, edit)

    async def allow_pictures(self, interaction: Interaction, guild: discord.Guild, chosen: list[str]) -> None:
        """The same for the models that draw. The operator's default may be left out: another one takes its place.

        Raises:
            NothingChosen, UnknownModel, DefaultLeftOut: nothing is changed.
        """
        models = self.services.catalog.image_models
        allowed = _narrowed([self.services.catalog.image_model(name) for name in chosen], models)

        def edit(now: GuildSettings) -> GuildSettings:
            default = now.picture_defaults.model
            if allowed and default is not None and default not in allowed:
                raise DefaultLeftOut(default, allowed, "picture")
            return replace(now, picture_models=allowed)

        await self._change(interaction, guild, edit)

    async def restrict_pictures(self, interaction: Interaction, guild: discord.Guild, chosen: list[str]) -> None:
        """Keep these models to age-restricted channels; those that the operator keeps to them stay so in any case.

        Raises:
            UnknownModel: nothing is changed.
        """
        wanted = {self.services.catalog.image_model(name).id for name in chosen}
        restricted = tuple(
            model.id for model in self.services.catalog.image_models if model.id in wanted and not model.age_restricted
        )
        await self._change(interaction, guild, lambda now: replace(now, age_restricted_models=restricted))

    async def _persona_sent(self, interaction: Interaction, _: "re.Match[str]", fields: Fields) -> None:
        await self.set_persona(interaction, fields.text("persona"))

    async def _words_sent(self, interaction: Interaction, _: "re.Match[str]", fields: Fields) -> None:
        await self.set_words(interaction, fields.text("words"))

    async def set_persona(self, interaction: Interaction, text: str) -> None:
        """Empty stands for the operator's.

        Raises:
            PromptTooLong: over PERSONA_LIMIT.
        """
        guild = await self._begin(interaction)
        persona = text.strip() or None
        await self._change(interaction, guild, lambda now: replace(now, persona=persona), said=_cost_of_persona)

    async def set_words(self, interaction: Interaction, text: str) -> None:
        """Empty: nothing is blocked.

        Raises:
            WordListRefused: too many, too long, or nothing that could be looked for.
        """
        require_manager(interaction)  # first of all: whoever makes up a form learns nothing from it
        words = parse_words(text)
        guild = await self._begin(interaction)
        await self._change(interaction, guild, lambda now: replace(now, blocked_words=words))

    async def _begin(self, interaction: Interaction) -> discord.Guild:
        """The server, once it is sure that the asker may decide here."""
        require_manager(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        assert interaction.guild is not None
        return interaction.guild

    async def _change(
        self,
        interaction: Interaction,
        guild: discord.Guild,
        edit: Edit,
        *,
        said: Callable[[GuildSettings], list[str]] = lambda _: [],
    ) -> None:
        """Change the settings, post it, and say what is different now; `said` adds what follows from it."""
        decision = decided(interaction)
        change = await self.services.guilds.change(guild.id, edit, decision)
        lines = [_changed_words(name, change) for name in change.changed] or ["Nothing has changed: it was so before."]
        lines += said(change.after)
        if not change.changed:
            await interaction.followup.send("\n".join(lines), ephemeral=True)
            return
        logged = (await self.services.guilds.log(guild.id, before=decision.key + 1, limit=1))[0]
        await answer(interaction, guild, lines, logged, change.before, change.after)

    async def _show_defaults(self, interaction: Interaction, guild: discord.Guild) -> None:
        settings = await self.services.guilds.settings(guild.id)
        now = settings.picture_defaults
        lines = [f"Pictures are drawn with **{setting_words('picture_defaults', now)}** where nobody says how."]
        if now.negative_prompt is not None:
            lines.append(f"Left out of them: {plain(now.negative_prompt[:PERSONA_SHOWN])}")
        lines.append("-# Give an option to decide it; `clear` goes back to the API's own.")
        await interaction.followup.send("\n".join(lines), ephemeral=True)

    def _said_of_pictures(self, settings: GuildSettings) -> list[str]:
        """What holds for pictures beside whether there are any."""
        if not settings.images:
            return ["-# Pictures that were ordered before are still delivered."]
        names = ("picture_models", "picture_defaults", "age_restricted_models")
        lines = [
            f"- {SETTING_NAMES[name].capitalize()}: {setting_words(name, getattr(settings, name))}" for name in names
        ]
        price = price_range(self.services.catalog.image_models, self.services.unit)
        return [*lines, *self._marked_by_operator(), f"-# {price} a picture; `/quota` decides who may spend how much."]

    def _marked_by_operator(self) -> list[str]:
        marked = [model.id for model in self.services.catalog.image_models if model.age_restricted]
        return [f"-# By the bot's operator, too: {models_words(marked)}"] if marked else []

    def _model_view(self, settings: GuildSettings) -> discord.ui.View:
        return _select_view(
            "models",
            [
                discord.SelectOption(
                    label=model.id,
                    description=model.choice_name,
                    value=model.id,
                    default=_among(model.id, settings.allowed_models),
                )
                for model in self.services.catalog.chat_models
            ],
        )

    def _picture_view(self, what: str, chosen: Callable[[ImageModel], bool], *, least: int = 1) -> discord.ui.View:
        options = [
            discord.SelectOption(
                label=model.id,
                description=price_each(model, self.services.unit)
                + (", age-restricted by the bot's operator" if model.age_restricted else ""),
                value=model.id,
                default=chosen(model),
            )
            for model in self.services.catalog.image_models
        ]
        return _select_view(what, options, least=least)


def _select_view(what: str, options: list[discord.SelectOption], *, least: int = 1) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(
        discord.ui.Select(custom_id=f"settings:{what}", min_values=least, max_values=len(options), options=options)
    )
    view.stop()  # only its looks are wanted: `ModelSelect` answers
    return view


def _among(model: str, allowed: tuple[str, ...]) -> bool:
    return not allowed or model in allowed


def _narrowed(chosen: Sequence[Model], offered: Sequence[Model]) -> tuple[str, ...]:
    """The ids of the chosen models in their usual order; none for all of them.

    Raises:
        NothingChosen.
    """
    if not chosen:
        raise NothingChosen
    wanted = {model.id for model in chosen}
    every = [model.id for model in offered]
    return () if wanted >= set(every) else tuple(name for name in every if name in wanted)


def matching_zones(typed: str) -> list[str]:
    """Names in which what was typed occurs, with spaces for underscores: those that begin with it first."""
    wanted = "_".join(typed.split()).casefold()
    found = [name for name in zone_names() if wanted in name.casefold()]

    def rank(name: str) -> tuple[bool, bool, str]:
        folded = name.casefold()
        return not folded.rpartition("/")[2].startswith(wanted), not folded.startswith(wanted), name

    return sorted(found, key=rank)[:ZONES_SUGGESTED]


def _changed_words(name: str, change: SettingsChange) -> str:
    before, after = (setting_words(name, getattr(settings, name)) for settings in (change.before, change.after))
    words = SETTING_NAMES[name]
    return f"✅ {words[0].upper()}{words[1:]}: {before} → **{after}**"


def _quoted(text: str) -> str:
    """The beginning of a text as a quote in which no Markdown and no mention works."""
    beginning = "\n".join(text[:PERSONA_SHOWN].splitlines()[:PERSONA_LINES])
    more = "…" if len(beginning) < len(text) else ""
    return "\n".join(f"> {escaped(line)}" for line in f"{beginning}{more}".splitlines())


def _periods(settings: GuildSettings) -> list[str]:
    """When the periods of allowances end by that clock."""
    now = datetime.now(UTC)
    lines = [f"It is {format_dt(now, 't')} for you, and {now.astimezone(settings.zone):%H:%M} there. Now these end:"]
    for period in _PERIODS:
        _, end = period_bounds(period, now, settings.zone)
        assert end is not None
        lines.append(f"- this {period}: {format_dt(end, 'f')} ({format_dt(end, 'R')})")
    lines.append("-# What was spent keeps its time: it counts in the day, week or month in which it now lies.")
    return lines


def _said_of_retention(days: int, falling: int) -> list[str]:
    """What becomes of what is there. 0 days keep it for ever."""
    if not falling:
        older = "Nothing here is older than that." if days else "The bot's operator keeps questions for ever."
        return [f"-# {older} The ledger of credits is not touched."]
    what = "question or order is" if falling == 1 else "questions and orders are"
    return [
        f"{falling:,} {what} older than that: deleted now, for good, with what the buttons below need.",
        "-# The messages themselves stay in Discord, and the ledger of credits is not touched.",
    ]


def _cost_of_persona(settings: GuildSettings) -> list[str]:
    return [] if settings.persona is None else ["-# It is sent, and paid for, with every question that is asked here."]


class ModelSelect(
    discord.ui.DynamicItem[discord.ui.Select[discord.ui.View]],
    template=r"settings:(?P<what>models|picture-models|age-restricted-models)",
):
    """Takes the choice of models, whichever process showed it."""

    def __init__(self, item: discord.ui.Select[discord.ui.View], what: str) -> None:
        super().__init__(item)
        self.what = what

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "ModelSelect":
        assert isinstance(item, discord.ui.Select)
        return cls(item, match["what"])

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            require_manager(interaction)
            await interaction.response.defer(ephemeral=True, thinking=True)
            cog = interaction.client.get_cog(SettingsCog.__cog_name__)
            assert isinstance(cog, SettingsCog)
            assert interaction.guild is not None
            take = {
                "models": cog.allow,
                "picture-models": cog.allow_pictures,
                "age-restricted-models": cog.restrict_pictures,
            }[self.what]
            await take(interaction, interaction.guild, self.item.values)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)


class PersonaForm(Form, title="Persona in this server"):
    """The server's persona, to be changed; emptied, the operator's counts again."""

    text: discord.ui.Label["PersonaForm"] = discord.ui.Label(
        text="How I am to present myself and answer",
        description="Sent with every question. Empty: as the bot's operator has written it.",
        component=discord.ui.TextInput(
            custom_id="persona",
            style=discord.TextStyle.paragraph,
            placeholder="You are the patient helper of a chess club. Answer beginners kindly and briefly.",
            max_length=PERSONA_LIMIT,
            required=False,
        ),
    )

    def __init__(self, persona: str | None) -> None:
        super().__init__(custom_id=_PERSONA.pattern)
        assert isinstance(self.text.component, discord.ui.TextInput)
        self.text.component.default = persona


class WordsForm(Form, title="Blocked words in this server"):
    """The server's list, to be changed."""

    text: discord.ui.Label["WordsForm"] = discord.ui.Label(
        text="One word or phrase a line",
        description="Whole words, in any script, whatever their case. Empty: nothing is blocked.",
        component=discord.ui.TextInput(
            custom_id="words", style=discord.TextStyle.paragraph, max_length=LIST_LIMIT, required=False
        ),
    )

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(custom_id=_WORDS.pattern)
        assert isinstance(self.text.component, discord.ui.TextInput)
        self.text.component.default = "\n".join(words)


async def setup(bot: Bot) -> None:
    await bot.add_cog(SettingsCog(bot))
