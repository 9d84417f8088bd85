"""How a growing answer is shown."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.answers.live import (
    ABANDON_S,
    CREATION_GRACE_S,
    FAILURES_BORNE,
    FILE_NAME,
    GOES_ON,
    GRACE_S,
    INSIST_S,
    REST_LOST,
    WRITING,
    Live,
)
from bot.delivery.messages import CONTENT_LIMIT, Button, Outgoing, Sent, SentAttachment, Upload, Urgency, utf16_length
from bot.errors import (
    DeliveryError,
    DeliveryForbidden,
    DeliveryUnavailable,
    MessageGone,
)
from tests.delivery.virtual import run

STOP = Button(custom_id="stop", label="Stop")
AGAIN = Button(custom_id="again", label="Regenerate")
LONG = "word " * 1_200  # some four pages


@dataclass
class Written:
    number: int
    shown: Outgoing
    urgency: Urgency


@dataclass
class FakeSurface:
    """`permit_s` and `answer_s` are how long a write waits for its permit, and then for its answer."""

    permit_s: dict[Urgency, float] = field(default_factory=dict)
    answer_s: Callable[[int], float] = lambda _: 0.0
    fault: Callable[[int, Urgency], DeliveryError | None] = lambda _number, _urgency: None
    writes: list[Written] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)
    files: list[list[Upload]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def write(self, number: int, render: Callable[[], Outgoing], urgency: Urgency) -> Sent:
        assert number <= len(self.messages)
        await asyncio.sleep(self.permit_s.get(urgency, 0.0))
        shown = render()
        self.writes.append(Written(number, shown, urgency))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.answer_s(len(self.writes) - 1))
        finally:
            self.under_way -= 1
        fault = self.fault(number, urgency)
        if fault is not None:
            raise fault
        return self._keep(number, shown)

    def _keep(self, number: int, shown: Outgoing) -> Sent:
        self.messages[number : number + 1] = [shown]
        files = self.files[number] if number < len(self.files) else []
        self.files[number : number + 1] = [[*files, *(shown.uploads or ())]]
        attachments = tuple(SentAttachment(id=i, name=file.name, url="") for i, file in enumerate(self.files[number]))
        return Sent(channel_id=1, message_id=100 + number, attachments=attachments)

    async def delete(self, number: int) -> None:
        self.deleted.append(number)

    @property
    def contents(self) -> list[str]:
        return [message.content for message in self.messages]


def live_on(surface: FakeSurface, *, max_messages: int = 4) -> Live:
    return Live(surface, max_messages=max_messages, stop=STOP)


async def until_quiet() -> None:
    await asyncio.sleep(5)


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - the surface sets no event, and time is virtual
        await asyncio.sleep(0.01)


async def finish(live: Live, *, footer: str = "model", notice: str | None = None) -> tuple[Sent, ...]:
    sent = await live.finish(footer=footer, buttons=(AGAIN,), notice=notice)
    assert len(asyncio.all_tasks()) == 1
    return sent


def test_the_first_words_are_written_at_once_with_mark_and_stop() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("Hello there ")
            await until_quiet()
            assert surface.writes[0].urgency is Urgency.FIRST
            assert surface.contents[0].startswith("Hello there")
            assert WRITING in surface.contents[0].splitlines()[-1]
            assert surface.messages[0].buttons == (STOP,)
            await finish(live)

    run(main())


def test_what_a_model_is_made_to_write_hides_no_address_while_it_grows_nor_afterwards() -> None:
    surface = FakeSurface()
    shown = "See discord.com <https://elsewhere.example> now.\n-#\u200bnot charged"

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("See [discord.com](https://elsewhere.example) now.\n-# not charged\nBye. ")
            await until_quiet()
            assert surface.contents[0].startswith(
                "See discord.com <https://elsewhere.example> now.\n-#\u200bnot charged"
            )
            await finish(live)

    run(main())
    assert surface.contents == [f"{shown}\nBye.\n-# model"]


@pytest.mark.parametrize(("torn", "content"), [(False, "One **two\n-# model"), (True, "One **two**\n-# model")])
def test_marks_are_closed_at_the_end_of_an_answer_that_broke_off(torn: bool, content: str) -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("One **two")
            await live.finish(footer="model", buttons=(AGAIN,), torn=torn)

    run(main())
    assert surface.contents == [content]


def test_an_edit_shows_what_is_newest_when_its_turn_comes() -> None:
    surface = FakeSurface(permit_s={Urgency.GROWTH: 0.5})

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(0.1)
            live.add("two ")
            await asyncio.sleep(0.2)
            live.add("three ")
            await until_quiet()
            assert len(surface.writes) == 2
            assert "three" in surface.writes[1].shown.content
            await finish(live)

    run(main())


def test_nothing_is_sent_when_nothing_would_change() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one two ")
            await until_quiet()
            live.add("")
            live.add(" ")
            await until_quiet()
            assert len(surface.writes) == 1
            await finish(live)

    run(main())


def test_the_end_replaces_mark_and_stop_by_footer_and_buttons() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("An *answer")
            sent = await finish(live, notice="⚠️ Cut off")
            assert [one.message_id for one in sent] == [100]

    run(main())
    assert surface.contents == ["An *answer\n⚠️ Cut off\n-# model"]
    assert surface.messages[0].buttons == (AGAIN,)
    assert surface.writes[-1].urgency is Urgency.FINAL


def test_a_waiting_growth_edit_is_dropped_at_the_end() -> None:
    surface = FakeSurface(permit_s={Urgency.GROWTH: 60})

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            live.add("two")
            await asyncio.sleep(1)
            begun = loop.time()
            await finish(live)
            return loop.time() - begun

    assert run(main()) == 0.0
    assert [write.urgency for write in surface.writes] == [Urgency.FIRST, Urgency.FINAL]


def test_the_end_awaits_an_edit_that_is_on_its_way() -> None:
    surface = FakeSurface(answer_s=lambda _: 0.5)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            live.add("two ")
            await asyncio.sleep(0.1)
            await finish(live)

    run(main())
    assert surface.most_under_way == 1
    assert surface.contents == ["one two\n-# model"]


def test_the_end_overtakes_an_overdue_edit_and_is_shown_again_after_it() -> None:
    surface = FakeSurface(answer_s=lambda write: 8.0 if write == 1 else 0.0)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            live.add("two ")
            await asyncio.sleep(0.1)
            ending = asyncio.create_task(finish_quietly(live))
            await asyncio.sleep(GRACE_S + 0.1)
            assert surface.contents == ["one two\n-# model"]
            await ending

    async def finish_quietly(live: Live) -> None:
        await live.finish(footer="model", buttons=(AGAIN,))

    run(main())
    assert [write.urgency.name for write in surface.writes] == ["FIRST", "GROWTH", "FINAL", "FINAL"]
    assert surface.contents == ["one two\n-# model"]
    assert surface.under_way == 0


def test_a_full_page_loses_mark_and_button_before_the_next_begins() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            for word in LONG.split():
                live.add(word + " ")
                await asyncio.sleep(0.01)
            await until_quiet()
            for number, write in enumerate(surface.writes):
                if write.number > 0 and surface.writes[number - 1].number < write.number:
                    before = surface.writes[number - 1].shown
                    assert WRITING not in before.content
                    assert before.buttons == ()
            assert WRITING in surface.contents[-1]
            await finish(live)

    run(main())
    assert len(surface.messages) == 4
    assert [message.buttons for message in surface.messages] == [(), (), (), (AGAIN,)]
    assert " ".join(surface.contents).split() == [*LONG.split(), "-#", "model"]


def test_beyond_the_last_message_the_whole_answer_comes_as_a_file() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface, max_messages=2) as live:
            live.add(LONG)
            await until_quiet()
            assert len(surface.messages) == 2
            assert "file" in surface.contents[1].splitlines()[-1]
            assert surface.messages[1].buttons == (STOP,)
            await finish(live)

    run(main())
    assert GOES_ON in surface.contents[1]
    assert [(file.name, file.content.decode()) for file in surface.files[1]] == [(FILE_NAME, LONG)]
    assert surface.files[0] == []


@pytest.mark.parametrize("fault", [DeliveryForbidden(), DeliveryUnavailable()])
@pytest.mark.parametrize("streamed", [True, False])
def test_where_no_further_message_is_possible_the_file_is_on_the_last_one(fault: DeliveryError, streamed: bool) -> None:
    surface = FakeSurface(fault=lambda number, _: fault if number > 0 else None)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(LONG)
            await asyncio.sleep(5 if streamed else 0)
            await finish(live)

    run(main())
    assert len(surface.messages) == 1
    assert GOES_ON in surface.contents[0]
    assert surface.messages[0].buttons == (AGAIN,)
    assert surface.files[0][0].content.decode() == LONG


def test_attached_files_ride_on_an_edit_after_the_first_words() -> None:
    surface = FakeSurface()
    picture = Upload(name="a.png", content=b"png")

    async def main() -> None:
        async with live_on(surface) as live:
            live.attach((picture,))
            live.add("one ")
            await until_quiet()
            assert surface.files == [[]]
            live.add("two ")
            await until_quiet()
            assert surface.files == [[picture]]
            live.add("three ")
            await until_quiet()
            await finish(live)

    run(main())
    assert surface.files == [[picture]]


def test_attached_files_come_with_the_end_at_the_latest() -> None:
    surface = FakeSurface()
    picture = Upload(name="a.png", content=b"png")

    async def main() -> None:
        async with live_on(surface, max_messages=1) as live:
            live.attach((picture,))
            live.add(LONG)
            await finish(live)

    run(main())
    assert [file.name for file in surface.files[0]] == ["a.png", FILE_NAME]


def test_a_note_is_shown_before_the_first_words_and_gives_way_to_them() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.note("thinking…")
            await until_quiet()
            assert surface.contents == ["-# ✍️ thinking…"]
            live.note(None)
            live.add("Well, ")
            await until_quiet()
            assert "thinking" not in surface.contents[0]
            assert surface.writes[-1].urgency is Urgency.FIRST
            await finish(live)

    run(main())


@pytest.mark.parametrize(
    ("notice", "footer", "shown"),
    [("⏹️ Stopped.", "", "⏹️ Stopped."), ("⏹️ Stopped.", "model", "⏹️ Stopped.\n-# model"), (None, "", "-# (no text)")],
)
def test_an_answer_without_a_word_shows_the_notice(notice: str | None, footer: str, shown: str) -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            await finish(live, footer=footer, notice=notice)

    run(main())
    assert surface.contents == [shown]


def test_a_deleted_message_ends_the_writer_and_add_tells() -> None:
    surface = FakeSurface(fault=lambda _number, _urgency: MessageGone())

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            assert isinstance(live.failure, MessageGone)
            with pytest.raises(MessageGone):
                live.add("two")
            with pytest.raises(MessageGone):
                await finish(live)
            assert len(surface.writes) == 1

    run(main())


def test_growth_bears_some_failures_in_a_row() -> None:
    faults = iter([DeliveryUnavailable()] * FAILURES_BORNE)
    surface = FakeSurface(fault=lambda _number, _urgency: next(faults, None))

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(60)
            assert live.failure is None
            assert surface.contents[0].startswith("one")
            await finish(live)

    run(main())


def test_growth_gives_up_after_too_many_failures_and_the_end_still_tries() -> None:
    faults = iter([DeliveryUnavailable()] * (FAILURES_BORNE + 1))
    surface = FakeSurface(fault=lambda _number, _urgency: next(faults, None))

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(60)
            assert isinstance(live.failure, DeliveryUnavailable)
            live.add("two")
            await finish(live)
            assert live.failure is None

    run(main())
    assert surface.contents == ["one two\n-# model"]


@pytest.mark.parametrize("text", ["one ", LONG])
def test_an_abandoned_answer_keeps_its_words_and_loses_mark_and_stop(text: str) -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(text)
            await until_quiet()
            last = surface.contents[-1]
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            assert surface.contents[-1] == f"{last.rpartition(chr(10))[0]}\n⚠️ Cut off"
            assert surface.messages[-1].buttons == (AGAIN,)
            assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("answer_s", [0.5, 3_600], ids=["its answer comes", "its answer never comes"])
@pytest.mark.parametrize("late", [0, 1], ids=["the first", "a later one"])
def test_an_answer_abandoned_while_an_edit_is_unanswered_looks_no_less_finished(late: int, answer_s: float) -> None:
    surface = FakeSurface(answer_s=lambda write: answer_s if write == late else 0)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            if late:
                await until_quiet()
                live.add("two ")
            await until(lambda: len(surface.writes) > late)
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            assert len(asyncio.all_tasks()) == 1

    run(main())
    last = surface.writes[-1]
    words = surface.writes[late].shown.content.rpartition("\n")[0]
    assert (last.number, last.shown) == (0, Outgoing(content=f"{words}\n⚠️ Cut off", buttons=(AGAIN,)))
    assert surface.most_under_way == 1


def test_an_edit_whose_answer_is_lost_may_be_what_is_shown_when_an_answer_is_abandoned() -> None:
    surface = FakeSurface(fault=lambda _, urgency: DeliveryUnavailable() if urgency is Urgency.FIRST else None)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await until(lambda: surface.writes and not surface.under_way)
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))

    run(main())
    assert surface.messages == [Outgoing(content="one\n⚠️ Cut off", buttons=(AGAIN,))]


def test_an_edit_that_was_refused_is_not_what_an_abandoned_answer_shows() -> None:
    surface = FakeSurface(fault=lambda *_: DeliveryForbidden())

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))

    run(main())
    assert len(surface.writes) == 1


def test_a_further_message_that_may_not_be_there_is_not_made_twice_when_an_answer_is_abandoned() -> None:
    """The one before it is closed instead, whose place it was to take."""

    def first_further(write: int) -> float:
        return 3_600 if surface.writes[write].number == 1 else 0

    surface = FakeSurface(answer_s=first_further)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(LONG)
            await until(lambda: any(write.number == 1 for write in surface.writes))
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))

    run(main())
    [page, further, last] = surface.writes
    assert (page.number, further.number, last.number) == (0, 1, 0)
    assert last.shown == Outgoing(content=f"{page.shown.content}\n⚠️ Cut off", buttons=(AGAIN,))


def test_a_full_page_is_closed_too_where_the_next_message_still_waits_when_an_answer_is_abandoned() -> None:
    surface = FakeSurface(permit_s={Urgency.GROWTH: 3_600})

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(LONG)
            await until_quiet()
            [page] = surface.messages
            assert page.buttons == ()
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            assert surface.messages == [Outgoing(content=f"{page.content}\n⚠️ Cut off", buttons=(AGAIN,))]

    run(main())


def test_the_messages_of_an_answer_are_known_to_be_closed_once_nothing_looks_unfinished() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(LONG)
            await until_quiet()
            assert live.messages_closed == ()
            surface.fault = lambda *_: DeliveryUnavailable()
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            assert live.messages_closed == ()
            surface.fault = lambda *_: None
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            assert live.messages_closed == live.messages_shown
            assert len(live.messages_closed) > 1

    run(main())


def test_where_nothing_looks_unfinished_nothing_is_abandoned() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            live.add("one ")
            await finish(live)
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))

    run(main())
    assert surface.contents == ["one\n-# model"]


def test_an_answer_that_was_shown_whole_without_a_further_message_is_not_abandoned() -> None:
    surface = FakeSurface(answer_s=lambda write: 3_600 if surface.writes[write].number == 1 else 0)

    async def main() -> int:
        async with live_on(surface) as live:
            live.add(LONG)
            await until(lambda: any(write.number == 1 for write in surface.writes))
            await finish(live)
            count = len(surface.writes)
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            return len(surface.writes) - count

    assert run(main()) == 0


def test_abandoning_is_tried_for_a_bounded_time() -> None:
    surface = FakeSurface(answer_s=lambda write: 0 if write == 0 else 3_600)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            begun = loop.time()
            await live.abandon(notice="⚠️ Cut off", buttons=(AGAIN,))
            return loop.time() - begun

    assert run(main()) == pytest.approx(ABANDON_S)


def test_the_end_insists_for_a_bounded_time() -> None:
    surface = FakeSurface(fault=lambda _number, urgency: DeliveryUnavailable() if urgency is Urgency.FINAL else None)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            begun = loop.time()
            with pytest.raises(DeliveryUnavailable):
                await finish(live)
            return loop.time() - begun

    assert run(main()) == pytest.approx(INSIST_S)
    assert surface.under_way == 0


def test_leaving_without_finishing_leaves_nothing_under_way() -> None:
    surface = FakeSurface(answer_s=lambda _: 60)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            assert surface.under_way == 1
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert surface.under_way == 0


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.text(alphabet="ab *`\n-👩🏽#|", max_size=400), max_size=30),
    pauses=st.lists(st.sampled_from([0.0, 0.3, 1.5]), min_size=30, max_size=30),
    most=st.integers(1, 4),
    footer=st.text(max_size=400),
    notice=st.none() | st.text(max_size=2_500),
)
def test_every_state_fits_and_is_never_empty(
    pieces: list[str], pauses: list[float], most: int, footer: str, notice: str | None
) -> None:
    surface = FakeSurface(permit_s={Urgency.GROWTH: 0.5}, answer_s=lambda _: 0.1)

    async def main() -> None:
        async with live_on(surface, max_messages=most) as live:
            for piece, pause in zip(pieces, pauses, strict=False):
                live.add(piece)
                await asyncio.sleep(pause)
            await finish(live, footer=footer, notice=notice)

    run(main())
    contents = [write.shown.content for write in surface.writes]
    assert all(content.strip() and utf16_length(content) <= CONTENT_LIMIT for content in contents)
    assert surface.most_under_way == 1
    assert len(surface.messages) <= most
    assert surface.messages[-1].buttons == (AGAIN,)


class RepeatingSurface(FakeSurface):
    """Its growth edits fail once, and are rendered again half a second later."""

    async def write(self, number: int, render: Callable[[], Outgoing], urgency: Urgency) -> Sent:
        if urgency is Urgency.GROWTH:
            render()
            await asyncio.sleep(0.5)
        return await super().write(number, render, urgency)


def test_a_growth_edit_is_not_repeated_once_the_end_has_begun() -> None:
    surface = RepeatingSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            live.add("two ")
            await asyncio.sleep(0.1)
            await finish(live)

    run(main())
    assert [write.urgency for write in surface.writes] == [Urgency.FIRST, Urgency.FINAL]


def test_a_message_that_may_exist_is_not_created_twice() -> None:
    surface = FakeSurface()
    surface.answer_s = lambda write: 60.0 if surface.writes[write].number == 1 else 0.0

    async def main() -> None:
        async with live_on(surface) as live:
            live.add(LONG)
            await asyncio.sleep(1)
            await finish(live)

    run(main())
    assert [write.number for write in surface.writes].count(1) == 1
    assert surface.files[0][0].content.decode() == LONG


def test_the_end_waits_for_first_words_that_are_on_their_way() -> None:
    surface = FakeSurface(answer_s=lambda _: 2.0)

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("Hello there ")
            assert await live.begins_to_show(3.0)
            await finish(live)

    run(main())


def test_the_end_does_not_wait_for_words_that_cannot_be_shown_before_it() -> None:
    async def main() -> None:
        async with live_on(FakeSurface()) as live:
            live.add("**")
            began = asyncio.get_running_loop().time()
            assert not await live.begins_to_show(3.0)
            assert asyncio.get_running_loop().time() == began
            await finish(live)

    run(main())


def test_an_answer_has_at_least_one_message() -> None:
    with pytest.raises(ValueError, match="at least one message"):
        live_on(FakeSurface(), max_messages=0)


def test_what_was_never_entered_cannot_be_finished_and_writes_nothing() -> None:
    surface = FakeSurface()

    async def main() -> None:
        live = live_on(surface)
        live.add("one ")
        with pytest.raises(RuntimeError, match="entered"):
            await live.finish(footer="model", buttons=(AGAIN,))

    run(main())
    assert surface.writes == []


def test_whoever_looks_is_told_that_the_answer_was_deleted_and_of_nothing_else() -> None:
    faults: list[DeliveryError] = [MessageGone(), DeliveryForbidden()]
    surface = FakeSurface(fault=lambda _number, _urgency: faults[-1])

    async def main() -> None:
        async with live_on(surface) as live:
            live.check()
            live.add("one ")
            await until_quiet()
            assert isinstance(live.failure, DeliveryForbidden)
            live.check()
        faults.pop()
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            with pytest.raises(MessageGone):
                live.check()

    run(main())


def test_where_the_first_message_is_forbidden_the_answer_is_over() -> None:
    surface = FakeSurface(fault=lambda _number, _urgency: DeliveryForbidden())

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await until_quiet()
            with pytest.raises(DeliveryForbidden):
                live.add("two ")
            with pytest.raises(DeliveryForbidden):
                await finish(live)

    run(main())
    assert len(surface.writes) == 1


def test_an_answer_is_finished_once() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            first = await finish(live, footer="model")
            assert await finish(live, footer="another") == first

    run(main())
    assert surface.contents == ["one\n-# model"]


class FilelessSurface(FakeSurface):
    """Takes no files, as a channel in which the bot may not attach any."""

    async def write(self, number: int, render: Callable[[], Outgoing], urgency: Urgency) -> Sent:
        shown = render()
        if shown.uploads:
            raise DeliveryForbidden
        return await super().write(number, lambda: shown, urgency)


def test_where_files_are_refused_the_answer_grows_without_them() -> None:
    surface = FilelessSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.attach((Upload(name="a.png", content=b"png"),))
            live.add("one ")
            await until_quiet()
            live.add("two ")
            await until_quiet()
            assert surface.contents[0].startswith("one two")
            assert live.failure is None
            await finish(live)

    run(main())
    assert surface.contents == ["one two\n-# model"]
    assert surface.files == [[]]


def test_where_the_whole_answer_cannot_come_as_a_file_it_says_what_is_missing() -> None:
    surface = FilelessSurface()

    async def main() -> None:
        async with live_on(surface, max_messages=1) as live:
            live.add(LONG)
            await finish(live)

    run(main())
    assert REST_LOST in surface.contents[0]
    assert GOES_ON not in surface.contents[0]
    assert surface.messages[0].buttons == (AGAIN,)


def test_each_further_message_is_told_of_once_and_with_those_before() -> None:
    surface = FakeSurface()
    told: list[tuple[int, ...]] = []

    def note(sent: tuple[Sent, ...]) -> None:
        told.append(tuple(one.message_id for one in sent))

    async def main() -> None:
        async with Live(surface, max_messages=2, stop=STOP, note_messages=note) as live:
            live.add("one ")
            await until_quiet()
            live.add("two ")
            await until_quiet()
            live.add(LONG)
            await finish(live)

    run(main())
    assert told == [(100,), (100, 101)]


def test_first_words_of_which_nobody_hears_are_written_again_at_the_end() -> None:
    surface = FakeSurface(answer_s=lambda write: 3_600.0 if write == 0 else 0.0)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with live_on(surface) as live:
            live.add("one ")
            await asyncio.sleep(1)
            begun = loop.time()
            await finish(live)
            return loop.time() - begun

    assert run(main()) == pytest.approx(CREATION_GRACE_S)
    assert surface.contents == ["one\n-# model"]
    assert [write.number for write in surface.writes] == [0, 0]


def test_messages_of_an_earlier_process_that_the_answer_does_not_need_are_deleted() -> None:
    surface = FakeSurface(messages=[Outgoing(content="old")] * 3)
    known = tuple(Sent(channel_id=1, message_id=100 + number, attachments=()) for number in range(3))

    async def main() -> None:
        async with Live(surface, max_messages=4, stop=STOP, known=known) as live:
            live.add("one ")
            assert [one.message_id for one in await finish(live)] == [100]

    run(main())
    assert surface.contents[0] == "one\n-# model"
    assert surface.deleted == [1, 2]


def test_a_notice_too_long_for_its_message_is_cut_and_leaves_the_footer_out() -> None:
    surface = FakeSurface()

    async def main() -> None:
        async with live_on(surface) as live:
            live.add("one ")
            await finish(live, notice="😀" * CONTENT_LIMIT)

    run(main())
    (content,) = surface.contents
    assert CONTENT_LIMIT - 1 <= utf16_length(content) <= CONTENT_LIMIT
    assert content.startswith("one\n😀")
    assert content.endswith("😀…")
