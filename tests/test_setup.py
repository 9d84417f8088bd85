"""What a fresh clone installs: pinned, hashed, from wherever its user installs from; and how `make run` chooses."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)([^\\]*)\\?$", re.MULTILINE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def normal(name: str) -> str:
    """A package's name in the one spelling that counts: https://packaging.python.org/specifications/name-normalization"""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(name: str) -> dict[str, str]:
    return {normal(package): version for package, version, _ in PIN.findall(text(name))}


def project() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(text("pyproject.toml"))["project"]


def allowed(requirement: str, version: str) -> bool:
    """Whether `version` lies in the ranges of `requirement`; of their signs, those that pyproject.toml uses."""
    signs = {">=": lambda a, b: a >= b, "<": lambda a, b: a < b}
    _, ranges = split(requirement)
    return all(
        signs[sign](numbers(version), numbers(bound)) for sign, bound in re.findall(r"(>=|<)\s*([0-9.]+)", ranges)
    )


def split(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([A-Za-z0-9._-]+)((?:[<>=]+[0-9.]+,?)*)", requirement)
    assert found, f"{requirement} is not read by this test"
    return normal(found[1]), found[2]


def numbers(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]
    return tuple([*parts, 0, 0, 0, 0][:4])


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_line_is_a_pin_its_hashes_or_a_comment(name: str):
    strange = [
        line
        for line in text(name).splitlines()
        if line.strip() and not line.lstrip().startswith("#") and not PIN.match(line) and not HASH.match(line)
    ]
    assert strange == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_a_hash(name: str):
    blocks = re.split(r"^(?=[A-Za-z0-9])", text(name), flags=re.MULTILINE)
    assert [block for block in blocks if PIN.match(block) and "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_no_address_says_where_packages_come_from(name: str):
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|-[if] ", text(name))


@pytest.mark.parametrize("requirement", project()["dependencies"])
def test_what_the_project_needs_is_pinned_within_its_range(requirement: str):
    package, _ = split(requirement)
    assert allowed(requirement, pins("requirements.txt")[package])


@pytest.mark.parametrize("requirement", project()["optional-dependencies"]["dev"])
def test_what_the_tests_need_is_pinned_within_its_range(requirement: str):
    package, _ = split(requirement)
    assert allowed(requirement, pins("requirements-dev.txt")[package])


def test_the_tests_run_with_the_versions_that_the_bot_runs_with():
    run, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert run
    assert run.items() <= dev.items()


def test_a_version_outside_a_range_is_told():
    assert allowed("x>=1.2,<2", "1.10.3")
    assert not allowed("x>=1.2,<2", "2.0")
    assert not allowed("x>=1.2,<2", "1.1.9")


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The Makefile in a folder with spaces, whose Python only prints what it is asked to run."""
    folder = tmp_path / "a folder with spaces"
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "asked for: $*"\n')
    python.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=outside, capture_output=True, text=True, timeout=30)


@needs_make
@pytest.mark.parametrize(
    ("written", "started"),
    [
        (None, "sandbox"),
        ("", "sandbox"),
        ("DISCORD_TOKEN=\n", "sandbox"),
        ("DISCORD_TOKEN=''\n", "sandbox"),
        ("# DISCORD_TOKEN=a.b.c\n", "sandbox"),
        ("DISCORD_TOKEN= # the bot's token\n", "sandbox"),
        ("DISCORD_TOKEN=a.b.c\n", "bot"),
        ("DISCORD_TOKEN=a.b.c\r\n", "bot"),
        ("DISCORD_TOKEN=\r\n", "sandbox"),
        ('LOG_LEVEL=INFO\nexport DISCORD_TOKEN = "a.b.c"\n', "bot"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}DISCORD_TOKEN=a.b.c\n", "bot"),
        ("  DISCORD_TOKEN=a.b.c\n", "bot"),
    ],
)
def test_make_run_starts_the_bot_where_env_names_a_token_and_else_the_sandbox(
    clone: Path, written: str | None, started: str
):
    if written is not None:
        (clone / ".env").write_text(written, encoding="utf-8", newline="")
    done = make(clone, "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"asked for: -m {started}"


@needs_make
def test_making_it_again_installs_nothing(clone: Path):
    assert "pip install" in make(clone, "run").stdout
    assert "pip install" not in make(clone, "run").stdout


@needs_make
def test_a_changed_pin_is_installed(clone: Path):
    make(clone, "run")
    later = (clone / ".venv" / "run").stat().st_mtime + 10
    os.utime(clone / "requirements.txt", (later, later))
    assert "pip install" in make(clone, "run").stdout


@needs_make
def test_an_old_python_is_refused_before_anything_is_installed(clone: Path):
    old = clone / "python3.8"
    pretended = 'import sys; sys.version_info = (3, 8, 1); sys.version = "3.8.1 (old)"; exec(sys.argv[2])'
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{pretended}' \"$@\"\n")
    old.chmod(0o755)
    done = make(clone, "run", "PYTHON=./python3.8")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, this is 3.8.1" in done.stderr
    assert "pip install" not in done.stdout
