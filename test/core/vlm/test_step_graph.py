"""Captured decode steps, with stand-ins for torch.cuda's graphs (fake_cuda.py): right tokens, and graphs refused.

The step itself is compared with the ordinary one in test_parity.py.
"""

import pytest
import torch
from fake_cuda import pretend
from sharp_model import PREFIXES, SCENES, settings, sharp

from clue_ros.vlm.decoding import FreeSequence
from clue_ros.vlm.paligemma import PaliGemmaBackbone
from clue_ros.vlm.step_graph import LEAST, rounding

LONG = "detect " + "mug " * 700


def backbone(size, mode="full"):
    tokenizer, model = sharp(size, 8.0)
    return PaliGemmaBackbone(model, tokenizer, settings(mode))


def decoded(b, prefix=PREFIXES[0], limit=12):
    with torch.inference_mode():
        start = b.prefill(b.encode(SCENES[0]), prefix)
        return b.runner.decode(start, FreeSequence(b.vocabulary, limit), None).tokens


def captured(b):
    b.runner.captures = True
    return b


@pytest.mark.parametrize("mode", ["full", "image_blind"])
def test_a_captured_step_gives_the_tokens_of_the_ordinary_one_and_is_replayed(tiny_size, monkeypatch, mode):
    machine = pretend(monkeypatch)
    expected = decoded(backbone(tiny_size, mode))
    b = captured(backbone(tiny_size, mode))
    assert decoded(b) == expected and not b.runner.remarks
    assert len(machine.graphs) == 1 and machine.graphs[0].operations and machine.graphs[0].replays >= 11


def test_the_capture_is_of_the_models_device_whatever_the_current_one_is(tiny_size, monkeypatch):
    machine = pretend(monkeypatch)
    b = captured(backbone(tiny_size))
    assert machine.current != b.device
    decoded(b)
    assert machine.graphs[0].operations, "the graph is empty"


def test_an_empty_graph_is_refused_and_changes_no_token(tiny_size, monkeypatch):
    machine = pretend(monkeypatch, elsewhere=True)
    expected = decoded(backbone(tiny_size))
    b = captured(backbone(tiny_size))
    assert decoded(b) == expected and decoded(b) == expected
    (why,) = b.runner.remarks
    assert "other logits" in why and not machine.graphs[0].operations and len(machine.graphs) == 1


def test_a_graph_that_holds_the_token_it_was_captured_with_is_refused(tiny_size, monkeypatch):
    """It gives the right logits for that token, which is all that the check used to replay."""
    from clue_ros.vlm.step_graph import StaticStep

    pretend(monkeypatch)
    plain, held = StaticStep.run, {}

    def run(self):
        if torch.utils._python_dispatch._get_current_dispatch_mode() is None:
            held["token"] = self._token.clone()
            return plain(self)
        token, self._token = self._token, held["token"]  # what is captured reads another address than is written
        logits, self._token = plain(self), token
        return logits

    monkeypatch.setattr(StaticStep, "run", run)
    expected = decoded(backbone(tiny_size))
    b = captured(backbone(tiny_size))
    assert decoded(b) == expected and "other logits" in b.runner.remarks[0]


def test_a_capture_that_torch_refuses_is_told_and_changes_no_token(tiny_size, monkeypatch):
    pretend(monkeypatch)

    def fails(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing\nstack of a hundred lines")

    monkeypatch.setattr(torch.cuda, "graph", fails)
    expected = decoded(backbone(tiny_size))
    b = captured(backbone(tiny_size))
    assert decoded(b) == expected
    assert b.runner.remarks[0].endswith("not permitted when stream is capturing")


def test_a_longer_prefix_neither_frees_what_a_graph_reads_nor_leaves_it_a_cache_of_its_own(tiny_size, monkeypatch):
    machine = pretend(monkeypatch)
    plain, b = backbone(tiny_size), captured(backbone(tiny_size))
    assert decoded(b) == decoded(plain)
    first = machine.graphs[0]
    with torch.inference_mode():
        b.plan.place(1, 2000)  # the rotary tables are made again
        first.replay()
    assert decoded(b, LONG) == decoded(plain, LONG) and decoded(b) == decoded(plain)
    assert b.runner.graphs.cache is b.prefill(b.encode(SCENES[0]), PREFIXES[0]).cache
    assert len(machine.graphs) == 2 and not b.runner.remarks


def test_a_prefill_that_a_longer_one_left_behind_still_ends_as_it_would(tiny_size, monkeypatch):
    pretend(monkeypatch)
    results = []
    for b in (backbone(tiny_size), captured(backbone(tiny_size))):
        with torch.inference_mode():
            image = b.encode(SCENES[0])
            old, new = b.prefill(image, PREFIXES[0]), b.prefill(image, LONG)
            results.append([b.runner.decode(s, FreeSequence(b.vocabulary, 8), None).tokens for s in (old, new)])
    assert results[0] == results[1]


def test_one_step_of_bfloat16_is_rounding_and_another_token_is_not(tiny_size):
    logits = torch.tensor([29.875, -3.0])
    assert (logits + torch.tensor([0.125, 0.0]) - logits).abs().max() <= rounding(logits, torch.bfloat16)
    assert rounding(logits, torch.float32) == LEAST
    b = backbone(tiny_size)
    with torch.inference_mode():
        apart = [b.prefill(b.encode(s), p).logits for s, p in zip(SCENES[:2], PREFIXES[:2])]
    assert float((apart[0] - apart[1]).abs().max()) > 2 * rounding(apart[0], torch.bfloat16)
