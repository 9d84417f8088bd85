"""What the tests of `/quota` and `/settings` share: an admin at work."""

import itertools
from datetime import UTC, datetime

from bot.app import Services
from bot.credits.rules import Consumed
from bot.credits.values import HoldRequest
from bot.money import NanoDollars
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from tests.e2e.house import House, replies

CREDIT = 1_000_000
KEYS = itertools.count(10**17)


def services(house: House) -> Services:
    assert house.bot is not None
    return house.bot.services


async def ended(house: House, interaction: Interaction) -> Message:
    """The last message of a reply, which nobody but the asker sees."""

    def there() -> bool:
        return bool(replies(interaction)) and not any(message.loading for message in replies(interaction))

    await house.discord.wait_until(there)
    assert all(message.ephemeral for message in replies(interaction))
    return replies(interaction)[-1]


async def told(house: House, command: str, by: Person | None = None, /, **options: object) -> str:
    """What the admin, or `by`, reads in answer to a command."""
    person = by or house.admin
    return (await ended(house, await person.slash(house.channel, command, tampered=False, **options))).content


async def told_despite(
    house: House, command: str, by: Person, place: Channel | None = None, /, **options: object
) -> str:
    """The same for somebody whose client lets everything through."""
    interaction = await by.slash(place or house.channel, command, tampered=True, **options)
    return (await ended(house, interaction)).content


async def is_posted(house: House, channel: Channel, text: str) -> Message:
    """The message in a log channel that contains `text`; it pings nobody."""

    def found() -> Message | None:
        return next((message for message in channel.messages.values() if text in message.content), None)

    message = await house.discord.wait_until(found, what=f"{text!r} in {channel.name}")
    assert message is not None
    assert not message.mentions_pinged
    return message


async def spend(house: House, person: Person, credits_spent: int) -> None:
    """One request of that person, held and ended as the bot does it."""
    ledger, key, now = services(house).ledger, next(KEYS), datetime.now(UTC)
    nano = NanoDollars(credits_spent * CREDIT)
    request = HoldRequest(
        key=key,
        scope_id=house.guild.id,
        user_id=person.user.id,
        role_ids=frozenset(),
        kind="chat",
        model="gpt-4o-mini",
        fixed_nano=nano,
        at=now,
    )
    await ledger.hold(request)
    await ledger.end(key, "finished", Consumed(nano=nano, estimated=False), at=now)
