"""The stream decoder: any bytes, in any cut."""

import itertools
import json
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ProviderError, StreamBroken, StreamReported
from bot.minitoolai.chat import ChatEvent, Finished, TextDelta, Usage
from bot.minitoolai.events import ChatDecoder, FieldDecoder, error_message, one_line, well_formed

_HEAD = (
    '{"id":"chatcmpl-B5qoZsT8kFDNJK3UyGLiJmjv6Pp90","object":"chat.completion.chunk","created":1740734359,'
    '"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_06737a9306",'
)
DOCUMENTED = (
    f'data: {_HEAD}"choices":[{{"index":0,"delta":{{"content":"Ok"}},"logprobs":null,"finish_reason":null}}],'
    '"usage":null}\n'
    f'data: {_HEAD}"choices":[{{"index":0,"delta":{{"content":"."}},"logprobs":null,"finish_reason":null}}],'
    '"usage":null}\n'
    f'data: {_HEAD}"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}],"usage":null}}\n'
    f'data: {_HEAD}"choices":[],"usage":{{"prompt_tokens":17,"completion_tokens":3,"total_tokens":20,'
    '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,'
    '"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}\n'
    "data: [DONE]\n"
).encode()
"""The answer that the API's guide prints, letter for letter (it prints no blank lines)."""
DOCUMENTED_EVENTS = [
    TextDelta("Ok"),
    TextDelta("."),
    Finished("stop"),
    Usage(prompt_tokens=17, completion_tokens=3),
]


def chunk(content: object = None, *, reason: str | None = None, **more: object) -> str:
    """One chunk as JSON; without content its delta is empty."""
    delta = {} if content is None else {"content": content}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more})


def stream(*data: str, end: str = "\n") -> bytes:
    """Each datum as an event of its own."""
    return "".join(f"data: {datum}{end}{end}" for datum in data).encode()


STOP = chunk(reason="stop")


def decoded(pieces: Iterable[bytes], **options: int) -> tuple[list[ChatEvent], str | None]:
    """All events, and the error that ended them if one did, with neighbouring deltas told apart."""
    decoder = ChatDecoder(**options)
    events: list[ChatEvent] = []
    try:
        for piece in pieces:
            for event in decoder.feed(piece):
                events.append(event)  # noqa: PERF402 - what came before an error must be kept
        for event in decoder.end():
            events.append(event)  # noqa: PERF402
    except ProviderError as error:
        return events, f"{type(error).__name__}: {error}"
    return events, None


def text_of(body: bytes) -> str:
    events, error = decoded([body])
    assert error is None
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def sse_events(pieces: Iterable[bytes]) -> list[bytes]:
    """Whole events in the standard's sense, from the field decoder."""
    decoder = FieldDecoder()
    events: list[bytes] = []
    data: list[bytes] = []
    values = [value for piece in pieces for value in decoder.feed(piece)]
    for value in [*values, *decoder.end()]:
        if value is not None:
            data.append(value)
        elif data:
            events.append(b"\n".join(data))
            data = []
    return events


def cuts_of(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[low:high] for low, high in itertools.pairwise(edges)]


