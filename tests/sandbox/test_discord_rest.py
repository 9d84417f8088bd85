"""The loopback Discord's REST side, over HTTP, with a plain client."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.clock import Clock
from sandbox.discord.cdn import Upload
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.messages import Interaction
from sandbox.discord.people import Person
from sandbox.discord.permissions import EVERYONE_BY_DEFAULT, NONE, Permission
from sandbox.discord.places import Channel, Guild
from sandbox.discord.server import DiscordServer

ASK = {"name": "ask", "description": "Ask", "integration_types": [0, 1]}


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    json: Any
    headers: Any

    @property
    def code(self) -> int:
        return int(self.json["code"])


class Stage:
    """A server with one guild, one channel and one member, and a client that holds the bot's token."""

    def __init__(self, discord: DiscordServer, http: aiohttp.ClientSession) -> None:
        self.discord = discord
        self.clock = discord.clock
        self.world = discord.world
        self.http = http
        self.guild: Guild = self.world.add_guild("Guild")
        self.channel: Channel = self.guild.add_text_channel("general")
        self.user = self.world.add_user("Dana", has_installed_app=True)
        self.guild.join(self.user)
        self.dana: Person = discord.person(self.user)
        self.world.commands.register(None, ASK)

    async def call(
        self, method: str, path: str, body: Any = None, *, bot: bool = True, files: dict[str, bytes] | None = None
    ) -> Answered:
        headers = {"Authorization": f"Bot {self.discord.bot_token}"} if bot else {}
        data: Any = None
        if files is not None:
            data = aiohttp.FormData()
            data.add_field("payload_json", orjson.dumps(body).decode(), content_type="application/json")
            for number, (name, content) in enumerate(files.items()):
                data.add_field(f"files[{number}]", content, filename=name)
        elif body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = "application/json"
        async with self.http.request(method, self.discord.api_url + path, data=data, headers=headers) as response:
            raw = await response.read()
            is_json = response.headers.get("Content-Type") == "application/json"
            return Answered(response.status, orjson.loads(raw) if is_json else raw, response.headers)

    async def respond(self, interaction: Interaction, kind: int, data: Any = None, query: str = "") -> Answered:
        body = {"type": kind} | ({"data": data} if data is not None else {})
        path = f"/interactions/{interaction.id}/{interaction.token}/callback{query}"
        return await self.call("POST", path, body, bot=False)

    async def webhook(
        self,
        method: str,
        interaction: Interaction,
        what: str = "",
        body: Any = None,
        files: dict[str, bytes] | None = None,
    ) -> Answered:
        path = f"/webhooks/{self.discord.application_id}/{interaction.token}{what}"
        return await self.call(method, path, body, bot=False, files=files)

    async def deferred(self, *, flags: int = 0) -> Interaction:
        interaction = await self.dana.slash(self.channel, "ask")
        assert (await self.respond(interaction, 5, {"flags": flags})).status == 204
        return interaction


ORIGINAL = "/messages/@original"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with DiscordServer(clock=Clock()) as discord, aiohttp.ClientSession() as http:
        yield Stage(discord, http)


async def test_json_is_answered_with_exactly_application_json(stage: Stage) -> None:
    answer = await stage.call("GET", "/users/@me")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


async def test_without_the_bots_token_only_token_routes_answer(stage: Stage) -> None:
    assert (await stage.call("GET", "/users/@me", bot=False)).status == 401
    assert (await stage.call("GET", "/gateway", bot=False)).status == 200


async def test_an_unknown_route_is_404_and_a_wrong_method_405(stage: Stage) -> None:
    assert (await stage.call("GET", "/nothing")).json == {"message": "404: Not Found", "code": 0}
    assert (await stage.call("PATCH", "/gateway")).status == 405


