"""The sandbox's terminal: what typed lines mean, how the screen is drawn, and whole conversations as a process."""

import asyncio
import codecs
import fcntl
import io
import os
import pty
import re
import signal
import socket
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.terminal.child import environment
from sandbox.terminal.keyboard import lines
from sandbox.terminal.keys import Closed, Line
from sandbox.terminal.screen import Glass, end_of, harmless, width, wrapped
from sandbox.terminal.stage import open_stage
from sandbox.terminal.typed import Misunderstood, Order, Press, Slash, Text, understand, value_of

ROOT = Path(__file__).parents[2]
WAIT_S = 30

ASK: dict[str, Any] = {
    "name": "ask",
    "type": 1,
    "description": "x",
    "options": [
        {"type": 3, "name": "prompt"},
        {"type": 3, "name": "model"},
        {"type": 5, "name": "private"},
        {"type": 11, "name": "image"},
    ],
}
HISTORY: dict[str, Any] = {
    "name": "history",
    "type": 1,
    "options": [{"type": 1, "name": "show", "description": "x"}, {"type": 1, "name": "clear", "description": "x"}],
}
COMMANDS = [ASK, HISTORY, {"name": "help", "type": 1, "options": []}, {"name": "Ask about this", "type": 3}]


# What typed lines mean


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("/ask", {}),
        ("/ask What is 2+2?", {"prompt": "What is 2+2?"}),
        ("/ask prompt:Why? model:gpt-4o private:true", {"prompt": "Why?", "model": "gpt-4o", "private": "true"}),
        ("/ask  Two  spaces   image:a cat.png ", {"prompt": "Two  spaces", "image": "a cat.png"}),
        ("/ask image: a cat, model: a tree", {"prompt": "image: a cat, model: a tree"}),
        ("/ask see http://image:80 now", {"prompt": "see http://image:80 now"}),
        ('/ask prompt:"say model:x" model:y', {"prompt": "say model:x", "model": "y"}),
        ('/ask prompt:"a" and "b"', {"prompt": '"a" and "b"'}),
        ("/ask a\nb", {"prompt": "a\nb"}),
    ],
)
def test_a_commands_options_are_told_from_its_text(line: str, options: dict[str, str]):
    found = understand(line, COMMANDS)
    assert isinstance(found, Slash)
    assert (found.command, found.options) == ("ask", options)


def test_a_sub_command_belongs_to_the_name():
    found = understand("/history show", COMMANDS)
    assert isinstance(found, Slash)
    assert (found.command, found.specification["name"]) == ("history show", "show")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/", "There is no /"),
        ("/nope", "/ask, /help, /history clear"),
        ("/history", "/history show, /history clear"),
        ("/history gone", "/history show"),
        ("/help me", "'me'"),
        ("/ask x model:a model:b", "model is given twice"),
        ("/ask x prompt:y", "prompt is given twice"),
    ],
)
def test_a_command_that_is_none_is_answered_with_what_there_is(line: str, says: str):
    with pytest.raises(Misunderstood, match=re.escape(says)):
        understand(line, COMMANDS)


def test_buttons_orders_and_plain_words_are_told_apart():
    assert understand(":2", []) == Press(button=2)
    assert understand(":3.1", []) == Press(button=1, message=3)
    assert understand(":as Noam", []) == Order(word="as", rest="Noam")
    assert understand(" :quit ", []) == Order(word="quit", rest="")
    for words in ("hello", "@bot hello", ":) fine", ": 1", "1 / 2"):
        assert understand(words, []) == Text(text=words)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(3, "x", "x"), (4, "7", 7), (10, "0.5", 0.5), (5, "True", True), (5, "no", False)],
)
def test_a_value_is_read_by_its_options_type(kind: int, text: str, value: object):
    assert value_of({"name": "o", "type": kind}, text) == value


