"""Discord's Markdown as the page shows it: each rule by example, and that no input makes anything unsafe."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.web.markdown import Names, blocks, line

NAMES = Names(
    users={"1": "Dana", "2": "<i>Noam"}, roles={"3": "crew"}, channels={"4": "general"}, reader="1", reader_roles={"3"}
)
LINK = 'rel="noopener noreferrer nofollow" target="_blank"'


def p(html: str) -> str:
    return f'<p dir="auto">{html}</p>'


def code(text: str, language: str = "") -> str:
    named = f' data-language="{language}"' if language else ""
    return f'<pre class="md-code" dir="ltr"{named}><code>{text}</code></pre>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**a** *b* _c_ ***d***", "<strong>a</strong> <em>b</em> <em>c</em> <em><strong>d</strong></em>"),
        ("__a__ ~~b~~ `c*d*`", "<u>a</u> <s>b</s> <code>c*d*</code>"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        (r"\*no\* \# no", "*no* # no"),
        ("a\nb\n\n\nc", "a<br>b<br><br><br>c"),
        ("#no heading\n-\n- ", "#no heading<br>-<br>-"),
        ("|| a ", "|| a"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](data:text/html,y) <mailto:a@b.c>", "[x](data:text/html,y) &lt;mailto:a@b.c&gt;"),
        ("<:smile:123>", '<span class="md-emoji">:smile:</span>'),
        ("&amp; <b>", "&amp;amp; &lt;b&gt;"),
    ],
)
def test_what_stands_inside_a_line(text: str, html: str):
    assert blocks(text) == p(html)


def test_a_spoiler_waits_to_be_opened():
    assert re.fullmatch(
        r'<p dir="auto"><span class="md-spoiler" role="button"[^>]*>a <em>b</em></span></p>', blocks("||a *b*||")
    )


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("[a](https://x.y)", "https://x.y", "a"),
        ('[a](http://x.y "title")', "http://x.y", "a"),
        ("<https://x.y>", "https://x.y", "https://x.y"),
        ("https://x.y/a_b_c", "https://x.y/a_b_c", "https://x.y/a_b_c"),
    ],
)
def test_links_lead_to_the_web_alone(text: str, address: str, shown: str):
    assert blocks(text) == p(f'<a href="{address}" {LINK}>{shown}</a>')


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("(see https://x.y/z).", "https://x.y/z"),
        ("https://x.y/Z_(a)", "https://x.y/Z_(a)"),
        ("**https://x.y**", "https://x.y"),
        ("https://x.y/?a=1&b=2, and", "https://x.y/?a=1&amp;b=2"),
    ],
)
def test_a_bare_address_ends_before_its_sentence_does(text: str, address: str):
    assert f'<a href="{address}"' in blocks(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# a", '<h3 class="md-h1" dir="auto">a</h3>'),
        ("### a *b*", '<h5 class="md-h3" dir="auto">a <em>b</em></h5>'),
        ("#### a", p("#### a")),
        ("-# a", '<small class="md-subtext" dir="auto">a</small>'),
        ("> a\n> b\nc", f'<blockquote dir="auto">{p("a<br>b")}</blockquote>{p("c")}'),
        (">no", p("&gt;no")),
        ("> > a", f'<blockquote dir="auto">{p("&gt; a")}</blockquote>'),
        (">>> a\n\nb", f'<blockquote dir="auto">{p("a<br><br>b")}</blockquote>'),
        ("- a\n- b", '<ul><li dir="auto">a</li><li dir="auto">b</li></ul>'),
        ("3. a\n4. b", '<ol start="3"><li dir="auto">a</li><li dir="auto">b</li></ol>'),
        ("* a\n  * b", '<ul><li dir="auto">a<ul><li dir="auto">b</li></ul></li></ul>'),
        ("a\n- b\nc", f'{p("a")}<ul><li dir="auto">b</li></ul>{p("c")}'),
    ],
)
def test_blocks_begin_lines(text: str, html: str):
    assert blocks(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("```py\nx = 1 < 2\n```", code("x = 1 &lt; 2", "py")),
        ("```\n**a**\n\n  b\n```", code("**a**\n\n  b")),
        ("```a b\nc```", code("a b\nc")),
        ("```x```", code("x")),
        ("a ```py\nb``` c", p("a") + code("b", "py") + p(" c")),
        ("> ```py\n> a\n> ```\nb", f'<blockquote dir="auto">{code("a", "py")}</blockquote>{p("b")}'),
        ("- a\n  ```\n  b\n  ```\n- c", f'<ul><li dir="auto">a{code("b")}</li><li dir="auto">c</li></ul>'),
        ("```never closed\na", p("```never closed<br>a")),
    ],
)
def test_a_code_block_is_shown_as_it_is_with_its_language(text: str, html: str):
    assert blocks(text) == html


def test_mentions_carry_names_and_mark_who_reads():
    shown = blocks("<@1> <@!2> <@&3> <#4> <#9> </history show:5> @here", NAMES)
    assert '<span class="md-mention md-me" data-kind="user" data-id="1">@Dana</span>' in shown
    assert '<span class="md-mention" data-kind="user" data-id="2">@&lt;i&gt;Noam</span>' in shown
    assert '<span class="md-mention md-me" data-kind="role" data-id="3">@crew</span>' in shown
    assert '<span class="md-mention" data-kind="channel" data-id="4">#general</span>' in shown
    assert ">#unknown-channel</span>" in shown
    assert ">/history show</span>" in shown
    assert '<span class="md-mention md-me" data-kind="everyone" data-id="">@here</span>' in shown


def test_a_moment_is_said_in_words_until_the_page_knows_better():
    assert blocks("<t:1767225600:R>") == p(
        '<time class="md-time" datetime="2026-01-01T00:00:00Z" data-unix="1767225600" data-style="R">'
        "1 January 2026 00:00 UTC</time>"
    )
    assert blocks("<t:9999999999999>") == p("&lt;t:9999999999999&gt;")


def test_one_line_renders_nothing_that_takes_more_than_a_line():
    assert line("# a\n- **b**\n```c```") == "# a - <strong>b</strong> <code>c</code>"


# Whatever is put in

ALLOWED = {
    *("p", "br", "strong", "em", "u", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "span", "time", "small"),
    *("h3", "h4", "h5"),
}
ATTRIBUTES = {
    *("class", "dir", "data-language", "role", "tabindex", "aria-expanded", "aria-label", "href", "rel", "target"),
    *("data-kind", "data-id", "datetime", "data-unix", "data-style", "start"),
}


class Reader(HTMLParser):
    """Reads as a browser does; `wrong` is what is not ours, leads elsewhere than to the web, or is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [value or "" for name, value in attrs if name == "href"]
        if tag not in ALLOWED or (tag == "a") != bool(links):
            self.wrong.append(tag)
        self.wrong += [name for name, _ in attrs if name not in ATTRIBUTES]
        self.wrong += [link for link in links if not re.match(r"https?://", link, re.IGNORECASE)]
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def wrongs(html: str) -> list[str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.wrong + reader.open


PIECES = st.sampled_from(
    [
        *(
            "*",
            "**",
            "_",
            "__",
            "~~",
            "||",
            "`",
            "```",
            "```py\n",
            "\n",
            "\n\n",
            "> ",
            ">>> ",
            "# ",
            "-# ",
            "- ",
            "1. ",
        ),
        *("[", "](", ")", "<", ">", "&lt;", "&#x3c;", '"', "'", "\\", " ", "  ", "a", "javascript:", "https://", "x.y"),
        *("<script>", "</span>", "<img src=x onerror=alert(1)>", '" onclick="x', "data:text/html,", "<@1>", "<t:1:R>"),
        *("</a:1>", "<:e1:2>", "@everyone", "\x00", "\r", "\u202e", "\t", "JavaScript:", "vbscript:", "![", "]: "),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join)


@given(TEXTS)
def test_nothing_unsafe_comes_out(text: str):
    assert wrongs(blocks(text, NAMES)) == []
    assert wrongs(line(text, NAMES)) == []


@pytest.mark.parametrize(
    "html", ["<script>", "<!-- -->", '<p onclick="x">a</p>', '<a href="javascript:x">a</a>', "<p>", "</p>"]
)
def test_what_is_unsafe_is_found(html: str):
    assert wrongs(html) != []


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs", "Cc"]), max_size=60))
def test_a_code_block_loses_nothing(text: str):
    body = text.replace("`", "'").strip()
    if body:
        shown: list[str] = []
        reader = HTMLParser()
        reader.handle_data = shown.append  # type: ignore[method-assign]
        reader.feed(blocks(f"```\n{body}\n```"))
        reader.close()
        assert "".join(shown) == body


def test_the_longest_text_takes_no_time():
    for piece in ("> ", "- ", "||", "*a", "[", "```", "_*~~", "https://", "<@1", "`a"):
        assert wrongs(blocks((piece * 4_096)[:4_096])) == []
