"""Scenarios of the scripted Ground server: which rule counts, and what is said of a file with mistakes."""

from __future__ import annotations

import pytest

from clue_ros.testing.scenario import DEFAULT, ScenarioError, load_scenario
from clue_ros.types import Answer, Box, Turn

ERRORS = ("NOT_FOUND", "TIMEOUT", "UNKNOWN_WORDS")
MUG = """
rules:
  - match: the mug
    ask: Which mug?
    answers:
      - {match: .*red.*, box: [1, 2, 3, 4]}
      - {match: .*blue.*, ask: 'Left or right?', answers: [{match: left, error: NOT_FOUND}]}
      - {match: '\\(points at 7, .*', box: [5, 5, 9, 9]}
  - {match: the .*, box: [10, 20, 30, 40], confidence: 0.25}
  - {match: one question, ask: 'Sure?', error: TIMEOUT}
"""


def write(tmp_path, text):
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return path


def turns(*answers):
    return tuple(Turn("?", answer if isinstance(answer, Answer) else Answer(answer)) for answer in answers)


def test_the_first_rule_that_matches_all_the_words_counts(tmp_path):
    scenario = load_scenario(write(tmp_path, MUG), ERRORS)
    assert scenario.camera is None
    reply = scenario.reply("The Mug ", ())
    assert reply.asks and reply.rule.script.ask == "Which mug?"
    reply = scenario.reply("the mug tree", ())
    assert not reply.asks and reply.rule.box == Box(10, 20, 30, 40) and reply.rule.script.confidence == 0.25
    assert scenario.reply("a mug", ()).rule is None


def test_answers_lead_on_and_one_that_means_nothing_is_asked_again(tmp_path):
    scenario = load_scenario(write(tmp_path, MUG), ERRORS)
    assert scenario.reply("the mug", turns("the RED one")).rule.box == Box(1, 2, 3, 4)
    again = scenario.reply("the mug", turns("pardon?"))
    assert again.asks and again.rule.script.ask == "Which mug?"
    assert scenario.reply("the mug", turns("pardon?", "red")).rule.box == Box(1, 2, 3, 4)
    second = scenario.reply("the mug", turns("blue"))
    assert second.asks and second.rule.script.ask == "Left or right?"
    end = scenario.reply("the mug", turns("blue", "left"))
    assert not end.asks and end.rule.script.error == "NOT_FOUND"
    assert scenario.reply("the mug", turns(Answer(point=(7.0, 8.0)))).rule.box == Box(5, 5, 9, 9)
    # Without `answers` any answer leads to the rule's own end.
    assert scenario.reply("one question", ()).asks
    assert scenario.reply("one question", turns("yes")) == (scenario.rules[2], False)


@pytest.mark.parametrize(
    "text, said",
    [
        ("rules: {}", "give `rules`, a list"), ("- 1", "give `rules`"), ("rulez: []", "give `rules`"),
        ("rules: [", "cannot be read"), ("rules: [1]", "rules[0]"), ("rules: [{box: [1, 2, 3, 4]}]", "lacks 'match'"),
        ("rules: [{match: '('}]", "no regular expression"), ("rules: [{match: a, boxx: []}]", "did you mean 'box'"),
        ("rules: [{match: a, box: [3, 2, 1, 4]}]", "x0 < x1"), ("rules: [{match: a, error: BAD}]", "NOT_FOUND, TIME"),
        ("rules: [{match: a, error: TIMEOUT, box: [1, 2, 3, 4]}]", "one of them"),
        ("rules: [{match: a, answers: [{match: b}]}]", "no 'ask'"),
        ("rules: [{match: a, error: NOT_FOUND, message: b}]", "its own words"),
        ("rules: [{match: a, delay_s: -1}]", "not negative"),
        ("rules: [{match: a, ask: b, answers: [{match: c, confidence: 7}]}]", "rules[0].answers[0]"),
        ("camera: {width: 0}\nrules: []", "above 0"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_the_file(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path, ERRORS)
    assert said in str(raised.value) and str(path) in str(raised.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(ScenarioError, match=r"rules\[0\].*rules\[1\]"):
        load_scenario(write(tmp_path, "rules: [{match: '('}, {match: a, error: NO}]"), ERRORS)
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "missing.yaml", ERRORS)


def test_the_file_that_ships_is_sound():
    assert DEFAULT.is_file()
    with pytest.raises(ScenarioError, match="MODEL_ERROR"):  # it uses every code, so three are not enough
        load_scenario(DEFAULT, ERRORS)
