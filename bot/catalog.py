"""The models and their prices: data from `catalog.toml`, over which an operator lays a file of their own."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bot.errors import SettingsError, UnknownModel
from bot.money import NanoDollars, as_dollars, token_cost

SHIPPED: Final = Path(__file__).with_name("catalog.toml")

CHOICE_NAME_LIMIT: Final = 100
"""Discord's limit for the name of a command option's choice, in characters."""

CHOICES_LIMIT: Final = 25
"""Discord's limit for the choices of one option."""

_PRICE_UNIT_TOKENS: Final = 1_000_000

_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""The API answers with a dated name, `gpt-4o-mini-2024-07-18`, to a question put to `gpt-4o-mini`."""

_CHAT_KINDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "label": str,
        "input_nano": int,
        "output_nano": int,
        "context_tokens": int,
        "output_tokens": int,
        "sees_images": bool,
    }
)
_OPTIONAL_CHAT_KINDS: Final[Mapping[str, type]] = MappingProxyType({"stands_in": str, "retired": bool})
_IMAGE_KINDS: Final[Mapping[str, type]] = MappingProxyType({"image_nano": int})
_OPTIONAL_IMAGE_KINDS: Final[Mapping[str, type]] = MappingProxyType({"age_restricted": bool, "retired": bool})
_LOWEST: Final[Mapping[str, int]] = MappingProxyType(
    {"input_nano": 0, "output_nano": 0, "image_nano": 0, "context_tokens": 1, "output_tokens": 1}
)
_KIND_NAMES: Final[Mapping[type, str]] = MappingProxyType({str: "text", int: "a whole number", bool: "true or false"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatModel:
    """`input_nano` and `output_nano` are nano-dollars a token; `context_tokens` holds question and answer together.

    `stands_in` is the id of the model that answers in its place when there are images and it cannot see.
    """

    id: str
    label: str
    input_nano: int
    output_nano: int
    context_tokens: int
    output_tokens: int
    sees_images: bool
    stands_in: str | None = None

    def price(self, *, input_tokens: int, output_tokens: int) -> NanoDollars:
        """The exact price of so many tokens. ValueError where a count is negative."""
        return token_cost(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            input_nano=self.input_nano,
            output_nano=self.output_nano,
        )

    @property
    def price_in_words(self) -> str:
        """For people: `$0.15 in, $0.60 out per 1M tokens`."""
        into = as_dollars(self.price(input_tokens=_PRICE_UNIT_TOKENS, output_tokens=0))
        out = as_dollars(self.price(input_tokens=0, output_tokens=_PRICE_UNIT_TOKENS))
        return f"{into} in, {out} out per 1M tokens"

    @property
    def choice_name(self) -> str:
        """Label and price, within Discord's limit; where it is too long the label gives way, never the price."""
        price = f" ({self.price_in_words})"
        room = CHOICE_NAME_LIMIT - len(price)
        label = self.label if len(self.label) <= room else self.label[: room - 1].rstrip() + "…"
        return label + price


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageModel:
    """`image_nano` is nano-dollars a picture, whatever its size. `age_restricted`: only where everybody is of age."""

    id: str
    image_nano: int
    age_restricted: bool = False

    def price(self, images: int) -> NanoDollars:
        """The exact price of so many pictures. ValueError where the count is negative."""
        if images < 0:
            raise ValueError("pictures are never negative")
        return NanoDollars(images * self.image_nano)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """What can be asked for now: retired models are left out.

    `default` is one of `chat_models`, `default_image` one of `image_models`, None where there is none.
    """

    chat_models: tuple[ChatModel, ...]
    default: ChatModel
    image_models: tuple[ImageModel, ...]
    default_image: ImageModel | None

    @classmethod
    def load(cls, override: Path | None = None) -> "Catalog":
        """The shipped catalogue with `override` laid over it: key by key, so a new price needs one line.

        Raises:
            SettingsError: every mistake of either file, each with its file and key.
        """
        sources = [SHIPPED] if override is None else [SHIPPED, override]
        return _Reader(sources).catalog()

    def chat_model(self, name: str) -> ChatModel:
        """The model of that id, or of that id with a date as the API reports it. UnknownModel otherwise."""
        wanted = (name, _DATE.sub("", name))
        found = next((model for key in wanted for model in self.chat_models if model.id == key), None)
        if found is None:
            raise UnknownModel(name, tuple(model.id for model in self.chat_models))
        return found

    def image_model(self, name: str) -> ImageModel:
        """The model of that id. UnknownModel otherwise."""
        found = next((model for model in self.image_models if model.id == name), None)
        if found is None:
            raise UnknownModel(name, tuple(model.id for model in self.image_models))
        return found

    def for_images(self, model: ChatModel) -> ChatModel | None:
        """The model that answers a question with images put to `model`: itself, its stand-in, or nobody."""
        if model.sees_images:
            return model
        return self.chat_model(model.stands_in) if model.stands_in is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Family:
    """One kind of model in the files: `[chat.gpt-4o]`, with the keys that it must and may have."""

    name: str
    kinds: Mapping[str, type]
    optional: Mapping[str, type]


