"""Replays a bag and scores it: one row a dialogue, the same bytes every time; what took how long is kept apart."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from clue_ros.bags.errors import BagError
from clue_ros.bags.events import Heard, Played, ReplaySettings
from clue_ros.bags.reading import SAY, Bag, TopicNames, Topics, choose_topics
from clue_ros.bags.replay import Replay
from clue_ros.bags.said import Said
from clue_ros.bags.stream import events_of, seconds_of, words_of
from clue_ros.bags.truth import Truth, assign, read_truths, score
from clue_ros.evaluation.episode_runner import Score
from clue_ros.measures.metrics import mean, median, wilson_interval
from clue_ros.seams import Grounder
from clue_ros.types import Box, Decision

Row = Dict[str, Any]
COLUMNS = (
    "number",
    "corrects",
    "time_s",
    "words",
    "expression",
    "outcome",
    "questions_asked",
    "questions",
    "answers",
    "box",
    "confidence",
    "probability",
    "kind",
    "truth",
    "truth_box",
    "iou",
    "success",
    "reason",
)


@dataclass
class BagResult:
    """rows: see `row_of`; not_taken: speech that came to nothing; lessons: what was taught; unsaid: truths whose
    instruction is not in the bag; seconds: of each row, not part of the digest."""

    topics: Topics
    rows: List[Row] = field(default_factory=list)
    not_taken: List[Row] = field(default_factory=list)
    lessons: List[Row] = field(default_factory=list)
    unsaid: List[str] = field(default_factory=list)
    seconds: List[float] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Of everything that was decided: equal digests, equal decisions."""
        text = json.dumps([self.rows, self.not_taken], sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def evaluate_bag(
    grounder: Grounder,
    path: Path,
    *,
    names: TopicNames = TopicNames(),
    settings: ReplaySettings = ReplaySettings(),
    truth_file: Optional[Path] = None,
    said: Sequence[Said] = (),
    sample_bits: int = 0,
    on_row: Optional[Callable[[Row], None]] = None,
) -> BagResult:
    """Replay a bag. Without truths rows hold decisions only. said: words beside those that the bag holds. sample_bits:
    as the node's.

    Raises BagError and its kinds before the first dialogue where they can be known, later only for a damaged file.
    """
    with Bag(path) as bag:
        topics = choose_topics(bag, names, mute=bool(said))
        speech, truths = words_of(bag, topics, said)
        if truth_file is not None:
            truths = read_truths(truth_file)
        if not speech:
            raise BagError(f"nobody says anything on {topics.speech}: {SAY}")
        known, unsaid = assign(truths, [(heard.time, heard.text) for heard in speech])
        result = BagResult(topics, unsaid=[truth.expression for truth in unsaid])
        numbers: Dict[int, int] = {}  # of the replay's dialogues: those of their rows

        def add(row: Row, seconds: float) -> None:
            row["number"] = len(result.rows) + 1
            result.rows.append(row)
            result.seconds.append(seconds)
            if on_row is not None:
                on_row(row)

        replay = Replay(grounder, settings)
        for played in replay.run(events_of(bag, topics, said, sample_bits)):
            for index in [i for i in sorted(known) if i < played.index]:
                add(_missed(speech[index], known.pop(index), bag.start), 0.0)
            row = row_of(played, known.pop(played.index, None), bag.start)
            row["corrects"] = None if played.corrects is None else numbers[played.corrects]
            add(row, played.seconds)
            numbers[played.number] = row["number"]
        for index in sorted(known):
            add(_missed(speech[index], known[index], bag.start), 0.0)
        result.not_taken = [
            {"time_s": seconds_of(item.time, bag.start), "text": item.text[:200], "reason": item.reason}
            for item in replay.not_taken
        ]
        result.lessons = [
            {"time_s": seconds_of(item.time, bag.start), "text": item.text[:200], "said": item.said}
            for item in replay.lessons
        ]
    return result


def row_of(played: Played, truth: Optional[Truth], start: int) -> Row:
    """JSON values. Times in seconds from the bag's start, boxes [x0, y0, x1, y1] in pixels of the recorded image;
    the keys from `kind` on are None where the truth is not known. words: what began it; corrects: the number of the row
    whose target they correct, and then `expression` is that row's; None: they are an instruction."""
    session = played.session
    first = played.decisions[0].ambiguity if played.decisions else None
    row: Row = {
        "number": 0,
        "corrects": None,
        "time_s": seconds_of(played.heard, start),
        "image_time_s": None if played.image_stamp is None else seconds_of(played.image_stamp, start),
        "words": played.words,
        "expression": session.expression,
        "outcome": played.outcome,
        "questions_asked": session.questions_asked,
        "questions": [line.text for line in session.transcript if line.speaker == "robot"][: session.questions_asked],
        "answers": [line.text for line in session.transcript[1:] if line.speaker == "person"],
        "box": _numbers(played.box),
        "confidence": round(float(played.decisions[-1].confidence), 6) if played.box is not None else None,
        "probability": None if first is None else round(float(first.probability), 6),
        "decisions": [_decision(decision) for decision in played.decisions],
    }
    judged = None if truth is None else score(truth, played.outcome, session.questions_asked, played.box)
    return {**row, **_truth_columns(truth, judged, played.reason)}


def _missed(heard: Heard, truth: Truth, start: int) -> Row:
    """An instruction that began no dialogue: the robot took it for an answer, or not at all."""
    row: Row = {
        "number": 0, "corrects": None, "time_s": seconds_of(heard.time, start), "image_time_s": None,
        "words": truth.expression, "expression": truth.expression,
        "outcome": "not_begun", "questions_asked": 0, "questions": [], "answers": [], "box": None, "confidence": None,
        "probability": None, "decisions": [],
    }  # fmt: skip
    reason = "it was heard as the answer to a question that was still open, or not taken"
    return {**row, **_truth_columns(truth, Score(False, 0.0 if truth.box is not None else None, reason), reason)}


def _truth_columns(truth: Optional[Truth], judged: Optional[Score], reason: str) -> Row:
    if truth is None or judged is None:
        return {"kind": None, "truth": None, "truth_box": None, "iou": None, "success": None, "reason": reason}
    return {
        "kind": truth.kind,
        "truth": truth.truth,
        "truth_box": _numbers(truth.box),
        "iou": None if judged.iou is None else round(float(judged.iou), 4),
        "success": judged.success,
        "reason": reason or judged.reason,
    }


def summarise(rows: Sequence[Row]) -> List[Row]:
    """Of the rows whose truth is known: one summary a kind, then 'all'. Rates with 95 % Wilson intervals."""
    scored = [row for row in rows if row["success"] is not None]
    kinds = list(dict.fromkeys(row["kind"] for row in scored))
    groups = [(kind, [row for row in scored if row["kind"] == kind]) for kind in kinds] + [("all", scored)]
    return [_summary(kind, group) for kind, group in groups if group]


def _summary(kind: str, rows: Sequence[Row]) -> Row:
    successes, asked = sum(row["success"] for row in rows), sum(row["questions_asked"] > 0 for row in rows)
    return {
        "kind": kind,
        "episodes": len(rows),
        "successes": successes,
        "success_rate": successes / len(rows),
        "success_interval": list(wilson_interval(successes, len(rows))),
        "asked_rate": asked / len(rows),
        "mean_questions": mean([row["questions_asked"] for row in rows]),
        "mean_iou": mean([row["iou"] for row in rows if row["iou"] is not None]),
    }


def save(result: BagResult, output: Path, about: Dict[str, Any], settings: ReplaySettings) -> Tuple[Path, Path]:
    """OUTPUT.json and the rows as .csv beside it; the CSV, and the JSON but for "timing", are the same every time.

    Raises BagError if they cannot be written.
    """
    output = Path(output)
    table = output.with_suffix(".csv")
    content = {
        **about,
        "topics": {**result.topics._asdict(), "images": list(result.topics.images)},
        "settings": asdict(settings),
        "digest": result.digest,
        "summary": summarise(result.rows),
        "episodes": result.rows,
        "not_taken": result.not_taken,
        "lessons": result.lessons,
        "unsaid": result.unsaid,
        "timing": {
            "p50_s": median([s for s in result.seconds if s > 0]),
            "seconds": [round(s, 4) for s in result.seconds],
        },
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(output.name + ".part")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, output)
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in result.rows:
                writer.writerow([_cell(row[column]) for column in COLUMNS])
    except OSError as error:
        raise BagError(f"cannot write results to {output}: {error.strerror}; choose another --output") from error
    return output, table


def _decision(decision: Decision) -> Row:
    reading = decision.ambiguity
    return {
        "outcome": decision.outcome.value,
        "question": decision.question or None,
        "unknown_words": list(decision.unknown_words),
        "box": _numbers(decision.box),
        "confidence": round(float(decision.confidence), 6),
        "probability": None if reading is None else round(float(reading.probability), 6),
        "threshold": None if reading is None else round(float(reading.threshold), 6),
        "candidates": [_numbers(box) for box in decision.candidates],
    }


def _numbers(box: Optional[Box]) -> Optional[List[float]]:
    return None if box is None else [round(float(value), 3) for value in box]


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
