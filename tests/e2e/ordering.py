"""What every order of pictures must come to, whatever happened to it: delivered once and paid, or paid back."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import pytest

import bot.app
from bot.credits.values import Entry
from bot.minitoolai.client import Timeouts
from bot.pictures.drawing import Drawer
from bot.pictures.fetching import FetchLimits
from bot.pictures.tools import Patience
from bot.storage.snapshot import snapshot
from sandbox.discord.cdn import Attachment
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.places import User
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served
from tests.e2e.accounting import books_are_right, database_url, entries, until
from tests.e2e.drawing import order
from tests.e2e.house import House, labels
from tests.e2e.reading import picture

PICTURE_NANO = 1_500_000
NOTHING = "Nothing was charged."
MANY = {"DEFAULT_ALLOWANCE": "unlimited", "PICTURE_ORDERS_PER_MEMBER": "100", "PICTURE_ORDERS_PER_SERVER": "100"}
"""For tests that order a whole table at once."""


async def is_submitted(house: House, pictures: int) -> bool:
    """Whether the jobs of so many are on disk."""
    async with snapshot(database_url(house)) as tx:
        rows = await tx.fetch_all("SELECT job_id FROM pictures WHERE job_id IS NOT NULL")
        return len(rows) == pictures


def hasty(monkeypatch: pytest.MonkeyPatch, *, late_s: float = 60.0) -> None:
    """Let the bot that starts next lose its patience within seconds; `late_s` is how long the API may take."""
    monkeypatch.setattr(bot.app, "Timeouts", partial(Timeouts, job_s=2.0))
    monkeypatch.setattr(bot.app, "FetchLimits", partial(FetchLimits, gap_s=0.3, deadline_s=5.0))
    monkeypatch.setattr(bot.app, "Drawer", lambda **tools: Drawer(**tools | {"timeout_s": late_s}))
    patience = partial(Patience, route_s=0.5, find_s=5.0, pause_s=0.05, pause_most_s=0.1)
    monkeypatch.setattr(bot.app, "Patience", patience)


def small(**how: object) -> PictureScript:
    """An order that is served a small picture."""
    return PictureScript(serves=Served(body=picture().content), **how)  # type: ignore[arg-type]  # the script's names


@dataclass(kw_only=True)
class Plays:
    """What the API does with each prompt, its first submission, its second, and so on; then it just draws."""

    scripts: dict[str, list[PictureScript]] = field(default_factory=dict)
    heard: dict[str, list[PictureOrder]] = field(default_factory=dict)

    def answer(self, asked: PictureOrder) -> PictureScript:
        prompt = asked.body["prompt"]
        before = self.heard.setdefault(prompt, [])
        before.append(asked)
        scripts = self.scripts.get(prompt, ())
        return scripts[len(before) - 1] if len(before) <= len(scripts) else small()

    def billed_nano(self, prompt: str) -> int:
        return sum(asked.billed_nano for asked in self.heard.get(prompt, ()))

    def asked(self, prompt: str) -> PictureOrder:
        """The newest submission of that prompt."""
        return self.heard[prompt][-1]


def plays(house: House, scripts: dict[str, list[PictureScript]] | None = None) -> Plays:
    """Have the API follow them."""
    play = Plays(scripts=scripts or {})
    house.api.picture_answer = play.answer
    return play


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an order ended. `says` is its message without the prompt above and the parameters below."""

    says: str
    reason: str
    user_nano: int
    provider_nano: int


FINISHED = Result(says="", reason="finished", user_nano=PICTURE_NANO, provider_nano=PICTURE_NANO)


def result(reply: Message | None, entry: Entry) -> Result:
    lines = reply.content.split("\n") if reply is not None else []
    return Result(
        says="\n".join(line for line in lines if not line.startswith(("> ", "-# "))),
        reason=entry.reason,
        user_nano=entry.user_nano,
        provider_nano=entry.provider_nano,
    )


async def state_of(house: House, interaction: Interaction) -> str:
    """Where the order is on disk; empty where it is not."""
    async with snapshot(database_url(house)) as tx:
        row = await tx.fetch_one("SELECT state FROM picture_orders WHERE order_id = ?", (interaction.id,))
        return "" if row is None else str(row["state"])


async def until_state(house: House, interaction: Interaction, state: str) -> None:
    async def there() -> bool:
        return await state_of(house, interaction) == state

    await until(there)


async def shown(
    house: House,
    interaction: Interaction,
    holds: Callable[[Message], object],
    *,
    what: str = "",
    timeout_s: float = 30.0,
) -> Message:
    """The reply once that is true of it."""
    reply = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and holds(interaction.original) else None,
        timeout_s=timeout_s,
        what=what,
    )
    assert reply is not None
    return reply


