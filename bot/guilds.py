"""What a server's admins decide, and the record of who decided what. Owns `guild_settings` and `policy_log`.

The functions take an open transaction; `Guilds` runs them one by one.
"""

import difflib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import orjson

from bot.credits.policy import zone_names
from bot.errors import ModelNotAllowed, PromptTooLong, UnknownTimeZone
from bot.pictures.defaults import PictureDefaults
from bot.privacy.values import Held, Record
from bot.storage.database import Database, Row, Tx
from bot.wordlist import WordList, WordLists

MemoryDefault = Literal["shared", "personal", "off"]
Action = Literal["allowance", "grant", "correction", "settings"]
TargetKind = Literal["member", "role", "default"]

PERSONA_LIMIT: Final = 4_000
"""Characters: what a modal's text field takes. The persona is sent, and paid for, with every question."""
LOG_PAGE_LIMIT: Final = 100
_CLOSE_ZONES: Final = 3

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuildSettings:
    """None, or an empty list of allowed models, leaves it to the operator's settings and catalogue.

    `images` says whether members can order pictures, `picture_models` from which models (the chat models are
    `allowed_models`). `age_restricted_models` draw in age-restricted channels only, beside those that the operator
    keeps to them. `retention_days` is how long questions, answers and orders are kept.

    Raises:
        UnknownTimeZone, PromptTooLong: `time_zone` or `persona` will not do.
        ModelNotAllowed: a default model is not among the allowed ones. Whether it exists is the catalogue's to say.
    """

    time_zone: str = "UTC"
    log_channel_id: int | None = None
    default_model: str | None = None
    allowed_models: tuple[str, ...] = ()
    persona: str | None = None
    images: bool = True
    memory: MemoryDefault | None = None
    picture_defaults: PictureDefaults = field(default_factory=PictureDefaults)
    picture_models: tuple[str, ...] = ()
    age_restricted_models: tuple[str, ...] = ()
    blocked_words: tuple[str, ...] = ()
    retention_days: int | None = None

    def __post_init__(self) -> None:
        if self.time_zone not in zone_names():
            raise UnknownTimeZone(self.time_zone)
        if self.persona is not None and len(self.persona) > PERSONA_LIMIT:
            raise PromptTooLong(length=len(self.persona), limit=PERSONA_LIMIT, unit="characters")
        if self.default_model is not None:
            self.check_model(self.default_model)
        drawing = self.picture_defaults.model
        if drawing is not None and self.picture_models and drawing not in self.picture_models:
            raise ModelNotAllowed(drawing, self.picture_models)

    @property
    def word_list(self) -> WordList:
        """What may not be asked for, and is masked in answers."""
        return _WORD_LISTS.of(self.blocked_words)

    @property
    def zone(self) -> ZoneInfo:
        """Where the server's days begin."""
        return ZoneInfo(self.time_zone)

    def check_model(self, model: str) -> None:
        """ModelNotAllowed where the server's admins left `model` out."""
        if self.allowed_models and model not in self.allowed_models:
            raise ModelNotAllowed(model, self.allowed_models)


_WORD_LISTS: Final = WordLists()
DEFAULTS: Final = GuildSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Whose allowance: a member's or a role's by its id, or the server's default, whose id is 0."""

    kind: TargetKind
    id: int

    def __post_init__(self) -> None:
        if (self.kind == "default") != (self.id == 0):
            raise ValueError("the default has the id 0, and nobody else has")

    @classmethod
    def member(cls, user_id: int) -> "Target":
        """One member."""
        return cls(kind="member", id=user_id)

    @classmethod
    def role(cls, role_id: int) -> "Target":
        """Everybody with that role."""
        return cls(kind="role", id=role_id)


