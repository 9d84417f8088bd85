"""Rules of the addresses of earlier pictures: a clock that stands still, a reader that answers from a table."""

from typing import Any

import pytest

from bot.answers.pictures import GONE_LIMIT, MARGIN_S, PictureAddresses
from bot.answers.question import AttachmentRef
from bot.errors import DeliveryError, DeliveryForbidden, DeliveryUnavailable, MessageGone

NOW = 1_800_000_000


def address(number: int, *, ends: float) -> str:
    return f"https://cdn.example/{number}.png?ex={int(ends):x}&is=1&hm=2"


def image(number: int, *, ends: float = NOW - 1, message_id: int | None = 7) -> AttachmentRef:
    return AttachmentRef(
        id=number,
        name=f"{number}.png",
        url=address(number, ends=ends),
        size_bytes=9,
        channel_id=None if message_id is None else 3,
        message_id=message_id,
    )


class Reader:
    """Messages by id: their attachments, or the error that reading them raises."""

    def __init__(self, messages: dict[int, list[int] | DeliveryError]) -> None:
        self.messages = messages
        self.asked: list[tuple[int, int]] = []

    async def get_message(self, channel_id: int, message_id: int) -> dict[str, Any]:
        self.asked.append((channel_id, message_id))
        found = self.messages[message_id]
        if isinstance(found, DeliveryError):
            raise found
        return {"attachments": [{"id": str(each), "url": address(each, ends=NOW + 86_400)} for each in found]}


def addresses(reader: Reader) -> PictureAddresses:
    return PictureAddresses(reader, now=lambda: NOW)


async def test_an_address_that_works_long_enough_is_used_unread() -> None:
    reader = Reader({})
    fresh = image(1, ends=NOW + MARGIN_S + 1)
    assert await addresses(reader).working([fresh]) == {1: fresh.url}
    assert reader.asked == []


async def test_an_address_that_ends_soon_is_read_anew() -> None:
    reader = Reader({7: [1]})
    assert await addresses(reader).working([image(1, ends=NOW + MARGIN_S)]) == {1: address(1, ends=NOW + 86_400)}


async def test_a_message_is_read_once_for_all_its_pictures() -> None:
    reader = Reader({7: [1, 2, 99]})
    assert set(await addresses(reader).working([image(1), image(2)])) == {1, 2}
    assert reader.asked == [(3, 7)]


async def test_a_forwarded_picture_is_read_anew_from_the_message_that_forwards_it() -> None:
    class Forwarding(Reader):
        async def get_message(self, channel_id: int, message_id: int) -> dict[str, Any]:
            return {"attachments": [], "message_snapshots": [{"message": await super().get_message(3, message_id)}]}

    assert set(await addresses(Forwarding({7: [1]})).working([image(1)])) == {1}


async def test_a_picture_of_no_message_is_left_out_once_its_address_has_ended() -> None:
    assert await addresses(Reader({})).working([image(1, message_id=None)]) == {}


async def test_a_picture_that_left_its_message_is_left_out() -> None:
    assert set(await addresses(Reader({7: [2]})).working([image(1), image(2)])) == {2}


@pytest.mark.parametrize("error", [MessageGone(status=404, code=10_008), DeliveryForbidden(status=403, code=50_001)])
async def test_a_message_that_is_gone_or_closed_is_not_asked_for_again(error: DeliveryError) -> None:
    reader = Reader({7: error, 8: [2]})
    both = addresses(reader)
    for _ in range(2):
        assert set(await both.working([image(1), image(2, message_id=8)])) == {2}
    assert reader.asked == [(3, 7), (3, 8), (3, 8)]


async def test_a_message_that_could_not_be_read_just_now_is_asked_for_again() -> None:
    reader = Reader({7: DeliveryUnavailable(status=503)})
    later = addresses(reader)
    assert await later.working([image(1)]) == {}
    reader.messages[7] = [1]
    assert set(await later.working([image(1)])) == {1}


async def test_what_is_known_to_be_gone_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    gone = MessageGone(status=404)
    reader = Reader(dict.fromkeys(range(GONE_LIMIT + 1), gone))
    bounded = addresses(reader)
    await bounded.working([image(number, message_id=number) for number in range(GONE_LIMIT + 1)])
    reader.asked.clear()
    await bounded.working([image(0, message_id=0), image(1, message_id=1)])
    assert reader.asked == [(3, 0)]
