"""What an open form stands on: read by its person alone, for a quarter of an hour, and then gone."""

from dataclasses import replace

import pytest

from bot import drafts
from bot.drafts import BODY_LIMIT, LIFE_S, PER_PERSON, Draft, Kind
from bot.privacy import departures
from bot.privacy.values import Held
from tests.privacy.archive import DANA, MARKER, NOAM, SERVER, Archive

DRAFT = Draft(id=7, user_id=DANA, guild_id=SERVER, kind="question", body={"quoted": "a ❄️", "images": [{"id": 1 << 62}]})


async def kept(archive: Archive, draft_id: int, kind: Kind = "question", *, user_id: int = DANA) -> bool:
    return await archive.drafts.get(draft_id, kind, user_id=user_id) is not None


async def ids(archive: Archive) -> list[int]:
    return [row["draft_id"] for row in await archive.rows("SELECT draft_id FROM drafts ORDER BY draft_id")]


# Reading and writing


async def test_a_draft_is_read_as_it_was_kept(archive: Archive) -> None:
    await archive.drafts.keep(DRAFT)
    assert await archive.drafts.get(7, "question", user_id=DANA) == DRAFT.body


async def test_a_draft_is_its_own_persons_and_of_its_own_kind(archive: Archive) -> None:
    await archive.drafts.keep(DRAFT)
    assert not await kept(archive, 7, user_id=NOAM)
    assert not await kept(archive, 7, "picture")
    assert not await kept(archive, 8)


async def test_a_draft_is_read_for_its_life_and_no_longer(archive: Archive) -> None:
    await archive.drafts.keep(DRAFT)
    archive.later(seconds=LIFE_S - 1)
    assert await kept(archive, 7)
    archive.later(seconds=1)
    assert not await kept(archive, 7)


async def test_a_draft_that_is_kept_twice_stays_as_it_was_first(archive: Archive) -> None:
    await archive.drafts.keep(DRAFT)
    await archive.drafts.keep(replace(DRAFT, user_id=NOAM, body={}))
    assert await archive.drafts.get(7, "question", user_id=DANA) == DRAFT.body
    assert await archive.counts("drafts") == [1]


async def test_a_draft_of_no_sensible_size_is_refused(archive: Archive) -> None:
    await archive.drafts.keep(replace(DRAFT, body={"a": "x" * (BODY_LIMIT - 100)}))
    with pytest.raises(ValueError, match="a draft of"):
        await archive.drafts.keep(replace(DRAFT, id=8, body={"a": "x" * BODY_LIMIT}))
    assert await ids(archive) == [7]


def test_what_is_written_in_a_draft_is_in_no_log() -> None:
    assert "quoted" not in repr(DRAFT)


# How they go


async def test_the_newest_of_a_person_push_out_their_oldest_and_nobody_elses(archive: Archive) -> None:
    others = await archive.draft(NOAM)
    own = [await archive.draft() for _ in range(PER_PERSON + 2)]
    assert await ids(archive) == [others, *own[2:]]


async def test_a_new_draft_takes_old_ones_away_whosever_they_are(archive: Archive) -> None:
    await archive.draft(NOAM)
    archive.later(seconds=LIFE_S)
    new = await archive.draft()
    assert await ids(archive) == [new]


async def test_the_job_takes_old_drafts_away_and_leaves_the_others(archive: Archive) -> None:
    for who in range(1, 61):
        await archive.draft(who)
    archive.later(seconds=LIFE_S - 1)
    await archive.sweep()
    assert await archive.counts("drafts") == [60]
    archive.later(seconds=1)
    assert (await archive.housekeeper.sweep()).rows == 60
    assert await archive.counts("drafts") == [0]


async def test_who_is_erased_leaves_no_draft_but_those_of_afterwards(archive: Archive) -> None:
    await archive.draft()
    await archive.draft(guild_id=None)
    others = await archive.draft(NOAM)
    wish = await archive.eraser.ask(DANA, erasure_id=archive.new_id())
    later = await archive.draft()
    await archive.eraser.carry_on(wish)
    assert await ids(archive) == [others, later]


async def test_a_server_that_was_left_takes_its_drafts_with_it(archive: Archive) -> None:
    archive.limits = replace(archive.limits, grace=0)
    archive.build()
    await archive.draft()
    elsewhere = await archive.draft(guild_id=None)
    at_us = int(archive.now() * 1_000_000)
    await archive.database.write(lambda tx: departures.note(tx, SERVER, at_us=at_us))
    await archive.sweep()
    assert await ids(archive) == [elsewhere]


async def test_drafts_are_counted_by_server(archive: Archive) -> None:
    for guild_id in (SERVER, SERVER, None):
        await archive.draft(guild_id=guild_id)
    await archive.draft(NOAM)
    since_us = int(archive.now() * 1_000_000)
    found = await archive.database.read(lambda tx: drafts.held(tx, DANA))
    assert sorted(found, key=lambda held: held.count) == [
        Held(kind="drafts", guild_id=None, count=1, since_us=since_us),
        Held(kind="drafts", guild_id=SERVER, count=2, since_us=since_us),
    ]


async def test_an_export_has_ones_own_drafts_with_their_words(archive: Archive) -> None:
    draft_id = await archive.draft()
    await archive.draft(NOAM)
    [record] = await archive.database.read(lambda tx: drafts.export(tx, DANA))
    assert (record["draft_id"], record["body"]["quoted"]) == (draft_id, MARKER)
