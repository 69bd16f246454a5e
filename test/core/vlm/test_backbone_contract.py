"""What every Backbone promises (clue_ros/vlm/backbone.py): the fast one and the plain one of test/slow_backbone.py,
each for itself and against the other, in both attention patterns and through adapters."""

import json
import shutil

import numpy as np
import pytest
import torch
from slow_backbone import SlowBackbone

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.types import Answer, Cancelled, Outcome, Turn
from clue_ros.vlm.backbone import Backbone
from clue_ros.vlm.decoding import Branch
from clue_ros.vlm.paligemma import PaliGemmaBackbone

RNG = np.random.default_rng(0)
SCENES = [RNG.integers(0, 255, (60, 90, 3), dtype=np.uint8) for _ in range(3)]
PREFIXES = [
    "clarify hand me the mug",
    "detect the red mug",
    "clarify hand me the mug assistant: left or right ? user: <loc0100><loc0900> left",
]
TEXTS = ["do you mean the red mug or the blue mug ?", "red", "", "<loc0100><loc0200><loc0300><loc0400>"]
BOXES = [(100, 120, 400, 380), (0, 0, 1023, 1023), (600, 500, 610, 505)]
ADAPTERS = ["", "detector", "dialogue", None]


@pytest.fixture(scope="module")
def folders(tiny_model_dir, tmp_path_factory):
    """A model directory an attention pattern."""
    root = tmp_path_factory.mktemp("patterns")
    for pattern, rows in (("full", "all"), ("image_blind", "last")):
        shutil.copytree(tiny_model_dir, root / pattern)
        clue = json.loads((root / pattern / "clue.json").read_text())
        clue.update(prefix_attention=pattern, tap_rows=rows)
        (root / pattern / "clue.json").write_text(json.dumps(clue))
    return root


@pytest.fixture(scope="module", params=["full", "image_blind"])
def folder(request, folders):
    return folders / request.param


@pytest.fixture(scope="module")
def pair(folder):
    """The fast backbone and the slow one of one directory."""
    return PaliGemmaBackbone.from_pretrained(folder), SlowBackbone(folder)


@pytest.fixture(scope="module", params=[PaliGemmaBackbone.from_pretrained, SlowBackbone], ids=["fast", "slow"])
def backbone(request, folder):
    """Each backbone there is."""
    return request.param(folder)


# Each for itself.


def test_it_has_every_member_of_the_protocol(backbone):
    public = {name for name in vars(Backbone) if not name.startswith("_")}
    assert len(public) >= 18 and not [name for name in public if not hasattr(backbone, name)]


def test_what_it_says_of_itself_is_what_it_gives(backbone):
    image = backbone.encode(SCENES[0])
    assert (image.width, image.height) == (90, 60) and image.square.dtype == np.uint8
    states, grid = backbone.word_states(image, PREFIXES[0])
    assert (image.tower.shape[-1], states.shape[-1]) == backbone.widths and states.shape[0] == 1
    assert backbone.adapters == {"detector", "dialogue"}
    assert "mug" in backbone.words and backbone.unknown_words("the zzyzx mug") == ("zzyzx",)
    assert backbone.without_unknown("the zzyzx mug") == "the mug"


def test_a_map_is_normalised(backbone):
    image = backbone.encode(SCENES[0])
    maps = [backbone.attention_map(image, PREFIXES[1], adapter) for adapter in ADAPTERS]
    for grid in maps:
        assert grid.dtype == torch.float32 and grid.shape[0] == grid.shape[1] and grid.min() == 0
        assert float(grid.max()) == pytest.approx(1, abs=1e-3)
    assert torch.equal(maps[3], maps[1])  # None is the detector's
    assert torch.allclose(backbone.prefill(image, PREFIXES[0], tap=True).attention_map,
                          backbone.attention_map(image, PREFIXES[0], "dialogue"), atol=1e-3)  # fmt: skip


def test_looking_ahead_changes_nothing(backbone):
    direct, ahead = backbone.encode(SCENES[1]), backbone.encode(SCENES[1])
    backbone.look(ahead)
    backbone.look(ahead, "detector", 2)
    assert torch.equal(backbone.attention_map(direct, PREFIXES[0]), backbone.attention_map(ahead, PREFIXES[0]))
    assert torch.equal(backbone.prefill(direct, PREFIXES[0]).logits, backbone.prefill(ahead, PREFIXES[0]).logits)


def test_scores_follow_from_the_prefix(backbone):
    image = backbone.encode(SCENES[0])
    start = backbone.prefill(image, PREFIXES[0])
    empty = backbone.likelihoods(image, PREFIXES[0], [""])[0]
    assert empty.tokens == 1 and empty.log_probability == pytest.approx(
        np.log(start.branches[Branch.NOTHING]), abs=1e-3
    )
    assert sum(start.branches.values()) == pytest.approx(1)
    narrow, wide = (backbone.box_scores(image, PREFIXES[:2], BOXES, tolerance) for tolerance in (2, 200))
    assert narrow.shape == (2, 3) and (narrow < wide).all() and (wide < 0).all()
    assert backbone.box_scores(image, PREFIXES[:2], [], 2).shape == (2, 0)
    assert backbone.likelihoods(image, PREFIXES[0], []) == []