SERVER_DEFAULT: Final = Target(kind="default", id=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Who decides, when, and why. `key` is the interaction's snowflake: the same decision twice counts once."""

    key: int
    by: int
    at: datetime
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A change as it is remembered.

    `before` and `after` are `Allowance.text` or None for allowances; what is left of all grants, in nano-dollars, for
    grants and corrections; a JSON object of the changed fields for settings.
    """

    scope_id: int
    action: Action
    decision: Decision
    target: Target | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingsChange:
    """The settings before and after a change; equal where nothing changed, which is not logged."""

    before: GuildSettings
    after: GuildSettings
    changed: tuple[str, ...] = field(default=())


def find_zone(text: str) -> str:
    """The IANA name that `text` means, whatever its case and with spaces for underscores.

    Raises:
        UnknownTimeZone: there is none; it carries the names that look like it.
    """
    wanted = "_".join(text.split())
    by_folded = {name.casefold(): name for name in zone_names()}
    found = by_folded.get(wanted.casefold())
    if found is not None:
        return found
    cities = {folded.rpartition("/")[2]: name for folded, name in sorted(by_folded.items(), reverse=True)}
    close = difflib.get_close_matches(wanted.casefold(), [*by_folded, *cities], n=2 * _CLOSE_ZONES, cutoff=0.6)
    names = dict.fromkeys(by_folded.get(match) or cities[match] for match in close)
    raise UnknownTimeZone(text, tuple(names)[:_CLOSE_ZONES])


async def read_settings(tx: Tx, guild_id: int) -> GuildSettings:
    """The server's settings, DEFAULTS where nobody has decided anything."""
    row = await tx.fetch_one("SELECT settings FROM guild_settings WHERE guild_id = ?", (guild_id,))
    if row is None:
        return DEFAULTS
    values = orjson.loads(row["settings"])
    for name in ("allowed_models", "picture_models", "age_restricted_models", "blocked_words"):
        values[name] = tuple(values.get(name, ()))
    values["picture_defaults"] = PictureDefaults(**values.get("picture_defaults", {}))
    if values["time_zone"] not in zone_names():  # the IANA database on this machine is older, or dropped the name
        values["time_zone"] = DEFAULTS.time_zone
    return GuildSettings(**values)


async def change_settings(
    tx: Tx, guild_id: int, edit: Callable[[GuildSettings], GuildSettings], decision: Decision
) -> SettingsChange:
    """Replace the settings by `edit` of them, and log which fields changed.

    Raises:
        BadRequest: what `edit`, or the checks of GuildSettings, refuse; nothing is changed.
    """
    before = await read_settings(tx, guild_id)
    after = edit(before)
    old, new = asdict(before), asdict(after)
    changed = tuple(name for name in new if new[name] != old[name])
    if changed:
        await tx.execute(
            "INSERT INTO guild_settings (guild_id, settings) VALUES (?, ?)"
            " ON CONFLICT (guild_id) DO UPDATE SET settings = excluded.settings",
            (guild_id, orjson.dumps(new).decode()),
        )
        texts = [orjson.dumps({name: values[name] for name in changed}).decode() for values in (old, new)]
        logged = Logged(scope_id=guild_id, action="settings", decision=decision, before=texts[0], after=texts[1])
        await record(tx, logged)
    return SettingsChange(before=before, after=after, changed=changed)


async def record(tx: Tx, logged: Logged) -> None:
    """Append to the log. ConstraintBroken where that decision has been logged before."""
    decision, target = logged.decision, logged.target
    await tx.execute(
        "INSERT INTO policy_log"
        " (log_id, scope_id, at_us, by_id, action, target_kind, target_id, before, after, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            decision.key,
            logged.scope_id,
            (decision.at - _EPOCH) // _MICROSECOND,
            decision.by,
            logged.action,
            None if target is None else target.kind,
            None if target is None else target.id,
            logged.before,
            logged.after,
            decision.reason,
        ),
    )


async def is_logged(tx: Tx, key: int) -> bool:
    """Whether the decision of that key was made before."""
    return await tx.fetch_one("SELECT 1 FROM policy_log WHERE log_id = ?", (key,)) is not None


async def read_log(tx: Tx, scope_id: int, *, before: int | None = None, limit: int = 10) -> tuple[Logged, ...]:
    """The newest changes first; `before` is the key of the last one of the page before."""
    rows = await tx.fetch_all(
        "SELECT * FROM policy_log WHERE scope_id = ? AND (? IS NULL OR log_id < ?) ORDER BY log_id DESC LIMIT ?",
        (scope_id, before, before, min(limit, LOG_PAGE_LIMIT)),
    )
    return tuple(map(_logged, rows))


# What goes in time, with a server, or with a person. A log of a grant stays as long as the ledger's entry does.


