"""Rules of the container's files, read from them: nothing here starts a container."""

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.answers.service import CLOSE_S as LAST_EDITS_S
from bot.app import CLOSE_S as LEAVE_DISCORD_S
from bot.settings import VARIABLES, read_one
from bot.storage.database import CLOSE_LIMIT_S as LAST_WRITES_S

ROOT = Path(__file__).parent.parent
NAMES = {variable.name for variable in VARIABLES}


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its text, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text))
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
        if word
    ]


def last_stage() -> list[tuple[str, str]]:
    lines = instructions()
    start = max(number for number, (word, _) in enumerate(lines) if word == "FROM")
    return lines[start:]


def value(word: str) -> str:
    """The text of an instruction that stands in the last stage once."""
    [found] = [text for each, text in last_stage() if each == word]
    return found


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in value("ENV").split())


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(compose["services"]) == {"bot"}
    return compose["services"]["bot"]


def test_every_stage_has_a_python_that_the_project_supports_and_is_checked_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    least = re.fullmatch(r">=(\d+\.\d+)", project["project"]["requires-python"])
    assert least is not None
    versions = {re.match(r"python:(\d+\.\d+)-slim\b", text)[1] for word, text in instructions() if word == "FROM"}  # type: ignore[index]
    assert versions == {project["tool"]["mypy"]["python_version"]}
    assert [int(part) for part in versions.pop().split(".")] >= [int(part) for part in least[1].split(".")]


def test_packages_are_the_pinned_ones_with_their_hashes():
    [install] = [text for word, text in instructions() if word == "RUN" and "pip install" in text]
    assert "--require-hashes" in install
    assert "-r /requirements.txt" in install
    assert ("COPY", "requirements.txt /") in instructions()


def test_it_does_not_run_as_root():
    user, group = value("USER").split(":")
    assert int(user) >= 1_000
    assert int(group) >= 1_000
    words = [word for word, _ in last_stage()]
    assert words.index("USER") > max(number for number, word in enumerate(words) if word in ("RUN", "COPY"))


def test_what_is_copied_exists_and_is_let_into_the_build():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {text.split()[0] for word, text in instructions() if word == "COPY" and not text.startswith("--from")}
    assert copied == allowed == {"requirements.txt", "bot", "cogs"}
    assert "*" in ignored
    for name in copied:
        assert (ROOT / name).exists()


@pytest.mark.parametrize("name", [".env", "data/bot.db", ".git/config", "sandbox/__main__.py"])
def test_no_secret_and_no_database_gets_into_the_build(name: str):
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    top = name.split("/")[0]
    assert any(fnmatch.fnmatch(top, line) for line in lines if not line.startswith("!"))
    assert not any(fnmatch.fnmatch(top, line[1:]) for line in lines if line.startswith("!"))


def test_every_package_that_the_bot_imports_from_here_is_in_the_image():
    ours = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    copied = {text.split()[0] for word, text in instructions() if word == "COPY"}
    imported = set()
    for folder in ("bot", "cogs"):
        for file in (ROOT / folder).rglob("*.py"):
            imported |= set(re.findall(r"^(?:from|import) (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert imported & ours <= copied


def test_python_is_the_process_that_gets_the_signal():
    command = yaml.safe_load(value("CMD"))
    procfile = (ROOT / "Procfile").read_text(encoding="utf-8").strip()
    assert command == ["python", "-m", "bot"]
    assert procfile == f"worker: {' '.join(command)}"
    assert value("STOPSIGNAL") == "SIGTERM"


def test_its_health_is_asked_for_where_it_tells_it():
    *options, command = re.split(r" (?=CMD )", value("HEALTHCHECK"))
    assert yaml.safe_load(command.removeprefix("CMD ")) == ["python", "-m", "bot.ops.probe"]
    assert "--start-period=" in options[0]
    assert read_one("HEALTH_ADDRESS", environment()) is not None


def test_every_variable_of_the_bots_is_one_that_it_knows(service: dict[str, Any]):
    pythons = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "MPLCONFIGDIR"}
    assert set(environment()) - pythons <= NAMES
    assert set(service["environment"]) <= NAMES
    for name, text in service["environment"].items():
        assert read_one(name, {name: text}) is not None


def test_the_database_is_on_the_volume(service: dict[str, Any]):
    assert value("VOLUME") == "/data"
    assert environment()["DATABASE_URL"] == service["environment"]["DATABASE_URL"] == "sqlite:////data/bot.db"
    assert service["volumes"] == ["data:/data"]


def test_the_service_may_do_nothing_that_it_does_not_need(service: dict[str, Any]):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]
    assert service["pids_limit"] > 0
    assert environment()["MPLCONFIGDIR"].startswith("/tmp/")


def test_the_service_takes_its_secrets_from_env_and_starts_again(service: dict[str, Any]):
    assert service["env_file"] == ".env"
    assert not {"DISCORD_TOKEN", "MINITOOLAI_API_KEY"} & set(service["environment"])
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True


def test_only_this_machine_may_ask_how_it_is(service: dict[str, Any]):
    assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"]


def test_it_is_not_killed_before_it_can_have_ended(service: dict[str, Any]):
    grace_s = read_one("SHUTDOWN_GRACE_S", {})
    assert isinstance(grace_s, float)
    given_s = float(re.fullmatch(r"(\d+)s", service["stop_grace_period"])[1])  # type: ignore[index]
    assert given_s >= grace_s + LAST_EDITS_S + LEAVE_DISCORD_S + LAST_WRITES_S


def test_logs_do_not_fill_the_disk(service: dict[str, Any]):
    assert service["logging"]["options"]["max-size"]
    assert int(service["logging"]["options"]["max-file"]) > 0
