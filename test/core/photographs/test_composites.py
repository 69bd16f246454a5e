"""Pictures composed of cut-outs have the boxes, names and masks that they say, and can be read as photographs."""

import json

import numpy as np
import pytest
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.photographs.annotations import read_annotations
from clue_ros.photographs.composites import write_composites
from clue_ros.photographs.patches import photo_patches
from clue_ros.photographs.queries import photo_queries
from clue_ros.problems import DataError, MissingDataError

LOOKS = {"apple": (220, 20, 20), "can": (20, 20, 220), "plate": (240, 240, 240)}  # name: RGB


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Three cut-outs, discs on a transparent square, and grey places without any colour."""
    folder = tmp_path_factory.mktemp("pack")
    rows, columns = np.mgrid[-20:20, -20:20]
    disc = np.where(rows**2 + columns**2 < 19**2, 255, 0)
    cutouts, backgrounds = [], []
    for name in ("cutouts", "backgrounds"):
        (folder / name).mkdir()
    for number, (name, rgb) in enumerate(LOOKS.items()):
        pixels = np.dstack([np.full((40, 40, 3), rgb), disc]).astype(np.uint8)
        Image.fromarray(pixels, "RGBA").save(folder / "cutouts" / f"{number}.png")
        color = {"color": "red"} if name == "apple" else {}
        cutouts.append({"image": f"{number}.png", "name": name, "pose": "any", "licence": "MIT", **color})
    for number, kind in enumerate(("surface", "texture", "room")):
        Image.fromarray(np.full((60, 80, 3), 120, np.uint8)).save(folder / "backgrounds" / f"{number}.png")
        licence = "CC BY-SA 4.0" if kind == "surface" else "CC0"
        backgrounds.append({"image": f"{number}.png", "kind": kind, "licence": licence})
    for name, entries in (("cutouts", cutouts), ("backgrounds", backgrounds)):
        (folder / name / f"{name}.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert main(["photos", "compose", "--pack", str(pack), "-o", str(folder), "-n", "6", "--seed", "3"]) == 0
    return folder


def test_boxes_hold_what_is_seen_of_each_thing(made):
    photographs = read_annotations(made)
    assert len(photographs) == 6 and main(["photos", "check", str(made)]) == 0
    found = 0
    for photo in photographs:
        pixels = photo.pixels().astype(int)
        assert photo.exhaustive and photo.complete and 2 <= len(photo.objects) <= 7
        grey = np.abs(pixels[..., 0] - pixels[..., 2]) < 60  # the places, whatever their light
        inside = np.zeros(grey.shape, bool)
        for item in photo.objects:
            x0, y0, x1, y1 = map(int, item.visible_box)
            inside[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = True
            redder = (pixels[y0:y1, x0:x1, 0] - pixels[y0:y1, x0:x1, 2]).mean()
            if item.visibility == 1 and item.category != "plate":
                assert redder > 40 if item.category == "apple" else redder < -40
                found += 1
        assert grey[~inside].mean() > 0.99  # no thing outside the boxes
    assert found >= 6


def test_masks_and_queries_agree_with_the_boxes(made):
    rng = np.random.default_rng(0)
    kinds = set()
    for photo in read_annotations(made):
        patches = photo_patches(photo, 32)
        for index, item in enumerate(photo.objects):
            rows, columns = np.nonzero(patches == index)
            x0, y0, x1, y1 = (v * 32 / side for v, side in zip(item.visible_box, (640, 480, 640, 480)))
            assert len(rows) and (columns >= x0 - 1).all() and (columns <= x1).all()
            assert (rows >= y0 - 1).all() and (rows <= y1).all()
        kinds |= {
            ("ambiguous" if q.ambiguous else "clear", q.kind) for _ in range(8) for q in photo_queries(photo, rng, 12)
        }
    assert {("ambiguous", "category"), ("clear", "category"), ("clear", "absent"), ("clear", "point")} <= kinds


def test_the_same_seed_gives_the_same_pictures_however_often_it_was_interrupted(pack, made, tmp_path):
    write_composites(pack, tmp_path, 2, seed=3)
    lines = tmp_path / "annotations.jsonl"
    lines.write_text(lines.read_text() + '{"image": "images/000002')
    assert write_composites(pack, tmp_path, 3, seed=3) == 3
    assert lines.read_text().splitlines() == (made / "annotations.jsonl").read_text().splitlines()[:3]
    name = "images/000002.jpg"
    assert (tmp_path / name).read_bytes() == (made / name).read_bytes()
    assert main(["photos", "compose", "--pack", str(pack), "-o", str(tmp_path), "-n", "9", "--seed", "4"]) == 2


def test_licences_are_told_and_share_alike_can_be_left_out(pack, tmp_path):
    write_composites(pack, tmp_path, 2, seed=0, without_sharealike=True)
    licences = {photo.licence for photo in read_annotations(tmp_path)}
    assert licences == {"CC0; MIT"}
    write_composites(pack, tmp_path / "fewer", 1, seed=0, leave_out=["0.png"])
    assert '"0.png"' not in (tmp_path / "fewer" / "annotations.jsonl").read_text()
    with pytest.raises(DataError, match="no 9.png"):
        write_composites(pack, tmp_path / "none", 1, seed=0, leave_out=["9.png"])
    with pytest.raises(MissingDataError):
        write_composites(tmp_path, tmp_path / "none", 1, seed=0)
