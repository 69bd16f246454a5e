"""The `clue` command: output for people and programs, batches, and errors in one line. With a scripted grounder."""

import errno
import io
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clue_ros.cli.ground import quoted
from clue_ros.cli.main import VERBS, main
from clue_ros.types import Ambiguity, Box, ClueError, Decision, InvalidExpressionError, ModelLoadError, Outcome, Region

ROOT = Path(__file__).resolve().parents[3]


class FakeGrounder:
    """Finds "red", asks about "mug", does not know "gizmo", raises for "bad" and "boom"; counts what it is asked."""

    threshold = 0.5
    min_confidence = 0.5
    vocabulary = None
    encoded = 0
    calls = []

    @classmethod
    def from_pretrained(cls, path=None, device="cpu", dtype=None, *, quantization="none", glances=None):
        print("a library that prints while it loads")
        cls.form, cls.glances = (dtype, quantization), glances
        if path is not None and not Path(path).is_dir():
            raise ModelLoadError(f"{path}: there is no such model directory")
        if device != "cpu":
            raise RuntimeError(f"Invalid device string: {device!r}")
        return cls()

    capabilities = frozenset()

    def encode(self, image):
        type(self).encoded += 1
        return types.SimpleNamespace(width=image.shape[1], height=image.shape[0])

    def ground(
        self, image, expression, turns=(), *, may_ask=True, threshold=None, candidates=(), should_stop=None, mask=False
    ):
        self.calls.append((image, expression, tuple(turns), may_ask, threshold))
        if expression == "bad":
            raise InvalidExpressionError("the expression is bad")
        if expression == "boom":
            raise RuntimeError("out of memory")
        if "gizmo" in expression:
            return Decision(Outcome.UNKNOWN_WORDS, expression, unknown_words=("gizmo",))
        box = Box(1.0, 2.0, 30.5, 40.25)
        region = Region(box, (10.0, 10.0), 1.0)
        ambiguous = "red" not in expression and not turns
        reading = Ambiguity(0.9 if ambiguous else 0.1, 0.5, ambiguous, np.eye(4, dtype=np.float32), (region,))
        if ambiguous and may_ask:
            return Decision(Outcome.ASK, expression, reading, question="which color?", candidates=(box, box))
        if "pen" in expression:
            return Decision(Outcome.NOT_FOUND, expression, reading)
        return Decision(Outcome.FOUND, expression, reading, box, 0.875)

    def close(self):
        pass


