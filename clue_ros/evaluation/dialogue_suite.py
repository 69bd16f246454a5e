"""`clue evaluate dialogue`: what the model asks and answers beside what people did (InViG's M-VQG and M-VQA).

    clue evaluate dialogue /data/invig --split test --model runs/invig/model

For every recorded turn, with the recorded turns before it: the question that the model would ask and (where somebody
plays the person: a model that was trained to, or a program) the answer with the target's box in mind, scored as text;
and, where there are candidates, the rank of what was really said among them by the model's likelihood. Both ways of
ranking are reported: by the log-probability of the whole text, and by its mean over tokens, which does not favour short
texts.
"""

from __future__ import annotations

from typing import Any, Container, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from clue_ros.data.sample import Sample
from clue_ros.evaluation.grounding_suite import notes_of
from clue_ros.evaluation.oracle import ModelOracle, Oracle, Ranking
from clue_ros.evaluation.other_model import OtherModel
from clue_ros.evaluation.rows import Row
from clue_ros.evaluation.samples import Selection
from clue_ros.evaluation.subject import ORACLES, Subject
from clue_ros.evaluation.suite import Judged
from clue_ros.measures.bootstrap import Estimate, Values, mean, rate
from clue_ros.measures.dialogue_text import NAMES, MissingLibraryError, text_scores
from clue_ros.measures.ranking import rank_of_first
from clue_ros.measures.results import Cell, Measure, Results, Table
from clue_ros.problems import BrokenImageError
from clue_ros.prompt import clean
from clue_ros.types import Answer, InvalidExpressionError

SIDES = {"question": "questions (M-VQG)", "answer": "answers (M-VQA)"}
EXPLANATION = """For every recorded turn, after the recorded turns before it: what would the model ask, and answer? \
Rank: where what was really said stands among the data set's candidates, by the model's likelihood (1 is best). BLEU, \
METEOR, ROUGE-L and CIDEr compare the words of the model's own text with what was said."""
RANKS = {"rank": "whole text", "rank_token": "mean over tokens"}


class DialogueSuite:
    name, title = "dialogue", "Questions and answers"

    def __init__(
        self,
        subject: Union[Subject, OtherModel],
        selection: Selection,
        oracle: Optional[Oracle] = None,
        oracle_name: str = "",
    ):
        """oracle: who answers (M-VQA), None for the subject if it was trained to; oracle_name: which, in results."""
        self._subject, self._selection = subject, selection
        self._oracle = oracle or (ModelOracle(subject) if isinstance(subject, Subject) and subject.can_answer else None)
        self._oracle_name = oracle_name if oracle is not None else ""

    def about(self) -> Dict[str, Any]:
        return {
            "suite": self.name,
            **self._subject.about(),
            **self._selection.about(),
            "answers": self._oracle_name or self._oracle is not None,
        }

    def total(self) -> Optional[int]:
        return self._selection.limit

    def judged(self, done: Container[str]) -> Iterator[Judged]:
        for sample in self._selection:
            if sample.source_id in done:
                continue
            try:
                yield Judged(sample.source_id, self._rows(sample))
            except (BrokenImageError, InvalidExpressionError) as error:
                yield Judged(sample.source_id, [{"image": sample.image.name, "skipped": str(error)}])

    def _rows(self, sample: Sample) -> List[Row]:
        base = {"image": sample.image.name, "expression": sample.expression}
        if not sample.turns:
            return [{**base, "skipped": "no dialogue took place"}]
        rgb, rows = sample.pixels(), []
        image = self._subject.look_at(sample, rgb)
        for n, turn in enumerate(sample.turns):
            before = sample.turns[:n]
            context = (image, sample.expression, before)
            if clean(turn.question) and self._subject.knows("question", sample, before):
                rows.append(
                    {
                        **base,
                        "turn": n,
                        "side": "question",
                        "reference": turn.question,
                        "generated": self._subject.question(*context),
                        **ranks(
                            turn.question,
                            sample.question_candidates,
                            n,
                            lambda texts: self._subject.question_likelihoods(*context, texts),
                        ),
                    }
                )
            if clean(turn.answer.text) and self._oracle is not None:
                person = self._oracle.person(sample, rgb, before)
                rank = person.likelihoods if isinstance(person, Ranking) else lambda question, texts: None
                rows.append(
                    {
                        **base,
                        "turn": n,
                        "side": "answer",
                        "reference": turn.answer.text,
                        **ranks(
                            turn.answer.text, sample.answer_candidates, n, lambda texts: rank(turn.question, texts)
                        ),
                        "generated": _text(person.answer(turn.question)),
                    }
                )
        return rows or [{**base, "skipped": "there is no prediction for it"}]

    def terms(self, rows: Sequence[Row]) -> Dict[str, Tuple[Values, Values]]:
        found: Dict[str, Tuple[Values, Values]] = {}
        for side, label in SIDES.items():
            there = [r.get("side") == side and r.get("rank") is not None for r in rows]
            for name, value in (
                ("Recall@1", lambda rank: rank <= 1),
                ("Recall@5", lambda rank: rank <= 5),
                ("mean rank", lambda rank: rank),
            ):
                found[f"{name} of {label}"] = (
                    [float(value(r["rank"])) if t else 0.0 for r, t in zip(rows, there)],
                    [float(t) for t in there],
                )
        return found

    def summarise(self, rows: Sequence[Row]) -> Results:
        kept = [r for r in rows if "skipped" not in r]
        notes, measures, tables = list(notes_of(rows, self._selection)), [], []
        if self._oracle is None:
            notes.append(f"answers (M-VQA) are not judged, nobody trained the model to give any: {ORACLES}")
        for side, label in SIDES.items():
            own = [r for r in kept if r["side"] == side]
            if own:
                measures += _rank_measures(own, side, label)
                tables.append(_rank_table(own, label))
                texts, missing = _text_table(own, label)
                tables.append(texts)
                notes += [m for m in missing if m not in notes]
        return Results(
            self.name,
            self.title,
            {},
            tuple(measures),
            tuple(t for t in tables if t.rows),
            (),
            tuple(notes),
            explanation=EXPLANATION,
        )


