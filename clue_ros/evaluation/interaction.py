"""One dialogue with a simulated person as a row, and what is said about many of them (InViG's I-VG, and when to ask).

truth of an item: 'ambiguous' (a question is due), 'clear' (none is), 'absent' (nothing in the image fits), 'unknown'
(nobody said whether a question is due: only the box counts).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from clue_ros.evaluation.episode_runner import FOUND_AT_IOU, EpisodeResult, run_episode
from clue_ros.evaluation.rows import Row
from clue_ros.measures.bootstrap import Estimate, rate, ratio
from clue_ros.measures.overlap import THRESHOLDS, accuracy_curve, best_iou
from clue_ros.measures.results import Curve, Measure, Table, series_of
from clue_ros.seams import Grounder
from clue_ros.types import Box, Outcome, Turn

TRUTHS = ("ambiguous", "clear", "absent", "unknown")


def play(
    grounder: Grounder,
    image: Any,
    expression: str,
    truth: str,
    boxes: Sequence[Box],
    person: Any,
    *,
    max_questions: int = 3,
    threshold: Optional[float] = None,
    forced: bool = False,
) -> Tuple[Row, EpisodeResult]:
    """Play one dialogue to its end.

    Two rules are scored. Ours: the box given as found (`right`, `iou`). InViG's: the last box, whatever the robot
    thought of it (`right_last`, `iou_last`). forced: before each question also ask for the box, without telling the
    dialogue of it, as TiO's script forces one in its last turn; `turn_ious` has the IoU after 0, 1, … answers.

    image: what `grounder.look` returned; boxes: of the target in pixels (several: annotations of one thing), empty for
    an absent one; person: has `answer(question) -> str | Answer`. Raises ClueError from the grounder.
    """
    view = SimpleNamespace(rgb=image, objects=[SimpleNamespace(box=box) for box in boxes[:1]])
    episode = SimpleNamespace(
        kind=truth,
        expression=expression,
        truth="clear" if truth == "unknown" else truth,
        target_index=0 if boxes else None,
        answer_by_click=False,
    )
    guesses: List[Optional[Box]] = []

    def force(encoded: Any, turns: Sequence[Turn]) -> None:
        guesses.append(grounder.ground(encoded, expression, turns, may_ask=False, threshold=threshold).box)

    hook: Dict[str, Any] = {"at_question": force} if forced else {}
    result = run_episode(
        grounder, view, episode, person=person, max_questions=max_questions, threshold=threshold, **hook
    )
    if not guesses or result.decisions[-1].outcome is not Outcome.ASK:  # else the last question went unanswered
        guesses.append(result.decisions[-1].box if result.decisions else None)
    ious = [best_iou(box, boxes) for box in guesses] if boxes else None
    iou = best_iou(result.box, boxes) if boxes else None
    asked = len(result.questions)
    right = iou >= FOUND_AT_IOU if iou is not None else None
    success = {
        "ambiguous": bool(right and asked),
        "clear": bool(right and not asked),
        "unknown": bool(right),
        "absent": result.outcome == "not_found",
    }[truth]
    row: Row = {
        "truth": truth,
        "expression": expression,
        "outcome": result.outcome,
        "asked": asked,
        "iou": iou,
        "right": right,
        "iou_last": ious[-1] if ious else None,
        "right_last": ious[-1] >= FOUND_AT_IOU if ious else None,
        "turn_ious": ious if forced else None,
        "success": success,
        "reason": "" if success else _reason(truth, result),
        "probability": result.probability,
        "said_ambiguous": _said_ambiguous(result),
        "questions": list(result.questions),
        "answers": list(result.answers),
        "box": [round(float(v), 2) for v in result.box or ()] or None,
        "seconds": round(result.latency_s, 4),
    }
    return row, result


def caption(row: Row) -> str:
    """'ambiguous: the mug (did not ask)': the line under a dialogue's picture."""
    return f"{row['truth']}: {row['expression']}" + (f" ({row['reason']})" if row["reason"] else "")


def terms(rows: Sequence[Row]) -> Dict[str, Tuple[List[float], List[float]]]:
    """Every figure of the interaction as a ratio over rows: label -> (numerator, denominator)."""

    def share(value, *truths: str) -> Tuple[List[float], List[float]]:
        values = [value(r) if r.get("truth") in truths else None for r in rows]
        return [float(v or 0) for v in values], [float(v is not None) for v in values]

    found = ("ambiguous", "clear", "unknown")
    return {
        "last box right": share(lambda r: r.get("right_last"), *found),
        "final box right": share(lambda r: r["right"], *found),
        "success on ambiguous": share(lambda r: r["success"], "ambiguous"),
        "right on ambiguous, asked or not": share(lambda r: r["right"], "ambiguous"),
        "questions on ambiguous": share(lambda r: r["asked"], "ambiguous"),
        "silent on ambiguous": share(lambda r: not r["asked"], "ambiguous"),
        "asked on clear": share(lambda r: r["asked"] > 0, "clear"),
        "right on clear": share(lambda r: r["right"], "clear"),
        "absent recognised": share(lambda r: r["success"], "absent"),
        "questions an item": share(lambda r: r["asked"], *TRUTHS),
    }