async def test_broken_json_is_refused_as_such(stage: Stage) -> None:
    headers = {"Authorization": f"Bot {stage.discord.bot_token}"}
    url = f"{stage.discord.api_url}/channels/{stage.channel.id}/messages"
    async with stage.http.post(url, data=b"{", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (400, 50109)


async def test_gateway_bot_names_the_gateway_and_what_is_left_of_the_day(stage: Stage) -> None:
    answer = await stage.call("GET", "/gateway/bot")
    assert answer.json["url"] == stage.discord.gateway_url
    assert answer.json["session_start_limit"]["total"] == 1000


# Interactions


async def test_an_interaction_is_acknowledged_once(stage: Stage) -> None:
    interaction = await stage.deferred()
    answer = await stage.respond(interaction, 4, {"content": "again"})
    assert (answer.status, answer.code) == (400, 40060)


async def test_an_interaction_is_unknown_after_three_seconds(stage: Stage) -> None:
    interaction = await stage.dana.slash(stage.channel, "ask")
    stage.clock.advance(3.1)
    answer = await stage.respond(interaction, 5)
    assert (answer.status, answer.code) == (404, 10062)


async def test_a_refused_response_leaves_the_interaction_to_be_answered(stage: Stage) -> None:
    interaction = await stage.dana.slash(stage.channel, "ask")
    assert (await stage.respond(interaction, 4, {"content": "x" * 2001})).code == 50035
    assert (await stage.respond(interaction, 4, {"content": "x"})).status == 204


async def test_with_response_gives_the_interaction_and_its_message(stage: Stage) -> None:
    interaction = await stage.dana.slash(stage.channel, "ask")
    answer = await stage.respond(interaction, 5, {"flags": 64}, "?with_response=true")
    assert answer.status == 200
    assert answer.json["interaction"]["response_message_loading"] is True
    assert answer.json["resource"]["message"]["id"] == answer.json["interaction"]["response_message_id"]
    assert answer.json["resource"]["message"]["flags"] == 128 | 64


async def test_a_command_cannot_be_answered_by_an_update(stage: Stage) -> None:
    interaction = await stage.dana.slash(stage.channel, "ask")
    assert (await stage.respond(interaction, 7, {"content": "x"})).code == 50035


async def test_a_loading_reply_carries_flag_128_until_it_is_filled(stage: Stage) -> None:
    interaction = await stage.deferred()
    assert (await stage.webhook("GET", interaction, ORIGINAL)).json["flags"] == 128
    edited = await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "there"})
    assert (edited.json["flags"], edited.json["content"], edited.json["edited_timestamp"]) == (0, "there", None)


async def test_the_first_follow_up_fills_the_loading_reply_and_the_next_is_new(stage: Stage) -> None:
    interaction = await stage.deferred()
    first = await stage.webhook("POST", interaction, "", {"content": "one"})
    second = await stage.webhook("POST", interaction, "", {"content": "two"})
    assert interaction.original is not None
    assert first.json["id"] == str(interaction.original.id)
    assert [message.content for message in interaction.messages] == ["one", "two"]
    assert second.json["id"] != first.json["id"]


async def test_a_deferred_ephemeral_stays_ephemeral_and_a_public_one_public(stage: Stage) -> None:
    for deferred, filled in ((64, 0), (0, 64)):
        interaction = await stage.deferred(flags=deferred)
        await stage.webhook("POST", interaction, "", {"content": "x", "flags": filled})
        assert interaction.original is not None
        assert interaction.original.flags == deferred


async def test_the_webhook_is_unknown_before_the_acknowledgement(stage: Stage) -> None:
    interaction = await stage.dana.slash(stage.channel, "ask")
    answer = await stage.webhook("POST", interaction, "", {"content": "early"})
    assert (answer.status, answer.code) == (404, 10015)


async def test_a_token_lives_15_minutes_and_its_message_longer(stage: Stage) -> None:
    interaction = await stage.deferred()
    await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "in time"})
    stage.clock.advance(15 * 60 + 1)
    answer = await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "late"})
    assert (answer.status, answer.code) == (401, 50027)
    assert interaction.original is not None
    path = f"/channels/{stage.channel.id}/messages/{interaction.original.id}"
    assert (await stage.call("PATCH", path, {"content": "late"})).status == 200


async def test_an_ephemeral_message_does_not_exist_for_channel_routes(stage: Stage) -> None:
    interaction = await stage.deferred(flags=64)
    assert interaction.original is not None
    path = f"/channels/{stage.channel.id}/messages/{interaction.original.id}"
    for method in ("GET", "PATCH", "DELETE"):
        assert (await stage.call(method, path, {"content": "x"} if method == "PATCH" else None)).code == 10008
    assert (await stage.call("GET", f"/channels/{stage.channel.id}/messages")).json == []


async def test_a_deleted_reply_is_an_unknown_message(stage: Stage) -> None:
    interaction = await stage.deferred()
    assert (await stage.webhook("DELETE", interaction, ORIGINAL)).status == 204
    assert (await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "x"})).code == 10008


