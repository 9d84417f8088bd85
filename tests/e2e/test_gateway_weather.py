"""What the gateway can do to a bot in its life: it goes on answering."""

import logging

import pytest

from tests.e2e.conversing import ask
from tests.e2e.house import House

MALFORMED = [
    ("MESSAGE_CREATE", None),
    ("MESSAGE_CREATE", {"id": "not a number"}),
    ("MESSAGE_CREATE", {"id": "1", "channel_id": "2", "author": 7}),
    ("INTERACTION_CREATE", {"id": "1", "type": 2, "data": []}),
    ("GUILD_CREATE", {"id": "5", "channels": [{"id": "6"}], "roles": [{}], "members": [{"roles": [{"id": 1}]}]}),
    ("CHANNEL_CREATE", {"id": "7", "type": 0, "guild_id": "x"}),
    ("THREAD_CREATE", {"thread": None}),
    ("GUILD_MEMBER_UPDATE", {"guild_id": [], "user": {}}),
    ("GUILD_ROLE_UPDATE", {"guild_id": "1", "role": None}),
    ("SOMETHING_NEW", {"unknown": [1, 2, 3]}),
    ("RESUMED", None),
]


@pytest.mark.parametrize(("name", "data"), MALFORMED)
async def test_an_event_that_cannot_be_read_is_left_out_and_the_next_question_answered(
    house: House, name: str, data: object
) -> None:
    house.discord.gateway.dispatch_raw(name, data)
    assert "Still here." in (await ask(house, "Are you there?", answer="Still here.")).content


@pytest.mark.parametrize("frame", [[], 7, "x", None, {}, {"op": 99}, {"op": 0, "t": "MESSAGE_CREATE"}, {"op": "0"}])
async def test_a_frame_without_its_shape_is_left_out(house: House, frame: object) -> None:
    house.discord.gateway.send_raw([frame] if isinstance(frame, str) else frame)
    assert "Still here." in (await ask(house, "Are you there?", answer="Still here.")).content


async def test_what_is_left_out_is_logged_without_its_content(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        house.discord.gateway.dispatch_raw("MESSAGE_CREATE", {"id": "1", "content": "Sierra Madre"})
        await ask(house, "Are you there?")
    assert "a payload of the gateway cannot be read, and was left out" in caplog.text
    assert "Sierra Madre" not in caplog.text


async def test_after_a_dropped_connection_an_op_7_and_an_invalid_session_questions_are_answered(house: House) -> None:
    gateway = house.discord.gateway
    for trouble in (
        gateway.drop(),
        gateway.drop(4000),
        gateway.request_reconnect(),
        gateway.invalidate(resumable=True),
        gateway.invalidate(resumable=False),
    ):
        await trouble
        await gateway.wait_ready(20)
        assert "Still here." in (await ask(house, "Are you there?", answer="Still here.")).content
