"""Who waits, who goes first, and what an altered client gets."""

import asyncio
import re
from typing import Any

from sandbox.discord.messages import Interaction
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from tests.e2e.accounting import entries
from tests.e2e.drawing import draw, order, pictured, quick, told, under_way
from tests.e2e.house import House, labels
from tests.e2e.ordering import (
    MANY,
    PICTURE_NANO,
    closed,
    copies,
    plays,
    press,
    results,
    says,
    shown,
    small,
)

PLACE = re.compile(r"⏳ (\d+)\w\w in line\. I start as soon as it is your turn\.")


def place(interaction: Interaction) -> int | None:
    """The place in line that its reply shows."""
    found = PLACE.search(interaction.original.content) if interaction.original else None
    return int(found[1]) if found else None


async def in_place(house: House, interaction: Interaction, number: int) -> None:
    await house.discord.wait_until(
        lambda: place(interaction) == number, timeout_s=30, what=f"place {number}, not {place(interaction)}"
    )


class Gated:
    """An API that draws each prompt when it is told to."""

    def __init__(self, house: House) -> None:
        self.play = plays(house)
        self._house = house
        self._gates: dict[str, asyncio.Event] = {}

    async def order(self, prompt: str, by: Person, at: Channel | None = None, **options: object) -> Interaction:
        self._gates[prompt] = asyncio.Event()
        self.play.scripts[prompt] = [small(gate=self._gates[prompt])] * 4
        return await order(self._house, prompt, by=by, at=at, **options)  # type: ignore[arg-type]  # its names

    def draw(self, *prompts: str) -> None:
        for prompt in prompts:
            self._gates[prompt].set()

    def draw_all(self) -> None:
        self.draw(*self._gates)


async def test_members_take_turns_however_much_one_of_them_orders(empty_house: House) -> None:
    house, api = empty_house, Gated(empty_house)
    async with house.running(**MANY | {"PICTURE_ORDERS_OPEN": "1"}):
        ordered = {"first": await api.order("first", house.admin)}
        await says(house, ordered["first"], "Drawing your picture.")
        for number in range(5):
            prompt = f"Dana {number}"
            ordered[prompt] = await api.order(prompt, house.dana)
            await in_place(house, ordered[prompt], number + 1)
        ordered["Noam"] = await api.order("Noam", house.noam)
        await in_place(house, ordered["Noam"], 2)
        await in_place(house, ordered["Dana 1"], 3)
        expected = ["first", "Dana 0", "Noam", *(f"Dana {number}" for number in range(1, 5))]
        for prompt in expected:
            await says(house, ordered[prompt], "Drawing your picture.")
            api.draw(prompt)
        await results(house, api.play, ordered)
        assert list(api.play.heard) == expected


async def test_each_bound_keeps_to_its_own_and_a_member_at_theirs_stops_nobody_else(empty_house: House) -> None:
    house, api = empty_house, Gated(empty_house)
    other = house.discord.world.add_guild("Other")
    other.join(house.dana.user)
    elsewhere = other.add_text_channel("art")
    limits = {"PICTURE_ORDERS_PER_MEMBER": "2", "PICTURE_ORDERS_PER_SERVER": "3", "PICTURE_ORDERS_OPEN": "4"}
    async with house.running(**MANY | limits):
        ordered: dict[str, Interaction] = {}
        for prompt, by, at in (
            ("Dana 0", house.dana, None),
            ("Dana 1", house.dana, elsewhere),
            ("Dana 2", house.dana, elsewhere),
            ("Noam 0", house.noam, None),
            ("Admin 0", house.admin, None),
            ("Noam 1", house.noam, None),
        ):
            ordered[prompt] = await api.order(prompt, by, at)
            await shown(house, ordered[prompt], lambda reply: "Cancel" in labels(reply))
        assert {prompt: place(each) for prompt, each in ordered.items()} == {
            "Dana 0": None,
            "Dana 1": None,
            "Dana 2": 1,  # of a member with two under way
            "Noam 0": None,
            "Admin 0": None,
            "Noam 1": 2,  # in a server with three under way
        }
        api.draw("Admin 0")
        await says(house, ordered["Noam 1"], "Drawing your picture.")
        assert place(ordered["Dana 2"]) == 1
        api.draw("Dana 0")
        await says(house, ordered["Dana 2"], "Drawing your picture.")
        api.draw_all()
        await results(house, api.play, ordered)


