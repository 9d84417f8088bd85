"""Requests held against Discord's published OpenAPI document (https://github.com/discord/discord-api-spec).

The document is not part of this project: see `find_document`.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

if TYPE_CHECKING:
    # At run time they are imported by OpenApi alone: they come with the tests' packages, and the sandbox runs without.
    import jsonschema_rs
    from jsonschema import ValidationError  # type: ignore[import-untyped]  # it ships no types

_DOCUMENT_URI: Final = "urn:discord"
_PLACEHOLDER: Final = re.compile(r"\{[^}]*\}")
_PROBLEMS_MAX: Final = 5
_VALUE_CHARACTERS_MAX: Final = 40

_BOT_CONTENT_MAX: Final = 2_000
_BOT_CONTENT_SCHEMAS: Final = ("MessageCreateRequest", "MessageEditRequestPartial", "BaseCreateMessageCreateRequest")


def find_document(repository: Path) -> Path | None:
    """Where the document lies: at `DISCORD_OPENAPI`, else beside the repository in shared/discord; None if nowhere."""
    named = os.environ.get("DISCORD_OPENAPI")
    path = Path(named) if named else repository.parent / "shared" / "discord" / "openapi.json"
    return path if path.is_file() else None


def open_document(path: Path) -> OpenApi:
    """The one at `path`, read once for all servers of a process: nothing about it changes but what it has compiled.

    Raises ModuleNotFoundError as `OpenApi`.
    """
    return _opened(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(path: Path, changed_ns: int) -> OpenApi:
    return OpenApi(path)


@dataclass(frozen=True, slots=True)
class _Body:
    required: bool
    reference: str
    validator: jsonschema_rs.Draft202012Validator


@dataclass(frozen=True, slots=True)
class _Parameter:
    required: bool
    validator: jsonschema_rs.Draft202012Validator


@dataclass(frozen=True, slots=True)
class _Operation:
    body: _Body | None
    query: Mapping[str, _Parameter]


class OpenApi:
    """The document with what it leaves out for bots laid over it. Validators are built at a route's first request."""

    def __init__(self, path: Path) -> None:
        """Raises ModuleNotFoundError without jsonschema and jsonschema-rs, which come with the tests' packages."""
        import jsonschema_rs
        from jsonschema import Draft202012Validator
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self._document: dict[str, Any] = orjson.loads(path.read_bytes())
        _lay_over(self._document["components"]["schemas"])
        self._templates = {_PLACEHOLDER.sub("{}", template): template for template in self._document["paths"]}
        self._compile = partial(
            jsonschema_rs.Draft202012Validator, registry=jsonschema_rs.Registry([(_DOCUMENT_URI, self._document)])
        )
        documents: Registry[Any] = Registry().with_resource(_DOCUMENT_URI, DRAFT202012.create_resource(self._document))
        self._explainer = partial(Draft202012Validator, registry=documents)
        self._operations: dict[tuple[str, str], _Operation | None] = {}

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every (method, path template) of the document, methods in capitals."""
        for template, operations in self._document["paths"].items():
            for method in operations:
                if method != "parameters":
                    yield method.upper(), template

    def check(self, method: str, template: str, query: Mapping[str, str], body: Any) -> list[str]:
        """What the document has against a request; at most a few lines, without the texts that it carries.

        The names in the braces of `template` do not matter. `body` is the decoded JSON body, or the payload_json of a
        multipart one, and None where there is none.
        """
        operation = self._operation(method, template)
        if operation is None:
            return [f"{method} {template} is not a documented route"]
        return [*_check_query(operation.query, query), *self._check_body(operation.body, body)]

    def _operation(self, method: str, template: str) -> _Operation | None:
        key = method, template
        if key not in self._operations:
            self._operations[key] = self._build(method.lower(), template)
        return self._operations[key]

    def _build(self, method: str, template: str) -> _Operation | None:
        known = self._templates.get(_PLACEHOLDER.sub("{}", template))
        if known is None or method not in self._document["paths"][known]:
            return None
        path = self._document["paths"][known]
        operation = path[method]
        query = {
            parameter["name"]: _Parameter(
                required=parameter.get("required", False),
                validator=self._validator(_reference("paths", known, *where, "parameters", index, "schema")),
            )
            for where, holder in (((), path), ((method,), operation))
            for index, parameter in enumerate(holder.get("parameters", ()))
            if parameter["in"] == "query"
        }
        return _Operation(body=self._build_body(known, method, operation.get("requestBody")), query=query)

    def _build_body(self, template: str, method: str, request: Mapping[str, Any] | None) -> _Body | None:
        if request is None:
            return None
        # payload_json of a multipart body is what the JSON body would have been, so that schema serves both.
        kinds = sorted(request["content"], key=("application/json", "multipart/form-data").__contains__, reverse=True)
        kind = "application/json" if "application/json" in kinds else kinds[0]
        reference = _reference("paths", template, method, "requestBody", "content", kind, "schema")
        return _Body(request.get("required", False), reference, self._validator(reference))

    def _validator(self, reference: str) -> jsonschema_rs.Draft202012Validator:
        return self._compile({"$ref": reference})

    def _check_body(self, known: _Body | None, body: Any) -> list[str]:
        if known is None:
            return ["$: a body where none is documented"] if body else []
        if body is None:
            return ["$: the body is missing"] if known.required else []
        if known.validator.is_valid(body):
            return []
        errors = self._explainer({"$ref": known.reference}).iter_errors(body)
        lines = dict.fromkeys(line for error in errors for line in _explain(error))
        return list(islice(lines, _PROBLEMS_MAX)) or ["$: refused by the schema"]


def _lay_over(schemas: dict[str, Any]) -> None:
    """Correct the document where a bot's rules differ from it."""
    for name in _BOT_CONTENT_SCHEMAS:
        # 4,000 is what a paying human may write.
        schemas[name]["properties"]["content"]["maxLength"] = _BOT_CONTENT_MAX
    # Discord takes ids as numbers too; the document only knows them as strings.
    schemas["SnowflakeType"] |= {"type": ["string", "integer"], "minimum": 0}


