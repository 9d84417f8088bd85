"""What a person does with a Discord client, and what that client does not let them do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.discord.cdn import Upload
from sandbox.discord.commands import NESTED, CommandType, OptionType
from sandbox.discord.messages import Interaction, InteractionType, Message, walk
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel, ChannelType, Role, User
from sandbox.discord.refusals import Json, utf16_length
from sandbox.discord.rules import AllowedMentions, Draft
from sandbox.discord.world import World

HUMAN_CONTENT_LIMIT: Final = 2_000
AUTOCOMPLETE_WITHIN_S: Final = 3.0
_SELECT_TYPES: Final = frozenset({3, 5, 6, 7, 8})


class ClientRefused(Exception):
    """Discord's client would not let this person do that: the command is not offered, the button is greyed out."""


class Person:
    """One user at a client. What is `tampered` skips the client's checks, as somebody with an altered client can."""

    def __init__(self, world: World, user: User) -> None:
        self.world = world
        self.user = user

    # Looking

    def sees(self, message: Message) -> bool:
        if message.deleted or (message.visible_to is not None and message.visible_to is not self.user):
            return False
        return self._may(message.channel, Permission.VIEW_CHANNEL)

    def visible(self, channel: Channel) -> list[Message]:
        """Oldest first."""
        return [message for message in channel.messages.values() if self.sees(message)]

    def _may(self, channel: Channel, permission: Permission) -> bool:
        return channel.permissions_of(self.user) & permission == permission

    # Messages

    async def say(
        self,
        channel: Channel,
        content: str,
        *,
        files: Iterable[Upload] = (),
        reply_to: Message | None = None,
        ping: bool = True,
    ) -> Message:
        """`ping` is the client's switch beside a reply. Raises ClientRefused."""
        uploads = tuple(files)
        needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        if uploads:
            needed |= Permission.ATTACH_FILES
        if not self._may(channel, needed | Permission.VIEW_CHANNEL) or channel.type is ChannelType.FORUM:
            raise ClientRefused(f"{self.user.name} cannot write that in {channel.name}")
        if not content.strip() and not uploads:
            raise ClientRefused("an empty message")
        if utf16_length(content) > HUMAN_CONTENT_LIMIT:
            raise ClientRefused(f"longer than {HUMAN_CONTENT_LIMIT} characters")
        draft = Draft(
            content=content.strip(),
            uploads=uploads,
            reply_to_id=reply_to.id if reply_to else None,
            allowed_mentions=AllowedMentions(replied_user=ping),
        )
        if channel.is_thread:
            channel.archived = False
        return self.world.create_message(channel, self.user, draft)

    async def post(self, forum: Channel, title: str, content: str, *, files: Iterable[Upload] = ()) -> Message:
        """A new post in a forum; its channel is the given message's."""
        if forum.type is not ChannelType.FORUM:
            raise ClientRefused(f"{forum.name} is no forum")
        post = self.world.add_thread(forum, title, creator=self.user)
        draft = Draft(content=content.strip(), uploads=tuple(files))
        return self.world.create_message(post, self.user, draft)

    async def edit(self, message: Message, content: str) -> None:
        if message.author is not self.user:
            raise ClientRefused("only its author can edit a message")
        self.world.edit_message(message, Draft(content=content))

    async def delete(self, message: Message) -> None:
        """One's own, or with MANAGE_MESSAGES another's; an ephemeral message is dismissed by who sees it."""
        mine = message.author is self.user or message.visible_to is self.user
        if not mine and not self._may(message.channel, Permission.MANAGE_MESSAGES):
            raise ClientRefused("only a moderator deletes what others wrote")
        self.world.delete_message(message)

    async def react(self, message: Message, emoji: str) -> None:
        self.world.react(message, self.user, emoji)

    async def type(self, channel: Channel) -> None:
        self.world.type_in(channel, self.user)

    # Commands

    async def slash(
        self, channel: Channel, command: str, /, *, tampered: bool = False, **options: object
    ) -> Interaction:
        """`command` is a name, or name and sub-command: "history show". Options take text, numbers, truth, an Upload,
        a User, a Role or a Channel. Raises ClientRefused for what the client would not offer or send.
        """
        registered, path = self._offered(channel, command, CommandType.CHAT_INPUT, tampered=tampered)
        specification = _leaf(registered, path)
        resolved: Json = {}
        values = self._values(channel, specification, options, resolved, tampered=tampered)
        data = _command_data(registered, path, values)
        if resolved:
            data["resolved"] = resolved
        return self.world.create_interaction(InteractionType.COMMAND, self.user, channel, data)

    async def autocomplete(
        self, channel: Channel, command: str, /, *, option: str, value: str | float, **filled: object
    ) -> list[Json]:
        """The choices the bot suggests for what was typed so far. Raises TimeoutError after Discord's 3 s."""
        registered, path = self._offered(channel, command, CommandType.CHAT_INPUT, tampered=False)
        specification = _leaf(registered, path)
        focused = _option(specification, option)
        if not focused.get("autocomplete"):
            raise ClientRefused(f"{option} has no autocomplete")
        values = self._values(channel, specification, filled, {}, tampered=True)
        values.append({"name": option, "type": focused["type"], "value": value, "focused": True})
        data = _command_data(registered, path, values)
        interaction = self.world.create_interaction(InteractionType.AUTOCOMPLETE, self.user, channel, data)
        async with asyncio.timeout(AUTOCOMPLETE_WITHIN_S):
            await asyncio.shield(interaction.acknowledged)
        return interaction.choices or []

    async def message_menu(
        self, channel: Channel, command: str, message: Message, *, tampered: bool = False
    ) -> Interaction:
        """The entry `command` of a message's context menu under Apps."""
        registered, _ = self._offered(channel, command, CommandType.MESSAGE, tampered=tampered)
        if not tampered and not self.sees(message):
            raise ClientRefused("that message is not there")
        resolved = {"messages": {str(message.id): message.payload()}}
        data = _menu_data(registered, message.id) | {"resolved": resolved}
        return self.world.create_interaction(InteractionType.COMMAND, self.user, channel, data)

    async def user_menu(self, channel: Channel, command: str, target: User, *, tampered: bool = False) -> Interaction:
        registered, _ = self._offered(channel, command, CommandType.USER, tampered=tampered)
        resolved: Json = {}
        self._resolve_user(channel, target, resolved)
        data = _menu_data(registered, target.id) | {"resolved": resolved}
        return self.world.create_interaction(InteractionType.COMMAND, self.user, channel, data)

    def offers(self, channel: Channel, command: str, kind: CommandType = CommandType.CHAT_INPUT) -> bool:
        """Whether the client shows the command to this person in that channel."""
        try:
            self._offered(channel, command, kind, tampered=False)
        except ClientRefused:
            return False
        return True

    def _offered(self, channel: Channel, command: str, kind: CommandType, *, tampered: bool) -> tuple[Json, list[str]]:
        guild_id = channel.guild.id if channel.guild else None
        # The names of menu commands have spaces of their own.
        name, *path = command.split() if kind is CommandType.CHAT_INPUT else [command]
        registered = self.world.commands.find(name, kind, guild_id)
        if registered is None:
            raise ClientRefused(f"no command is called {command}")
        if not tampered:
            self._check_offer(channel, registered)
        return registered, path

    def _check_offer(self, channel: Channel, registered: Json) -> None:
        world, name = self.world, registered["name"]
        contexts = registered["contexts"]
        if contexts is not None and world.context(channel) not in contexts:
            raise ClientRefused(f"{name} is not offered in this kind of place")
        here = (channel.guild is not None and channel.guild.bot_present) or world.context(channel) == 1
        installed = (here and 0 in registered["integration_types"]) or (
            self.user.has_installed_app and 1 in registered["integration_types"]
        )
        if not installed:
            raise ClientRefused(f"{name} is not installed here")
        if not self._may(channel, Permission.VIEW_CHANNEL | Permission.USE_APPLICATION_COMMANDS):
            raise ClientRefused(f"{self.user.name} may use no commands here")
        if registered["nsfw"] and not (channel.age_restricted or channel.is_private):
            raise ClientRefused(f"{name} needs an age-restricted channel")
        needed = registered["default_member_permissions"]
        if channel.guild is not None and needed is not None:
            mine = channel.permissions_of(self.user)
            if not mine & Permission.ADMINISTRATOR and (int(needed) == 0 or mine & int(needed) != int(needed)):
                raise ClientRefused(f"{name} is hidden from {self.user.name}")

    def _values(
        self, channel: Channel, specification: Json, options: Mapping[str, object], resolved: Json, *, tampered: bool
    ) -> list[Json]:
        if not tampered:
            for option in specification.get("options", []):
                if option.get("required") and options.get(option["name"]) is None:
                    raise ClientRefused(f"{option['name']} is required")
        values: list[Json] = []
        for name, value in options.items():
            if value is None:
                continue
            option = _option(specification, name)
            if not tampered:
                _check_value(option, value)
            sent = self._sent_value(channel, value, resolved)
            values.append({"name": name, "type": option["type"], "value": sent})
        return values

    def _sent_value(self, channel: Channel, value: object, resolved: Json) -> object:
        if isinstance(value, Upload):
            return self._resolve_upload(value, resolved)
        if isinstance(value, User):
            self._resolve_user(channel, value, resolved)
            return str(value.id)
        if isinstance(value, Role):
            resolved.setdefault("roles", {})[str(value.id)] = value.payload()
            return str(value.id)
        if isinstance(value, Channel):
            permissions = {"permissions": str(int(value.permissions_of(self.user)))}
            resolved.setdefault("channels", {})[str(value.id)] = value.payload() | permissions
            return str(value.id)
        return value

    def _resolve_upload(self, upload: Upload, resolved: Json) -> str:
        world = self.world
        stored = world.cdn.store(upload, attachment_id=world.new_id(), owner_id=world.application_id, ephemeral=True)
        resolved.setdefault("attachments", {})[str(stored.id)] = world.cdn.payload(stored)
        return str(stored.id)

    def _resolve_user(self, channel: Channel, user: User, resolved: Json) -> None:
        resolved.setdefault("users", {})[str(user.id)] = user.payload()
        member = channel.guild.members.get(user.id) if channel.guild else None
        if member is not None:
            permissions = {"permissions": str(int(channel.permissions_of(user)))}
            payload = member.payload(with_user=False) | permissions
            resolved.setdefault("members", {})[str(user.id)] = payload

    # Components and modals

    async def click(
        self,
        message: Message,
        *,
        label: str | None = None,
        custom_id: str | None = None,
        tampered: bool = False,
    ) -> Interaction:
        """The button of that label or custom_id; with neither, the only one. Raises ClientRefused."""
        matching = [
            button
            for button in message.buttons()
            if (label is None or button.get("label") == label)
            and (custom_id is None or button.get("custom_id") == custom_id)
        ]
        if len(matching) != 1:
            labels = [button.get("label") for button in message.buttons()]
            raise ClientRefused(f"{len(matching)} buttons match {label or custom_id!r} among {labels}")
        return self._use(message, matching[0], {}, tampered=tampered)

    async def select(
        self,
        message: Message,
        values: Iterable[str | User | Role | Channel],
        *,
        custom_id: str | None = None,
        tampered: bool = False,
    ) -> Interaction:
        """`values` are options' values, or for the other kinds of select what is picked. Raises ClientRefused."""
        selects = [
            component
            for component in walk(message.components)
            if component.get("type") in _SELECT_TYPES and (custom_id is None or component["custom_id"] == custom_id)
        ]
        if len(selects) != 1:
            raise ClientRefused(f"{len(selects)} selects match {custom_id!r}")
        resolved: Json = {}
        sent = [self._sent_value(message.channel, value, resolved) for value in values]
        if not tampered:
            _check_selected(selects[0], sent)
        extra: Json = {"values": sent} | ({"resolved": resolved} if resolved else {})
        return self._use(message, selects[0], extra, tampered=tampered)

    def _use(self, message: Message, component: Json, extra: Json, *, tampered: bool) -> Interaction:
        if not tampered:
            if not self.sees(message):
                raise ClientRefused("that message is not there")
            if message.loading or component.get("disabled"):
                raise ClientRefused(f"{component.get('label') or component.get('custom_id')} is disabled")
        if component.get("style") == 5:
            raise ClientRefused("a link opens a browser and tells the bot nothing")
        data: Json = {
            "component_type": component["type"],
            "custom_id": component["custom_id"],
            "id": component.get("id", 0),
        }
        return self.world.create_interaction(
            InteractionType.COMPONENT, self.user, message.channel, data | extra, message=message
        )

    async def submit_modal(
        self, interaction: Interaction, values: Mapping[str, object], *, tampered: bool = False
    ) -> Interaction:
        """Fills the modal that `interaction` was answered with: custom_id to text, a list of values or of Uploads.

        What is left out keeps the field's prefilled value. Raises ClientRefused.
        """
        modal = interaction.modal
        if modal is None or interaction.user is not self.user:
            raise ClientRefused("no modal is open")
        fields = [field for field in walk(modal["components"]) if field.get("custom_id")]
        unknown = set(values) - {field["custom_id"] for field in fields}
        if unknown:
            raise ClientRefused(f"the modal has no field {sorted(unknown)}")
        resolved: Json = {}
        filled = {field["custom_id"]: self._filled(field, values, resolved, tampered=tampered) for field in fields}
        data: Json = {"custom_id": modal["custom_id"], "components": _submitted(modal["components"], filled)}
        if resolved:
            data["resolved"] = resolved
        return self.world.create_interaction(
            InteractionType.MODAL_SUBMIT, self.user, interaction.channel, data, message=interaction.message
        )

    def _filled(self, field: Json, values: Mapping[str, object], resolved: Json, *, tampered: bool) -> Json:
        given = values.get(field["custom_id"])
        if field["type"] == 4:
            text = str(given if given is not None else field.get("value") or "")
            if not tampered:
                _check_text(field, text)
            return {"value": text}
        if field["type"] == 23:
            return {"value": bool(field.get("default")) if given is None else given}
        if field["type"] == 21:
            return {"value": given}
        chosen = given if isinstance(given, (list, tuple)) else _preselected(field) if given is None else [given]
        sent = [self._sent_value_in_modal(value, resolved) for value in chosen]
        if not tampered and field["type"] in _SELECT_TYPES and (sent or field.get("required", True)):
            _check_selected(field, sent)
        return {"values": sent}

    def _sent_value_in_modal(self, value: object, resolved: Json) -> object:
        return self._resolve_upload(value, resolved) if isinstance(value, Upload) else value


