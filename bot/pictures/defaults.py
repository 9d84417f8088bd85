"""What a server's admins put in place of what an order leaves open."""

from dataclasses import asdict, dataclass
from typing import Any

from bot.pictures.request import Picture


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureDefaults:
    """None leaves it to the operator's catalogue (`model`) or to the API's documentation (all others).

    `width` and `height` are pixels. Raises what `Picture` raises for the same values.
    """

    model: str | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        Picture(prompt="anything", **{"model": "any"} | self.chosen)

    @property
    def chosen(self) -> dict[str, Any]:
        """The fields of `Picture` that are decided."""
        return {name: value for name, value in asdict(self).items() if value is not None}
