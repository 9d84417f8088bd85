"""What the loopback API is told about pictures, and what it remembers of an order: values."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal["png", "jpeg", "webp", "gif"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """How one request is answered, in place of the documented way.

    - `delay_s` passes first; then it waits for `gate`, or, `held`, for `MiniToolAIServer.release_pictures`.
    - `hang_up` closes the connection without an answer.
    - `status`, `headers`, `body` (JSON for an object, else text or bytes): with another status than 200, or with a
      `body`, they are all that is sent. Otherwise the documented answer follows.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    hang_up: bool = False
    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    held: bool = False

    @property
    def replaces(self) -> bool:
        """Whether the documented answer is not given."""
        return self.hang_up or self.status != 200 or self.body is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What the address of a finished picture leads to: the picture, as `format`, unless `body` gives other bytes.

    - `redirects`: so many redirects come first; in each place `{next}` stands for the server's own next address.
    - `turn`: delay, gate, hang-up, or another answer altogether, of the request that the redirects lead to.
    - `content_type`: in place of the format's.
    - `cut_to` sends so many bytes of it, as if that were all; `break_after` closes the connection after so many.
    - `padded_to` adds zeros behind the picture's end up to so many bytes.
    - `endless` begins again when it is sent, for ever.
    - `chunk_bytes` go out at a time, `chunk_delay_s` apart; `stall_after` so many bytes it stops, until
      `MiniToolAIServer.release_pictures`.
    """

    body: bytes | None = None
    format: Format = "png"
    redirects: Sequence[str] = ()
    turn: Turn = field(default_factory=Turn)
    content_type: str | None = None
    cut_to: int | None = None
    break_after: int | None = None
    padded_to: int = 0
    endless: bool = False
    chunk_bytes: int = 64 * 1024
    chunk_delay_s: float = 0.0
    stall_after: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureScript:
    """One order.

    - `submit`: how the submission is answered; a job is made, and billed, only by the documented answer.
    - `refused` answers the submission with the documented `"status": "error"`.
    - `answer_lost`: the job is made and billed, and the connection closed instead of the answer.
    - `ready_after_s` seconds after the submission (None: the server's `picture_s`) the job is done, and not before
      `gate` is set, or, `held`, `MiniToolAIServer.release_pictures` called.
    - `error`: it is done without a picture, with this message, and costs nothing.
    - `polls`: how the first questions about it are answered, whether it is done or not.
    - `running`: what is said while it is not done. The guide does not show it.
    - `url`: the address that is told, `{url}` standing for the true one; None for no address.
    """

    submit: Turn = field(default_factory=Turn)
    refused: bool = False
    answer_lost: bool = False
    ready_after_s: float | None = None
    gate: asyncio.Event | None = None
    held: bool = False
    error: str | None = None
    polls: Sequence[Turn] = ()
    running: object = field(default_factory=lambda: {"status": "processing", "image_url": None, "message": None})
    url: str | None = "{url}"
    serves: Served = field(default_factory=Served)


@dataclass(kw_only=True, slots=True, eq=False)
class PictureOrder:
    """A submission and what became of it. Times are of `time.monotonic`; None where it did not come to that.

    `headers` lack the API key. `status` is 0 until the submission is answered. `ready_at` is when a job was done,
    which for one behind a gate is noticed at a question about it. `polled_at` has every question; `hasty` counts those
    that were refused as too early. `downloads_left` counts the clients that left in a download, `client_left` is about
    the submission. `billed_nano` is what the API took for it, in nano-dollars.
    """

    number: int
    body: dict[str, Any]
    headers: dict[str, str]
    peer_port: int
    arrived_at: float
    status: int = 0
    job_id: str | None = None
    url: str | None = None
    ready_at: float | None = None
    told_ready_at: float | None = None
    polled_at: list[float] = field(default_factory=list)
    hasty: int = 0
    downloaded_at: list[float] = field(default_factory=list)
    downloads_left: int = 0
    bytes_sent: int = 0
    billed_nano: int = 0
    client_left: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def polls(self) -> int:
        """How often somebody asked how far it is."""
        return len(self.polled_at)

    @property
    def first_download_at(self) -> float | None:
        """When the picture was asked for."""
        return self.downloaded_at[0] if self.downloaded_at else None

    async def until(self, holds: "Callable[[PictureOrder], bool]", *, timeout_s: float = 30.0) -> None:
        """Return once a rule holds that is about questions, downloads or the end. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while not holds(self):
                await self._changed.wait()

    def note(self, times: list[float], at: float) -> None:
        """Something happened `at` that one of the lists of times is about."""
        times.append(at)
        self._tell()

    def finish(self, status: int) -> None:
        """The submission is over."""
        self.status = status
        self.ended.set()
        self._tell()

    def leave(self) -> None:
        """Whoever downloaded it left before its end."""
        self.downloads_left += 1
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
