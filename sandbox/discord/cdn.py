"""Files and their signed addresses.

Discord signs an attachment's address with `ex` (expiry) and `is` (issue), unix seconds in hex, and `hm`, a keyed hash
of the rest; it answers 404 once `ex` has passed. Reading a message again gives a freshly signed address.
"""

import hashlib
import hmac
import io
import mimetypes
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from PIL import Image, UnidentifiedImageError

from sandbox.clock import Clock
from sandbox.discord.refusals import Json

LIFETIME_S: Final = 24 * 60 * 60
STORE_LIMIT_BYTES: Final = 512 * 1024 * 1024
"""What the sandbox keeps in memory; the oldest files go first."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way to Discord. `content_type` is guessed from the name where it is not given."""

    name: str
    content: bytes
    content_type: str = ""
    description: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A stored file. `path` is its place below the CDN's root, unsigned."""

    id: int
    filename: str
    content_type: str
    size: int
    path: str
    description: str | None = None
    width: int | None = None
    height: int | None = None
    ephemeral: bool = False


class Cdn:
    """Keeps files' bytes and signs their addresses. `base_url` is set once the server is bound."""

    def __init__(self, clock: Clock, *, lifetime_s: int = LIFETIME_S) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._files: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._stored_bytes = 0
        self.lifetime_s = lifetime_s
        self.base_url = ""

    def store(self, upload: Upload, *, attachment_id: int, owner_id: int, ephemeral: bool = False) -> Attachment:
        """`owner_id` is the channel of a message's attachment, the application of an interaction's (`ephemeral`)."""
        folder = "ephemeral-attachments" if ephemeral else "attachments"
        filename = re.sub(r"[^\w.\-]+", "_", upload.name) or "unknown"
        path = f"{folder}/{owner_id}/{attachment_id}/{filename}"
        content_type = upload.content_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
        self._keep(path, upload.content, content_type)
        width, height = _dimensions(upload.content) if content_type.startswith("image/") else (None, None)
        return Attachment(
            id=attachment_id,
            filename=filename,
            content_type=content_type,
            size=len(upload.content),
            path=path,
            description=upload.description,
            width=width,
            height=height,
            ephemeral=ephemeral,
        )

    def payload(self, attachment: Attachment) -> Json:
        """Discord's attachment object with an address signed now."""
        url = self.url(attachment)
        payload: Json = {
            "id": str(attachment.id),
            "filename": attachment.filename,
            "size": attachment.size,
            "url": url,
            "proxy_url": url,
            "content_type": attachment.content_type,
        }
        if attachment.width is not None:
            payload |= {"width": attachment.width, "height": attachment.height}
        if attachment.description is not None:
            payload["description"] = attachment.description
        if attachment.ephemeral:
            payload["ephemeral"] = True
        return payload

    def url(self, attachment: Attachment) -> str:
        now = int(self._clock.now())
        issued, expires = f"{now:x}", f"{now + self.lifetime_s:x}"
        signature = self._signature(attachment.path, issued, expires)
        return f"{self.base_url}/{attachment.path}?ex={expires}&is={issued}&hm={signature}&"

    def content(self, attachment: Attachment) -> bytes | None:
        """The stored bytes, None if they had to go."""
        stored = self._files.get(attachment.path)
        return stored[0] if stored else None

    def stored(self) -> list[tuple[str, bytes, str]]:
        """Path, bytes and type of every file that is kept, oldest first."""
        return [(path, content, content_type) for path, (content, content_type) in self._files.items()]

    def at(self, path: str) -> tuple[bytes, str] | None:
        """Bytes and type of the file at `path`, None where there is none."""
        return self._files.get(path)

    def put_back(self, path: str, content: bytes, content_type: str) -> None:
        """Keep a file that an earlier run had."""
        self._keep(path, content, content_type)

    @property
    def key(self) -> bytes:
        """What addresses are signed with. Set it, and those that an earlier run signed hold for as long as they say."""
        return self._key

    @key.setter
    def key(self, key: bytes) -> None:
        self._key = key

    async def handle(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        stored = self._files.get(path)
        if stored is None or not self._signed(path, request):
            return web.Response(status=404, text="This content is no longer available.")
        content, content_type = stored
        return web.Response(body=content, headers={"Content-Type": content_type})

    def _signed(self, path: str, request: web.Request) -> bool:
        issued, expires = request.query.get("is", ""), request.query.get("ex", "")
        if not hmac.compare_digest(self._signature(path, issued, expires), request.query.get("hm", "")):
            return False
        return self._clock.now() < int(expires, 16)

    def _signature(self, path: str, issued: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}?{issued}&{expires}".encode(), hashlib.sha256).hexdigest()

    def _keep(self, path: str, content: bytes, content_type: str) -> None:
        self._files[path] = (content, content_type)
        self._stored_bytes += len(content)
        while self._stored_bytes > STORE_LIMIT_BYTES and len(self._files) > 1:
            _, (gone, _) = self._files.popitem(last=False)
            self._stored_bytes -= len(gone)


def _dimensions(content: bytes) -> tuple[int | None, int | None]:
    """Width and height in pixels; Discord gives none for what it cannot read as an image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, None
