"""What somebody orders: a checked value, freed from Discord's objects and from the API's."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from bot.answers.question import Asker, Place
from bot.errors import ChoiceUnknown, OutOfRange, PromptEmpty, PromptTooLong
from bot.minitoolai.images import (
    CFG_SCALE,
    DEFAULT_CFG_SCALE,
    DEFAULT_SCHEDULER,
    DEFAULT_STEPS,
    SCHEDULERS,
    SIDE_PX,
    STEPS,
    ImageRequest,
)

ShapeName = Literal["square", "portrait", "landscape", "wide"]

SHAPES: Final[dict[ShapeName, tuple[int, int]]] = {
    "square": (1_024, 1_024),
    "portrait": (832, 1_216),
    "landscape": (1_216, 832),
    "wide": (1_344, 768),
}
"""Width and height in pixels: about a megapixel each, in multiples of 64, as the models were trained on."""

COUNT: Final = (1, 4)
PROMPT_LIMIT: Final = 2_000
"""Characters, of the prompt and of the negative one each. The API documents no limit; its models read about 75 tokens
of a prompt well, and what is stored for years and shown in a form needs one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What is drawn, the same for all of an order's pictures. Checked at birth.

    Raises:
        PromptEmpty, PromptTooLong, OutOfRange, ChoiceUnknown: its kind says what is wrong. Whether the model exists,
            and may be used there, is the catalogue's and the server's to say.
    """

    prompt: str
    model: str
    negative_prompt: str | None = None
    scheduler: str = DEFAULT_SCHEDULER
    steps: int = DEFAULT_STEPS
    cfg_scale: float = DEFAULT_CFG_SCALE
    width: int = SHAPES["square"][0]
    height: int = SHAPES["square"][1]

    def __post_init__(self) -> None:
        if not _has_words(self.prompt):
            raise PromptEmpty("picture")
        for text in (self.prompt, self.negative_prompt or ""):
            if len(text) > PROMPT_LIMIT:
                raise PromptTooLong(length=len(text), limit=PROMPT_LIMIT, unit="characters", of="picture")
        if self.scheduler not in SCHEDULERS:
            raise ChoiceUnknown("scheduler", self.scheduler, known=SCHEDULERS)
        _check_range("steps", self.steps, *STEPS)
        _check_range("cfg_scale", self.cfg_scale, *CFG_SCALE)
        _check_range("width", self.width, *SIDE_PX)
        _check_range("height", self.height, *SIDE_PX)

    @property
    def shape(self) -> ShapeName | None:
        """The name of its size, None for any other."""
        return next((name for name, size in SHAPES.items() if size == (self.width, self.height)), None)

    @property
    def request(self) -> ImageRequest:
        """The same, for the API."""
        return ImageRequest(
            model=self.model,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            scheduler=self.scheduler,
            steps=self.steps,
            cfg_scale=self.cfg_scale,
            width=self.width,
            height=self.height,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One order of `count` pictures. `id` is the interaction's snowflake and keys everything that the order causes:
    its hold, its rows, its buttons.

    `application_id` and `token` are the interaction's: for 15 minutes they reach its reply, whose message Discord named
    when it was deferred (`message_id`). After that the bot's own routes do, where it is a member (`place.bot_present`)
    and the reply is not private. `upload_limit_bytes` is what Discord takes for one file there.
    """

    id: int
    asker: Asker
    place: Place
    picture: Picture
    count: int
    spoiler: bool
    private: bool
    application_id: int
    token: str
    message_id: int
    upload_limit_bytes: int

    def __post_init__(self) -> None:
        _check_range("count", self.count, *COUNT)


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise OutOfRange(option, low=low, high=high)


def _has_words(text: str) -> bool:
    """Whether anything in it can be seen: zero-width characters alone describe no picture."""
    return any(not (one.isspace() or unicodedata.category(one) in ("Cc", "Cf")) for one in text)
