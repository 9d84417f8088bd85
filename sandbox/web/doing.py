"""What the page's user does becomes what a `Person` does. One method a route of PROTOCOL.md; each raises Problem."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sandbox.discord.commands import NESTED, OptionType
from sandbox.discord.messages import ACKNOWLEDGE_WITHIN_S, Interaction, Message, ResponseType, walk
from sandbox.discord.people import ClientRefused, Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel, Role, User
from sandbox.discord.refusals import Json
from sandbox.discord.world import World
from sandbox.web.asked import Asked, Problem
from sandbox.web.clock import ADVANCE_LIMIT_S, TOTAL_LIMIT_S
from sandbox.web.components import SELECT_KINDS, modal_json
from sandbox.web.messages import sight_of
from sandbox.web.offers import commands_json
from sandbox.web.scene import Scene

NOT_RESPONDED: Final = "The application did not respond."
EMOJI_CHARACTERS: Final = 32
REACTIONS_LIMIT: Final = 20
_RESULTS: Final = {
    ResponseType.MODAL: "modal",
    ResponseType.UPDATE: "update",
    ResponseType.DEFERRED_UPDATE: "update",
}
_UPLOAD_FIELD: Final = 19
_CHECKBOXES: Final = 22

Action = Callable[[Asked], Awaitable[Json]]


class Doing:
    """`actions` by the last part of their route."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.actions: Mapping[str, Action] = {
            "say": self.say,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "typing": self.typing,
            "command": self.command,
            "autocomplete": self.autocomplete,
            "menu": self.menu,
            "click": self.click,
            "select": self.select,
            "modal": self.modal,
        }

    @property
    def _world(self) -> World:
        return self._scene.world

    # Messages

    async def say(self, asked: Asked) -> Json:
        person = asked.person()
        channel = asked.channel(person)
        reply_to = asked.message(person, channel, "reply_to") if asked.has("reply_to") else None
        if reply_to is not None and reply_to.ephemeral:
            raise Problem(409, "An ephemeral message cannot be replied to.", "reply_to")
        said = await person.say(
            channel, asked.text("text"), files=asked.files(), reply_to=reply_to, ping=asked.truth("ping", default=True)
        )
        asked.use_up()
        return {"message": str(said.id)}

    async def edit(self, asked: Asked) -> Json:
        person, _, message = self._message(asked)
        text = asked.text("text").strip()
        if not text and not message.attachments:
            raise Problem(400, "An empty message cannot be sent; delete it instead.", "text")
        if len(text.encode("utf-16-le")) // 2 > 2_000:
            raise Problem(400, "A message has at most 2,000 characters.", "text")
        await person.edit(message, text)
        return {}

    async def delete(self, asked: Asked) -> Json:
        person, _, message = self._message(asked)
        await person.delete(message)
        return {}

    async def react(self, asked: Asked) -> Json:
        person, channel, message = self._message(asked)
        emoji, add = asked.text("emoji").strip(), asked.truth("add")
        mine = person.user.id in message.reactions.get(emoji, ())
        if not 0 < len(emoji) <= EMOJI_CHARACTERS or message.ephemeral:
            raise Problem(400, "That cannot be a reaction here.", "emoji")
        if not channel.permissions_of(person.user) & Permission.ADD_REACTIONS and emoji not in message.reactions:
            raise Problem(403, "You do not have permission to add reactions here.")
        if add and emoji not in message.reactions and len(message.reactions) >= REACTIONS_LIMIT:
            raise Problem(409, f"A message has at most {REACTIONS_LIMIT} different reactions.")
        if add is not mine:
            self._world.react(message, person.user, emoji, add=add)
        return {}

    async def typing(self, asked: Asked) -> Json:
        person = asked.person()
        await person.type(asked.channel(person))
        return {}

    def _message(self, asked: Asked) -> tuple[Person, Channel, Message]:
        person = asked.person()
        channel = asked.channel(person)
        return person, channel, asked.message(person, channel)

    # Commands

    async def command(self, asked: Asked) -> Json:
        person = asked.person()
        channel = asked.channel(person)
        name = asked.text("command")
        options = self._options(asked, person, channel, name)
        interaction = await person.slash(channel, name, **options)
        asked.use_up()
        return await self._outcome(interaction)

    async def autocomplete(self, asked: Asked) -> Json:
        person = asked.person()
        channel = asked.channel(person)
        name, option = asked.text("command"), asked.text("option")
        options = self._options(asked, person, channel, name, partly=True)
        options.pop(option, None)
        try:
            choices = await person.autocomplete(channel, name, option=option, value=asked.text("value"), **options)
        except TimeoutError:
            raise Problem(504, "The application did not suggest anything in time.", option) from None
        return {"choices": [{"name": choice["name"], "value": choice["value"]} for choice in choices]}

    async def menu(self, asked: Asked) -> Json:
        person = asked.person()
        channel = asked.channel(person)
        name = asked.text("command")
        if not asked.has("user"):
            interaction = await person.message_menu(channel, name, asked.message(person, channel))
            return await self._outcome(interaction)
        target = self._world.users.get(asked.identity("user"))
        if target is None:
            raise Problem(404, "There is no such user.", "user")
        return await self._outcome(await person.user_menu(channel, name, target))

    def _options(self, asked: Asked, person: Person, channel: Channel, name: str, *, partly: bool = False) -> Json:
        """Each option's value as `Person.slash` takes it. `partly`: what cannot be taken yet is left out."""
        offered = {each["name"]: each for each in commands_json(person, channel) if each["kind"] == "slash"}
        command = offered.get(name)
        if command is None:
            raise Problem(404, f"There is no /{name} for you here.")
        known = {option["name"]: option for option in command["options"]}
        given = {key: value for key, value in asked.object("options").items() if value is not None}
        for unknown in given.keys() - known.keys():
            raise Problem(400, f"/{name} has no option “{unknown}”.", unknown)
        if not partly:
            for missing in (key for key, option in known.items() if option["required"] and key not in given):
                raise Problem(400, f"“{missing}” is required.", missing)
        values: Json = {}
        for key, value in given.items():
            try:
                values[key] = self._value(asked, known[key], value)
            except Problem:
                if not partly:
                    raise
        return values

    def _value(self, asked: Asked, option: Json, value: Any) -> object:
        name, kind = option["name"], OptionType[option["type"].upper()]
        if kind is OptionType.ATTACHMENT:
            return asked.upload(value, name)
        if kind in (OptionType.USER, OptionType.ROLE, OptionType.CHANNEL, OptionType.MENTIONABLE):
            return self._picked(option["type"], value, name)
        problem = _wrong(option, kind, value)
        if problem is not None:
            raise Problem(400, problem, name)
        return value

    def _picked(self, kind: str, value: Any, field: str) -> User | Role | Channel:
        """Whom or what an id means."""
        identity = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else 0
        guild = self._scene.guild
        found: User | Role | Channel | None = None
        if kind in ("user", "mentionable"):
            found = self._world.users.get(identity)
        if found is None and kind in ("role", "mentionable"):
            found = guild.roles.get(identity)
        if kind == "channel":
            found = guild.channels.get(identity)
        if found is None:
            raise Problem(400, f"“{field}” has to be a {kind} from the list.", field)
        return found

    # Components and modals

    async def click(self, asked: Asked) -> Json:
        person, _, message = self._message(asked)
        return await self._outcome(await person.click(message, custom_id=asked.text("id")))

    async def select(self, asked: Asked) -> Json:
        person, _, message = self._message(asked)
        custom_id, values = asked.text("id"), asked.texts("values")
        found = [each for each in walk(message.components) if each.get("custom_id") == custom_id]
        if not found or found[0]["type"] not in SELECT_KINDS:
            raise Problem(404, "That menu is not there any more.")
        picked = self._all_picked(SELECT_KINDS[found[0]["type"]], values, custom_id)
        return await self._outcome(await person.select(message, picked, custom_id=custom_id))

    def _all_picked(self, kind: str, values: list[str], field: str) -> list[Any]:
        return list(values) if kind == "string" else [self._picked(kind, value, field) for value in values]

    async def modal(self, asked: Asked) -> Json:
        person = asked.person()
        interaction = self._world.interaction_by_id(asked.identity("interaction"))
        if interaction is None or interaction.modal is None or interaction.user is not person.user:
            raise Problem(404, "That form is not open any more.")
        fields = {each["custom_id"]: each for each in walk(interaction.modal["components"]) if each.get("custom_id")}
        given = asked.object("values")
        for unknown in given.keys() - fields.keys():
            raise Problem(400, f"The form has no field “{unknown}”.", unknown)
        values = {name: self._filled(asked, field, given.get(name)) for name, field in fields.items()}
        submitted = await person.submit_modal(interaction, {k: v for k, v in values.items() if v is not None})
        asked.use_up()
        outcome = await self._outcome(submitted)
        if outcome["result"] != "none":  # else it stays open, as Discord's does, to be sent again
            interaction.modal = None
        return outcome

    def _filled(self, asked: Asked, field: Json, value: Any) -> Any:
        """What goes into one field; None leaves it as the bot filled it in."""
        kind, name = field["type"], field["custom_id"]
        if kind == _UPLOAD_FIELD:
            files = asked.uploads(value.get("uploads") if isinstance(value, Mapping) else [], name)
            return _counted(field, files, name)
        if kind in SELECT_KINDS or kind == _CHECKBOXES:
            return self._chosen(field, value, name)
        if kind == 4 and value is not None:
            problem = _wrong_text(field, value)
            if problem is not None:
                raise Problem(400, problem, name)
        return value

    def _chosen(self, field: Json, value: Any, name: str) -> list[Any]:
        chosen = _defaults(field) if value is None else value
        if not isinstance(chosen, list) or not all(isinstance(each, str) for each in chosen):
            raise Problem(400, "Choose from the list.", name)
        options = {option["value"] for option in field.get("options") or []}
        if options and not set(chosen) <= options:
            raise Problem(400, "Choose from the list.", name)
        kind = SELECT_KINDS.get(field["type"], "string")
        return _counted(field, self._all_picked(kind, chosen, name), name)

    # What came of it

    async def _outcome(self, interaction: Interaction) -> Json:
        outcome: Json = {"interaction": str(interaction.id), "result": "none", "modal": None, "error": None}
        try:
            await interaction.wait_for(lambda it: it.acknowledged.done(), timeout_s=ACKNOWLEDGE_WITHIN_S + 0.5)
        except TimeoutError:
            return outcome | {"error": NOT_RESPONDED}
        kind = ResponseType(interaction.acknowledged.result())
        outcome["result"] = _RESULTS.get(kind, "message")
        if interaction.modal is not None:
            person = self._scene.people[interaction.user.id]
            outcome["modal"] = modal_json(interaction.id, interaction.modal, sight_of(person, self._scene.guild))
        return outcome


