"""Answering interactions: the callback, and the webhook that each interaction's token opens for 15 minutes.

Source: https://discord.com/developers/docs/interactions/receiving-and-responding.
"""

from collections.abc import Callable
from typing import Any, Final

from sandbox.discord.commands import OptionType, check_choices
from sandbox.discord.components import check_modal, number
from sandbox.discord.messages import (
    Interaction,
    InteractionType,
    Message,
    MessageFlag,
    MessageType,
    ResponseType,
)
from sandbox.discord.refusals import Json, Problems, refusal
from sandbox.discord.routes import Request, Routes
from sandbox.discord.rules import Draft, read_message
from sandbox.discord.world import World

routes: Final = Routes()

OUTSIDE_FOLLOWUPS_LIMIT: Final = 5
"""Follow-ups of an app that is installed to the user only: https://discord.com/developers/docs/resources/webhook."""
_WEBHOOK: Final = "/webhooks/{webhook_id}/{webhook_token}"
_ORIGINAL: Final = f"{_WEBHOOK}/messages/@original"
_MESSAGE: Final = f"{_WEBHOOK}/messages/{{message_id}}"
_ANSWERABLE: Final[dict[InteractionType, frozenset[ResponseType]]] = {
    InteractionType.COMMAND: frozenset({ResponseType.MESSAGE, ResponseType.DEFERRED_MESSAGE, ResponseType.MODAL}),
    InteractionType.COMPONENT: frozenset(ResponseType) - {ResponseType.AUTOCOMPLETE},
    InteractionType.MODAL_SUBMIT: frozenset(ResponseType) - {ResponseType.AUTOCOMPLETE, ResponseType.MODAL},
    InteractionType.AUTOCOMPLETE: frozenset({ResponseType.AUTOCOMPLETE}),
}
_UPDATES: Final = frozenset({ResponseType.UPDATE, ResponseType.DEFERRED_UPDATE})


@routes.on("POST", "/interactions/{interaction_id}/{interaction_token}/callback", by_token=True)
def callback(world: World, request: Request) -> Any:
    interaction = world.interaction(request.params["interaction_token"])
    if interaction is None or interaction.id != request.id("interaction_id"):
        raise refusal(10062)
    if interaction.acknowledged.done():
        raise refusal(40060)
    if not world.may_acknowledge(interaction):
        raise refusal(10062)
    body = request.form()
    kind = _response_type(interaction, body)
    _RESPONDERS[kind](world, interaction, body.get("data") or {}, request)
    interaction.response_type = kind
    interaction.acknowledged.set_result(int(kind))
    world.changes.notify()
    return _callback_result(interaction, kind) if request.flag("with_response") else None


def _response_type(interaction: Interaction, body: Json) -> ResponseType:
    allowed = _ANSWERABLE[interaction.type]
    if interaction.message is None:
        allowed -= _UPDATES
    kind = body.get("type")
    if kind in set(allowed):
        return ResponseType(kind)
    problems = Problems()
    problems.choice(("type",), f"({', '.join(str(int(each)) for each in sorted(allowed))})")
    problems.done()
    raise AssertionError("a problem was found")


def _callback_result(interaction: Interaction, kind: ResponseType) -> Json:
    result: Json = {"id": str(interaction.id), "type": int(interaction.type)}
    resource: Json = {"type": int(kind)}
    if interaction.original is not None:
        result |= {
            "response_message_id": str(interaction.original.id),
            "response_message_loading": interaction.original.loading,
            "response_message_ephemeral": interaction.original.ephemeral,
        }
        if kind is not ResponseType.DEFERRED_UPDATE:
            resource["message"] = interaction.original.payload()
    return {"interaction": result, "resource": resource}


def _respond_with_message(world: World, interaction: Interaction, data: Json, request: Request) -> None:
    draft = read_message(data, request.files, upload_limit_bytes=interaction.upload_limit_bytes, for_interaction=True)
    interaction.original = _create(world, interaction, draft, kind=_reply_type(interaction))


def _defer(world: World, interaction: Interaction, data: Json, _: Request) -> None:
    flags = int(data.get("flags") or 0) & MessageFlag.EPHEMERAL
    kind = _reply_type(interaction)
    interaction.original = _create(world, interaction, Draft(flags=flags), kind=kind, flags=MessageFlag.LOADING)


def _defer_update(_: World, interaction: Interaction, __: Json, ___: Request) -> None:
    interaction.original = interaction.message


def _update(world: World, interaction: Interaction, data: Json, request: Request) -> None:
    message = interaction.message
    if message is None or message.deleted:
        raise refusal(10008)
    _edit(world, message, data, request, upload_limit_bytes=interaction.upload_limit_bytes)
    interaction.original = message


