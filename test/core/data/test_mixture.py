"""Several data sets as one: weights, splits, and the paper's Dataset 1 from rendered scenes."""

from collections import Counter

import pytest
from drawn_data import draw, make_invig, make_it2p, write_lines

from clue_ros.data import Label, SampleStream, open_data
from clue_ros.data.mixture import MixtureSource, Part
from clue_ros.problems import DataError, MissingDataError
from clue_ros.simulation.dataset import SHARD


def table(root, count, word="thing"):
    for n in range(count):
        draw(root / f"{n}.png", 1000 * len(word) + n)
    rows = [f"{n}.png,get the {word} {n},{'yes' if n % 2 else 'no'}" for n in range(count)]
    return open_data(write_lines(root / "yesno.csv", ["image,instruction,label", *rows]))


def test_weights_repeat_training_records_only_and_parts_are_spread_over_the_epoch(tmp_path):
    small, large = table(tmp_path / "a", 10, "mug"), table(tmp_path / "b", 30, "ball")
    mixture = MixtureSource([Part(small, 3), Part(large)])
    said = [s.expression for s in SampleStream(mixture, "train")]
    alone = {
        name: Counter(s.expression for s in SampleStream(part, "train", fractions=(0.7, 0.15, 0.15)))
        for name, part in (("mug", small), ("ball", large))
    }
    assert Counter(said) == {**dict.fromkeys(alone["mug"], 3), **alone["ball"]}
    half = Counter(text.split()[2] for text in said[: len(said) // 2])
    assert abs(half["mug"] / 3 / len(alone["mug"]) - 0.5) < 0.35 and half["ball"] > 0, "not one after the other"
    held = [s.expression for split in ("valid", "test") for s in SampleStream(mixture, split)]
    assert len(held) == len(set(held)) and not set(held) & set(said)
    assert set(held) | set(said) == {s.expression for s in SampleStream(mixture)}


def test_a_set_keeps_its_own_splits_beside_one_that_is_divided(tmp_path):
    invig, it2p = open_data(make_invig(tmp_path / "invig")), open_data(make_it2p(tmp_path / "it2p"))
    mixture = MixtureSource([Part(invig), Part(it2p)])
    of_invig = {s.source_id for s in SampleStream(invig, "test")}
    found = {s.source_id for s in SampleStream(mixture, "test")}
    assert of_invig <= found and not {s.source_id for s in SampleStream(invig, "train")} & found
    assert mixture.fingerprint() not in (invig.fingerprint(), it2p.fingerprint())
    with pytest.raises(DataError, match="whole number"):
        MixtureSource([Part(invig, 0)])


def test_dataset_1_has_one_ambiguous_and_one_clear_instruction_a_scene(scenes):
    source = open_data(scenes / "train", subset="duplicated")
    samples = list(SampleStream(source))
    by_scene = {}
    for sample in samples:
        by_scene.setdefault(sample.image.name, []).append(sample)
    assert by_scene and len(by_scene) <= SHARD
    for ambiguous, clear in by_scene.values():
        assert (ambiguous.label, clear.label) == (Label.AMBIGUOUS, Label.CLEAR)
        assert len(ambiguous.boxes) > 1 and len(clear.boxes) == 1
        assert ambiguous.expression.startswith("get the ") and ambiguous.expression != clear.expression
    assert [s.expression for s in SampleStream(source)] == [s.expression for s in samples]
    with pytest.raises(MissingDataError, match="duplicated"):
        open_data(scenes / "train", subset="doubled")
