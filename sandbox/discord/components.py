"""Discord's rules for components, in messages and in modals.

Source: https://discord.com/developers/docs/components/reference.
"""

from collections.abc import Callable
from typing import Any, Final

from sandbox.discord.refusals import Json, Path, Problems, utf16_length

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT_DISPLAY, THUMBNAIL, MEDIA_GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 18, 19, 21, 22, 23
SELECTS: Final = frozenset({STRING_SELECT, 5, 6, 7, 8})
V2_TOP_LEVEL: Final = frozenset({ACTION_ROW, SECTION, TEXT_DISPLAY, MEDIA_GALLERY, FILE, SEPARATOR, CONTAINER})
IN_CONTAINER: Final = V2_TOP_LEVEL - {CONTAINER}
MODAL_TOP_LEVEL: Final = frozenset({ACTION_ROW, LABEL, TEXT_DISPLAY})
IN_LABEL: Final = SELECTS | {TEXT_INPUT, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX}
V2_COMPONENTS_LIMIT: Final = 40
V2_TEXT_LIMIT: Final = 4_000
ROWS_LIMIT: Final = 5


def check_message_components(problems: Problems, components: Any, *, v2: bool, filenames: frozenset[str]) -> None:
    """`filenames` are those that `attachment://` may name."""
    check = _Check(problems, v2=v2, filenames=filenames)
    path: Path = ("components",)
    if not isinstance(components, list):
        problems.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    if not v2:
        problems.length(path, components, high=ROWS_LIMIT)
    allowed = V2_TOP_LEVEL if v2 else frozenset({ACTION_ROW})
    check.children(components, path, allowed)
    check.totals(path)


def check_modal(problems: Problems, data: Json) -> None:
    """The `data` of an interaction response of type 9."""
    path: Path = ("data",)
    problems.text((*path, "title"), data.get("title"), low=1, high=45)
    problems.text((*path, "custom_id"), data.get("custom_id"), low=1, high=100)
    components = data.get("components")
    if not isinstance(components, list):
        problems.required((*path, "components"))
        return
    problems.length((*path, "components"), components, low=1, high=ROWS_LIMIT)
    _Check(problems, v2=False, filenames=frozenset(), modal=True).children(
        components, (*path, "components"), MODAL_TOP_LEVEL
    )


def number(components: list[Json]) -> list[Json]:
    """The components as Discord keeps them: every one has an integer `id`, given in reading order where it had none."""
    used = {component["id"] for component in _all(components) if component.get("id")}
    following = iter(index for index in range(1, 10_000) if index not in used)
    for component in _all(components):
        if not component.get("id"):
            component["id"] = next(following)
    return components


def _all(components: list[Json]) -> list[Json]:
    found: list[Json] = []
    for component in components:
        found.append(component)
        found += _all(component.get("components") or [])
        found += _all([component[key] for key in ("accessory", "component") if component.get(key)])
    return found


