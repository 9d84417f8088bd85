"""Questions to a running bot, many at once, and what a reader saw of the answers."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.house import Books, House, check_books, end_of, open_house
from benchmarks.process import Cost, cost_of
from benchmarks.reading import Reading, Shown, one_clock_for_all, read, story, words_shown
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.places import Channel
from sandbox.discord.rest import Recorded
from sandbox.minitoolai.script import Received, Script

CHUNKS_PER_S: Final = 50
WARM_UP_CHUNKS: Final = 50
PATIENCE_S: Final = 60.0
"""So long after its stream an answer may take; the worst is a channel whose limits hold back ten answers."""
LOOK_EVERY_S: Final = 0.2
_QUESTION: Final = re.compile(r"question number ([0-9]+)")
_ENDED: Final = "Regenerate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """`answers` questions in `channels` channels, the first one at once and the last `spread_s` later.

    `rate`: chunks a second of each. `mentions`: asked by messages, else by /ask. `judged`: the bounds apply.
    """

    name: str
    title: str
    answers: int
    channels: int
    spread_s: float = 0.0
    rate: float = CHUNKS_PER_S
    mentions: bool = False
    judged: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a scenario. `one_clock` is what the same chunks would have looked like under one shared clock.

    `acknowledged_s` holds nothing for mentions, which Discord does not want acknowledged. `sent_on_s` is how long after
    the asking the API had the question. `sandbox_cpu_s` is what the loopback servers themselves took of the machine, in
    one process beside the bot's.
    """

    scenario: Scenario
    acknowledged_s: tuple[float, ...]
    sent_on_s: tuple[float, ...]
    readings: tuple[Reading, ...]
    one_clock: tuple[Reading, ...]
    edits: int
    rate_limited: int
    chunks: int
    duration_s: float
    before: Cost | None
    after: Cost | None
    sandbox_cpu_s: float
    books: Books


@dataclass(kw_only=True)
class _Asked:
    """One question on its way. `asked_at` is of the monotonic clock."""

    channel: Channel
    asked_at: float
    interaction: Interaction | None = None
    message: Message | None = None
    received: Received | None = None

    def replies(self) -> list[Message]:
        if self.interaction is not None:
            return [each for each in (self.interaction.original, *self.interaction.followups) if each is not None]
        return [each for each in self.channel.messages.values() if each.reply_to is self.message]

    def ended(self) -> bool:
        return any(button.get("label") == _ENDED for reply in self.replies() for button in reply.buttons())


async def run(scenario: Scenario, *, seconds: float, profile: Path | None = None, one_core: bool = False) -> Outcome:
    """Ask, wait for every last edit, and measure. Each answer streams for `seconds`.

    Raises TimeoutError, with the end of the bot's log, where an answer does not end, and ValueError where a chunk of
    one was never seen.
    """
    async with open_house(people=scenario.answers, profile=profile, one_core=one_core) as house:
        channels = [house.guild.add_text_channel(f"channel-{number}") for number in range(scenario.channels)]
        warm_up = house.guild.add_text_channel("warm-up")
        await _ask_all(house, Scenario(name="", title="", answers=1, channels=1), [warm_up], chunks=WARM_UP_CHUNKS)
        house.discord.requests.clear()
        before, own_before, began = cost_of(house.pid), time.process_time(), time.monotonic()
        chunks = max(round(seconds * scenario.rate), 2)
        asked = await _ask_all(house, scenario, channels, chunks=chunks)
        duration_s = time.monotonic() - began
        after, own_after = cost_of(house.pid), time.process_time()
        records = list(house.discord.requests)
        sent = [each.received.sent_at for each in asked if each.received is not None]
        shown = _shown(asked, records)
        return Outcome(
            scenario=scenario,
            acknowledged_s=_acknowledged(asked, records),
            sent_on_s=tuple(each.received.arrived_at - each.asked_at for each in asked if each.received is not None),
            readings=tuple(read(times, steps) for times, steps in zip(sent, shown, strict=True)),
            one_clock=tuple(one_clock_for_all(sent)),
            edits=sum(len(steps) for steps in shown),
            rate_limited=len(house.discord.rate_limited),
            chunks=sum(len(times) for times in sent),
            duration_s=duration_s,
            before=before,
            after=after,
            sandbox_cpu_s=own_after - own_before,
            books=await check_books(house),
        )


async def _ask_all(house: House, scenario: Scenario, channels: Sequence[Channel], *, chunks: int) -> list[_Asked]:
    received: dict[int, Received] = {}
    text = story(chunks)

    def answer(request: Received) -> Script:
        found = _QUESTION.search(str(request.body["messages"][-1]["content"]))
        assert found is not None
        received[int(found[1])] = request
        return Script(text, chunk_delay_s=1 / scenario.rate)

    house.api.answer = answer
    step_s = scenario.spread_s / max(scenario.answers - 1, 1)
    began = time.monotonic()
    asked: list[_Asked] = []
    for number in range(scenario.answers):
        await asyncio.sleep(max(began + number * step_s - time.monotonic(), 0))
        channel = channels[number % len(channels)]
        asked.append(await _ask(house, scenario, channel, number))
    patience_s = chunks / scenario.rate + PATIENCE_S
    await _all_ended(house, asked, patience_s)
    for number, each in enumerate(asked):
        each.received = received[number]
    return asked


async def _ask(house: House, scenario: Scenario, channel: Channel, number: int) -> _Asked:
    person, prompt = house.people[number], f"Please answer question number {number}."
    asked = _Asked(channel=channel, asked_at=time.monotonic())
    if scenario.mentions:
        asked.message = await person.say(channel, f"<@{house.discord.world.bot.id}> {prompt}")
    else:
        asked.interaction = await person.slash(channel, "ask", prompt=prompt)
    return asked


async def _all_ended(house: House, asked: Iterable[_Asked], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while left := [each for each in asked if not each.ended()]:
        if time.monotonic() > deadline:
            shown = "\n".join(reply.text()[-200:] for reply in left[0].replies()) or "nothing"
            raise TimeoutError(
                f"{len(left)} answers did not end. One of them shows:\n{shown}\nThe bot's log:\n{end_of(house.log)}"
            )
        await asyncio.sleep(LOOK_EVERY_S)


def _acknowledged(asked: Iterable[_Asked], records: Iterable[Recorded]) -> tuple[float, ...]:
    done = {each.path: each.finished for each in records if each.path.endswith("/callback")}
    return tuple(
        done[f"/interactions/{each.interaction.id}/{each.interaction.token}/callback"] - each.asked_at
        for each in asked
        if each.interaction is not None
    )


def _shown(asked: Sequence[_Asked], records: Iterable[Recorded]) -> list[list[Shown]]:
    """For each question the states of its reply as Discord took them: the moment is that of Discord's answer."""
    of_token = {each.interaction.token: number for number, each in enumerate(asked) if each.interaction is not None}
    of_question = {str(each.message.id): number for number, each in enumerate(asked) if each.message is not None}
    of_reply = {str(reply.id): number for number, each in enumerate(asked) for reply in each.replies()}
    shown: list[list[Shown]] = [[] for _ in asked]
    for record in records:
        if record.status != 200 or not isinstance(record.body, dict) or "content" not in record.body:
            continue
        kind, *rest = record.path.strip("/").split("/")
        if kind == "webhooks":
            number = of_token.get(rest[1])
        elif record.method == "POST":
            number = of_question.get(str((record.body.get("message_reference") or {}).get("message_id")))
        else:
            number = of_reply.get(rest[-1])
        if number is not None:
            shown[number].append(Shown(record.finished, words_shown(record.body["content"])))
    return shown
