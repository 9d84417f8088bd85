"""What is said to the chat endpoint and what comes back: values, without I/O."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["developer", "user", "assistant"]
Detail = Literal["auto", "high", "low"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """An image the API fetches itself. `url` is https; jpg, png, webp or gif."""

    url: str
    detail: Detail = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message of the conversation. Images are allowed in a user's message only, after its text."""

    role: Role
    text: str
    images: tuple[ImagePart, ...] = ()

    def __post_init__(self) -> None:
        if self.images and self.role != "user":
            raise ValueError("only a user's message carries images")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """`temperature` 0 to 2; `max_completion_tokens` bounds what the model may write."""

    model: str
    messages: tuple[Message, ...]
    temperature: float
    max_completion_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The model ended: `stop`, `length` (its limit was reached), `content_filter`, or another word of OpenAI's."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The API's own count, in tokens. `cached_tokens` are part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


ChatEvent = TextDelta | Finished | Usage
