"""Rules that the page's files keep, read from the source; no browser is needed."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "sandbox" / "web" / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
STYLES = sorted(STATIC.rglob("*.css"))
SVG_NAMESPACE = "http://www.w3.org/2000/svg"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return path.relative_to(STATIC).as_posix()


def test_html_reaches_the_page_in_one_place_only():
    writes = re.compile(r"\.(innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|\beval\(|new Function|setHTML")
    assert [shown(path) for path in SCRIPTS if writes.search(_code(read(path)))] == ["js/render/markdown.js"]


def _code(source: str) -> str:
    """Without comments, which may well speak of what the code does not do."""
    return re.sub(r"/\*.*?\*/|^\s*//.*$", "", source, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", SCRIPTS + STYLES, ids=shown)
def test_a_file_begins_by_saying_what_it_is_for(path: Path):
    assert read(path).startswith(("/*", "//"))


@pytest.mark.parametrize("path", [STATIC / "index.html", *SCRIPTS, *STYLES], ids=shown)
def test_nothing_comes_from_another_host(path: Path):
    addresses = re.findall(r"""["'(](https?:)?//[\w.]+""", read(path).replace(SVG_NAMESPACE, ""))
    assert addresses == []


def test_markup_has_neither_styles_nor_scripts_of_its_own():
    markup = read(STATIC / "index.html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)", markup)


@pytest.mark.parametrize("path", SCRIPTS, ids=shown)
def test_every_import_is_there(path: Path):
    for name in re.findall(r"""from "(\.[^"]+)";""", read(path)):
        assert (path.parent / name).resolve().is_file(), name


@pytest.mark.parametrize("path", STYLES, ids=shown)
def test_every_style_sheet_is_linked(path: Path):
    assert f'href="/static/{shown(path)}"' in read(STATIC / "index.html")
