"""Imports point down: cogs, app and client, capabilities, services, values. Read from the source, nothing is run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = [
    {"bot.errors", "bot.money", "bot.settings", "bot.catalog", "bot.wordlist", "bot.observer"},
    {"bot.minitoolai", "bot.storage", "bot.delivery"},
    {
        "bot.answers",
        "bot.arrivals",
        "bot.credits",
        "bot.drafts",
        "bot.guilds",
        "bot.pictures",
        "bot.ops",
        "bot.privacy",
        "bot.remembered",
    },
    {"bot.app", "bot.client", "bot.__main__"},
    {"cogs"},
]
"""From the bottom. A module may import its own layer and those below it, a service only itself and values."""

SQL = re.compile(r"\b(SELECT\b.+\bFROM|INSERT INTO|UPDATE\b.+\bSET|DELETE FROM|CREATE TABLE|PRAGMA)\b", re.DOTALL)


def modules(folder: str) -> list[str]:
    """The dotted names of all modules in a folder."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(code: ast.AST) -> Iterator[str]:
    """What is imported anywhere in the code, inside functions and for type checkers alike: `a.b` and `a.b.name`."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their module in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    """The part of the house that a module, or a name in it, belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "bot" else parts[0]


def layer(name: str) -> int | None:
    return next((height for height, rooms in enumerate(LAYERS) if room(name) in rooms), None)


def faults(module: str, code: ast.AST) -> list[str]:
    """The imports that do not point down."""
    own = layer(module)
    wrong = []
    for name in imports(code):
        other = layer(name)
        if own is None or other is None:
            continue
        sideways = other == own == 1 and room(name) != room(module)
        if other > own or sideways:
            wrong.append(f"{module} imports {name}")
    return wrong


def packages(code: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imports(code)}


@pytest.mark.parametrize("module", modules("bot") + modules("cogs"))
def test_imports_point_down(module: str):
    assert faults(module, tree(module)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bot.answers.service", "import cogs.ask"),
        ("bot.answers.service", "from bot.app import Services"),
        ("bot.minitoolai.client", "from bot.answers.question import Question"),
        ("bot.minitoolai.client", "from bot.storage.database import Database"),
        ("bot.errors", "from bot import delivery"),
        ("bot.money", "def f():\n    from bot.ops.logging import configure"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, line: str):
    assert len(faults(module, ast.parse(line))) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("cogs.ask", "from bot.answers.question import Question"),
        ("bot.answers.service", "from bot.credits.ledger import Ledger"),
        ("bot.storage.database", "from bot.storage.migrate import migrate"),
        ("bot.app", "from bot import settings"),
    ],
)
def test_an_import_that_points_down_or_stays_in_its_room_is_fine(module: str, line: str):
    assert faults(module, ast.parse(line)) == []


@pytest.mark.parametrize("module", [name for name in modules("bot") if name != "bot"])
def test_every_module_of_the_bot_has_a_layer(module: str):
    assert layer(module) is not None, f"say in LAYERS where {room(module)} belongs"


@pytest.mark.parametrize("module", modules("bot"))
def test_the_bot_knows_neither_its_commands_nor_the_sandbox(module: str):
    assert not packages(tree(module)) & {"cogs", "sandbox", "tests", "benchmarks"}


@pytest.mark.parametrize("module", modules("bot"))
def test_discord_is_imported_in_the_client_alone(module: str):
    assert module == "bot.client" or "discord" not in packages(tree(module))


@pytest.mark.parametrize("module", modules("cogs"))
def test_commands_speak_neither_http_nor_sql(module: str):
    code = tree(module)
    assert not packages(code) & {"aiohttp", "aiosqlite", "sqlite3", "sandbox"}
    texts = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text in texts if SQL.search(text)] == []


@pytest.mark.parametrize(
    "text", ["SELECT id\nFROM turns", "INSERT INTO turns VALUES (?)", "UPDATE turns SET text = ''"]
)
def test_a_statement_is_told_from_prose(text: str):
    assert SQL.search(text)
    assert not SQL.search("Select one from the list, update it, and set it again")


@pytest.mark.parametrize("module", modules("sandbox"))
def test_the_stand_ins_share_no_code_with_the_services_they_try(module: str):
    """A stand-in built from the bot's own decoder or client would agree with its mistakes."""
    services = {"bot.minitoolai", "bot.delivery", "bot.storage"}
    assert not {room(name) for name in imports(tree(module))} & services
