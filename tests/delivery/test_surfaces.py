"""Where an answer is shown, and how it gets there once the interaction's token has ended."""

import pytest

from bot import errors
from bot.delivery.messages import Outgoing, Sent, Urgency
from bot.delivery.rest import DiscordRest
from bot.delivery.surfaces import ChannelSurface, InteractionSurface
from tests.delivery.server import ROOM, TOKEN, FakeServer, discord, problem

FINAL = Urgency.FINAL


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def text() -> Outgoing:
    return Outgoing(content="text")


def routes(server: FakeServer) -> list[str]:
    return [f"{asked.method} {asked.path.removeprefix('/api/v10')}" for asked in server.asked]


def interaction(
    rest: DiscordRest, clock: Clock, *, ephemeral: bool = False, bot_present: bool = True
) -> InteractionSurface:
    return InteractionSurface(
        rest,
        application_id=5,
        token=TOKEN,
        channel_id=7,
        ephemeral=ephemeral,
        expires_at=900.0,
        bot_present=bot_present,
        clock=clock,
    )


async def test_an_interaction_answers_in_its_original_and_then_in_follow_ups() -> None:
    async with discord() as (server, rest):
        surface = interaction(rest, Clock())
        for number in (0, 1, 1, 0):
            await surface.write(number, text, FINAL)
    hook = f"/webhooks/5/{TOKEN}"
    assert routes(server) == [
        f"PATCH {hook}/messages/@original",
        f"POST {hook}",
        f"PATCH {hook}/messages/11",
        f"PATCH {hook}/messages/@original",
    ]


async def test_a_channels_first_message_is_a_reply() -> None:
    async with discord() as (server, rest):
        surface = ChannelSurface(rest, channel_id=7, reply_to=99, ping_asker=True)
        for number in (0, 1, 0):
            await surface.write(number, text, FINAL)
    assert routes(server) == [
        "POST /channels/7/messages",
        "POST /channels/7/messages",
        "PATCH /channels/7/messages/11",
    ]
    assert [asked.json["allowed_mentions"]["replied_user"] for asked in server.asked] == [True, False, True]
    assert ["message_reference" in asked.json for asked in server.asked] == [True, False, False]


async def test_a_message_whose_creation_was_not_answered_is_created_once() -> None:
    async with discord() as (server, rest):
        server.answers = [problem(500, **ROOM)] * 5
        surface = ChannelSurface(rest, channel_id=7)
        with pytest.raises(errors.DeliveryUnavailable):
            await surface.write(0, text, FINAL)
        await surface.write(0, text, FINAL)
    assert len({asked.json["nonce"] for asked in server.asked if asked.method == "POST"}) == 1


async def test_a_message_that_an_unanswered_creation_may_have_made_is_brought_up_to_date() -> None:
    """Discord answers a nonce that it knows with the message that there is, as it was first sent."""
    async with discord() as (server, rest):
        server.answers = [problem(500, **ROOM)] * 5
        surface = ChannelSurface(rest, channel_id=7)
        with pytest.raises(errors.DeliveryUnavailable):
            await surface.write(0, text, FINAL)
        await surface.write(0, lambda: Outgoing(content="newer"), FINAL)
    assert [asked.method for asked in server.asked] == [*["POST"] * 6, "PATCH"]
    assert server.asked[-1].json["content"] == "newer"


async def test_when_the_token_ends_the_answer_goes_on_through_the_channel() -> None:
    clock = Clock()
    async with discord() as (server, rest):
        surface = interaction(rest, clock)
        await surface.write(0, text, FINAL)
        clock.now = 899.0
        for number in (0, 1):
            await surface.write(number, text, FINAL)
        await surface.delete(0)
    assert routes(server)[1:] == [
        "PATCH /channels/7/messages/11",
        "POST /channels/7/messages",
        "DELETE /channels/7/messages/11",
    ]


async def test_a_token_that_ends_early_is_noticed() -> None:
    async with discord() as (server, rest):
        surface = interaction(rest, Clock())
        await surface.write(0, text, FINAL)
        server.answers = [problem(401, 50027)]
        await surface.write(0, text, FINAL)
        await surface.write(0, text, FINAL)
    assert routes(server)[2:] == ["PATCH /channels/7/messages/11"] * 2


@pytest.mark.parametrize(("ephemeral", "bot_present"), [(True, True), (False, False)])
async def test_where_the_bots_own_routes_do_not_reach_the_end_of_the_token_is_the_end(
    ephemeral: bool, bot_present: bool
) -> None:
    clock = Clock()
    async with discord() as (server, rest):
        surface = interaction(rest, clock, ephemeral=ephemeral, bot_present=bot_present)
        await surface.write(0, text, FINAL)
        clock.now = 901.0
        with pytest.raises(errors.TokenExpired):
            await surface.write(0, text, FINAL)
    assert len(server.asked) == 1


async def test_deleting_what_is_gone_is_fine() -> None:
    async with discord() as (server, rest):
        surface, channel = interaction(rest, Clock()), ChannelSurface(rest, channel_id=7)
        await surface.write(0, text, FINAL)
        await channel.write(0, text, FINAL)
        server.always = problem(404, 10008)
        await surface.delete(0)
        await channel.delete(0)
        await channel.delete(1)
    assert routes(server)[2:] == [
        f"DELETE /webhooks/5/{TOKEN}/messages/@original",
        "DELETE /channels/7/messages/11",
    ]


async def test_messages_come_one_after_the_other() -> None:
    async with discord() as (_, rest):
        with pytest.raises(ValueError, match="cannot follow"):
            await ChannelSurface(rest, channel_id=7).write(1, text, FINAL)


async def test_a_reply_that_an_earlier_process_wrote_is_carried_on_by_the_channels_routes() -> None:
    async with discord() as (server, rest):
        clock = Clock()
        surface = InteractionSurface(
            rest,
            application_id=5,
            token=TOKEN,
            channel_id=7,
            ephemeral=False,
            expires_at=900.0,
            clock=clock,
            known=(Sent(channel_id=7, message_id=11),),
        )
        assert surface.by_token
        clock.now = 900.0
        assert not surface.by_token
        await surface.write(0, lambda: Outgoing(content="carried on"), FINAL)
    assert [(asked.method, asked.path) for asked in server.asked] == [("PATCH", "/api/v10/channels/7/messages/11")]


async def test_a_message_that_was_never_written_is_not_deleted() -> None:
    async with discord() as (server, rest):
        surface = interaction(rest, Clock())
        await surface.write(0, text, FINAL)
        await surface.delete(1)
    assert len(server.asked) == 1
