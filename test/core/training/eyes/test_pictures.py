"""Training pictures: what is known of one lies where the picture shows it, and frozen eyes look at each once."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_photos import line, thing, write
from PIL import Image

from clue_ros.eyes.proposals import PatchHead
from clue_ros.eyes.second_glance import CropHead
from clue_ros.simulation.scene_data import BACKGROUND, MIXED
from clue_ros.training.eye_settings import SetSettings
from clue_ros.training.eyes.drawing import Drawing
from clue_ros.training.eyes.glances import Glanced, first_glances, said_of, second_glances
from clue_ros.training.eyes.pictures import LARGEST, open_pictures

RED = np.array((250, 20, 20), np.uint8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Twelve grey photographs with a red thing on the left, twice as large as pictures may be."""
    folder = write(tmp_path_factory.mktemp("drawn") / "set", *[line(thing("mug", [200, 400, 600, 900]))] * 12)
    text = (folder / "annotations.jsonl").read_text().replace("[80, 60]", f"[{2 * LARGEST}, 1200]")
    (folder / "annotations.jsonl").write_text(text)
    rgb = np.full((1200, 2 * LARGEST, 3), 120, np.uint8)
    rgb[400:900, 200:600] = RED
    for number in range(12):
        Image.fromarray(rgb).save(folder / f"images/{number}.png", compress_level=1)
    return open_pictures(SetSettings(name="drawn", photos=str(folder)), folder)


