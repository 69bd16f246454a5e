"""`clue.json`: what a model directory adds to a plain PaliGemma checkpoint.

A directory holds the checkpoint (config.json, *.safetensors, tokenizer and processor files), `clue.json`,
`ambiguity.safetensors` (the CNN, where one is used) and `adapters/detector`, `adapters/dialogue` (peft, safetensors).
What `clue.json` does not say is as in the paper for PaliGemma 2, with the tap layer scaled to the model's depth.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.types import ModelLoadError
from clue_ros.vlm.model_folder import kind_of
from clue_ros.vlm.patterns import PATTERNS, TAP_ROWS, AttentionPattern

FILE = "clue.json"
QUESTIONS = ("prefixed", "open")
PAPER_TAP, PAPER_LAYERS = 14, 26  # PaliGemma 2 3B (CLUE, section III-B.1)


@dataclass(frozen=True)
class ClueSettings:
    """prefix_attention: who sees whom, a name of PATTERNS (patterns.py); tap_layer: decoder layer whose text-to-image
    attention is read, counted from 0 (the paper's k); tap_rows: which rows of it, a name of TAP_ROWS; soft_caps: Gemma
    2's caps on attention and output logits as config.json says, False for none, as PaliGemma 2's paper trained its
    stage 3; questions: how the base is asked in free words, 'prefixed' ("answer en is there a mug?") or 'open' ("is
    there a mug?", what mix checkpoints answer best); presence: log-odds of yes from which a thing that stock mode has
    boxed counts as there, empty to measure it (perception/presence.py); absence: log-odds that are taken from "nothing
    fits" before it is compared with a box or a question, fitted on held-out data; threshold: P(ambiguous) from which
    the robot asks; gate: weights of the detector's reading, speech and bias (ambiguity/gate.py), empty for the detector
    alone; confidence: scale and bias of the box confidence's log-odds, fitted on held-out data, empty for raw;
    min_confidence: below it a box is asked about under ASK_UNTIL_CONFIDENT where the user gives no limit;
    detector: how ambiguity is read, with the conditioning word detector_prefix at detector_depth: names that
    ambiguity/kinds.py knows and checks; detector_adapter, dialogue_adapter: folders under adapters/, empty for none;
    answer_adapter: of the oracle, which plays the person in an evaluation and which no robot needs; closed_vocabulary:
    words outside the tokenizer are reported instead of guessed, except ignored_words, which are skipped."""

    prefix_attention: str = "full"
    tap_layer: int = PAPER_TAP
    tap_rows: str = "all"
    soft_caps: bool = True
    questions: str = "prefixed"
    presence: Tuple[float, ...] = ()
    absence: float = 0.0
    threshold: float = 0.5
    gate: Tuple[float, ...] = ()
    confidence: Tuple[float, ...] = ()
    min_confidence: float = 0.5
    detector: str = "cnn"
    detector_prefix: str = "detect"
    detector_depth: str = "half"
    detector_channels: Tuple[int, int, int] = (16, 32, 64)
    detector_adapter: str = "detector"
    dialogue_adapter: str = "dialogue"
    answer_adapter: str = ""
    closed_vocabulary: bool = False
    ignored_words: Tuple[str, ...] = ()
    name: str = ""

    def problems(self, layers: int) -> List[str]:
        found = []
        for name, known in (("prefix_attention", PATTERNS), ("tap_rows", TAP_ROWS), ("questions", QUESTIONS)):
            if getattr(self, name) not in known:
                allowed = " or ".join(f"'{k}'" for k in known)
                found.append(f"{name} is '{getattr(self, name)}', must be {allowed}")
        if not 0 <= self.tap_layer < layers:
            found.append(f"tap_layer is {self.tap_layer}, the model has layers 0 to {layers - 1}")
        for name in ("threshold", "min_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                found.append(f"{name} is {getattr(self, name)}, must lie in [0, 1]")
        if len(self.gate) not in (0, 3):
            found.append(f"gate has {len(self.gate)} numbers, must have 3 (map, speech, bias) or none")
        if len(self.presence) > 1:
            found.append(f"presence has {len(self.presence)} numbers, must have 1 (log-odds) or none")
        if len(self.confidence) not in (0, 2):
            found.append(f"confidence has {len(self.confidence)} numbers, must have 2 (scale, bias) or none")
        return found

    @property
    def pattern(self) -> AttentionPattern:
        """Who sees whom. Raises KeyError where `problems` names one."""
        return PATTERNS[self.prefix_attention]

    def save(self, folder: Path) -> None:
        (Path(folder) / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, layers: int) -> "ClueSettings":
        """Read and check clue.json. Raises ModelLoadError listing every problem at once."""
        file = Path(folder) / FILE
        paper = {
            "tap_layer": min(layers - 1, round(PAPER_TAP / PAPER_LAYERS * layers)),
            "tap_rows": "paper",
            "questions": "open" if kind_of(folder) == "mix" else "prefixed",
        }
        values = {**paper, **stated(folder)}
        try:
            settings = from_mapping(cls, values)
        except ConfigurationError as error:
            raise ModelLoadError(f"{file}: {error}") from error
        problems = settings.problems(layers)
        if problems:
            raise ModelLoadError(f"{file}: " + "; ".join(problems))
        return settings


def stated(folder: Path) -> Dict[str, Any]:
    """What a directory's clue.json says, unchecked but for its form; empty without one. Raises ModelLoadError."""
    file = Path(folder) / FILE
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ModelLoadError(f"{file} must hold an object, got {type(values).__name__}")
    return values
