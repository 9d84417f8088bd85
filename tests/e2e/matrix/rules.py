"""What must hold once everything is quiet again, whatever happened: about the money, the messages and the log."""

from collections.abc import Collection, Iterable
from typing import Final

from bot.credits.rules import PAYERS
from bot.credits.values import Entry
from sandbox.discord.messages import Message
from tests.e2e.accounting import books_are_right, entries, price
from tests.e2e.house import labels
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stages import BEGINNING, END
from tests.e2e.reading import WRITING

NOT_OURS: Final = ("asyncio: Unclosed c", "aiohttp.server: ")
"""What is said, at any time later, of a bot that was killed in this process, and by the stand-ins' own server."""
UNFINISHED: Final = frozenset({"Stop", "Cancel"})
TORN_NANO: Final = 10_000
"""What the longest answer here costs that is lost in a stream that breaks."""
IMAGE_NANO: Final = 1_500_000


async def broken(scene: Scene, *, silent: bool, hanging: bool) -> list[str]:
    """Every rule that does not hold, in words. `silent`: no route is left by which who asked could be told. `hanging`:
    nor one to close what looks unfinished.
    """
    written = await entries(scene.house)
    await books_are_right(scene.house)
    found = [*_money(scene, written), *_nothing_twice(scene)]
    if not silent:
        found += untold(scene, scene.asked)
    if not hanging:
        found += unfinished(scene.messages)
    return [*found, *_pings(scene), *_requests(scene), *_running(scene)]


# Money


def _money(scene: Scene, written: dict[int, Entry]) -> list[str]:
    found = [f"a charge for what nobody asked: {entry}" for key, entry in written.items() if key not in scene.asked]
    for entry in written.values():
        if entry.reason is None or entry.reason not in PAYERS:
            found.append(f"no known reason: {entry.reason}")
        elif PAYERS[entry.reason].user == "nothing" and entry.user_nano:
            found.append(f"the asker paid {entry.user_nano} for {entry.reason}")
    return [*found, *_pictures_paid(scene, written), *_bill(scene, written), *_answers_paid(scene, written)]


def _answers_paid(scene: Scene, written: dict[int, Entry]) -> list[str]:
    """Who paid for an answer has been shown all of it."""
    paid = [entry for key, entry in written.items() if scene.kinds.get(key) == "chat" and entry.reason == "finished"]
    whole = [message for message in scene.messages if BEGINNING in message.content and END in message.content]
    if len(whole) < len(paid):
        return [f"{len(paid)} answers were charged, {len(whole)} shown: {[m.content for m in scene.messages]}"]
    kept = [message for message in whole if not message.deleted and "Cut off" not in message.content]
    free = sum(entry.user_nano == 0 for entry in written.values())
    if len(kept) > len(paid) + free + _deleted(scene):
        return [f"{len(kept)} whole answers were shown, {len(paid)} charged: {list(written.values())}"]
    return []


def _deleted(scene: Scene) -> int:
    return sum(message.deleted for message in scene.messages)


def _pictures_paid(scene: Scene, written: dict[int, Entry]) -> list[str]:
    charged = sum(entry.user_nano for key, entry in written.items() if scene.kinds.get(key) == "image") // IMAGE_NANO
    delivered = sum(len(message.attachments) for message in scene.messages)
    return [] if charged == delivered else [f"{charged} pictures were charged, {delivered} delivered"]


def _bill(scene: Scene, written: dict[int, Entry]) -> list[str]:
    """What the API wants to be paid is in the books, but for words of a torn stream that never came to us."""
    billed = sum(order.billed_nano for order in scene.orders)
    billed += sum(price(received.billed) for received in scene.requests if received.billed is not None)
    booked = sum(entry.provider_nano for entry in written.values())
    torn = TORN_NANO * sum(entry.estimated for entry in written.values())
    return (
        []
        if billed <= booked + torn
        else [f"the API billed {billed}, {booked} are in the books: {list(written.values())}"]
    )


# Messages


def untold(scene: Scene, keys: Iterable[int]) -> list[str]:
    """Each who asked reads something: an answer, pictures, or words about why there are none."""
    return [
        f"nobody told {scene.asked[key].user.name} what became of {scene.kinds[key]} {key}"
        for key in keys
        if not any(_tells(scene, key, each) for each in scene.messages)
    ]


def _tells(scene: Scene, key: int, message: Message) -> bool:
    if message.loading or not (message.content or message.attachments):
        return False
    door = scene.doors[key]
    if message.interaction is door or message.reply_to is door:
        return True
    return message.channel.is_private and scene.asked[key].user in message.channel.recipients


def unfinished(messages: Iterable[Message]) -> list[str]:
    return [
        f"left looking unfinished: {message.content!r} {labels(message)}{' (loading)' * message.loading}"
        for message in messages
        if not message.deleted and (message.loading or WRITING in message.content or UNFINISHED & {*labels(message)})
    ]


def _pings(scene: Scene) -> list[str]:
    return [f"{message.content!r} pings" for message in scene.messages if message.mentions_pinged]


def _nothing_twice(scene: Scene) -> list[str]:
    found = []
    for key, door in scene.doors.items():
        answers = [m for m in scene.messages if _is_answer(m) and (m.interaction is door or m.reply_to is door)]
        if len(answers) > 1:
            found.append(f"{key} was answered {len(answers)} times: {[each.content for each in answers]}")
    asked = sum(kind == "chat" for kind in scene.kinds.values())
    if len(scene.requests) > asked:
        found.append(f"{asked} questions were put to the API {len(scene.requests)} times")
    return found


def _is_answer(message: Message) -> bool:
    return not message.deleted and ("Regenerate" in labels(message) or "Again" in labels(message))


# What others would complain of


def _requests(scene: Scene) -> list[str]:
    discord = scene.house.discord
    limited = [f"{each.method} {each.template} met a 429" for each in discord.rate_limited if not each.faulted]
    return [*discord.problems, *limited]


def complained(scene: Scene, known: Collection[str]) -> list[str]:
    """What the log says as an error and nothing explains. Looked at when the bot has stopped."""
    return [f"logged: {line}" for line in scene.logged.lines if not any(each in line for each in (*known, *NOT_OURS))]


def _running(scene: Scene) -> list[str]:
    bot = scene.house.bot
    if bot is None:
        return []
    services = bot.services
    open_things = (services.answers.open_count, services.pictures.drawing_count, services.pictures.waiting_count)
    return [] if not any(open_things) else [f"still open: {open_things}"]