@pytest.mark.parametrize(("kind", "text"), [(4, "x"), (4, "0.5"), (10, "much"), (5, "maybe")])
def test_a_value_of_another_type_is_refused_by_name(kind: int, text: str):
    with pytest.raises(Misunderstood, match=r"^o is"):
        value_of({"name": "o", "type": kind}, text)


def test_a_choice_is_taken_by_value_or_by_name():
    option = {"name": "model", "type": 3, "choices": [{"name": "The Large One", "value": "large"}]}
    assert value_of(option, "LARGE") == value_of(option, "the large one") == "large"
    with pytest.raises(Misunderstood, match="model is one of: large"):
        value_of(option, "small")


# Keys


@pytest.mark.parametrize(
    ("keys", "typed"),
    [
        (b"abc\x7f\x7f", "a"),
        (b"one two \x17", "one "),
        (b"one\x15two", "two"),
        (b"a\x1b[Cb\x1b[3~c\x1bOD\x1bd", "abc"),
        ("ké🎉\x7f".encode(), "ké"),
        (b"a\x04\x00b\tc", "ab c"),
        (b"one\rtwo\r\x1b[A", "two"),
        (b"one\rtwo\r\x1b[A\x1b[A\x1b[A", "one"),
        (b"one\r\x1b[A\x1b[B", ""),
    ],
)
def test_keys_edit_the_lines_end(keys: bytes, typed: str):
    line = Line()
    line.feed(keys)
    assert line.text == typed


@given(
    st.lists(st.sampled_from([b"a", "é".encode(), "🎉".encode(), b"\r", b"\x7f", b"\x1b[A", b"\x1b[1;5C", b"\x1bOB"])),
    st.data(),
)
def test_keys_mean_the_same_however_they_arrive(keys: list[bytes], data: st.DataObject):
    whole = b"".join(keys)
    cut = data.draw(st.integers(0, len(whole)))
    at_once, in_parts = Line(), Line()
    expected = at_once.feed(whole)
    assert in_parts.feed(whole[:cut]) + in_parts.feed(whole[cut:]) == expected
    assert in_parts.text == at_once.text


def test_the_end_of_input_counts_on_an_empty_line_alone():
    line = Line()
    line.feed(b"a\x04")
    line.feed(b"\x7f")
    with pytest.raises(Closed):
        line.feed(b"\x04")


async def test_lines_are_whole_however_their_bytes_arrive():
    async def source():
        for part in ("eins\r\nzw\u00f6".encode()[:9], "\u00f6".encode()[1:], b"lf\n\nend"):
            yield part

    assert [line async for line in lines(source())] == ["eins", "zwölf", "", "end"]


# The screen


class Terminal:
    """As much of a terminal as the screen asks for: 80 columns, and rows without end."""

    def __init__(self) -> None:
        self.rows, self.row, self.column = [""], 0, 0

    def take(self, text: str) -> None:
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part.endswith("A") and part[0] == "\x1b":
                self.row -= int(part[2:-1] or 1)
            elif part == "\x1b[J":
                self.rows[self.row :] = [self.rows[self.row][: self.column]]
            elif part[0] != "\x1b":
                before = self.rows[self.row][: self.column].ljust(self.column)
                self.rows[self.row] = before + part + self.rows[self.row][self.column + len(part) :]
                self.column += len(part)


words = st.text(st.sampled_from("ab "), max_size=30)
steps = st.lists(st.tuples(st.booleans(), st.lists(words, max_size=4), words))


@given(steps)
def test_what_grows_is_replaced_and_what_has_ended_stays_above_it(steps: list[tuple[bool, Sequence[str], str]]):
    out = io.StringIO()
    glass, terminal = Glass(out), Terminal()
    printed: list[str] = []
    shown: list[str] = [""]
    for stays, rows, typed in steps:
        if stays:
            glass.print(rows)
            printed += rows
        else:
            glass.show(rows, "> ", typed)
            shown = [*rows, f"> {typed}"]
        terminal.take(out.getvalue())
        out.seek(0)
        out.truncate()
        assert terminal.rows == [*printed, *shown]
    glass.close()
    terminal.take(out.getvalue())
    assert terminal.rows == [*printed, ""]