class _Check:
    """One walk over a tree of components; totals and ids gather on the way."""

    def __init__(self, problems: Problems, *, v2: bool, filenames: frozenset[str], modal: bool = False) -> None:
        self.problems = problems
        self.v2 = v2
        self.modal = modal
        self.filenames = filenames
        self.count = 0
        self.text_length = 0
        self.custom_ids: set[str] = set()
        self.ids: set[int] = set()

    def totals(self, path: Path) -> None:
        if not self.v2:
            return
        if self.count > V2_COMPONENTS_LIMIT:
            self.problems.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "Must be 40 or fewer components.")
        if self.text_length > V2_TEXT_LIMIT:
            self.problems.add(path, "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", "Must be 4000 or fewer in length.")

    def children(self, components: Any, path: Path, allowed: frozenset[int]) -> None:
        if not isinstance(components, list):
            self.problems.required(path)
            return
        for index, component in enumerate(components):
            self.one(component, (*path, index), allowed)

    def one(self, component: Any, path: Path, allowed: frozenset[int]) -> None:
        if not isinstance(component, dict):
            self.problems.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
            return
        kind = component.get("type")
        if not isinstance(kind, int) or kind not in allowed:
            self.problems.choice((*path, "type"), f"({', '.join(map(str, sorted(allowed)))})")
            return
        self.count += 1
        identity = component.get("id")
        if identity:
            if identity in self.ids:
                self.problems.add((*path, "id"), "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated")
            self.ids.add(identity)
        _CHECKS[kind](self, component, path)

    def action_row(self, row: Json, path: Path) -> None:
        inner = row.get("components")
        path = (*path, "components")
        if not isinstance(inner, list):
            self.problems.required(path)
            return
        self.problems.length(path, inner, low=1, high=5)
        allowed = frozenset({TEXT_INPUT}) if self.modal else SELECTS | {BUTTON}
        self.children(inner, path, allowed)
        kinds = [component.get("type") for component in inner if isinstance(component, dict)]
        wide = any(kind != BUTTON for kind in kinds)
        if wide and len(kinds) > 1:
            self.problems.add(
                path, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The specified component exceeds the maximum width"
            )

    def custom_id(self, component: Json, path: Path) -> None:
        path = (*path, "custom_id")
        value = component.get("custom_id")
        if value is None:
            self.problems.required(path)
        elif self.problems.text(path, value, low=1, high=100):
            if value in self.custom_ids:
                message = "Component custom id cannot be duplicated"
                self.problems.add(path, "COMPONENT_CUSTOM_ID_DUPLICATED", message)
            self.custom_ids.add(value)

    def button(self, button: Json, path: Path) -> None:
        style = button.get("style")
        if style not in {1, 2, 3, 4, 5, 6}:
            self.problems.choice((*path, "style"), "(1, 2, 3, 4, 5, 6)")
            return
        if button.get("label") is not None:
            self.problems.text((*path, "label"), button["label"], high=80)
        if style == 5:
            self._link(button, path)
        elif style == 6:
            if not button.get("sku_id"):
                self.problems.required((*path, "sku_id"))
            return
        else:
            self.custom_id(button, path)
        if not button.get("label") and not button.get("emoji"):
            self.problems.add(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji.")

    def _link(self, button: Json, path: Path) -> None:
        if button.get("custom_id"):
            message = "A custom id and url cannot both be specified"
            self.problems.add((*path, "custom_id"), "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", message)
        url = button.get("url")
        if not url:
            self.problems.required((*path, "url"))
        elif self.problems.text((*path, "url"), url, high=512) and not url.startswith(
            ("http://", "https://", "discord://")
        ):
            message = f"Scheme {url.split(':')[0]!r} is not supported."
            self.problems.add((*path, "url"), "URL_TYPE_INVALID_SCHEME", message)

    def select(self, select: Json, path: Path) -> None:
        self.custom_id(select, path)
        if select.get("placeholder") is not None:
            self.problems.text((*path, "placeholder"), select["placeholder"], high=150)
        low, high = select.get("min_values", 1), select.get("max_values", 1)
        self._range((*path, "min_values"), low, 0, 25)
        self._range((*path, "max_values"), high, 1, 25)
        if select["type"] == STRING_SELECT:
            self.options(select.get("options"), (*path, "options"), high=25)
            if isinstance(high, int) and high > len(select.get("options") or []):
                self.problems.add(
                    (*path, "options"), "BASE_TYPE_BAD_LENGTH", f"Must be between {high} and 25 in length."
                )

    def choice_group(self, group: Json, path: Path) -> None:
        self.custom_id(group, path)
        self.options(group.get("options"), (*path, "options"), high=10)

    def options(self, options: Any, path: Path, *, high: int) -> None:
        if not isinstance(options, list):
            self.problems.required(path)
            return
        self.problems.length(path, options, low=1, high=high)
        values: set[Any] = set()
        for index, option in enumerate(options):
            here = (*path, index)
            self.problems.text((*here, "label"), option.get("label"), low=1, high=100)
            self.problems.text((*here, "value"), option.get("value"), low=1, high=100)
            if option.get("description") is not None:
                self.problems.text((*here, "description"), option["description"], high=100)
            if option.get("value") in values:
                message = "The specified option value is already used"
                self.problems.add((*here, "value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message)
            values.add(option.get("value"))

    def text_input(self, field: Json, path: Path) -> None:
        self.custom_id(field, path)
        if field.get("style") not in {1, 2}:
            self.problems.choice((*path, "style"), "(1, 2)")
        in_row = path[-2] == "components"
        if in_row or field.get("label") is not None:
            self.problems.text((*path, "label"), field.get("label"), low=1, high=45)
        self._range((*path, "min_length"), field.get("min_length", 0), 0, 4000)
        self._range((*path, "max_length"), field.get("max_length", 4000), 1, 4000)
        for name, high in (("value", field.get("max_length") or 4000), ("placeholder", 100)):
            if field.get(name) is not None:
                self.problems.text((*path, name), field[name], high=high)

    def label(self, label: Json, path: Path) -> None:
        self.problems.text((*path, "label"), label.get("label"), low=1, high=45)
        if label.get("description") is not None:
            self.problems.text((*path, "description"), label["description"], high=100)
        if label.get("component") is None:
            self.problems.required((*path, "component"))
        else:
            self.one(label["component"], (*path, "component"), IN_LABEL)

    def file_upload(self, field: Json, path: Path) -> None:
        self.custom_id(field, path)
        self._range((*path, "min_values"), field.get("min_values", 1), 0, 10)
        self._range((*path, "max_values"), field.get("max_values", 1), 1, 10)

    def section(self, section: Json, path: Path) -> None:
        inner = section.get("components")
        if isinstance(inner, list):
            self.problems.length((*path, "components"), inner, low=1, high=3)
        self.children(inner, (*path, "components"), frozenset({TEXT_DISPLAY}))
        if section.get("accessory") is None:
            self.problems.required((*path, "accessory"))
        else:
            self.one(section["accessory"], (*path, "accessory"), frozenset({BUTTON, THUMBNAIL}))

    def text_display(self, display: Json, path: Path) -> None:
        if self.problems.text((*path, "content"), display.get("content"), low=1, high=V2_TEXT_LIMIT):
            self.text_length += utf16_length(display["content"])

    def thumbnail(self, thumbnail: Json, path: Path) -> None:
        self._media(thumbnail.get("media"), (*path, "media"))

    def media_gallery(self, gallery: Json, path: Path) -> None:
        items = gallery.get("items")
        if not isinstance(items, list):
            self.problems.required((*path, "items"))
            return
        self.problems.length((*path, "items"), items, low=1, high=10)
        for index, item in enumerate(items):
            self._media(item.get("media"), (*path, "items", index, "media"))
            if item.get("description") is not None:
                self.problems.text((*path, "items", index, "description"), item["description"], high=1024)

    def file(self, file: Json, path: Path) -> None:
        media = file.get("file")
        self._media(media, (*path, "file"), attachment_only=True)

    def separator(self, separator: Json, path: Path) -> None:
        if separator.get("spacing", 1) not in {1, 2}:
            self.problems.choice((*path, "spacing"), "(1, 2)")

    def container(self, container: Json, path: Path) -> None:
        inner = container.get("components")
        if isinstance(inner, list):
            self.problems.length((*path, "components"), inner, low=1, high=V2_COMPONENTS_LIMIT)
        self.children(inner, (*path, "components"), IN_CONTAINER)

    def _media(self, media: Any, path: Path, *, attachment_only: bool = False) -> None:
        url = media.get("url") if isinstance(media, dict) else None
        if not isinstance(url, str):
            self.problems.required((*path, "url"))
            return
        if url.startswith("attachment://"):
            if url.removeprefix("attachment://") not in self.filenames:
                message = f"The referenced attachment {url!r} was not found in the uploaded files."
                self.problems.add((*path, "url"), "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", message)
        elif attachment_only or not url.startswith(("http://", "https://")):
            self.problems.add(
                (*path, "url"), "URL_TYPE_INVALID_SCHEME", "The address has no scheme that is taken here."
            )

    def _range(self, path: Path, value: Any, low: int, high: int) -> None:
        if value is not None and (not isinstance(value, int) or not low <= value <= high):
            self.problems.add(path, "NUMBER_TYPE_RANGE", f"int value should be between {low} and {high}.")


_CHECKS: Final[dict[int, Callable[[_Check, Json, Path], None]]] = {
    ACTION_ROW: _Check.action_row,
    BUTTON: _Check.button,
    TEXT_INPUT: _Check.text_input,
    SECTION: _Check.section,
    TEXT_DISPLAY: _Check.text_display,
    THUMBNAIL: _Check.thumbnail,
    MEDIA_GALLERY: _Check.media_gallery,
    FILE: _Check.file,
    SEPARATOR: _Check.separator,
    CONTAINER: _Check.container,
    LABEL: _Check.label,
    FILE_UPLOAD: _Check.file_upload,
    RADIO_GROUP: _Check.choice_group,
    CHECKBOX_GROUP: _Check.choice_group,
    CHECKBOX: _Check.custom_id,
    **dict.fromkeys(SELECTS, _Check.select),
}