@pytest.fixture
def grounder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "clue_ros.grounder", types.SimpleNamespace(Grounder=FakeGrounder))
    FakeGrounder.encoded, FakeGrounder.calls = 0, []
    return FakeGrounder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "table.png"
    Image.new("RGB", (64, 48), (90, 120, 60)).save(path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_json_is_exactly_one_object(grounder, photo, capsys):
    assert run("ground", photo, "the red mug", "--json") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    row = json.loads(out)
    assert row["outcome"] == "found" and row["box"] == [1.0, 2.0, 30.5, 40.25] and row["confidence"] == 0.875
    assert row["ambiguity"] == 0.1 and row["question"] is None and row["latency_s"] >= 0
    assert row["unknown_words"] == [] and row["candidates"] == [] and row["belief"] == []


@pytest.mark.parametrize(
    "expression, outcome, question, ambiguity",
    [
        ("the mug", "ask", "which color?", 0.9),
        ("the red pen", "not_found", None, 0.1),
        ("the gizmo", "unknown_words", None, None),
    ],
)
def test_json_of_every_other_outcome(grounder, photo, capsys, expression, outcome, question, ambiguity):
    assert run("ground", photo, expression, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["outcome"], row["question"], row["ambiguity"], row["box"]) == (outcome, question, ambiguity, None)


@pytest.mark.parametrize(
    "expression, sentence",
    [
        ("the red mug", "It is sure of this box: its confidence is 88 %."),
        ("the mug", "The words fit more than one thing here, with a probability of 90 %."),
        ("the red pen", "Nothing here fits the words well enough for a box."),
        ("the gizmo", "Without these words it would have to guess, so it gives no box."),
    ],
)
def test_one_sentence_says_how_sure_it_is(grounder, photo, capsys, expression, sentence):
    assert run("ground", photo, expression) == 0
    assert capsys.readouterr().out.splitlines()[1] == sentence


@pytest.mark.parametrize("question", ["Which mug?", 'The word "a" is new to me.', "Whose $HOME`s`, Tom's? \\ !"])
def test_the_turn_that_is_offered_is_one_word_of_a_shell(question):
    shown = subprocess.run(["sh", "-c", f"printf %s {quoted(question)}"], capture_output=True, text=True, check=True)
    assert shown.stdout == question


def test_a_box_below_the_models_own_limit_is_not_called_sure(grounder, photo, capsys, monkeypatch):
    monkeypatch.setattr(FakeGrounder, "min_confidence", 0.9)
    assert run("ground", photo, "the red mug") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("It is not sure of this box:")


def test_turns_threshold_and_no_ask_reach_the_grounder(grounder, photo):
    assert run("ground", photo, "the mug", "--turn", "q1?", "a1", "--turn", "q2?", "a2", "--threshold", "0.7") == 0
    _, _, turns, may_ask, threshold = grounder.calls[-1]
    assert [(t.question, t.answer.text) for t in turns] == [("q1?", "a1"), ("q2?", "a2")]
    assert may_ask and threshold == 0.7
    run("ground", photo, "the mug", "--no-ask")
    assert grounder.calls[-1][3:] == (False, None)


@pytest.mark.parametrize(
    "numbers, point, box",
    [
        ((10, 20), (10, 20), None),
        ((1, 2, 30, 40), None, (1, 2, 30, 40)),
        ((5, 5, 25, 15, 10, 30), (15, 17.5), (5, 5, 25, 30)),
    ],
)
def test_a_place_comes_with_the_words(grounder, photo, tmp_path, numbers, point, box, capsys):
    assert run("ground", photo, "the one here", "--pointing", *numbers) == 0
    turn = grounder.calls[-1][2][0]
    assert (turn.answer.point, turn.answer.box) == (point, box)
    file = tmp_path / "lines.jsonl"
    line = {"image": photo.name, "expression": "the one here", "pointing": list(numbers)}
    file.write_text(json.dumps(line) + "\n" + json.dumps({**line, "pointing": [1, "2"]}) + "\n")
    capsys.readouterr()
    assert run("ground", "--batch", file) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["outcome"] == "found" and grounder.calls[-1][2][0] == turn
    assert "'pointing' must be" in rows[1]["error"]


def test_numbers_are_asked_and_understood(grounder, photo, capsys):
    assert run("ground", photo, "the mug", "--question-policy", "numbers", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["question"] == "Do you mean 1 or 2?" and len(row["candidates"]) == 2
    said = ("--turn", row["question"], "two")
    assert run("ground", photo, "the mug", "--question-policy", "numbers", "--json", *said) == 0
    assert json.loads(capsys.readouterr().out)["box"] == row["candidates"][1]


def test_picture_is_saved_where_it_says(grounder, photo, tmp_path, capsys):
    assert run("ground", photo, "the mug") == 0
    out = capsys.readouterr().out
    assert Image.open(tmp_path / "out/ground/table.png").width == 1280
    assert "out/ground/table.png" in out and "which color?" in out and "0.90" in out and "--turn" in out
    assert run("ground", photo, "the red mug", "--out", tmp_path / "a/b.png") == 0
    assert (tmp_path / "a/b.png").is_file()
    assert run("ground", photo, "the red mug", "--no-picture", "--json") == 0


def test_the_form_of_the_weights_reaches_the_model(grounder, photo, capsys):
    assert run("ground", photo, "the mug", "--no-picture") == 0 and FakeGrounder.form == ("auto", "none")
    form = ("--dtype", "bfloat16", "--quantization", "int8")
    assert run("ground", photo, "the mug", "--no-picture", *form) == 0 and FakeGrounder.form == ("bfloat16", "int8")
    with pytest.raises(SystemExit):
        run("ground", photo, "the mug", "--dtype", "float8")
    assert "auto" in capsys.readouterr().err


def test_the_budget_of_glances_reaches_the_model(grounder, photo, capsys):
    for given, wanted in (((), None), (("--glances", "0"), 0), (("--glances", "3"), 3)):
        assert run("ground", photo, "the mug", "--no-picture", *given) == 0 and FakeGrounder.glances == wanted
    with pytest.raises(SystemExit):
        run("ground", photo, "the mug", "--glances", "-1")
    assert "0 or more" in capsys.readouterr().err


def test_a_photograph_that_ships_is_taken_by_its_name(grounder, tmp_path, capsys):
    assert run("ground", "example:red-mug", "the red mug") == 0
    assert FakeGrounder.calls[-1][0].shape == (480, 640, 3) and (tmp_path / "out/ground/red-mug.png").is_file()
    for nothing in ("example:", "example:../photographs/red-mug"):
        with pytest.raises(SystemExit):
            run("ground", nothing, "the red mug")
        assert "blue-mug, bottle, cups, fruit, red-mug, table" in capsys.readouterr().err


def test_unwritable_picture(grounder, photo, tmp_path, capsys):
    (tmp_path / "out").write_text("a file, not a folder")
    assert run("ground", photo, "the red mug") == 0, "the default picture is a bonus"
    assert "no picture" in capsys.readouterr().err
    assert run("ground", photo, "the red mug", "--out", tmp_path / "out/x.png") == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.png", "the mug"], "missing.png: there is no such file"),
        (["table.png", "the mug", "--model", "nowhere"], "nowhere: there is no such model"),
        (["table.png", "the mug", "--device", "abacus"], "abacus"),
        (["table.png", "bad"], "the expression is bad"),
        (["table.png"], "give a photo and an instruction"),
        (["--batch", "none.jsonl"], "none.jsonl"),
        (["table.png", "x", "--batch", "b.jsonl"], "--batch takes"),
        (["table.png", "x", "-o", "b.jsonl"], "belongs to --batch"),
    ],
)
def test_expected_errors_are_one_line_and_code_2(grounder, photo, capsys, arguments, message):
    assert run("ground", *arguments) == 2
    captured = capsys.readouterr()
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("clue: ") and message in last and "Traceback" not in captured.err and captured.out == ""