def _suggest(_: World, interaction: Interaction, data: Json, __: Request) -> None:
    choices = data.get("choices") or []
    problems = Problems()
    check_choices(problems, choices, ("data", "choices"), is_text=_focused_type(interaction) == OptionType.STRING)
    problems.done()
    interaction.choices = choices


def _show_modal(_: World, interaction: Interaction, data: Json, __: Request) -> None:
    problems = Problems()
    check_modal(problems, data)
    problems.done()
    interaction.modal = data | {"components": number(data["components"])}


_RESPONDERS: Final[dict[ResponseType, Callable[[World, Interaction, Json, Request], None]]] = {
    ResponseType.MESSAGE: _respond_with_message,
    ResponseType.DEFERRED_MESSAGE: _defer,
    ResponseType.DEFERRED_UPDATE: _defer_update,
    ResponseType.UPDATE: _update,
    ResponseType.AUTOCOMPLETE: _suggest,
    ResponseType.MODAL: _show_modal,
}


def _focused_type(interaction: Interaction) -> int:
    options = interaction.data.get("options", [])
    while options and options[0].get("options") is not None:
        options = options[0]["options"]
    return next((int(option["type"]) for option in options if option.get("focused")), int(OptionType.STRING))


def _reply_type(interaction: Interaction) -> MessageType:
    if interaction.type is not InteractionType.COMMAND:
        return MessageType.DEFAULT
    if interaction.data.get("type") == 1:
        return MessageType.CHAT_INPUT_COMMAND
    return MessageType.CONTEXT_MENU_COMMAND


def _create(
    world: World, interaction: Interaction, draft: Draft, *, kind: MessageType = MessageType.DEFAULT, flags: int = 0
) -> Message:
    if interaction.channel.deleted:
        raise refusal(10003)
    if interaction.forced_ephemeral:
        flags |= MessageFlag.EPHEMERAL
    ephemeral = ((draft.flags or 0) | flags) & MessageFlag.EPHEMERAL
    return world.create_message(
        interaction.channel,
        world.bot,
        draft,
        interaction=interaction,
        visible_to=interaction.user if ephemeral else None,
        kind=kind,
        flags=flags,
    )


def _edit(world: World, message: Message, body: Json, request: Request, *, upload_limit_bytes: int) -> None:
    draft = read_message(
        body, request.files, upload_limit_bytes=upload_limit_bytes, editing=message, for_interaction=True
    )
    world.edit_message(message, draft)


def _of_token(world: World, request: Request) -> Interaction:
    """Raises Refusal 10015 for a token that opens nothing (yet), 50027 for one whose time is over."""
    interaction = world.interaction(request.params["webhook_token"])
    if interaction is None or request.id("webhook_id") != world.application_id:
        raise refusal(10015)
    if world.token_expired(interaction):
        raise refusal(50027)
    if not interaction.acknowledged.done():
        raise refusal(10015)
    return interaction


def _message_of(interaction: Interaction, request: Request) -> Message:
    if "message_id" not in request.params:
        message = interaction.original
    else:
        wanted = request.id("message_id")
        message = next((each for each in interaction.messages if each.id == wanted), None)
    if message is None or message.deleted:
        raise refusal(10008)
    return message


@routes.on("POST", _WEBHOOK, by_token=True)
def follow_up(world: World, request: Request) -> Any:
    """The first one after a deferral fills the reply that was loading, and stays as visible as that was."""
    interaction = _of_token(world, request)
    body = request.form()
    limit = interaction.upload_limit_bytes
    draft = read_message(body, request.files, upload_limit_bytes=limit, for_interaction=True)
    original = interaction.original
    if original is not None and original.loading and not original.deleted:
        world.edit_message(original, draft)
        return original.payload()
    if not interaction.bot_is_member and len(interaction.followups) >= OUTSIDE_FOLLOWUPS_LIMIT:
        raise refusal(40094)
    message = _create(world, interaction, draft)
    interaction.followups.append(message)
    return message.payload()


@routes.on("GET", _ORIGINAL, by_token=True)
@routes.on("GET", _MESSAGE, by_token=True)
def read(world: World, request: Request) -> Any:
    return _message_of(_of_token(world, request), request).payload()


@routes.on("PATCH", _ORIGINAL, by_token=True)
@routes.on("PATCH", _MESSAGE, by_token=True)
def edit(world: World, request: Request) -> Any:
    interaction = _of_token(world, request)
    message = _message_of(interaction, request)
    _edit(world, message, request.form(), request, upload_limit_bytes=interaction.upload_limit_bytes)
    return message.payload()


@routes.on("DELETE", _ORIGINAL, by_token=True)
@routes.on("DELETE", _MESSAGE, by_token=True)
def delete(world: World, request: Request) -> Any:
    world.delete_message(_message_of(_of_token(world, request), request))
