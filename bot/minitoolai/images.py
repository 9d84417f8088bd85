"""What is said to the image endpoints and what comes back: values, without I/O. One request makes one picture.

The sets and ranges are the API's documentation's; a server that breaks them would get an `error` it cannot read.
"""

from dataclasses import dataclass, field
from typing import Final

SCHEDULERS: Final = (
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM++ 2S a",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM fast",
    "LMS Karras",
    "DPM2 Karras",
    "DPM2 a Karras",
    "DPM++ 2S a Karras",
    "DPM++ 2M Karras",
    "DPM++ SDE Karras",
    "DPM++ 2M SDE Karras",
)
DEFAULT_SCHEDULER: Final = "DPM++ SDE"
STEPS: Final = (1, 8)
DEFAULT_STEPS: Final = 4
CFG_SCALE: Final = (1.0, 7.0)
DEFAULT_CFG_SCALE: Final = 2.0
SIDE_PX: Final = (256, 1_344)
DEFAULT_SIDE_PX: Final = 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """One picture. `width` and `height` are pixels."""

    model: str
    prompt: str
    negative_prompt: str | None = None
    scheduler: str = DEFAULT_SCHEDULER
    steps: int = DEFAULT_STEPS
    cfg_scale: float = DEFAULT_CFG_SCALE
    width: int = DEFAULT_SIDE_PX
    height: int = DEFAULT_SIDE_PX


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRef:
    """A job that the API took. `signature` is what entitles to its picture: no log shows it."""

    job_id: str
    signature: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Running:
    """The job is not done: whatever the API says that is neither a success with an address nor an error."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The job is done; `url` is the API's word and has been checked in no way."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The API says `error`: the job ends without a picture. `detail` is for the log, never for people."""

    detail: str


JobState = Running | Ready | Failed