async def test_editing_keeps_attachments_unless_they_are_listed(stage: Stage) -> None:
    interaction = await stage.deferred()
    body = {"attachments": [{"id": 0, "filename": "a.txt"}]}
    first = await stage.webhook("PATCH", interaction, ORIGINAL, body, {"a.txt": b"aaa"})
    kept = await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "x"})
    assert [each["filename"] for each in kept.json["attachments"]] == ["a.txt"]
    stays = int(first.json["attachments"][0]["id"])
    both = {"attachments": [{"id": stays}, {"id": 0, "filename": "b.txt"}]}
    added = await stage.webhook("PATCH", interaction, ORIGINAL, both, {"b.txt": b"bbb"})
    assert [each["filename"] for each in added.json["attachments"]] == ["a.txt", "b.txt"]
    assert (await stage.webhook("PATCH", interaction, ORIGINAL, {"attachments": []})).json["attachments"] == []


async def test_an_app_of_the_user_alone_has_five_follow_ups(stage: Stage) -> None:
    stage.discord.limits.lift()
    elsewhere = stage.world.add_guild("Elsewhere", bot_present=False)
    elsewhere.join(stage.user)
    interaction = await stage.dana.slash(elsewhere.add_text_channel("general"), "ask")
    await stage.respond(interaction, 4, {"content": "reply"})
    statuses = [(await stage.webhook("POST", interaction, "", {"content": "x"})).status for _ in range(6)]
    assert statuses == [200] * 5 + [400]
    path = f"/channels/{interaction.channel.id}/messages"
    assert (await stage.call("POST", path, {"content": "x"})).code == 50001


async def test_where_outside_apps_are_unwelcome_only_the_user_sees_the_reply(stage: Stage) -> None:
    elsewhere = stage.world.add_guild("Elsewhere", bot_present=False)
    elsewhere.everyone.permissions &= ~Permission.USE_EXTERNAL_APPS
    elsewhere.join(stage.user)
    interaction = await stage.dana.slash(elsewhere.add_text_channel("general"), "ask")
    await stage.respond(interaction, 4, {"content": "reply"})
    assert interaction.original is not None
    assert interaction.original.ephemeral


async def test_the_uploads_of_an_interaction_obey_the_limit_it_names(stage: Stage) -> None:
    stage.guild.upload_limit_bytes = 1000
    interaction = await stage.deferred()
    answer = await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "x"}, {"a.bin": b"x" * 1001})
    assert (answer.status, answer.code) == (413, 40005)


async def test_who_a_reply_pings_is_decided_by_allowed_mentions(stage: Stage) -> None:
    for allowed, pinged in (({"parse": []}, set()), ({"users": [stage.user.id]}, {stage.user})):
        interaction = await stage.dana.slash(stage.channel, "ask")
        await stage.respond(interaction, 4, {"content": f"{stage.user.mention} @everyone", "allowed_mentions": allowed})
        assert interaction.original is not None
        assert interaction.original.mentions_pinged == pinged


# Channels


async def test_a_channel_where_the_bot_is_not_is_closed_or_unknown(stage: Stage) -> None:
    elsewhere = stage.world.add_guild("Elsewhere", bot_present=False).add_text_channel("general")
    hidden = stage.guild.add_text_channel("hidden")
    hidden.set_overwrite(stage.guild.everyone, deny=Permission.VIEW_CHANNEL)
    stage.guild.set_permissions(stage.guild.members[stage.world.bot.id].roles[0], NONE)
    for channel_id, code in ((elsewhere.id, 50001), (hidden.id, 50001), (1, 10003)):
        assert (await stage.call("POST", f"/channels/{channel_id}/messages", {"content": "x"})).code == code


@pytest.mark.parametrize(
    ("missing", "files", "code"),
    [
        (Permission.SEND_MESSAGES, None, 50013),
        (Permission.ATTACH_FILES, {"a.txt": b"x"}, 50013),
        (Permission.READ_MESSAGE_HISTORY, None, 160002),
    ],
)
async def test_writing_takes_its_permissions(
    stage: Stage, missing: Permission, files: dict[str, bytes] | None, code: int
) -> None:
    question = await stage.dana.say(stage.channel, "question")
    stage.channel.set_overwrite(stage.world.bot, deny=missing)
    body = {"content": "x", "message_reference": {"message_id": question.id}}
    answer = await stage.call("POST", f"/channels/{stage.channel.id}/messages", body, files=files)
    assert answer.code == code


