"""Embeds, files, components and modals as the page gets them. The shapes are those of PROTOCOL.md.

What comes in is what the loopback Discord's REST would send: addresses of attachments are resolved.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from sandbox.discord.cdn import Attachment
from sandbox.discord.messages import walk
from sandbox.discord.places import Guild, User
from sandbox.discord.refusals import Json
from sandbox.web.markdown import Names, blocks, line

SPOILER_PREFIX: Final = "SPOILER_"
FILES: Final = "/files/"
SELECT_KINDS: Final = {3: "string", 5: "user", 6: "role", 7: "mentionable", 8: "channel"}
_STYLES: Final = {1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link", 6: "secondary"}


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What somebody sees with: names of mentions, what can be picked, and the files at hand by their address here."""

    names: Names
    guild: Guild
    cdn_url: str
    files: Mapping[str, Attachment]


def attachment_json(attachment: Attachment) -> Json:
    return _media(
        name=attachment.filename,
        content_type=attachment.content_type,
        identity=str(attachment.id),
        size=attachment.size,
        url=FILES + attachment.path,
        width=attachment.width,
        height=attachment.height,
        description=attachment.description,
        spoiler=attachment.filename.startswith(SPOILER_PREFIX),
    )


def media_json(item: Json, sight: Sight) -> Json:
    """An unfurled media item, or an embed's image, as it stands in a message; `description` and `spoiler` beside it."""
    url = str((item.get("media") or item.get("file") or item).get("url", ""))
    description, spoiler = item.get("description"), bool(item.get("spoiler"))
    if url.startswith(f"{sight.cdn_url}/"):
        path = unquote(url.removeprefix(f"{sight.cdn_url}/").partition("?")[0])
        if (attachment := sight.files.get(path)) is not None:
            shown = attachment_json(attachment)
            shown["description"] = description or shown["description"]
            shown["spoiler"] = spoiler or shown["spoiler"]
            return shown
        return _media(name=path.rpartition("/")[2], url=FILES + path, description=description, spoiler=spoiler)
    external = url if url.startswith(("http://", "https://")) else None
    return _media(name=url.rpartition("/")[2] or url, external=external, description=description, spoiler=spoiler)


def _media(
    *,
    name: str,
    content_type: str = "",
    identity: str | None = None,
    size: int | None = None,
    url: str | None = None,
    external: str | None = None,
    width: int | None = None,
    height: int | None = None,
    description: str | None = None,
    spoiler: bool = False,
) -> Json:
    kind = content_type.partition("/")[0]
    return {
        "id": identity,
        "name": name,
        "kind": kind if kind in ("image", "video", "audio") else "file",
        "content_type": content_type,
        "size": size,
        "url": url,
        "external": external,
        "width": width,
        "height": height,
        "description": description,
        "spoiler": spoiler,
    }


# Embeds


def embed_json(embed: Json, sight: Sight) -> Json:
    author = embed.get("author")
    return {
        "title_html": line(embed["title"], sight.names) if embed.get("title") else None,
        "url": _web(embed.get("url")),
        "description_html": blocks(embed["description"], sight.names) if embed.get("description") else None,
        "colour": _colour(embed.get("color")),
        "author": {"name": str(author.get("name", "")), "url": _web(author.get("url"))} if author else None,
        "fields": [
            {
                "name_html": line(str(field.get("name", "")), sight.names),
                "value_html": blocks(str(field.get("value", "")), sight.names),
                "inline": bool(field.get("inline")),
            }
            for field in embed.get("fields") or []
        ],
        "image": media_json(embed["image"], sight) if embed.get("image") else None,
        "thumbnail": media_json(embed["thumbnail"], sight) if embed.get("thumbnail") else None,
        "footer": str(embed["footer"].get("text", "")) if embed.get("footer") else None,
        "timestamp_s": _unix(embed.get("timestamp")),
    }


def _web(url: Any) -> str | None:
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None


def _colour(number: Any) -> str | None:
    return f"#{number & 0xFFFFFF:06x}" if isinstance(number, int) else None


def _unix(moment: Any) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp() if moment else None
    except (TypeError, ValueError):
        return None


# Components


def component_json(component: Json, sight: Sight) -> Json:
    """Unknown kinds come as `{"type": "unknown"}`."""
    make = _MADE.get(component.get("type", 0))
    return make(component, sight) if make else {"type": "unknown"}


def _row(row: Json, sight: Sight) -> Json:
    return {"type": "row", "components": _all(row, sight)}


def _all(component: Json, sight: Sight) -> list[Json]:
    return [component_json(inner, sight) for inner in component.get("components") or []]


def _button(button: Json, _: Sight) -> Json:
    return {
        "type": "button",
        "id": button.get("custom_id"),
        "style": _STYLES.get(button.get("style", 2), "secondary"),
        "label": button.get("label"),
        "emoji": _emoji(button.get("emoji")),
        "disabled": bool(button.get("disabled")),
        "url": _web(button.get("url")),
    }


def _emoji(emoji: Any) -> str | None:
    """A custom one is its name: no picture comes from elsewhere."""
    if not isinstance(emoji, dict) or not emoji.get("name"):
        return None
    return f":{emoji['name']}:" if emoji.get("id") else str(emoji["name"])


