"""The photographs that ship: small, named with their licences, and with boxes that lie on what the words say."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.cli.loading import EXAMPLE_PHOTOGRAPHS as FOLDER
from clue_ros.data.formats import open_data
from clue_ros.data.sample import Label, is_outside, is_unusable
from clue_ros.data.stream import SampleStream
from clue_ros.problems import Problems


@pytest.fixture(scope="module")
def samples():
    source, problems = open_data(FOLDER / "photographs.jsonl"), Problems()
    found = [sample for record in source.records() for sample in source.parse(record, problems)]
    assert not problems.total and len(found) == len(list(SampleStream(source))) == source.count()
    return found


def test_there_are_six_small_ones_and_each_is_named_with_its_licence():
    files = sorted(FOLDER.glob("*.jpg"))
    assert len(files) == 6 and sum(f.stat().st_size for f in files) < 1e6
    table = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    for file in files:
        (row,) = [row for row in rows if f"`{file.name}`" in row]
        assert "| MIT, below |" in row or "| CC BY 4.0 |" in row
        assert not Image.open(file).getexif()
    assert "The above copyright notice and this permission notice shall be included" in table.replace("\n", " ")


def test_every_line_is_about_a_picture_that_is_there(samples):
    assert {sample.image.name for sample in samples} == {file.name for file in FOLDER.glob("*.jpg")}
    for sample in samples:
        pixels = sample.pixels()
        assert sample.size == (pixels.shape[1], pixels.shape[0])
        for box in (*sample.boxes, *sample.objects):
            assert not is_outside(box, sample.size) and not is_unusable([box], sample.size)
        assert len(sample.boxes) <= 1 and set(sample.boxes) <= set(sample.objects)
    assert sum(not sample.boxes for sample in samples) == 6  # one absent thing a picture
    assert sum(sample.label is Label.AMBIGUOUS for sample in samples) == 2


@pytest.mark.parametrize(
    "name, strongest", [("blue-mug/0", 2), ("red-mug/0", 0), ("bottle/0", (0, 1)), ("fruit/0", 1), ("table/0", (0, 1))]
)
def test_the_boxes_lie_on_what_the_words_say(samples, name, strongest):
    """By the colour in the middle half of the box beside that of the whole picture."""
    (sample,) = [s for s in samples if s.source_id == name]
    rgb = sample.pixels().astype(float)
    x0, y0, x1, y1 = sample.boxes[0]
    w, h = (x1 - x0) / 4, (y1 - y0) / 4
    inside = rgb[int(y0 + h) : int(y1 - h), int(x0 + w) : int(x1 - w)].reshape(-1, 3).mean(0)
    more = inside / inside.sum() - rgb.reshape(-1, 3).mean(0) / rgb.mean(axis=(0, 1)).sum()
    wanted = np.atleast_1d(strongest)
    assert sum(more[wanted]) > 0.03
