"""Discord's Markdown as HTML for the page: pure, and safe whatever is put in.

The parsing is markdown-it-py's, with only the rules that Discord has and a few of our own; the HTML is made here, tag
by tag, so that nothing but what `PROTOCOL.md` lists under "HTML" can come out. What Discord's client does is told at
https://support.discord.com/hc/en-us/articles/210298617 and, for mentions and timestamps, at
https://discord.com/developers/docs/reference#message-formatting.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.list import list_block
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

NESTING_LIMIT: Final = 40
_FENCE: Final = re.compile(r"```(?:([A-Za-z0-9_+\-.#]+)[ \t]*\n)?([\s\S]*?[^\s`][\s\S]*?)```")
_FENCE_LINE: Final = re.compile(r"[ \t]*```([A-Za-z0-9_+\-.#]*)[ \t]*\Z")
_LIST_MARKER: Final = re.compile(r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)+\Z")
_LIST_ITEM: Final = re.compile(r"[ \t]*(?:[-*]|\d{1,9}\.)[ \t]+\S")
_HEADING: Final = re.compile(r"(#{1,3})[ \t]+(\S.*)")
_SUBTEXT: Final = re.compile(r"-#[ \t]+(\S.*)")
_QUOTE: Final = re.compile(r">(?:[ \t]|\Z)")
_SPECIAL: Final = re.compile(r"[\n*_~`\\\[\]<>@|!]|https?://")
_BARE: Final = re.compile(r"https?://[^\s<>]+")
_ANGLED: Final = re.compile(r"<(https?://[^\s<>]+)>")
_MENTION: Final = re.compile(r"<(@!?|@&|#)(\d{1,20})>")
_COMMAND: Final = re.compile(r"</([^:<>\n]{1,100}):(\d{1,20})>")
_EMOJI: Final = re.compile(r"<a?:(\w{2,32}):\d{1,20}>", re.ASCII)
_TIME: Final = re.compile(r"<t:(-?\d{1,13})(?::([tTdDfFR]))?>")
_WEB: Final = re.compile(r"https?://[^\s]", re.IGNORECASE)
_KINDS: Final = {"@": "user", "@!": "user", "@&": "role", "#": "channel"}
_SIGNS: Final = {"user": "@", "role": "@", "channel": "#"}
_PIPE: Final = ord("|")
_UNSEEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What mentions are called, by id as text, and who reads: their mentions are marked. `reader` is a user's id."""

    users: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    reader: str = ""
    reader_roles: frozenset[str] = frozenset()

    def of(self, kind: str, identity: str) -> str | None:
        return {"user": self.users, "role": self.roles, "channel": self.channels}[kind].get(identity)

    def concerns(self, kind: str, identity: str) -> bool:
        """Whether such a mention is of the reader."""
        return kind == "everyone" or (kind == "user" and identity == self.reader) or identity in self.reader_roles


NOBODY: Final = Names()


def blocks(text: str, names: Names = NOBODY) -> str:
    """A message's text: paragraphs, headings, lists, quotes and code blocks."""
    return _html(_parsed(text), names)


def line(text: str, names: Names = NOBODY) -> str:
    """One line, as of a quoted message or an embed's title: nothing but what stands inside a line is rendered."""
    return _html(_PARSER.parseInline(" ".join(_tidy(text).split()), {}), names)


@lru_cache(maxsize=128)
def _parsed(text: str) -> tuple[Token, ...]:
    """Parsing is what takes time, and the same messages are shown to every tab and again after each change of place."""
    return tuple(_PARSER.parse(_fences_on_lines(_tidy(text)), {}))


def _tidy(text: str) -> str:
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _fences_on_lines(text: str) -> str:
    """The same with every code block's marks on lines of their own, where Discord allows them anywhere.

    What is quoted is left as it is: the quote's own parse comes here again without its marks.
    """

    def replaced(found: re.Match[str]) -> str:
        start = found.start()
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if before.lstrip().startswith(">"):
            return found[0]
        indent = before if not before.strip() else " " * len(before) if _LIST_MARKER.match(before) else ""
        code = found[2].strip("\n")
        opening = "" if not before.strip() or _LIST_MARKER.match(before) else "\n"
        after = text[found.end() : text.find("\n", found.end()) % (len(text) + 1)]
        last = code.rpartition("\n")[2]
        closing = code[: len(code) - len(last)].rstrip("\n") if not last.strip() else code
        return f"{opening}```{found[1] or ''}\n{closing}\n{indent}```" + (f"\n{indent}" if after.strip() else "")

    return _FENCE.sub(replaced, text)


