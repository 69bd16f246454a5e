"""Files as others leave them, where something would be lost or mislabelled without a word."""

import json

import pytest
from drawn_data import draw

from clue_ros.data.formats import detect
from clue_ros.data.instance_formats import coco
from clue_ros.data.invig import InvigSource
from clue_ros.data.sample import Label
from clue_ros.data.stream import SampleStream
from clue_ros.data.table import TableSource
from clue_ros.problems import BrokenDataError, Problems

ANN = {"ref_exp": "the mug", "questions": ["the red one?"], "answers": [], "bboxes": [], "ref_bboxes": [[1, 1, 9, 9]]}


@pytest.mark.parametrize(
    "questions, answers, label",
    [
        (["the red one or the blue one?"], [], Label.UNKNOWN),
        (["OK, here you are."], [], Label.CLEAR),
        ([], [], Label.CLEAR),
        (["the red one?", "on the left?"], ["yes"], Label.AMBIGUOUS),
    ],
)
def test_a_question_that_nobody_answered_leaves_no_clear_instruction(tmp_path, questions, answers, label):
    draw(tmp_path / "invig21k_imgs" / "1.jpg", 1)
    (tmp_path / "invig21k_anns").mkdir()
    row = {"filename": "1.jpg", "width": 64, "height": 48, "id": 1}
    row["ann"] = {**ANN, "questions": questions, "answers": answers}
    (tmp_path / "invig21k_anns" / "invig21k_train_anns.jsonl").write_text(json.dumps(row) + "\n")
    (sample,) = SampleStream(InvigSource(tmp_path), "train")
    assert sample.label is label


def test_a_list_of_our_own_that_is_called_data_json_is_no_ambres(tmp_path):
    (tmp_path / "data.json").write_text('[{"image": "1.jpg", "expression": "the mug"}]')
    (tmp_path / "lines.jsonl").write_text('{"image": "1.jpg", "expression": "the mug"}\n')
    assert detect(tmp_path) == detect(tmp_path / "data.json") == "jsonl"


def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("image,instruction,label,Label\n1.jpg,get the mug,yes,no\n")
    with pytest.raises(BrokenDataError, match="label twice"):
        TableSource(tmp_path)


@pytest.mark.parametrize("image, category", [("1", 2), (1, "2"), (1.0, 2.0)])
def test_ids_of_coco_are_one_as_text_and_as_number_and_boxes_without_an_image_are_reported(tmp_path, image, category):
    draw(tmp_path / "1.jpg", 1)
    box = {"bbox": [1, 2, 9, 9], "category_id": 2}
    instances = {
        "images": [{"id": image, "file_name": "1.jpg", "width": 64, "height": 48}],
        "annotations": [{**box, "image_id": 1}, {**box, "image_id": 7}],
        "categories": [{"id": category, "name": "mug"}],
    }
    file, problems = tmp_path / "instances.json", Problems()
    file.write_text(json.dumps(instances))
    (picture,) = coco(file, None, problems)
    assert [instance.names for instance in picture.instances] == [("mug",)]
    assert "1 boxes belong to images that are not listed, such as 7" in str(problems.first[0])
