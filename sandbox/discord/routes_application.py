"""The bot itself: who it is, its commands, its guilds, and where the gateway is."""

from typing import Any, Final

from sandbox.discord.permissions import Permission
from sandbox.discord.places import Guild
from sandbox.discord.refusals import Json, Refusal, refusal
from sandbox.discord.routes import Answer, Request, Routes
from sandbox.discord.world import World

routes: Final = Routes()

_COMMANDS: Final = "/applications/{application_id}/commands"
_GUILD_COMMANDS: Final = "/applications/{application_id}/guilds/{guild_id}/commands"
_GUILD: Final = "/guilds/{guild_id}"


@routes.on("GET", "/users/@me")
def me(world: World, _: Request) -> Any:
    return world.ready_user()


@routes.on("GET", "/users/{user_id}")
def user(world: World, request: Request) -> Any:
    found = world.users.get(request.id("user_id"))
    if found is None:
        raise refusal(10013)
    return found.payload()


@routes.on("GET", "/users/@me/guilds")
def my_guilds(world: World, _: Request) -> Any:
    return [
        {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(int(guild.members[world.bot.id].permissions)),
            "features": [],
        }
        for guild in world.guilds_of_bot()
    ]


@routes.on("DELETE", "/users/@me/guilds/{guild_id}")
def leave_guild(world: World, request: Request) -> Any:
    world.kick_bot(_guild(world, request))


@routes.on("GET", "/applications/@me")
@routes.on("GET", "/oauth2/applications/@me")
def application(world: World, _: Request) -> Any:
    return world.application_payload()


@routes.on("GET", "/applications/{application_id}/entitlements")
def entitlements(world: World, request: Request) -> Any:
    _own_application(world, request)
    return []


@routes.on("GET", "/applications/{application_id}/skus")
def skus(world: World, request: Request) -> Any:
    _own_application(world, request)
    return []


@routes.on("GET", "/applications/{application_id}/emojis")
def emojis(world: World, request: Request) -> Any:
    _own_application(world, request)
    return {"items": []}


# Commands, global and of one guild


def _own_application(world: World, request: Request) -> None:
    if request.id("application_id") != world.application_id:
        raise Refusal(403, 20012, "You are not authorized to perform this action on this application")


def _place(world: World, request: Request) -> int | None:
    """The guild whose commands are meant, None for the global ones."""
    _own_application(world, request)
    if "guild_id" not in request.params:
        return None
    return _guild(world, request).id


@routes.on("GET", _COMMANDS)
@routes.on("GET", _GUILD_COMMANDS)
def list_commands(world: World, request: Request) -> Any:
    return world.commands.all(_place(world, request))


@routes.on("PUT", _COMMANDS)
@routes.on("PUT", _GUILD_COMMANDS)
def replace_commands(world: World, request: Request) -> Any:
    place = _place(world, request)
    if not isinstance(request.body, list):
        raise refusal(50035)
    return world.commands.replace(place, request.body)


@routes.on("POST", _COMMANDS)
@routes.on("POST", _GUILD_COMMANDS)
def register_command(world: World, request: Request) -> Any:
    command, is_new = world.commands.register(_place(world, request), request.form())
    return Answer(201 if is_new else 200, command)


@routes.on("GET", f"{_COMMANDS}/{{command_id}}")
@routes.on("GET", f"{_GUILD_COMMANDS}/{{command_id}}")
def read_command(world: World, request: Request) -> Any:
    return world.commands.get(_place(world, request), request.id("command_id"))


@routes.on("PATCH", f"{_COMMANDS}/{{command_id}}")
@routes.on("PATCH", f"{_GUILD_COMMANDS}/{{command_id}}")
def edit_command(world: World, request: Request) -> Any:
    return world.commands.edit(_place(world, request), request.id("command_id"), request.form())


@routes.on("DELETE", f"{_COMMANDS}/{{command_id}}")
@routes.on("DELETE", f"{_GUILD_COMMANDS}/{{command_id}}")
def delete_command(world: World, request: Request) -> Any:
    world.commands.delete(_place(world, request), request.id("command_id"))


# Guilds


def _guild(world: World, request: Request) -> Guild:
    """Raises Refusal 10004 for none, 50001 for one where the bot is not."""
    guild = world.guilds.get(request.id("guild_id"))
    if guild is None:
        raise refusal(10004)
    if not guild.bot_present:
        raise refusal(50001)
    return guild


@routes.on("GET", _GUILD)
def read_guild(world: World, request: Request) -> Any:
    guild = _guild(world, request)
    payload = guild.payload()
    if request.flag("with_counts"):
        payload |= {"approximate_member_count": len(guild.members), "approximate_presence_count": 0}
    return payload


@routes.on("GET", f"{_GUILD}/channels")
def list_channels(world: World, request: Request) -> Any:
    channels = _guild(world, request).channels.values()
    return [
        channel.payload()
        for channel in channels
        if not channel.is_thread and channel.permissions_of(world.bot) & Permission.VIEW_CHANNEL
    ]


@routes.on("GET", f"{_GUILD}/threads/active")
def list_threads(world: World, request: Request) -> Any:
    threads = [
        thread
        for thread in _guild(world, request).threads
        if not thread.archived and thread.permissions_of(world.bot) & Permission.VIEW_CHANNEL
    ]
    joined = [thread for thread in threads if world.bot.id in thread.thread_members]
    return {
        "threads": [thread.payload() for thread in threads],
        "members": [thread.thread_member_payload(world.bot) for thread in joined],
    }


@routes.on("GET", f"{_GUILD}/roles")
def list_roles(world: World, request: Request) -> Any:
    return [role.payload() for role in _guild(world, request).roles.values()]


@routes.on("GET", f"{_GUILD}/members/{{user_id}}")
def read_member(world: World, request: Request) -> Any:
    member = _guild(world, request).members.get(request.id("user_id"))
    if member is None:
        raise refusal(10007)
    return member.payload()


@routes.on("GET", f"{_GUILD}/members/@me")
@routes.on("GET", "/users/@me/guilds/{guild_id}/member")
def read_me_as_member(world: World, request: Request) -> Any:
    return _guild(world, request).members[world.bot.id].payload()


@routes.on("PATCH", f"{_GUILD}/members/@me")
def edit_me_as_member(world: World, request: Request) -> Any:
    member = _guild(world, request).members[world.bot.id]
    body: Json = request.form()
    if "nick" in body:
        member.nick = body["nick"] or None
        world.emit_member("GUILD_MEMBER_UPDATE", member)
    return member.payload()


@routes.on("GET", f"{_GUILD}/members")
def list_members(world: World, request: Request) -> Any:
    """Needs the privileged members intent, which this application does not have."""
    _guild(world, request)
    raise refusal(50001)
