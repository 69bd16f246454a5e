"""What a model was trained on is not what it is judged on; a run knows its annotations."""

from __future__ import annotations

import pytest
import yaml
from drawn_data import draw, make_invig, make_it2p, make_refcoco, make_scenes, write_lines
from PIL import Image

from clue_ros.data.formats import open_data
from clue_ros.data.looks import looks_of
from clue_ros.evaluation.held_out import LeakError, held_out, runs_on
from clue_ros.evaluation.samples import Selection
from clue_ros.images.copies import save_looks

PAPER = (0.7, 0.15, 0.15)


@pytest.fixture
def yesno(tmp_path):
    for n in range(40):
        draw(tmp_path / f"data/{n}.png", n)
    rows = [f"{n}.png,the thing {n % 7},{'yes' if n % 2 else 'no'}" for n in range(40)]
    return write_lines(tmp_path / "data/all.csv", ["image,instruction,label", *rows])


@pytest.fixture
def trained(tmp_path):
    """trained(path, fractions, …) -> a model directory whose detector was trained on these annotations."""

    def make(path, fractions=PAPER, train="train", test="test"):
        folder = tmp_path / "model/training/detector"
        folder.mkdir(parents=True)
        splits = {"train": train, "valid": "valid", "test": test, "fractions": fractions and list(fractions)}
        run = {"data": "csv", "annotations": open_data(path).fingerprint(), "splits": splits}
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"run": run, "detector": {"steps": 2}}))
        return tmp_path / "model"

    return make


@pytest.mark.parametrize("make", [make_invig, make_it2p, make_refcoco, make_scenes])
def test_the_fingerprint_is_of_what_the_annotations_say(make, tmp_path):
    first = open_data(make(tmp_path / "a")).fingerprint()
    assert first == open_data(make(tmp_path / "b")).fingerprint() and len(first) == 32
    file = max((tmp_path / "b").rglob("*.json*"), default=None) or next((tmp_path / "b").rglob("*.txt"))
    file.write_text(file.read_text().replace("e", "o", 1))
    assert open_data(tmp_path / "b").fingerprint() != first


def test_flipped_labels_have_another_fingerprint_and_a_renamed_file_the_same(yesno):
    before = open_data(yesno).fingerprint()
    moved = yesno.rename(yesno.with_name("renamed.csv"))
    assert open_data(moved).fingerprint() == before
    moved.write_text(moved.read_text().replace("yes", "maybe").replace("no\n", "yes\n").replace("maybe", "no"))
    assert open_data(moved).fingerprint() != before


def test_the_held_out_part_is_the_default(yesno, trained):
    model = trained(yesno)
    selection, told = held_out(model, Selection(yesno))
    assert selection.split == "test" and selection.fractions == PAPER and "held-out part" in told
    judged = {sample.image.name for sample in selection}
    seen = {sample.image.name for sample in Selection(yesno, split="train", fractions=PAPER)}
    assert judged and seen and not judged & seen


@pytest.mark.parametrize(
    "choice",
    [{"split": "train", "fractions": (70, 15, 15)}, {"split": "test", "fractions": (0.5, 0.25, 0.25)},
     {"split": "training", "fractions": PAPER}],
)  # fmt: skip
def test_training_data_is_refused_and_taken_where_it_is_allowed(yesno, trained, choice):
    model = trained(yesno)
    with pytest.raises(LeakError, match="--allow-training-data"):
        held_out(model, Selection(yesno, **choice))
    selection, told = held_out(model, Selection(yesno, **choice), allow=True)
    assert selection.split == choice["split"] and "training data is among" in told


def test_everything_where_it_is_allowed(yesno, trained):
    selection, told = held_out(trained(yesno), Selection(yesno), allow=True)
    assert selection.split is None and len(list(selection)) == 40 and "training data is among" in told


def test_the_data_sets_own_splits(tmp_path, trained):
    invig = make_invig(tmp_path / "invig")
    model = trained(invig, fractions=None)
    assert held_out(model, Selection(invig))[1] == ""  # its own test split is the default
    assert held_out(model, Selection(invig, split="valid"))[1] == ""
    with pytest.raises(LeakError):
        held_out(model, Selection(invig, split="train"))


def test_other_annotations_and_other_peoples_records_are_no_matter(yesno, trained, tmp_path):
    model = trained(yesno)
    (model / "training/other").mkdir()
    for text in ("- a list", "run: 3", "run: {annotations: x}", "\t"):
        (model / "training/other/recipe.yaml").write_text(text)
        assert len(runs_on(model, open_data(yesno))) == 1
    assert held_out(None, Selection(yesno))[1] == ""
    other = write_lines(tmp_path / "data/other.csv", ["image,instruction,label", "1.png,it,yes"])
    assert held_out(model, Selection(other))[1] == ""


def test_copies_of_training_images_under_other_annotations(yesno, trained, tmp_path):
    model, data = trained(yesno), yesno.parent
    train = Selection(yesno, split="train", fractions=PAPER)
    save_looks(model / "training/detector/images.npy", [look for _, look in looks_of(train)])
    seen = sorted({sample.image.name for sample in train})
    with Image.open(data / seen[0]) as image:
        image.resize((96, 72)).save(data / "copy.jpg", quality=80)
    draw(data / "new.png", 99)
    other = write_lines(data / "other.csv", ["image,instruction,label", "copy.jpg,it,yes", "new.png,it,no"])
    with pytest.raises(LeakError, match="1 of 2 images of .* such as copy.jpg"):
        held_out(model, Selection(other))
    assert "1 of 2" in held_out(model, Selection(other), allow=True)[1]
    fresh = write_lines(data / "fresh.csv", ["image,instruction,label", "new.png,it,no"])
    assert held_out(model, Selection(fresh))[1] == ""
    assert "look like" not in held_out(model, Selection(yesno))[1]  # its own held-out part has no copies
