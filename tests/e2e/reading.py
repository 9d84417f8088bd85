"""What a reader sees, judged without the bot's own code."""

import io
import re
from collections.abc import Iterable

from PIL import Image

from sandbox.discord.cdn import Upload
from sandbox.discord.messages import Message

WRITING = "✍️"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def open_fence(text: str) -> str | None:
    """The fence that `text` leaves open, by CommonMark's rule, or None."""
    fence: str | None = None
    for line in text.split("\n"):
        found = _FENCE.fullmatch(line)
        if found is None:
            continue
        mark, rest = found.groups()
        if fence is None:
            if mark[0] == "~" or "`" not in rest:
                fence = mark
        elif mark.startswith(fence) and not rest.strip():
            fence = None
    return fence


def assert_readable(message: Message) -> None:
    """Every state that the message ever had fits Discord, stands alone, and pings nobody."""
    for state in message.edits:
        text = state.content
        assert len(text.encode("utf-16-le")) // 2 <= 2_000
        assert open_fence(text) is None, f"a fence is left open in {text[-200:]!r}"
    assert message.mentions_pinged == set()


def without_subtext(text: str) -> str:
    """The answer's own words: without the mark of writing, notices and footer."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("-# ")).rstrip("\n")


def footer_of(message: Message) -> str:
    """The last line, which is the footer of an answer that has ended."""
    return message.content.rsplit("\n", 1)[-1]


def asked(body: dict[str, object]) -> str:
    """All text that a request to the API puts before the model."""
    messages = body["messages"]
    assert isinstance(messages, list)
    return "\n".join(_text_of(message["content"]) for message in messages)


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def pictures_in(body: dict[str, object]) -> list[str]:
    """The addresses of the pictures that a request to the API carries."""
    messages = body["messages"]
    assert isinstance(messages, list)
    parts: Iterable[dict[str, dict[str, str]]] = (
        part for message in messages if isinstance(message["content"], list) for part in message["content"]
    )
    return [part["image_url"]["url"] for part in parts if "image_url" in part]


def picture(name: str = "cat.png", colour: str = "red") -> Upload:
    """A small picture as somebody's client uploads it."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(data, format="PNG")
    return Upload(name=name, content=data.getvalue(), content_type="image/png")