def _leaf(registered: Json, path: list[str]) -> Json:
    """The command or sub-command that has the options. Raises ClientRefused."""
    place = registered
    for name in path:
        place = _option(place, name)
    if any(option["type"] in NESTED for option in place.get("options", [])):
        raise ClientRefused(f"{registered['name']} needs a sub-command")
    return place


def _option(specification: Json, name: str) -> Json:
    for option in specification.get("options", []):
        if option["name"] == name:
            found: Json = option
            return found
    raise ClientRefused(f"{specification['name']} has no option {name}")


def _command_data(registered: Json, path: list[str], values: list[Json]) -> Json:
    options = values
    for depth in range(len(path), 0, -1):
        kind = _leaf_type(registered, path[:depth])
        options = [{"name": path[depth - 1], "type": kind, "options": options}]
    data: Json = {"id": registered["id"], "name": registered["name"], "type": registered["type"], "options": options}
    if "guild_id" in registered:
        data["guild_id"] = registered["guild_id"]
    return data


def _leaf_type(registered: Json, path: list[str]) -> int:
    place = registered
    for name in path:
        place = _option(place, name)
    return int(place["type"])


def _menu_data(registered: Json, target_id: int) -> Json:
    data: Json = {"id": registered["id"], "name": registered["name"], "type": registered["type"]}
    if "guild_id" in registered:
        data["guild_id"] = registered["guild_id"]
    return data | {"target_id": str(target_id)}