# Blocks


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A code block, which has to be closed: Discord shows the marks of one that is not."""
    opening = _FENCE_LINE.match(_line(state, start))
    if opening is None:
        return False
    for number in range(start + 1, end):
        closing = _FENCE_LINE.match(_line(state, number))
        if closing is not None and not closing[1]:
            break
    else:
        return False
    if silent:
        return True
    token = state.push("fence", "code", 0)
    token.info = opening[1]
    token.content = state.getLines(start + 1, number, state.sCount[start], False)
    state.line = number + 1
    return True


def _heading(state: StateBlock, start: int, _: int, silent: bool) -> bool:
    found = _HEADING.fullmatch(_line(state, start))
    return found is not None and _lined(state, start, f"h{len(found[1]) + 2}", found[2], silent)


def _subtext(state: StateBlock, start: int, _: int, silent: bool) -> bool:
    found = _SUBTEXT.fullmatch(_line(state, start))
    return found is not None and _lined(state, start, "small", found[1], silent)


def _lined(state: StateBlock, number: int, tag: str, content: str, silent: bool) -> bool:
    """A block of one line."""
    if not silent:
        _push(state, tag, content.rstrip(), number)
        state.line = number + 1
    return True


def _quote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`> ` quotes its line, `>>> ` all that follows; quotes do not nest."""
    if state.env.get("quoted"):
        return False
    first = _line(state, start)
    to_the_end = first.startswith(">>>") and _QUOTE.match(first[2:]) is not None
    if not to_the_end and not _QUOTE.match(first):
        return False
    if silent:
        return True
    if to_the_end:
        quoted = [first[4:], *(_line(state, number, trimmed=False) for number in range(start + 1, end))]
        after = end
    else:
        after = next((n for n in range(start + 1, end) if not _QUOTE.match(_line(state, n))), end)
        quoted = [_line(state, number)[2:] for number in range(start, after)]
    state.push("quote_open", "blockquote", 1)
    state.env["quoted"] = True
    try:
        state.md.block.parse(_fences_on_lines("\n".join(quoted)), state.md, state.env, state.tokens)
    finally:
        state.env["quoted"] = False
    state.push("quote_close", "blockquote", -1)
    state.line = after
    return True


