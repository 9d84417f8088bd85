"""Pictures as people order and see them."""

from collections.abc import Sequence

from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.minitoolai.picture_script import PictureScript, Served
from tests.e2e.house import House, has_button, labels
from tests.e2e.reading import picture

ENDED = ["Again", "Edit", "Shape", "Details", "Delete"]


def quick(house: House) -> House:
    """The API serves one small picture from now on, whatever is asked for and not scripted."""
    small = picture().content
    house.api.picture_answer = lambda _: PictureScript(serves=Served(body=small))
    return house


async def order(
    house: House,
    prompt: str = "a lighthouse",
    *,
    by: Person | None = None,
    at: Channel | None = None,
    **options: object,
) -> Interaction:
    """Dana's order (or `by`'s) in the general channel (or `at`)."""
    return await (by or house.dana).slash(at or house.channel, "imagine", prompt=prompt, **options)


async def pictured(house: House, interaction: Interaction, *, timeout_s: float = 30.0) -> Message:
    """The reply once its pictures are visible and its buttons are those of an order that has ended."""

    def there() -> Message | None:
        reply = interaction.original
        return reply if reply is not None and reply.attachments and labels(reply) == ENDED else None

    message = await house.discord.wait_until(there, timeout_s=timeout_s, what="pictures")
    assert message is not None
    return message


async def draw(house: House, prompt: str = "a lighthouse", **options: object) -> Message:
    """The reply to an order, with its pictures."""
    return await pictured(house, await order(house, prompt, **options))  # type: ignore[arg-type]  # the house's names


async def under_way(house: House, prompt: str = "a lighthouse", **options: object) -> Message:
    """The reply to an order which the API holds back, with its Cancel button."""
    count = options.get("count", 1)
    assert isinstance(count, int)
    serves = Served(body=picture().content)
    house.api.script_picture(*[PictureScript(held=True, serves=serves)] * count)
    interaction = await order(house, prompt, **options)  # type: ignore[arg-type]  # the house's names
    await house.discord.wait_until(
        lambda: interaction.original and has_button(interaction.original, "Cancel"), what="a Cancel button"
    )
    assert interaction.original is not None
    return interaction.original


async def told(house: House, interaction: Interaction) -> str:
    """What only who acted reads: the first words that are not on the message that they acted on."""

    def words() -> Message | None:
        return next(
            (m for m in interaction.messages if m is not interaction.message and m.content and not m.loading), None
        )

    message = await house.discord.wait_until(words, what="words")
    assert message is not None
    assert message.visible_to is interaction.user
    return message.content


async def refused(house: House, prompt: str = "a lighthouse", **options: object) -> str:
    """What is said in place of a picture, to who ordered alone, by whatever client."""
    before = len(house.api.pictures)
    words = await told(house, await order(house, prompt, tampered=True, **options))  # type: ignore[arg-type]
    assert len(house.api.pictures) == before, "the API was asked all the same"
    return words


def drawn(house: House, *names: str) -> list[object]:
    """Those fields of the newest request for a picture."""
    body = house.api.pictures[-1].body
    return [body.get(name) for name in names]


def texts(message: Message) -> Sequence[str]:
    """The alt text of each of its pictures."""
    return [attachment.description or "" for attachment in message.attachments]
