"""`clue doctor` on a CPU: what it says before loading, and what it compares."""

import json
import shutil

import pytest
import torch
from fake_cuda import pretend

from clue_ros.cli.main import main
from clue_ros.lab.bench.order import Order
from clue_ros.lab.doctor import outlook, run, trial
from clue_ros.lab.doctor.outlook import how_to_get, look
from clue_ros.lab.doctor.run import apart, examine
from clue_ros.lab.doctor.trial import VARIANTS
from clue_ros.types import OutOfMemoryError
from clue_ros.vlm import self_check
from clue_ros.vlm.quantization import Int8Weight
from clue_ros.vlm.self_check import GRAPHS, Finding, Verdict


def doctor(tmp_path, *arguments):
    """(exit code, what was written)."""
    file = tmp_path / "doctor.json"
    code = main(["doctor", "--device", "cpu", "--json", str(file), *arguments])
    return code, json.loads(file.read_text())


def test_the_embedded_model_is_the_same_in_every_variant(tmp_path, capsys):
    code, report = doctor(tmp_path, "--rounds", "1")
    assert code == 0 and not report["differs"]
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["float32", "transformers", "bfloat16", "int8", "int4"]
    assert rows["transformers"]["distance"] < 1e-4 and rows["transformers"]["map_distance"] < 1e-4
    assert 0 < rows["int8"]["distance"] < rows["int4"]["distance"] < rows["int4"]["limits"][0]
    assert set(rows["float32"]["times"]) == {"token", "vision", "detection", "box", "question"}
    bars = [] if Order("embedded").has_eyes else ["box"]
    assert [target["row"] for target in rows["float32"]["targets"]] == bars and not rows["int8"]["targets"]
    assert report["machine"]["cores"] and report["outlook"]["lines"]["adapters"].startswith("dialogue (LoRA, r 16")
    out = capsys.readouterr().out
    assert out.index("needed") < out.index("beside") and "gives what the plain one gives" in out


def test_a_wrong_kernel_is_found_and_ends_with_1(tmp_path, monkeypatch, capsys):
    product = Int8Weight.product
    monkeypatch.setattr(Int8Weight, "product", lambda self, x, scratch: product(self, x.flip(-1), scratch))
    code, report = doctor(tmp_path, "--rounds", "0", "--variants", "float32", "int8")
    assert code == 1 and report["differs"]
    assert [row["same"] for row in report["rows"]] == [None, True, False]
    out = capsys.readouterr().out
    assert "DIFFERS" in out and "Send the JSON in" in out


def test_what_a_choice_of_the_device_gives_is_told_beside_it(tmp_path, monkeypatch, capsys):
    finding = Finding("graphs", 3.2, 0.5, 0.002, 0.011, "graphs of X give other logits than plain steps")
    monkeypatch.setattr(trial, "check", lambda backbone: Verdict((finding,)))
    code, report = doctor(tmp_path, "--rounds", "0", "--variants", "float32")
    assert code == 1 and report["rows"][0]["findings"][0]["difference"] == 3.2
    out = capsys.readouterr().out
    assert finding.remark in out and "2.0 ms | 11.0 ms" in out


@pytest.mark.parametrize("elsewhere", [False, True])
def test_graphs_are_tried_and_empty_ones_end_with_1(tmp_path, monkeypatch, elsewhere):
    machine = pretend(monkeypatch, elsewhere=elsewhere)
    monkeypatch.setattr(self_check, "choices_of", lambda backbone: (GRAPHS,))
    code, report = doctor(tmp_path, "--rounds", "1", "--variants", "float32")
    row, transformers = report["rows"]
    (finding,) = row["findings"]
    assert machine.graphs and code == int(elsewhere) and bool(finding["remark"]) == elsewhere
    assert transformers["same"], "without the graphs all is right"


@pytest.mark.parametrize(
    "error, code, note",
    [
        (
            RuntimeError("CUDA error: an illegal memory access\nstack"),
            1,
            "failed: CUDA error: an illegal memory access",
        ),
        (OutOfMemoryError("memory ran out"), 0, "memory ran out"),
    ],
)
def test_a_variant_that_fails_is_a_difference_and_one_that_cannot_be_loaded_is_not(
    tmp_path, monkeypatch, error, code, note
):
    attempt = run.attempt

    def failing(order, *rest):
        if order.quantization == "int4":
            raise error
        return attempt(order, *rest)

    monkeypatch.setattr(run, "attempt", failing)
    got, report = doctor(tmp_path, "--rounds", "0", "--variants", "float32", "int4")
    assert got == code and report["rows"][-1]["note"] == note


