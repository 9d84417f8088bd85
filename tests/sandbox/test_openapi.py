"""What Discord's published document has against a request. Skipped where the document is absent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.discord.openapi import OpenApi, find_document, open_document

MESSAGES = "/channels/{channel_id}/messages"
MESSAGE = "/channels/{channel_id}/messages/{message_id}"
CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"
FOLLOWUP = "/webhooks/{webhook_id}/{webhook_token}"
ORIGINAL = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
COMMANDS = "/applications/{application_id}/commands"

REPLY_WITH_BUTTON = {
    "content": "Hello",
    "tts": False,
    "message_reference": {"message_id": 1_200_000_000_000_000_000, "channel_id": "12", "fail_if_not_exists": False},
    "allowed_mentions": {"parse": ["users"], "replied_user": True},
    "components": [
        {
            "type": 1,
            "components": [{"type": 2, "style": 2, "custom_id": "stop", "label": "Stop", "emoji": {"name": "⏹"}}],
        }
    ],
    "attachments": [{"id": 0, "filename": "answer.md"}],
}
CONTAINER = {
    "flags": 1 << 15,
    "components": [{"type": 17, "accent_color": 255, "components": [{"type": 10, "content": "# Title"}]}],
}
MODAL = {
    "custom_id": "ask",
    "title": "Ask about this",
    "components": [
        {"type": 18, "label": "Question", "component": {"type": 4, "custom_id": "question", "style": 2}},
        {"type": 18, "label": "Picture", "component": {"type": 19, "custom_id": "picture", "required": False}},
    ],
}


@pytest.fixture(scope="module")
def document() -> OpenApi:
    path = find_document(Path(__file__).resolve().parents[2])
    if path is None:
        pytest.skip("Discord's OpenAPI document is absent; DISCORD_OPENAPI can name it")
    return OpenApi(path)


def button_labelled(label: str) -> dict[str, Any]:
    return {"components": [{"type": 1, "components": [{"type": 2, "style": 1, "custom_id": "x", "label": label}]}]}


@pytest.mark.parametrize(
    ("method", "template", "body"),
    [
        ("POST", MESSAGES, {"content": "x" * 2_000}),
        ("POST", MESSAGES, REPLY_WITH_BUTTON),
        ("POST", MESSAGES, CONTAINER),
        ("POST", MESSAGES, button_labelled("x" * 80)),
        ("PATCH", MESSAGE, {"content": None, "attachments": []}),
        ("POST", CALLBACK, {"type": 5}),
        ("POST", CALLBACK, {"type": 5, "data": {"flags": 64}}),
        ("POST", CALLBACK, {"type": 9, "data": MODAL}),
        ("POST", FOLLOWUP, {"content": "Hello", "flags": 64}),
        ("PATCH", ORIGINAL, {"content": "x" * 2_000, "components": []}),
        ("DELETE", ORIGINAL, None),
        ("PUT", COMMANDS, [{"name": "ask", "description": "Ask", "type": 1, "options": []}]),
    ],
)
def test_what_a_bot_may_send_passes(document: OpenApi, method: str, template: str, body: Any) -> None:
    assert document.check(method, template, {}, body) == []


@pytest.mark.parametrize(
    ("method", "template", "body", "problem"),
    [
        ("POST", MESSAGES, {"content": "x" * 2_001}, "$.content: 2,001 characters, at most 2,000"),
        ("PATCH", MESSAGE, {"content": "x" * 2_001}, "$.content: 2,001 characters, at most 2,000"),
        ("PATCH", ORIGINAL, {"content": "x" * 2_001}, "$.content: 2,001 characters, at most 2,000"),
        ("POST", MESSAGES, {"content": 7}, "$.content: 7 is not string or null"),
        ("POST", MESSAGES, {"embeds": [{}] * 11}, "$.embeds: 11 items, at most 10"),
        ("POST", MESSAGES, button_labelled("x" * 81), "$.components[0].components[0].label: 81 characters, at most 80"),
        (
            "POST",
            MESSAGES,
            {"components": [{"type": 99}]},
            "$.components[0].type: 99 is not a type that is allowed here",
        ),
        ("POST", MESSAGES, {"message_reference": {}}, "$.message_reference: message_id is missing"),
        (
            "POST",
            MESSAGES,
            {"allowed_mentions": {"parse": ["all"]}},
            "$.allowed_mentions.parse[0]: all is not allowed here",
        ),
        ("POST", MESSAGES, None, "$: the body is missing"),
        ("POST", CALLBACK, {"type": 99}, "$.type: 99 is not a type that is allowed here"),
        (
            "POST",
            CALLBACK,
            {"type": 4, "data": {"content": "x" * 2_001}},
            "$.data.content: 2,001 characters, at most 2,000",
        ),
        (
            "POST",
            CALLBACK,
            {"type": 9, "data": MODAL | {"title": "x" * 46}},
            "$.data.title: 46 characters, at most 45",
        ),
        ("DELETE", ORIGINAL, {"content": "x"}, "$: a body where none is documented"),
    ],
)
def test_what_discord_refuses_is_one_readable_line(
    document: OpenApi, method: str, template: str, body: Any, problem: str
) -> None:
    assert document.check(method, template, {}, body) == [problem]


def test_a_problem_does_not_repeat_a_long_text(document: OpenApi) -> None:
    secret = "do not log this " * 10
    problems = document.check("POST", MESSAGES, {}, {"content": [secret], "flags": secret})
    assert len(problems) == 2
    assert not any(secret in problem for problem in problems)


@pytest.mark.parametrize("text", ["true", "false", "1", "0", "True"])
def test_a_query_says_yes_and_no_as_clients_write_it(document: OpenApi, text: str) -> None:
    assert document.check("POST", CALLBACK, {"with_response": text}, {"type": 5}) == []


def test_query_values_keep_their_ranges(document: OpenApi) -> None:
    assert document.check("GET", MESSAGES, {"limit": "100", "before": "1200"}, None) == []
    assert document.check("GET", MESSAGES, {"limit": "101"}, None) == ["?limit: 101 is refused"]
    assert document.check("GET", MESSAGES, {"before": "yesterday"}, None) == ["?before: yesterday is refused"]


def test_an_undocumented_parameter_is_a_problem(document: OpenApi) -> None:
    assert document.check("GET", MESSAGES, {"page": "2"}, None) == ["?page: not a documented parameter"]


def test_an_unknown_route_or_method_is_a_problem(document: OpenApi) -> None:
    assert document.check("GET", "/channels/{id}/nonsense", {}, None) != []
    assert document.check("PUT", MESSAGES, {}, {}) != []


def test_the_names_of_path_parameters_do_not_matter(document: OpenApi) -> None:
    assert document.check("POST", "/channels/{id}/messages", {}, {"content": "x"}) == []


def test_every_route_of_the_document_can_be_checked(document: OpenApi) -> None:
    routes = list(document.templates())
    assert ("POST", MESSAGES) in routes
    for method, template in routes:
        assert f"{method} {template} is not a documented route" not in document.check(method, template, {}, None)


def test_the_document_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    monkeypatch.setenv("DISCORD_OPENAPI", str(path))
    assert find_document(tmp_path) is None
    path.write_text("{}")
    assert find_document(tmp_path) == path


def test_the_sandbox_runs_without_the_packages_of_its_tests() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['jsonschema', 'jsonschema_rs', 'referencing']))"
    ran = subprocess.run([sys.executable, "-c", f"{blocked}; import sandbox.discord.openapi"], check=False, timeout=30)
    assert ran.returncode == 0


def test_a_document_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    names = ("MessageCreateRequest", "MessageEditRequestPartial", "BaseCreateMessageCreateRequest")
    schemas = {name: {"properties": {"content": {}}} for name in names} | {"SnowflakeType": {}}
    path.write_text(json.dumps({"components": {"schemas": schemas}, "paths": {}}))
    first = open_document(path)
    assert open_document(path) is first

    path.write_text(json.dumps({"components": {"schemas": schemas}, "paths": {"/new": {"get": {}}}}))
    os.utime(path, ns=(0, 0))
    assert list(open_document(path).templates()) == [("GET", "/new")]
