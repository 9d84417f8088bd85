"""What the page asks for, read field by field: whatever does not fit is a sentence and a status."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.discord.cdn import Upload
from sandbox.discord.messages import Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.discord.refusals import Json
from sandbox.web.places import sees
from sandbox.web.scene import Scene
from sandbox.web.uploads import Uploads, as_upload

FILES_LIMIT: Final = 10
TEXT_CHARACTERS: Final = 16_000
"""Of any text in a request; Discord's own limits are narrower and told by what is asked for."""


class Problem(Exception):
    """An answer of 400 or above: `status`, words for who looks at the page, and the option or field that is wrong."""

    def __init__(self, status: int, words: str, field: str | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.field = field


class Asked:
    """One request's JSON. Every method raises Problem."""

    def __init__(self, scene: Scene, uploads: Uploads, body: Any) -> None:
        if not isinstance(body, Mapping):
            raise Problem(400, "The request has to be a JSON object.")
        self._scene = scene
        self._uploads = uploads
        self._body = body
        self.taken: list[str] = []
        """The uploads that were referred to."""

    def person(self) -> Person:
        person = self._scene.people.get(_number(self._body.get("person")))
        if person is None:
            raise Problem(404, "There is no such person to be.")
        return person

    def channel(self, person: Person) -> Channel:
        channel = self._scene.world.channels.get(_number(self._body.get("channel")))
        if channel is None or not sees(person, channel):
            raise Problem(404, "There is no such channel for this person.")
        return channel

    def message(self, person: Person, channel: Channel, name: str = "message") -> Message:
        message = channel.messages.get(_number(self._body.get(name)))
        if message is None or not person.sees(message):
            raise Problem(404, "That message is not there any more.")
        return message

    def has(self, name: str) -> bool:
        return self._body.get(name) is not None

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
            raise Problem(400, f"“{name}” has to be a text.", name)
        return value

    def truth(self, name: str, *, default: bool | None = None) -> bool:
        value = self._body.get(name, default)
        if not isinstance(value, bool):
            raise Problem(400, f"“{name}” has to be true or false.", name)
        return value

    def number(self, name: str) -> float:
        value = self._body.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Problem(400, f"“{name}” has to be a number.", name)
        return value

    def identity(self, name: str) -> int:
        return _number(self._body.get(name))

    def object(self, name: str) -> Mapping[str, Any]:
        value = self._body.get(name) or {}
        if not isinstance(value, Mapping):
            raise Problem(400, f"“{name}” has to be an object.", name)
        return value

    def texts(self, name: str) -> list[str]:
        value = self._body.get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Problem(400, f"“{name}” has to be a list of texts.", name)
        return list(value)

    def files(self) -> list[Upload]:
        return self.uploads(self._body.get("files") or [], "files")

    def uploads(self, references: Any, field: str) -> list[Upload]:
        """The files that a list of FileRef names."""
        if not isinstance(references, list) or len(references) > FILES_LIMIT:
            raise Problem(400, f"At most {FILES_LIMIT} files go with a message.", field)
        return [self.upload(reference, field) for reference in references]

    def upload(self, reference: Any, field: str) -> Upload:
        waiting = self._uploads.get(str(reference.get("id"))) if isinstance(reference, Mapping) else None
        if waiting is None:
            raise Problem(400, "That file has to be attached again: it waited too long.", field)
        self.taken.append(waiting.id)
        description = reference.get("description")
        if description is not None and not isinstance(description, str):
            raise Problem(400, "A file's description has to be a text.", field)
        return as_upload(waiting, description=description, spoiler=bool(reference.get("spoiler")))

    def use_up(self) -> None:
        """The action was carried out: its files wait no longer."""
        self._uploads.used(self.taken)


def _number(value: Any) -> int:
    """An id; 0, which nothing has, for what is none."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20 else 0


def problem_json(problem: Problem) -> Json:
    return {"error": problem.words, "field": problem.field}
