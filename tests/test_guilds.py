"""What a server's admins decide: checked, kept, logged."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from bot.errors import ChoiceUnknown, ModelNotAllowed, OutOfRange, PromptTooLong, UnknownTimeZone
from bot.guilds import DEFAULTS, PERSONA_LIMIT, Decision, Guilds, GuildSettings, Target, find_zone
from bot.pictures.defaults import PictureDefaults
from bot.storage.database import Database

NOW = datetime(2026, 12, 31, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as opened:
        yield opened


@pytest.fixture
def guilds(database: Database) -> Guilds:
    return Guilds(database)


def decision(key: int) -> Decision:
    return Decision(key=key, by=5, at=NOW)


async def test_where_nobody_has_decided_the_defaults_hold(guilds: Guilds):
    assert await guilds.settings(7) == DEFAULTS
    assert DEFAULTS.zone.key == "UTC"


async def test_every_field_is_kept_and_each_server_has_its_own(guilds: Guilds):
    wanted = GuildSettings(
        time_zone="Asia/Jerusalem",
        log_channel_id=12,
        default_model="gpt-4o",
        allowed_models=("gpt-4o", "gpt-4.1"),
        persona="Be brief. עברית",
        images=False,
        memory="off",
        picture_defaults=PictureDefaults(
            model="amigo", steps=6, cfg_scale=2.5, width=832, negative_prompt="text, עברית"
        ),
        picture_models=("amigo", "realism"),
        age_restricted_models=("realism",),
    )
    await guilds.change(7, lambda _: wanted, decision(1))
    assert await guilds.settings(7) == wanted
    assert await guilds.settings(8) == DEFAULTS


async def test_a_change_tells_and_logs_what_changed_and_only_that(guilds: Guilds):
    await guilds.change(7, lambda now: replace(now, log_channel_id=3), decision(1))
    change = await guilds.change(7, lambda now: replace(now, images=False, log_channel_id=3), decision(2))
    assert change.changed == ("images",)
    assert (change.before.images, change.after.images, change.after.log_channel_id) == (True, False, 3)
    newest, oldest = await guilds.log(7)
    assert (orjson.loads(newest.before or ""), orjson.loads(newest.after or "")) == (
        {"images": True},
        {"images": False},
    )
    assert (newest.action, newest.decision, newest.target) == ("settings", decision(2), None)
    assert orjson.loads(oldest.after or "") == {"log_channel_id": 3}


async def test_a_change_to_what_is_so_already_is_not_logged(guilds: Guilds):
    assert (await guilds.change(7, lambda now: replace(now, images=True), decision(1))).changed == ()
    assert await guilds.log(7) == ()


async def test_what_is_refused_changes_nothing(guilds: Guilds):
    await guilds.change(7, lambda now: replace(now, allowed_models=("gpt-4o",)), decision(1))
    before = await guilds.settings(7)
    with pytest.raises(ModelNotAllowed) as not_allowed:
        await guilds.change(7, lambda now: replace(now, default_model="gpt-4.1"), decision(2))
    assert not_allowed.value.allowed == ("gpt-4o",)
    with pytest.raises(PromptTooLong):
        await guilds.change(7, lambda now: replace(now, persona="x" * (PERSONA_LIMIT + 1)), decision(3))
    with pytest.raises(UnknownTimeZone):
        await guilds.change(7, lambda now: replace(now, time_zone="Mars/Base"), decision(4))
    assert await guilds.settings(7) == before
    assert len(await guilds.log(7)) == 1


async def test_a_zone_that_this_machine_no_longer_knows_falls_back(guilds: Guilds, database: Database):
    await guilds.change(7, lambda now: replace(now, images=False, time_zone="Asia/Tokyo"), decision(1))
    await database.write(
        lambda tx: tx.execute("UPDATE guild_settings SET settings = replace(settings, 'Asia/Tokyo', 'Asia/Gone')")
    )
    assert await guilds.settings(7) == GuildSettings(images=False)


def test_without_a_list_every_model_is_allowed():
    DEFAULTS.check_model("anything")
    with pytest.raises(ModelNotAllowed):
        GuildSettings(allowed_models=("a",)).check_model("b")


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Asia/Jerusalem", "Asia/Jerusalem"),
        ("asia/jerusalem", "Asia/Jerusalem"),
        (" america/new york ", "America/New_York"),
        ("utc", "UTC"),
    ],
)
def test_a_zone_is_found_however_it_is_typed(text: str, zone: str):
    assert find_zone(text) == zone


@pytest.mark.parametrize(
    ("text", "close"),
    [("Jerusalem", "Asia/Jerusalem"), ("Europe/Berln", "Europe/Berlin"), ("new york", "America/New_York")],
)
def test_an_unknown_zone_is_answered_with_those_that_look_like_it(text: str, close: str):
    with pytest.raises(UnknownTimeZone) as raised:
        find_zone(text)
    assert close in raised.value.close


@pytest.mark.parametrize("text", ["", "America", "../../etc/passwd", "/etc/localtime", "x" * 5_000, "\x00", "UTC+3"])
def test_what_is_no_zone_is_refused_without_looking_for_files(text: str):
    with pytest.raises(UnknownTimeZone):
        find_zone(text)


@pytest.mark.parametrize(("kind", "number"), [("member", 0), ("role", 0), ("default", 5)])
def test_a_target_makes_sense_or_is_not_made(kind: str, number: int):
    with pytest.raises(ValueError):
        Target(kind=kind, id=number)  # type: ignore[arg-type]


# Pictures

BEFORE_PICTURES = (
    '{"time_zone":"Asia/Tokyo","log_channel_id":null,"default_model":null,"allowed_models":["gpt-4o"],'
    '"persona":null,"images":false,"memory":null}'
)


async def test_what_was_stored_before_there_were_picture_settings_is_still_read(guilds: Guilds, database: Database):
    await database.write(
        lambda tx: tx.execute("INSERT INTO guild_settings (guild_id, settings) VALUES (7, ?)", (BEFORE_PICTURES,))
    )
    assert await guilds.settings(7) == GuildSettings(
        time_zone="Asia/Tokyo", allowed_models=("gpt-4o",), images=False, picture_defaults=PictureDefaults()
    )
    await guilds.change(7, lambda now: replace(now, picture_models=("amigo",)), decision(1))
    assert (await guilds.settings(7)).picture_models == ("amigo",)


async def test_a_change_of_picture_defaults_is_logged_as_one_field(guilds: Guilds):
    change = await guilds.change(7, lambda now: replace(now, picture_defaults=PictureDefaults(steps=8)), decision(1))
    assert change.changed == ("picture_defaults",)
    (logged,) = await guilds.log(7)
    assert orjson.loads(logged.after or "")["picture_defaults"]["steps"] == 8


def test_the_default_picture_model_is_among_the_allowed_ones():
    with pytest.raises(ModelNotAllowed):
        GuildSettings(picture_defaults=PictureDefaults(model="amigo"), picture_models=("realism",))
    assert GuildSettings(picture_defaults=PictureDefaults(model="amigo")).picture_models == ()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"steps": 9}, OutOfRange),
        ({"cfg_scale": 0.5}, OutOfRange),
        ({"width": 255}, OutOfRange),
        ({"height": 1_345}, OutOfRange),
        ({"scheduler": "Euler b"}, ChoiceUnknown),
        ({"negative_prompt": "x" * 2_001}, PromptTooLong),
    ],
)
def test_picture_defaults_outside_the_apis_ranges_are_not_made(fields: dict[str, object], error: type[Exception]):
    with pytest.raises(error):
        PictureDefaults(**fields)  # type: ignore[arg-type]
