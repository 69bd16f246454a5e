"""Annotated photographs are read as they are told, and told of where they cannot be."""

import json

import numpy as np
import pytest
from drawn_photos import LEFT, MIDDLE, RIGHT, line, thing, write
from PIL import Image

from clue_ros.cli.main import main
from clue_ros.photographs.annotations import read_annotations, source_weights
from clue_ros.photographs.patches import photo_data
from clue_ros.problems import BrokenDataError, Kind, MissingDataError, Problems
from clue_ros.simulation.scene_data import BACKGROUND, MIXED
from clue_ros.types import Box


def test_a_photograph_holds_its_objects_and_reads_its_pixels_when_asked(tmp_path):
    write(tmp_path / "p", line(thing("mug", LEFT, "Red"), thing("bowl", RIGHT)), line(exhaustive=False, licence="MIT"))
    first, second = read_annotations(tmp_path / "p")
    mug, bowl = first.objects
    assert (mug.category, mug.color, mug.size, mug.box, mug.visibility) == ("mug", "red", "", Box(*LEFT), 1.0)
    assert bowl.color == "" and bowl.pixels == 16 * 24
    assert first.pixels().shape == (60, 80, 3) and second.pixels().max() == 1
    assert (first.exhaustive, second.exhaustive, second.licence) == (True, False, "MIT")
    assert first.words_of_source == ("bowl", "mug")
    assert read_annotations(tmp_path / "p", whole=("desk",))[1].exhaustive


def test_share_alike_pictures_can_be_left_out(tmp_path):
    write(tmp_path / "p", line(licence="CC BY-SA 2.0"), line(licence="CC BY 2.0"))
    assert [p.licence for p in read_annotations(tmp_path / "p", without_sharealike=True)] == ["CC BY 2.0"]


def test_what_cannot_be_read_is_told_with_its_line(tmp_path):
    good = line(thing("mug", LEFT))
    folder = write(
        tmp_path / "p",
        good,
        line(thing("mug", [60, 20, 99, 44])),
        line(thing("gadget", LEFT)),
        json.dumps({"image": "images/none.png", **good}),
        "{}",
        json.dumps({"image": "../x.png", **good}),
        line(thing("mug", LEFT, visibility=2)),
    )
    problems = Problems()
    photographs = read_annotations(folder, problems=problems)
    assert [(p.place.line, p.kind) for p in problems.first] == [
        (2, Kind.LINE),
        (3, Kind.NAME),
        (4, Kind.IMAGE),
        (5, Kind.LINE),
        (6, Kind.PATH),
        (7, Kind.LINE),
    ]
    assert [p.image.name for p in photographs] == ["images/0.png", "images/2.png"]
    with pytest.raises(BrokenDataError, match="annotations.jsonl:2: .*outside the picture"):
        read_annotations(folder)
    with pytest.raises(MissingDataError):
        read_annotations(tmp_path)


def test_sources_are_weighed_against_their_number_of_frames(tmp_path):
    write(tmp_path / "p", *[line(source="many")] * 4, line(source="few"))
    photographs = read_annotations(tmp_path / "p")
    assert source_weights(photographs, 0.5) == pytest.approx([1 / 6] * 4 + [1 / 3])
    assert source_weights(photographs, 1) == pytest.approx([0.2] * 5)
    assert source_weights(photographs, 0) == pytest.approx([1 / 8] * 4 + [1 / 2])


def test_patches_belong_to_the_middle_of_a_box_the_smaller_on_top(tmp_path):
    big, small, tiny = [8, 6, 72, 54], [30, 24, 50, 36], [1, 1, 3, 3]
    things = thing("tray", big), thing("mug", small), thing("pen", tiny)
    data = photo_data(
        read_annotations(write(tmp_path / "p", line(*things), line(*things, exhaustive=False))), 112, 7, tmp_path / "c"
    )
    known, unsure = data.patches
    assert data.images.shape == (2, 112, 112, 3) and known.shape == (16, 16)
    assert known[8, 8] == 1 and known[4, 8] == 0 and known[0, 0] == 2  # on top, around it, and one patch at least
    assert known[2, 2] == MIXED and known[15, 15] == BACKGROUND and unsure[15, 15] == MIXED
    assert (known == 0).sum() > (known == 1).sum() > (known == 2).sum() == 1
    np.testing.assert_array_equal(known == 0, unsure == 0)


def test_a_mask_says_more_than_boxes(tmp_path):
    folder = write(tmp_path / "p", line(thing("mug", [0, 0, 80, 60]), mask="mask.png"))
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 40:] = 1
    Image.fromarray(mask).save(folder / "mask.png")
    patches = photo_data(read_annotations(folder), 64, 8).patches[0]
    assert (patches[:, 4:] == 0).all() and (patches[:, :4] == BACKGROUND).all()


def test_check_counts_and_tells_what_is_broken(tmp_path, capsys):
    folder = write(tmp_path / "p", line(thing("mug", LEFT, "red"), thing("mug", MIDDLE)), line(thing("bowl", RIGHT)))
    assert main(["photos", "check", str(folder), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["names"] == {
        "mug": {"things": 2, "colored": 1, "sources": 1},
        "bowl": {"things": 1, "colored": 0, "sources": 1},
    }
    assert counts["sources"]["desk"] == {"photographs": 2, "exhaustive": 2, "things": 3}
    Image.fromarray(np.zeros((60, 40, 3), np.uint8)).save(folder / "images/1.png")
    assert main(["photos", "check", str(folder)]) == 1
    assert "is 40x60, the line says 80x60" in capsys.readouterr().out
