"""Core values to messages and back, and errors to codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.dialogue.steps import End
from clue_ros.images.encodings import ImageMessageError, UnsupportedEncodingError
from clue_ros.msg import Ambiguity as AmbiguityMsg
from clue_ros.msg import Target
from clue_ros.ros.demonstration.scripted_scene import closing_of
from clue_ros.ros.running.errors import END_CODES, DialogueEnded, NoImageError, error_code, from_model
from clue_ros.ros.wire import messages
from clue_ros.ros.wire.frames import UPRIGHT, Located
from clue_ros.types import (
    Ambiguity,
    Answer,
    Box,
    Cancelled,
    Decision,
    InvalidExpressionError,
    InvalidImageError,
    ModelFailedError,
    ModelUnavailableError,
    Outcome,
    OutOfMemoryError,
    Region,
)  # fmt: skip

Code = Ground.Result
HEADER = Header(frame_id="eye")


def test_ambiguity_round_trip_through_cdr():
    heat = np.random.default_rng(0).random((3, 5), np.float32)
    regions = (Region(Box(1, 2, 3, 4), (2.5, 3.5), 1.0), Region(Box(5, 6, 7, 8), (6.0, 7.0), 0.25))
    sent = messages.ambiguity_to_msg(Ambiguity(0.75, 0.5, True, heat, regions), "the mug", HEADER)
    got = deserialize_message(serialize_message(sent), AmbiguityMsg)
    assert np.array_equal(messages.msg_to_attention_map(got), heat)
    assert (got.probability, got.threshold, got.is_ambiguous, got.expression) == (0.75, 0.5, True, "the mug")
    assert messages.msg_to_box(got.regions[1].box) == Box(5, 6, 7, 8) and got.regions[1].peak_y == 7.0
    assert got.header == HEADER and not got.candidates and not got.belief
    sent = messages.ambiguity_to_msg(Ambiguity(0.75, 0.5, True, heat, regions), "the mug", HEADER,
                                     (Box(1, 2, 3, 4), Box(5, 6, 7, 8)), (0.75, 0.25))  # fmt: skip
    got = deserialize_message(serialize_message(sent), AmbiguityMsg)
    assert [messages.msg_to_box(box) for box in got.candidates] == [Box(1, 2, 3, 4), Box(5, 6, 7, 8)]
    assert list(got.belief) == [0.75, 0.25]
    unknown = messages.ambiguity_to_msg(
        Ambiguity(0.75, 0.5, True, heat, regions), "the mug", HEADER, (Box(1, 2, 3, 4),)
    )
    assert not unknown.candidates, "candidates without a belief"


def test_target_round_trip_through_cdr():
    decision = Decision(Outcome.FOUND, "the mug", box=Box(1.5, 2, 3, 4), confidence=0.5)
    located = Located("base", (0.1, 0.2, 0.3), UPRIGHT, (0.04, 0.05, 0.06))
    sent = messages.decision_to_target(decision, "the mug", HEADER, located)
    got = deserialize_message(serialize_message(sent), Target)
    assert messages.msg_to_box(got.box) == Box(1.5, 2, 3, 4) and got.has_position and got.position.point.z == 0.3
    assert got.header == HEADER and got.position.header == Header(frame_id="base", stamp=HEADER.stamp)
    assert (got.size.x, got.size.y, got.size.z) == (0.04, 0.05, 0.06)
    plain = messages.decision_to_target(decision, "the mug", HEADER)
    assert not plain.has_position and plain.mask.height == 0
    pixels = np.arange(12).reshape(3, 4) % 2 == 0
    masked = messages.decision_to_target(replace(decision, mask=pixels), "the mug", HEADER).mask
    assert (masked.encoding, masked.header) == ("mono8", HEADER)
    assert (np.frombuffer(masked.data, np.uint8).reshape(3, masked.step) == pixels * 255).all()


def test_answers_and_durations():
    assert messages.answer_text(Answer("left")) == "left"
    assert messages.answer_text(Answer(point=(1.4, 2.6))) == "(click 1 3)"
    assert messages.answer_text(Answer(box=Box(1, 2, 3, 4))) == "(box 1 2 3 4)"
    assert messages.answer_text(Answer(point=(2, 3), box=Box(1, 2, 3, 4))) == "(scribble 1 2 3 4)"
    for seconds in (0.0, 0.25, 3.0, 1e6 + 0.5):
        assert messages.duration_to_seconds(messages.seconds_to_duration(seconds)) == pytest.approx(seconds)
    assert messages.duration_to_seconds(messages.seconds_to_duration(0.9999999999)) == 1.0


@pytest.mark.parametrize(
    "error, code",
    [
        (InvalidExpressionError("x"), Code.INVALID_EXPRESSION),
        (InvalidImageError("x"), Code.INVALID_IMAGE),
        (ImageMessageError("x"), Code.INVALID_IMAGE),
        (UnsupportedEncodingError("x"), Code.UNSUPPORTED_ENCODING),
        (NoImageError("x"), Code.NO_IMAGE),
        (ModelFailedError("x"), Code.MODEL_ERROR),
        (ModelUnavailableError("x"), Code.MODEL_UNAVAILABLE),
        (OutOfMemoryError("x"), Code.OUT_OF_MEMORY),
        (Cancelled("x"), Code.NOT_ACTIVE),
        (DialogueEnded(Code.PREEMPTED, "x"), Code.PREEMPTED),
        (KeyError("x"), Code.UNKNOWN),
    ],
)
def test_errors_have_codes(error, code):
    assert error_code(error) == code


def test_every_end_has_a_code():
    assert set(END_CODES) == set(End) and len(set(END_CODES.values())) == len(End)


def test_failures_of_the_model():
    assert isinstance(from_model(MemoryError()), OutOfMemoryError)
    assert isinstance(from_model(RuntimeError("DefaultCPUAllocator: can't allocate memory")), OutOfMemoryError)
    assert isinstance(from_model(RuntimeError("shape mismatch")), ModelFailedError)
    assert isinstance(from_model(InvalidImageError("x")), InvalidImageError)


def test_the_robots_closing_words_are_recognised():
    from clue_ros.dialogue import phrases

    for end in End:
        decision = Decision(Outcome.UNKNOWN_WORDS, "the mug", unknown_words=("mug", "the"))
        assert closing_of(phrases.closing(end, "the mug", decision), "the mug") == end.value
    assert closing_of("Which one, the red or the blue?", "the mug") is None
