"""Every loader on a small data set in the real one's format, and what it says when something is not there."""

import re
from pathlib import Path

import pytest
from drawn_data import draw, invig_entry, make_invig, make_it2p, make_refcoco, make_scenes, with_candidates, write_lines

from clue_ros.data import Label, MissingDataError, Problems, SampleStream, open_data, revealing_pairs
from clue_ros.data.formats import detect
from clue_ros.location import box_to_text, point_to_text
from clue_ros.types import Answer, Box, Turn


def read(path, split=None, **options):
    return list(SampleStream(open_data(path, **options), split, strict=True))


# InViG


def test_invig_reads_its_three_splits(tmp_path):
    source = open_data(make_invig(tmp_path))
    assert source.name == "invig" and set(source.splits) == {"train", "valid", "test"}
    assert source.count("train") == 6 and source.count() == 10
    sample = read(tmp_path, "train")[2]
    assert sample.source_id == "invig21k/train/2" and sample.size == (64, 48) and sample.split == "train"
    assert sample.expression == "Get me the thing 2, please." and sample.boxes == (Box(20, 8, 40, 32),)
    assert sample.turns[1] == Turn("Which one, 1?", Answer("The red one 1."))
    assert sample.label is Label.AMBIGUOUS and len(sample.objects) == 2 and sample.pixels().shape == (48, 64, 3)
    assert read(tmp_path, "train")[0].label is Label.CLEAR  # nobody had to ask
    valid = read(tmp_path, "val")[1]
    assert len(valid.question_candidates) == len(valid.turns) == 1 and len(valid.answer_candidates[0]) == 30


def test_invig_500k_is_training_data_beside_the_21k(tmp_path):
    make_invig(tmp_path)
    write_lines(tmp_path / "invig500k_anns/invig500k_anns.jsonl", [invig_entry(900)])
    with pytest.raises(MissingDataError, match="invig500k_imgs.*--images"):
        open_data(tmp_path)
    draw(tmp_path / "invig500k_imgs/0900.jpg")
    assert open_data(tmp_path).count("train") == 7
    only = read(tmp_path, "train", subset="500k")
    assert [s.source_id for s in only] == ["invig500k/train/900"] and only[0].pixels() is not None


def test_invig_images_may_lie_elsewhere_and_one_file_is_enough(tmp_path):
    make_invig(tmp_path / "a")
    (tmp_path / "a/invig21k_imgs").rename(tmp_path / "openimages")
    file = tmp_path / "a/invig21k_anns/invig21k_test_anns.jsonl"
    with pytest.raises(MissingDataError, match="images of InViG 21k are missing"):
        open_data(file)
    assert len(read(file, images=tmp_path / "openimages")) == 2


def test_invig_shapes_that_the_readme_leaves_open(tmp_path):
    make_invig(tmp_path)
    flat = with_candidates(invig_entry(1))
    flat["ann"]["question_candidates"] = ["one?", "two?"]
    write_lines(
        tmp_path / "invig21k_anns/invig21k_train_anns.jsonl",
        [
            invig_entry(0, ann={"ref_bboxes": [20, 8, 40, 32]}),  # one bare box
            invig_entry(0, ann={"ref_bboxes": [[20, 8, 40, 32], [21, 8, 40, 32]]}),
            invig_entry(0, ann={"questions": ["a?", "here you are"], "answers": ["b"]}),
            flat,
        ],
    )
    bare, two, closing, flat = read(tmp_path, "train")
    assert bare.boxes == two.boxes[:1] and len(two.boxes) == 2
    assert [t.question for t in closing.turns] == ["a?"]
    assert flat.question_candidates == (("one?", "two?"),) * 2


CHATTER = {  # the middle dialogue of the data set's README, and one whose robot has the last word
    "questions": ["Which one do you need?", "Is it a greenish bottle?", "OK, here you are."],
    "answers": ["The Coke bottle on the right.", "Yes, it's shorter.", "Thank you."],
}