def test_boxes_and_owners_lie_where_the_picture_shows_the_thing_mirrored_or_not(drawn):
    sides = set()
    for i in range(len(drawn)):
        rgb, photo = drawn.read(i), drawn.photo(i)
        height, width = rgb.shape[:2]
        assert (width, height) == (LARGEST, 600) and np.array_equal(rgb, drawn.read(i))
        red = (rgb[..., 0].astype(int) - rgb[..., 1] > 60).nonzero()
        box = photo.objects[0].visible_box
        seen = np.array([red[1].min(), red[0].min(), red[1].max() + 1, red[0].max() + 1]) * photo.size.width / width
        assert np.abs(seen - box).max() < 16  # blurred, and compressed by a lossy codec
        owners = drawn.owners(i, 24)
        rows, columns = (owners == 0).nonzero()
        x, y = (columns + 0.5) / 24 * photo.size.width, (rows + 0.5) / 24 * photo.size.height
        assert len(x) > 8 and ((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).all()
        sides.add(box.x0 < 1000)
    assert sides == {True, False}


def test_half_of_the_photographs_are_jittered_and_rendered_scenes_all(drawn, built):
    plain = [
        i for i in range(len(drawn)) if (drawn.read(i)[0, 0] == 120).all() and (drawn.read(i)[-1, -1] == 120).all()
    ]
    assert 2 <= len(plain) <= 10
    rendered = open_pictures(SetSettings(name="built", scenes=str(built)), built)
    assert len(rendered) == 3 and rendered.photographs[0].complete
    for i in range(3):
        original = rendered.photographs[i].pixels()
        assert not np.array_equal(rendered.read(i), original) and not np.array_equal(
            rendered.read(i)[:, ::-1], original
        )
        mask = cv2.imread(str(rendered.photographs[i].mask.path), 0)  # type: ignore[union-attr]
        owners = rendered.owners(i, 16)
        assert set(np.unique(owners)) <= {BACKGROUND, MIXED, *(np.unique(mask).astype(int) - 1)}


def test_a_source_of_many_pictures_does_not_drown_the_others(photos):
    pictures = open_pictures(SetSettings(name="photos", photos=str(photos), spread=0.0), photos)
    assert pictures.shares() == pytest.approx([1 / 8] * 4 + [1 / 4] * 2)
    rows = Drawing([3.0, 1.0, 5.0], [np.ones(4), np.array([0, 1.0, 0]), np.zeros(2)])
    drawn = rows.draw(400, np.random.default_rng(0))
    assert sum(map(len, drawn)) == 400 and 260 < len(drawn[0]) < 340 and not len(drawn[2])
    assert set(drawn[0]) == {0, 1, 2, 3} and set(drawn[1]) == {1}


class Counting:
    """Frozen eyes that count the pictures they see, and fail after some of them."""

    def __init__(self, eyes, last=10**9):
        self.mark, self.opened, self._eyes, self.seen, self._last = eyes.mark, self, eyes, 0, last

    def glance(self, rgb):
        if self.seen + len(rgb) > self._last:
            raise KeyboardInterrupt
        self.seen += len(rgb)
        return self._eyes.opened.glance(rgb)


def test_glances_are_made_once_go_on_where_they_stopped_and_follow_what_they_were_made_of(
    photos, tiny_eyes, shape, tmp_path, monkeypatch
):
    monkeypatch.setattr("clue_ros.training.eyes.glances._FLUSH", 2)
    monkeypatch.setattr("clue_ros.training.eyes.glances._BATCH", 2)
    pictures = open_pictures(SetSettings(name="photos", photos=str(photos)), photos)

    def first(eyes, of=pictures):
        return first_glances(of, eyes, shape, tmp_path / "first")

    whole = first_glances(pictures, tiny_eyes, shape, tmp_path / "at once")
    with pytest.raises(KeyboardInterrupt):
        first(Counting(tiny_eyes, last=4))
    rest = Counting(tiny_eyes)
    cache = first(rest)
    assert rest.seen in (2, 4)  # what came after the last mark is made again
    for name in ("features", "pixels", "owners", "grid"):
        assert np.array_equal(cache[name], whole[name]), name
    again = Counting(tiny_eyes)
    first(again)
    assert not again.seen
    other = Counting(tiny_eyes)
    first(other, replace(pictures, seed=1))
    assert other.seen == len(pictures)

    heads = PatchHead(shape.features, shape.seen), PatchHead(shape.features, shape.seen)
    glanced = Glanced(pictures, whole)
    looks = []
    for head in (heads[0], heads[0], heads[1]):
        eyes = Counting(tiny_eyes)
        second = second_glances(glanced, head, eyes, shape, tmp_path / "second")
        looks.append(eyes.seen)
    there = (second["score"] >= 0).sum()
    assert looks[0] > 0 and looks[1] == 0 and looks[2] == there
    said = said_of(glanced, second, CropHead(shape.features, shape.summary, out=shape.vector), shape, tmp_path / "said")
    assert ((said["things"] > 0) == (second["score"] >= 0)).all() and np.isfinite(said["vectors"]).all()


def test_second_glances_are_those_of_serving(photos, tiny_eyes, shape, tmp_path):
    """What is cached of a picture, read by the trained heads, is what Sight sees of it."""
    import torch

    from clue_ros.eyes.sight import Sight, Trained

    torch.manual_seed(0)
    trained = Trained(shape).eval()
    pictures = open_pictures(SetSettings(name="photos", photos=str(photos), limit=2), photos)
    glanced = Glanced(pictures, first_glances(pictures, tiny_eyes, shape, tmp_path / "first"))
    second = second_glances(glanced, trained.patches, tiny_eyes, shape, tmp_path / "second")
    said = said_of(glanced, second, trained.crops, shape, tmp_path / "said")
    sight = Sight(tiny_eyes.opened, trained)
    for i in range(2):
        first = sight.first(pictures.read(i), shape.glances)
        glances = sight.second(pictures.read(i), first.rough)
        count = len(first.rough)
        assert np.allclose(second["rough"][i, :count], first.rough, atol=2e-3)
        assert np.allclose(second["boxes"][i], first.found.boxes[0].numpy(), atol=2e-3)
        assert np.allclose(said["boxes"][i, :count], glances.boxes[0].numpy(), atol=5e-3)
        assert np.allclose(said["things"][i, :count], glances.things[0].numpy(), atol=5e-3)
        assert np.allclose(said["vectors"][i, :count], glances.vectors[0].numpy(), atol=2e-2)
