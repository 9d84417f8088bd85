"""What Discord refuses in a message's body, a modal and a command, and whom a text pings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.clock import Clock
from sandbox.discord.cdn import Upload
from sandbox.discord.commands import check_command
from sandbox.discord.components import check_modal, number
from sandbox.discord.permissions import (
    EVERYONE_BY_DEFAULT,
    EVERYTHING,
    NONE,
    Overwrite,
    Permission,
    in_channel,
    with_implicit_denials,
)
from sandbox.discord.refusals import Json, Problems, Refusal, snowflake, utf16_length
from sandbox.discord.rules import AllowedMentions, Draft, mentions_in, read_message
from sandbox.discord.world import World

MEBIBYTE = 1024 * 1024


def read(body: Json, files: dict[int, Upload] | None = None, **options: Any) -> Draft:
    return read_message(body, files or {}, upload_limit_bytes=10 * MEBIBYTE, **options)


def refused(body: Json, files: dict[int, Upload] | None = None, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body, files, **options)
    return caught.value


def button(**changes: Any) -> Json:
    return {"type": 2, "style": 2, "label": "Stop", "custom_id": "stop"} | changes


def row(*components: Json) -> Json:
    return {"type": 1, "components": list(components)}


def codes(errors: Any) -> set[str]:
    """All codes in a nested form error."""
    if isinstance(errors, dict):
        own = {error["code"] for error in errors.get("_errors", [])}
        return own.union(*(codes(value) for key, value in errors.items() if key != "_errors"))
    return set()


def test_content_may_have_2000_characters_and_no_more() -> None:
    assert read({"content": "x" * 2000}).content == "x" * 2000
    refusal = refused({"content": "x" * 2001})
    assert (refusal.status, refusal.code) == (400, 50035)
    assert refusal.errors == {
        "content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}]}
    }


def test_content_is_counted_in_utf16_code_units() -> None:
    read({"content": "😀" * 1000})
    assert refused({"content": "😀" * 1001}).code == 50035


@given(st.text())
def test_utf16_length_is_that_of_the_encoded_text(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


@pytest.mark.parametrize("body", [{}, {"content": ""}, {"content": " \n"}, {"content": None, "embeds": []}])
def test_a_message_with_nothing_in_it_is_refused(body: Json) -> None:
    assert refused(body).code == 50006


def test_embeds_may_have_6000_characters_in_all() -> None:
    half = {"description": "x" * 3000}
    read({"embeds": [half, half]})
    errors = refused({"embeds": [half, half, {"title": "y"}]}).errors
    assert "MAX_EMBED_SIZE_EXCEEDED" in codes(errors)


@pytest.mark.parametrize(
    ("components", "code"),
    [
        ([button()], "BASE_TYPE_CHOICES"),
        ([row()], "BASE_TYPE_BAD_LENGTH"),
        ([row(*(button(custom_id=str(n)) for n in range(6)))], "BASE_TYPE_BAD_LENGTH"),
        ([row(button(custom_id=str(n))) for n in range(6)], "BASE_TYPE_MAX_LENGTH"),
        ([row(button(), button())], "COMPONENT_CUSTOM_ID_DUPLICATED"),
        ([row(button(label="x" * 81))], "BASE_TYPE_MAX_LENGTH"),
        ([row(button(custom_id="x" * 101))], "BASE_TYPE_BAD_LENGTH"),
        ([row(button(label=None))], "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED"),
        ([row(button(custom_id=None))], "BASE_TYPE_REQUIRED"),
        ([row({"type": 2, "style": 5, "label": "x", "url": "ftp://x"})], "URL_TYPE_INVALID_SCHEME"),
        ([row({"type": 3, "custom_id": "s", "options": []})], "BASE_TYPE_BAD_LENGTH"),
        ([{"type": 10, "content": "text"}], "BASE_TYPE_CHOICES"),
    ],
)
def test_components_that_discord_refuses(components: list[Json], code: str) -> None:
    assert code in codes(refused({"content": "x", "components": components}).errors)


def test_a_duplicated_custom_id_is_named_where_it_stands() -> None:
    errors = refused({"content": "x", "components": [row(button(), button())]}).errors
    assert errors is not None
    assert errors["components"]["0"]["components"]["1"]["custom_id"]["_errors"]


V2 = 32768


def test_components_v2_exclude_content() -> None:
    display = {"type": 10, "content": "text"}
    assert read({"flags": V2, "components": [display]}).flags == V2
    errors = refused({"flags": V2, "content": "x", "components": [display]}).errors
    assert codes(errors) == {"MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"}


def test_components_v2_hold_4000_characters_and_40_components_in_all() -> None:
    def displays(count: int, length: int) -> Json:
        return {"flags": V2, "components": [{"type": 10, "content": "x" * length} for _ in range(count)]}

    read(displays(2, 2000))
    read(displays(40, 1))
    assert "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED" in codes(refused(displays(3, 2000)).errors)
    assert "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED" in codes(refused(displays(41, 1)).errors)


def test_components_v2_name_only_files_that_come_along() -> None:
    body = {"flags": V2, "components": [{"type": 13, "file": {"url": "attachment://a.txt"}}]}
    read(body, {0: Upload("a.txt", b"x")})
    assert refused(body, {0: Upload("b.txt", b"x")}).code == 50035


def test_every_component_gets_an_id_of_its_own() -> None:
    [kept] = number([row(button(id=1), button())])
    assert [kept["id"], *(inner["id"] for inner in kept["components"])] == [2, 1, 3]


def test_a_file_over_the_limit_is_refused_whole() -> None:
    refusal = refused({"content": "x"}, {0: Upload("a.bin", b"x" * (10 * MEBIBYTE + 1))})
    assert (refusal.status, refusal.code) == (413, 40005)


def test_a_message_has_at_most_ten_files() -> None:
    files = {n: Upload(f"{n}.txt", b"x") for n in range(11)}
    assert len(read({}, dict(list(files.items())[:10])).uploads) == 10
    assert refused({}, files).code == 50035


def test_attachments_describe_the_files_by_their_number_given_as_text_or_number() -> None:
    for identity in ("0", 0):
        body = {"attachments": [{"id": identity, "filename": "named.txt", "description": "alt"}]}
        [upload] = read(body, {0: Upload("a.txt", b"x")}).uploads
        assert (upload.name, upload.description) == ("named.txt", "alt")


def test_attachments_may_not_name_what_is_nowhere() -> None:
    assert codes(refused({"content": "x", "attachments": [{"id": 5}]}).errors) == {"ATTACHMENT_NOT_FOUND"}


def test_a_message_may_not_be_made_ephemeral_outside_interactions() -> None:
    assert read({"content": "x", "flags": 64}).flags == 0
    assert read({"content": "x", "flags": 64}, for_interaction=True).flags == 64


def test_parsing_users_and_listing_them_exclude_each_other() -> None:
    body = {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}
    assert codes(refused(body).errors) == {"MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"}


def test_only_whom_allowed_mentions_admits_is_mentioned() -> None:
    world = World(Clock())
    guild = world.add_guild("Guild")
    channel = guild.add_text_channel("general")
    ann, ben = world.add_user("Ann"), world.add_user("Ben")
    text = f"{ann.mention} {ben.mention} {guild.everyone.mention} @everyone"

    def users(allowed: AllowedMentions) -> set[Any]:
        found = mentions_in(text, channel, allowed, may_mention_everyone=True, replied_to=None)
        return {*found.users, *(["everyone"] if found.everyone else [])}

    assert users(AllowedMentions()) == {ann, ben, "everyone"}
    assert users(AllowedMentions(parse=frozenset())) == set()
    assert users(AllowedMentions(parse=frozenset(), users=frozenset({ann.id}))) == {ann}


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_ids_are_taken_as_numbers_and_as_text(value: int) -> None:
    assert snowflake(value) == snowflake(str(value)) == value


@pytest.mark.parametrize("value", [True, -1, 2**64, "x", "", "١", None, 1.5])
def test_what_is_no_id_is_none(value: object) -> None:
    assert snowflake(value) is None


def found_in_modal(data: Json) -> set[str]:
    problems = Problems()
    check_modal(problems, data)
    return codes(problems.errors)


def test_a_modal_needs_a_short_title_and_labelled_fields() -> None:
    field = {"type": 4, "style": 1, "custom_id": "q"}
    fine = {"title": "Ask", "custom_id": "m", "components": [{"type": 18, "label": "Question", "component": field}]}
    assert found_in_modal(fine) == set()
    assert found_in_modal(fine | {"title": "x" * 46}) == {"BASE_TYPE_BAD_LENGTH"}
    assert found_in_modal(fine | {"components": []}) == {"BASE_TYPE_BAD_LENGTH"}
    assert found_in_modal(fine | {"components": [row(field)]}) == {"STRING_TYPE_CONVERT"}
    long_value = field | {"max_length": 10, "value": "x" * 11}
    labelled = [{"type": 18, "label": "Question", "component": long_value}]
    assert found_in_modal(fine | {"components": labelled}) == {"BASE_TYPE_MAX_LENGTH"}


def option(**changes: Any) -> Json:
    return {"type": 3, "name": "prompt", "description": "What to ask"} | changes


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "Ask", "description": "x"}, "APPLICATION_COMMAND_INVALID_NAME"),
        ({"name": "ask me", "description": "x"}, "APPLICATION_COMMAND_INVALID_NAME"),
        ({"name": "ask", "description": ""}, "BASE_TYPE_BAD_LENGTH"),
        ({"name": "ask", "description": "x" * 101}, "BASE_TYPE_BAD_LENGTH"),
        ({"name": "Ask", "type": 3, "description": "x"}, "APPLICATION_COMMAND_DESCRIPTION_INVALID"),
        (
            {"name": "ask", "description": "x", "options": [option(), option(name="b", required=True)]},
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            {"name": "ask", "description": "x", "options": [option(), option()]},
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS",
        ),
        (
            {"name": "ask", "description": "x", "options": [option(max_length=6001)]},
            "NUMBER_TYPE_RANGE",
        ),
        (
            {"name": "ask", "description": "x", "options": [option(choices=[{"name": "x" * 101, "value": "v"}])]},
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            {"name": "ask", "description": "x", "options": [option(choices=[{"name": "n", "value": "v"}] * 26)]},
            "BASE_TYPE_MAX_LENGTH",
        ),
    ],
)
def test_commands_that_discord_refuses(body: Json, code: str) -> None:
    problems = Problems()
    check_command(problems, body, ())
    assert code in codes(problems.errors)


def test_overwrites_apply_everyone_first_then_roles_then_the_member() -> None:
    send = Permission.SEND_MESSAGES
    denied, allowed = Overwrite(deny=send), Overwrite(allow=send)
    base = EVERYONE_BY_DEFAULT
    assert not in_channel(base, everyone=denied, roles=[], member=None) & send
    assert in_channel(base, everyone=denied, roles=[denied, allowed], member=None) & send
    assert not in_channel(base, everyone=None, roles=[allowed], member=denied) & send
    assert in_channel(Permission.ADMINISTRATOR, everyone=denied, roles=[], member=denied) == EVERYTHING


def test_who_cannot_see_a_channel_can_do_nothing_there() -> None:
    permission = EVERYONE_BY_DEFAULT & ~Permission.VIEW_CHANNEL
    assert with_implicit_denials(permission, in_thread=False, timed_out=False) == NONE


def test_who_cannot_write_cannot_attach() -> None:
    permission = EVERYONE_BY_DEFAULT & ~Permission.SEND_MESSAGES_IN_THREADS
    assert not with_implicit_denials(permission, in_thread=True, timed_out=False) & Permission.ATTACH_FILES
    assert with_implicit_denials(permission, in_thread=False, timed_out=False) & Permission.ATTACH_FILES
