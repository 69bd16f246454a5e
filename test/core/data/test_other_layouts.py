"""AmbResVLM's tasks and IVM-Mix-1M's heat maps, in the layout that their own readers read."""

import json

import numpy as np
import pytest
from drawn_data import draw, make_ivm

from clue_ros.cli.main import main
from clue_ros.data.formats import detect, open_data
from clue_ros.data.ivm import IvmSource
from clue_ros.data.sample import Label
from clue_ros.data.stream import SampleStream
from clue_ros.problems import MissingDataError

TASKS = [
    {
        "id": "3",
        "obj_list": ["red mug", "middle drawer", "top drawer"],
        "task_description": "Put the red mug in the drawer.",
        "ambiguity_bool": True,
        "task_objects": ["red mug", "drawer"],
        "task_objects_gt": ["red mug", "middle drawer"],
    },
    {
        "id": "3",
        "obj_list": ["red mug"],
        "task_description": "Bring me the red mug.",
        "ambiguity_bool": False,
        "task_objects": ["red mug"],
        "task_objects_gt": ["red mug"],
    },
]


@pytest.fixture
def ambres(tmp_path):
    """(tasks, images): the repository and the download lie apart."""
    for split in ("train", "test"):
        draw(tmp_path / "ambres/real" / split / "3.jpeg", len(split))
        (tmp_path / "assets/data/real" / split).mkdir(parents=True)
        (tmp_path / "assets/data/real" / split / "data.json").write_text(json.dumps(TASKS, indent=2))
        (tmp_path / "assets/data/real" / split / "data_raw.jsonl").write_text("{}\n")
    return tmp_path / "assets/data/real", tmp_path / "ambres/real"


def test_ambres(ambres, capsys):
    tasks, images = ambres
    source = open_data(tasks, images=images)
    assert (source.name, set(source.splits), source.count("test")) == ("ambres", {"train", "test"}, 2)
    ambiguous, clear = SampleStream(source, "test")
    assert (ambiguous.label, clear.label, clear.turns) == (Label.AMBIGUOUS, Label.CLEAR, ())
    assert ambiguous.image.name == "test/3.jpeg" and ambiguous.split == "test" and ambiguous.boxes is None
    (turn,) = ambiguous.turns
    assert (turn.question, turn.answer.text) == ("Which drawer do you mean?", "I mean the middle drawer")
    one = open_data(tasks / "test/data.json", images=images / "test")
    assert detect(tasks / "test/data.json") == "ambres" and len(list(SampleStream(one))) == 2
    assert main(["data", "check", str(tasks), "--images", str(images)]) == 0
    assert "ambres, 4 records" in capsys.readouterr().out
    with pytest.raises(MissingDataError, match="train/ID.jpeg"):
        open_data(images, "ambres")


@pytest.mark.parametrize("own_images", [True, False])
def test_ivm(own_images, tmp_path):
    file = make_ivm(tmp_path, own_images)
    assert detect(file) == "ivm"
    source = open_data(file)
    assert isinstance(source, IvmSource)
    samples = list(SampleStream(source))
    assert [s.expression for s in samples[:2]] == ["where is the mug?", "the mug"] and len(samples) == 6
    assert samples[0].source_id == "0/0" and samples[0].size == (64, 48)
    heat = source.heat(samples[0])
    assert heat.shape == (48, 64) and heat.dtype == np.float32
    assert heat[20:30, 25:40].min() > 0.9 and heat[:4].max() < 0.1  # stretched to [0, 1], as their reader does


def test_ivm_without_its_maps(tmp_path):
    file = make_ivm(tmp_path)
    for mask in (tmp_path / "masks").iterdir():
        mask.unlink()
    with pytest.raises(MissingDataError, match="mask_UUID.jpg"):
        open_data(file)
