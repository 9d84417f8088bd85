"""Discord's rules for the body of a message, from whatever route it comes.

Sources: https://discord.com/developers/docs/resources/message#create-message and
https://discord.com/developers/docs/resources/message#embed-object-embed-limits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.discord.cdn import Attachment, Upload
from sandbox.discord.components import check_message_components, number
from sandbox.discord.messages import Mentions, Message, MessageFlag
from sandbox.discord.places import Channel, User
from sandbox.discord.refusals import Json, Path, Problems, refusal, snowflake, utf16_length

CONTENT_LIMIT: Final = 2_000
EMBED_TOTAL_LIMIT: Final = 6_000
FILES_LIMIT: Final = 10
_MENTIONS_LIMIT: Final = 100
_SETTABLE: Final = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.COMPONENTS_V2
_SETTABLE_AT_BIRTH: Final = _SETTABLE | MessageFlag.SUPPRESS_NOTIFICATIONS
_EMBED_TEXTS: Final = (("title", 256), ("description", 4096))
_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedMentions:
    parse: frozenset[str] = frozenset({"users", "roles", "everyone"})
    users: frozenset[int] = frozenset()
    roles: frozenset[int] = frozenset()
    replied_user: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A body that passed. None leaves a field of an edited message as it is, and is the field's default in a new one.

    `kept` lists the attachments that stay, by id; None keeps all.
    """

    content: str | None = None
    embeds: list[Json] | None = None
    components: list[Json] | None = None
    flags: int | None = None
    allowed_mentions: AllowedMentions = AllowedMentions()
    kept: frozenset[int] | None = None
    uploads: tuple[Upload, ...] = ()
    reply_to_id: int | None = None
    reply_must_exist: bool = True
    tts: bool = False
    nonce: int | str | None = None


Files = Mapping[int, Upload]


def read_message(
    body: Json,
    files: Files,
    *,
    upload_limit_bytes: int,
    editing: Message | None = None,
    for_interaction: bool = False,
) -> Draft:
    """The draft that `body` and its `files` (by their number n of `files[n]`) make.

    Raises Refusal: 50035 with what is wrong where, 50006 for a message with nothing in it, 40005 for too large a file.
    """
    for upload in files.values():
        if len(upload.content) > upload_limit_bytes:
            raise refusal(40005)
    problems = Problems()
    content = _content(problems, body)
    flags = _flags(problems, body, editing=editing, for_interaction=for_interaction)
    kept, uploads = _attachments(problems, body, files, editing)
    old_flags = editing.flags if editing else 0
    v2 = bool(((flags or 0) | old_flags) & MessageFlag.COMPONENTS_V2)
    embeds = _embeds(problems, body)
    names = frozenset(upload.name for upload in uploads) | frozenset(
        attachment.filename for attachment in _remaining(editing, kept)
    )
    components = _components(problems, body, v2=v2, filenames=names)
    if v2:
        _refuse_legacy_fields(problems, body, editing)
    reply_to_id, must_exist = _reference(problems, body)
    draft = Draft(
        content=content,
        embeds=embeds,
        components=components,
        flags=flags,
        allowed_mentions=_allowed_mentions(problems, body),
        kept=kept,
        uploads=uploads,
        reply_to_id=reply_to_id,
        reply_must_exist=must_exist,
        tts=bool(body.get("tts")),
        nonce=body.get("nonce"),
    )
    problems.done()
    _refuse_empty(draft, editing)
    return draft


def _content(problems: Problems, body: Json) -> str | None:
    if "content" not in body:
        return None
    content = body["content"]
    if content is None:
        return ""
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        content = str(content)
    if not problems.text(("content",), content, high=CONTENT_LIMIT):
        return None
    return str(content).strip()