def test_argparse_errors(grounder, photo, capsys):
    for arguments in (["ground", str(photo), "x", "--threshold", "7"], ["frobnicate"], ["ground", "--nope"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert main([]) == 2


def test_interrupt_and_broken_pipe(grounder, photo, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeGrounder, "ground", interrupted)
    assert run("ground", photo, "the mug") == 130


def _write_batch(path, *lines):
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return path


def test_batch_keeps_order_reuses_features_and_survives_bad_lines(grounder, photo, tmp_path, capsys):
    Image.new("L", (10, 10)).save(tmp_path / "other.png")
    image = "table.png"
    batch = _write_batch(
        tmp_path / "b.jsonl",
        {"image": image, "expression": "the red mug"},
        {"image": image, "expression": "the mug", "turns": [["which color?", "red"]]},
        b"\n",
        {"image": image, "expression": "the mug", "turns": [{"question": "q", "answer": {"point": [3, 4]}}]},
        b"{not json\n",
        b"\xff\xfe\n",
        [1, 2],
        {"image": "nowhere.png", "expression": "x"},
        {"image": image, "expression": "bad"},
        {"image": image, "expression": "boom"},
        {"image": image, "expression": ""},
        {"image": image, "expresion": "typo"},
        {"image": image, "expression": "x", "turns": [["only a question"]]},
        {"image": image, "expression": "x", "turns": [["q", {"point": [1, "b"]}]]},
        {"image": "other.png", "expression": "the \ud800 gizmo"},
        {"image": str(photo), "expression": "the mug"},
    )
    assert run("ground", "--batch", batch) == 1
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row.get("outcome") for row in rows] == ["found", "found", "found"] + [None] * 10 + ["unknown_words", "ask"]
    assert all(row["error"] and row["line"] for row in rows if "outcome" not in row)
    assert "nowhere.png" in rows[6]["error"] and "10 of 15 lines" in captured.err
    assert grounder.calls[2][2][0].answer.point == (3.0, 4.0)
    # table.png once; again after nowhere.png (which dropped it); other.png; table.png
    assert grounder.encoded == 4


def test_batch_to_a_file(grounder, photo, tmp_path, capsys):
    batch = _write_batch(tmp_path / "b.jsonl", {"image": "table.png", "expression": "the red mug"})
    assert run("ground", "--batch", batch, "-o", tmp_path / "sub/r.jsonl") == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "sub/r.jsonl").read_text())["outcome"] == "found"
    assert run("ground", "--batch", batch, "-o", batch) == 2
    assert json.loads(batch.read_text())["expression"] == "the red mug"


