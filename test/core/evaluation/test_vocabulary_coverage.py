"""`clue evaluate vocabulary`: counts that are done by hand beside it."""

from __future__ import annotations

import csv
import json

import pytest
from drawn_data import make_it2p

from clue_ros.cli.main import main
from clue_ros.evaluation.vocabulary import ASKED, NOTHING, UNDERSTOOD, UNKNOWN, coverage, lines_of
from clue_ros.types import ClueError

KNOWN = set("pick up the red mug on left please a".split())


def unknown(text):
    return tuple(word for word in text.split() if word not in KNOWN)


def test_every_sentence_is_judged_and_every_missing_word_counted():
    said = [
        "Pick up the red mug",
        "pick up the torque wrench",
        "the wrench",
        "yes",
        "!!",
        "the wrench wrench",
        "the mug",
    ]
    found = coverage(said, unknown)
    verdicts = [row["verdict"] for row in found.rows]
    assert verdicts == [UNDERSTOOD, UNKNOWN, UNKNOWN, UNKNOWN, NOTHING, UNKNOWN, UNDERSTOOD]
    assert found.missing == {"wrench": 3, "torque": 1, "yes": 1} and found.understood == 2 and found.share == 2 / 7
    assert found.alone("wrench") == 2 and found.alone("torque") == 0
    low, high = found.interval
    # Wilson's interval of 2 of 7, worked out by hand.
    assert (low, high) == pytest.approx((0.0822, 0.6411), abs=1e-4)
    assert coverage([], unknown).share == 0.0
    asked = coverage(["put the steel mug on the left", "the mug on the shelf", "Place the mug on the shelf"], unknown)
    assert [row["verdict"] for row in asked.rows] == [ASKED, UNKNOWN, UNDERSTOOD] and asked.asked == 1


def test_a_text_file(tmp_path):
    path = tmp_path / "said.txt"
    path.write_bytes("\ufeffthe mug\n\n# a note\n  the cup \r\n".encode())
    assert list(lines_of(path)) == ["the mug", "the cup"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClueError, match="cannot be read as text"):
        list(lines_of(path))


def test_the_command_on_text_and_on_a_data_set(tmp_path, capsys, monkeypatch):
    path = tmp_path / "said.txt"
    path.write_text("the red mug\nthe blue bottle on the left\nhand me the brass gasket\nthe bras gasket\nyes\n")
    output = tmp_path / "out.json"
    assert main(["evaluate", "vocabulary", str(path), "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    assert (
        "2 of 5 sentences are understood: 40.0%" in printed
        and "1 of them name nothing" in printed
        and "gasket" in printed
    )
    written = json.loads(output.read_text())
    assert written["understood"] == 2 and written["missing"][0]["word"] == "gasket"
    assert written["missing"][0]["sentences"] == 2
    rows = list(csv.DictReader(output.with_suffix(".csv").open()))
    assert [row["verdict"] for row in rows] == [UNDERSTOOD, UNDERSTOOD, UNKNOWN, UNKNOWN, NOTHING]
    assert main(["evaluate", "vocabulary", str(path), "-o", str(output), "--at-least", "0.6"]) == 1
    assert main(["evaluate", "vocabulary", str(make_it2p(tmp_path / "it2p")), "-o", str(output)]) == 0
    of_it2p = json.loads(output.read_text())
    assert of_it2p["missing"] == [] and of_it2p["understood"] == of_it2p["sentences"] > 4
    assert main(["evaluate", "vocabulary", str(tmp_path / "nothing.txt"), "-o", str(output)]) == 2
    path.write_text("# a note\n")
    assert main(["evaluate", "vocabulary", str(path), "-o", str(output)]) == 2