async def says(house: House, interaction: Interaction, text: str) -> Message:
    return await shown(house, interaction, lambda reply: text in reply.content, what=text)


async def closed(house: House, *interactions: Interaction, timeout_s: float = 20.0) -> dict[int, Entry]:
    """The ledger's entries, once these orders have ended and every message of theirs shows that."""

    async def ended() -> bool:
        return {each.id for each in interactions} <= set(await entries(house))

    await until(ended, timeout_s=timeout_s)
    await house.discord.wait_until(
        lambda: all(not looks_unfinished(each) for each in interactions), timeout_s=timeout_s, what="ends"
    )
    await books_are_right(house)
    return await entries(house)


def looks_unfinished(interaction: Interaction) -> bool:
    """Whether its reply shows something that is still to come."""
    reply = interaction.original
    if reply is None or reply.deleted or reply.channel.deleted:
        return False
    return reply.loading or "Cancel" in labels(reply) or "▱" in reply.content or "⏳" in reply.content


def all_messages(house: House) -> list[Message]:
    """Every message that still stands somewhere, direct messages included."""
    channels = [channel for channel in house.discord.world.channels.values() if not channel.deleted]
    return [message for channel in channels for message in channel.messages.values() if not message.deleted]


def copies(house: House, interaction: Interaction) -> list[tuple[Message, Attachment]]:
    """Every file of that order, wherever it stands."""
    own = re.compile(rf"(?:.*-)?{interaction.id}-[1-4]\.[a-z]+")
    found = {(message, file) for message in all_messages(house) for file in message.attachments}
    return [(message, file) for message, file in found if own.fullmatch(file.filename)]


def assert_once_or_paid_back(house: House, interaction: Interaction, entry: Entry, billed_nano: int) -> None:
    """Delivered exactly once, or paid back: never both, never neither; and the operator's books cover the API's."""
    found = copies(house, interaction)
    if entry.reason == "finished":
        assert len({message for message, _ in found}) == 1, "all in one message"
        assert len({file.filename for _, file in found}) == len(found) == entry.images
        assert entry.user_nano == entry.images * PICTURE_NANO
    else:
        assert found == []
        assert entry.user_nano == 0
        reply = interaction.original
        if reply is not None and not reply.deleted and not reply.channel.deleted:
            assert NOTHING in reply.content
    assert entry.provider_nano >= max(billed_nano, entry.user_nano)
    assert not looks_unfinished(interaction)


def on_reply(interaction: Interaction, **how: object) -> Fault:
    """A fault of every edit of that reply by the interaction's token, `times` None unless given."""
    how = {"method": "PATCH", "template": "/webhooks/…", "times": None} | how
    return Fault(when=lambda _, path: interaction.token in path, **how)  # type: ignore[arg-type]  # the fault's names


def uploads_to(house: House, part: str) -> int:
    """How many requests with files came for an address that has `part` in it."""
    return sum(bool(each.filenames) and part in each.path for each in house.discord.requests)


async def order_all(house: House, prompts: Iterable[str], **options: object) -> dict[str, Interaction]:
    """Dana's order of each prompt."""
    return {prompt: await order(house, prompt, **options) for prompt in prompts}  # type: ignore[arg-type]


async def results(
    house: House, play: Plays, ordered: dict[str, Interaction], *, timeout_s: float = 20.0
) -> dict[str, Result]:
    """How each ended, once all have; each was delivered once or paid back."""
    written = await closed(house, *ordered.values(), timeout_s=timeout_s)
    for prompt, interaction in ordered.items():
        assert_once_or_paid_back(house, interaction, written[interaction.id], play.billed_nano(prompt))
    return {prompt: result(each.original, written[each.id]) for prompt, each in ordered.items()}


def direct(house: House, user: User | None = None) -> list[Message]:
    """What Dana, or that user, has from the bot directly."""
    channel = house.discord.world.dm(user or house.dana.user)
    return [message for message in channel.messages.values() if not message.deleted]


async def press(action: str, interaction: Interaction, by: Person) -> Interaction:
    """The button as it was, or could have been made up, on whatever the message shows now."""
    assert interaction.original is not None
    component = {"type": 2, "custom_id": f"picture:{action}:{interaction.id}", "label": action, "style": 2}
    before, interaction.original.components = interaction.original.components, [{"type": 1, "components": [component]}]
    try:
        return await by.click(interaction.original, custom_id=component["custom_id"], tampered=True)
    finally:
        interaction.original.components = before