def test_what_grows_past_the_terminal_shows_its_end():
    out = io.StringIO()
    Glass(out).show([f"row {number}" for number in range(100)], "> ", "")
    assert out.getvalue().split("\r\n")[0].endswith("row 78")
    assert out.getvalue().count("\r\n") < 24


@given(st.text(), st.integers(3, 20))
def test_rows_lose_nothing_and_never_fill_the_terminal(text: str, columns: int):
    line = harmless(text)
    rows = wrapped(line, columns)
    assert "".join(rows) == line
    assert max(map(width, rows)) < columns
    assert line.endswith(end_of(line, columns))
    assert width(end_of(line, columns)) <= columns


@given(st.text())
def test_nothing_that_others_wrote_moves_the_cursor(text: str):
    shown = harmless(text + "\x1b[2J\x9b\r\n\u2028")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", shown)


# The stage


async def test_people_and_channels_have_the_same_ids_in_every_run_and_messages_do_not():
    async def ids() -> tuple[list[int], int]:
        async with open_stage() as stage:
            people = list(stage.people.values())
            places = [*stage.channels.values(), *(stage.discord.world.dm(person.user) for person in people)]
            said = await people[0].say(places[0], "x")
            return [stage.discord.application_id, *(p.user.id for p in people), *(c.id for c in places)], said.id

    (first, message), (second, later) = await ids(), await ids()
    assert first == second
    assert first[-1] < message <= later  # two runs in one millisecond are no two runs of a person


