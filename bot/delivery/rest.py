"""Discord's REST routes that show answers, over one shared session.

Why not discord.py's: it hides the rate-limit headers, sends one request at a time for each webhook, and builds objects
for every edit. This one renders a message at the moment it may be sent, and makes one error of `bot/errors.py` of
whatever Discord or the network does.

Retries: a request that changes nothing by being repeated (an edit, a deletion, a reading) is repeated after 5xx and
lost connections. A message created in a channel carries a nonce that Discord enforces, so repeating it is harmless. A
follow-up has none: it is repeated only when it certainly was not carried out, that is when no connection came about, or
after a 429.
"""

import asyncio
import contextlib
import random
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from bot import errors
from bot.delivery.limits import (
    CREATE,
    DELETE,
    EDIT,
    PATIENCE_S,
    READ,
    TYPING,
    WEBHOOK,
    Family,
    Limiter,
    Permit,
    Route,
)
from bot.delivery.messages import Button, Outgoing, Sent, SentAttachment, Upload, Urgency
from bot.observer import SILENT, Observer

Render = Callable[[], Outgoing]
Json = dict[str, Any]

USER_AGENT: Final = "DiscordBot (https://minitoolai.com, 0.1.0)"
ANSWER_LIMIT_BYTES: Final = 4 * 1024 * 1024
EPHEMERAL: Final = 1 << 6
ROW_BUTTONS: Final = 5
REFUSAL_HOLDS_S: Final = 10.0
"""So long a route that was answered 403, or whose channel is gone, is not asked again (Discord bans addresses that
collect invalid requests)."""
REFUSALS_REMEMBERED: Final = 1_024
CREATION_PATIENCE_S: Final = 10.0
"""So long a message's creation waits for the channel's share of messages."""

OPEN_DM: Final = Family(name="open dm", limit=5, window_s=5.0)
LIST: Final = Family(name="list", limit=5, window_s=5.0)

PLAIN_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=5)
UPLOAD_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=5)
ATTEMPTS: Final[Mapping[Urgency, int]] = {Urgency.FINAL: 5, Urgency.FIRST: 3, Urgency.GROWTH: 2}
BACKOFF_S: Final = 0.25
BACKOFF_MOST_S: Final = 4.0

