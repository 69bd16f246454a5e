"""A directory without adapters: the embedded model's base, which can detect several things but knows neither colour
questions nor captions."""

import json

import numpy as np
import pytest

from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.perception.candidates import Candidate
from clue_ros.stock.grounder import StockGrounder
from clue_ros.types import Answer, Box, Cancelled, InvalidExpressionError, Outcome, Turn

IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
RED, BLUE, GREEN = Box(50, 200, 110, 280), Box(500, 205, 560, 285), Box(320, 200, 380, 280)


@pytest.fixture(scope="module")
def stock_dir(tmp_path_factory):
    """The embedded model as somebody would have it who trained no adapters and no detector."""
    if not EMBEDDED_MODEL.is_dir():
        pytest.skip("the embedded model is not in this checkout")
    root = tmp_path_factory.mktemp("stock")
    heads = ("clue.json", "ambiguity.safetensors", "calibration.json", "mask.safetensors")
    for file in EMBEDDED_MODEL.iterdir():
        if file.suffix in (".json", ".safetensors") and file.name not in heads:
            (root / file.name).symlink_to(file)
    settings = json.loads((EMBEDDED_MODEL / "clue.json").read_text(encoding="utf-8"))
    kept = ("prefix_attention", "tap_layer", "tap_rows", "closed_vocabulary", "ignored_words")
    (root / "clue.json").write_text(json.dumps({k: settings[k] for k in kept}), encoding="utf-8")
    return root


def test_a_directory_without_adapters_asks_and_finds_by_position(stock_dir):
    """Acceptance on the real class: the base detects several things and knows no colour question, so that positions
    must take over. The figures over more seeds are in docs/log."""
    from clue_ros.evaluation.episode_runner import derive_episode, person_rng, run_episode
    from clue_ros.simulation.renderer import TabletopRenderer

    grounder = Grounder.from_pretrained(stock_dir)
    assert isinstance(grounder, StockGrounder) and {"mug", "red", "left"} <= grounder.vocabulary
    results = []
    with TabletopRenderer(640, 480) as renderer:
        for index in range(6):
            for seed in (300, 301):
                episode = derive_episode(seed, index)
                results.append(
                    run_episode(grounder, renderer.render(episode.scene), episode, rng=person_rng(seed, index))
                )
    assert sum(r.success for r in results) >= 7, [(r.kind, r.reason) for r in results if not r.success]
    asked = [q for r in results for q in r.questions]
    assert asked and all("left" in q or "front" in q or "middle" in q or "right" in q or "back" in q for q in asked)


def test_the_map_and_unknown_words_with_the_real_class(stock_dir):
    grounder = Grounder.from_pretrained(stock_dir)
    grounder.warm_up()
    reading = grounder.detect_ambiguity(grounder.look(IMAGE), "the mug on the left")
    side = grounder.backbone.grid
    assert reading.attention_map.shape == (side, side) and reading.attention_map.dtype == np.float32
    assert 0 <= reading.attention_map.min() and reading.attention_map.max() <= 1
    lost = grounder.ground(IMAGE, "hand me the zyzzyva")
    assert lost.outcome is Outcome.UNKNOWN_WORDS and lost.unknown_words == ("zyzzyva",)
    image = grounder.encode(IMAGE)
    assert grounder.ground(image, "hand me the yelow botle").expression == "hand me the yelow botle"
    assert set(image.detections) == {"yellow bottle"}
    with pytest.raises(InvalidExpressionError):
        grounder.detect_ambiguity(IMAGE, "the zyzzyva")
    with pytest.raises(Cancelled):
        grounder.ground(IMAGE, "the mug", should_stop=lambda: True)
    grounder.close()


def test_a_download_without_clue_json_runs_every_step(stock_dir, tmp_path):
    """PaliGemma's own full attention and an open vocabulary: colours and captions are asked through the real class. The
    embedded base was not trained for either, so that only the form of the decision is looked at."""
    for file in stock_dir.iterdir():
        if file.name != "clue.json":
            (tmp_path / file.name).symlink_to(file.resolve())
    grounder = Grounder.from_pretrained(tmp_path)
    assert isinstance(grounder, StockGrounder) and grounder.vocabulary is None and grounder.threshold == 0.5
    grounder.warm_up()
    image = grounder.encode(IMAGE)
    image.detections["mug"] = (Candidate(RED, 0.9), Candidate(BLUE, 0.8))
    asked = grounder.ground(image, "the mug")
    assert asked.outcome is Outcome.ASK and asked.question.endswith("?") and asked.latency_s["describe"] > 0
    assert len(image.colors) == 2
    found = grounder.ground(image, "the mug", [Turn(asked.question, Answer("the left one"))])
    assert found.outcome is Outcome.FOUND and found.box == RED
