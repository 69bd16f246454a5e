"""What share of somebody's sentences a model understands, and which words it lacks."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from clue_ros.dialogue.phrases import names_nothing
from clue_ros.language.commands import target_of, without_modifiers
from clue_ros.measures.metrics import wilson_interval
from clue_ros.prompt import MAX_CHARACTERS, check_expression
from clue_ros.types import ClueError, InvalidExpressionError

UNDERSTOOD, ASKED, UNKNOWN, NOTHING = "understood", "asked about", "unknown words", "names nothing"
MAX_BYTES = 64 << 20  # of a text file


@dataclass
class Coverage:
    """rows: {"sentence", "verdict", "missing"} each; missing: word -> sentences that it keeps from being understood."""

    rows: List[Dict[str, Any]] = field(default_factory=list)
    missing: Counter = field(default_factory=Counter)

    @property
    def understood(self) -> int:
        return sum(row["verdict"] == UNDERSTOOD for row in self.rows)

    @property
    def asked(self) -> int:
        return sum(row["verdict"] == ASKED for row in self.rows)

    @property
    def share(self) -> float:
        """Of the sentences, in [0, 1]; 0 of none."""
        return self.understood / len(self.rows) if self.rows else 0.0

    @property
    def interval(self) -> Tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson_interval(self.understood, len(self.rows))

    def alone(self, word: str) -> int:
        """Sentences that would be understood if the model learnt this one word."""
        return sum(row["missing"] == [word] for row in self.rows)

    def to_dict(self) -> Dict[str, Any]:
        return {
            "sentences": len(self.rows),
            "understood": self.understood,
            "asked": self.asked,
            "share": self.share,
            "interval": list(self.interval),
            "missing": [
                {"word": word, "sentences": count, "alone": self.alone(word)}
                for word, count in self.missing.most_common()
            ],
            "rows": self.rows,
        }


def coverage(sentences: Iterable[str], unknown_words: Callable[[str], Tuple[str, ...]]) -> Coverage:
    """Judges sentences as a BeliefGrounder would before it looks at an image: a sentence is ASKED about where words in
    front of a known noun are new ("the coke can").

    sentences: as people say them; slips of the keyboard are repaired as in a dialogue
    unknown_words: of a cleaned text, `Backbone.unknown_words`
    """
    found = Coverage()
    for sentence in sentences:
        try:
            words = check_expression(sentence)
        except InvalidExpressionError:
            verdict, missing = NOTHING, []
        else:
            words = target_of(words) if unknown_words(words) else words
            missing = list(dict.fromkeys(unknown_words(words)))
            kept = UNKNOWN if without_modifiers(words, missing) is None else ASKED
            verdict = kept if missing else NOTHING if names_nothing(words) else UNDERSTOOD
        found.missing.update(missing)
        found.rows.append({"sentence": sentence, "verdict": verdict, "missing": missing})
    return found


def lines_of(path: Path) -> Iterator[str]:
    """The sentences of a text file, one a line; blank lines and lines that begin with # are left out.

    Raises ClueError if it cannot be read as UTF-8 text or is larger than MAX_BYTES.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ClueError(f"{path} has more than {MAX_BYTES >> 20} MiB: give a part of it")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClueError(f"{path} cannot be read as text: {error}") from error
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()[: MAX_CHARACTERS + 1]


def save(found: Coverage, path: Path, about: Dict[str, Any]) -> Path:
    """Writes PATH (JSON) and a CSV of the rows beside it; returns the CSV's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, **found.to_dict()}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    table = path.with_suffix(".csv")
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("sentence", "verdict", "missing"))
        writer.writerows((row["sentence"], row["verdict"], " ".join(row["missing"])) for row in found.rows)
    return table