def test_courtesies_at_the_end_of_a_dialogue_are_no_turns(tmp_path):
    make_invig(tmp_path)
    longer = {k: list(v) for k, v in CHATTER.items()}
    longer["questions"].append("You're welcome. Bye!")
    write_lines(
        tmp_path / "invig21k_anns/invig21k_train_anns.jsonl",
        [
            with_candidates(invig_entry(0, ann=CHATTER)),
            invig_entry(1, ann=longer),
            invig_entry(2, ann={"questions": ["Of course, I'll get it for you."], "answers": ["Thanks!"]}),
            invig_entry(3, ann={"questions": ["好的，给你。"], "answers": ["谢谢。"]}),
        ],
    )
    told, longer, silent, chinese = read(tmp_path, "train")
    assert [t.answer.text for t in told.turns] == ["The Coke bottle on the right.", "Yes, it's shorter."]
    assert told.closing == (Turn("OK, here you are.", Answer("Thank you.")),) and told.label is Label.AMBIGUOUS
    assert len(told.question_candidates) == 3  # those of the closing too: nothing is lost
    assert longer.turns == told.turns and longer.closing[1:] == (Turn("You're welcome. Bye!", Answer("")),)
    assert silent.turns == () and silent.label is Label.CLEAR  # nobody asked anything
    assert len(chinese.turns) == 1 and chinese.closing == ()


def test_our_own_lines_lose_their_courtesies_too_unless_they_say_what_they_are(tmp_path):
    draw(tmp_path / "a.png")
    turns = [{"question": q, "answer": a} for q, a in zip(CHATTER["questions"], CHATTER["answers"])]
    line = {"image": "a.png", "expression": "a bottle", "label": "ambiguous"}
    click = {"question": "OK.", "answer": {"text": "thanks", "point": [3, 4]}}
    write_lines(
        tmp_path / "own.jsonl",
        [{**line, "turns": turns}, {**line, "turns": turns, "closing": []}, {**line, "turns": [*turns, click]}],
    )
    cut, kept, pointed = read(tmp_path / "own.jsonl")
    assert (len(cut.turns), len(cut.closing)) == (2, 1) and (len(kept.turns), len(kept.closing)) == (3, 0)
    assert len(pointed.turns) == 4  # a click shows a thing


# IT2P


def test_it2p_points_ambiguous_commands_and_contradictions(tmp_path):
    samples = {(s.source_id, s.expression, s.label, s.point) for s in read(make_it2p(tmp_path))}
    assert samples == {
        ("it2p/train/0000/1", "pick up the red block", Label.CLEAR, (30.0, 20.0)),
        ("it2p/train/0000/2", "the left one", Label.CLEAR, (12.5, 7.0)),
        ("it2p/train/0000/ambiguous/1", "pick up a block", Label.AMBIGUOUS, None),
        ("it2p/train/0001/1", "take it", Label.CLEAR, (1.0, 1.0)),
        ("it2p/train/0002/ambiguous/1", "get me one", Label.AMBIGUOUS, None),
    }  # the yellow cube stood in both files
    assert all(s.boxes is None and s.size == (64, 48) for s in read(tmp_path))


@pytest.mark.parametrize("folder", ["train_img", "train_script", "script_ambiguous"])
def test_it2p_names_the_folder_that_is_missing(tmp_path, folder):
    make_it2p(tmp_path)
    (tmp_path / folder).rename(tmp_path / "gone")
    with pytest.raises(MissingDataError, match=f"{folder} missing; expected ROOT/train_img"):
        open_data(tmp_path)