_PYTHON_TYPES: Final[dict[int, tuple[type, ...]]] = {
    OptionType.STRING: (str,),
    OptionType.INTEGER: (int,),
    OptionType.BOOLEAN: (bool,),
    OptionType.USER: (User,),
    OptionType.CHANNEL: (Channel,),
    OptionType.ROLE: (Role,),
    OptionType.MENTIONABLE: (User, Role),
    OptionType.NUMBER: (int, float),
    OptionType.ATTACHMENT: (Upload,),
}


def _check_value(option: Json, value: Any) -> None:
    name, kind = option["name"], option["type"]
    is_truth = isinstance(value, bool)
    if not isinstance(value, _PYTHON_TYPES[kind]) or (is_truth and kind != OptionType.BOOLEAN):
        raise ClientRefused(f"{name} does not take {value!r}")
    choices = option.get("choices")
    if choices and value not in [choice["value"] for choice in choices]:
        raise ClientRefused(f"{name} has no choice {value!r}")
    if isinstance(value, str):
        low, high = option.get("min_length", 0), option.get("max_length", 6000)
        if not low <= utf16_length(value) <= high:
            raise ClientRefused(f"{name} takes {low} to {high} characters")
        if option.get("required") and not value.strip():
            raise ClientRefused(f"{name} is required")
    elif isinstance(value, (int, float)) and not is_truth:
        low, high = option.get("min_value"), option.get("max_value")
        if (low is not None and value < low) or (high is not None and value > high):
            raise ClientRefused(f"{name} lies between {low} and {high}")