_CHAT: Final = _Family(name="chat", kinds=_CHAT_KINDS, optional=_OPTIONAL_CHAT_KINDS)
_IMAGE: Final = _Family(name="image", kinds=_IMAGE_KINDS, optional=_OPTIONAL_IMAGE_KINDS)


class _Reader:
    """Reads the files in their order and collects every mistake before it complains."""

    def __init__(self, sources: list[Path]) -> None:
        self._problems: list[str] = []
        self._origins: dict[str, Path] = {}
        self._tables: dict[str, dict[str, dict[str, Any]]] = {family.name: {} for family in (_CHAT, _IMAGE)}
        self._default: Any = None
        self._default_image: Any = None
        for source in sources:
            self._lay_over(source)

    def catalog(self) -> Catalog:
        self._complain()
        models = {key: ChatModel(id=key, **values) for key, values in self._models(_CHAT).items()}
        pictures = {key: ImageModel(id=key, **values) for key, values in self._models(_IMAGE).items()}
        self._complain()
        for model in models.values():
            self._check_stand_in(model, models)
        if not isinstance(self._default, str) or self._default not in models:
            self._problem("default_chat_model", f"{self._default!r} is none of {', '.join(models) or 'the models'}")
        default_image = self._image_default(pictures)
        for family, count in ((_CHAT, len(models)), (_IMAGE, len(pictures))):
            if count > CHOICES_LIMIT:
                self._problem(family.name, f"has {count} models, Discord offers at most {CHOICES_LIMIT}: retire some")
        self._complain()
        return Catalog(
            chat_models=tuple(models.values()),
            default=models[self._default],
            image_models=tuple(pictures.values()),
            default_image=default_image,
        )

    def _image_default(self, models: Mapping[str, ImageModel]) -> ImageModel | None:
        """The marked one, else the first that draws everywhere, else the first."""
        if self._default_image is None:
            everywhere = (model for model in models.values() if not model.age_restricted)
            return next(everywhere, next(iter(models.values()), None))
        if not isinstance(self._default_image, str) or self._default_image not in models:
            self._problem("default_image_model", f"{self._default_image!r} is none of {', '.join(models) or 'none'}")
            return None
        return models[self._default_image]

    def _complain(self) -> None:
        if self._problems:
            raise SettingsError(self._problems)

    def _problem(self, key: str, what: str) -> None:
        origin = self._origins.get(key) or self._origins.get(key.rpartition(".")[0]) or SHIPPED
        self._problems.append(f"{origin}: {key} {what}")

    def _lay_over(self, source: Path) -> None:
        try:
            data = tomllib.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            self._problems.append(f"{source}: cannot be read: {error.strerror or error}")
            return
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self._problems.append(f"{source}: is not valid TOML: {error}")
            return
        for key, value in data.items():
            self._origins[key] = source
            if key == "default_chat_model":
                self._default = value
            elif key == "default_image_model":
                self._default_image = value
            elif key in self._tables and isinstance(value, dict):
                self._lay_over_models(source, key, value)
            else:
                self._problem(key, "is not a key of the catalogue")

    def _lay_over_models(self, source: Path, family: str, models: dict[str, Any]) -> None:
        for name, table in models.items():
            where = f"{family}.{name}"
            self._origins[where] = source
            if not isinstance(table, dict):
                self._problem(where, "must be a table")
                continue
            for key, value in table.items():
                self._origins[f"{where}.{key}"] = source
                self._tables[family].setdefault(name, {})[key] = value

    def _models(self, family: _Family) -> dict[str, dict[str, Any]]:
        """The values of each model of a family, without those that are retired or wrong."""
        checked: dict[str, dict[str, Any]] = {}
        for name, table in self._tables[family.name].items():
            before = len(self._problems)
            self._check_model(family, name, table)
            if len(self._problems) == before and not table.get("retired", False):
                checked[name] = {key: value for key, value in table.items() if key != "retired"}
        return checked

    def _check_model(self, family: _Family, name: str, table: Mapping[str, Any]) -> None:
        for key in family.kinds:
            if key not in table:
                self._problem(f"{family.name}.{name}.{key}", "is missing")
        for key, value in table.items():
            self._check_value(f"{family.name}.{name}.{key}", family.kinds.get(key) or family.optional.get(key), value)

    def _check_value(self, where: str, kind: type | None, value: object) -> None:
        lowest = _LOWEST.get(where.rpartition(".")[2], 0)
        if kind is None:
            self._problem(where, "is not a key of a model")
        elif type(value) is not kind:  # exactly: true is an int to isinstance
            self._problem(where, f"must be {_KIND_NAMES[kind]}, not {value!r}")
        elif isinstance(value, int) and value < lowest:
            self._problem(where, f"must be at least {lowest}, not {value}")

    def _check_stand_in(self, model: ChatModel, models: dict[str, ChatModel]) -> None:
        if model.stands_in is None:
            return
        where = f"chat.{model.id}.stands_in"
        if model.stands_in not in models:
            self._problem(where, f"names {model.stands_in!r}, which is no model of the catalogue, or is retired")
        elif not models[model.stands_in].sees_images:
            self._problem(where, f"names {model.stands_in!r}, which cannot see images either")