def test_csv_labels_quotes_and_splits(tmp_path):
    for n in range(3):
        draw(tmp_path / f"img/{n}.png", n)
    write_lines(
        tmp_path / "sets.csv",
        [
            "Image,Instruction,Label,split",
            'img/0.png,"get ""the"" mug, please",yes,train',
            "img/1.png,the cup,No,val",
            "",
            "img\\2.png,the red cup,clear,test",
            "img/2.png,cup?,1,test",
        ],
    )
    samples = read(tmp_path / "sets.csv")
    assert [(s.expression, s.label.value, s.split) for s in samples] == [
        ('get "the" mug, please', "ambiguous", "train"),
        ("the cup", "clear", "valid"),
        ("the red cup", "clear", "test"),
        ("cup?", "ambiguous", "test"),
    ]
    assert samples[2].pixels().shape == (48, 64, 3) and samples[1].source_id == "sets.csv:3"
    write_lines(tmp_path / "semi.csv", ["image;text;ambiguous", "img/0.png;the mug;false"])
    assert read(tmp_path / "semi.csv")[0].label is Label.CLEAR
    write_lines(tmp_path / "bad.csv", ["image,words", "a,b"])
    with pytest.raises(MissingDataError, match="missing: instruction, label .found: image, words"):
        open_data(tmp_path / "bad.csv")


def test_our_json_lines_hold_everything(tmp_path):
    draw(tmp_path / "a.png")
    line = {
        "image": "a.png",
        "expression": "the mug",
        "size": [64, 48],
        "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "label": "ambiguous",
        "split": "dev",
        "objects": [[0, 0, 9, 9]],
        "id": "x/1",
        "turns": [
            {"question": "which?", "answer": "left"},
            {"question": "this?", "answer": {"text": "here", "point": [32, 24]}},
            {"question": "and?", "answer": {"box": [0, 0, 10, 10]}},
        ],
    }
    write_lines(
        tmp_path / "all.jsonl",
        [
            line,
            {"image": "a.png", "instruction": "it", "label": True},
            {"image": "a.png", "expression": "nothing", "boxes": []},
        ],
    )
    full, brief, absent = read(tmp_path / "all.jsonl")
    assert full.split == "valid" and full.source_id == "x/1" and len(full.boxes) == 2
    assert full.turns[1].answer == Answer("here", point=(32.0, 24.0))
    assert full.turns[2].answer.box == Box(0, 0, 10, 10)
    assert brief.label is Label.AMBIGUOUS and brief.boxes is None and brief.size == (64, 48)
    assert absent.boxes == ()
    assert len(read(tmp_path / "all.jsonl", "valid")) == 1


def test_scenes_give_both_labels_dialogues_and_absent_targets(tmp_path):
    samples = read(make_scenes(tmp_path / "train"))
    assert {s.label for s in samples} == {Label.AMBIGUOUS, Label.CLEAR}
    assert any(s.boxes == () for s in samples) and any(s.turns for s in samples)
    assert all(s.label is Label.AMBIGUOUS for s in samples if s.turns)
    assert samples == read(tmp_path / "train") != read(tmp_path / "train", seed=1)
    make_scenes(tmp_path / "test", first=50)
    assert set(open_data(tmp_path).splits) == {"train", "test"}
    assert read(tmp_path, "test")[0].pixels().shape == (240, 320, 3)


def test_a_real_scene_folder_is_read(tmp_path):
    from clue_ros.simulation.dataset import generate
    from clue_ros.simulation.renderer import SimulationError

    try:
        generate(tmp_path, 2, seed=3, progress=False, shard=2)
    except SimulationError as error:
        pytest.skip(f"no renderer here: {error}")
    samples = read(tmp_path)
    assert len(samples) >= 4 and samples[0].pixels().shape[:2] == samples[0].size[::-1]


# Formats and pairs


def test_the_format_is_found_out(tmp_path):
    assert detect(make_invig(tmp_path / "1")) == "invig"
    assert detect(tmp_path / "1/invig21k_anns/invig21k_test_anns.jsonl") == "invig"
    assert detect(make_it2p(tmp_path / "2")) == "it2p"
    assert detect(make_refcoco(tmp_path / "3")) == "refcoco"
    assert detect(make_scenes(tmp_path / "4")) == "scenes"
    assert detect(write_lines(tmp_path / "5/x.jsonl", [{"image": "a", "expression": "b"}])) == "jsonl"
    assert detect(write_lines(tmp_path / "6/x.csv", ["image,instruction,label"])) == "csv"
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="Known are invig"):
        open_data(tmp_path / "empty")
    with pytest.raises(MissingDataError, match="no such file or folder"):
        open_data(tmp_path / "nowhere")