async def test_a_thread_takes_the_permission_to_write_in_threads(stage: Stage) -> None:
    thread = stage.channel.add_thread("thread", creator=stage.user)
    stage.channel.set_overwrite(stage.world.bot, deny=Permission.SEND_MESSAGES)
    assert (await stage.call("POST", f"/channels/{thread.id}/messages", {"content": "x"})).status == 200
    stage.channel.set_overwrite(stage.world.bot, deny=Permission.SEND_MESSAGES_IN_THREADS)
    assert (await stage.call("POST", f"/channels/{thread.id}/messages", {"content": "x"})).code == 50013


async def test_others_messages_are_never_edited_and_deleted_only_by_permission(stage: Stage) -> None:
    message = await stage.dana.say(stage.channel, "mine")
    path = f"/channels/{stage.channel.id}/messages/{message.id}"
    assert (await stage.call("PATCH", path, {"content": "x"})).code == 50005
    assert (await stage.call("DELETE", path)).code == 50013
    role = stage.guild.members[stage.world.bot.id].roles[0]
    stage.guild.set_permissions(role, EVERYONE_BY_DEFAULT | Permission.MANAGE_MESSAGES)
    assert (await stage.call("DELETE", path)).status == 204
    assert message.deleted


async def test_a_reply_to_what_is_gone_is_refused_unless_told_otherwise(stage: Stage) -> None:
    path = f"/channels/{stage.channel.id}/messages"
    body = {"content": "x", "message_reference": {"message_id": "5"}}
    assert (await stage.call("POST", path, body)).code == 50035
    body = {"content": "x", "message_reference": {"message_id": "5", "fail_if_not_exists": False}}
    assert (await stage.call("POST", path, body)).status == 200


async def test_the_same_enforced_nonce_makes_one_message(stage: Stage) -> None:
    path, body = f"/channels/{stage.channel.id}/messages", {"content": "x", "nonce": "n", "enforce_nonce": True}
    first, second = await stage.call("POST", path, body), await stage.call("POST", path, body)
    assert first.json["id"] == second.json["id"]


async def test_text_that_does_not_concern_the_bot_is_empty_without_the_intent(stage: Stage) -> None:
    private = await stage.dana.say(stage.channel, "private", files=[Upload("a.txt", b"x")])
    mention = await stage.dana.say(stage.channel, f"{stage.world.bot.mention} hello")
    path = f"/channels/{stage.channel.id}/messages"
    [newest, oldest] = (await stage.call("GET", path)).json
    assert (newest["id"], newest["content"]) == (str(mention.id), mention.content)
    assert (oldest["id"], oldest["content"], oldest["attachments"]) == (str(private.id), "", [])
    stage.world.has_content_intent = True
    assert (await stage.call("GET", f"{path}/{private.id}")).json["content"] == "private"


async def test_a_person_may_take_no_direct_messages(stage: Stage) -> None:
    opened = await stage.call("POST", "/users/@me/channels", {"recipient_id": str(stage.user.id)})
    path = f"/channels/{opened.json['id']}/messages"
    assert (await stage.call("POST", path, {"content": "x"})).status == 200
    stage.user.accepts_dms = False
    assert (await stage.call("POST", path, {"content": "x"})).code == 50007


async def test_messages_older_than_an_hour_take_few_edits(stage: Stage) -> None:
    path = f"/channels/{stage.channel.id}/messages"
    message = (await stage.call("POST", path, {"content": "x"})).json
    stage.clock.advance(3601)
    answers = [await stage.call("PATCH", f"{path}/{message['id']}", {"content": str(n)}) for n in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].code == 30046


async def test_a_forum_takes_posts_and_no_messages(stage: Stage) -> None:
    forum = stage.guild.add_forum("help")
    assert (await stage.call("POST", f"/channels/{forum.id}/messages", {"content": "x"})).code == 40058
    body = {"name": "Title", "message": {"content": "first"}}
    post = await stage.call("POST", f"/channels/{forum.id}/threads", body)
    assert (post.status, post.json["parent_id"], post.json["message"]["content"]) == (201, str(forum.id), "first")


# Commands


async def test_commands_replaced_in_bulk_keep_their_ids(stage: Stage) -> None:
    path = f"/applications/{stage.discord.application_id}/commands"
    first = (await stage.call("PUT", path, [ASK])).json
    second = (await stage.call("PUT", path, [ASK, {"name": "Ask about this", "type": 3}])).json
    assert [each["name"] for each in second] == ["ask", "Ask about this"]
    assert second[0]["id"] == first[0]["id"]


async def test_a_refused_command_is_named_by_its_place_in_the_bulk(stage: Stage) -> None:
    path = f"/applications/{stage.discord.application_id}/commands"
    answer = await stage.call("PUT", path, [ASK, {"name": "Bad name", "description": "x"}])
    assert list(answer.json["errors"]) == ["1"]