def as_problem(refused: ClientRefused) -> Problem:
    """The words of Discord's client, as a sentence."""
    words = str(refused).strip().rstrip(".")
    return Problem(403, f"{words[:1].upper()}{words[1:]}.")


def _wrong(option: Json, kind: OptionType, value: Any) -> str | None:
    """What Discord's client has against a value, in words."""
    name = option["name"]
    assert kind not in NESTED
    if kind is OptionType.BOOLEAN:
        return None if isinstance(value, bool) else f"“{name}” has to be true or false."
    if kind is OptionType.STRING:
        if not isinstance(value, str):
            return f"“{name}” has to be a text."
        measure, unit = len(value.encode("utf-16-le", "surrogatepass")) // 2, " characters"
        if option["required"] and not value.strip():
            return f"“{name}” is required."
    else:
        whole = kind is OptionType.INTEGER
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return f"“{name}” has to be a {'whole number' if whole else 'number'}."
        measure, unit = value, ""
    if option["choices"] and value not in [choice["value"] for choice in option["choices"]]:
        return f"“{name}” has to be one of the choices."
    if option["min"] is not None and measure < option["min"]:
        return f"“{name}” has to be at least {option['min']:g}{unit}."
    if option["max"] is not None and measure > option["max"]:
        return f"“{name}” has to be at most {option['max']:g}{unit}."
    return None


