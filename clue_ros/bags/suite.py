"""Replays a bag and scores it: one row a dialogue, the same bytes every time; what took how long is kept apart."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from clue_ros.bags.errors import BagError
from clue_ros.bags.reading import Bag, TopicNames, Topics, choose_topics
from clue_ros.bags.replay import NS, Event, Frame, Heard, Played, Replay, ReplaySettings
from clue_ros.bags.truth import Truth, assign, parse_truth, read_truths
from clue_ros.evaluation.episode_runner import Score, score_episode
from clue_ros.evaluation.metrics import mean, median, wilson_interval
from clue_ros.image_messages import message_to_rgb
from clue_ros.types import Box, Decision

Row = Dict[str, Any]
COLUMNS = (
    "number", "time_s", "expression", "outcome", "questions_asked", "questions", "answers", "box", "confidence",
    "probability", "kind", "truth", "truth_box", "iou", "success", "reason",
)  # fmt: skip


@dataclass
class BagResult:
    """rows: see `row_of`; not_taken: speech that came to nothing; unsaid: truths whose instruction is not in the bag;
    seconds: of each row, not part of the digest."""

    topics: Topics
    rows: List[Row] = field(default_factory=list)
    not_taken: List[Row] = field(default_factory=list)
    unsaid: List[str] = field(default_factory=list)
    seconds: List[float] = field(default_factory=list)
    has_truth: bool = False

    @property
    def digest(self) -> str:
        """Of everything that was decided: equal digests, equal decisions."""
        text = json.dumps([self.rows, self.not_taken], sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def evaluate_bag(
    grounder: Any,
    path: Path,
    *,
    names: TopicNames = TopicNames(),
    settings: ReplaySettings = ReplaySettings(),
    truth_file: Optional[Path] = None,
    on_row: Optional[Callable[[Row], None]] = None,
) -> BagResult:
    """Replay a bag. Without truths rows hold decisions only.

    Raises BagError and its kinds before the first dialogue where they can be known, later only for a damaged file.
    """
    with Bag(path) as bag:
        topics = choose_topics(bag, names)
        speech, truths = _words(bag, topics)
        if truth_file is not None:
            truths = read_truths(truth_file)
        if not speech:
            raise BagError(f"nobody says anything on {topics.speech}: the bag has no instruction to replay")
        known, unsaid = assign(truths, [(heard.time, heard.text) for heard in speech])
        result = BagResult(topics, unsaid=[truth.expression for truth in unsaid], has_truth=bool(truths))

        def add(row: Row, seconds: float) -> None:
            row["number"] = len(result.rows) + 1
            result.rows.append(row)
            result.seconds.append(seconds)
            if on_row is not None:
                on_row(row)

        replay = Replay(grounder, settings)
        for played in replay.run(events_of(bag, topics)):
            for index in [i for i in sorted(known) if i < played.index]:
                add(_missed(speech[index], known.pop(index), bag.start), 0.0)
            add(row_of(played, known.pop(played.index, None), bag.start), played.seconds)
        for index in sorted(known):
            add(_missed(speech[index], known[index], bag.start), 0.0)
        result.not_taken = [
            {"time_s": _seconds(item.heard.time, bag.start), "text": item.heard.text[:200], "reason": item.reason}
            for item in replay.not_taken
        ]
    return result


def row_of(played: Played, truth: Optional[Truth], start: int) -> Row:
    """JSON values. Times in seconds from the bag's start, boxes [x0, y0, x1, y1] in pixels of the recorded image;
    the keys from `kind` on are None where the truth is not known."""
    session = played.session
    first = played.decisions[0].ambiguity if played.decisions else None
    row: Row = {
        "number": 0,
        "time_s": _seconds(played.heard, start),
        "image_time_s": None if played.image_stamp is None else _seconds(played.image_stamp, start),
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
    score = None
    if truth is not None:
        score = score_episode(truth.truth, played.outcome, session.questions_asked, played.box, truth.box)
    return {**row, **_truth_columns(truth, score, played.reason)}


def _missed(heard: Heard, truth: Truth, start: int) -> Row:
    """An instruction that began no dialogue: the robot took it for an answer, or not at all."""
    row: Row = {
        "number": 0, "time_s": _seconds(heard.time, start), "image_time_s": None, "expression": truth.expression,
        "outcome": "not_begun", "questions_asked": 0, "questions": [], "answers": [], "box": None, "confidence": None,
        "probability": None, "decisions": [],
    }  # fmt: skip
    reason = "it was heard as the answer to a question that was still open, or not taken"
    return {**row, **_truth_columns(truth, Score(False, None if truth.truth == "absent" else 0.0, reason), reason)}


def _truth_columns(truth: Optional[Truth], score: Optional[Score], reason: str) -> Row:
    known = truth is not None and score is not None
    return {
        "kind": truth.kind if known else None,
        "truth": truth.truth if known else None,
        "truth_box": _numbers(truth.box) if known else None,
        "iou": round(float(score.iou), 4) if known and score.iou is not None else None,
        "success": score.success if known else None,
        "reason": reason or (score.reason if known else ""),
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
        "topics": {"images": list(result.topics.images), "speech": result.topics.speech, "truth": result.topics.truth},
        "settings": asdict(settings),
        "digest": result.digest,
        "summary": summarise(result.rows),
        "episodes": result.rows,
        "not_taken": result.not_taken,
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


def _words(bag: Bag, topics: Topics) -> Tuple[List[Heard], List[Truth]]:
    """Everything said, and the truths; a quick pass, for these topics are small."""
    speech: List[Heard] = []
    truths: List[Truth] = []
    for message in bag.messages([topics.speech] + ([topics.truth] if topics.truth else [])):
        text = bag.decode(message).data
        if message.topic == topics.speech:
            speech.append(Heard(message.time, text, len(speech)))
        else:
            truths.append(parse_truth(text, f"message {len(truths) + 1} on {topics.truth}", message.time))
    return speech, truths


def events_of(bag: Bag, topics: Topics) -> Iterator[Event]:
    """Frames and speech in the order in which they were recorded, as Replay takes them; no frame is decoded yet."""
    index = 0
    for message in bag.messages((*topics.images, topics.speech)):
        if message.topic == topics.speech:
            yield Heard(message.time, bag.decode(message).data, index)
            index += 1
        else:
            yield Frame(message.time, header_stamp(message.data), lambda m=message: message_to_rgb(bag.decode(m)))


def header_stamp(data: bytes) -> int:
    """The stamp (ns) of a CDR message whose first field is a std_msgs/Header; 0 if it is too short to have one."""
    order = "little" if len(data) > 1 and data[1] & 1 else "big"
    if len(data) < 12:
        return 0
    return int.from_bytes(data[4:8], order, signed=True) * NS + int.from_bytes(data[8:12], order)


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


def _seconds(time: int, start: int) -> float:
    return round((time - start) / NS, 3)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
