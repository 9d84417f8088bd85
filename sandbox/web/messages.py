"""A message as one person's page shows it. The shape is PROTOCOL.md's."""

from typing import Final

from sandbox.discord.commands import NESTED
from sandbox.discord.messages import Interaction, InteractionType, Message, MessageFlag, MessageType
from sandbox.discord.people import Person
from sandbox.discord.places import Guild
from sandbox.discord.refusals import Json
from sandbox.web.components import Sight, attachment_json, component_json, embed_json, shown_urls
from sandbox.web.markdown import blocks, line
from sandbox.web.places import message_may_json, names_for, user_json

QUOTED_CHARACTERS: Final = 160
_COMMAND_TYPES: Final = {MessageType.CHAT_INPUT_COMMAND: "command", MessageType.CONTEXT_MENU_COMMAND: "menu"}


def sight_of(person: Person, guild: Guild, message: Message | None = None) -> Sight:
    """What `person` sees with, and the files of `message`."""
    files = {attachment.path: attachment for attachment in message.attachments} if message else {}
    return Sight(names=names_for(person, guild), guild=guild, cdn_url=person.world.cdn.base_url, files=files)


def message_json(message: Message, person: Person, guild: Guild) -> Json:
    sight = sight_of(person, guild, message)
    payload = message.payload(with_reference=False)
    shown_elsewhere = shown_urls(message.components, message.embeds)
    attachments = [
        attachment for attachment in message.attachments if f"attachment://{attachment.filename}" not in shown_elsewhere
    ]
    return {
        "id": str(message.id),
        "channel": str(message.channel.id),
        "author": user_json(message.author, guild),
        "created_s": message.created_at,
        "edited_s": message.edited_at,
        "kind": _kind(message),
        "text": message.content,
        "html": blocks(message.content, sight.names) if message.content else "",
        "ephemeral": message.visible_to is not None,
        "loading": message.loading,
        "mentions_me": _concerns(message, person, guild),
        "reply": _reply(message, guild, sight),
        "used": _used(message, guild),
        "attachments": [attachment_json(attachment) for attachment in attachments],
        "embeds": [embed_json(embed, sight) for embed in payload["embeds"]],
        "components": [component_json(component, sight) for component in payload["components"]],
        "reactions": [
            {"emoji": emoji, "count": len(users), "mine": person.user.id in users}
            for emoji, users in message.reactions.items()
        ],
        "may": message_may_json(person, message),
        "v2": bool(message.flags & MessageFlag.COMPONENTS_V2),
    }


def _concerns(message: Message, person: Person, guild: Guild) -> bool:
    """Whether it mentions that person, everyone, or one of their roles."""
    mentions, member = message.mentions, guild.members.get(person.user.id)
    roles = member.roles if member else []
    return mentions.everyone or person.user in mentions.users or any(role in mentions.roles for role in roles)


def _kind(message: Message) -> str:
    if message.type is MessageType.REPLY:
        return "reply"
    return _COMMAND_TYPES.get(message.type, "default")


def _reply(message: Message, guild: Guild, sight: Sight) -> Json | None:
    """The message that this one answers; a follow-up answers the reply that it follows."""
    target = message.reply_to
    if target is None and message.interaction is not None and message.type is MessageType.DEFAULT:
        original = message.interaction.original or message.interaction.message
        target = original if original is not message else message.interaction.message
        if target is message or (target is not None and target.id > message.id):
            return None
    if target is None and message.type is not MessageType.REPLY:
        return None
    if target is None or target.deleted:
        return {"id": str(target.id) if target else "0", "author": None, "html": "", "gone": True}
    text = target.text()
    quoted = text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"
    author = user_json(target.author, guild)
    return {"id": str(target.id), "author": author, "html": line(quoted, sight.names), "gone": False}


def _used(message: Message, guild: Guild) -> Json | None:
    interaction = message.interaction
    if interaction is None:
        return None
    user = user_json(interaction.user, guild)
    if kind := _COMMAND_TYPES.get(message.type):
        return {"user": user, "name": full_name(interaction), "kind": kind}
    if interaction.type is not InteractionType.COMMAND:
        return {"user": user, "name": "", "kind": "component"}
    return None


def full_name(interaction: Interaction) -> str:
    """A command's name with its sub-command's."""
    words: list[str] = []
    place: Json | None = interaction.data
    while place is not None:
        words.append(str(place.get("name", "")))
        options: list[Json] = place.get("options") or []
        place = next((option for option in options if option.get("type") in NESTED), None)
    return " ".join(words)
