"""What the documented image endpoints take."""

from dataclasses import dataclass
from typing import Any, Final

from sandbox.minitoolai.rules import Refused

MODELS: Final = (
    "realvision",
    "juggernaut",
    "autismmix",
    "dreamshaper",
    "valhalla",
    "mixrealistic",
    "campursari",
    "reality",
    "extrarealistic",
    "realism",
    "realgirls",
    "realityreborn",
    "amigo",
    "simplemix",
    "beautifulrealistic",
)
_PLAIN: Final = ("Euler a", "Euler", "LMS", "Heun", "DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ 2M", "DPM++ SDE")
_KARRAS: Final = ("LMS", "DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE")
SCHEDULERS: Final = (*_PLAIN, "DPM++ 2M SDE", "DPM fast", *(f"{name} Karras" for name in _KARRAS))

IMAGE_NANO: Final = 1_500_000
"""What a picture costs, in nano-dollars, whatever its size and model."""

_FIELDS: Final = {"model", "prompt", "negativePrompt", "scheduler", "steps", "cfgScale", "width", "height"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A checked request, with the documented defaults for what it leaves out. Sizes are pixels."""

    model: str
    prompt: str
    negative_prompt: str
    scheduler: str
    steps: int
    cfg_scale: float
    width: int
    height: int


def check(body: object) -> Asked:
    """The order in the body of `POST /texttoimage/`. Raises `Refused` unless it is as documented."""
    fields = _object(body, _FIELDS)
    if fields.get("model") not in MODELS:
        raise Refused(f"the model must be one of {', '.join(MODELS)}")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise Refused("prompt must be a string that is not empty")
    negative = fields.get("negativePrompt")
    if not isinstance(negative, str | None):
        raise Refused("negativePrompt must be a string, or null")
    scheduler = fields.get("scheduler")
    if scheduler is not None and scheduler not in SCHEDULERS:
        raise Refused(f"scheduler must be null or one of {', '.join(SCHEDULERS)}")
    return Asked(
        model=fields["model"],
        prompt=prompt,
        negative_prompt=negative or "",
        scheduler=scheduler or "DPM++ SDE",
        steps=_integer(fields, "steps", 1, 8, default=4),
        cfg_scale=_cfg_scale(fields.get("cfgScale")),
        width=_integer(fields, "width", 256, 1_344, default=1_024),
        height=_integer(fields, "height", 256, 1_344, default=1_024),
    )


def check_poll(body: object) -> tuple[str, str]:
    """The job id and the signature in the body of `POST /texttoimage/jobs/`: strings. Raises `Refused`."""
    fields = _object(body, {"jobid", "signature"})
    job_id, signature = fields.get("jobid"), fields.get("signature")
    if not isinstance(job_id, str) or not isinstance(signature, str):
        raise Refused("jobid and signature must be strings")
    return job_id, signature


def _object(body: object, known: set[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    if unknown := sorted(set(body) - known):
        raise Refused(f"unrecognized request argument supplied: {', '.join(unknown)}")
    return body


def _integer(fields: dict[str, Any], name: str, low: int, high: int, *, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(f"{name} must be an integer from {low} to {high}, or null")
    return value


def _cfg_scale(value: object) -> float:
    if value is None:
        return 2.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= 7:
        raise Refused("cfgScale must be a number from 1 to 7, or null")
    return float(value)
