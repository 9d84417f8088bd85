"""Discord's rate limits: fixed windows per bucket, the global limit, and the shared one that no header announces.

Figures from Discord's documentation and, where that is silent, from discord-api-docs issues 2701, 4416 and 7243.
"""

import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal, get_args

Scope = Literal["user", "global", "shared"]

RuleName = Literal[
    "global",
    "webhook_messages_in_channel",
    "interaction_callback",
    "interaction_webhook",
    "channel_message_create",
    "channel_message_edit",
    "channel_message_delete",
    "channel_typing",
    "other",
]

_CLOCK_GRAIN_S: Final = 1e-6
"""Below this, differences of the clock are rounding: who waits exactly as told is never refused for them."""

_PLACEHOLDER: Final = re.compile(r"\{[^}]*\}")

_RULE_OF_ROUTE: Final[dict[tuple[str, str], RuleName]] = {
    ("POST", "/interactions/{}/{}/callback"): "interaction_callback",
    ("POST", "/webhooks/{}/{}"): "interaction_webhook",
    ("GET", "/webhooks/{}/{}/messages/@original"): "interaction_webhook",
    ("PATCH", "/webhooks/{}/{}/messages/@original"): "interaction_webhook",
    ("DELETE", "/webhooks/{}/{}/messages/@original"): "interaction_webhook",
    ("GET", "/webhooks/{}/{}/messages/{}"): "interaction_webhook",
    ("PATCH", "/webhooks/{}/{}/messages/{}"): "interaction_webhook",
    ("DELETE", "/webhooks/{}/{}/messages/{}"): "interaction_webhook",
    ("POST", "/channels/{}/messages"): "channel_message_create",
    ("PATCH", "/channels/{}/messages/{}"): "channel_message_edit",
    ("DELETE", "/channels/{}/messages/{}"): "channel_message_delete",
    ("POST", "/channels/{}/typing"): "channel_typing",
}

