"""Properties of the dialogue state machine over arbitrary sequences of events (hypothesis)."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Ask, Continue, End, Finish, Policy
from clue_ros.types import Ambiguity, Answer, Box, Decision, Outcome  # noqa: E402


def _decision(outcome, ambiguous, question):
    ambiguity = None if outcome is Outcome.UNKNOWN_WORDS else Ambiguity(float(ambiguous), 0.5, ambiguous, None)
    return Decision(outcome, "x", ambiguity, Box(0, 0, 1, 1) if outcome is Outcome.FOUND else None, 0.5, question)


DECISIONS = st.builds(_decision, st.sampled_from(list(Outcome)), st.booleans(), st.sampled_from(["", "Which?", " q "]))
ANSWERS = st.one_of(
    st.builds(Answer, st.one_of(st.text(max_size=12), st.sampled_from(["never mind", "red", "", "stop"]))),
    st.builds(Answer, point=st.tuples(st.floats(0, 99), st.floats(0, 99))),
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("decision"), DECISIONS, st.floats(0, 5)),
        st.tuples(st.just("answer"), ANSWERS, st.floats(0, 5)),
        st.tuples(st.just("time"), st.none(), st.floats(0, 20)),
        st.tuples(st.just("cancel"), st.none(), st.floats(0, 1)),
    ),
    max_size=30,
)
SESSIONS = st.builds(
    DialogueSession,
    st.text(max_size=20),
    st.sampled_from(list(Policy)),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(0.1, 30)),
    st.one_of(st.none(), st.floats(0.1, 60)),
    now=st.just(0.0),
)


def _apply(session, event, now):
    kind, payload, _ = event
    if kind == "decision":
        return session.on_decision(payload, now)
    if kind == "answer":
        return session.on_answer(payload, now)
    return session.on_time(now) if kind == "time" else session.cancel(now)


@settings(max_examples=300, deadline=None)
@given(SESSIONS, EVENTS)
def test_any_sequence_keeps_the_rules(session, events):
    now, finishes, asks = 0.0, 0, 0
    for event in events:
        now += event[2]
        step = _apply(session, event, now)
        finishes += isinstance(step, Finish)
        asks += isinstance(step, Ask)
        # The rules that hold after every event.
        assert finishes <= 1 and (session.finished is not None) == (finishes == 1)
        assert asks == session.questions_asked <= session.max_questions
        assert session.policy.asks or asks == 0
        assert session.min_confidence == 0 or (session.may_ask and session.policy is Policy.ASK_UNTIL_CONFIDENT)
        assert len(session.turns) in (asks, asks - 1) or asks == 0
        assert (session.open_question is not None) <= (session.finished is None)
        if isinstance(step, Continue):
            assert session.open_question is None and len(session.turns) == asks
        if isinstance(step, Finish) and step.end is End.FOUND:
            assert step.decision.box is not None
    times = [line.at for line in session.transcript]
    assert times == sorted(times)
    if finishes:
        assert session.transcript[-1].speaker == "robot"


@settings(max_examples=100, deadline=None)
@given(SESSIONS, EVENTS)
def test_cancel_always_ends(session, events):
    now = 0.0
    for event in events:
        now += event[2]
        _apply(session, event, now)
    session.cancel(now)
    assert session.finished is not None and session.open_question is None
    before = session.transcript
    assert session.on_time(now + 1e6) is None
    assert session.transcript == before