def select_json(select: Json, sight: Sight) -> Json:
    """All kinds of it, with what can be picked listed."""
    kind = SELECT_KINDS[select["type"]]
    chosen = {str(default["id"]) for default in select.get("default_values") or []}
    options = select.get("options") or [] if kind == "string" else _pickable(kind, sight)
    return {
        "type": "select",
        "id": select.get("custom_id"),
        "kind": kind,
        "placeholder": select.get("placeholder"),
        "min": select.get("min_values", 1),
        "max": select.get("max_values", 1),
        "disabled": bool(select.get("disabled")),
        "required": bool(select.get("required", True)),
        "options": [_option(option, chosen) for option in options],
    }


def _option(option: Json, chosen: set[str]) -> Json:
    return {
        "label": str(option["label"]),
        "value": str(option["value"]),
        "description": option.get("description"),
        "emoji": _emoji(option.get("emoji")),
        "default": bool(option.get("default")) or option["value"] in chosen,
    }


def _pickable(kind: str, sight: Sight) -> list[Json]:
    users: list[User] = [member.user for member in sight.guild.members.values()]
    people = [{"label": f"@{sight.names.of('user', str(user.id))}", "value": str(user.id)} for user in users]
    roles = [{"label": f"@{role.name}", "value": str(role.id)} for role in sight.guild.roles.values() if role.position]
    if kind == "channel":
        return [
            {"label": f"#{name}", "value": identity}
            for identity, name in sight.names.channels.items()
            if int(identity) in sight.guild.channels
        ]
    return {"user": people, "role": roles}.get(kind, people + roles)


def _text(text: Json, sight: Sight) -> Json:
    return {"type": "text", "html": blocks(str(text.get("content", "")), sight.names)}


def _section(section: Json, sight: Sight) -> Json:
    accessory = component_json(section.get("accessory") or {}, sight)
    return {"type": "section", "components": _all(section, sight), "accessory": accessory}


def _container(container: Json, sight: Sight) -> Json:
    return {
        "type": "container",
        "colour": _colour(container.get("accent_color")),
        "spoiler": bool(container.get("spoiler")),
        "components": _all(container, sight),
    }


_MADE: Final[Mapping[int, Callable[[Json, Sight], Json]]] = {
    1: _row,
    2: _button,
    **dict.fromkeys(SELECT_KINDS, select_json),
    9: _section,
    10: _text,
    11: lambda thumbnail, sight: {"type": "thumbnail", "media": media_json(thumbnail, sight)},
    12: lambda gallery, sight: {
        "type": "gallery",
        "items": [media_json(it, sight) for it in gallery.get("items") or []],
    },
    13: lambda file, sight: {"type": "file", "media": media_json(file, sight)},
    14: lambda separator, _: {
        "type": "separator",
        "divider": bool(separator.get("divider", True)),
        "large": separator.get("spacing", 1) == 2,
    },
    17: _container,
}


def shown_urls(components: list[Json], embeds: list[Json]) -> set[str]:
    """The addresses, as they stand, of all that components and embeds show: no file is shown twice."""
    found = [embed.get(key) or {} for embed in embeds for key in ("image", "thumbnail")]
    for component in walk(components):
        found += [component.get("media") or {}, component.get("file") or {}]
        found += [item.get("media") or {} for item in component.get("items") or []]
    return {str(media["url"]) for media in found if isinstance(media, dict) and "url" in media}


# Modals


def modal_json(interaction_id: int, modal: Json, sight: Sight) -> Json:
    fields: list[Json] = []
    for component in modal.get("components") or []:
        named = {"label": component.get("label"), "description": component.get("description")}
        inner = [component["component"]] if component.get("component") else component.get("components") or [component]
        fields += [_field(each, named, sight) for each in inner]
    return {"interaction": str(interaction_id), "title": str(modal.get("title", "")), "fields": fields}


def _field(field: Json, named: Json, sight: Sight) -> Json:
    kind = field.get("type")
    if kind == 10:
        return _text(field, sight)
    shown: Json = {"id": field.get("custom_id"), "required": bool(field.get("required", True))}
    shown |= {"label": named["label"] or field.get("label") or "", "description": named["description"]}
    if kind == 4:
        return shown | _text_input(field)
    if kind in SELECT_KINDS:
        return shown | select_json(field, sight) | {"required": bool(field.get("required", True))}
    if kind == 23:
        return shown | {"type": "checkbox", "value": bool(field.get("default"))}
    ranged = {"min": field.get("min_values", 1), "max": field.get("max_values", 1)}
    if kind == 19:
        return shown | ranged | {"type": "upload"}
    options = [_option(option, set()) for option in field.get("options") or []]
    if kind == 21:
        return shown | {"type": "radio", "options": options}
    if kind == 22:
        ranged = {"min": field.get("min_values", 1), "max": field.get("max_values") or len(options)}
        return shown | ranged | {"type": "checkboxes", "options": options}
    return {"type": "unknown"}


def _text_input(field: Json) -> Json:
    return {
        "type": "text_input",
        "style": "paragraph" if field.get("style") == 2 else "short",
        "value": field.get("value") or "",
        "placeholder": field.get("placeholder"),
        "min": field.get("min_length") or 0,
        "max": field.get("max_length") or 4_000,
    }