def _list(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """An item must have something in it: a lonely `-` is a dash."""
    return _LIST_ITEM.match(_line(state, start, trimmed=False)) is not None and list_block(state, start, end, silent)


def _paragraph(state: StateBlock, start: int, _: int, __: bool) -> bool:
    """Lines up to the next block. Empty ones stay, and a list's item ends where its indentation does."""
    rules = state.md.block.ruler.getRules("paragraph")
    number = start + 1
    while number < state.lineMax:
        if state.isEmpty(number):
            following = next((n for n in range(number, state.lineMax) if not state.isEmpty(n)), None)
            if following is None or state.sCount[following] < state.blkIndent:
                break
            number = following
        if state.sCount[number] < state.blkIndent or any(rule(state, number, state.lineMax, True) for rule in rules):
            break
        number += 1
    _push(state, "p", state.getLines(start, number, state.blkIndent, False).strip("\n").rstrip(), start)
    state.line = number
    return True


def _push(state: StateBlock, tag: str, content: str, number: int) -> None:
    name = "paragraph" if tag == "p" else "lined"
    state.push(f"{name}_open", tag, 1)
    inline = state.push("inline", "", 0)
    inline.content = content
    inline.map = [number, number + 1]
    inline.children = []
    state.push(f"{name}_close", tag, -1)


def _line(state: StateBlock, number: int, *, trimmed: bool = True) -> str:
    start = state.bMarks[number] + (state.tShift[number] if trimmed else 0)
    return state.src[start : state.eMarks[number]]


# Inside a line


def _text(state: StateInline, silent: bool) -> bool:
    found = _SPECIAL.search(state.src, state.pos)
    end = found.start() if found else state.posMax
    if end == state.pos:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


def _newline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "\n":
        return False
    if not silent:
        state.push("softbreak", "br", 0)
    state.pos += 1
    return True


def _spoiler(state: StateInline, silent: bool) -> bool:
    """Marks that may open and close alike, whatever stands beside them."""
    if silent or not state.src.startswith("||", state.pos):
        return False
    token = state.push("text", "", 0)
    token.content = "||"
    state.delimiters.append(
        Delimiter(marker=_PIPE, length=0, token=len(state.tokens) - 1, end=-1, open=True, close=True)
    )
    state.pos += 2
    return True


def _spoilers_paired(state: StateInline) -> None:
    nested = [meta["delimiters"] for meta in state.tokens_meta if meta and "delimiters" in meta]
    for delimiters in [state.delimiters, *nested]:
        for opening in delimiters:
            if opening.marker == _PIPE and opening.end != -1:
                _becomes(state.tokens[opening.token], "spoiler_open", 1)
                _becomes(state.tokens[delimiters[opening.end].token], "spoiler_close", -1)


def _becomes(token: Token, kind: str, nesting: Any) -> None:
    token.type, token.tag, token.nesting, token.content = kind, "span", nesting, ""


def _bare_link(state: StateInline, silent: bool) -> bool:
    """An address as it stands. What ends a sentence, or closes a bracket opened before it, is none of it."""
    if state.linkLevel or (found := _BARE.match(state.src, state.pos, state.posMax)) is None:
        return False
    url = found[0]
    while url[-1] in ".,:;\"'?!*_~|)]" and not (url[-1] == ")" and url.count("(") >= url.count(")")):
        url = url[:-1]
    return _WEB.match(url) is not None and _linked(state, url, len(url), silent)


def _angled_link(state: StateInline, silent: bool) -> bool:
    found = _ANGLED.match(state.src, state.pos, state.posMax)
    return found is not None and not state.linkLevel and _linked(state, found[1], len(found[0]), silent)


def _linked(state: StateInline, url: str, length: int, silent: bool) -> bool:
    if not silent:
        token = state.push("link_open", "a", 1)
        token.attrs = {"href": url}
        state.push("text", "", 0).content = url
        state.push("link_close", "a", -1)
    state.pos += length
    return True


def _entity(pattern: "re.Pattern[str]", kind: str) -> Callable[[StateInline, bool], bool]:
    """A rule for what stands in angle brackets; its groups go with the token."""

    def rule(state: StateInline, silent: bool) -> bool:
        found = pattern.match(state.src, state.pos, state.posMax)
        if found is None:
            return False
        if not silent:
            token = state.push(kind, "", 0)
            token.content = found[0]
            token.meta = {"groups": found.groups()}
        state.pos = found.end()
        return True

    return rule


def _made() -> MarkdownIt:
    parser = MarkdownIt("zero", {"html": False, "breaks": True, "maxNesting": NESTING_LIMIT})
    parser.validateLink = lambda url: _WEB.match(url) is not None  # type: ignore[method-assign]  # its documented hook
    parser.enable(["backticks", "emphasis", "strikethrough", "escape", "link", "balance_pairs"])
    block = parser.block.ruler
    ends: RuleOptionsType = {"alt": ["paragraph"]}
    block.at("paragraph", _paragraph)
    block.before("paragraph", "discord_fence", _fence, ends)
    block.before("paragraph", "discord_quote", _quote, ends)
    block.before("paragraph", "discord_subtext", _subtext, ends)
    block.before("paragraph", "discord_list", _list, ends)
    block.before("paragraph", "discord_heading", _heading, ends)
    inline = parser.inline.ruler
    inline.at("text", _text)
    inline.before("text", "discord_newline", _newline)
    for kind, pattern in {"mention": _MENTION, "command": _COMMAND, "emoji": _EMOJI, "time": _TIME}.items():
        inline.push(f"discord_{kind}", _entity(pattern, kind))
    inline.push("discord_everyone", _entity(re.compile(r"@(everyone|here)\b"), "everyone"))
    inline.push("discord_angled", _angled_link)
    inline.push("discord_bare", _bare_link)
    inline.push("discord_spoiler", _spoiler)
    parser.inline.ruler2.after("balance_pairs", "discord_spoilers", _spoilers_paired)
    return parser


_PARSER: Final = _made()


# HTML


_SPOILER: Final = '<span class="md-spoiler" role="button" tabindex="0" aria-expanded="false" aria-label="Spoiler">'
_CLASSES: Final = {"small": "md-subtext", "h3": "md-h1", "h4": "md-h2", "h5": "md-h3"}


def _html(tokens: Iterable[Token], names: Names) -> str:
    return "".join(_tags(tokens, names))


def _tags(tokens: Iterable[Token], names: Names) -> Iterable[str]:
    link = ""
    for token in tokens:
        if token.type == "link_open":  # links do not nest
            link = "a" if _WEB.match(str(token.attrs.get("href", ""))) else "span"
            yield _link_tag(str(token.attrs["href"])) if link == "a" else "<span>"
        elif token.type == "link_close":
            yield f"</{link}>"
        elif token.type == "inline":
            yield _html(token.children or [], names)
        elif token.type in _PLAIN:
            yield _PLAIN[token.type]
        elif token.type in _MADE:
            yield _MADE[token.type](token, names)
        else:
            yield escape(token.content)


def _emphasis(token: Token, _: Names) -> str:
    tag = "u" if token.markup == "__" else "strong" if token.markup == "**" else "em"
    return f"<{tag}>" if token.nesting == 1 else f"</{tag}>"


def _paragraph_tag(token: Token, _: Names) -> str:
    if token.hidden:
        return ""
    return '<p dir="auto">' if token.nesting == 1 else "</p>"


def _lined_tag(token: Token, _: Names) -> str:
    if token.nesting == -1:
        return f"</{token.tag}>"
    return f'<{token.tag} class="{_CLASSES[token.tag]}" dir="auto">'


def _numbers(token: Token, _: Names) -> str:
    start = int(str(token.attrs.get("start", 1)))
    return "<ol>" if start == 1 else f'<ol start="{start}">'


def _code_block(token: Token, _: Names) -> str:
    language = f' data-language="{escape(token.info)}"' if token.info else ""
    return f'<pre class="md-code" dir="ltr"{language}><code>{escape(token.content.rstrip(chr(10)))}</code></pre>'


def _link_tag(url: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow" target="_blank">'


def _mention(token: Token, names: Names) -> str:
    sign, identity = token.meta["groups"]
    kind = _KINDS[sign]
    name = names.of(kind, identity)
    return _mentioned(kind, identity, f"{_SIGNS[kind]}{name if name is not None else f'unknown-{kind}'}", names)


def _mentioned(kind: str, identity: str, text: str, names: Names) -> str:
    mine = " md-me" if names.concerns(kind, identity) else ""
    return f'<span class="md-mention{mine}" data-kind="{kind}" data-id="{escape(identity)}">{escape(text)}</span>'


def _command(token: Token, names: Names) -> str:
    name, identity = token.meta["groups"]
    return _mentioned("command", identity, f"/{name}", names)


def _everyone(token: Token, names: Names) -> str:
    return _mentioned("everyone", "", token.content, names)


def _emoji(token: Token, _: Names) -> str:
    return f'<span class="md-emoji">:{escape(token.meta["groups"][0])}:</span>'


def _time(token: Token, _: Names) -> str:
    unix, style = token.meta["groups"]
    try:
        moment = datetime.fromtimestamp(int(unix), UTC)
    except (ValueError, OverflowError, OSError):  # beyond the years that there are
        return escape(token.content)
    words = f"{moment.day} {moment:%B} {moment.year} {moment:%H:%M} UTC"
    return (
        f'<time class="md-time" datetime="{moment.isoformat().replace("+00:00", "Z")}" data-unix="{int(unix)}" '
        f'data-style="{style or "f"}">{words}</time>'
    )


_PLAIN: Final[Mapping[str, str]] = {
    "softbreak": "<br>",
    "hardbreak": "<br>",
    "s_open": "<s>",
    "s_close": "</s>",
    "spoiler_open": _SPOILER,
    "spoiler_close": "</span>",
    "quote_open": '<blockquote dir="auto">',
    "quote_close": "</blockquote>",
    "bullet_list_open": "<ul>",
    "bullet_list_close": "</ul>",
    "ordered_list_close": "</ol>",
    "list_item_open": '<li dir="auto">',
    "list_item_close": "</li>",
}
_MADE: Final[Mapping[str, Callable[[Token, Names], str]]] = {
    "strong_open": _emphasis,
    "strong_close": _emphasis,
    "em_open": _emphasis,
    "em_close": _emphasis,
    "paragraph_open": _paragraph_tag,
    "paragraph_close": _paragraph_tag,
    "lined_open": _lined_tag,
    "lined_close": _lined_tag,
    "ordered_list_open": _numbers,
    "code_inline": lambda token, _: f"<code>{escape(token.content)}</code>",
    "fence": _code_block,
    "mention": _mention,
    "command": _command,
    "everyone": _everyone,
    "emoji": _emoji,
    "time": _time,
}