async def retentions(tx: Tx) -> list[tuple[int, int]]:
    """The servers that decided how long things are kept, with their days."""
    rows = await tx.fetch_all("SELECT guild_id, settings FROM guild_settings")
    chosen = [(row["guild_id"], orjson.loads(row["settings"]).get("retention_days")) for row in rows]
    return [(guild_id, days) for guild_id, days in chosen if days is not None]


async def decisions(tx: Tx, user_id: int, *, after: int, limit: int) -> list[tuple[int, Record]]:
    """The next decisions, above the id `after`, that somebody made or that were about them, each with its id."""
    rows = await tx.fetch_all(
        "SELECT * FROM policy_log WHERE (by_id = ? OR target_kind = 'member' AND target_id = ?) AND log_id > ?"
        " ORDER BY log_id LIMIT ?",
        (user_id, user_id, after, limit),
    )
    return [(row["log_id"], dict(row)) for row in rows]


async def held_decisions(tx: Tx, user_id: int) -> list[Held]:
    """How many there are, by server."""
    rows = await tx.fetch_all(
        "SELECT scope_id, COUNT(*) AS count, MIN(at_us) AS since_us FROM policy_log"
        " WHERE by_id = ? OR target_kind = 'member' AND target_id = ? GROUP BY scope_id",
        (user_id, user_id),
    )
    return [
        Held(kind="decisions", guild_id=row["scope_id"] or None, count=row["count"], since_us=row["since_us"])
        for row in rows
    ]


async def erase_names(tx: Tx, user_id: int, *, before_id: int, pseudonym: int) -> None:
    """What was decided, and when, stays; who decided it, whom it was about, and why in an admin's words, go."""
    await tx.execute(
        "UPDATE policy_log SET by_id = 0, reason = '' WHERE by_id = ? AND log_id < ?", (user_id, before_id)
    )
    await tx.execute(
        "UPDATE policy_log SET target_id = ?, reason = '' WHERE target_id = ? AND target_kind = 'member'"
        " AND log_id < ?",
        (pseudonym, user_id, before_id),
    )


async def erase_guild(tx: Tx, guild_id: int) -> None:
    """Settings and their log go. The log of grants keeps its amounts, which the ledger's are held against."""
    await tx.execute("DELETE FROM guild_settings WHERE guild_id = ?", (guild_id,))
    await tx.execute("DELETE FROM policy_log WHERE scope_id = ? AND action IN ('allowance', 'settings')", (guild_id,))
    await tx.execute(
        "UPDATE policy_log SET by_id = 0, reason = '', target_id = -1 WHERE scope_id = ?"
        " AND (by_id <> 0 OR target_id > 0)",
        (guild_id,),
    )


async def known(tx: Tx) -> list[int]:
    """The servers that somebody has decided something for."""
    rows = await tx.fetch_all(
        "SELECT guild_id FROM guild_settings UNION SELECT scope_id FROM policy_log WHERE scope_id > 0 AND by_id <> 0"
    )
    return [row["guild_id"] for row in rows]


def _logged(row: Row) -> Logged:
    return Logged(
        scope_id=row["scope_id"],
        action=row["action"],
        decision=Decision(
            key=row["log_id"],
            by=row["by_id"],
            at=_EPOCH + row["at_us"] * _MICROSECOND,
            reason=row["reason"],
        ),
        target=None if row["target_kind"] is None else Target(kind=row["target_kind"], id=row["target_id"]),
        before=row["before"],
        after=row["after"],
    )


class Guilds:
    """The same functions, each in a transaction of its own. They raise StorageError too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settings(self, guild_id: int) -> GuildSettings:
        """See `read_settings`."""
        return await self._database.read(lambda tx: read_settings(tx, guild_id))

    async def change(
        self, guild_id: int, edit: Callable[[GuildSettings], GuildSettings], decision: Decision
    ) -> SettingsChange:
        """See `change_settings`: `change(7, lambda now: replace(now, images=False), decision)`."""
        return await self._database.write(lambda tx: change_settings(tx, guild_id, edit, decision))

    async def log(self, guild_id: int, *, before: int | None = None, limit: int = 10) -> tuple[Logged, ...]:
        """See `read_log`: settings, allowances and grants together."""
        return await self._database.read(lambda tx: read_log(tx, guild_id, before=before, limit=limit))
