"""A message as lines of text."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.discord.commands import NESTED
from sandbox.discord.messages import InteractionType, Message
from sandbox.discord.world import World

UNFINISHED_LABEL: Final = "Stop"
"""The label of the button that the bot's answers carry for as long as they are being written."""
LINK_STYLE: Final = 5


def growing(message: Message) -> bool:
    """Whether the bot is still at it."""
    return message.loading or any(button.get("label") == UNFINISHED_LABEL for button in message.buttons())


def pressable(message: Message) -> list[dict[str, Any]]:
    """The buttons that tell the bot something, in reading order."""
    return [button for button in message.buttons() if button.get("style") != LINK_STYLE and not button.get("disabled")]


def block(message: Message, number: int) -> list[str]:
    """A head that says who and to whom, the text indented, files, and the buttons with the number to press."""
    world = message.channel.world
    text = "(thinking…)" if message.loading else readable(message.text(), world)
    lines = [f"[{number}] {message.author.display_name}{_circumstances(message)}"]
    lines += [f"    {line}" for line in text.split("\n")] if text else []
    for attachment in message.attachments:
        size_kb = attachment.size / 1000
        lines.append(f"    📎 {attachment.filename} ({size_kb:,.1f} kB) {world.cdn.url(attachment)}")
    if buttons := [f":{place} {_label(button)}" for place, button in enumerate(pressable(message), 1)]:
        lines.append("    " + "  ".join(buttons))
    return lines


def signature(message: Message) -> tuple[object, ...]:
    """What differs once a message should be shown again."""
    return (
        message.text(),
        tuple(attachment.id for attachment in message.attachments),
        tuple(button.get("custom_id") for button in pressable(message)),
    )


def readable(text: str, world: World) -> str:
    """Mentions and moments in words, as Discord's client shows them."""

    def user(found: re.Match[str]) -> str:
        known = world.users.get(int(found[1]))
        return f"@{known.display_name}" if known else found[0]

    def channel(found: re.Match[str]) -> str:
        known = world.channels.get(int(found[1]))
        return f"#{known.name}" if known else found[0]

    def moment(found: re.Match[str]) -> str:
        return datetime.fromtimestamp(int(found[1]), UTC).strftime("%Y-%m-%d %H:%M UTC")

    text = re.sub(r"<t:(\d{1,11})(?::[a-zA-Z])?>", moment, text)
    text = re.sub(r"<@!?(\d{1,20})>", user, text)
    text = re.sub(r"<#(\d{1,20})>", channel, text)
    return re.sub(r"</([^:>]+):\d+>", r"/\1", text)


def _circumstances(message: Message) -> str:
    parts: list[str] = []
    interaction = message.interaction
    if interaction is not None:
        if interaction.type is InteractionType.COMMAND:
            slash = "" if "target_id" in interaction.data else "/"
            parts.append(f"for {interaction.user.display_name}'s {slash}{_full_name(interaction.data)}")
        else:
            parts.append(f"for {interaction.user.display_name}")
    elif message.reply_to is not None:
        parts.append(f"replying to {message.reply_to.author.display_name}")
    if message.visible_to is not None:
        parts.append(f"only {message.visible_to.display_name} sees this")
    return f" ({'; '.join(parts)})" if parts else ""


def _full_name(data: dict[str, Any]) -> str:
    """A command's name with its sub-command's."""
    nested = [_full_name(option) for option in data.get("options") or [] if option.get("type") in NESTED]
    return " ".join([data["name"], *nested])


def _label(button: dict[str, Any]) -> str:
    emoji = (button.get("emoji") or {}).get("name") or ""
    return button.get("label") or emoji or "button"