async def test_a_full_line_refuses_clearly_and_charges_nothing(empty_house: House) -> None:
    house, api = empty_house, Gated(empty_house)
    lines = {"PICTURE_ORDERS_PER_MEMBER": "1", "PICTURE_LINE_PER_MEMBER": "2", "PICTURE_LINE": "3"}
    async with house.running(**MANY | lines):
        ordered = {}
        for prompt, by in (("D0", house.dana), ("D1", house.dana), ("D2", house.dana), ("N0", house.noam)):
            ordered[prompt] = await api.order(prompt, by)
            await shown(house, ordered[prompt], lambda reply: "Cancel" in labels(reply))
        words = await told(house, await api.order("D3", house.dana))
        assert words == "⚠️ You have 2 orders in line already. Please wait for a picture, or cancel one."
        ordered["N1"] = await api.order("N1", house.noam)
        await in_place(house, ordered["N1"], 2)
        words = await told(house, await api.order("N2", house.noam))
        assert words == (
            "⚠️ So many want pictures that there are 3 orders in line already. Please try again in a few minutes."
        )
        ordered["A0"] = await api.order("A0", house.admin)  # nobody waits before her
        await says(house, ordered["A0"], "Drawing your picture.")
        api.draw_all()
        ended = await results(house, api.play, ordered)
        assert {one.reason for one in ended.values()} == {"finished"}
        assert set(await entries(house)) == {each.id for each in ordered.values()}


async def test_places_move_up_as_others_come_to_their_turn_or_leave(empty_house: House) -> None:
    house, api = empty_house, Gated(empty_house)
    async with house.running(**MANY | {"PICTURE_ORDERS_OPEN": "1"}):
        ordered = {prompt: await api.order(prompt, house.dana) for prompt in ("P0", "P1", "P2", "P3")}
        for number in (1, 2, 3):
            await in_place(house, ordered[f"P{number}"], number)
        original = ordered["P1"].original
        assert original is not None
        await house.dana.click(original, label="Cancel")
        await says(house, ordered["P1"], "⏹️ Cancelled. Nothing was charged.")
        await in_place(house, ordered["P2"], 1)
        await in_place(house, ordered["P3"], 2)
        api.draw("P0")
        await says(house, ordered["P2"], "Drawing your picture.")
        await in_place(house, ordered["P3"], 1)
        api.draw_all()
        await results(house, api.play, ordered)
        assert list(api.play.heard) == ["P0", "P2", "P3"]


async def test_a_restart_keeps_the_order_of_the_line(empty_house: House) -> None:
    house, api = empty_house, Gated(empty_house)
    settings = MANY | {"PICTURE_ORDERS_OPEN": "1"}
    expected = ["first", "Dana 0", "Noam 0", "Dana 1", "Dana 2"]
    async with house.running(**settings):
        ordered = {"first": await api.order("first", house.admin)}
        await says(house, ordered["first"], "Drawing your picture.")
        for prompt, by in (
            ("Dana 0", house.dana),
            ("Dana 1", house.dana),
            ("Dana 2", house.dana),
            ("Noam 0", house.noam),
        ):
            ordered[prompt] = await api.order(prompt, by)
        await in_place(house, ordered["Noam 0"], 2)
    async with house.running(**settings):
        for number, prompt in enumerate(expected[1:], start=1):
            await in_place(house, ordered[prompt], number)
        for prompt in expected:
            await says(house, ordered[prompt], "Drawing your picture.")
            api.draw(prompt)
        await results(house, api.play, ordered)
    assert list(api.play.heard) == expected