def test_batch_from_stdin(grounder, photo, capsys, monkeypatch):
    line = json.dumps({"image": str(photo), "expression": "the red mug"}).encode()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(line)))
    assert run("ground", "--batch", "-") == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "found"


def test_version_agrees_with_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    version = capsys.readouterr().out.split()[-1]
    package_xml, setup_cfg = ROOT / "package.xml", ROOT / "setup.cfg"
    if not package_xml.is_file() or not setup_cfg.is_file():
        pytest.skip("package.xml and setup.cfg are not beside the tests")
    assert f"<version>{version}</version>" in package_xml.read_text()
    assert f"version = {version}\n" in setup_cfg.read_text()


def test_help_shows_the_verbs_of_every_day_first_and_each_verb_once(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    shown = capsys.readouterr().out
    daily, _, laboratory = shown.partition("\nlaboratory")
    assert caught.value.code == 0 and laboratory
    verbs = [
        line.split()[0] for part in (daily.partition("every day:")[2], laboratory) for line in part.splitlines()[1:]
    ]
    assert verbs[:5] == ["ground", "teach", "mask", "chat", "serve"]
    assert verbs[5:10] == ["data", "train", "finetune", "evaluate", "report"]
    assert sorted(verbs) == sorted(VERBS)
    assert {"bench", "faults", "soak", "curve"} <= set(laboratory.split())


def test_help_needs_no_heavy_imports():
    code = (
        "import sys\nfrom clue_ros.cli.main import main\n"
        "for verb in ('ground', 'evaluate'):\n"
        "    try: main([verb, '--help'])\n    except SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'transformers', 'mujoco', 'rclpy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    # A fresh interpreter, with the path of this one so that it finds the same installed package.
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "--batch" in result.stdout


def test_main_reports_a_missing_package_by_name(monkeypatch, capsys):
    from clue_ros.cli import ground

    def missing(args):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(ground, "run", missing)
    assert main(["ground", "a", "b"]) == 2
    assert "pip install torch" in capsys.readouterr().err


def test_unexpected_errors_are_not_hidden(monkeypatch):
    from clue_ros.cli import ground

    def broken(args):
        raise KeyError("a bug")

    monkeypatch.setattr(ground, "run", broken)
    with pytest.raises(KeyError):
        main(["ground", "a", "b"])
    assert issubclass(ModelLoadError, ClueError)


def test_a_full_disk_is_one_line_and_not_a_traceback(monkeypatch, capsys):
    from clue_ros.cli import main as cli

    def full(arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/scenes/images/0.webp")

    monkeypatch.setattr(cli, "_run", full)
    assert cli.main(["scenes"]) == 2
    assert capsys.readouterr().err == (
        "clue: cannot write /data/scenes/images/0.webp: No space left on device: make room, or write elsewhere\n"
    )


def test_a_path_that_cannot_be_is_one_line(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["scenes", "-o", str(tmp_path / "file" / "scenes"), "-n", "100"]) == 2
    said = capsys.readouterr().err
    assert "Not a directory: give another path" in said and "Traceback" not in said
    for wrong in (["-n", "0"], ["-n", "-3"], ["--workers", "0"]):
        assert main(["scenes", "-o", str(tmp_path / "scenes"), *wrong]) == 2
        assert "give 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "scenes").exists()