async def test_the_bots_surroundings_name_the_stand_ins_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every variable that could send the bot elsewhere is set, so a `.env` file cannot: the environment wins."""
    for name in ("DISCORD_TOKEN", "MINITOOLAI_API_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "the real one")
    async with open_stage() as stage:
        surroundings = environment(stage, tmp_path)
        assert surroundings["DISCORD_TOKEN"] == stage.discord.bot_token
        assert surroundings["DISCORD_API_URL"] == stage.discord.api_url
        assert surroundings["MINITOOLAI_API_URL"] == stage.api.url
    assert "the real one" not in surroundings.values()
    assert surroundings["DATABASE_URL"] == f"sqlite:///{tmp_path}/bot.db"


# Whole conversations


class Sandbox:
    """`python -m sandbox` with its input and output in our hands."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    @classmethod
    async def start(cls, state: Path, *arguments: str) -> "Sandbox":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox", "--terminal", "--state", str(state), *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return cls(process)

    async def until(self, words: str) -> str:
        """All that was printed up to the line with `words`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while words not in self.output:
                line = await self.process.stdout.readline()
                assert line, f"ended without {words!r}: {self.output}"
                self.output += line.decode()
        return self.output

    async def end(self, *typed: str) -> int:
        """The exit status, once these lines and the end of input were given."""
        async with asyncio.timeout(WAIT_S):
            rest, _ = await self.process.communicate(
                "".join(f"{line}\n" for line in typed).encode() if self.process.stdin else None
            )
        self.output += rest.decode()
        assert self.process.returncode is not None
        return self.process.returncode


def is_free(state: Path) -> bool:
    """Whether no bot has the database."""
    with (state / "bot.db.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def test_a_newcomer_asks_presses_and_finds_it_remembered_in_the_next_run(tmp_path: Path):
    state = tmp_path / "a state with spaces"
    first = await Sandbox.start(state)
    status = await first.end("/ask What is a fjord? max_tokens:5", "@bot hello", "/nope", "/ask x temperature:3", ":1")
    assert status == 0, first.output
    assert first.output.startswith("Answers come from a simulation")
    assert first.output.count("shared memory") == 3
    assert "[1] MiniToolAI (for Dana's /ask)\n    > What is a fjord?\n    This is a" in first.output
    assert "[2] Dana\n    @MiniToolAI hello\n[3] MiniToolAI (replying to Dana)\n" in first.output
    assert "    :1 Continue  :2 Regenerate  :3 Delete\n" in first.output
    assert "-- There is no /nope." in first.output
    assert "-- Discord's client does not let you: temperature lies between" in first.output
    assert "writing…" not in first.output
    second = await Sandbox.start(state)
    assert await second.end("/history show", ":quit") == 0
    assert "What is a fjord?" in second.output
    assert "only Dana sees this" in second.output


async def test_a_form_is_filled_in_and_other_people_and_places_are_reached(tmp_path: Path):
    sandbox = await Sandbox.start(tmp_path)
    status = await sandbox.end(
        "a fact", ":apps 1 Ask about this", "Is it true?", ":as noam", ":in dm", "just us", ":in nowhere", ":restart"
    )
    assert status == 0, sandbox.output
    assert "MiniToolAI (for Dana)\n" in sandbox.output or "Ask about this)\n" in sandbox.output
    assert "Is it true?" in sandbox.output.split("[2]")[1]
    assert "-- You are Noam in @MiniToolAI." in sandbox.output
    assert "[4] MiniToolAI" in sandbox.output
    assert "-- The channels here are general, random, thread and dm." in sandbox.output
    assert "-- The bot is back." in sandbox.output


async def test_it_serves_on_after_the_inputs_end_and_leaves_no_bot_behind_at_sigterm(tmp_path: Path):
    sandbox = await Sandbox.start(tmp_path, "--serve")
    assert sandbox.process.stdin is not None
    sandbox.process.stdin.close()
    await sandbox.until("Serving until a signal.")
    assert not is_free(tmp_path)
    sandbox.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WAIT_S):
        assert await sandbox.process.wait() == 0
    assert is_free(tmp_path)


async def test_a_bot_that_dies_is_reported_with_its_last_words(tmp_path: Path):
    lock = tmp_path / "bot.db.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sandbox = await Sandbox.start(tmp_path, "--serve")
        assert await sandbox.end() == 1
    assert "The bot ended with exit status 1" in sandbox.output
    assert "is in use by another process" in sandbox.output
    assert "Traceback" not in sandbox.output


async def test_a_taken_port_is_one_sentence(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = await Sandbox.start(tmp_path, "--port", str(taken.getsockname()[1]))
        assert await sandbox.end() == 1
    assert sandbox.output.startswith("The sandbox cannot start:")
    assert sandbox.output.count("\n") == 1


async def test_a_closed_input_is_one_that_has_ended(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$0" -m sandbox --terminal --state "$1" <&-', sys.executable, str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    sandbox = Sandbox(process)
    assert await sandbox.end() == 0, sandbox.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--port", "x"], "not a port"), (["--api-url", "http://x"], "needs --api-key"), (["--nope"], "unrecognized")],
)
async def test_wrong_arguments_are_refused(tmp_path: Path, arguments: list[str], says: str):
    sandbox = await Sandbox.start(tmp_path, *arguments)
    assert await sandbox.end() == 2
    assert says in sandbox.output


async def test_on_a_terminal_an_answer_grows_is_stopped_and_the_terminal_given_back(tmp_path: Path):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--terminal", "--state", str(tmp_path)),
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    output, decoder = "", codecs.getincrementaldecoder("utf-8")()
    arrived = asyncio.Event()

    def take() -> None:
        nonlocal output
        output += decoder.decode(os.read(ours, 65_536))
        arrived.set()

    async def until(words: str) -> None:
        nonlocal output
        async with asyncio.timeout(WAIT_S):
            while words not in output:
                arrived.clear()
                await arrived.wait()
        output = output.partition(words)[2]

    asyncio.get_running_loop().add_reader(ours, take)
    try:
        await until("Dana #general> ")
        os.write(ours, b"/ask a long one please\r")
        await until("writing…")
        await until(":1 Stop")
        os.write(ours, b":1\r")
        await until("Stopped.")
        await until(":1 Regenerate")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == 0
        assert termios.tcgetattr(theirs) == before
        assert is_free(tmp_path)
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
        os.close(theirs)
