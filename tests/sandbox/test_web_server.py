"""The server of the sandbox's page, over real sockets: who may use it, what it shows to whom, what one can do."""

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from PIL import Image
from yarl import URL

from bot.app import open_bot
from bot.settings import Settings
from sandbox.discord.cdn import Upload
from sandbox.discord.permissions import Permission
from sandbox.discord.rules import Draft
from sandbox.lock import sole_sandbox
from sandbox.minitoolai.picture_script import PictureScript
from sandbox.terminal.child import environment
from sandbox.web.books import Books
from sandbox.web.clock import Lead
from sandbox.web.faults import Switches
from sandbox.web.guard import refusal
from sandbox.web.live import CHANGES_LIMIT, Feed, Hub
from sandbox.web.scene import Scene, open_scene
from sandbox.web.server import open_page
from tests.e2e.house import discord_py_restored
from tests.sandbox.test_terminal import is_free

ROOT = Path(__file__).parents[2]
WAIT_S = 15.0
Json = dict[str, Any]


class Tab:
    """One open page: what it was told, put together as the page does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.frames: list[Json] = []
        self.known: Json = {}
        self.messages: dict[str, Json] = {}
        self.commands: list[Json] = []

    async def send(self, **frame: object) -> None:
        await self._socket.send_json(frame)

    async def until(self, holds: Callable[[], Any]) -> Any:
        """The first true result of `holds`, looked at after each frame."""
        async with asyncio.timeout(WAIT_S):
            while not (result := holds()):
                message = await self._socket.receive()
                assert message.type is WSMsgType.TEXT, message
                self._take(message.json())
            return result

    def _take(self, frame: Json) -> None:
        self.frames.append(frame)
        match frame["op"]:
            case "snapshot":
                self.known, self.messages = frame, {}
            case "channel":
                self.messages = {message["id"]: message for message in frame["messages"]}
                self.commands = frame["commands"]
            case "commands":
                self.commands = frame["commands"]
            case "message":
                self.messages[frame["message"]["id"]] = frame["message"]
            case "gone":
                self.messages.pop(frame["id"], None)

    async def frame(self, op: str) -> Json:
        """The next frame of that kind."""
        seen = len(self.frames)
        found: Json = await self.until(lambda: next((f for f in self.frames[seen:] if f["op"] == op), None))
        return found

    async def message(self, holds: Callable[[Json], Any]) -> Json:
        found: Json = await self.until(lambda: next((m for m in self.messages.values() if holds(m)), None))
        return found

    def names(self) -> set[str]:
        return {command["name"] for command in self.commands}


class Browser:
    """A browser at the page, and the scene behind it."""

    def __init__(self, scene: Scene, address: str, session: aiohttp.ClientSession) -> None:
        self.scene = scene
        self.address = address
        self._session = session

    def id(self, name: str) -> str:
        return str(self.scene.stage.people[name].user.id)

    def channel(self, name: str = "general") -> str:
        return str(self.scene.stage.channels[name].id)

    @asynccontextmanager
    async def tab(self, name: str = "Dana", channel: str = "general") -> AsyncIterator[Tab]:
        query = {"person": self.id(name), "channel": self.channel(channel)}
        async with self._session.ws_connect(f"{self.address}/api/live", params=query) as socket:
            tab = Tab(socket)
            await tab.frame("channel")
            yield tab

    async def post(self, action: str, *, status: int = 200, **body: object) -> Json:
        body = {"person": self.id("Dana"), "channel": self.channel(), **body}
        async with self._session.post(f"{self.address}/api/{action}", json=body) as answer:
            content: Json = await answer.json()
            assert answer.status == status, content
            return content

    async def get(self, path: str, **query: str) -> tuple[int, Mapping[str, str], bytes]:
        async with self._session.get(self.address + path, params=query) as answer:
            return answer.status, answer.headers, await answer.read()

    async def upload(self, name: str, content: bytes, content_type: str = "image/png") -> Json:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(content), filename=name, content_type=content_type)
        async with self._session.post(f"{self.address}/api/upload", data=form) as answer:
            uploaded: Json = await answer.json()
            return {"status": answer.status} | uploaded


@asynccontextmanager
async def browsing(state: Path) -> AsyncIterator[Browser]:
    """The page without a bot."""
    async with open_scene(state) as scene:
        books = Books(state, environment(scene.stage, state))
        async with open_page(scene, books=books) as address:
            headers = {"Origin": address, "X-Sandbox": "page"}
            async with aiohttp.ClientSession(headers=headers) as session:
                yield Browser(scene, address, session)


@asynccontextmanager
async def connected(browser: Browser, state: Path) -> AsyncIterator[None]:
    """The bot at work, in this process."""
    settings = Settings.load(environment(browser.scene.stage, state))
    with discord_py_restored():
        async with open_bot(settings, now=browser.scene.world.clock.now) as bot:
            serving = asyncio.create_task(bot.serve(settings.discord_token))
            try:
                await browser.scene.discord.gateway.wait_ready(WAIT_S)
                yield
            finally:
                await bot.services.answers.close()
                await bot.close()
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path) as opened, connected(opened, tmp_path):
        yield opened


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(file, "png")
    return file.getvalue()


def labels(message: Json) -> list[str]:
    return [button["label"] for row in message["components"] for button in row.get("components", ())]


def ended(message: Json) -> bool:
    return "Regenerate" in labels(message)


def custom_id(message: Json, label: str) -> str:
    buttons = [button for row in message["components"] for button in row["components"]]
    return str(next(button["id"] for button in buttons if button["label"] == label))


# Who may speak to it


GOOD = {
    "Host": "127.0.0.1:8765",
    "Origin": "http://127.0.0.1:8765",
    "X-Sandbox": "page",
    "Sec-Fetch-Site": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "changes", "status"),
    [
        ("GET", "/", {"Host": "evil.example:8765"}, 421),
        ("GET", "/", {"Host": "127.0.0.1"}, 421),
        ("GET", "/api/messages", {"Host": "localhost:8766"}, 421),
        ("GET", "/static/app.js", {"Origin": "http://evil.example"}, 403),
        ("GET", "/api/live", {"Origin": None}, 403),
        ("GET", "/api/live", {"Origin": "null"}, 403),
        ("GET", "/api/live", {"Origin": "https://127.0.0.1:8765"}, 403),
        ("GET", "/files/a", {"Origin": None, "Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/api/log", {"Origin": None, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ("POST", "/api/say", {"X-Sandbox": None}, 403),
        ("POST", "/api/clock", {"Origin": "http://127.0.0.1:8766"}, 403),
        ("DELETE", "/", {"X-Sandbox": None}, 403),
        ("GET", "/", {}, None),
        ("GET", "/", {"Origin": None, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, None),
        ("GET", "/api/live", {"Host": "localhost:8765", "Origin": "http://localhost:8765"}, None),
        ("POST", "/api/say", {}, None),
        ("POST", "/api/say", {"Origin": None, "Sec-Fetch-Site": None}, None),
    ],
)
def test_only_its_own_page_may_drive_it(method: str, path: str, changes: dict[str, str | None], status: int | None):
    headers = {name: value for name, value in (GOOD | changes).items() if value is not None}
    refused = refusal(method, path, headers, port=8765)
    assert (refused[0] if refused else None) == status


def test_the_usual_port_is_left_out():
    assert refusal("GET", "/", {"Host": "localhost", "Origin": "http://localhost"}, port=80) is None


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/files/x/y", "/api/live", "/api/messages", "/api/ledger", "/api/log", "/nowhere"]
)
async def test_every_route_refuses_foreign_hosts_and_origins(browser: Browser, path: str):
    async with aiohttp.ClientSession() as foreign:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            async with foreign.get(browser.address + path, headers=headers) as answer:
                assert answer.status in (421, 403)
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_foreign_websocket_is_not_opened_and_a_foreign_post_changes_nothing(browser: Browser):
    async with aiohttp.ClientSession(headers={"Origin": "http://evil.example", "X-Sandbox": "page"}) as foreign:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await foreign.ws_connect(f"{browser.address}/api/live")
        async with foreign.post(f"{browser.address}/api/clock", json={"advance_s": 60}) as answer:
            assert answer.status == 403
    assert browser.scene.world.clock.advanced_s == 0


async def test_answers_are_not_kept_not_sniffed_and_run_no_foreign_script(browser: Browser):
    for path in ("/api/log", "/nowhere", "/static/../server.py", "/static/%2e%2e/server.py"):
        status, headers, _ = await browser.get(path)
        assert status == (200 if path == "/api/log" else 404)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "content", "kind", "served"),
    [
        ("a.png", picture(), "image/png", "image/png"),
        ("a.svg", b"<svg onload='alert(1)'/>", "image/svg+xml", "application/octet-stream"),
        ("a.html", b"<script>alert(1)</script>", "text/html", "application/octet-stream"),
    ],
)
async def test_a_file_is_shown_only_where_it_can_do_nothing(
    browser: Browser, name: str, content: bytes, kind: str, served: str
):
    [upload] = (await browser.upload(name, content, kind))["uploads"]
    await browser.post("say", text="", files=[{"id": upload["id"], "description": "what it is", "spoiler": True}])
    async with browser.tab() as tab:
        [message] = tab.messages.values()
        [shown] = message["attachments"]
        assert (shown["name"], shown["spoiler"], shown["description"]) == (f"SPOILER_{name}", True, "what it is")
        assert (shown["width"], shown["height"]) == ((30, 20) if name == "a.png" else (None, None))
        status, headers, body = await browser.get(shown["url"])
    assert (status, headers["Content-Type"], body) == (200, served, content)
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Content-Disposition"].startswith("inline" if name == "a.png" else "attachment")


@pytest.mark.parametrize("name", ["%00", "index.html%00.js", "..%2fserver.py", "%2e%2e/guard.py"])
async def test_a_path_that_is_no_file_of_the_page_is_not_found(browser: Browser, name: str):
    address = URL(f"{browser.address}/static/{name}", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=a", "x"),
        ("multipart/form-data; boundary=a", "--a\r\nno header\r\n\r\nx\r\n--a--"),
        ("multipart/form-data; boundary=a", '--a\r\nContent-Disposition: form-data; name="\x01"\r\n\r\nx\r\n--a--'),
        ("multipart/form-data; boundary=a", "--a\r\n" + "A: b\r\n" * 10_000),
        (f"multipart/form-data; boundary={'a' * 200}", "x"),
    ],
)
async def test_a_broken_form_is_refused_in_words(browser: Browser, kind: str, body: str):
    headers = {"X-Sandbox": "page", "Content-Type": kind}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{browser.address}/api/upload", data=body) as answer,
    ):
        assert (answer.status, (await answer.json())["error"]) == (400, "This form cannot be read.")


# What it shows


async def test_the_snapshot_has_people_places_and_what_can_go_wrong(browser: Browser):
    async with browser.tab() as tab:
        known = tab.known
        assert [person["name"] for person in known["people"]] == ["Dana", "Noam", "Ruth"]
        assert [role["name"] for role in known["people"][1]["roles"]] == ["Newcomers"]
        kinds = {(each["name"], each["kind"], each["age_restricted"]) for each in known["channels"]}
        assert kinds >= {("general", "text", False), ("after-dark", "text", True), ("thread", "thread", False)}
        assert ("MiniToolAI", "dm", False) in kinds
        assert known["bot"]["state"] == "starting"
        assert known["simulated"] is True
        assert {"discord-429", "api-broken", "pictures-slow", "gateway-drop"} <= {
            each["name"] for each in known["faults"]
        }
        assert [frame["seq"] for frame in tab.frames] == [1, 2]


async def test_what_one_says_another_sees_at_once_and_edits_and_deletions_too(browser: Browser):
    async with browser.tab("Dana") as danas, browser.tab("Noam") as noams, browser.tab("Ruth", "random") as ruths:
        said = await browser.post("say", text=f"**hi** <@{browser.id('Noam')}>")
        for tab, mine in ((danas, True), (noams, False)):
            message = await tab.message(lambda each: each["id"] == said["message"])
            assert '<strong>hi</strong> <span class="md-mention' in message["html"]
            assert (message["may"]["edit"], message["mentions_me"]) == (mine, not mine)
        assert (await ruths.frame("activity"))["message"] == said["message"]
        await browser.post("edit", message=said["message"], text="bye")
        edited = await noams.message(lambda each: each["text"] == "bye")
        assert edited["edited_s"] is not None
        reply = await browser.post(
            "say", person=browser.id("Noam"), text="so soon?", reply_to=said["message"], ping=False
        )
        answered = await danas.message(lambda each: each["id"] == reply["message"])
        assert (answered["reply"]["html"], answered["reply"]["author"]["name"]) == ("bye", "Dana")
        [newcomers] = [role for role in browser.scene.guild.roles.values() if role.name == "Newcomers"]
        called = await browser.post("say", text=f"<@&{newcomers.id}>")
        for tab, mine in ((danas, False), (noams, True)):
            assert (await tab.message(lambda each: each["id"] == called["message"]))["mentions_me"] is mine
        await browser.post("react", message=said["message"], emoji="👋", add=True)
        await noams.message(lambda each: each["reactions"] == [{"emoji": "👋", "count": 1, "mine": False}])
        await browser.post("delete", message=said["message"], person=browser.id("Noam"), status=403)
        await browser.post("delete", message=said["message"])
        await noams.until(lambda: said["message"] not in noams.messages)
        await browser.post("typing")
        assert [each["name"] for each in (await noams.frame("typing"))["people"]] == ["Dana"]


async def test_an_ephemeral_message_is_its_readers_alone(browser: Browser):
    scene = browser.scene
    reader, channel = scene.stage.people["Dana"].user, scene.stage.channels["general"]
    async with browser.tab("Dana") as danas, browser.tab("Ruth") as ruths:
        scene.world.create_message(channel, scene.world.bot, Draft(content="psst"), visible_to=reader, flags=64)
        everyone = scene.world.create_message(channel, scene.world.bot, Draft(content="for all"))
        await ruths.message(lambda each: each["text"] == "for all")
        assert list(ruths.messages) == [str(everyone.id)]
        shown = await danas.message(lambda each: each["text"] == "psst")
        assert shown["ephemeral"]
        await ruths.send(op="be", person=browser.id("Dana"))
        await ruths.message(lambda each: each["text"] == "psst")
        await danas.send(op="be", person=browser.id("Noam"))
        await danas.until(lambda: danas.known["person"] == browser.id("Noam") and len(danas.messages) == 1)
    for name, count in (("Dana", 1), ("Noam", 0)):
        query = {"person": browser.id(name), "channel": browser.channel(), "before": str(everyone.id)}
        _, _, body = await browser.get("/api/messages", **query)
        assert body.count(b"psst") >= count
        assert (b"psst" in body) == bool(count)


async def test_a_hidden_channel_is_neither_listed_nor_opened(browser: Browser):
    scene = browser.scene
    secret = scene.stage.channels["random"]
    async with browser.tab("Dana") as tab:
        secret.set_overwrite(scene.guild.everyone, deny=Permission.VIEW_CHANNEL)
        listed = (await tab.frame("channels"))["channels"]
        assert "random" not in {each["name"] for each in listed}
        await tab.send(op="open", channel=str(secret.id))
        assert "no such channel" in (await tab.frame("error"))["error"]
    await browser.post("say", channel=str(secret.id), text="x", status=404)


async def test_older_messages_come_when_asked_for(browser: Browser):
    for number in range(60):
        await browser.post("say", text=str(number))
    async with browser.tab() as tab:
        opened = next(frame for frame in tab.frames if frame["op"] == "channel")
        assert (opened["more"], [m["text"] for m in opened["messages"]]) == (True, [str(n) for n in range(10, 60)])
        oldest = opened["messages"][0]["id"]
        query = {"person": browser.id("Dana"), "channel": browser.channel(), "before": oldest}
        _, _, body = await browser.get("/api/messages", **query)
        assert body.count(b'"html"') >= 10
        assert b'"more":false' in body


async def test_components_of_the_second_kind_embeds_and_galleries_are_shown(browser: Browser):
    scene = browser.scene
    channel = scene.stage.channels["general"]
    gallery = {
        "type": 12,
        "id": 2,
        "items": [{"media": {"url": "attachment://a.png"}, "description": "one", "spoiler": True}],
    }
    container = {
        "type": 17,
        "id": 1,
        "accent_color": 0x00FF88,
        "components": [{"type": 10, "id": 3, "content": "# Two"}, gallery],
    }
    draft = Draft(components=[container], flags=1 << 15, uploads=(Upload("a.png", picture()),))
    scene.world.create_message(channel, scene.world.bot, draft)
    embed = {
        "title": "*T*",
        "description": "D",
        "color": 255,
        "url": "javascript:alert(1)",
        "image": {"url": "https://elsewhere.example/x.png"},
        "fields": [{"name": "n", "value": "v", "inline": True}],
        "footer": {"text": "f"},
        "timestamp": "2026-01-01T00:00:00+00:00",
    }
    scene.world.create_message(channel, scene.world.bot, Draft(content="", embeds=[embed]))
    async with browser.tab() as tab:
        first, second = tab.messages.values()
    assert first["v2"]
    assert first["attachments"] == []
    [shown] = first["components"]
    assert (shown["type"], shown["colour"]) == ("container", "#00ff88")
    assert shown["components"][0]["html"] == '<h3 class="md-h1" dir="auto">Two</h3>'
    [item] = shown["components"][1]["items"]
    assert (item["width"], item["spoiler"], item["description"], item["kind"]) == (30, True, "one", "image")
    assert item["url"].startswith("/files/attachments/")
    [shown] = second["embeds"]
    assert (shown["title_html"], shown["url"], shown["colour"]) == ("<em>T</em>", None, "#0000ff")
    assert (shown["image"]["url"], shown["image"]["external"]) == (None, "https://elsewhere.example/x.png")
    assert (shown["timestamp_s"], shown["fields"][0]["inline"]) == (1767225600.0, True)


# What can be done


async def test_a_question_is_asked_by_the_composer_grows_and_is_asked_again(house: Browser):
    async with house.tab("Dana") as danas, house.tab("Noam") as noams:
        await danas.until(lambda: "ask" in danas.names())
        outcome = await house.post("command", command="ask", options={"prompt": "show me a table"})
        assert outcome["result"] == "message"
        first = await noams.message(lambda each: each["used"] is not None)
        assert (first["used"]["name"], first["used"]["kind"], first["used"]["user"]["name"]) == (
            "ask",
            "command",
            "Dana",
        )
        done = await noams.message(ended)
        assert "simulation" in done["html"]
        assert any(frame["op"] == "message" and "Stop" in labels(frame["message"]) for frame in noams.frames)
        again = await house.post("click", message=done["id"], id=custom_id(done, "Regenerate"))
        assert again["error"] is None
        await danas.message(lambda each: each["id"] != done["id"] and ended(each))
        query = {"person": house.id("Dana"), "channel": house.channel()}

        async def booked() -> bool:
            _, _, ledger = await house.get("/api/ledger", **query)
            assert b'"known":true' in ledger
            return ledger.count(b'"kind":"chat"') == 2

        await eventually(booked)


async def test_the_checks_of_discords_client_are_made_here_too(house: Browser):
    async with house.tab() as tab:
        await tab.until(lambda: "ask" in tab.names())
        offered = {option["name"]: option for c in tab.commands if c["name"] == "ask" for option in c["options"]}
    assert offered["prompt"]["required"]
    wrong: list[tuple[Json, str]] = [
        ({}, "prompt"),
        ({"prompt": "   "}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "x" * 6_001}, "prompt"),
        ({"prompt": "x", "temperature": 3}, "temperature"),
        ({"prompt": "x", "max_tokens": 1.5}, "max_tokens"),
        ({"prompt": "x", "private": "yes"}, "private"),
        ({"prompt": "x", "model": "no-such-model"}, "model"),
        ({"prompt": "x", "image": {"id": "gone"}}, "image"),
        ({"prompt": "x", "colour": "red"}, "colour"),
    ]
    for options, field in wrong:
        refused = await house.post("command", command="ask", options=options, status=400)
        assert refused["field"] == field, refused
    await house.post("command", command="nothing", options={}, status=404)
    await house.post("click", message="1", id="x", status=404)
    await house.post("modal", interaction="1", values={}, status=404)
    await house.post("say", text=" ", status=403)
    await house.post("say", text="x" * 2_001, status=403)
    assert not list(house.scene.stage.channels["general"].messages)


async def test_commands_are_offered_to_those_who_may_use_them_alone(house: Browser):
    async with house.tab("Ruth") as owners, house.tab("Dana") as members:
        await owners.until(lambda: "quota set" in owners.names())
        await members.until(lambda: "ask" in members.names())
        assert not [name for name in members.names() if name.startswith("quota")]
        assert "Ask about this" in members.names()
        dm = next(each["id"] for each in owners.known["channels"] if each["kind"] == "dm")
        await owners.send(op="open", channel=dm)
        await owners.frame("channel")
        assert "ask" in owners.names()
        assert "quota set" not in owners.names()
    options = {"allowance": "5"}
    await house.post("command", command="quota set", options=options, status=404)


async def test_a_menu_opens_a_form_that_is_filled_in(house: Browser):
    async with house.tab("Dana") as tab, house.tab("Noam") as other:
        await tab.until(lambda: "Ask about this" in tab.names())
        said = await house.post("say", text="The moon is made of cheese.")
        opened = await house.post("menu", command="Ask about this", message=said["message"])
        assert opened["result"] == "modal"
        fields = {field["id"]: field for field in opened["modal"]["fields"] if "id" in field}
        [name, *_] = [identity for identity, field in fields.items() if field["type"] == "text_input"]
        form = {"interaction": opened["interaction"]}
        refused = await house.post("modal", **form, values={name: "x" * 5_000}, status=400)
        assert refused["field"] == name
        await house.post("modal", **form, person=house.id("Noam"), values={name: "Is it?"}, status=404)
        outcome = await house.post("modal", **form, values={name: "Is it true?"})
        assert outcome["result"] == "message"
        answer = await other.message(ended)
        assert "Is it true?" in answer["html"]
        await house.post("modal", **form, values={name: "Is it true?"}, status=404)


async def test_an_autocomplete_is_the_bots_own(house: Browser):
    async with house.tab("Ruth") as tab:
        found = await tab.until(
            lambda: [(c["name"], o["name"]) for c in tab.commands for o in c["options"] if o["autocomplete"]]
        )
    command, option = next((c, o) for c, o in found if o in ("zone", "time_zone", "model", "timezone"))
    asked = {"command": command, "option": option, "value": "ber" if "zone" in option else "gpt"}
    suggested = await house.post("autocomplete", person=house.id("Ruth"), **asked, options={})
    assert suggested["choices"]
    assert all({"name", "value"} == set(choice) for choice in suggested["choices"])
    refused = await house.post(
        "autocomplete", person=house.id("Dana"), command="ask", option="prompt", value="", status=403
    )
    assert "autocomplete" in refused["error"]


async def test_a_picture_goes_with_a_question_and_too_large_a_file_does_not(house: Browser):
    async with house.tab() as tab:
        await tab.until(lambda: "ask" in tab.names())
        [upload] = (await house.upload("cat.png", picture()))["uploads"]
        assert (upload["width"], upload["height"]) == (30, 20)
        assert (await house.get(upload["url"]))[2] == picture()
        options = {"prompt": "What is this?", "image": {"id": upload["id"], "description": None, "spoiler": False}}
        await house.post("command", command="ask", options=options)
        await tab.message(ended)
        [asked] = house.scene.stage.simulation.requests if house.scene.stage.simulation else []
        assert "image_url" in str(asked.body)
        assert (await house.get(upload["url"]))[0] == 404, "a file is used once"
        large = await house.upload("large.bin", bytes(10 * 1024 * 1024 + 1), "application/octet-stream")
        assert (large["status"], large["error"]) == (413, "large.bin is larger than the 10 MiB that Discord takes.")


async def test_a_drawn_picture_arrives_with_its_size_and_description(house: Browser):
    assert house.scene.stage.simulation is not None
    house.scene.stage.simulation.picture_answer = lambda _: PictureScript()
    async with house.tab("Noam") as tab:
        await tab.until(lambda: "imagine" in tab.names())
        await house.post("command", command="imagine", options={"prompt": "a red fox in the snow"})

        def pictures(message: Json) -> list[Json]:
            inside = [part for row in message["components"] for part in [row, *row.get("components", [])]]
            galleries = [item for part in inside if part["type"] == "gallery" for item in part["items"]]
            return [each for each in message["attachments"] + galleries if each["kind"] == "image"]

        [shown] = pictures(await tab.message(pictures))
        assert shown["width"] >= 256
        assert shown["height"] >= 256
        assert "fox" in (shown["description"] or "")
        status, headers, content = await house.get(shown["url"])
    assert (status, headers["Content-Type"]) == (200, shown["content_type"])
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (shown["width"], shown["height"])


async def test_faults_are_switched_on_and_off_and_the_panel_shows_what_happens(house: Browser):
    async with house.tab() as tab:
        await tab.until(lambda: "ask" in tab.names())
        await tab.send(op="panel", on=True)
        await tab.frame("limits")
        await house.post("fault", name="api-outage", on=True)
        assert [each["name"] for each in (await tab.frame("faults"))["faults"] if each["on"]] == ["api-outage"]
        await house.post("command", command="ask", options={"prompt": "hello"})

        def logged() -> list[Json]:
            return [entry for frame in tab.frames if frame["op"] == "log" for entry in frame["entries"]]

        failed = await tab.until(lambda: next((e for e in logged() if e["kind"] == "api" and e["status"] == 503), None))
        assert failed["what"] == "/chat-completions/"
        await tab.until(lambda: any(entry["what"] == "INTERACTION_CREATE" for entry in logged()))
        numbers = [entry["n"] for entry in logged()]
        assert numbers == sorted(set(numbers))
        token = house.scene.discord.bot_token
        assert all(token not in str(entry) and not re.search(r"\d{17}", entry["what"]) for entry in logged())
        await house.post("fault", name="api-outage", on=False)
        await house.post("fault", name="gateway-drop", on=True)
        await tab.until(
            lambda: [e["what"] for e in logged() if e["method"] == "←"] == ["connected", "disconnected", "connected"]
        )
        await house.post("fault", name="nonsense", on=True, status=404)


@pytest.mark.parametrize(
    ("fault", "command", "words", "button"),
    [
        ("discord-500", "ask", "simulation", "Regenerate"),
        ("api-broken", "ask", "Cut off", "Regenerate"),
        ("pictures-fail", "imagine", "could not draw", "Again"),
    ],
)
async def test_the_bot_bears_what_is_switched_on(house: Browser, fault: str, command: str, words: str, button: str):
    async with house.tab() as tab:
        await tab.until(lambda: command in tab.names())
        await house.post("fault", name=fault, on=True)
        await house.post("command", command=command, options={"prompt": "hello"})
        answered = await tab.message(lambda each: button in labels(each))
        assert words in answered["html"]
        hits = (await house.post("fault", name=fault, on=False))["faults"]
        assert next(each["hits"] for each in hits if each["name"] == fault) > 0


async def test_time_passes_for_everybody(browser: Browser, tmp_path: Path):
    async with browser.tab() as tab:
        before = browser.scene.world.clock.now()
        passed = await browser.post("clock", advance_s=900)
        assert passed["now_s"] >= before + 900
        assert (await tab.frame("clock"))["clock"]["advanced_s"] == 900
    assert Lead(tmp_path / "clock").get() == 900
    for wrong in (0, -1, 1e12, "60", None, float("inf")):
        await browser.post("clock", advance_s=None if wrong == float("inf") else wrong, status=400)


async def test_a_shifted_clock_moves_the_calendar_and_nothing_else(tmp_path: Path):
    """In a process of its own: there is no way back."""
    lead = Lead(tmp_path / "clock")
    lead.set(86_400.0)
    program = (
        "import sys, time, datetime\n"
        "from pathlib import Path\n"
        "real, begun = time.time(), time.monotonic()\n"
        "before = datetime.datetime.now()\n"
        "from sandbox.web.clock import Lead, shift\n"
        "shift(Lead(Path(sys.argv[1])).get)\n"
        "from datetime import UTC, date, datetime, timedelta\n"
        "day = timedelta(days=1)\n"
        "assert 86_400 <= time.time() - real < 86_430\n"
        "assert day <= datetime.now() - before < day + timedelta(seconds=30)\n"
        "assert datetime.now(UTC).tzinfo is UTC and isinstance(datetime.now(UTC), datetime)\n"
        "assert isinstance(before, datetime) and type(datetime(2026, 1, 1)) is type(before)\n"
        "assert datetime.fromisoformat('2026-01-01') + day == datetime(2026, 1, 2)\n"
        "assert (date.today() - before.date()).days == 1\n"
        "assert time.monotonic() - begun < 60\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(tmp_path / "clock")), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


# A page that is slow, and one that talks nonsense


async def test_a_page_that_does_not_listen_costs_no_memory_and_begins_anew(browser: Browser):
    scene = browser.scene
    hub = Hub(scene, Switches(scene.discord, None))
    try:
        person, channel = scene.stage.people["Dana"], scene.stage.channels["general"]
        feed = Feed(hub, person, channel)
        hub.feeds.add(feed)
        assert [frame["op"] for frame in feed.frames()] == ["snapshot", "channel", "typing"]
        said = await person.say(channel, "0")
        for number in range(CHANGES_LIMIT):
            await person.edit(said, str(number))
        assert [frame["message"]["text"] for frame in feed.frames()] == [str(CHANGES_LIMIT - 1)]
        for number in range(CHANGES_LIMIT + 1):
            await person.say(channel, str(number))
        assert [frame["op"] for frame in feed.frames()] == ["snapshot", "channel", "typing"]
        assert list(feed.frames()) == []
    finally:
        hub.close()


@pytest.mark.parametrize("frame", ["[]", "{}", "nonsense", '{"op": "be", "person": 3}', '{"op": "open"}'])
async def test_a_frame_without_sense_is_told_and_changes_nothing(browser: Browser, frame: str):
    async with browser.tab() as tab:
        await tab._socket.send_str(frame)
        assert (await tab.frame("error"))["error"]
        await tab.send(op="resync")
        assert (await tab.frame("snapshot"))["person"] == browser.id("Dana")


async def test_too_long_a_frame_ends_the_socket(browser: Browser):
    async with browser.tab() as tab:
        await tab._socket.send_str("x" * 5_000)
        async with asyncio.timeout(WAIT_S):
            while (await tab._socket.receive()).type is WSMsgType.TEXT:
                pass
        assert tab._socket.close_code == 1009


# From run to run


async def test_a_restart_keeps_messages_files_time_and_working_buttons(tmp_path: Path):
    async with browsing(tmp_path) as first, connected(first, tmp_path), first.tab() as tab:
        await tab.until(lambda: "ask" in tab.names())
        [upload] = (await first.upload("cat.png", picture()))["uploads"]
        await first.post("say", text="look", files=[{"id": upload["id"], "description": None, "spoiler": False}])
        await first.post("command", command="ask", options={"prompt": "What is a fjord?"})
        await tab.message(ended)
        await first.post("clock", advance_s=3_600)
        before, commands = dict(tab.messages), tab.names()
        people, newest = tab.known["people"], first.scene.world.new_id()
    async with browsing(tmp_path) as second, connected(second, tmp_path), second.tab() as tab:
        assert tab.known["people"] == people
        assert tab.names() == commands, "the bot's commands are there before it registers them anew"
        assert tab.known["clock"]["advanced_s"] == 3_600
        assert tab.messages == before
        assert second.scene.world.new_id() > newest
        shown = next(message for message in tab.messages.values() if message["attachments"])
        assert (await second.get(shown["attachments"][0]["url"]))[2] == picture()
        old = next(message for message in tab.messages.values() if ended(message))
        await second.post("click", message=old["id"], id=custom_id(old, "Regenerate"))
        again = await tab.message(lambda each: each["id"] not in before and ended(each))
        assert "What is a fjord?" in again["html"]


def saved_with(**changes: object) -> str:
    """A memory as it is written, but for `changes`."""
    lists: Json = {name: [] for name in ("threads", "interactions", "messages", "files")}
    return json.dumps(
        {"version": 1, "advanced_s": 0, "last_id": 1, "port": 0, "key": "00" * 32, "commands": {}, **lists, **changes}
    )


@pytest.mark.parametrize(
    "written",
    [
        "{",
        '{"version": 1}',
        saved_with(version=0),
        saved_with(messages=[None]),
        saved_with(messages=[{"id": 1, "channel": "x"}]),
        saved_with(threads="none"),
        saved_with(key="zz"),
        saved_with(advanced_s="soon"),
        saved_with(advanced_s=-5),
        saved_with(advanced_s=1e18),
        saved_with(commands={"": [{}]}),
    ],
)
async def test_a_memory_that_cannot_be_read_is_put_aside(tmp_path: Path, written: str):
    (tmp_path / "world.json").write_text(written)
    async with browsing(tmp_path) as browser:
        await browser.post("say", text="hello")
    assert (tmp_path / "world.json.old").read_text() == written
    async with browsing(tmp_path) as browser, browser.tab() as tab:
        assert [message["text"] for message in tab.messages.values()] == ["hello"]


@pytest.mark.parametrize("port", [None, "x", -1, 10**6])
async def test_a_port_that_is_none_is_left_to_chance(tmp_path: Path, port: object):
    (tmp_path / "world.json").write_text(saved_with(port=port))
    async with browsing(tmp_path) as browser:
        assert browser.scene.discord.port > 0
    assert not (tmp_path / "world.json.old").exists()


async def test_addresses_of_files_outlive_a_restart_unless_their_port_is_taken(tmp_path: Path):
    async with browsing(tmp_path) as first:
        [upload] = (await first.upload("cat.png", picture()))["uploads"]
        await first.post("say", text="x", files=[{"id": upload["id"]}])
        [message] = first.scene.stage.channels["general"].messages.values()
        url, port = first.scene.world.cdn.url(message.attachments[0]), first.scene.discord.port
    async with browsing(tmp_path), aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, await answer.read()) == (200, picture())
    with socket.create_server(("127.0.0.1", port)):
        async with browsing(tmp_path) as third, third.tab() as tab:
            assert third.scene.discord.port != port
            assert len(tab.messages) == 1


async def start(state: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--state", str(state), "--no-open", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ending(process: asyncio.subprocess.Process) -> str:
    """What it prints until it ends in failure, by itself."""
    try:
        async with asyncio.timeout(WAIT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1
    return output.decode()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once that holds: an answer is charged a moment after its last edit. Raises `TimeoutError`."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - the ledger announces nothing
            await asyncio.sleep(0.01)


async def printed(process: asyncio.subprocess.Process, words: str) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or words not in lines[-1]:
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode())
    return "".join(lines)


async def test_a_sandbox_that_is_killed_takes_its_bot_with_it(tmp_path: Path):
    process = await start(tmp_path, "--port", "0")
    try:
        await printed(process, "The bot is online.")
        assert not is_free(tmp_path)
    finally:
        process.kill()
        await process.wait()
    async with asyncio.timeout(WAIT_S):
        while not is_free(tmp_path):  # noqa: ASYNC110 - the end of a process that is not ours announces nothing
            await asyncio.sleep(0.01)


async def test_one_command_gives_the_page_and_the_bot_whose_clock_follows(tmp_path: Path):
    process = await start(tmp_path, "--port", "0")
    try:
        output = await printed(process, "The bot is online.")
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", output.split("Open ")[1].split(" ")[0])
        headers, live = {"Origin": address, "X-Sandbox": "page"}, f"{address}/api/live"
        async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(live) as socket:
            tab = Tab(socket)
            await tab.until(lambda: "ask" in tab.names())
            person, channel = tab.known["person"], tab.known["channels"][0]["id"]
            where = {"person": person, "channel": channel}

            async def ask() -> None:
                body = where | {"command": "ask", "options": {"prompt": "hello", "max_tokens": 20}}
                async with session.post(f"{address}/api/command", json=body) as answer:
                    assert (await answer.json())["result"] == "message"
                known = set(tab.messages)
                await tab.message(lambda each: each["id"] not in known and ended(each))

            async def spent() -> str:
                async with session.get(f"{address}/api/ledger", params=where) as answer:
                    standing = (await answer.json())["standing"]
                return str(next(line["value"] for line in standing if line["label"] == "Spent"))

            async def something_spent() -> bool:
                return await spent() != "0 credits"

            await ask()
            await eventually(something_spent)
            async with session.post(f"{address}/api/clock", json={"advance_s": 86_400}) as answer:
                assert answer.status == 200
            assert await spent() == "0 credits", "a day has passed, so the allowance is new"
            await ask()
            await eventually(something_spent)  # the bot books by the same day
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_fresh_forgets_and_a_taken_port_is_one_sentence(tmp_path: Path):
    async with browsing(tmp_path) as browser:
        [upload] = (await browser.upload("cat.png", picture()))["uploads"]
        await browser.post("say", text="x", files=[{"id": upload["id"]}])
    assert list((tmp_path / "files").iterdir())
    (tmp_path / "files" / "mine.txt").write_text("not the sandbox's")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start(tmp_path, "--fresh", "--port", str(taken.getsockname()[1]))
        output = await ending(process)
    assert output.startswith("The sandbox cannot start: something else is at port")
    assert "--port" in output
    assert not (tmp_path / "world.json").exists()
    assert [file.name for file in (tmp_path / "files").iterdir()] == ["mine.txt"]


async def test_a_second_sandbox_leaves_alone_what_the_first_remembers(tmp_path: Path):
    (tmp_path / "bot.db").write_bytes(b"the first one's")
    with sole_sandbox(tmp_path):
        process = await start(tmp_path, "--fresh", "--port", "0")
        output = await ending(process)
    assert output == (
        f"The sandbox cannot start: another one runs in {tmp_path}. "
        "End that one first, or let this one remember elsewhere: --state FOLDER\n"
    )
    assert (tmp_path / "bot.db").read_bytes() == b"the first one's"


async def test_a_folder_that_is_none_is_told_with_what_to_do(tmp_path: Path):
    (tmp_path / "file").touch()
    process = await start(tmp_path / "file")
    output = await ending(process)
    assert output.startswith(f"The sandbox cannot start: {tmp_path / 'file'}: ")
    assert "--state" in output


async def test_a_damaged_database_is_told_with_what_to_do(tmp_path: Path):
    (tmp_path / "bot.db").write_bytes(b"not a database, whatever it was " * 200)
    process = await start(tmp_path, "--port", "0")
    output = await ending(process)
    assert "file is not a database" in output
    assert "--fresh" in output
