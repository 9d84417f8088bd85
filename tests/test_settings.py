"""Rules of the environment: what is read, what is refused and in which words, and what is never shown."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SettingsError
from bot.settings import VARIABLES, Settings, Variable, environment, example

TOKEN = "made-up.for-these.tests"
KEY = "key-made-up-for-these-tests"
REQUIRED = {"DISCORD_TOKEN": TOKEN, "MINITOOLAI_API_KEY": KEY}


def load(**variables: str) -> Settings:
    return Settings.load(REQUIRED | variables)


def problems(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(**variables)
    return raised.value.problems


def test_the_two_secrets_alone_are_enough():
    settings = load()
    assert (settings.discord_token, settings.minitoolai_api_key) == (TOKEN, KEY)
    assert settings.discord_api_url == "https://discord.com/api/v10"
    assert settings.minitoolai_api_url == "https://minitoolai.com/api"
    assert settings.database_url == "sqlite:///data/bot.db"
    assert settings.catalog_file is None
    assert settings.default_model is None
    assert settings.max_answer_tokens == 1000
    assert settings.log_format == "human"


def test_one_message_names_every_missing_and_every_wrong_variable():
    with pytest.raises(SettingsError) as raised:
        Settings.load({"HISTORY_TOKENS": "many", "LOG_LEVEL": "loud", "CHAT_RETRIES": "99"})
    names = ["DISCORD_TOKEN", "MINITOOLAI_API_KEY", "HISTORY_TOKENS", "CHAT_RETRIES", "LOG_LEVEL"]
    assert [problem.split()[0] for problem in raised.value.problems] == names
    assert all(problem in str(raised.value) for problem in raised.value.problems)


def test_a_missing_variable_says_where_its_value_is_found():
    with pytest.raises(
        SettingsError, match=r"DISCORD_TOKEN is missing: copy the bot's token .*discord\.com/developers"
    ):
        Settings.load({"MINITOOLAI_API_KEY": KEY})


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_an_empty_or_blank_variable_counts_as_unset(variable: Variable):
    if variable.default is None:
        assert f"{variable.name} is missing" in problems(**{variable.name: " "})[0]
    else:
        assert load(**{variable.name: " "}) == load(**{variable.name: ""}) == load()


@pytest.mark.parametrize("written", [f"Bot {TOKEN}", f"  {TOKEN}\n", f"Bot   {TOKEN}"])
def test_what_is_copied_along_with_a_token_is_stripped(written: str):
    assert load(DISCORD_TOKEN=written).discord_token == TOKEN


def test_the_word_bearer_before_a_key_is_stripped():
    assert load(MINITOOLAI_API_KEY=f"Bearer {KEY}").minitoolai_api_key == KEY


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("123456789012345678", "is an application's id"),
        ("0123456789abcdef" * 4, "is an application's public key"),
        ("aB3-" * 8, "is a client secret"),
        (f'"{TOKEN}"', "quotes"),
        ("two words", "whitespace"),
        ("tökén", "beyond ASCII"),
    ],
)
def test_a_token_that_is_something_else_is_refused_with_a_hint(wrong: str, words: str):
    [problem] = problems(DISCORD_TOKEN=wrong)
    assert problem.startswith("DISCORD_TOKEN")
    assert words in problem


def test_a_token_in_the_keys_place_is_refused_before_the_api_hears_it():
    [problem] = problems(MINITOOLAI_API_KEY=f"{'M' * 24}.Gabcde.{'x' * 38}")
    assert problem.startswith("MINITOOLAI_API_KEY is a Discord token")


@given(tail=st.text(), other=st.sampled_from(["MAX_MESSAGES", "NONE"]))
def test_neither_a_message_nor_a_repr_shows_a_secret(tail: str, other: str):
    secret = f"Zq7~{tail}"
    environ = {"DISCORD_TOKEN": secret, "MINITOOLAI_API_KEY": secret, other: "0"}
    try:
        shown = repr(Settings.load(environ))
    except SettingsError as error:
        shown = str(error) + repr(error)
    assert secret.strip() not in shown


def test_the_secrets_are_the_two_that_the_table_marks():
    hidden = {field.name for field in dataclasses.fields(Settings) if not field.repr}
    assert hidden == {variable.field for variable in VARIABLES if variable.secret}
    assert load().secrets == (TOKEN, KEY)
    assert TOKEN not in repr(load())
    assert KEY not in repr(load())


def test_a_password_in_an_address_is_not_repeated():
    assert "hunter2" not in problems(DISCORD_API_URL="ftp://me:hunter2@example.org")[0]
    assert "hunter2" not in problems(DATABASE_URL="postgresql://me:hunter2@example.org/bot")[0]


@pytest.mark.parametrize(
    "url", ["example.org/api", "ftp://example.org", "https://", "http://[half", "http://a:b", "http://a/?q=1"]
)
def test_an_address_must_be_http_with_a_host_and_no_query(url: str):
    assert "MINITOOLAI_API_URL must be an address" in problems(MINITOOLAI_API_URL=url)[0]


def test_a_slash_at_an_addresss_end_is_dropped():
    assert load(DISCORD_API_URL="http://127.0.0.1:8080/api/v10/").discord_api_url == "http://127.0.0.1:8080/api/v10"


@pytest.mark.parametrize("url", ["sqlite:///data/x.db", "sqlite:////var/x.db", "sqlite:///x"])
def test_a_database_is_an_sqlite_file(url: str):
    assert load(DATABASE_URL=url).database_url == url


@pytest.mark.parametrize(
    "url", ["sqlite:///", "sqlite:///data/", "sqlite:///:memory:", "bot.db", "postgresql://example.org/bot"]
)
def test_any_other_database_is_refused(url: str):
    assert "DATABASE_URL must name an SQLite file" in problems(DATABASE_URL=url)[0]


def test_a_catalogue_that_is_not_there_is_refused(tmp_path: Path):
    present = tmp_path / "catalog.toml"
    present.write_text("")
    assert load(CATALOG_FILE=str(present)).catalog_file == present
    assert "CATALOG_FILE names no file" in problems(CATALOG_FILE=str(tmp_path / "absent.toml"))[0]
    assert "CATALOG_FILE cannot be read" in problems(CATALOG_FILE="x" * 5_000)[0]


def test_sizes_are_kept_in_bytes_and_pixels():
    settings = load(FILE_LIMIT_KB="3", IMAGE_LIMIT_MB="2", IMAGE_LIMIT_MEGAPIXELS="1")
    assert (settings.file_limit_bytes, settings.image_limit_bytes) == (3_000, 2_000_000)
    assert settings.image_limit_pixels == 1_000_000


def test_seconds_may_have_a_fraction():
    assert load(CHAT_GAP_TIMEOUT_S="0.5").chat_gap_timeout_s == 0.5


@pytest.mark.parametrize("text", ["-1", "1e3", "0x10", "1.5", "٣", "1_000", "9" * 50, "nan"])
def test_a_count_is_written_in_digits_alone(text: str):
    assert "HISTORY_IMAGES must be a whole number from 0 to 20" in problems(HISTORY_IMAGES=text)[0]


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "1e2", "ten", "3601"])
def test_a_wait_is_never_endless(text: str):
    assert "CHAT_TOTAL_TIMEOUT_S must be a number of seconds from 1 to 3600" in problems(CHAT_TOTAL_TIMEOUT_S=text)[0]


def test_the_usual_answer_may_not_be_longer_than_the_longest():
    assert load(MAX_ANSWER_TOKENS="400", MAX_ANSWER_TOKENS_LIMIT="400").max_answer_tokens == 400
    [problem] = problems(MAX_ANSWER_TOKENS="500", MAX_ANSWER_TOKENS_LIMIT="400")
    assert "MAX_ANSWER_TOKENS is 500" in problem


def test_words_are_taken_in_any_case():
    settings = load(LOG_LEVEL="debug", LOG_FORMAT="JSON")
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_unknown_variables_are_nobodys_business():
    assert load(DISCORD_COLOUR="blue", CHAT_ROOM="4") == load()


def test_the_real_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("MAX_MESSAGES=3\nHISTORY_IMAGES=2\nPERSONA=a ${HOME} b\n", encoding="utf-8-sig")
    monkeypatch.setenv("MAX_MESSAGES", "7")
    monkeypatch.delenv("HISTORY_IMAGES", raising=False)
    monkeypatch.delenv("PERSONA", raising=False)
    read = environment(tmp_path)
    assert (read["MAX_MESSAGES"], read["HISTORY_IMAGES"], read["PERSONA"]) == ("7", "2", "a ${HOME} b")


def test_without_a_file_the_environment_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAX_MESSAGES", "7")
    assert environment(tmp_path)["MAX_MESSAGES"] == "7"


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path):
    (tmp_path / ".env").write_bytes("PERSONA=été".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8 text"):
        environment(tmp_path)


def test_the_table_and_the_value_have_the_same_fields():
    assert [variable.field for variable in VARIABLES] == [field.name for field in dataclasses.fields(Settings)]
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)


def test_the_example_file_is_what_the_table_says():
    written = Path(__file__).parent.parent / ".env.example"
    assert written.read_text(encoding="utf-8") == example(), "run: python -m bot.settings > .env.example"


def test_the_module_by_itself_prints_the_example():
    root = Path(__file__).parent.parent
    printed = subprocess.run([sys.executable, "-m", "bot.settings"], cwd=root, capture_output=True, timeout=30)
    assert (printed.returncode, printed.stdout.decode()) == (0, example())


def test_the_example_sets_nothing_and_read_as_written_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    (tmp_path / ".env").write_text(example().replace("\n# ", "\n#"), encoding="utf-8")
    assert {name for name in environment(tmp_path) if name in {v.name for v in VARIABLES}} == set(REQUIRED)
    assignments = [
        line.removeprefix("# ")
        for line in example().splitlines()
        if line.startswith(tuple(f"# {v.name}=" for v in VARIABLES))
    ]
    (tmp_path / ".env").write_text("\n".join(assignments), encoding="utf-8")
    assert Settings.load(environment(tmp_path) | REQUIRED) == load()


def test_the_example_says_each_variables_unit_and_default():
    for variable in VARIABLES:
        [paragraph] = [part for part in example().split("\n\n") if f"{variable.name}=" in part]
        assert variable.unit in paragraph
        assert ("Required." if variable.default is None else "Default: ") in paragraph