FIXTURES: dict[str, bytes] = {
    "documented": DOCUMENTED,
    "blank lines": DOCUMENTED.replace(b"\n", b"\n\n"),
    "crlf": DOCUMENTED.replace(b"\n", b"\r\n\r\n"),
    "cr": DOCUMENTED.replace(b"\n", b"\r\r"),
    "mixed ends": stream(chunk("a")) + stream(chunk("b"), end="\r\n") + stream(chunk("c"), STOP, "[DONE]", end="\r"),
    "bom": b"\xef\xbb\xbf" + stream(chunk("a"), STOP),
    "comments": b": hello\n\n" + stream(chunk("a")) + b":\n: ping\n\n" + stream(STOP, "[DONE]"),
    "other fields": b"event: message\nid: 7\nretry: 10\nnonsense\n" + stream(chunk("a"), STOP),
    "characters": stream(
        *(json.dumps(json.loads(chunk(t)), ensure_ascii=False) for t in ("é", "שלום", "👩‍👩‍👧")), STOP
    ),
    "multi-line": b'data: {"choices": [{"delta": {"content": "a"}}\ndata: ]\ndata:}\n\n' + stream(STOP),
    "split pair": stream(
        '{"choices":[{"delta":{"content":"a\\ud83d"}}]}', '{"choices":[{"delta":{"content":"\\ude00b"}}]}'
    )
    + stream(STOP),
    "lone surrogate": stream('{"choices":[{"delta":{"content":"a\\ud83d"}}]}', chunk("b"), STOP),
    "error object": stream(chunk("a"), '{"error":{"message":"overloaded"}}', chunk("never")),
    "no json": stream(chunk("a"), "{oops", chunk("never")),
    "no end": stream(chunk("a"), chunk("b")),
    "torn usage": stream(chunk("a"), STOP) + b'data: {"choices":[],"usage":{"prom',
    "after done": stream(chunk("a"), STOP, "[DONE]", chunk("never"), "{oops"),
}


@pytest.mark.parametrize("name", FIXTURES)
@given(places=st.lists(st.integers(0, 5_000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_cuts_give_what_one_piece_gives(name: str, places: list[int]) -> None:
    body = FIXTURES[name]
    assert decoded(cuts_of(body, places)) == decoded([body])


@pytest.mark.parametrize("name", FIXTURES)
def test_every_single_cut_and_every_byte_alone_give_what_one_piece_gives(name: str) -> None:
    body = FIXTURES[name]
    whole = decoded([body])
    for place in range(len(body) + 1):
        assert decoded([body[:place], body[place:]]) == whole, place
    assert decoded(body[i : i + 1] for i in range(len(body))) == whole


def test_the_documented_answer_is_read_as_documented() -> None:
    assert decoded([DOCUMENTED]) == (DOCUMENTED_EVENTS, None)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_every_line_ending_of_the_standard_ends_a_line(end: str) -> None:
    assert decoded([DOCUMENTED.replace(b"\n", end.encode())]) == (DOCUMENTED_EVENTS, None)


def test_without_blank_lines_a_delta_is_given_at_once() -> None:
    decoder = ChatDecoder()
    assert list(decoder.feed(f"data: {chunk('a')}\n".encode())) == [TextDelta("a")]
    assert list(decoder.feed(f"data: {chunk('b')}\n".encode())) == [TextDelta("b")]


@given(
    st.lists(
        st.lists(
            st.binary(max_size=8).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")), min_size=1, max_size=4
        ),
        max_size=5,
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 500), max_size=8),
)
@settings(deadline=None)
def test_data_lines_are_joined_by_one_newline(events: list[list[bytes]], end: bytes, places: list[int]) -> None:
    body = b"".join(b"".join(b"data: " + line + end for line in lines) + end for lines in events)
    assert sse_events(cuts_of(body, places)) == [b"\n".join(lines) for lines in events]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"]),
        (
            b": test stream\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
            [b"first", b"second", b" third"],
        ),
        (b"data\n\ndata\ndata\n\ndata:\n", [b"", b"\n", b""]),
        (b"data:test\n\ndata: test\n\n", [b"test", b"test"]),
    ],
)
def test_the_standards_own_examples_are_read_as_it_says(body: bytes, events: list[bytes]) -> None:
    """Their unfinished last events count here, which the standard would drop."""
    assert sse_events([body]) == events


def test_only_the_lf_right_after_a_cr_belongs_to_it() -> None:
    body = b"data: a\r\n\ndata: b\r\n\r\n"
    assert sse_events(body[i : i + 1] for i in range(len(body))) == [b"a", b"b"]


def test_no_other_byte_ends_a_line() -> None:
    for byte in set(range(256)) - set(b"\r\n"):
        line = b"a" + bytes([byte])
        assert sse_events([b"data: " + line, b"b\n\n"]) == [line + b"b"], byte


