"""The fast path checked against the plain one, on a CPU with stand-ins for a GPU's graphs."""

import json

import pytest
import torch
from fake_cuda import pretend
from sharp_model import PREFIXES, SCENES, settings, sharp

from clue_ros.vlm import self_check, verdicts
from clue_ros.vlm.decoding import FreeSequence
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.self_check import GRAPHS, check, choices_of
from clue_ros.vlm.verdicts import check_once


def backbone(size, quantization="none"):
    tokenizer, model = sharp(size, 8.0)
    return PaliGemmaBackbone(model, tokenizer, settings(), quantization=quantization)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clue_ros" / "self_check.json"


@pytest.fixture
def gpu(monkeypatch):
    """Backbones have graphs, as on a GPU."""
    monkeypatch.setattr(self_check, "choices_of", lambda backbone: (GRAPHS,))
    return lambda **faults: pretend(monkeypatch, **faults)


def said(b):
    with torch.inference_mode():
        return b.runner.decode(b.prefill(b.encode(SCENES[0]), PREFIXES[0]), FreeSequence(b.vocabulary, 8), None).tokens


def test_a_cpu_has_nothing_to_check(tiny_size):
    assert choices_of(backbone(tiny_size, "int8")) == ()


def test_graphs_that_are_right_stay_on(tiny_size, gpu):
    machine = gpu()
    b = backbone(tiny_size)
    verdict = check(b)
    (finding,) = verdict.findings
    assert finding.choice == GRAPHS and finding.difference <= finding.allowed and not finding.remark
    assert not verdict.off and not b.remarks and b.runner.captures and len(machine.graphs) == 2
    assert 0 < finding.seconds and 0 < finding.plain_seconds <= verdict.seconds


def test_graphs_that_hold_nothing_are_off_and_the_tokens_are_those_without(tiny_size, gpu):
    gpu(elsewhere=True)
    b = backbone(tiny_size)
    verdict = check(b)
    assert list(verdict.off) == [GRAPHS] and "other logits" in b.remarks[0] and not b.runner.captures
    assert said(b) == said(backbone(tiny_size))


def test_a_graph_that_goes_wrong_after_its_own_check_is_found(tiny_size, gpu):
    """For example because something that it reads was freed meanwhile."""
    machine = gpu()
    machine.spoil = lambda value: value if machine.graphs[-1].replays < 2 else value * 1.5
    b = backbone(tiny_size)
    verdict = check(b)
    assert "graphs of cpu give other logits than plain steps" in verdict.off[GRAPHS]
    assert b.remarks == [verdict.off[GRAPHS]] and said(b) == said(backbone(tiny_size))


def test_a_verdict_is_remembered_and_applied_without_another_check(tiny_size, tiny_model_dir, gpu, cache):
    machine = gpu(elsewhere=True)
    first = check_once(backbone(tiny_size), tiny_model_dir, "none", "auto")
    assert first.off and not first.remembered
    graphs = len(machine.graphs)
    b = backbone(tiny_size)
    again = check_once(b, tiny_model_dir, "none", "auto")
    assert again.remembered and again.off == first.off and b.remarks == list(first.off.values())
    assert not b.runner.captures and len(machine.graphs) == graphs
    assert not check_once(backbone(tiny_size), tiny_model_dir, "none", "yes").remembered
    (kept, _) = json.loads(cache.read_text()).values()
    assert kept["findings"][0]["choice"] == GRAPHS and kept["device"] == "cpu"


def test_another_version_or_another_file_is_another_check(tiny_size, tiny_model_dir, tmp_path, gpu, cache, monkeypatch):
    import shutil

    gpu()
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    ask = lambda: check_once(backbone(tiny_size), folder, "none", "auto").remembered
    assert [ask(), ask()] == [False, True]
    (folder / "clue.json").write_text((folder / "clue.json").read_text() + "\n")
    assert [ask(), ask()] == [False, True]
    monkeypatch.setattr(verdicts, "VERSION", "0.0.0")
    assert [ask(), ask()] == [False, True]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": {"off": {"engine": "x"}}}', b"\xff\xfe"])
def test_a_damaged_file_is_written_again(tiny_size, tiny_model_dir, gpu, cache, text):
    gpu()
    cache.parent.mkdir(parents=True)
    cache.write_bytes(text if isinstance(text, bytes) else text.encode())
    ask = lambda: check_once(backbone(tiny_size), tiny_model_dir, "none", "auto").remembered
    assert [ask(), ask()] == [False, True]


def test_where_nothing_can_be_written_it_is_checked_every_time(tiny_size, tiny_model_dir, gpu, cache):
    gpu()
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder should be")
    ask = lambda: check_once(backbone(tiny_size), tiny_model_dir, "none", "auto").remembered
    assert [ask(), ask()] == [False, False]
