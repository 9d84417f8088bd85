"""Rules of the house that no single room can hold."""

import ast
import re
from pathlib import Path

import pytest

from bot.settings import VARIABLES

ROOT = Path(__file__).parent.parent
CODE = sorted(path for folder in ("bot", "cogs", "sandbox", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DATA = {".toml", ".sql", ".html", ".js", ".css"}
TEXTS = [
    *CODE,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted(path for folder in ("bot", "sandbox") for path in (ROOT / folder).rglob("*") if path.suffix in DATA),
    *sorted(path for pattern in ("*.md", "*.toml", "Makefile", "Procfile") for path in ROOT.glob(pattern)),
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(code: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(code) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def asserts(code: ast.AST, helpers: frozenset[str] = frozenset()) -> bool:
    """Whether the code can fail by a rule: an assert, a `raises`, an `expect` (Playwright), or one of `helpers`."""
    for node in ast.walk(code):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in helpers | {"raises", "fail", "expect", "run_state_machine_as_test"}:
                return True
    return False


def without_assertion(code: ast.Module) -> list[str]:
    """The test functions that cannot fail, neither themselves nor by the helpers of their own module."""
    helpers = frozenset(function.name for function in functions(code) if asserts(function))
    tests = [function for function in functions(code) if function.name.startswith("test_")]
    return [function.name for function in tests if not asserts(function, helpers)]


@pytest.mark.parametrize("variable", [variable.name for variable in VARIABLES])
def test_every_variable_is_in_the_example(variable: str):
    written = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert len(re.findall(rf"^(?:# )?{variable}=", written, re.MULTILINE)) == 1


@pytest.mark.parametrize("path", CODE, ids=name)
def test_every_module_with_code_says_what_it_is_for(path: Path):
    code = parsed(path)
    assert not code.body or ast.get_docstring(code)


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_every_test_can_fail(path: Path):
    assert without_assertion(parsed(path)) == []


def test_a_test_that_cannot_fail_is_found():
    code = """
def check(x):
    assert x

def test_by_a_helper():
    check(1)

def test_of_nothing():
    print(1)

class TestGroup:
    async def test_of_nothing_either(self): ...
"""
    assert without_assertion(ast.parse(code)) == ["test_of_nothing", "test_of_nothing_either"]


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_no_two_tests_of_a_module_share_a_name(path: Path):
    names = [node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_nothing_is_left_to_do(path: Path):
    marks = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")  # brackets, so that this line is not found
    assert marks.findall(path.read_text(encoding="utf-8")) == []


def test_the_changelog_tells_the_newest_first():
    written = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", written, re.MULTILINE)
    assert headings
    assert re.match(r"\[?(?:Unreleased|\d+\.\d+\.\d+)\b", headings[0])
