"""Figures of the evaluation on made-up rows: detector, overlap, ranks, bootstrap, text, rows on disk, comparison."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clue_ros.evaluation.comparison import comparison
from clue_ros.evaluation.rows import OtherRunError, RowStore, read_rows
from clue_ros.evaluation.samples import expression_type
from clue_ros.measures import bootstrap, classification, overlap, ranking
from clue_ros.measures.dialogue_text import MissingLibraryError, text_scores, words
from clue_ros.measures.metrics import wilson_interval
from clue_ros.types import Box, ClueError

P = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])
L = np.array([True, True, False, True, False, True, False, False])


def test_rates_at_a_threshold_by_hand():
    r = classification.rates_at(P, L, 0.5)
    assert (r.accuracy, r.precision, r.recall, r.f1, r.false_alarms) == (0.75, 0.75, 0.75, 0.75, 0.25)
    nobody = classification.rates_at(P, np.zeros(8, bool), 2.0)
    assert nobody.precision is None and nobody.f1 is None and nobody.accuracy == 1.0


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=2, max_size=40))
def test_area_equals_the_mann_whitney_statistic_and_best_threshold_is_best(rows):
    p, label = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    area, pairs = classification.area_under_curve(p, label), np.sign(p[label][:, None] - p[~label][None])
    if label.all() or not label.any():
        assert area is None
    else:
        assert area == pytest.approx((pairs.mean() + 1) / 2)
    best = classification.rates_at(p, label, classification.best_threshold(p, label)).f1 or 0.0
    assert all(best >= (classification.rates_at(p, label, t).f1 or 0.0) for t in (0.0, 0.2, 0.3, 0.6, 0.9, 1.1))


def test_the_figures_of_a_report_are_those_of_the_suites():
    report = classification.figures_at(P, L, ["b", "a"] * 4, 0.5)
    ours = dict(classification.estimates(P, L, 0.5, range(8)))
    assert {k: round(ours[k].value, 3) for k in ours} == {k: report[k] for k in ours}
    assert report["count"] == 8 and report["auc"] == 0.8125
    assert report["by_kind"] == {"a": {"count": 4, "accuracy": 0.75}, "b": {"count": 4, "accuracy": 0.75}}
    alone = classification.figures_at(P, np.zeros(8, bool), ["a"] * 8, 2.0)
    assert alone["auc"] is None and alone["f1"] == alone["precision"] == 0 and alone["accuracy"] == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=40))
def test_the_fitted_threshold_is_the_lowest_of_the_best_on_its_grid(rows):
    p, label = np.array([r[0] / 100 for r in rows]), np.array([r[1] for r in rows])

    def f1(limit):
        guess = p >= limit
        return 2 * (guess & label).sum() / max(1.0, guess.sum() + label.sum())

    grid = np.linspace(0.2, 0.8, 61)
    assert classification.fitted_threshold(p, label) == grid[int(np.argmax([f1(t) for t in grid]))]
    quiet = classification.quiet_threshold(p, label, cost=0.02)
    best = max(f1(t) for t in grid)
    assert quiet >= classification.fitted_threshold(p, label) and f1(quiet) >= best - 0.02
    assert all(f1(t) < best - 0.02 for t in grid if t > quiet)


def test_roc_curve_moves_ties_together():
    alarms, recall, limits = classification.roc_curve(
        np.array([0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, False])
    )
    assert alarms.tolist() == [0, 0.5, 1] and recall.tolist() == [0, 1, 1] and limits[1:].tolist() == [0.5, 0.1]


def test_reliability_of_a_known_case():
    p, label = np.array([0.95] * 4 + [0.15] * 2), np.array([True, True, True, False, False, False])
    bins = classification.reliability(p, label)
    assert [(round(b.low, 1), b.count, b.true) for b in bins] == [(0.1, 2, 0.0), (0.9, 4, 0.75)]
    assert classification.calibration_error(p, label) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert classification.calibration_error(np.zeros(0), np.zeros(0)) is None


def test_both_conventions_differ_only_on_the_threshold_itself():
    ious = [0.0, 0.5, 0.5, 0.9]
    curve, strict = (overlap.accuracy_curve(ious, range(4), strict=s) for s in (False, True))
    assert [e.value for e in curve] == [0.75] * 5 + [0.25] * 4 and len(overlap.THRESHOLDS) == 9
    assert [e.value for e in strict] == [0.75] * 4 + [0.25] * 4 + [0.0]
    assert overlap.best_iou(Box(0, 0, 10, 10), [Box(50, 50, 60, 60), Box(0, 0, 10, 20)]) == 0.5
    assert overlap.best_iou(None, [Box(0, 0, 1, 1)]) == 0.0


def test_ranks_count_ties_half():
    assert ranking.rank_of_first([3, 1, 2]) == 1 and ranking.rank_of_first([1, 3, 2]) == 3
    assert ranking.rank_of_first([0] * 31) == 16


def test_bootstrap_covers_the_truth_about_95_times_in_100():
    rng, hits = np.random.default_rng(1), 0
    for trial in range(200):
        sample = rng.random(80) < 0.7
        e = bootstrap.mean(list(sample), range(80), seed=trial, resamples=400)
        hits += e.low <= 0.7 <= e.high
    assert 178 <= hits <= 199


def test_bootstrap_draws_groups_and_not_rows():
    values = [1.0] * 50 + [0.0] * 50
    rows, images = bootstrap.mean(values, range(100)), bootstrap.mean(values, [n // 10 for n in range(100)])
    assert rows.value == images.value == 0.5 and images.high - images.low > 2 * (rows.high - rows.low)
    assert bootstrap.mean(values, range(100)) == rows  # the seed is fixed


def test_bootstrap_of_a_rate_without_spread_is_wilsons():
    e = bootstrap.rate([False] * 50, range(50))
    assert e.value == 0 and e.low == 0 and 0.06 < e.high < 0.08
    assert bootstrap.rate([], []) == bootstrap.NOTHING and bootstrap.rate([None], [0]).value is None
    # Several trials a row, as phrases of one answer: 12 right of 12 given.
    e = bootstrap.ratio([4, 4, 4], [4, 4, 4], range(3), rate=True)
    assert (e.low, e.high) == wilson_interval(12, 12)
    with pytest.raises(ValueError):
        bootstrap.ratio([3.0], [1.0], [0], rate=True)


def test_a_mean_that_happens_to_be_0_or_1_is_no_rate():
    """A mean rank of 1 cannot be below 1, and no trials stand behind it: no interval can be told."""
    for value in (0.0, 1.0, 2.0):
        assert bootstrap.mean([value] * 8, range(8)) == bootstrap.Estimate(value, None, None, 8)
    e = bootstrap.mean([0, 0, 0, 4], range(4))  # questions: their mean is 1 by chance
    assert e.value == 1 and e.low == 0 and e.high > 1
    assert bootstrap.mean([2.0, None, 4.0], range(3)).count == 2


def test_bootstrap_of_f1_and_of_any_statistic():
    e = bootstrap.ratio(*classification.f1_terms(P >= 0.5, L), range(8))
    assert e.value == 0.75 and e.low < 0.75 < e.high
    a = classification.area_estimate(P, L, range(8))
    assert a.value == pytest.approx(13 / 16) and a.low < a.value < a.high


def test_a_paired_difference_sees_what_separate_intervals_hide():
    rng = np.random.default_rng(2)
    hard = rng.random(300)
    first, second = (hard > 0.5).astype(float), (hard > 0.45).astype(float)
    ones = np.ones(300)
    e = bootstrap.paired_difference((first, ones), (second, ones), range(300))
    assert e.low > 0 and e.value == pytest.approx(second.mean() - first.mean())
    a, b = bootstrap.ratio(first, ones, range(300)), bootstrap.ratio(second, ones, range(300))
    assert a.high > b.low
    assert bootstrap.paired_difference(([], []), ([], []), []) == bootstrap.NOTHING


def test_words_as_the_metrics_see_them():
    assert words("Do you mean the RED mug, or the left one's?") == "do you mean the red mug or the left one's"


def test_text_scores_say_what_to_install_or_are_those_of_the_library():
    said = ["do you mean the red cup or the blue mug ?", "which bottle ?", "the left one ?"]
    truth = [["do you mean the red mug or the blue mug ?"], ["which bottle do you want ?"], ["the left one ?"]]
    try:
        scores = text_scores(said, truth)
    except MissingLibraryError as error:
        assert "pip install pycocoevalcap" in str(error)
        return
    # 14 of 15 words occur in their reference; the texts are shorter than the references (18 words) in all.
    assert scores.corpus["BLEU-1"] == pytest.approx(14 / 15 * np.exp(1 - 18 / 15), abs=1e-6)
    recall, precision, beta = 2 / 5, 1, 1.2
    expected = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
    assert scores.each["ROUGE-L"] == pytest.approx([0.9, expected, 1])
    assert scores.corpus["CIDEr"] == pytest.approx(np.mean(scores.each["CIDEr"]))
    assert ("METEOR" in scores.corpus) != ("METEOR" in scores.missing)
    assert ("METEOR" in scores.corpus) == (shutil.which("java") is not None)
    assert text_scores([], []).corpus == {}
    with pytest.raises(ValueError, match="2 texts and 1 references"):
        text_scores(["a", "b"], [["a"]])


def test_expression_types():
    kinds = {
        "the red mug": "colour",
        "hand me the mug": "category",
        "the mug on the left": "position",
        "the mug next to the box": "relation",
        "the second mug from the left": "ordinal",
        "the big mug": "size",
        "the one": "generic",
    }
    assert {text: expression_type(text) for text in kinds} == kinds


ABOUT = {"suite": "x", "model": "a", "data": "d"}


def test_rows_go_on_where_a_killed_run_stopped(tmp_path):
    store = RowStore(tmp_path, ABOUT)
    store.add("1", [{"iou": np.float64(0.5), "bad": float("nan")}, {"n": np.int64(2)}])
    store.add("2", [])
    with open(store.file, "a") as file:
        file.write('{"key": "3", "ro')
    again = RowStore(tmp_path, ABOUT)
    assert again.resumed == 2 and "2" in again and "3" not in again
    assert again.rows == [{"item": "1", "iou": 0.5, "bad": None}, {"item": "1", "n": 2}]
    again.add("3", [{"n": 1}])
    about, rows = read_rows(store.file)
    assert about == ABOUT and [r["item"] for r in rows] == ["1", "1", "3"]
    assert len(RowStore(tmp_path, ABOUT, fresh=True)) == 0


def test_what_could_not_be_used_is_tried_again(tmp_path):
    """A run whose images were not found (a wrong --images) left rows that made the corrected command find nothing."""
    store = RowStore(tmp_path, ABOUT)
    store.add("1", [{"skipped": "there is no such image file"}])
    store.add("2", [{"iou": 0.5}])
    again = RowStore(tmp_path, ABOUT)
    assert "1" not in again and "2" in again and again.resumed == 1
    again.add("1", [{"iou": 0.75}])
    assert sorted(row["iou"] for row in read_rows(tmp_path / "rows.jsonl")[1]) == [0.5, 0.75]
    assert sorted(row["iou"] for row in RowStore(tmp_path, ABOUT).rows) == [0.5, 0.75]


def test_rows_of_another_run_are_not_mixed(tmp_path):
    RowStore(tmp_path, ABOUT).add("1", [])
    with pytest.raises(OtherRunError, match="model was 'a', is 'b'.*--fresh"):
        RowStore(tmp_path, {**ABOUT, "model": "b"})
    (tmp_path / "rows.jsonl").write_text("[]\nnonsense\n")
    with pytest.raises(OtherRunError, match="not a row"):
        RowStore(tmp_path, ABOUT)
    with pytest.raises(OtherRunError):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(ClueError, match="choose another --output"):
        RowStore(tmp_path / "file", ABOUT)


def test_comparison_of_two_models_on_shared_items(tmp_path):
    store = RowStore(tmp_path, ABOUT)
    for n in range(40):
        store.add(str(n), [{"image": str(n // 2), "right": n % 2 == 0}])

    def terms(rows):
        return {"right": ([float(r["right"]) for r in rows], [1.0] * len(rows))}

    ours = [{"item": str(n), "image": str(n // 2), "right": True} for n in range(39, 9, -1)]
    table = comparison(terms, ours, {**ABOUT, "model": "b"}, tmp_path)
    ((label, before, after, difference, differs),) = table.rows
    assert (label, before, after, difference.value, differs) == ("right", 0.5, 1.0, 0.5, "yes")
    assert "30 items" in table.title
    assert comparison(terms, store.rows, ABOUT, tmp_path).rows[0][4] == "no"
    with pytest.raises(ClueError, match="another data"):
        comparison(terms, ours, {**ABOUT, "data": "e"}, tmp_path)


@pytest.mark.parametrize(
    "confidence, right, limit",
    [
        ([0.9] * 12, [True] * 12, 0.0),  # all right: nothing need be asked
        ([0.3] * 10 + [0.7] * 10, [False] * 10 + [True] * 10, 0.31),  # the first that leaves the wrong ones out
        ([0.3] * 5 + [0.7] * 20, [False] * 5 + [True] * 20, 0.0),  # 20 of 25 are 80 % already
        ([0.3] * 6 + [0.7] * 20, [False] * 6 + [True] * 20, 0.31),  # 20 of 26 are not
        ([0.2] * 10 + [0.5] * 10 + [0.8] * 10, [False] * 10 + [True] * 7 + [False] * 3 + [True] * 9 + [False], 0.21),
        ([0.2] * 10 + [0.5] * 10 + [0.8] * 10, [False] * 10 + [True] * 6 + [False] * 4 + [True] * 9 + [False], 0.51),
        ([0.3] * 10 + [0.7] * 9, [False] * 10 + [True] * 9, None),  # nine boxes tell nothing
        ([0.9] * 12, [False] * 12, None),
        ([], [], None),
    ],
)
def test_the_confidence_from_which_four_of_five_boxes_are_right(confidence, right, limit):
    assert classification.sure_from(confidence, right) == limit
