"""The environment as one frozen value.

One table, `VARIABLES`, holds what there is to set: `Settings.load` reads by it, and `python -m bot.settings` prints
`.env.example` from it. Values that depend on the catalogue (is DEFAULT_MODEL a model?) are checked by the catalogue.
"""

import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values

from bot.errors import SettingsError
from bot.money import AMOUNT_LIMIT, NANO_PER_DOLLAR, NanoDollars, parse_dollars

LogFormat = Literal["human", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

BYTES_PER_KB: Final = 1_000
BYTES_PER_MB: Final = 1_000_000
PIXELS_PER_MEGAPIXEL: Final = 1_000_000

_PERSONA: Final = (
    "You are a helpful assistant in a Discord server. Answer in the language of the question, briefly unless asked for "
    "more, and in Discord's Markdown: headings, lists, quotes and fenced code with its language; no HTML, no LaTeX."
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 leaves the choice to the system."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything the operator decides, checked. `VARIABLES` explains each field; secrets are kept out of `repr`."""

    discord_token: str = field(repr=False)
    minitoolai_api_key: str = field(repr=False)
    discord_api_url: str
    minitoolai_api_url: str
    database_url: str
    catalog_file: Path | None
    default_model: str | None
    persona: str
    history_tokens: int
    history_images: int
    max_answer_tokens: int
    max_answer_tokens_limit: int
    max_messages: int
    file_limit_bytes: int
    image_limit_bytes: int
    image_limit_pixels: int
    chat_connect_timeout_s: float
    chat_first_byte_timeout_s: float
    chat_gap_timeout_s: float
    chat_total_timeout_s: float
    chat_retries: int
    max_open_answers: int
    max_open_answers_per_member: int
    questions_per_minute: int
    picture_orders_per_member: int
    picture_orders_per_server: int
    picture_orders_open: int
    picture_line_per_member: int
    picture_line: int
    picture_timeout_s: float
    picture_polls_per_second: int
    picture_limit_bytes: int
    picture_private_addresses: bool
    shutdown_grace_s: float
    credit_nano: int
    default_allowance: str
    dm_allowance: str
    bot_monthly_ceiling_nano: NanoDollars | None
    server_monthly_ceiling_nano: NanoDollars | None
    min_answer_tokens: int
    operator_user_id: int | None
    retention_days: int
    picture_order_days: int
    guild_grace_days: int
    log_level: LogLevel
    log_format: LogFormat
    health_address: Address | None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no log line may show."""
        return tuple(getattr(self, variable.field) for variable in VARIABLES if variable.secret)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable; one that is absent, empty or blank has its default.

        Raises:
            SettingsError: at least one variable is missing or wrong; the message names all of them.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for variable in VARIABLES:
            try:
                values[variable.field] = variable.read(environ)
            except ValueError as problem:
                problems.append(f"{variable.name} {problem}")
        problems += _conflicts(values)
        if problems:
            raise SettingsError(problems)
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One environment variable.

    `parse` gets the stripped, non-empty text and raises ValueError with words that follow the variable's name; a
    secret's parser never repeats the text. `default` is the text read in place of an unset variable; None makes the
    variable required, and an empty default makes it optional, with the value None.
    """

    name: str
    field: str
    parse: Callable[[str], object]
    help: str
    default: str | None = None
    unit: str = ""
    secret: bool = False

    def read(self, environ: Mapping[str, str]) -> object:
        """The variable's value.

        Raises:
            ValueError: it is missing or wrong; the words follow the variable's name.
        """
        text = environ.get(self.name, "").strip() or self.default
        if text is None:
            raise ValueError(f"is missing: {self.help[0].lower()}{self.help[1:]}")
        return self.parse(text) if text else None


def environment(folder: Path | None = None) -> dict[str, str]:
    """The process's environment laid over the `.env` file of `folder` (the working directory), if it has one.

    Raises:
        SettingsError: the file is not UTF-8 text.
    """
    file = (folder or Path.cwd()) / ".env"
    try:
        # Not interpolated: a token is taken as it stands, even with a dollar in it. Some editors write a BOM.
        written = dotenv_values(file, interpolate=False, encoding="utf-8-sig") if file.is_file() else {}
    except UnicodeDecodeError as cause:
        raise SettingsError([f"{file} is not UTF-8 text: save it again with that encoding"]) from cause
    return {name: value for name, value in written.items() if value is not None} | dict(os.environ)


def _discord_token(text: str) -> str:
    token = _secret(re.sub(r"^Bot\s+", "", text))
    # Told apart only from what people copy by mistake: tokens have changed their shape before.
    if token.isdigit():
        raise ValueError("is an application's id; the token is on the page “Bot” of Discord's developer portal")
    if re.fullmatch(r"[0-9a-f]{64}", token):
        raise ValueError("is an application's public key; the token is on the page “Bot” of Discord's developer portal")
    if re.fullmatch(r"[\w-]{32}", token):
        raise ValueError("is a client secret; the token is on the page “Bot” of Discord's developer portal")
    return token


def _api_key(text: str) -> str:
    key = _secret(re.sub(r"^Bearer\s+", "", text))
    if re.fullmatch(r"[\w-]{23,28}\.[\w-]{6}\.[\w-]{27,}", key):  # not to be shown to anybody else, this API included
        raise ValueError("is a Discord token: the two may be swapped, and the key is in your MiniToolAI account")
    return key


def _secret(text: str) -> str:
    """A secret must fit into an HTTP header; whitespace or a quote inside is a slip in copying."""
    if not re.fullmatch(r"[!-~]+", text) or any(quote in text for quote in "\"'`"):
        raise ValueError("holds whitespace, quotes or characters beyond ASCII: copy it again, without quotes around it")
    return text


def _url(text: str) -> str:
    # The text is not repeated in the message: an address may carry a password.
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets or a port that mean nothing
        usable = False
    if not usable or re.search(r"[\s?#]", text):
        raise ValueError("must be an address such as https://example.org/api, without a query")
    return text.rstrip("/")


def _sqlite_url(text: str) -> str:
    # The storage opens it; its looks are checked here to be named along with what else is wrong.
    if not text.startswith("sqlite:///") or text.endswith("/") or ":memory:" in text:
        raise ValueError(
            "must name an SQLite file: sqlite:///data/bot.db below the working directory, or sqlite:////var/lib/bot.db"
        )
    return text


def _file(text: str) -> Path:
    path = Path(text)
    try:
        found = path.is_file()
    except OSError as cause:  # a name too long, a folder that may not be entered
        raise ValueError(f"cannot be read: {cause.strerror}") from cause
    if not found:
        raise ValueError(f"names no file: {text}")
    return path


def _text(text: str) -> str:
    return text


def _whole(low: int, high: int, *, times: int = 1) -> Callable[[str], int]:
    """A whole number between the bounds, in the variable's unit; the value is `times` as large."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text) * times

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}, not {text!r}")
        return float(text)

    return parse


def _dollars(low: str, high: str) -> Callable[[str], NanoDollars]:
    """An amount between the bounds, all written in dollars; the value is in nano-dollars."""
    lowest, highest = parse_dollars(low), parse_dollars(high)

    def parse(text: str) -> NanoDollars:
        try:
            amount = parse_dollars(text)
        except ValueError:
            amount = NanoDollars(0)
        if not lowest <= amount <= highest:
            raise ValueError(f"must be an amount in dollars from {low} to {high}, at most 9 decimals, not {text!r}")
        return amount

    return parse


def _allowance(text: str) -> str:
    # What a credit is worth is another variable: bot/credits/policy.py makes the amount of it.
    written = text.lower().replace(" ", "")
    if not re.fullmatch(r"unlimited|none|[0-9][0-9,.]*/(day|week|month|once)", written):
        raise ValueError(f"must be credits a day, week or month, or once (100/day), unlimited, or none, not {text!r}")
    return written


def _address(text: str) -> Address:
    found = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})", text)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"must be a host and a port such as 127.0.0.1:8080 or [::1]:8080, not {text!r}")
    return Address(found["six"] or found["host"], int(found["port"]))


def _snowflake(text: str) -> int:
    if not re.fullmatch(r"[0-9]{15,20}", text):
        raise ValueError(f"must be an id of Discord, 15 to 20 digits, not {text!r}")
    return int(text)


def _one_of(*words: str, fold: Callable[[str], str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if fold(text) not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text!r}")
        return fold(text)

    return parse


def _switch(text: str) -> bool:
    """`on` or `off`, whatever its case."""
    return _one_of("on", "off", fold=str.lower)(text) == "on"


def _conflicts(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between variables, each of which is right alone."""
    usual, limit = values.get("max_answer_tokens"), values.get("max_answer_tokens_limit")
    if usual is not None and limit is not None and usual > limit:
        return [f"MAX_ANSWER_TOKENS is {usual}, more than MAX_ANSWER_TOKENS_LIMIT allows, which is {limit}"]
    return []


VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(
        name="DISCORD_TOKEN",
        field="discord_token",
        parse=_discord_token,
        secret=True,
        help="Copy the bot's token from the page “Bot” of your application at https://discord.com/developers/applications.",
    ),
    Variable(
        name="MINITOOLAI_API_KEY",
        field="minitoolai_api_key",
        parse=_api_key,
        secret=True,
        help="Copy the API key from your account at https://minitoolai.com; every answer is paid from its balance.",
    ),
    Variable(
        name="DISCORD_API_URL",
        field="discord_api_url",
        parse=_url,
        default="https://discord.com/api/v10",
        help="Where Discord's API is, for a REST proxy or a stand-in. The gateway's address is asked there too.",
    ),
    Variable(
        name="MINITOOLAI_API_URL",
        field="minitoolai_api_url",
        parse=_url,
        default="https://minitoolai.com/api",
        help="Where the MiniToolAI API is.",
    ),
    Variable(
        name="DATABASE_URL",
        field="database_url",
        parse=_sqlite_url,
        default="sqlite:///data/bot.db",
        help="The SQLite file that remembers conversations; three slashes for a path below the working directory, four "
        "for an absolute one. It is created when absent.",
    ),
    Variable(
        name="CATALOG_FILE",
        field="catalog_file",
        parse=_file,
        default="",
        help="A TOML file laid over bot/catalog.toml, for new models and prices.",
    ),
    Variable(
        name="DEFAULT_MODEL",
        field="default_model",
        parse=_text,
        default="",
        help="The model that answers when none is chosen; unset, the catalogue's own.",
    ),
    Variable(
        name="PERSONA",
        field="persona",
        parse=_text,
        default=_PERSONA,
        help="The developer message: what every conversation begins with. It is sent, and paid for, each time.",
    ),
    Variable(
        name="HISTORY_TOKENS",
        field="history_tokens",
        parse=_whole(0, 1_000_000),
        default="6000",
        unit="tokens",
        help="How much of the conversation so far is sent along with a question, at most.",
    ),
    Variable(
        name="HISTORY_IMAGES",
        field="history_images",
        parse=_whole(0, 20),
        default="4",
        unit="images",
        help="How many of the conversation's earlier images are sent along, at most.",
    ),
    Variable(
        name="MAX_ANSWER_TOKENS",
        field="max_answer_tokens",
        parse=_whole(1, 100_000),
        default="1000",
        unit="tokens",
        help="How long an answer may grow when the member says nothing about it.",
    ),
    Variable(
        name="MAX_ANSWER_TOKENS_LIMIT",
        field="max_answer_tokens_limit",
        parse=_whole(1, 100_000),
        default="4000",
        unit="tokens",
        help="The longest answer that a member can ask for with max_tokens.",
    ),
    Variable(
        name="MAX_MESSAGES",
        field="max_messages",
        parse=_whole(1, 20),
        default="5",
        unit="messages of 2,000 characters",
        help="An answer that needs more messages than this comes as a file.",
    ),
    Variable(
        name="FILE_LIMIT_KB",
        field="file_limit_bytes",
        parse=_whole(1, 10_000, times=BYTES_PER_KB),
        default="200",
        unit="kB of 1,000 bytes",
        help="The largest text file that is read.",
    ),
    Variable(
        name="IMAGE_LIMIT_MB",
        field="image_limit_bytes",
        parse=_whole(1, 100, times=BYTES_PER_MB),
        default="20",
        unit="MB of 1,000,000 bytes",
        help="The largest image that is accepted.",
    ),
    Variable(
        name="IMAGE_LIMIT_MEGAPIXELS",
        field="image_limit_pixels",
        parse=_whole(1, 500, times=PIXELS_PER_MEGAPIXEL),
        default="50",
        unit="megapixels",
        help="The most pixels (width × height) that an image may have.",
    ),
    Variable(
        name="CHAT_CONNECT_TIMEOUT_S",
        field="chat_connect_timeout_s",
        parse=_seconds(0.1, 600),
        default="10",
        unit="seconds",
        help="How long to wait for a connection to the MiniToolAI API.",
    ),
    Variable(
        name="CHAT_FIRST_BYTE_TIMEOUT_S",
        field="chat_first_byte_timeout_s",
        parse=_seconds(0.1, 3600),
        default="60",
        unit="seconds",
        help="How long to wait for an answer's first byte.",
    ),
    Variable(
        name="CHAT_GAP_TIMEOUT_S",
        field="chat_gap_timeout_s",
        parse=_seconds(0.1, 3600),
        default="60",
        unit="seconds",
        help="How long an answer may pause before it counts as stalled.",
    ),
    Variable(
        name="CHAT_TOTAL_TIMEOUT_S",
        field="chat_total_timeout_s",
        parse=_seconds(1, 3600),
        default="600",
        unit="seconds",
        help="How long an answer may take as a whole. Discord lets the bot edit a reply for 900 seconds.",
    ),
    Variable(
        name="CHAT_RETRIES",
        field="chat_retries",
        parse=_whole(0, 10),
        default="3",
        unit="retries after the first attempt",
        help="How often a request is repeated that failed before its first byte. None is repeated after it.",
    ),
    Variable(
        name="MAX_OPEN_ANSWERS",
        field="max_open_answers",
        parse=_whole(1, 100_000),
        default="1000",
        unit="answers",
        help="How many answers may be written at once; whoever asks beyond that is told to wait.",
    ),
    Variable(
        name="MAX_OPEN_ANSWERS_PER_MEMBER",
        field="max_open_answers_per_member",
        parse=_whole(1, 1_000),
        default="3",
        unit="answers",
        help="How many answers to one member may be written at once.",
    ),
    Variable(
        name="QUESTIONS_PER_MINUTE",
        field="questions_per_minute",
        parse=_whole(0, 1_000),
        default="12",
        unit="questions a minute",
        help="How fast one member may ask, and order pictures, after a few at once; whoever is faster is told how long "
        "to wait, as is who cancels ten orders an hour that are being drawn. 0: no bound.",
    ),
    Variable(
        name="PICTURE_ORDERS_PER_MEMBER",
        field="picture_orders_per_member",
        parse=_whole(1, 100),
        default="2",
        unit="orders",
        help="How many orders of one member are drawn at once; what is over waits in line.",
    ),
    Variable(
        name="PICTURE_ORDERS_PER_SERVER",
        field="picture_orders_per_server",
        parse=_whole(1, 10_000),
        default="20",
        unit="orders",
        help="How many orders of one server are drawn at once; what is over waits in line, fairly among its members.",
    ),
    Variable(
        name="PICTURE_ORDERS_OPEN",
        field="picture_orders_open",
        parse=_whole(1, 10_000),
        default="500",
        unit="orders",
        help="How many orders are drawn at once in all.",
    ),
    Variable(
        name="PICTURE_LINE_PER_MEMBER",
        field="picture_line_per_member",
        parse=_whole(0, 100),
        default="5",
        unit="orders",
        help="How many orders of one member may wait in line; one more is refused. 0: nobody waits.",
    ),
    Variable(
        name="PICTURE_LINE",
        field="picture_line",
        parse=_whole(0, 100_000),
        default="2000",
        unit="orders",
        help="How many orders may wait in line in all.",
    ),
    Variable(
        name="PICTURE_TIMEOUT_S",
        field="picture_timeout_s",
        parse=_seconds(10, 3_600),
        default="300",
        unit="seconds",
        help="How long the API may take for a picture; then the order is given up, and its credits go back.",
    ),
    Variable(
        name="PICTURE_POLLS_PER_SECOND",
        field="picture_polls_per_second",
        parse=_whole(1, 10_000),
        default="200",
        unit="requests a second",
        help="How often the API is asked about open pictures, all together; with more of them each is asked about "
        "less often.",
    ),
    Variable(
        name="PICTURE_LIMIT_MB",
        field="picture_limit_bytes",
        parse=_whole(1, 100, times=BYTES_PER_MB),
        default="25",
        unit="megabytes",
        help="The largest picture that is taken from the API; IMAGE_LIMIT_MEGAPIXELS bounds its pixels.",
    ),
    Variable(
        name="PICTURE_PRIVATE_ADDRESSES",
        field="picture_private_addresses",
        parse=_switch,
        default="off",
        help="Whether pictures may be fetched from private addresses, on or off: for a stand-in of the API on this "
        "machine. In production it stays off, so that no answer of the API can make the bot read your network.",
    ),
    Variable(
        name="SHUTDOWN_GRACE_S",
        field="shutdown_grace_s",
        parse=_seconds(0, 600),
        default="10",
        unit="seconds",
        help="How long answers that are being written may go on after SIGTERM; what is left then is marked as cut off "
        "and costs nothing. Leaving takes up to 15 seconds more, so let nobody kill the process before.",
    ),
    Variable(
        name="CREDIT_USD",
        field="credit_nano",
        parse=_dollars("0.000001", "100"),
        default="0.001",
        unit="US dollars",
        help="What one credit is worth. A change alters how amounts are shown, and what the two allowances below come "
        "to; what servers have set and members have spent stays, since the ledger counts nano-dollars.",
    ),
    Variable(
        name="DEFAULT_ALLOWANCE",
        field="default_allowance",
        parse=_allowance,
        default="100/day",
        unit="credits per day, week, month or once",
        help="What each member of a server may spend where its admins have not decided: 100/day, 500/week, 2000/month, "
        "50/once, unlimited or none.",
    ),
    Variable(
        name="DM_ALLOWANCE",
        field="dm_allowance",
        parse=_allowance,
        default="25/day",
        unit="credits per day, week, month or once",
        help="What each person may spend in direct messages and where they brought the bot along themselves; written "
        "as DEFAULT_ALLOWANCE is.",
    ),
    Variable(
        name="BOT_MONTHLY_CEILING_USD",
        field="bot_monthly_ceiling_nano",
        parse=_dollars("0.01", f"{AMOUNT_LIMIT // NANO_PER_DOLLAR}"),
        default="",
        unit="US dollars a month (UTC)",
        help="The most that the whole bot may cost you in a month; beyond it nobody is served. Unset, no limit.",
    ),
    Variable(
        name="SERVER_MONTHLY_CEILING_USD",
        field="server_monthly_ceiling_nano",
        parse=_dollars("0.01", f"{AMOUNT_LIMIT // NANO_PER_DOLLAR}"),
        default="",
        unit="US dollars a month (UTC)",
        help="The most that each server may cost you in a month. Unset, no limit.",
    ),
    Variable(
        name="MIN_ANSWER_TOKENS",
        field="min_answer_tokens",
        parse=_whole(1, 100_000),
        default="100",
        unit="tokens",
        help="An answer is shortened to what the asker can still pay for, but not below this: then it is refused.",
    ),
    Variable(
        name="OPERATOR_USER_ID",
        field="operator_user_id",
        parse=_snowflake,
        default="",
        help="Your own Discord user id: who hears at 80 % and at 100 % of a monthly ceiling. Unset, only the log does.",
    ),
    Variable(
        name="RETENTION_DAYS",
        field="retention_days",
        parse=_whole(0, 3_650),
        default="180",
        unit="days",
        help="How long questions and answers are remembered, and the buttons below answers work. A server's admins can "
        "choose less, with /settings retention; 0 keeps them for ever.",
    ),
    Variable(
        name="PICTURE_ORDER_DAYS",
        field="picture_order_days",
        parse=_whole(0, 3_650),
        default="730",
        unit="days",
        help="The same for orders of pictures, which hold what was asked for. What a server's admins choose counts for "
        "both. The pictures themselves are Discord's, and stay.",
    ),
    Variable(
        name="GUILD_GRACE_DAYS",
        field="guild_grace_days",
        parse=_whole(1, 365),
        default="30",
        unit="days",
        help="After so long a server that the bot has left is erased, unless it has come back. The ledger keeps its "
        "sums.",
    ),
    Variable(
        name="LOG_LEVEL",
        field="log_level",
        parse=_one_of("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
        default="INFO",
        help="The least severe log line that is written: DEBUG, INFO, WARNING or ERROR.",
    ),
    Variable(
        name="LOG_FORMAT",
        field="log_format",
        parse=_one_of("human", "json", fold=str.lower),
        default="human",
        help="How log lines look: human, or json with one object a line.",
    ),
    Variable(
        name="HEALTH_ADDRESS",
        field="health_address",
        parse=_address,
        default="",
        help="Where the bot tells how it is, over HTTP, such as 127.0.0.1:8080: /healthz, /readyz, and /metrics for "
        "Prometheus. They show no secret and nobody's words, but are for you alone: do not open the port to the world. "
        "Unset, nobody listens.",
    ),
)


def read_one(name: str, environ: Mapping[str, str]) -> object:
    """One variable's value, for whoever needs neither token nor key.

    Raises:
        SettingsError: it is missing or wrong.
    """
    [variable] = [variable for variable in VARIABLES if variable.name == name]
    try:
        return variable.read(environ)
    except ValueError as problem:
        raise SettingsError([f"{name} {problem}"]) from problem


def example() -> str:
    """The text of `.env.example`."""
    head = _comment(
        "Copy this file to .env and fill in what is required. A variable of the real environment wins over the file.",
        "Written by `python -m bot.settings > .env.example`; what it says is the table in that module.",
    )
    return head + "".join(_entry(variable) for variable in VARIABLES)


def _entry(variable: Variable) -> str:
    notes = [variable.help]
    if variable.unit:
        notes.append(f"Unit: {variable.unit}.")
    if variable.default is None:
        return "\n" + _comment(*notes, "Required.") + f"{variable.name}=\n"
    default = variable.default or "none"
    notes.append(f"Default: {default if len(default) < 80 else 'the text below'}")
    return "\n" + _comment(*notes) + f"# {variable.name}={_quoted(variable.default)}\n"


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def _comment(*paragraphs: str) -> str:
    lines = [line for text in paragraphs for line in textwrap.wrap(text, width=116, break_on_hyphens=False)]
    return "".join(f"# {line}\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(example())