def _flags(problems: Problems, body: Json, *, editing: Message | None, for_interaction: bool) -> int | None:
    flags = body.get("flags")
    if flags is None:
        return None
    if not isinstance(flags, int) or isinstance(flags, bool) or flags < 0:
        problems.add(("flags",), "NUMBER_TYPE_COERCE", f"Value {str(flags)[:50]!r} is not an int.")
        return None
    allowed = _SETTABLE if editing else _SETTABLE_AT_BIRTH
    if for_interaction:
        allowed |= MessageFlag.EPHEMERAL
    if editing and editing.flags & MessageFlag.COMPONENTS_V2 and not flags & MessageFlag.COMPONENTS_V2:
        message = "The Components V2 flag cannot be removed."
        problems.add(("flags",), "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG", message)
    return flags & allowed


def _attachments(
    problems: Problems, body: Json, files: Files, editing: Message | None
) -> tuple[frozenset[int] | None, tuple[Upload, ...]]:
    listed = body.get("attachments")
    if "attachments" not in body:
        kept, uploads = None, tuple(files.values())
    elif listed is None:
        kept, uploads = frozenset[int](), tuple(files.values())
    elif not isinstance(listed, list):
        problems.add(("attachments",), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return None, ()
    else:
        kept, uploads = _listed(problems, listed, files, editing)
    if len(_remaining(editing, kept)) + len(uploads) > FILES_LIMIT:
        problems.add(("attachments",), "BASE_TYPE_MAX_LENGTH", f"Must be {FILES_LIMIT} or fewer in length.")
    return kept, uploads


def _listed(
    problems: Problems, listed: list[Any], files: Files, editing: Message | None
) -> tuple[frozenset[int], tuple[Upload, ...]]:
    """Each entry names a file that comes, by its number, or an attachment that stays, by its id."""
    existing = {attachment.id for attachment in editing.attachments} if editing else set()
    kept: set[int] = set()
    named: dict[int, Upload] = {}
    for index, entry in enumerate(listed):
        identity = snowflake(entry.get("id")) if isinstance(entry, dict) else None
        if identity is not None and identity in files:
            named[identity] = _described(problems, files[identity], entry, index)
        elif identity is not None and identity in existing:
            kept.add(identity)
        else:
            message = "The attachment is neither among the uploaded files nor in the message."
            problems.add(("attachments", index, "id"), "ATTACHMENT_NOT_FOUND", message)
    return frozenset(kept), tuple(named.get(key, upload) for key, upload in files.items())


def _described(problems: Problems, upload: Upload, entry: Json, index: int) -> Upload:
    description = entry.get("description")
    if description is not None and not problems.text(("attachments", index, "description"), description, high=1024):
        description = None
    return Upload(
        name=entry.get("filename") or upload.name,
        content=upload.content,
        content_type=upload.content_type,
        description=description,
    )


def _remaining(editing: Message | None, kept: frozenset[int] | None) -> list[Attachment]:
    if editing is None:
        return []
    return [attachment for attachment in editing.attachments if kept is None or attachment.id in kept]


def _embeds(problems: Problems, body: Json) -> list[Json] | None:
    if "embeds" not in body:
        return None
    embeds = body["embeds"] or []
    if not isinstance(embeds, list) or not all(isinstance(embed, dict) for embed in embeds):
        problems.add(("embeds",), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return None
    problems.length(("embeds",), embeds, high=10)
    total = sum(_embed(problems, embed, index) for index, embed in enumerate(embeds))
    if total > EMBED_TOTAL_LIMIT:
        message = f"Embed size exceeds maximum size of {EMBED_TOTAL_LIMIT}"
        problems.add(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", message)
    return [{"type": "rich", **embed} for embed in embeds]


def _embed(problems: Problems, embed: Json, index: int) -> int:
    """Checks one embed and gives how much of the total it takes."""
    parts: list[tuple[Path, Any, int]] = [((name,), embed.get(name), limit) for name, limit in _EMBED_TEXTS]
    parts.append((("footer", "text"), (embed.get("footer") or {}).get("text"), 2048))
    parts.append((("author", "name"), (embed.get("author") or {}).get("name"), 256))
    fields = embed.get("fields") or []
    problems.length(("embeds", index, "fields"), fields, high=25)
    total = 0
    for number_, field in enumerate(fields):
        for name, limit in (("name", 256), ("value", 1024)):
            path = ("embeds", index, "fields", number_, name)
            if not field.get(name):
                problems.required(path)
            elif problems.text(path, field[name], high=limit):
                total += utf16_length(field[name])
    for path_, text, limit in parts:
        if text is not None and problems.text(("embeds", index, *path_), text, high=limit):
            total += utf16_length(text)
    return total


def _components(problems: Problems, body: Json, *, v2: bool, filenames: frozenset[str]) -> list[Json] | None:
    if "components" not in body:
        return None
    components = body["components"] or []
    if components:
        check_message_components(problems, components, v2=v2, filenames=filenames)
    return None if problems.errors else number(components)


def _refuse_legacy_fields(problems: Problems, body: Json, editing: Message | None) -> None:
    message = "The 'content', 'embeds', 'stickers' and 'poll' fields cannot be used with Components V2."
    for name in ("content", "embeds", "sticker_ids", "poll"):
        left = getattr(editing, name, None) if editing and name not in body else None
        if body.get(name) or left:
            problems.add((name,), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", message)


def _reference(problems: Problems, body: Json) -> tuple[int | None, bool]:
    reference = body.get("message_reference")
    if not reference:
        return None, True
    identity = snowflake(reference.get("message_id")) if isinstance(reference, dict) else None
    if identity is None:
        problems.required(("message_reference", "message_id"))
        return None, True
    return identity, reference.get("fail_if_not_exists", True) is not False


def _allowed_mentions(problems: Problems, body: Json) -> AllowedMentions:
    given = body.get("allowed_mentions")
    if given is None:
        return AllowedMentions()
    path = ("allowed_mentions",)
    if not isinstance(given, dict):
        problems.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return AllowedMentions()
    parse = given.get("parse") or []
    if not set(parse) <= {"users", "roles", "everyone"}:
        problems.choice((*path, "parse"), "('users', 'everyone', 'roles')")
    lists: dict[str, frozenset[int]] = {}
    for name in ("users", "roles"):
        ids = [snowflake(value) for value in given.get(name) or []]
        if None in ids:
            problems.add((*path, name), "NUMBER_TYPE_COERCE", "Value is not snowflake.")
        problems.length((*path, name), ids, high=_MENTIONS_LIMIT)
        if ids and name in parse:
            message = f'parse:["{name}"] and {name}: [ids...] are mutually exclusive.'
            problems.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message)
        lists[name] = frozenset(value for value in ids if value is not None)
    return AllowedMentions(parse=frozenset(parse), replied_user=bool(given.get("replied_user")), **lists)


def _refuse_empty(draft: Draft, editing: Message | None) -> None:
    content = draft.content if draft.content is not None else editing.content if editing else ""
    embeds = draft.embeds if draft.embeds is not None else editing.embeds if editing else []
    components = draft.components if draft.components is not None else editing.components if editing else []
    if not (content or embeds or components or draft.uploads or _remaining(editing, draft.kept)):
        raise refusal(50006)


def mentions_in(
    text: str, channel: Channel, allowed: AllowedMentions, *, may_mention_everyone: bool, replied_to: User | None
) -> Mentions:
    """Whom `text` mentions in `channel`, as far as `allowed` lets it, and the author it replies to."""
    world, guild = channel.world, channel.guild
    users: dict[int, User] = {}
    for found in _USER.findall(text):
        user = world.users.get(int(found))
        if user is not None and ("users" in allowed.parse or user.id in allowed.users):
            users[user.id] = user
    if replied_to is not None and allowed.replied_user:
        users[replied_to.id] = replied_to
    if guild is None:
        return Mentions(users=tuple(users.values()))
    ids = [int(found) for found in _ROLE.findall(text)]
    roles = {
        role.id: role
        for role in (guild.roles[key] for key in ids if key in guild.roles)
        if ("roles" in allowed.parse or role.id in allowed.roles) and (role.mentionable or may_mention_everyone)
    }
    everyone = may_mention_everyone and "everyone" in allowed.parse and _EVERYONE.search(text) is not None
    return Mentions(users=tuple(users.values()), roles=tuple(roles.values()), everyone=everyone)