# Altered clients, and a Discord that repeats itself


ODD: tuple[object, ...] = (
    -1, 0, 10**6, 2**63, -(2**63), 1e308, -0.0, 1.5, "7", "", " ", "x" * 5_000, "\0", True, [], {}
)  # fmt: skip
OPTIONS = (
    "prompt", "negative_prompt", "model", "scheduler", "shape",
    "steps", "cfg_scale", "width", "height", "count",
)  # fmt: skip
DRAWN = {
    "prompt='7'",
    *(f"negative_prompt={text!r}" for text in ("7", "", " ", "\0")),
    "cfg_scale=1.5",
    "cfg_scale=True",
}
"""All that the API has a picture for."""


async def came_of(house: House, interaction: Interaction) -> str:
    def found() -> str:
        for message in interaction.messages:
            if message.attachments:
                return "drawn"
            if message.content.startswith("⚠️ "):
                return "no words for it" if "this reference" in message.content else "refused"
        return ""

    return await house.discord.wait_until(found, timeout_s=30, what="pictures, or words")


async def test_no_odd_value_of_any_option_is_charged_for_or_goes_without_words(empty_house: House) -> None:
    house = quick(empty_house)
    async with house.running(**MANY):
        asked: dict[str, Interaction] = {}
        for option in OPTIONS:
            for value in ODD:
                options: dict[str, Any] = {"prompt": "a cat"} | {option: value}
                case = f"{option}={value!r}"[:40]
                asked[case] = await house.dana.slash(house.channel, "imagine", tampered=True, **options)
        came = {case: await came_of(house, interaction) for case, interaction in asked.items()}
        assert {case for case, what in came.items() if what == "drawn"} == DRAWN
        assert set(came.values()) == {"drawn", "refused"}
        drawn = [asked[case] for case in DRAWN]
        assert set(await closed(house, *drawn)) == {each.id for each in drawn}


async def test_the_same_interaction_delivered_twice_is_one_order(house: House) -> None:
    quick(house)
    reply = await under_way(house)
    assert reply.interaction is not None
    again = house.discord.world.interaction_payload(reply.interaction)
    house.discord.gateway.dispatch_raw("INTERACTION_CREATE", again)
    await draw(house, "another")
    house.api.release_pictures()
    await closed(house, reply.interaction)
    house.discord.gateway.dispatch_raw("INTERACTION_CREATE", again)
    third = await draw(house, "a third")
    assert third.interaction is not None
    await closed(house, third.interaction)
    assert [asked.body["prompt"] for asked in house.api.pictures] == ["a lighthouse", "another", "a third"]
    assert len(copies(house, reply.interaction)) == 1
    assert sum(entry.user_nano for entry in (await entries(house)).values()) == 3 * PICTURE_NANO


MADE_UP = (
    "picture:cancel:0",
    "picture:again:1",
    "picture:details:99999999999999999999",
    "picture:delete:9223372036854775808",
)


async def test_a_made_up_order_is_not_known(house: House) -> None:
    quick(house)
    reply = await draw(house)
    button = reply.buttons()[0]
    for custom_id in MADE_UP:
        button["custom_id"] = custom_id
        words = await told(house, await house.noam.click(reply, custom_id=custom_id, tampered=True))
        assert words.startswith("⚠️ I no longer know this order"), custom_id
    assert len(house.api.pictures) == 1


async def test_a_private_order_is_nobody_elses_at_any_time(house: House) -> None:
    quick(house)
    reply = await under_way(house, private=True)
    assert reply.interaction is not None
    for stage in ("under way", "delivered"):
        for action in ("cancel", "again", "edit", "shape", "details", "delete"):
            for person in (house.noam, house.admin):
                pressed = await press(action, reply.interaction, person)
                assert (await told(house, pressed)).startswith("⚠️ I no longer know this order"), (stage, action)
        house.api.release_pictures()
        await pictured(house, reply.interaction)
    assert len(house.api.pictures) == 1
    assert not reply.deleted
