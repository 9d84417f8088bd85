"""The bytes of an answer, in the form that the API's guide prints."""

import secrets
import time
from typing import Any

import orjson

from sandbox.minitoolai.script import Tokens


class Writer:
    """Renders the events of one answer. `model` is the dated name."""

    def __init__(self, model: str, *, line_ending: str = "\n") -> None:
        self._end = line_ending.encode() * 2
        head = {
            "id": f"chatcmpl-{secrets.token_urlsafe(21)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_06737a9306",
        }
        self._head = orjson.dumps(head)[:-1]

    def delta(self, text: str) -> bytes:
        """A piece of the answer."""
        # Put together by hand: this runs for every chunk of every answer.
        return b"".join(
            (
                b"data: ",
                self._head,
                b',"choices":[{"index":0,"delta":{"content":',
                orjson.dumps(text),
                b'},"logprobs":null,"finish_reason":null}],"usage":null}',
                self._end,
            )
        )

    def finish(self, reason: str) -> bytes:
        """The last chunk with a choice."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}
        return self._object({"choices": [choice], "usage": None})

    def usage(self, tokens: Tokens) -> bytes:
        """The chunk with the counts."""
        usage = {
            "prompt_tokens": tokens.prompt_tokens,
            "completion_tokens": tokens.completion_tokens,
            "total_tokens": tokens.prompt_tokens + tokens.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": tokens.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
        return self._object({"choices": [], "usage": usage})

    def error(self, message: str) -> bytes:
        """An error in the middle of the stream. Its form is OpenAI's; the guide has none."""
        return b"data: " + orjson.dumps({"error": {"message": message, "type": "server_error"}}) + self._end

    def comment(self, text: str) -> bytes:
        """A line that readers pass over."""
        return b": " + text.encode() + self._end

    def done(self) -> bytes:
        """The end."""
        return b"data: [DONE]" + self._end

    def _object(self, rest: dict[str, Any]) -> bytes:
        return b"data: " + self._head + b"," + orjson.dumps(rest)[1:] + self._end