GONE_CODES: Final = frozenset({10003, 10004, 10008})
FORBIDDEN_CODES: Final = frozenset({50001, 50005, 50007, 50009, 50013, 50024, 50083, 160005, 200000, 200001})
EXPIRED_CODES: Final = frozenset({10015, 10062, 50027})
UNAVAILABLE_CODES: Final = frozenset({30046, 40333})
"""30046: too many edits of a message older than an hour. 40333: Discord's own network."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """`body` is the JSON object of an answer, `rows` the objects of one that is a list."""

    status: int
    headers: Mapping[str, str]
    body: Json
    rows: tuple[Json, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """One request, whole but for its body. `repeatable`: doing it twice does no more than doing it once. `patience_s`
    is how long it waits at one limit."""

    method: str
    url: URL
    route: Route
    urgency: Urgency
    repeatable: bool = True
    patience_s: float = PATIENCE_S


class DiscordRest:
    """`api_url` like "https://discord.com/api/v10". The session and the limiter belong to the caller.

    Every method waits until the limits allow it and raises `DeliveryError`s, whose texts carry no address and no token.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        session: aiohttp.ClientSession,
        limiter: Limiter,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observer: Observer = SILENT,
    ) -> None:
        """`sleep` is how it pauses between attempts."""
        self._observer = observer
        self._api_url = api_url.rstrip("/")
        self._session = session
        self._limiter = limiter
        self._sleep = sleep
        self._plain_headers = {"User-Agent": USER_AGENT}
        self._bot_headers = {"User-Agent": USER_AGENT, "Authorization": f"Bot {token}"}
        self._refusals: OrderedDict[tuple[str, str], tuple[float, errors.DeliveryError]] = OrderedDict()

    async def edit_original(
        self, application_id: int, token: str, render: Render, urgency: Urgency, *, keep: Sequence[int] = ()
    ) -> Sent:
        """Edit the interaction's first response. `keep` lists the attachments that stay when files are added."""
        return await self.edit_webhook_message(application_id, token, "@original", render, urgency, keep=keep)

    async def edit_webhook_message(
        self,
        application_id: int,
        token: str,
        message_id: int | str,
        render: Render,
        urgency: Urgency,
        *,
        keep: Sequence[int] = (),
    ) -> Sent:
        """Edit a message of the interaction."""
        name = "original" if message_id == "@original" else "message"
        call = _Call(
            method="PATCH",
            url=self._webhook_url(application_id, token, f"/messages/{message_id}"),
            route=_webhook_route(f"PATCH webhook {name}", token),
            urgency=urgency,
        )
        return _sent(await self._request(call, lambda: _body(render(), keep=keep)))

    async def create_followup(
        self,
        application_id: int,
        token: str,
        render: Render,
        urgency: Urgency,
        *,
        channel_id: int,
        ephemeral: bool = False,
    ) -> Sent:
        """Add a message to the interaction; it counts in the channel's share of messages by webhooks."""
        call = _Call(
            method="POST",
            url=self._webhook_url(application_id, token, "?wait=true"),
            route=_webhook_route("POST webhook", token, creates_in=channel_id),
            urgency=urgency,
            repeatable=False,
        )
        extra: Json = {"flags": EPHEMERAL} if ephemeral else {}
        return _sent(await self._request(call, lambda: _body(render(), extra=extra)))

    async def delete_webhook_message(self, application_id: int, token: str, message_id: int | str) -> None:
        """Delete a message of the interaction; "@original" is its first response."""
        url = self._webhook_url(application_id, token, f"/messages/{message_id}")
        route = _webhook_route("DELETE webhook message", token)
        await self._request(_Call(method="DELETE", url=url, route=route, urgency=Urgency.FINAL))

    async def create_message(
        self,
        channel_id: int,
        render: Render,
        urgency: Urgency = Urgency.FINAL,
        *,
        reply_to: int | None = None,
        ping_asker: bool = False,
        nonce: str | None = None,
    ) -> Sent:
        """Post in a channel, as a reply if `reply_to` names a message there (one that is gone does not hinder it).

        `nonce` (up to 25 characters): Discord creates one message for it, however often it is sent within minutes.
        """
        extra: Json = {"nonce": nonce or new_nonce(), "enforce_nonce": True}
        if reply_to is not None:
            extra["message_reference"] = {"message_id": str(reply_to), "fail_if_not_exists": False}
        call = self._channel_call("POST", channel_id, "/messages", "POST message", urgency)
        return _sent(await self._request(call, lambda: _body(render(), extra=extra, ping_asker=ping_asker)))

    async def edit_message(
        self,
        channel_id: int,
        message_id: int,
        render: Render,
        urgency: Urgency = Urgency.FINAL,
        *,
        keep: Sequence[int] = (),
        ping_asker: bool = False,
    ) -> Sent:
        """Edit one of the bot's own messages."""
        call = self._channel_call("PATCH", channel_id, f"/messages/{message_id}", "PATCH message", urgency)
        return _sent(await self._request(call, lambda: _body(render(), keep=keep, ping_asker=ping_asker)))

    async def delete_message(self, channel_id: int, message_id: int) -> None:
        """Delete a message."""
        call = self._channel_call("DELETE", channel_id, f"/messages/{message_id}", "DELETE message", Urgency.FINAL)
        await self._request(call)

    async def get_message(self, channel_id: int, message_id: int) -> Json:
        """A message as Discord's JSON, at most `ANSWER_LIMIT_BYTES` of it; attachments' addresses are signed anew."""
        call = self._channel_call("GET", channel_id, f"/messages/{message_id}", "GET message", Urgency.FIRST)
        return (await self._request(call)).body

    async def newest_messages(self, channel_id: int, *, limit: int) -> tuple[Json, ...]:
        """The newest messages of a channel (1 to 100) as Discord's JSON, the newest first.

        Where the bot may not read the history there are none.
        """
        call = self._channel_call("GET", channel_id, f"/messages?limit={limit}", "GET messages", Urgency.FIRST)
        return (await self._request(call)).rows

    async def create_dm(self, user_id: int) -> int:
        """The channel of the bot's direct messages with somebody, opened if need be. Twice gives the same."""
        call = _Call(
            method="POST",
            url=URL(f"{self._api_url}/users/@me/channels", encoded=True),
            route=Route(name="POST dm", family=OPEN_DM, major="@me", bot=True),
            urgency=Urgency.FINAL,
        )
        body = _Body(orjson.dumps({"recipient_id": str(user_id)}), _JSON_HEADERS, uploads=False)
        answer = await self._request(call, lambda: body)
        try:
            return int(answer.body["id"])
        except (KeyError, TypeError, ValueError):
            raise errors.DeliveryUnavailable("an answer without a channel", status=answer.status) from None

    async def get_webhook_message(self, application_id: int, token: str, message_id: int | str) -> Json:
        """A message of the interaction as Discord's JSON; "@original" is its first response."""
        call = _Call(
            method="GET",
            url=self._webhook_url(application_id, token, f"/messages/{message_id}"),
            route=_webhook_route("GET webhook message", token),
            urgency=Urgency.FIRST,
        )
        return (await self._request(call)).body

    async def typing(self, channel_id: int) -> None:
        """Show for ten seconds that the bot is typing.

        An ornament that nothing waits for: left out where the limits have no room at once. In a busy channel it is
        shown then already, and those limits would hold up a question by seconds.
        """
        call = self._channel_call("POST", channel_id, "/typing", "POST typing", Urgency.GROWTH)
        with contextlib.suppress(errors.DeliveryUnavailable):
            await self._request(replace(call, patience_s=0.0))

    def refused_in(self, channel_id: int, *, within_s: float) -> int:
        """See `Limiter.refused_in`."""
        return self._limiter.refused_in(channel_id, within_s=within_s)

    def _webhook_url(self, application_id: int, token: str, rest: str) -> URL:
        return URL(f"{self._api_url}/webhooks/{application_id}/{token}{rest}", encoded=True)

    def _channel_call(self, method: str, channel_id: int, rest: str, name: str, urgency: Urgency) -> _Call:
        family = {
            "POST message": CREATE,
            "PATCH message": EDIT,
            "DELETE message": DELETE,
            "GET message": READ,
            "GET messages": LIST,
        }
        return _Call(
            method=method,
            url=URL(f"{self._api_url}/channels/{channel_id}{rest}", encoded=True),
            route=Route(name=name, family=family.get(name, TYPING), major=str(channel_id), bot=True),
            urgency=urgency,
        )

    async def _request(self, call: _Call, body: Callable[[], "_Body"] | None = None) -> _Answer:
        """Send until it is answered for good, or the attempts are used up."""
        self._raise_known_refusal(call.route)
        failures = 0
        while True:
            try:
                return await self._attempt(call, body)
            except _TryAgain as failed:
                failures += 1
                if failures == ATTEMPTS[call.urgency]:
                    raise failed.cause from None
                if failed.pause:
                    pause_s = min(BACKOFF_S * 2 ** (failures - 1), BACKOFF_MOST_S)
                    await self._sleep(pause_s * random.uniform(0.5, 1.0))

    async def _attempt(self, call: _Call, body: Callable[[], "_Body"] | None) -> _Answer:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            permit = await self._limiter.acquire(
                call.route, call.urgency, patience_s=call.patience_s, creation_patience_s=CREATION_PATIENCE_S
            )
        except TimeoutError:
            raise errors.DeliveryUnavailable("the rate limits leave no room", status=429) from None
        permitted_at = loop.time()
        self._observer.rate_limit_waited(call.urgency.name.lower(), permitted_at - asked_at)
        try:
            content = body() if body is not None else None
        except BaseException:
            permit.unsent()
            raise
        status = 0
        try:
            answer = await self._send(call, permit, content)
            status = answer.status
        finally:
            permit.lost()  # unless it was answered
            self._observer.discord_answered(call.route.name, status, loop.time() - permitted_at)
        return self._judge(call, answer, with_files=content is not None and content.uploads)

    async def _send(self, call: _Call, permit: Permit, body: "_Body | None") -> _Answer:
        headers = self._bot_headers if call.route.bot else self._plain_headers
        try:
            async with self._session.request(
                call.method,
                call.url,
                data=body.data if body else None,
                headers={**headers, **body.headers} if body else headers,
                timeout=UPLOAD_TIMEOUT if body and body.uploads else PLAIN_TIMEOUT,
                allow_redirects=False,
            ) as response:
                value = await _read_json(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            permit.unsent()
            # Chained errors may carry the address, and with it an interaction's token: the kind must do.
            raise _TryAgain(errors.DeliveryUnavailable(type(error).__name__)) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cause = errors.DeliveryUnavailable(type(error).__name__)
            if call.repeatable:
                raise _TryAgain(cause) from None
            raise cause from None
        answer = _Answer(
            status=response.status,
            headers=response.headers,
            body=value if isinstance(value, dict) else {},
            rows=tuple(row for row in value if isinstance(row, dict)) if isinstance(value, list) else (),
        )
        _land(permit, answer)
        return answer

    def _judge(self, call: _Call, answer: _Answer, *, with_files: bool) -> _Answer:
        if 200 <= answer.status < 300:
            return answer
        error = translate(answer.status, answer.body, webhook=not call.route.bot)
        # What is forbidden with files may be allowed without them: that says nothing about the route.
        # Nor does one person whom the bot may not write to say anything about the others.
        forbidden = isinstance(error, errors.DeliveryForbidden) and not with_files and call.route.family is not OPEN_DM
        if forbidden or error.code == 10003:
            self._remember_refusal(call.route, error)
        if isinstance(error, errors.DeliveryUnavailable) and error.code not in UNAVAILABLE_CODES:
            if answer.status == 429:
                raise _TryAgain(error, pause=False)
            if call.repeatable:
                raise _TryAgain(error)
        raise error

    def _remember_refusal(self, route: Route, error: errors.DeliveryError) -> None:
        until = asyncio.get_running_loop().time() + REFUSAL_HOLDS_S
        self._refusals[route.name, route.major] = (until, error)
        if len(self._refusals) > REFUSALS_REMEMBERED:
            self._refusals.popitem(last=False)

    def _raise_known_refusal(self, route: Route) -> None:
        if not self._refusals:
            return
        until, error = self._refusals.get((route.name, route.major), (0.0, None))
        if error is None:
            return
        if asyncio.get_running_loop().time() < until:
            raise type(error)(error.detail, status=error.status, code=error.code)
        del self._refusals[route.name, route.major]


class _TryAgain(Exception):
    """An attempt failed for a reason that may pass; `pause` unless the limiter waits anyway."""

    def __init__(self, cause: errors.DeliveryUnavailable, *, pause: bool = True) -> None:
        super().__init__()
        self.cause = cause
        self.pause = pause


@dataclass(frozen=True, slots=True)
class _Body:
    data: bytes | aiohttp.FormData
    headers: Mapping[str, str]
    uploads: bool


_JSON_HEADERS: Final = {"Content-Type": "application/json"}


def new_nonce() -> str:
    """A nonce for one new message: 22 characters, of Discord's 25."""
    return secrets.token_urlsafe(16)


def translate(status: int, body: Json, *, webhook: bool) -> errors.DeliveryError:
    """Discord's answer as an error of ours, by its JSON code first and its status then.

    Codes: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
    """
    code = body.get("code")
    code = code if isinstance(code, int) else 0
    detail = str(body.get("message") or "")[:200] or f"HTTP {status}"
    return _kind(status, code, webhook=webhook)(detail, status=status, code=code)


def _kind(status: int, code: int, *, webhook: bool) -> type[errors.DeliveryError]:
    for codes, kind in _BY_CODE:
        if code in codes:
            return kind
    if status == 401 and webhook:
        return errors.TokenExpired
    if status in (401, 403):
        return errors.DeliveryForbidden
    if status == 404:
        return errors.MessageGone
    if status in (408, 429) or status >= 500:
        return errors.DeliveryUnavailable
    return errors.DeliveryRefused


_BY_CODE: Final[tuple[tuple[frozenset[int], type[errors.DeliveryError]], ...]] = (
    (EXPIRED_CODES, errors.TokenExpired),
    (GONE_CODES, errors.MessageGone),
    (FORBIDDEN_CODES, errors.DeliveryForbidden),
    (UNAVAILABLE_CODES, errors.DeliveryUnavailable),
)


def _webhook_route(name: str, token: str, *, creates_in: int | None = None) -> Route:
    return Route(name=name, family=WEBHOOK, major=token, bot=False, creates_in=creates_in)


def _body(
    outgoing: Outgoing, *, keep: Sequence[int] = (), extra: Mapping[str, Any] | None = None, ping_asker: bool = False
) -> _Body:
    payload: Json = {
        "content": outgoing.content,
        "components": _rows(outgoing.buttons),
        "allowed_mentions": {"parse": [], "replied_user": ping_asker},
        **(extra or {}),
    }
    if outgoing.uploads is None:
        return _Body(orjson.dumps(payload), _JSON_HEADERS, uploads=False)
    payload["attachments"] = [{"id": str(kept)} for kept in keep] + [
        {"id": number, "filename": upload.name, "description": upload.description}
        for number, upload in enumerate(outgoing.uploads)
    ]
    return _Body(_form(payload, outgoing.uploads), {}, uploads=True)


def _form(payload: Json, uploads: Sequence[Upload]) -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    form.add_field("payload_json", orjson.dumps(payload).decode(), content_type="application/json")
    for number, upload in enumerate(uploads):
        name = upload.name.replace('"', "'").replace("\r", " ").replace("\n", " ")
        form.add_field(f"files[{number}]", upload.content, filename=name, content_type="application/octet-stream")
    return form


def _rows(buttons: Sequence[Button]) -> list[Json]:
    """Action rows (type 1) of buttons (type 2)."""
    shown = [_button(button) for button in buttons]
    return [{"type": 1, "components": shown[i : i + ROW_BUTTONS]} for i in range(0, len(shown), ROW_BUTTONS)]


_STYLES: Final = {"primary": 1, "secondary": 2, "success": 3, "danger": 4}


def _button(button: Button) -> Json:
    shown: Json = {
        "type": 2,
        "style": _STYLES[button.style],
        "custom_id": button.custom_id,
        "label": button.label,
        "disabled": button.disabled,
    }
    if button.emoji is not None:
        shown["emoji"] = {"name": button.emoji}
    return shown


def _sent(answer: _Answer) -> Sent:
    """The message of an answer. Raises DeliveryUnavailable where a 2xx carries none."""
    try:
        return Sent(
            channel_id=int(answer.body["channel_id"]),
            message_id=int(answer.body["id"]),
            attachments=tuple(
                SentAttachment(id=int(kept["id"]), name=str(kept["filename"]), url=str(kept["url"]))
                for kept in answer.body.get("attachments", ())
            ),
        )
    except (KeyError, TypeError, ValueError):
        raise errors.DeliveryUnavailable("an answer without a message", status=answer.status) from None


async def _read_json(response: aiohttp.ClientResponse) -> object:
    """The body's value; None where it is not JSON (a proxy's page), or too long."""
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > ANSWER_LIMIT_BYTES:
            return None
    try:
        value: object = orjson.loads(read)
    except orjson.JSONDecodeError:
        return None
    return value


def _land(permit: Permit, answer: _Answer) -> None:
    if answer.status != 429:
        permit.answered(answer.headers)
        return
    everywhere = answer.body.get("global") is True or "X-RateLimit-Global" in answer.headers
    permit.refused(answer.headers, retry_after_s=_retry_after_s(answer), everywhere=everywhere)


def _retry_after_s(answer: _Answer) -> float:
    """What the 429 asked for, in the body or the header; 1 s where it says neither. At most a day."""
    for told in (answer.body.get("retry_after"), answer.headers.get("Retry-After")):
        try:
            seconds = float(told)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if 0 <= seconds <= 86_400:
            return seconds
    return 1.0
