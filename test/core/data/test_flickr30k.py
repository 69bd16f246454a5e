"""Flickr30K Entities in its public layout, and the two protocols of phrase grounding."""

import pytest
from drawn_data import draw

from clue_ros.data import Label, SampleStream, open_data
from clue_ros.evaluation.grounding_suite import _scored
from clue_ros.problems import MissingDataError
from clue_ros.types import Box, Decision, Outcome

XML = """<annotation><filename>36979.jpg</filename><size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>283585</name><bndbox><xmin>4</xmin><ymin>6</ymin><xmax>14</xmax><ymax>26</ymax></bndbox></object>
<object><name>283585</name><name>283587</name><bndbox><xmin>30</xmin><ymin>6</ymin><xmax>40</xmax><ymax>26</ymax>
</bndbox></object><object><name>283588</name><scene>1</scene><nobndbox>1</nobndbox></object></annotation>"""
SENTENCE = (
    "[/EN#283585/people Two young guys] with [/EN#283587/bodyparts/other shaggy hair] look at [/EN#0/notvisual it] in "
    "[/EN#283588/scene the yard] .\n"
)


@pytest.fixture
def flickr(tmp_path):
    draw(tmp_path / "flickr30k-images/36979.jpg")
    for folder, name, text in (
        ("Annotations", "36979.xml", XML),
        ("Sentences", "36979.txt", SENTENCE),
        (".", "train.txt", ""),
        (".", "test.txt", "36979\n"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    return tmp_path


def test_phrases_have_the_boxes_of_what_they_name(flickr):
    source = open_data(flickr)
    assert source.name == "flickr30k" and source.splits == ("test",) and source.count("test") == 1
    stream = SampleStream(source, "test")
    guys, hair = stream
    assert guys.expression == "Two young guys" and guys.boxes == (Box(4, 6, 14, 26), Box(30, 6, 40, 26))
    assert hair.expression == "shaggy hair" and (hair.boxes, hair.label) == ((Box(30, 6, 40, 26),), Label.CLEAR)
    assert not stream.problems.total and guys.pixels().shape == (48, 64, 3)
    any_box = _scored(guys, Decision(Outcome.FOUND, "", box=Box(4, 6, 14, 26)))
    merged = _scored(guys, Decision(Outcome.FOUND, "", box=Box(4, 6, 40, 26)))
    assert (any_box["iou"], any_box["merged_iou"]) == (1.0, pytest.approx(10 / 36))
    assert (
        merged["merged_iou"] == 1.0
        and merged["iou"] < 0.5
        and _scored(hair, Decision(Outcome.FOUND, "", box=Box(0, 0, 1, 1)))["merged_iou"] is None
    )


@pytest.mark.parametrize("text", ['<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "<annotation", "<annotation/>"])
def test_a_broken_annotation_is_counted_and_nothing_in_it_is_expanded(flickr, text):
    (flickr / "Annotations/36979.xml").write_text(text)
    stream = SampleStream(open_data(flickr))
    assert not list(stream) and stream.problems.total == 1


def test_images_that_are_not_there_are_named(flickr):
    (flickr / "flickr30k-images").rename(flickr / "elsewhere")
    with pytest.raises(MissingDataError, match="flickr30k-images"):
        open_data(flickr)
    assert len(list(SampleStream(open_data(flickr, images=flickr / "elsewhere")))) == 2