def _reference(*steps: str | int) -> str:
    """A JSON pointer into the document as a URI fragment (RFC 6901, section 6)."""
    escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return f"{_DOCUMENT_URI}#/" + "/".join(quote(step, safe="~") for step in escaped)


def _check_query(known: Mapping[str, _Parameter], query: Mapping[str, str]) -> Iterator[str]:
    for name, text in query.items():
        parameter = known.get(name)
        if parameter is None:
            yield f"?{name}: not a documented parameter"
        elif not any(parameter.validator.is_valid(value) for value in _readings(text)):
            yield f"?{name}: {_shorten(text)} is refused"
    for name, parameter in known.items():
        if parameter.required and name not in query:
            yield f"?{name}: missing"


def _readings(text: str) -> Iterator[Any]:
    """What a query's text can mean; which of them is meant, the schema says."""
    yield text
    if re.fullmatch(r"-?\d{1,20}", text):
        yield int(text)
    if text.lower() in ("true", "1", "false", "0"):
        yield text.lower() in ("true", "1")
    items = text.split(",")
    yield items
    if all(re.fullmatch(r"-?\d{1,20}", item) for item in items):
        yield [int(item) for item in items]


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each cause, following the alternative that the value was most likely meant to be."""
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        yield f"{error.json_path}: {_cause(error)}"
        return
    branches: dict[Any, list[ValidationError]] = defaultdict(list)
    for cause in error.context:
        branches[cause.schema_path[0]].append(cause)
    meant = [branch for branch in branches.values() if not any(map(_is_another_kind, branch))]
    if meant:
        for cause in min(meant, key=len):
            yield from _explain(cause)
    elif isinstance(error.instance, dict) and "type" in error.instance:
        yield f"{error.json_path}.type: {_shorten(error.instance['type'])} is not a type that is allowed here"
    else:
        # Nothing tells the alternatives apart: the last is the plain value, after null.
        yield from _explain([*branches.values()][-1][0])


def _is_another_kind(cause: ValidationError) -> bool:
    """Whether a branch fails because the value is of another kind, not because something in it is wrong."""
    if not cause.relative_path:
        return bool(cause.validator == "type")
    return list(cause.relative_path) == ["type"] and cause.validator in ("enum", "const", "type")


def _cause(error: ValidationError) -> str:
    limit = error.validator_value
    match error.validator:
        case "maxLength" | "minLength":
            return f"{len(error.instance):,} characters, {_bound(error.validator)} {limit:,}"
        case "maxItems" | "minItems":
            return f"{len(error.instance):,} items, {_bound(error.validator)} {limit:,}"
        case "maximum" | "minimum":
            return f"{_shorten(error.instance)}, {_bound(error.validator)} {limit:,}"
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            return f"{_shorten(error.instance)} is not {_either(kinds)}"
        case "enum":
            return f"{_shorten(error.instance)} is not {_either(limit)}"
        case "const":
            return f"{_shorten(error.instance)} is not allowed here"
        case "required":
            return f"{_either(sorted(set(limit) - set(error.instance)))} is missing"
        case other:
            return f"{_shorten(error.instance)} fails {other} {_shorten(limit)}"


def _bound(validator: str) -> str:
    return "at most" if validator.startswith("max") else "at least"


def _either(values: Iterable[Any]) -> str:
    return _shorten(" or ".join(map(str, values)))


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[: _VALUE_CHARACTERS_MAX - 1] + "…"