LABELS: Mapping[str, Tuple[str, str, str]] = {  # of `terms`: (measure's name, label, form)
    "last box right": ("ivg_success", "success as InViG counts it: last box right (IoU ≥ 0.5)", "rate"),
    "final box right": ("found_success", "success as we count it: box given as found, right", "rate"),
    "success on ambiguous": ("success_ambiguous", "interactive success on ambiguous instructions", "rate"),
    "right on ambiguous, asked or not": ("right_ambiguous", "right box on ambiguous ones, asked or not", "rate"),
    "questions on ambiguous": ("questions_ambiguous", "mean questions on ambiguous instructions", "number"),
    "silent on ambiguous": ("silent_ambiguous", "silent on ambiguous instructions", "rate"),
    "asked on clear": ("asked_clear", "questions asked on clear instructions", "rate"),
    "right on clear": ("right_clear", "right box on clear instructions", "rate"),
    "absent recognised": ("absent_recognised", "absent target recognised", "rate"),
    "questions an item": ("questions_all", "mean questions, all instructions", "number"),
}


def measures(
    rows: Sequence[Row],
    only: Optional[Sequence[str]] = None,
    column: str = "",
    goals: Mapping[str, Tuple[float, bool]] = {},
) -> List[Measure]:
    """A measure for each of `terms` that has any row. goals: name of a measure -> (goal, at most)."""
    groups, found = [r["image"] for r in rows], []
    for key, (top, bottom) in terms(rows).items():
        name, label, form = LABELS[key]
        estimate = ratio(top, bottom, groups, rate=form == "rate")
        if estimate.count and (only is None or name in only):
            goal, at_most = goals.get(name, (None, False))
            found.append(Measure(name, label, estimate, form, goal, at_most, column))
    return found


def outcomes_table(rows: Sequence[Row]) -> Table:
    """How the dialogues ended, by truth."""
    ends = list(dict.fromkeys(r["outcome"] for r in rows))
    lines = []
    for truth in (t for t in TRUTHS if any(r["truth"] == t for r in rows)):
        own = [r for r in rows if r["truth"] == truth]
        lines.append((truth, len(own), *(sum(r["outcome"] == end for r in own) for end in ends)))
    return Table("How the dialogues ended", ("truth", "count", *(e.replace("_", " ") for e in ends)), tuple(lines))


def questions_table(rows: Sequence[Row]) -> Table:
    """Dialogues by number of questions, and how many of them ended with the right box."""
    lines = []
    for count in sorted({r["asked"] for r in rows}):
        own = [r for r in rows if r["asked"] == count and r["right"] is not None]
        if own:
            lines.append((str(count), len(own), rate([r["right"] for r in own], [r["image"] for r in own])))
    return Table(
        "By number of questions (instructions with a target)", ("questions", "count", "right box"), tuple(lines), "rate"
    )


def turns_table(rows: Sequence[Row], turns: int) -> Table:
    """Success where a dialogue may have 1, …, `turns` turns; the instruction is the first, each exchange another one.
    Empty where no boxes were forced."""
    own, lines = [r for r in rows if r.get("turn_ious")], []
    images = [r["image"] for r in own]
    for answers in range(turns if own else 0):
        forced = [r["turn_ious"][min(answers, len(r["turn_ious"]) - 1)] >= FOUND_AT_IOU for r in own]
        found = [bool(r["right"]) and r["asked"] <= answers for r in own]
        lines.append((str(answers + 1), len(own), rate(forced, images), rate(found, images)))
    columns = ("turns", "count", "InViG's rule: the last box, forced (as TiO)", "ours: found by then")
    return Table("Success by turns, instructions with a target", columns, tuple(lines), "rate")


def iou_curve(rows: Sequence[Row]) -> Curve:
    """Acc over IoU of the final boxes; a dialogue without one counts as 0."""
    series = []
    for label, key, truths in (
        ("all with a target", "iou", TRUTHS),
        ("all with a target, last box (InViG)", "iou_last", TRUTHS),
        ("ambiguous", "iou", ("ambiguous",)),
        ("clear", "iou", ("clear",)),
    ):
        own = [r for r in rows if r.get(key) is not None and r["truth"] in truths]
        if own:
            values: List[Estimate] = accuracy_curve([r[key] for r in own], [r["image"] for r in own])
            series.append(series_of(label, THRESHOLDS, values))
    return Curve(
        "interactive-accuracy-over-iou",
        "Final box after the dialogue",
        "IoU threshold",
        "share",
        tuple(series),
        markers=True,
    )


def _reason(truth: str, result: EpisodeResult) -> str:
    """Why it failed, in a few words; where nobody said whether a question was due, asking is no fault."""
    if truth == "unknown" and result.questions:
        return f"{result.outcome} instead of found" if result.box is None else "wrong box"
    return result.reason or "wrong box"


def _said_ambiguous(result: EpisodeResult) -> Optional[bool]:
    first = result.decisions[0].ambiguity if result.decisions else None
    return None if first is None else first.is_ambiguous
