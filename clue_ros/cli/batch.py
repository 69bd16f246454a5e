"""`clue ground --batch FILE.jsonl`: one JSON result a line, in order; a bad line gives its error."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, TextIO, Tuple

from clue_ros.belief.pointing import from_numbers
from clue_ros.cli.decision_json import decision_to_dict
from clue_ros.cli.loading import believing, load_grounder
from clue_ros.images.photos import read_photo
from clue_ros.language.plain_answers import settled
from clue_ros.seams import Grounder
from clue_ros.types import Answer, Box, ClueError, Turn

_FIELDS = ("image", "expression", "turns", "pointing")


def run_batch(args: argparse.Namespace) -> int:
    """Decide every line; returns 1 if any line failed. Progress goes to stderr, results to --output or stdout."""
    from tqdm import tqdm

    lines, folder = _read_lines(args.batch)
    failures = 0
    with _writer(args) as sink:
        with contextlib.redirect_stdout(sys.stderr):
            grounder = load_grounder(args)
        decider = _Decider(grounder, folder, args)
        try:
            for number, line in tqdm(lines, unit="line", file=sys.stderr, dynamic_ncols=True):
                with contextlib.redirect_stdout(sys.stderr):
                    result = decider.decide(line)
                if "error" in result:
                    failures += 1
                    result["line"] = number
                sink.write(json.dumps(result, allow_nan=False) + "\n")
                sink.flush()
        finally:
            grounder.close()
    if failures:
        print(f"clue: {failures} of {len(lines)} lines failed; their results hold the error", file=sys.stderr)
    return 1 if failures else 0


class _Decider:
    """Decides one line after the other and keeps the last image's features."""

    def __init__(self, grounder: Grounder, folder: Path, args: argparse.Namespace):
        self._believing = believing(grounder, args)
        self._folder = folder
        self._args = args
        self._path: Optional[Path] = None
        self._encoded: Any = None

    def decide(self, line: bytes) -> Dict[str, Any]:
        """The result of a line, or {"error": ...}; never raises for what a line can contain."""
        about: Dict[str, Any] = {}
        try:
            request = parse_line(line)
            about = {"image": request["image"]}
            began = time.perf_counter()
            encoded = self._encode(self._folder / request["image"])
            decision = self._believing.ground(
                encoded,
                request["expression"],
                request["turns"],
                pointing=request["pointing"],
                may_ask=not self._args.no_ask,
                threshold=self._args.threshold,
            )
            return {**about, **decision_to_dict(decision, time.perf_counter() - began)}
        except (ClueError, OSError, ValueError, RuntimeError, MemoryError) as error:
            # RuntimeError and MemoryError: one image too large for the device must not lose the other lines.
            return {**about, "error": " ".join(str(error).split()) or type(error).__name__}

    def _encode(self, path: Path) -> Any:
        if path != self._path:
            self._path = None
            self._encoded = self._believing.encode(read_photo(path, self._args.sample_bits))
            self._path = path
        return self._encoded


def parse_line(line: bytes) -> Dict[str, Any]:
    """{image: str, expression: str, turns: [Turn], pointing: Answer or None} from a JSON line. Raises ClueError that
    says what is wrong."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ClueError("this line is not UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ClueError(f"this line is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ClueError('a line must be an object such as {"image": "a.png", "expression": "the mug"}')
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        raise ClueError(f"unknown field {unknown[0]!r}; a line may have {', '.join(_FIELDS)}")
    for name in ("image", "expression"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise ClueError(f"{name!r} is missing or not a text")
    turns = value.get("turns") or []
    if not isinstance(turns, list):
        raise ClueError("'turns' must be a list of [question, answer]")
    return {
        "image": value["image"],
        "expression": value["expression"],
        "turns": [_turn(turn) for turn in turns],
        "pointing": _pointing(value.get("pointing")),
    }


def _turn(value: Any) -> Turn:
    if isinstance(value, dict) and set(value) == {"question", "answer"}:
        value = [value["question"], value["answer"]]
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        raise ClueError('a turn must be [question, answer] or {"question": ..., "answer": ...}')
    answer = _answer(value[1])
    pointed = answer.point is not None or answer.box is not None
    return Turn(value[0], answer if pointed else replace(answer, text=settled(value[0], answer.text)))


def _answer(value: Any) -> Answer:
    """A text, or {"text", "point": [x, y], "box": [x0, y0, x1, y1]} in pixels of the upright photo."""
    if isinstance(value, str):
        return Answer(value)
    if not isinstance(value, dict) or not value or set(value) - {"text", "point", "box"}:
        raise ClueError("an answer must be a text, or an object with text, point [x, y] or box [x0, y0, x1, y1]")
    text = value.get("text", "")
    if not isinstance(text, str):
        raise ClueError("the text of an answer must be a text")
    point, box = (_numbers(value, name, count) for name, count in (("point", 2), ("box", 4)))
    return Answer(text, (point[0], point[1]) if point else None, Box(*box) if box else None)


def _pointing(value: Any) -> Optional[Answer]:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in value):
        raise ClueError("'pointing' must be a list of numbers in pixels: x y, x0 y0 x1 y1, or x y x y x y ...")
    return from_numbers(value)


def _numbers(value: Dict[str, Any], name: str, count: int) -> Optional[List[float]]:
    numbers = value.get(name)
    if numbers is None:
        return None
    good = isinstance(numbers, list) and len(numbers) == count
    if not good or not all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e9 for n in numbers):
        raise ClueError(f"the {name} of an answer must be {count} numbers in pixels")
    return [float(n) for n in numbers]


def _read_lines(path: Path) -> Tuple[List[Tuple[int, bytes]], Path]:
    """((line number from 1, line) of every line that is not blank, folder of relative image paths)."""
    if str(path) == "-":
        return _number(sys.stdin.buffer), Path()
    try:
        with path.open("rb") as file:
            return _number(file), path.parent
    except OSError as error:
        raise ClueError(f"cannot read the batch file {path}: {error.strerror}") from error


def _number(file: BinaryIO) -> List[Tuple[int, bytes]]:
    return [(number, line) for number, line in enumerate(file, start=1) if line.strip()]


@contextlib.contextmanager
def _writer(args: argparse.Namespace) -> Iterator[TextIO]:
    if args.output is None:
        yield sys.stdout
        return
    if str(args.batch) != "-" and args.output.resolve() == args.batch.resolve():
        raise ClueError(f"--output {args.output} is the batch file itself; give another name")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        sink = args.output.open("w", encoding="utf-8")
    except OSError as error:
        raise ClueError(f"cannot write {args.output}: {error.strerror}") from error
    with sink:
        yield sink
