"""The optional hook that says a finished dialogue in other words (InViG: "we then use ChatGPT to rephrase").

A command, given as a list of arguments and never as a shell's text, that stays up for the whole run: each line on its
stdin is {"expression": "…", "turns": [["question", "answer"], …]}, and it writes one line of the same form to stdout.
Or a file of lines {"text": "hand me the mug", "paraphrases": ["could I have the mug"]}, of which one is drawn. Off
unless asked for. What does not come back as as many turns of plausible text leaves the dialogue as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy as np

from clue_ros.data.line_program import TIMEOUT_S, LineProgram
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.prompt import MAX_CHARACTERS, check_expression
from clue_ros.types import ClueError, InvalidExpressionError

Words = Tuple[str, Tuple[Tuple[str, str], ...]]  # expression, (question, answer) of every turn


class Paraphraser(Protocol):
    def __call__(self, words: Words, rng: np.random.Generator) -> Optional[Words]:
        """Other words, None if there are none."""

    def close(self) -> None: ...


class CommandParaphraser:
    """Raises ClueError if the command cannot be started, or ends, or is silent for TIMEOUT_S."""

    def __init__(self, arguments: Sequence[str], timeout_s: float = TIMEOUT_S):
        self._program = LineProgram("paraphrase command", arguments, timeout_s)

    def __call__(self, words: Words, rng: np.random.Generator) -> Optional[Words]:
        expression, turns = words
        try:
            said = self._program.ask({"expression": expression, "turns": [list(t) for t in turns]})
            return checked(said, len(turns))
        except ValueError:
            return None

    def close(self) -> None:
        self._program.close()


class FileParaphraser:
    """Each sentence for itself; one that the file does not hold stays."""

    def __init__(self, file: Path):
        """Raises ClueError naming the line that cannot be used."""
        self._known: Dict[str, List[str]] = {}
        for number, line in read_lines(Path(file)):
            try:
                entry = json_object(line)
                others = entry["paraphrases"]
                if (
                    not isinstance(entry["text"], str)
                    or not isinstance(others, list)
                    or not all(map(plausible, others))
                ):
                    raise ValueError("'paraphrases' must be a list of texts")
                self._known[entry["text"].strip().lower()] = others
            except (ValueError, KeyError) as error:
                raise ClueError(f"{file}:{number}: {error}") from error

    def __call__(self, words: Words, rng: np.random.Generator) -> Optional[Words]:
        def other(text: str) -> str:
            known = self._known.get(text.strip().lower())
            return known[int(rng.integers(len(known)))] if known else text

        expression, turns = words
        said = other(expression), tuple((other(q), other(a)) for q, a in turns)
        return None if said == words else said

    def close(self) -> None:
        """Nothing is open."""


def checked(entry: Dict[str, Any], turns: int) -> Optional[Words]:
    """A line of the command's, None if it is no dialogue of that many turns."""
    said = entry.get("turns")
    if not plausible(entry.get("expression")) or not isinstance(said, list) or len(said) != turns:
        return None
    if not all(isinstance(t, list) and len(t) == 2 and all(map(plausible, t)) for t in said):
        return None
    try:
        check_expression(entry["expression"])
    except InvalidExpressionError:
        return None
    return entry["expression"].strip(), tuple((q.strip(), a.strip()) for q, a in said)


def plausible(text: Any, most: int = MAX_CHARACTERS) -> bool:
    """Whether it is text on one line, of at most `most` characters."""
    return isinstance(text, str) and 0 < len(text.strip()) <= most and "\n" not in text