def test_a_bom_counts_only_at_the_very_start() -> None:
    bom = b"\xef\xbb\xbf"
    assert sse_events([bom + b"data: a\n" + bom + b"data: b\n\n"]) == [b"a"]
    assert sse_events([bom + b"data: a\n\n" + bom + b"data: b\n\n"]) == [b"a"]
    assert sse_events([b"\n" + bom + b"data: a\n\n"]) == []


def test_an_object_may_stand_on_several_data_lines() -> None:
    assert decoded([FIXTURES["multi-line"]]) == ([TextDelta("a"), Finished("stop")], None)


def test_a_last_event_without_its_line_end_counts() -> None:
    body = stream(chunk("a")) + f"data: {STOP}".encode()
    assert decoded([body]) == ([TextDelta("a"), Finished("stop")], None)


def test_an_answer_with_a_finish_reason_is_whole_without_done_and_usage() -> None:
    assert decoded([stream(chunk("a"), STOP)]) == ([TextDelta("a"), Finished("stop")], None)


def test_an_answer_with_done_is_whole_without_a_finish_reason() -> None:
    assert decoded([stream(chunk("a"), "[DONE]")]) == ([TextDelta("a")], None)


@pytest.mark.parametrize("done", [" [DONE]", "[DONE] ", "\t[DONE]"])
def test_white_space_around_done_changes_nothing(done: str) -> None:
    decoder = ChatDecoder()
    events = list(decoder.feed(stream(chunk("a"), done, chunk("never"))))
    assert (events, decoder.done) == ([TextDelta("a")], True)


@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n", stream(chunk("a")), stream(chunk("a"), chunk())])
def test_a_body_that_ends_before_the_answer_is_broken(body: bytes) -> None:
    assert decoded([body])[1] == "StreamBroken: the body ended before the answer did"


def test_a_torn_rest_before_the_finish_reason_breaks_the_stream() -> None:
    rest = b'{"choices":[{"delta":{"con'
    words = f"StreamBroken: an event of {len(rest)} bytes that is not JSON"
    assert decoded([stream(chunk("a")) + b"data: " + rest]) == ([TextDelta("a")], words)


def test_a_torn_rest_after_the_finish_reason_is_no_loss() -> None:
    assert decoded([FIXTURES["torn usage"]]) == ([TextDelta("a"), Finished("stop")], None)


def test_whatever_follows_done_is_passed_over() -> None:
    assert decoded([FIXTURES["after done"]]) == ([TextDelta("a"), Finished("stop")], None)
    assert decoded([stream("[DONE]"), f"data: {chunk('never')}".encode()]) == ([], None)