def _wrong_text(field: Json, value: Any) -> str | None:
    if not isinstance(value, str):
        return "This has to be a text."
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2
    low, high = field.get("min_length") or 0, field.get("max_length") or 4_000
    if not value:
        return "This is required." if field.get("required", True) else None
    if not low <= length <= high:
        return f"This has to have {low} to {high} characters." if low else f"This has at most {high} characters."
    return None


def _defaults(field: Json) -> list[str]:
    chosen = [option["value"] for option in field.get("options") or [] if option.get("default")]
    return chosen + [str(default["id"]) for default in field.get("default_values") or []]


def _counted(field: Json, chosen: list[Any], name: str) -> list[Any]:
    low, high = field.get("min_values", 1), field.get("max_values") or len(field.get("options") or []) or 1
    if not chosen and not field.get("required", True):
        return chosen
    if not low <= len(chosen) <= high:
        raise Problem(400, f"Choose {low}." if low == high else f"Choose {low} to {high}.", name)
    return chosen


def checked_advance(asked: Asked, scene: Scene) -> float:
    """By how many seconds the clock shall go forward."""
    seconds = asked.number("advance_s")
    if not 0 < seconds <= ADVANCE_LIMIT_S:
        raise Problem(400, "Time passes by more than nothing and at most 366 days at once.", "advance_s")
    if scene.world.clock.advanced_s + seconds > TOTAL_LIMIT_S:
        raise Problem(409, "The sandbox is 20 years ahead already; start it with --fresh.", "advance_s")
    return seconds
