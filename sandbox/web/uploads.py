"""Files that the page has sent and not used yet."""

import io
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image, UnidentifiedImageError

from sandbox.discord.cdn import Upload
from sandbox.discord.places import DEFAULT_UPLOAD_LIMIT_BYTES
from sandbox.discord.refusals import Json

WAITING_LIMIT_BYTES: Final = 64 * 1024 * 1024
WAITING_S: Final = 3_600.0
NAME_CHARACTERS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """One file. `since_s` is of a monotonic clock; `size` is an image's width and height."""

    id: str
    name: str
    content: bytes
    content_type: str
    since_s: float
    size: tuple[int, int] | None

    def json(self) -> Json:
        width, height = self.size or (None, None)
        return {
            "id": self.id,
            "name": self.name,
            "size": len(self.content),
            "content_type": self.content_type,
            "width": width,
            "height": height,
            "url": f"/api/upload/{self.id}",
        }


class Uploads:
    """The oldest make room for new ones."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()

    def add(self, name: str, content: bytes, content_type: str) -> Waiting:
        """Raises ValueError for a file that Discord would not take."""
        if len(content) > DEFAULT_UPLOAD_LIMIT_BYTES:
            raise ValueError(
                f"{name} is larger than the {DEFAULT_UPLOAD_LIMIT_BYTES // 1024**2} MiB that Discord takes"
            )
        if not content:
            raise ValueError(f"{name} is empty")
        self._forget()
        added = Waiting(
            id=secrets.token_urlsafe(12),
            name=name[-NAME_CHARACTERS:] or "file",
            content=content,
            content_type=content_type,
            since_s=self._now_s(),
            size=_size(content) if content_type.startswith("image/") else None,
        )
        self._waiting[added.id] = added
        while sum(len(each.content) for each in self._waiting.values()) > WAITING_LIMIT_BYTES:
            self._waiting.popitem(last=False)
        return added

    def get(self, identity: str) -> Waiting | None:
        self._forget()
        return self._waiting.get(identity)

    def used(self, identities: list[str]) -> None:
        for identity in identities:
            self._waiting.pop(identity, None)

    def _forget(self) -> None:
        """What has waited too long."""
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if self._now_s() - oldest.since_s <= WAITING_S:
                return
            del self._waiting[oldest.id]


def as_upload(waiting: Waiting, *, description: str | None, spoiler: bool) -> Upload:
    """As Discord's client sends it: a spoiler is a matter of the name."""
    name = f"SPOILER_{waiting.name}" if spoiler and not waiting.name.startswith("SPOILER_") else waiting.name
    return Upload(name, waiting.content, waiting.content_type, description or None)


def _size(content: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
