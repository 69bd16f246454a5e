"""The optional hook that says a finished dialogue in other words (InViG: "we then use ChatGPT to rephrase").

A command, given as a list of arguments and never as a shell's text, that stays up for the whole run: each line on its
stdin is {"expression": "…", "turns": [["question", "answer"], …]}, and it writes one line of the same form to stdout.
Or a file of lines {"text": "hand me the mug", "paraphrases": ["could I have the mug"]}, of which one is drawn. Off
unless asked for. What does not come back as as many turns of plausible text leaves the dialogue as it is.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import IO, Any, Dict, List, Optional, Protocol, Sequence, Tuple, cast

import numpy as np

from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.prompt import MAX_CHARACTERS, check_expression
from clue_ros.types import ClueError, InvalidExpressionError

Words = Tuple[str, Tuple[Tuple[str, str], ...]]  # expression, (question, answer) of every turn
TIMEOUT_S = 60.0


class Paraphraser(Protocol):
    def __call__(self, words: Words, rng: np.random.Generator) -> Optional[Words]:
        """Other words, None if there are none."""

    def close(self) -> None: ...


class CommandParaphraser:
    """Raises ClueError if the command cannot be started, or ends, or is silent for TIMEOUT_S."""

    def __init__(self, arguments: Sequence[str], timeout_s: float = TIMEOUT_S):
        self._arguments, self._timeout_s = list(arguments), timeout_s
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                shell=False,
            )
        except (OSError, ValueError) as error:
            raise ClueError(f"the paraphrase command {self._arguments[0]!r} cannot be started: {error}") from error
        # Both are pipes, as they were ordered.
        self._stdin, self._stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self._lines: "queue.Queue[str]" = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __call__(self, words: Words, rng: np.random.Generator) -> Optional[Words]:
        expression, turns = words
        try:
            self._stdin.write(json.dumps({"expression": expression, "turns": [list(t) for t in turns]}) + "\n")
            self._stdin.flush()
            line = self._lines.get(timeout=self._timeout_s)
        except (OSError, queue.Empty) as error:
            raise ClueError(
                f"the paraphrase command {self._arguments[0]!r} gave no line within {self._timeout_s:g} s"
            ) from error
        if not line:
            raise ClueError(f"the paraphrase command {self._arguments[0]!r} ended: exit status {self._process.wait(5)}")
        try:
            return checked(json_object(line.encode("utf-8")), len(turns))
        except ValueError:
            return None

    def close(self) -> None:
        """Ends the command: its stdin is closed, and after two seconds it is killed."""
        try:
            self._stdin.close()
            self._process.wait(2.0)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def _read(self) -> None:
        try:
            for line in self._stdout:
                self._lines.put(line)
        except ValueError:  # closed
            pass
        self._lines.put("")


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
                    or not all(map(_plausible, others))
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
    if not _plausible(entry.get("expression")) or not isinstance(said, list) or len(said) != turns:
        return None
    if not all(isinstance(t, list) and len(t) == 2 and all(map(_plausible, t)) for t in said):
        return None
    try:
        check_expression(entry["expression"])
    except InvalidExpressionError:
        return None
    return entry["expression"].strip(), tuple((q.strip(), a.strip()) for q, a in said)


def _plausible(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text.strip()) <= MAX_CHARACTERS and "\n" not in text
