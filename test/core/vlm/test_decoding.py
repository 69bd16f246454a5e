"""The constraints: whatever the logits, a branch completes and says how sure it is."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clue_ros.vlm.decoding import Branch, ConstrainedSequence, FreeSequence, Vocabulary

V = Vocabulary(first_location=20, eos=1, wordless=frozenset({5, 6}), banned=frozenset({0, 2, 3}))
SIZE = 20 + 1024


def run(allowed, seed, limit=12):
    generator = torch.Generator().manual_seed(seed)
    sequence = ConstrainedSequence(V, frozenset(allowed), limit)
    while not sequence.finished:
        sequence.feed(torch.randn(SIZE, generator=generator) * 4)
    return sequence


@settings(max_examples=60)
@given(st.sets(st.sampled_from(list(Branch)), min_size=1), st.integers(0, 10_000))
def test_any_logits_give_a_complete_answer_of_an_allowed_branch(allowed, seed):
    sequence = run(allowed, seed)
    assert sequence.branch in allowed
    assert 0 <= sequence.confidence <= 1
    if sequence.branch is Branch.BOX:
        y0, x0, y1, x1 = sequence.bins
        assert 0 <= y0 < y1 < 1024 and 0 <= x0 < x1 < 1024
    elif sequence.branch is Branch.NOTHING:
        assert sequence.tokens == []
    else:
        assert 1 <= len(sequence.tokens) <= 12
        assert not set(sequence.tokens) & ({1} | V.banned) and max(sequence.tokens) < 20
        assert set(sequence.tokens) - V.wordless or len(sequence.tokens) == 12, "it may not end before its first word"
        assert sequence.complete or len(sequence.tokens) == 12


def logits_of(*wanted):
    """The most likely token, then the next likely, … of one step."""
    logits = torch.zeros(SIZE)
    for place, token in enumerate(wanted):
        logits[token] = 20.0 - place
    return logits


def question(*steps, limit=12):
    sequence = ConstrainedSequence(V, frozenset({Branch.QUESTION}), limit)
    for step in steps:
        assert not sequence.finished
        sequence.feed(logits_of(*step))
    return sequence


def test_a_question_ends_where_the_model_ends_it_and_not_at_a_question_mark():
    without = question((7,), (8,), (1, 5))
    assert without.finished and without.complete and without.tokens == [7, 8]
    two = question((7,), (5,), (8,), (6,), (1,))
    assert two.finished and two.complete and two.tokens == [7, 5, 8, 6]


def test_a_question_has_one_word_at_least_and_then_may_end():
    sequence = question((1, 6), (1, 5), (1, 8), (1, 9))  # the branch was forced: the model would rather say nothing
    assert sequence.finished and sequence.complete and sequence.tokens == [6, 5, 8]


def test_a_question_without_end_is_cut_and_says_so():
    sequence = question(*[(7, 8)] * 12)
    assert sequence.finished and not sequence.complete and sequence.tokens == [7] * 12


def test_the_branch_is_the_likeliest_allowed_one_by_unmasked_probability():
    logits = torch.zeros(SIZE)
    logits[20:] = -20
    logits[1] = 10
    sequence = ConstrainedSequence(V, frozenset({Branch.BOX, Branch.NOTHING}))
    assert sequence.feed(logits) == 1 and sequence.branch is Branch.NOTHING
    assert sequence.branch_probability[Branch.NOTHING] > 0.99
    forced = ConstrainedSequence(V, frozenset({Branch.BOX}))
    forced.feed(logits)
    assert forced.branch is Branch.BOX and forced.branch_probability[Branch.BOX] < 0.01


def test_a_sure_box_has_high_confidence_and_a_blurred_one_low():
    def confidence(sharpness):
        sequence = ConstrainedSequence(V, frozenset({Branch.BOX}))
        while not sequence.finished:
            logits = torch.full((SIZE,), -30.0)
            logits[20:] = -sharpness * (torch.arange(1024.0) - 500).abs()
            sequence.feed(logits)
        return sequence.confidence

    assert confidence(1.0) > 0.99
    assert confidence(0.001) < 0.1


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="branch"):
        ConstrainedSequence(V, frozenset())
    sequence = run({Branch.NOTHING}, 0)
    with pytest.raises(ValueError, match="finished"):
        sequence.feed(torch.zeros(SIZE))


@pytest.mark.parametrize(
    "wanted, got",
    [
        ((500, 300, 500, 300), (500, 300, 501, 301)),
        ((500, 300, 400, 200), (500, 300, 501, 301)),
        ((1023, 1023, 1023, 1023), (1022, 1022, 1023, 1023)),
        ((0, 0, 0, 5), (0, 0, 1, 5)),
        ((5, 6, 7, 8), (5, 6, 7, 8)),
    ],
)
def test_a_box_without_area_or_inside_out_is_never_said_and_what_is_said_instead_is_unsure(wanted, got):
    sequence = ConstrainedSequence(V, frozenset({Branch.BOX}))
    for index in wanted:
        logits = torch.full((SIZE,), -30.0)
        logits[20:] = -2 * (torch.arange(1024.0) - index).abs()
        sequence.feed(logits if not sequence.wanted else logits[20:])
    assert sequence.bins == got
    if abs(wanted[2] - got[2]) > 50:
        assert sequence.confidence < 0.01, "the model believed something else"


@pytest.mark.parametrize("ends_from, said", [(0.0, []), (0.6, [7, 9]), (0.5, [])])
def test_a_list_goes_on_where_its_end_is_the_likeliest_and_yet_unlikely(ends_from, said):
    """P(<eos>) 0.55, then 0.4, then nearly 1; at once, <eos> is what it is."""
    eos, size = V.eos, V.first_location + 1024
    free = FreeSequence(V, 9, ends_from)
    steps = [{3: 0.9, eos: 0.1}, {eos: 0.55, 7: 0.3, 8: 0.15}, {9: 0.6, eos: 0.4}, {eos: 0.99, 5: 0.01}]
    for probabilities in steps:
        logits = torch.full((size,), -60.0)
        for token, probability in probabilities.items():
            logits[token] = math.log(probability)
        free.feed(logits)
        if free.finished:
            break
    assert free.tokens == [3, *said] and len(free.ends) == len(free.tokens) == len(free.certainty)
    assert free.ends == pytest.approx([0.1, 0.55, 0.4][: len(free.tokens)])
    assert free.ending == pytest.approx(0.99 if said else 0.55)
    at_once = FreeSequence(V, 9, 0.9)
    assert at_once.feed(torch.zeros(size).index_fill(0, torch.tensor([eos]), 1.0)) == eos and at_once.finished


@pytest.mark.parametrize("absence, branch", [(0.0, Branch.NOTHING), (1.0, Branch.NOTHING), (1.2, Branch.BOX)])
def test_nothing_loses_its_fitted_log_odds_before_it_is_compared(absence, branch):
    """P(nothing) = 3 · P(box): it wins until it loses more than ln 3 = 1.0986. What it says it believes stays."""
    logits = torch.full((SIZE,), -100.0)
    logits[V.eos], logits[30] = math.log(3), 0.0
    sequence = ConstrainedSequence(replace(V, absence=absence), frozenset({Branch.BOX, Branch.NOTHING}))
    sequence.feed(logits)
    assert sequence.branch is branch and sequence.branch_probability[Branch.NOTHING] == pytest.approx(0.75)