def ranks(truth: str, candidates: Sequence[Sequence[str]], turn: int, likelihoods) -> Row:
    """Ranks of the truth among a turn's candidates, null without any. A candidate that says the same is no rival."""
    rivals = [c for c in candidates[turn] if clean(c) != clean(truth)] if turn < len(candidates) else []
    if not rivals:
        return {"candidates": 0, "rank": None, "rank_token": None}
    found = likelihoods([clean(truth), *(clean(c) for c in rivals)])
    if found is None:
        return {"candidates": len(rivals), "rank": None, "rank_token": None}
    return {
        "candidates": len(rivals),
        "rank": rank_of_first([f.log_probability for f in found]),
        "rank_token": rank_of_first([f.per_token for f in found]) if all(f.tokens for f in found) else None,
    }


def _text(answer: Union[str, Answer]) -> str:
    return answer if isinstance(answer, str) else answer.text


def _rank_measures(rows: Sequence[Row], side: str, label: str) -> List[Measure]:
    images, found = [r["image"] for r in rows], [r["rank"] for r in rows]
    figures = (
        ("recall_at_1", "Recall@1", [None if r is None else r <= 1 for r in found], "rate"),
        ("recall_at_5", "Recall@5", [None if r is None else r <= 5 for r in found], "rate"),
        ("mean_rank", "mean rank", found, "number"),
    )
    return [
        Measure(f"{side}_{name}", f"{text} of {label}", (rate if form == "rate" else mean)(values, images), form)
        for name, text, values, form in figures
        if any(v is not None for v in values)
    ]


def _rank_table(rows: Sequence[Row], label: str) -> Table:
    ranked = [r for r in rows if r["rank"] is not None]
    images, lines = [r["image"] for r in ranked], []
    if ranked:
        count = sum(r["candidates"] for r in ranked) / len(ranked) + 1
        for key, how in RANKS.items():
            values = [r[key] for r in ranked]
            if None in values:  # a program's scores are of whole texts
                continue
            lines.append(
                (
                    how,
                    len(ranked),
                    f"{count:.0f}",
                    rate([v <= 1 for v in values], images),
                    rate([v <= 5 for v in values], images),
                    mean(values, images),
                )
            )
    return Table(
        f"Rank of the real {label} by likelihood",
        ("by", "count", "of", "Recall@1", "Recall@5", "mean rank"),
        tuple(lines),
    )


def _text_table(rows: Sequence[Row], label: str) -> Tuple[Table, List[str]]:
    """BLEU and METEOR are figures of the whole corpus and come without an interval; the others are means."""
    try:
        scores = text_scores([r["generated"] for r in rows], [[r["reference"]] for r in rows])
    except MissingLibraryError as error:
        return Table(f"Text of the {label}", (), ()), [str(error)]
    images, lines = [r["image"] for r in rows], []
    for name in NAMES:
        value: Cell = None
        if name in scores.corpus:
            plain = Estimate(scores.corpus[name], None, None, len(rows))
            value = plain if name.startswith("BLEU") or name == "METEOR" else mean(scores.each[name], images)
        lines.append((name, len(rows), value))
    return Table(f"Text of the {label}", ("metric", "count", "value"), tuple(lines)), list(scores.missing.values())