def test_generation_keeps_to_its_constraint(backbone):
    start = backbone.prefill(backbone.encode(SCENES[0]), PREFIXES[0])
    box = backbone.generate(start, frozenset({Branch.BOX}))
    y0, x0, y1, x1 = box.bins
    assert box.complete and y0 < y1 and x0 < x1 and 0 < box.confidence <= 1
    asked = backbone.generate(start, frozenset({Branch.QUESTION}))
    words = backbone.text_of(asked).split()
    assert words and "<loc" not in " ".join(words)
    other = backbone.text_of(backbone.generate(start, frozenset({Branch.QUESTION}), None, (words[0],)))
    assert other and words[0] not in other.split()
    assert backbone.generate(start, frozenset({Branch.NOTHING})).branch is Branch.NOTHING
    with pytest.raises(Cancelled):
        backbone.generate(start, frozenset({Branch.QUESTION}), lambda: True)


# Against each other.


def both(pair, ask):
    return [ask(b, [b.encode(scene) for scene in SCENES]) for b in pair]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_maps_and_logits_are_the_same(pair, adapter):
    for prefix in PREFIXES:
        fast, slow = both(pair, lambda b, images: [b.attention_map(i, prefix, adapter) for i in images])
        assert torch.allclose(torch.stack(fast), torch.stack(slow), atol=2e-3)
        fast, slow = both(pair, lambda b, images: b.prefill(images[1], prefix, adapter))
        assert torch.allclose(fast.logits, slow.logits, atol=2e-4) and fast.position == slow.position
        for layers in (2, None):
            fast, slow = both(pair, lambda b, images: b.closing_row(images[2], prefix, adapter or "", layers))
            assert torch.allclose(fast[0], slow[0], atol=2e-4) and torch.allclose(fast[1], slow[1], atol=2e-3)
    fast, slow = both(pair, lambda b, images: b.word_states(images[0], PREFIXES[1]))
    assert torch.allclose(fast[0], slow[0], atol=2e-4) and torch.allclose(fast[1], slow[1], atol=2e-3)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_scores_are_the_same(pair, adapter):
    fast, slow = both(pair, lambda b, images: b.likelihoods(images[0], PREFIXES[0], TEXTS, adapter))
    assert [f.tokens for f in fast] == [s.tokens for s in slow]
    assert np.allclose([f.log_probability for f in fast], [s.log_probability for s in slow], atol=2e-3)
    fast, slow = both(pair, lambda b, images: b.box_scores(images[0], PREFIXES, BOXES, 24, adapter))
    assert np.allclose(fast, slow, atol=2e-3) and np.ptp(slow) > 0.1


def test_what_is_generated_is_the_same(pair):
    def said(b, images):
        results = []
        for image, prefix in zip(images, PREFIXES):
            for branch in (Branch.BOX, Branch.QUESTION):
                sequence = b.generate(b.prefill(image, prefix), frozenset({branch}))
                results.append((tuple(sequence.tokens), sequence.complete))
            results.append(b.complete(image, prefix, limit=8)[:3])
        return [*results, b.segment_codes(images[0], "segment the mug", BOXES[0])]

    fast, slow = both(pair, said)
    assert fast == slow and len({str(r) for r in slow}) > 2 * len(PREFIXES)


# End to end.


def grounders(folder):
    return Grounder.from_pretrained(folder), Grounder.with_backbone(SlowBackbone(folder), folder)


def same(one, other):
    assert (one.outcome, one.question, one.box, one.unknown_words) == (
        other.outcome, other.question, other.box, other.unknown_words)  # fmt: skip
    assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
    assert one.ambiguity.probability == pytest.approx(other.ambiguity.probability, abs=1e-3)
    assert np.allclose(one.ambiguity.attention_map, other.ambiguity.attention_map, atol=2e-3)
    assert np.allclose(one.belief, other.belief, atol=1e-3)


@pytest.mark.parametrize("kind", ["cnn", "autoregressive", "joint"])
def test_a_grounder_decides_the_same_on_either(folders, tmp_path, kind):
    folder = tmp_path / "model"
    shutil.copytree(folders / "full", folder)
    clue = json.loads((folder / "clue.json").read_text())
    (folder / "clue.json").write_text(json.dumps({**clue, "detector": kind}))
    fast, slow = grounders(folder)
    assert fast.capabilities == slow.capabilities
    turns = [Turn("left or right ?", Answer("the left one"))]
    scenes = SCENES if kind == "joint" else SCENES[:1]  # the kinds differ in how ambiguity is read, not in the scene
    for scene, spoken in zip(scenes, ((), (), turns)):
        for threshold in (0.0, 1.0):
            same(*(g.ground(scene, "hand me the mug", spoken, threshold=threshold) for g in (fast, slow)))
    if kind == "joint":
        same(*(BeliefGrounder(g, "information_gain").ground(SCENES[0], "the mug", turns) for g in (fast, slow)))


def test_the_embedded_model_decides_the_same_on_either():
    from clue_ros.evaluation.episode_runner import derive_episode
    from clue_ros.simulation.renderer import TabletopRenderer

    fast, slow = grounders(EMBEDDED_MODEL)
    wanted = {Outcome.FOUND, Outcome.ASK, Outcome.NOT_FOUND}
    with TabletopRenderer(640, 480) as renderer:
        for number in range(12):  # a clear, an ambiguous and an absent thing by turns, until each outcome was seen
            episode = derive_episode(100 + number, (0, 1, 4)[number % 3])
            rgb = renderer.render(episode.scene).rgb
            one = fast.ground(rgb, episode.expression, mask=True)
            if one.outcome not in wanted:
                continue
            other = slow.ground(rgb, episode.expression, mask=True)
            same(one, other)
            assert one.mask is None or (one.mask == other.mask).mean() > 0.999
            wanted.remove(one.outcome)
            if not wanted:
                break
    assert not wanted