_OUTSIDE_GLOBAL: Final = frozenset({"interaction_callback", "interaction_webhook"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request as the limits see it.

    `template` is the path as in the OpenAPI document (the names between braces do not matter); `major` is what splits
    its bucket: the channel's id, the server's id, or the interaction's token. `creates_webhook_message_in` is the
    channel in which the request creates a message through a webhook, if it does.
    """

    method: str
    template: str
    major: str
    bot_authorized: bool
    creates_webhook_message_in: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`headers` belong on the answer either way; `retry_after_s` and `scope` are None where the call is admitted."""

    headers: dict[str, str]
    retry_after_s: float | None = None
    scope: Scope | None = None

    @property
    def admitted(self) -> bool:
        return self.retry_after_s is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """`limit` calls in a window of `window_s` seconds that opens with its first call; limit None admits everything.

    `bucket` is what X-RateLimit-Bucket says, or None for a hash of the rule's name. `hidden` keeps the limit out of
    the headers: the 429 then comes without a warning.
    """

    limit: int | None
    window_s: float
    bucket: str | None = None
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError("a limit admits at least one call")
        if self.window_s <= 0:
            raise ValueError("a window lasts longer than nothing")


_DEFAULT_RULES: Final[dict[RuleName, Rule]] = {
    "global": Rule(limit=50, window_s=1.0, hidden=True),
    "webhook_messages_in_channel": Rule(limit=30, window_s=60.0, hidden=True),
    "interaction_callback": Rule(limit=None, window_s=1.0, hidden=True),
    "interaction_webhook": Rule(limit=5, window_s=2.0),
    "channel_message_create": Rule(limit=5, window_s=5.0),
    "channel_message_edit": Rule(limit=5, window_s=5.0),
    "channel_message_delete": Rule(limit=5, window_s=1.0),
    "channel_typing": Rule(limit=5, window_s=5.0),
    "other": Rule(limit=50, window_s=1.0),
}

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Window:
    opened_s: float
    used: int = 0


@dataclass(slots=True)
class _Bucket:
    """One rule and its open windows, oldest first: all last equally long, so the oldest is the first to end."""

    rule: Rule
    windows: dict[_Key, _Window] = field(default_factory=dict)

    def wait_s(self, key: _Key, now_s: float) -> float | None:
        """How long a call must wait, or None if it may pass now."""
        window = self._open(key, now_s)
        if window is None or self.rule.limit is None or window.used < self.rule.limit:
            return None
        return window.opened_s + self.rule.window_s - now_s

    def take(self, key: _Key, now_s: float) -> None:
        window = self._open(key, now_s)
        if window is None:
            self._forget_ended(now_s)
            window = self.windows[key] = _Window(now_s)
        window.used += 1

    def left(self, key: _Key, now_s: float) -> tuple[int, float]:
        """Calls left in the window, and seconds until it ends."""
        limit = self.rule.limit or 0
        window = self._open(key, now_s)
        if window is None:
            return limit, self.rule.window_s
        return max(0, limit - window.used), window.opened_s + self.rule.window_s - now_s

    def open_counts(self, now_s: float) -> list[int]:
        """The calls in each window that is open."""
        return [window.used for window in self.windows.values() if not self._has_ended(window, now_s)]

    def _open(self, key: _Key, now_s: float) -> _Window | None:
        window = self.windows.get(key)
        if window is None or self._has_ended(window, now_s):
            return None
        return window

    def _forget_ended(self, now_s: float) -> None:
        while self.windows:
            oldest = next(iter(self.windows))
            if not self._has_ended(self.windows[oldest], now_s):
                return
            del self.windows[oldest]

    def _has_ended(self, window: _Window, now_s: float) -> bool:
        return now_s >= window.opened_s + self.rule.window_s - _CLOCK_GRAIN_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """A rule as it is now: `used` calls in the fullest of its open `windows`, and what it ever admitted and refused."""

    name: RuleName
    limit: int | None
    window_s: float
    used: int
    windows: int
    admitted: int
    refused: int


class Limits:
    """Every limit of one bot. Memory is bounded by the calls of the longest window.

    `now` is the clock of the windows in seconds; `unix_now` only serves X-RateLimit-Reset. `admitted` and `refused`
    count calls by rule.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, *, unix_now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._unix_now = unix_now
        self._buckets = {name: _Bucket(rule) for name, rule in _DEFAULT_RULES.items()}
        self.admitted: Counter[RuleName] = Counter()
        self.refused: Counter[RuleName] = Counter()

    def rule(self, name: RuleName) -> Rule:
        return self._buckets[name].rule

    def set_rule(
        self,
        name: RuleName,
        *,
        limit: int | None = None,
        window_s: float | None = None,
        bucket: str | None = None,
        hidden: bool | None = None,
    ) -> None:
        """Change what is given and leave the rest; the rule's windows start anew, as they do in a new bucket."""
        if name not in get_args(RuleName):
            raise ValueError(f"no rule is called {name}")
        given = {"limit": limit, "window_s": window_s, "bucket": bucket, "hidden": hidden}
        changes = {key: value for key, value in given.items() if value is not None}
        self._buckets[name] = _Bucket(replace(self.rule(name), **changes))  # type: ignore[arg-type]  # as given above

    def lift(self, names: Iterable[RuleName] = get_args(RuleName)) -> None:
        """Admit everything under these rules from now on; their headers stay away."""
        for name in names:
            self._buckets[name] = _Bucket(replace(self.rule(name), limit=None))

    def usage(self) -> list[Usage]:
        """Every rule, for people to look at. Counts nothing."""
        return [self._usage(name, bucket) for name, bucket in self._buckets.items()]

    def _usage(self, name: RuleName, bucket: _Bucket) -> Usage:
        used = bucket.open_counts(self._now())
        return Usage(
            name=name,
            limit=bucket.rule.limit,
            window_s=bucket.rule.window_s,
            used=max(used, default=0),
            windows=len(used),
            admitted=self.admitted[name],
            refused=self.refused[name],
        )

    def admit(self, call: Call) -> Verdict:
        """Count the call in every limit it falls under, or, if one is used up, in none."""
        now_s = self._now()
        own = _rule_of(call.method, call.template)
        own_key = _key_of(own, call)
        claims: list[tuple[RuleName, _Key, Scope]] = [(own, own_key, "user")]
        if call.bot_authorized and own not in _OUTSIDE_GLOBAL:
            claims.append(("global", (), "global"))
        if call.creates_webhook_message_in is not None and own != "interaction_callback":
            claims.append(("webhook_messages_in_channel", (str(call.creates_webhook_message_in),), "shared"))

        for name, key, scope in claims:
            wait_s = self._buckets[name].wait_s(key, now_s)
            if wait_s is not None:
                self.refused[name] += 1
                return self._refuse(call, own, own_key, now_s, wait_s, scope)
        for name, key, _ in claims:
            self._take(name, key, now_s)
        return Verdict(headers=self._headers(call, own, own_key, now_s))

    def _take(self, name: RuleName, key: _Key, now_s: float) -> None:
        self.admitted[name] += 1
        bucket = self._buckets[name]
        if bucket.rule.limit is not None:
            bucket.take(key, now_s)

    def _refuse(self, call: Call, own: RuleName, key: _Key, now_s: float, wait_s: float, scope: Scope) -> Verdict:
        wait_s = _whole_milliseconds(wait_s)
        # A global 429 tells nothing of the route's bucket; a shared one does, and it may say that calls are left.
        headers = {} if scope == "global" else self._headers(call, own, key, now_s)
        headers["X-RateLimit-Scope"] = scope
        headers["Retry-After"] = str(math.ceil(wait_s))
        if scope == "global":
            headers["X-RateLimit-Global"] = "true"
        return Verdict(headers=headers, retry_after_s=wait_s, scope=scope)

    def _headers(self, call: Call, own: RuleName, key: _Key, now_s: float) -> dict[str, str]:
        bucket = self._buckets[own]
        if bucket.rule.hidden or bucket.rule.limit is None:
            return {}
        remaining, reset_after_s = bucket.left(key, now_s)
        reset_after_s = _whole_milliseconds(reset_after_s)
        return {
            "X-RateLimit-Limit": str(bucket.rule.limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": f"{self._unix_now() + reset_after_s:.3f}",
            "X-RateLimit-Reset-After": f"{reset_after_s:.3f}",
            "X-RateLimit-Bucket": bucket.rule.bucket or _bucket_hash(own, call.method, call.template),
        }


@lru_cache(maxsize=1024)
def _rule_of(method: str, template: str) -> RuleName:
    return _RULE_OF_ROUTE.get((method, _PLACEHOLDER.sub("{}", template)), "other")


def _key_of(rule: RuleName, call: Call) -> _Key:
    """Routes without a rule of their own have a bucket each; those of a rule share it, per major parameter."""
    return (call.major, call.method, call.template) if rule == "other" else (call.major,)


@lru_cache(maxsize=1024)
def _bucket_hash(rule: RuleName, method: str, template: str) -> str:
    text = f"{rule} {method} {template}" if rule == "other" else rule
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _whole_milliseconds(seconds: float) -> float:
    """Rounded up, so that a client that waits exactly as told finds the next window open."""
    return math.ceil((seconds - _CLOCK_GRAIN_S / 2) * 1000) / 1000
