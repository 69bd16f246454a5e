"""What the scripted `Ground` server says: rules from a YAML file, from words to a question, a box or an error. No ROS.

    camera: {width: 640, height: 480, distance_m: 0.8, rate_hz: 5}   # left out: your own camera's frames are taken
    rules:                                    # the first one that matches the whole instruction counts
      - match: "(hand me )?the mug"           # a regular expression, upper and lower case alike
        ask: Which mug, the red or the blue one?
        answers:                              # left out: any answer leads to this rule's own box or error
          - {match: ".*red.*", box: [100, 200, 180, 280]}     # may ask again, with answers of its own
          - {match: ".*blue.*", box: [400, 200, 480, 280], confidence: 0.7, delay_s: 0.2}
      - {match: "the unicorn", error: NOT_FOUND}              # any error code of the action
      - {match: "the attic", error: MODEL_ERROR, message: no light}   # its error_msg
      - {match: "the frobnicator", error: UNKNOWN_WORDS, words: [frobnicator]}

Boxes are pixels of the image; without one the middle of it is found. What no rule matches is not found; an answer that
no rule matches is asked again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import yaml

from clue_ros.configuration import ConfigurationError, from_mapping
from clue_ros.dialogue.phrases import describe_answer
from clue_ros.types import Box, ModelLoadError, Turn

DEFAULT = Path(__file__).resolve().parent / "scripted_ground.yaml"


class ScenarioError(ModelLoadError):
    """A scenario that cannot be read; the text names the file and every mistake in it."""


@dataclass(frozen=True)
class CameraScript:
    """The grey camera that the server plays: pixels, metres to everything in view, frames a second."""

    width: int = 640
    height: int = 480
    distance_m: float = 0.8
    rate_hz: float = 5.0


@dataclass(frozen=True)
class RuleScript:
    """One rule without its answers, as it stands in the file."""

    match: str = ""
    ask: str = ""
    box: Tuple[float, ...] = ()
    confidence: float = 0.9
    delay_s: float = 0.0
    error: str = ""
    message: str = ""
    words: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """What to do with words that `pattern` matches as a whole."""

    pattern: "re.Pattern[str]"
    script: RuleScript
    answers: "Tuple[Rule, ...]" = ()

    @property
    def box(self) -> Optional[Box]:
        return Box(*self.script.box) if self.script.box else None


class Reply(NamedTuple):
    """`rule` None: nothing fits. `asks`: the rule's question is due, else its box or error."""

    rule: Optional[Rule]
    asks: bool


@dataclass(frozen=True)
class Scenario:
    rules: Tuple[Rule, ...]
    camera: Optional[CameraScript] = None

    def reply(self, expression: str, turns: Sequence[Turn]) -> Reply:
        rule = _first(self.rules, expression)
        for turn in turns:
            if rule is None or not rule.script.ask:
                break
            if not rule.answers:
                return Reply(rule, False)
            rule = _first(rule.answers, describe_answer(turn.answer)) or rule
        return Reply(rule, rule is not None and bool(rule.script.ask))


def load_scenario(path: Union[str, Path], errors: Collection[str]) -> Scenario:
    """Reads a scenario; `errors` are the names that a rule's `error` may have.

    Raises:
        ScenarioError: no such file, no YAML, or mistakes in it; all of them are named.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"the scenario {path} cannot be read: {error}") from error
    problems: List[str] = []
    known = isinstance(values, Mapping) and not set(values) - {"camera", "rules"}
    if not known or not isinstance(values.get("rules"), list):
        raise ScenarioError(f"the scenario {path}: give `rules`, a list, and if you want one a `camera`; nothing else")
    camera = None
    if values.get("camera") is not None:
        camera = _read(CameraScript, values["camera"], "camera", problems)
        if camera is not None and min(camera.width, camera.height, camera.distance_m, camera.rate_hz) <= 0:
            problems.append("every value of 'camera' must be above 0")
    rules = _rules(values["rules"], "rules", errors, problems)
    if problems:
        raise ScenarioError(f"the scenario {path}: " + "; ".join(problems))
    return Scenario(rules, camera)


def _rules(values: Any, where: str, errors: Collection[str], problems: List[str]) -> Tuple[Rule, ...]:
    if not isinstance(values, list):
        problems.append(f"'{where}' must be a list of rules")
        return ()
    rules = (_rule(value, f"{where}[{index}]", errors, problems) for index, value in enumerate(values))
    return tuple(rule for rule in rules if rule is not None)


def _rule(value: Any, where: str, errors: Collection[str], problems: List[str]) -> Optional[Rule]:
    answers: Tuple[Rule, ...] = ()
    if isinstance(value, Mapping):
        value = dict(value)
        if "answers" in value:
            answers = _rules(value.pop("answers"), f"{where}.answers", errors, problems)
    script = _read(RuleScript, value, where, problems)
    if script is None:
        return None
    before = len(problems)
    if not script.match:
        problems.append(f"'{where}' lacks 'match', a regular expression")
    if script.error and script.error not in errors:
        problems.append(f"'{where}.error' is {script.error!r}: give one of {', '.join(sorted(errors))}")
    if script.message and script.error in ("", "NOT_FOUND", "UNKNOWN_WORDS"):
        problems.append(f"'{where}' has a message: the node finds its own words for that")
    if script.error and script.box:
        problems.append(f"'{where}' has a box and an error: give one of them")
    if answers and not script.ask:
        problems.append(f"'{where}' has answers but no 'ask'")
    if script.box and not (len(script.box) == 4 and script.box[0] < script.box[2] and script.box[1] < script.box[3]):
        problems.append(f"'{where}.box' is {list(script.box)}: give [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    if not (0 <= script.confidence <= 1 and script.delay_s >= 0):
        problems.append(f"'{where}': confidence is between 0 and 1, delay_s not negative")
    try:
        pattern = re.compile(script.match, re.IGNORECASE | re.DOTALL)
    except re.error as error:
        problems.append(f"'{where}.match' is no regular expression: {error}")
    return None if len(problems) > before else Rule(pattern, script, answers)


def _read(kind: Any, value: Any, where: str, problems: List[str]) -> Any:
    try:
        return from_mapping(kind, value, where)
    except ConfigurationError as error:
        problems.append(str(error))
        return None


def _first(rules: Sequence[Rule], words: str) -> Optional[Rule]:
    return next((rule for rule in rules if rule.pattern.fullmatch(words.strip())), None)
