"""What is drawn in a place: what was asked for, filled from the server's defaults and held against its rules. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bot.catalog import Catalog, ImageModel
from bot.errors import AgeRestricted, BadRequest, ChoiceUnknown, ModelNotAllowed, PicturesOff, UnknownModel, WordBlocked
from bot.guilds import GuildSettings
from bot.pictures.request import SHAPES, Picture, ShapeName


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What somebody chose; None is what they left open, an empty negative prompt none at all.

    A side in pixels wins over the same side of `shape`. Nothing is checked yet: an altered client sends anything.
    """

    prompt: str
    model: str | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    shape: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What holds in one place: the server's settings, the operator's catalogue, and whether it is age-restricted."""

    catalog: Catalog
    guild: GuildSettings
    age_restricted: bool

    def permit(self, model: str) -> None:
        """Whether pictures of that model may be ordered here.

        Raises:
            PicturesOff, UnknownModel, ModelNotAllowed, AgeRestricted.
        """
        if not self.guild.images:
            raise PicturesOff
        found = self.catalog.image_model(model)
        if self.guild.picture_models and model not in self.guild.picture_models:
            raise ModelNotAllowed(model, tuple(each.id for each in self.offered))
        if self.needs_age(found) and not self.age_restricted:
            raise AgeRestricted(model)

    def permit_words(self, prompt: str) -> None:
        """WordBlocked where the server's list has one of its words. What a picture is to leave out may be named."""
        if self.guild.word_list.finds(prompt):
            raise WordBlocked

    def needs_age(self, model: ImageModel) -> bool:
        """Whether the operator or the server keeps it to age-restricted channels."""
        return model.age_restricted or model.id in self.guild.age_restricted_models

    @property
    def offered(self) -> tuple[ImageModel, ...]:
        """The models that can be chosen here."""
        allowed = self.guild.picture_models
        return tuple(
            model
            for model in self.catalog.image_models
            if (not allowed or model.id in allowed) and (self.age_restricted or not self.needs_age(model))
        )

    def pick_model(self) -> str:
        """The server's default, else the operator's, else the first that can be chosen here.

        A default that is retired, left out or kept to other channels gives way: nobody here has asked for it.

        Raises:
            PicturesOff, UnknownModel, ModelNotAllowed, AgeRestricted: none can be chosen; why the first one cannot.
        """
        first: BadRequest | None = None
        for model in self._candidates():
            try:
                self.permit(model)
            except BadRequest as error:
                first = first or error
            else:
                return model
        raise first or UnknownModel("", ())

    def _candidates(self) -> Iterator[str]:
        if self.guild.picture_defaults.model is not None:
            yield self.guild.picture_defaults.model
        if self.catalog.default_image is not None:
            yield self.catalog.default_image.id
        yield from (model.id for model in self.offered)


def choose(asked: Asked, rules: Rules) -> Picture:
    """What is drawn.

    Raises:
        BadRequest: what `Rules.permit` and `Picture` raise; ChoiceUnknown also for the shape; WordBlocked.
    """
    model = rules.pick_model() if asked.model is None else asked.model
    rules.permit(model)
    rules.permit_words(asked.prompt)
    chosen: dict[str, Any] = rules.guild.picture_defaults.chosen
    chosen |= shape_sides(asked.shape)
    chosen |= {name: value for name, value in asdict(asked).items() if name != "shape" and value is not None}
    chosen["negative_prompt"] = (chosen.get("negative_prompt") or "").strip() or None
    return Picture(**chosen | {"model": model})


def shape_sides(shape: str | None) -> dict[str, int]:
    """The sides of a named shape as fields of `Picture`; none for None.

    Raises:
        ChoiceUnknown: there is no such shape.
    """
    if shape is None:
        return {}
    name: ShapeName | None = next((each for each in SHAPES if each == shape), None)
    if name is None:
        raise ChoiceUnknown("shape", shape, known=tuple(SHAPES))
    width, height = SHAPES[name]
    return {"width": width, "height": height}
