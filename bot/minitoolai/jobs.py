"""The JSON of the two image endpoints, said and read. No I/O.

The API's guide shows one answer of each kind. Whatever else it may send is read by the rules at the functions here, and
never raises anything but a `ProviderError`.
"""

from collections.abc import Callable
from typing import Any, Final, TypeGuard

from bot.errors import PictureFailed, ProviderFailed
from bot.minitoolai.events import error_message, parse, well_formed
from bot.minitoolai.images import Failed, ImageRequest, JobRef, JobState, Ready, Running

JOB_ID_LIMIT: Final = 128
SIGNATURE_LIMIT: Final = 4_096
URL_LIMIT: Final = 2_048
"""Characters. Both halves of a reference are stored and sent back; the guide's are 8 and 9 long."""

Tidy = Callable[[str], str]
"""Makes the API's own words fit for a log."""

_BOM: Final = b"\xef\xbb\xbf"


def request_to_json(request: ImageRequest) -> dict[str, Any]:
    """The documented body of `POST /texttoimage/`."""
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": well_formed(request.prompt),
        "scheduler": request.scheduler,
        "steps": request.steps,
        "cfgScale": request.cfg_scale,
        "width": request.width,
        "height": request.height,
    }
    if request.negative_prompt:
        body["negativePrompt"] = well_formed(request.negative_prompt)
    return body


def job_to_json(job: JobRef) -> dict[str, Any]:
    """The documented body of `POST /texttoimage/jobs/`. Its example has the job id as a string."""
    return {"jobid": job.job_id, "signature": job.signature}


def read_job(body: bytes, *, tidy: Tidy) -> JobRef:
    """The job that was taken.

    Raises:
        PictureFailed: the API says `error`, or names no job: it made none.
        ProviderFailed: the answer cannot be read, so that there may be one.
    """
    answer = _object(body)
    job_id, signature = answer.get("jobid"), answer.get("signature")
    if answer.get("status") == "error" or job_id in (None, "") or signature in (None, ""):
        raise PictureFailed(_words(answer, tidy) or "the API took no job", status=200)
    if isinstance(job_id, int) and not isinstance(job_id, bool):
        job_id = str(job_id)
    if not _is_text(job_id, JOB_ID_LIMIT):
        raise ProviderFailed(f"a job id that is no number or text up to {JOB_ID_LIMIT} characters", status=200)
    if not _is_text(signature, SIGNATURE_LIMIT):
        raise ProviderFailed(f"a signature that is no text up to {SIGNATURE_LIMIT} characters", status=200)
    return JobRef(job_id=job_id, signature=signature)


def read_state(body: bytes, *, tidy: Tidy) -> JobState:
    """How far the job is: what is neither a success with an address nor an error is still running.

    Raises `ProviderFailed` where the answer cannot be read.
    """
    answer = _object(body)
    status, url = answer.get("status"), answer.get("image_url")
    if status == "error":
        return Failed(_words(answer, tidy) or "the API says error")
    if status == "success" and isinstance(url, str) and _is_text(url.strip(), URL_LIMIT):
        return Ready(url.strip())
    return Running()


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = parse(body.removeprefix(_BOM))
    except ValueError:
        # Without its cause: that one quotes the answer, signature and all.
        raise ProviderFailed(f"an answer of {len(body)} bytes that is not JSON", status=200) from None
    if not isinstance(value, dict):
        raise ProviderFailed(f"an answer that is a JSON {type(value).__name__}, not an object", status=200)
    return value


def _words(answer: dict[str, Any], tidy: Tidy) -> str:
    return tidy(error_message(answer))


def _is_text(value: object, limit: int) -> TypeGuard[str]:
    """Whether it is a text that can be stored and sent back as it came."""
    return isinstance(value, str) and 0 < len(value) <= limit and value.isprintable()
