"""What a page may ask for: anything else is refused with a reason, and nothing crashes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.console import requests
from clue_ros.console.requests import MAX_MESSAGE, RequestError, parse
from clue_ros.types import Box

GOAL = "0123456789abcdef" * 2


@pytest.mark.parametrize("message, request_", [
    ({"type": "instruct", "text": "the red mug"}, requests.Instruct("the red mug")),
    ({"type": "instruct", "text": "  the\nred\tmug\x00\x1b[31m "}, requests.Instruct("the red mug [31m")),
    ({"type": "answer", "text": "<b>left</b>"}, requests.Answer(text="<b>left</b>")),
    ({"type": "answer", "click": [10, 20.5]}, requests.Answer(click=(10.0, 20.5))),
    ({"type": "answer", "box": [10, 20, 30, 40]}, requests.Answer(box=Box(10, 20, 40, 60))),
    ({"type": "point", "click": [0, 0]}, requests.Point((0.0, 0.0))),
    ({"type": "teach", "name": "my  cap", "box": [1, 2, 3, 4]}, requests.Teach("my cap", Box(1, 2, 4, 6), False)),
    ({"type": "forget", "name": "my cap"}, requests.Forget("my cap")),
    ({"type": "never_mind"}, requests.NeverMind()),
    ({"type": "cancel", "goal": GOAL}, requests.Cancel(GOAL)),
    ({"type": "replay", "bag": "r1", "episode": 0, "step": 2}, requests.Replay("r1", 0, 2)),
    ({"type": "live"}, requests.Live()),
    ({"type": "seen", "frame": 7}, requests.Seen(7)),
])  # fmt: skip
def test_what_is_taken(message, request_):
    assert parse(json.dumps(message)) == request_


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "JSON object"),
        ("no json", "JSON object"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("1", "JSON object"),
        ("{}", "type"),
        ('{"type": "eval"}', "type"),
        ('{"type": ["instruct"]}', "type"),
        ('{"type": "instruct"}', "text"),
        ('{"type": "instruct", "text": 3}', "text"),
        ('{"type": "instruct", "text": " \\u0000 "}', "empty"),
        ('{"type": "instruct", "text": "a", "file": "/etc/passwd"}', "'file'"),
        ('{"type": "answer"}', "one of"),
        ('{"type": "answer", "text": "a", "click": [1, 2]}', "one of"),
        ('{"type": "answer", "click": [1]}', "2 numbers"),
        ('{"type": "answer", "click": [1, NaN]}', "2 numbers"),
        ('{"type": "answer", "click": [1, true]}', "2 numbers"),
        ('{"type": "answer", "click": [1, 1e400]}', "2 numbers"),
        ('{"type": "answer", "click": [1, 1e9]}', "2 numbers"),
        ('{"type": "answer", "click": {"0": 1, "1": 2}}', "2 numbers"),
        ('{"type": "answer", "box": [1, 2, 0, 4]}', "one pixel"),
        ('{"type": "answer", "box": [1, 2, -5, 4]}', "one pixel"),
        ('{"type": "teach", "name": "cap", "box": [1, 2, 3, 4], "shadow": 1}', "shadow"),
        ('{"type": "teach", "name": "", "box": [1, 2, 3, 4]}', "name is empty"),
        ('{"type": "cancel", "goal": "../../etc/passwd"}', "hexadecimal"),
        ('{"type": "cancel", "goal": null}', "hexadecimal"),
        ('{"type": "replay", "bag": "../x", "episode": 0, "step": 0}', "recording"),
        ('{"type": "replay", "bag": "r1", "episode": -1, "step": 0}', "episode"),
        ('{"type": "replay", "bag": "r1", "episode": 1.5, "step": 0}', "episode"),
        ('{"type": "seen", "frame": true}', "frame"),
        ('{"type": "seen", "frame": 1' + "0" * 30 + "}", "frame"),
        pytest.param('{"type": "seen", "frame": 1' + "0" * 6000 + "}", ".", id="an endless number"),
        pytest.param("[" * 10000, "JSON object", id="deep"),
        pytest.param(json.dumps({"type": "instruct", "text": "x" * 1001}), "1001", id="long"),
        pytest.param(json.dumps({"type": "instruct", "text": "x" * MAX_MESSAGE}), "bytes", id="longer"),
        pytest.param(
            json.dumps({"type": "instruct", "text": "ü" * 8192}, ensure_ascii=False),
            "bytes",
            id="more bytes than letters",
        ),
    ],
)
def test_what_is_refused(text, reason):
    with pytest.raises(RequestError, match=reason):
        parse(text)


@settings(deadline=None)
@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "text", "click", "box", "goal", "bag", "episode", "step", "frame", "x"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ).map(json.dumps)
)
def test_anything_is_a_request_or_an_error(text):
    try:
        request = parse(text)
    except RequestError as error:
        assert str(error)
    else:
        assert type(request).__module__ == requests.__name__


@settings(deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_words_are_one_printable_line(text):
    try:
        words = parse(json.dumps({"type": "instruct", "text": text})).text
    except RequestError:
        return
    assert words.isprintable() and words == words.strip() and "\n" not in words