def test_without_memory_for_float32_the_next_one_is_what_the_others_are_compared_with(monkeypatch):
    short = lambda order, config: "memory is short" if order.dtype == "float32" else ""
    monkeypatch.setattr(run, "is_short", short)
    report = examine(Order("embedded"), 0, lambda name: None, VARIANTS[:3])
    assert [(row.name, row.beside) for row in report.rows] == [
        *(("float32", ""), ("bfloat16", ""), ("transformers", "bfloat16"), ("int8", "bfloat16"))
    ]
    assert report.rows[0].note == "memory is short" and not report.differs


def test_a_run_in_which_nothing_could_be_loaded_is_no_success(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "is_short", lambda order, config: "memory is short")
    code, report = doctor(tmp_path)
    assert code == 2 and {row["note"] for row in report["rows"]} == {"memory is short"}


def test_a_download_that_nobody_trained(tmp_path, tiny_model_dir):
    folder = tmp_path / "download"
    shutil.copytree(tiny_model_dir, folder, ignore=shutil.ignore_patterns("adapters", "ambiguity.safetensors"))
    settings = json.loads((folder / "clue.json").read_text())
    (folder / "clue.json").write_text(
        json.dumps({k: v for k, v in settings.items() if not k.startswith("detector")} | {"prefix_attention": "full"})
    )
    code, report = doctor(tmp_path, "--model", str(folder), "--rounds", "1", "--variants", "float32")
    assert code == 0 and "nobody trained" in report["outlook"]["lines"]["kind"]
    assert report["outlook"]["lines"]["adapters"] == "none" and report["rows"][1]["same"]


def test_a_model_that_is_not_there_is_told_how_to_get(tmp_path, capsys):
    code, report = doctor(tmp_path, "--model", "google/paligemma2-10b-mix-448")
    error = capsys.readouterr().err
    assert code == 2 and "does not exist" in report["outlook"]["problem"]
    assert "hf auth login" in error
    assert "hf download google/paligemma2-10b-mix-448 --local-dir paligemma2-10b-mix-448" in error
    assert "hf download google/paligemma2-3b-mix-448 " in "\n".join(how_to_get("/models/mine"))


def test_what_is_missing_or_truncated_is_said_before_anything_is_loaded(tmp_path, tiny_model_dir, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    monkeypatch.setattr("clue_ros.lab.doctor.run.attempt", None)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code, report = doctor(tmp_path, "--model", str(folder))
    assert code == 2 and "model.safetensors is corrupt or truncated" in report["outlook"]["problem"]
    assert "layout" not in report["outlook"]["lines"] and not report["rows"]


def test_look_loads_nothing_and_knows_the_memory_of_the_true_dimensions(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "attempt", None)
    monkeypatch.setattr(outlook, "available_memory", lambda device: 20 << 30)
    code, report = doctor(tmp_path, "--model", "3b", "--look")
    lines = report["outlook"]["lines"]
    assert code == 0 and lines["size"] == "3,033 million parameters, 26 layers, 448 px as 1024 tokens"
    assert lines["memory"].endswith("20.0 are free") and not report["rows"]
    monkeypatch.setattr(outlook, "available_memory", lambda device: 4 << 30)
    assert doctor(tmp_path, "--model", "3b", "--look")[0] == 2


def test_a_device_that_is_not_there(monkeypatch):
    seen = look(Order("embedded", "cuda"))
    if torch.version.cuda is None:
        assert "'cuda' cannot be used" in seen.problem and seen.lines["cure"].startswith("CLUE_TORCH=cuda make setup")
    elif not torch.cuda.is_available():
        assert "'cuda' cannot be used" in seen.problem
    else:
        assert not seen.problem


def test_an_unknown_variant_is_refused(tmp_path, capsys):
    assert main(["doctor", "--variants", "float64", "--json", str(tmp_path / "x.json")]) == 2
    assert "float32, bfloat16, int8, int4" in capsys.readouterr().err


def test_a_logit_that_is_no_number_is_infinitely_far():
    numbers = [torch.ones(4)]
    assert apart(numbers, numbers) == 0 and apart(numbers, [torch.full((4,), float("nan"))]) == float("inf")