@pytest.mark.parametrize("reason", ["", 7, None])
def test_only_a_word_is_a_finish_reason(reason: object) -> None:
    body = stream(json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": reason}]}))
    assert decoded([body]) == ([TextDelta("a")], "StreamBroken: the body ended before the answer did")


def test_an_answer_finishes_once() -> None:
    assert decoded([stream(STOP, chunk(reason="length"))]) == ([Finished("stop")], None)


@pytest.mark.parametrize(
    "odd",
    [
        '{"choices":[{"index":0,"delta":{"role":"assistant"}}]}',
        '{"choices":[{"delta":{"role":"assistant","content":"","refusal":null}}]}',
        '{"choices":[{"delta":{"content":null}}]}',
        '{"choices":[{"delta":null}]}',
        '{"choices":[{"delta":{"content":7}}]}',
        '{"choices":[null]}',
        '{"choices":[]}',
        '{"choices":null}',
        '{"prompt_filter_results":[{"a":1}]}',
        '{"error":null,"usage":null}',
        '{"usage":{"prompt_tokens":"many","completion_tokens":1}}',
        '{"usage":{"prompt_tokens":-1,"completion_tokens":1}}',
        '{"usage":{"prompt_tokens":true,"completion_tokens":1}}',
        "{}",
        "",
        "   ",
    ],
)
def test_chunks_that_say_nothing_are_passed_over(odd: str) -> None:
    assert decoded([stream(odd, chunk("a"), odd, STOP, odd)]) == ([TextDelta("a"), Finished("stop")], None)


def test_cached_tokens_are_read_and_never_exceed_the_prompt() -> None:
    def usage(cached: object) -> str:
        return json.dumps(
            {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": cached}}}
        )

    events, _ = decoded([stream(usage(4), usage(99), usage(None), "[DONE]")])
    assert [event.cached_tokens for event in events if isinstance(event, Usage)] == [4, 9, 0]


@pytest.mark.parametrize("details", [None, [], 7, {}])
def test_without_details_of_the_prompt_no_token_was_cached(details: object) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": details}
    events, _ = decoded([stream(json.dumps({"usage": usage}), "[DONE]")])
    assert events == [Usage(prompt_tokens=9, completion_tokens=2)]


def test_zero_tokens_are_a_count() -> None:
    events, _ = decoded([stream('{"usage":{"prompt_tokens":0,"completion_tokens":0}}', "[DONE]")])
    assert events == [Usage(prompt_tokens=0, completion_tokens=0)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ('{"error":{"message":"overloaded","type":"server_error"}}', "overloaded"),
        ('{"error":"out of\\nluck"}', "out of luck"),
        ('{"error":{"code":7}}', "an error without a message"),
        ('{"error":true}', "an error without a message"),
    ],
)
def test_an_error_object_ends_the_answer_with_its_message(error: str, words: str) -> None:
    assert decoded([stream(chunk("a"), error)]) == ([TextDelta("a")], f"StreamReported: {words}")


@pytest.mark.parametrize("bad", ["{oops", "[1, 2]", "7", '"text"', "null", "[" * 100_000, "{", "\x00"])
def test_data_that_is_no_json_object_breaks_the_stream_and_is_not_quoted(bad: str) -> None:
    events, error = decoded([stream(chunk("a"), bad)])
    assert events == [TextDelta("a")]
    assert error is not None
    assert error.startswith("StreamBroken: an event ")
    assert "oops" not in error


@pytest.mark.parametrize(("bad", "kind"), [("[1, 2]", "list"), ("7", "int"), ("null", "NoneType")])
def test_json_that_is_no_object_is_named_by_its_kind(bad: str, kind: str) -> None:
    assert decoded([stream(bad)])[1] == f"StreamBroken: an event that is a JSON {kind}, not an object"


def test_torn_utf8_costs_a_character_and_not_the_answer() -> None:
    assert text_of(stream("@", STOP).replace(b"@", b'{"choices":[{"delta":{"content":"a\xffb"}}]}')) == "a\ufffdb"


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=())), max_size=6))
@settings(deadline=None)
def test_deltas_join_to_what_their_utf16_says(pieces: list[str]) -> None:
    """Cut the text anywhere, even inside a pair: what arrives is the text with lone surrogates replaced."""
    text = text_of(stream(*(chunk(piece) for piece in pieces), STOP))
    assert text == "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text.encode()


@pytest.mark.parametrize(
    ("high", "low", "character"),
    [("\ud83d", "\ude00", "😀"), ("\ud800", "\udc00", "\U00010000"), ("\udbff", "\udfff", "\U0010ffff")],
)
def test_a_pair_split_between_two_deltas_becomes_one_character(high: str, low: str, character: str) -> None:
    body = stream(chunk(f"any{high}"), chunk(f"{low}b"), STOP)
    assert decoded([body]) == ([TextDelta("any"), TextDelta(f"{character}b"), Finished("stop")], None)


def test_a_high_surrogate_at_the_very_end_is_replaced() -> None:
    events, _ = decoded([stream('{"choices":[{"delta":{"content":"a\\ud83d"},"finish_reason":"stop"}]}')])
    assert events == [TextDelta("a"), TextDelta("\ufffd"), Finished("stop")]


