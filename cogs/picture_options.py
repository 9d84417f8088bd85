"""The options of a picture as Discord shows and sends them: shared by `/imagine`, its form, and `/settings`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from discord import app_commands

from bot.catalog import CHOICE_NAME_LIMIT, Catalog, ImageModel
from bot.errors import ChoiceUnknown, OutOfRange
from bot.minitoolai.images import CFG_SCALE, SCHEDULERS, SIDE_PX, STEPS
from bot.money import NO_MONEY, CreditUnit
from bot.pictures.request import COUNT, PROMPT_LIMIT, SHAPES
from cogs.decisions import credits_words

Prompt: TypeAlias = app_commands.Range[str, 1, PROMPT_LIMIT]
Steps: TypeAlias = app_commands.Range[int, STEPS[0], STEPS[1]]
CfgScale: TypeAlias = app_commands.Range[float, CFG_SCALE[0], CFG_SCALE[1]]
Side: TypeAlias = app_commands.Range[int, SIDE_PX[0], SIDE_PX[1]]
Count: TypeAlias = app_commands.Range[int, COUNT[0], COUNT[1]]

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "model": "Which model draws, and what a picture costs",
    "negative_prompt": "What to leave out of the picture",
    "scheduler": "How noise becomes a picture; usually DPM++ SDE",
    "steps": "More steps draw finer, and slower: 1 to 8, usually 4",
    "cfg_scale": "Under 4 more creative, over 4 closer to the prompt: 1 to 7, usually 2",
    "shape": "Usually square",
    "width": "In pixels, 256 to 1344; goes before the shape's",
    "height": "In pixels, 256 to 1344; goes before the shape's",
}

SCHEDULER_CHOICES: Final = [app_commands.Choice(name=name, value=name) for name in SCHEDULERS]
SHAPE_CHOICES: Final = [
    app_commands.Choice(name=f"{name} ({width} × {height})", value=str(name))
    for name, (width, height) in SHAPES.items()
]

NUMBERS: Final[Mapping[str, tuple[type | tuple[type, ...], float, float]]] = {
    "steps": (int, *STEPS),
    "cfg_scale": ((int, float), *CFG_SCALE),
    "width": (int, *SIDE_PX),
    "height": (int, *SIDE_PX),
    "count": (int, *COUNT),
}
"""Each option that is a number: its kind and its range."""


def price_each(model: ImageModel, unit: CreditUnit) -> str:
    """`1.5 credits each`."""
    return f"{credits_words(model.price(1), unit, up=True)} each"


def price_range(models: Sequence[ImageModel], unit: CreditUnit) -> str:
    """`1.5 credits`, or `1.5 to 3 credits` where the models' prices differ."""
    prices = [model.price(1) for model in models]
    low, high = min(prices, default=NO_MONEY), max(prices, default=NO_MONEY)
    return (
        credits_words(high, unit, up=True)
        if low == high
        else f"{unit.show(low, up=True)} to {credits_words(high, unit, up=True)}"
    )


def model_choices(catalog: Catalog, unit: CreditUnit) -> list[app_commands.Choice[str]]:
    """Every model with its price; where that is too long for Discord the name gives way, never the price."""
    choices = []
    for model in catalog.image_models:
        price = f" ({price_each(model, unit)}{', age-restricted' if model.age_restricted else ''})"
        room = CHOICE_NAME_LIMIT - len(price)
        name = model.id if len(model.id) <= room else model.id[: room - 1] + "…"
        choices.append(app_commands.Choice(name=name + price, value=model.id))
    return choices


def of_their_kinds(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they were sent, once each is a text, or a number, as it should be: discord.py lets an altered
    client's values through. Ranges are checked where the picture is made.

    Raises:
        OutOfRange, ChoiceUnknown: one is of another kind.
    """
    for name, value in options.items():
        if value is None:
            continue
        if name in NUMBERS:
            kind, low, high = NUMBERS[name]
            if isinstance(value, bool) or not isinstance(value, kind):
                raise OutOfRange(name, low=low, high=high)
        elif not isinstance(value, str):
            raise ChoiceUnknown(name, str(value), known=())
    return dict(options)