# Limits, faults, the record, files


async def test_a_429_has_what_clients_need_to_wait(stage: Stage) -> None:
    interaction = await stage.deferred()
    answers = [await stage.webhook("PATCH", interaction, ORIGINAL, {"content": str(n)}) for n in range(6)]
    last = answers[-1]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert last.json["retry_after"] > 0
    assert last.json["global"] is False
    assert last.headers["Via"]
    assert last.headers["Retry-After"]
    assert [each.status for each in stage.discord.rate_limited] == [429]


async def test_a_fault_strikes_as_often_as_ordered(stage: Stage) -> None:
    stage.discord.faults.add(Fault(method="PATCH", template="/webhooks/…/@original", error_code=10008, times=1))
    interaction = await stage.deferred()
    answers = [await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "x"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [404, 200]


async def test_a_fault_can_take_the_answer_of_what_was_carried_out(stage: Stage) -> None:
    stage.discord.faults.add(Fault(template="/channels/{channel_id}/messages", drop=True, carried_out=True))
    with pytest.raises(aiohttp.ClientConnectionError):
        await stage.call("POST", f"/channels/{stage.channel.id}/messages", {"content": "x"})
    assert [message.content for message in stage.channel.messages.values()] == ["x"]


async def test_a_fault_can_be_a_page_of_html_or_a_rate_limit_without_headers(stage: Stage) -> None:
    stage.discord.faults.add(Fault(html=True))
    assert (await stage.call("GET", "/users/@me")).headers["Content-Type"].startswith("text/html")
    stage.discord.faults.add(Fault(status=429, headers=False, global_=True))
    limited = await stage.call("GET", "/users/@me")
    assert (limited.status, limited.json["global"]) == (429, True)
    assert "Via" not in limited.headers


@pytest.mark.parametrize("answered", [False, True])
async def test_a_request_can_be_held_before_it_takes_effect_or_before_its_answer(stage: Stage, answered: bool) -> None:
    hold = stage.discord.faults.hold(Hold(method="POST", template="/channels/…/messages", answered=answered))
    posting = asyncio.create_task(stage.call("POST", f"/channels/{stage.channel.id}/messages", {"content": "x"}))
    await hold.reached.wait()
    assert len(stage.channel.messages) == int(answered)
    assert not posting.done()
    stage.discord.faults.clear()
    assert (await posting).status == 200
    assert len(stage.channel.messages) == 1


async def test_answers_that_come_late_come_after_everybody_has_seen_what_they_answer() -> None:
    async with DiscordServer(clock=Clock(), lag_s=0.05) as discord, aiohttp.ClientSession() as http:
        stage = Stage(discord, http)
        path = f"/channels/{stage.channel.id}/messages"
        posting = asyncio.create_task(stage.call("POST", path, {"content": "x"}))
        await discord.wait_until(lambda: discord.requests and discord.requests[-1].finished)
        assert len(stage.channel.messages) == 1
        assert not posting.done()
        assert (await posting).status == 200


async def test_requests_are_recorded_with_their_template_and_body(stage: Stage) -> None:
    interaction = await stage.deferred()
    await stage.webhook("PATCH", interaction, ORIGINAL, {"content": "x"}, {"a.txt": b"x"})
    record = stage.discord.requests[-1]
    assert record.template == "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
    assert (record.method, record.status, record.body, record.filenames) == ("PATCH", 200, {"content": "x"}, ("a.txt",))
    assert record.finished >= record.started
    assert record.headers["X-RateLimit-Limit"] == "5"


async def test_an_attachment_is_served_until_its_address_expires_and_reading_it_signs_anew(stage: Stage) -> None:
    message = await stage.dana.say(stage.channel, stage.world.bot.mention, files=[Upload("a b.png", b"bytes")])
    path = f"/channels/{stage.channel.id}/messages/{message.id}"

    async def url() -> str:
        return str((await stage.call("GET", path)).json["attachments"][0]["url"])

    async def fetched(address: str) -> tuple[int, bytes]:
        async with stage.http.get(address) as response:
            return response.status, await response.read()

    first = await url()
    assert "/a_b.png?ex=" in first
    assert await fetched(first) == (200, b"bytes")
    assert (await fetched(first.replace("hm=", "hm=0")))[0] == 404
    stage.clock.advance(24 * 3600 + 1)
    assert (await fetched(first))[0] == 404
    assert await fetched(await url()) == (200, b"bytes")