def _check_selected(select: Json, values: list[object]) -> None:
    low, high = select.get("min_values", 1), select.get("max_values", 1)
    if not low <= len(values) <= high:
        raise ClientRefused(f"pick {low} to {high}")
    if select["type"] == 3 and not set(values) <= {option["value"] for option in select["options"]}:
        raise ClientRefused(f"no such option among {values}")


def _preselected(select: Json) -> list[object]:
    return [option["value"] for option in select.get("options", []) if option.get("default")]


def _check_text(field: Json, text: str) -> None:
    if not text:
        if field.get("required", True):
            raise ClientRefused(f"{field['custom_id']} is required")
        return
    low, high = field.get("min_length") or 0, field.get("max_length") or 4000
    if not low <= utf16_length(text) <= high:
        raise ClientRefused(f"{field['custom_id']} takes {low} to {high} characters")


def _submitted(components: list[Json], filled: Mapping[str, Json]) -> list[Json]:
    """The modal's components as a submission carries them: the same nesting, with what was filled in."""
    submitted: list[Json] = []
    for component in components:
        sent: Json = {"type": component["type"], "id": component.get("id", 0)}
        if component.get("custom_id"):
            sent |= {"custom_id": component["custom_id"]} | filled[component["custom_id"]]
        if component.get("components"):
            sent["components"] = _submitted(component["components"], filled)
        if component.get("component"):
            sent["component"] = _submitted([component["component"]], filled)[0]
        submitted.append(sent)
    return submitted