def test_a_dialogue_is_revealed_turn_by_turn(tmp_path):
    make_invig(tmp_path)
    sample = read(tmp_path, "train")[2]
    target = box_to_text(Box(20, 8, 40, 32), 64, 48)
    start = "clarify get me the thing 2, please."
    first, second = ("assistant: which one, 0? user: the red one 0.", "assistant: which one, 1? user: the red one 1.")
    pairs = revealing_pairs(sample)
    assert [(p.prefix, p.suffix) for p in pairs] == [
        (start, "which one, 0?"),
        (f"{start} {first}", "which one, 1?"),
        (f"{start} {first} {second}", target),
    ]
    assert [p.grounds for p in pairs] == [False, False, True] and [p.turn for p in pairs] == [0, 1, 2]


def test_pairs_of_clicks_several_targets_and_none(tmp_path):
    draw(tmp_path / "a.png")
    box = [0, 0, 32, 24]
    write_lines(
        tmp_path / "x.jsonl",
        [
            {"image": "a.png", "expression": "mugs", "boxes": [box, [32, 24, 64, 48]]},
            {"image": "a.png", "expression": "the pen", "boxes": []},
            {"image": "a.png", "expression": "a mug", "boxes": [box], "label": "ambiguous"},
            {"image": "a.png", "expression": "that", "point": [1, 1]},
            {
                "image": "a.png",
                "expression": "that",
                "boxes": [box],
                "turns": [{"question": "Which <loc0001> one?", "answer": {"point": [32, 24]}}],
            },
        ],
    )
    several, none, ambiguous, point, click = read(tmp_path / "x.jsonl")
    left = box_to_text(Box(*map(float, box)), 64, 48)
    assert revealing_pairs(several)[0].suffix == left
    assert revealing_pairs(several, several=True)[0].suffix.split(" ; ")[0] == left
    assert revealing_pairs(none)[0].suffix == "" and revealing_pairs(none)[0].grounds
    assert revealing_pairs(ambiguous) == [] and revealing_pairs(point) == []
    question, ground = revealing_pairs(click)
    assert question.suffix == "which loc0001 one?"
    assert ground.prefix.endswith(f"user: this one {point_to_text((32, 24), 64, 48)}")


def test_problems_are_counted_and_the_first_ones_kept(tmp_path):
    make_invig(tmp_path)
    write_lines(tmp_path / "invig21k_anns/invig21k_train_anns.jsonl", [b"{"] * 50 + [invig_entry(1)])
    stream = SampleStream(open_data(tmp_path), "train")
    assert len(list(stream)) == 1 and isinstance(stream.problems, Problems)
    assert stream.problems.total == 50 and len(stream.problems.first) == 20
    assert str(stream.problems.first[1]).startswith("invig21k_anns/invig21k_train_anns.jsonl:2: broken line")


def test_the_examples_in_the_documentation_are_read(tmp_path):
    text = (Path(__file__).resolve().parents[3] / "docs/data.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```((?:jsonl|text|csv)(?: \w+)?)\n(.*?)```", text, re.S))
    draw(tmp_path / "images/0001.jpg")
    draw(tmp_path / "images/COCO_train2014_000000000001.jpg")
    for block, name in (
        ("jsonl invig", "invig21k_train_anns.jsonl"),
        ("jsonl refcoco", "refcoco_val.jsonl"),
        ("jsonl ours", "ours.jsonl"),
        ("jsonl paligemma", "_annotations.train.jsonl"),
        ("csv", "sets.csv"),
    ):
        (tmp_path / name).write_text(blocks[block])
        images = tmp_path if name in ("ours.jsonl", "sets.csv", "_annotations.train.jsonl") else tmp_path / "images"
        samples = read(tmp_path / name, images=images)
        assert samples and all(s.pixels() is not None for s in samples)
    make_it2p(tmp_path / "it2p")
    (tmp_path / "it2p/train_script/0001.txt").write_text(blocks["text it2p"])
    assert "pick up the red block" in [s.expression for s in read(tmp_path / "it2p")]
