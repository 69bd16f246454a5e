"""Results on disk and the page that is made of them."""

import csv
import json
import re
from pathlib import Path

import pytest

from clue_ros.cli.main import main
from clue_ros.evaluation.report_page import page
from clue_ros.measures.bootstrap import Estimate
from clue_ros.measures.results import (
    Curve,
    Measure,
    Picture,
    Results,
    ResultsError,
    Series,
    Table,
    from_dict,
    load,
    save,
    shown,
    to_dict,
)

pytestmark = pytest.mark.usefixtures("without_java")


def rows_of(folder):
    return list(csv.DictReader((Path(folder) / "rows.csv").open()))


NASTY = "<script>alert(1)</script>\"'&"


def made_up(folder):
    """Results whose every text is hostile."""
    (folder / "pictures").mkdir(parents=True)
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "pictures/failure-01.webp")
    (folder.parent / "secret.png").write_bytes(b"secret")
    estimate = Estimate(0.5, 0.4, 0.6, 10)
    results = Results(
        "x",
        NASTY,
        {"model": NASTY, "list": [1]},
        (
            Measure("m", NASTY, estimate, "rate", 0.4, True, NASTY),
            Measure("n", "number", Estimate(1.5, None, None, 2), "number"),
        ),
        (Table(NASTY, (NASTY, "v"), ((NASTY, estimate), ("none", None), ("text", NASTY))),),
        (Curve("c", "a $x$ " + NASTY, NASTY, NASTY, (Series(NASTY, (0, 1), (0.1, None), (0, None), (0.2, None)),)),),
        (NASTY,),
        (
            Picture("pictures/failure-01.webp", NASTY, False),
            Picture("../secret.png", "s", True),
            Picture("/etc/hostname", "s", True),
        ),
        False,
    )
    save(results, [{"a": 1, "b": [1, 2]}, {"c": None}], folder)
    return results


def test_results_survive_the_way_to_disk(tmp_path):
    results = made_up(tmp_path / "x")
    assert load(tmp_path / "x")[0] == results == from_dict(json.loads(json.dumps(to_dict(results))))
    assert rows_of(tmp_path / "x") == [{"a": "1", "b": "[1, 2]", "c": ""}, {"a": "", "b": "", "c": ""}]
    for content in ("{}", "[]", "nonsense", '{"format": 1}', '{"format": 9}'):
        (tmp_path / "x/results.json").write_text(content)
        with pytest.raises(ResultsError):
            load(tmp_path / "x")
    with pytest.raises(ResultsError, match="give the output folder"):
        load(tmp_path / "none")


def test_the_page_escapes_everything_and_needs_nothing_else(tmp_path):
    folder = tmp_path / "x"
    text = page([(made_up(folder), folder)], NASTY)
    assert "<script" not in text and "secret" not in text
    assert text.count("data:image/webp;base64,") == 1 and "data:image/svg+xml;base64," in text
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text) + re.findall(r"url\(", text)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "Content-Security-Policy" in text and "interrupted" in text and "≤ 40 % not reached" in text


def test_report_errors(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2 and "results.json is missing" in capsys.readouterr().err
    made_up(tmp_path / "x")
    (tmp_path / "file").touch()
    assert main(["report", str(tmp_path / "x"), "-o", str(tmp_path / "file/r.html")]) == 2
    assert "choose another --output" in capsys.readouterr().err


def test_numbers_as_people_read_them():
    e = Estimate(0.921, 0.898, 0.941, 9)
    assert shown(e) == "0.921 (0.898–0.941)" and shown(e, "rate") == "92.1 % (89.8–94.1)"
    assert shown(None) == shown(Estimate(None, None, None, 0)) == "-"
    assert shown(3) == "3" and shown(1.25, "number") == "1.25"