def test_a_megabyte_line_in_small_pieces_is_read() -> None:
    body = stream(chunk("x" * 2_000_000), STOP)
    events, error = decoded(body[i : i + 64] for i in range(0, len(body), 64))
    assert error is None
    assert [len(event.text) for event in events if isinstance(event, TextDelta)] == [2_000_000]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 300, b": " + b"x" * 300])
def test_a_line_beyond_the_limit_breaks_the_stream_before_it_ends(line: bytes) -> None:
    pieces = [stream(chunk("a")), *(line[i : i + 10] for i in range(0, len(line), 10))]
    events, error = decoded(pieces, limit_bytes=200)
    assert events == [TextDelta("a")]
    assert error == "StreamBroken: a line of more than 200 bytes"


def test_a_line_of_exactly_the_limit_is_read_however_often_it_comes() -> None:
    line = b"data: " + b"x" * 194
    decoder = FieldDecoder(limit_bytes=200)
    for _ in range(2):
        assert [*decoder.feed(line[:100]), *decoder.feed(line[100:]), *decoder.feed(b"\n")] == [b"x" * 194]
    with pytest.raises(StreamBroken):
        list(decoder.feed(line + b"x"))


def test_the_limit_is_for_one_line_and_not_for_the_stream() -> None:
    body = stream(*[chunk("a")] * 50, STOP)
    events, error = decoded((body[i : i + 10] for i in range(0, len(body), 10)), limit_bytes=200)
    assert error is None
    assert len(events) == 51


def test_an_event_of_endless_short_lines_breaks_the_stream() -> None:
    _, error = decoded((b"data: [\n" for _ in range(1_000)), limit_bytes=200)
    assert error == "StreamBroken: an event of more than 200 bytes"


def test_an_event_of_exactly_the_limit_is_read_however_often_it_comes() -> None:
    lines = ["{", '"usage":', "null}"]
    limit = sum(len(line) + 1 for line in lines)  # with the newline that joins it to the next
    event = "".join(f"data: {line}\n" for line in lines) + "\n"
    body = event.encode() * 2 + stream(STOP)
    assert decoded([body], limit_bytes=limit) == ([Finished("stop")], None)
    assert decoded([body], limit_bytes=limit - 1)[1] == f"StreamBroken: an event of more than {limit - 1} bytes"


def test_empty_data_lines_without_end_are_bounded_too() -> None:
    _, error = decoded((b"data:\n" for _ in range(1_000)), limit_bytes=200)
    assert error == "StreamBroken: an event of more than 200 bytes"


def test_a_long_stream_leaves_nothing_behind_in_the_decoder() -> None:
    decoder = ChatDecoder()
    body = stream(chunk("word " * 20)) + b": ping\n\n"
    list(decoder.feed(body))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2_000):
            list(decoder.feed(body))
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "b"}, "b"),
        ({"message": "c"}, "c"),
        ({"error": {}, "message": "d"}, "d"),
        ({"error": {"error": {"message": "e"}}}, "e"),
        ({"error": {"error": {"error": {"message": "too deep"}}}}, ""),
        ({"error": 7}, ""),
        (["f"], ""),
        (None, ""),
    ],
)
def test_the_message_is_found_wherever_the_api_puts_it(body: object, words: str) -> None:
    assert error_message(body) == words


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_detail_is_one_bounded_printable_line(text: str) -> None:
    line = one_line(well_formed(text) * 3)
    assert len(line) <= 500
    assert line.isprintable()


def test_an_overload_is_told_apart_from_a_break() -> None:
    decoder = ChatDecoder()
    with pytest.raises(StreamReported, match="overloaded"):
        list(decoder.feed(stream('{"error":{"message":"overloaded"}}')))
    with pytest.raises(StreamBroken):
        list(ChatDecoder().feed(stream("{oops")))
