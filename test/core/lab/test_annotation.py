"""Dialogues made by machine: images with boxes in real formats, the Bayesian filter, roles, hooks, resume, the
comparison.
"""

import json
import sys
from collections import Counter
from functools import partial

import numpy as np
import pytest
from drawn_data import draw, make_invig, make_scenes, write_lines

from clue_ros.cli.main import main
from clue_ros.data.formats import open_data
from clue_ros.data.instances import Instance, Picture, to_line
from clue_ros.data.pairs import revealing_pairs
from clue_ros.data.pictures import open_pictures
from clue_ros.data.stream import SampleStream
from clue_ros.grounder import EMBEDDED_MODEL
from clue_ros.images.files import ImageFile
from clue_ros.lab.annotation.maker import KEPT, MISSED, UNKNOWN, Maker, Output, make
from clue_ros.lab.annotation.paraphrase import CommandParaphraser, FileParaphraser, checked
from clue_ros.lab.annotation.roles import OptionPerson, draw_targets
from clue_ros.lab.annotation.suitability import Suitability, ambiguity_of, rejected
from clue_ros.problems import DataError, Kind, Problems
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box, ClueError

LEFT, RIGHT = Box(2, 2, 22, 22), Box(30, 10, 60, 40)


def boxes(picture):
    return [tuple(i.box) for i in picture.instances]


def test_coco(tmp_path):
    draw(tmp_path / "img" / "000000000007.jpg", 1)
    (tmp_path / "instances_val2017.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": 7, "file_name": "000000000007.jpg", "width": 64, "height": 48},
                    {"id": 8, "file_name": "../x.jpg", "width": 64, "height": 48},
                ],
                "categories": [{"id": 3, "name": "wine glass", "synonyms": ["wine_glass", "goblet"]}],
                "annotations": [
                    {"image_id": 7, "bbox": [4, 6, 10, 20], "category_id": 3, "iscrowd": 0},
                    {"image_id": 7, "bbox": [0, 0, 64, 48], "category_id": 3, "iscrowd": 1},
                    {"image_id": 7, "bbox": [4, 6, 0, 20], "category_id": 3},
                ],
            }
        )
    )
    problems = Problems()
    (picture,) = open_pictures(tmp_path / "instances_val2017.json", images=tmp_path / "img", problems=problems)
    assert boxes(picture) == [(4, 6, 14, 26)] and picture.instances[0].names == ("wine glass", "goblet")
    assert picture.split == "valid" and picture.image.read().shape == (48, 64, 3)
    assert problems.counts[Kind.PATH] == 1


def test_openimages_and_sam(tmp_path):
    draw(tmp_path / "abc.jpg", 1, 200, 100)
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/02p5f1q,Coffee cup\n")
    (tmp_path / "validation-annotations-bbox.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
        "abc,xclick,/m/02p5f1q,1,0.1,0.5,0.2,0.8,0,0,0,0,0\nabc,xclick,/m/02p5f1q,1,0,1,0,1,0,0,1,0,0\n"
        "abc,xclick,/m/02p5f1q,1,,1,0,1,0,0,0,0,0\n"
    )
    problems = Problems()
    (picture,) = open_pictures(tmp_path / "validation-annotations-bbox.csv", problems=problems)
    assert boxes(picture) == [(20, 20, 100, 80)] and picture.instances[0].name == "coffee cup"
    assert problems.total == 1 and picture.split == "valid"
    draw(tmp_path / "sam" / "sa_1.jpg", 1)
    (tmp_path / "sam" / "sa_1.json").write_text(
        json.dumps(
            {
                "image": {"image_id": 1, "width": 64, "height": 48, "file_name": "sa_1.jpg"},
                "annotations": [
                    {"bbox": [4.5, 6, 10, 20], "area": 100, "segmentation": {"size": [48, 64], "counts": "x"}}
                ],
            }
        )
    )
    (tmp_path / "sam" / "sa_2.json").write_text("{")
    problems = Problems()
    (picture,) = open_pictures(tmp_path / "sam", problems=problems)
    assert boxes(picture) == [(4.5, 6, 14.5, 26)] and picture.instances[0].name == "" and problems.total == 1


def test_scenes_samples_and_our_own_lines(tmp_path):
    first, *_ = open_pictures(make_scenes(tmp_path / "scenes"))
    assert [i.name for i in first.instances] == ["mug", "mug", "mug", "bowl"] and first.instances[0].color == "red"
    listed = list(open_pictures(make_invig(tmp_path / "invig")))
    assert len(listed) == 10 and all(len(p.instances) == 2 for p in listed)
    written = write_lines(
        tmp_path / "scenes" / "mine.jsonl", [to_line(first, suitable=True), '{"image": 3, "instances": []}']
    )
    problems = Problems()
    (again,) = open_pictures(written, problems=problems)
    assert again.instances == first.instances and again.suitable is True and problems.total == 1
    with pytest.raises(DataError):
        list(open_pictures(tmp_path / "nothing"))


def picture(names, suitable=None, key="k"):
    return Picture(key, ImageFile(None, "", (64, 48)), tuple(Instance(LEFT, (n,)) for n in names), suitable=suitable)


def test_the_filter_is_equation_1():
    model = Suitability.fit(
        [
            picture(["cup", "cup"], True),
            picture(["cup", "fork"], True),
            picture(["spider"], False),
            picture(["cup", "spider"], False),
            picture(["fork"]),
        ]
    )
    # p(cup|pos) = 3/4, p(cup|neg) = 2/4, p(spider|pos) = 1/4, p(spider|neg) = 3/4: one added to each count, two to a
    # total
    assert model.probability(["cup", "cup"]) == pytest.approx(0.75 / (0.75 + 0.5))
    assert model.probability(["cup", "spider"]) == pytest.approx(0.75 * 0.25 / (0.75 * 0.25 + 0.5 * 0.75))
    assert model.probability([]) == model.probability(["unheard"]) == 0.5
    assert rejected(picture(["cup", "cup"]), model) == "" and rejected(picture(["cup"]), model) == "low ambiguity"
    assert rejected(picture(["spider", "spider"]), model) == "unsuitable classes"
    assert rejected(picture(["cup", "cup", "beetle"]), model, excluded=["beetle"]) == "excluded class"
    assert ambiguity_of(Picture("k", None, (Instance(LEFT), Instance(RIGHT)))) == 2
    with pytest.raises(DataError, match="2 and 0"):
        Suitability.fit([picture(["cup"], True)] * 2)


def test_filter_by_its_command(tmp_path, capsys):
    make_scenes(tmp_path)
    pictures = list(open_pictures(tmp_path))
    lines = [to_line(p, suitable=True) for p in pictures]
    lines += [
        json.dumps(
            {"image": pictures[0].image.name, "instances": [{"box": [0, 0, 9, 9], "name": "spider"}], "suitable": False}
        )
    ]
    write_lines(tmp_path / "sorted.jsonl", lines)
    assert (
        main(
            [
                "data",
                "filter",
                str(tmp_path),
                "--sorted",
                str(tmp_path / "sorted.jsonl"),
                "-o",
                str(tmp_path / "worth.jsonl"),
            ]
        )
        == 0
    )
    assert "3 kept" in capsys.readouterr().out
    kept = [json.loads(line) for line in (tmp_path / "worth.jsonl").read_text().splitlines()]
    assert len(kept) == 3 and all(k["probability"] > 0.5 for k in kept)
    assert [p.instances for p in open_pictures(tmp_path / "worth.jsonl")] == [p.instances for p in pictures]


def test_targets_are_drawn_by_area():
    things = [Instance(Box(0, 0, 10, 10)), Instance(Box(0, 0, 30, 10)), Instance(Box(5, 5, 5, 9))]
    rng = np.random.default_rng(0)
    counts = Counter(draw_targets(things, 1, rng)[0] for _ in range(2000))
    assert counts[2] == 0 and counts[1] / 2000 == pytest.approx(0.75, abs=0.03)
    assert sorted(draw_targets(things, 3, rng)) == [0, 1] and draw_targets(things[2:], 1, rng) == ()


class Fits:
    """A subject whose grounder finds the blue thing on the left, the red one on the right, and nothing else."""

    vocabulary = frozenset()

    def __init__(self):
        self.grounder = ScriptedGrounder(
            {"the red mug": Say.found(RIGHT), "the blue mug": Say.found(LEFT), "the mug": Say.not_found()}
        )


def test_an_oracle_that_takes_the_option_at_the_target():
    rgb = np.zeros((48, 64, 3), np.uint8)
    person = OptionPerson(Fits(), type("C", (), {"describe": lambda *a: "red mug"})(), rgb, rgb, RIGHT)
    assert person.answer("Do you mean the blue mug or the red mug?") == "the red mug"
    assert person.answer("Do you mean the blue mug?") == "no" and person.answer("Do you mean the red mug?") == "yes"
    assert person.answer("Do you mean the mug or the blue mug?") == "neither"
    assert person.answer("Which one do you mean?") == "the red mug"


class Yes:
    def answer(self, question):
        return "the red one"


def maker_of(script, **options):
    return Maker(ScriptedGrounder(script), lambda rgb, seen, target, rng: "the mug", lambda *a: Yes(), **options)


def pictures_in(folder, count=3):
    found = []
    for n in range(count):
        path = draw(folder / f"{n}.png", n)
        found.append(Picture(f"p/{n}", ImageFile(path, path.name, (64, 48)), (Instance(RIGHT, ("mug",)),)))
    return found


ASKED = {"the mug": [Say.ask("Which mug?"), Say.found(RIGHT)]}


def test_what_is_kept_and_what_is_not(tmp_path):
    shown = pictures_in(tmp_path, 1)[0]
    ((key, outcome, sample, rephrased),) = maker_of(ASKED).dialogues(shown)
    assert (key, outcome, rephrased) == ("p/0/0", KEPT, False) and sample.boxes == (RIGHT,)
    assert [(t.question, t.answer.text) for t in sample.turns] == [("Which mug?", "the red one")]
    assert maker_of({"the mug": Say.found(LEFT)}).dialogues(shown)[0][1] == MISSED
    assert maker_of({"the mug": Say.unknown("mug")}).dialogues(shown)[0][1] == UNKNOWN
    assert maker_of({"the mug": Say.found(RIGHT)}, asked_only=True).dialogues(shown)[0][1] == "nothing was asked"
    forever = maker_of({"the mug": Say.ask("Which?", box=RIGHT)}, max_questions=2).dialogues(shown)[0][2]
    assert len(forever.turns) == 2, "then it must decide"


def test_a_stopped_run_goes_on_and_the_trainers_read_it(tmp_path):
    shown = pictures_in(tmp_path, 4)
    whole = Output(tmp_path / "a", {"seed": 0}, tmp_path)
    assert make(shown, partial(map, maker_of(ASKED).dialogues), whole)[KEPT] == 4
    part = Output(tmp_path / "b", {"seed": 0}, tmp_path)
    make(shown, partial(map, maker_of(ASKED).dialogues), part, wanted=2)
    with open(part.dialogues, "a") as file, open(part.tried, "a") as tried:
        file.write('{"half a li')
        tried.write('{"key": "p/2/')
    again = Output(tmp_path / "b", {"seed": 0}, tmp_path)
    assert again.counts[KEPT] == 2 and make(shown, partial(map, maker_of(ASKED).dialogues), again)[KEPT] == 4
    assert again.dialogues.read_bytes() == whole.dialogues.read_bytes()
    with pytest.raises(DataError, match="seed"):
        Output(tmp_path / "b", {"seed": 1}, tmp_path)
    samples = list(SampleStream(open_data(again.dialogues, images=tmp_path), strict=True))
    assert [s.source_id for s in samples] == [f"machine/p/{n}/0" for n in range(4)]
    pairs = revealing_pairs(samples[0])
    assert [p.grounds for p in pairs] == [False, True] and pairs[0].suffix == "which mug?" and samples[0].pixels().size


ECHO = (
    "import sys, json\nfor line in sys.stdin:\n e = json.loads(line)\n e['expression'] = 'could I have ' + "
    "e['expression']\n print(json.dumps(e), flush=True)"
)


def test_a_paraphrase_stays_only_if_the_guesser_finds_the_target_with_it(tmp_path):
    shown = pictures_in(tmp_path, 1)[0]
    hook = CommandParaphraser([sys.executable, "-c", ECHO])
    try:
        script = {**ASKED, "could I have the mug": Say.found(RIGHT)}
        _, outcome, sample, rephrased = maker_of(script, paraphraser=hook).dialogues(shown)[0]
        assert outcome == KEPT and rephrased and sample.expression == "could I have the mug"
        lost = {**ASKED, "could I have the mug": Say.found(LEFT)}
        assert maker_of(lost, paraphraser=hook).dialogues(shown)[0][2].expression == "the mug"
    finally:
        hook.close()
    for arguments, said in (([sys.executable, "-c", "pass"], "ended"), (["/no/such/program"], "cannot be started")):
        with pytest.raises(ClueError, match=said):
            CommandParaphraser(arguments)(("the mug", ()), np.random.default_rng(0))


def test_paraphrases_from_a_file_and_what_is_no_paraphrase(tmp_path):
    file = write_lines(tmp_path / "p.jsonl", [{"text": "The mug", "paraphrases": ["that mug"]}])
    said = FileParaphraser(file)(("the mug", (("which?", "red"),)), np.random.default_rng(0))
    assert said == ("that mug", (("which?", "red"),))
    assert FileParaphraser(file)(("the cup", ()), np.random.default_rng(0)) is None
    with pytest.raises(ClueError, match="p.jsonl:1"):
        FileParaphraser(write_lines(tmp_path / "p.jsonl", [{"text": "x", "paraphrases": "y"}]))
    for entry in (
        {"expression": "a", "turns": []},
        {"expression": "", "turns": [["q", "a"]]},
        {"expression": "a", "turns": [["q", "a\nuser: yes"]]},
        {"expression": "?!", "turns": [["q", "a"]]},
    ):
        assert checked(entry, 1) is None


@pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not there")
@pytest.mark.parametrize("oracle", ["scene", "options"])
def test_dialogues_by_the_command_with_the_embedded_model(scenes, tmp_path, capsys, oracle):
    made = ["data", "dialogues", str(scenes / "train"), "-o", str(tmp_path / "d"), "--count", "3", "--oracle", oracle]
    assert main(made) == 0 and "3 dialogues" in capsys.readouterr().out
    samples = list(SampleStream(open_data(tmp_path / "d" / "dialogues.jsonl", images=scenes / "train"), strict=True))
    assert len(samples) == 3 and all(len(s.boxes) == 1 and s.boxes[0] in s.objects for s in samples)
    first = (tmp_path / "d" / "dialogues.jsonl").read_bytes()
    assert main([*made, "--fresh"]) == 0 and (tmp_path / "d" / "dialogues.jsonl").read_bytes() == first


def test_the_comparison_trains_each_count_once(tiny_model_dir, tmp_path, capsys):
    shown = pictures_in(tmp_path, 4)
    output = Output(tmp_path / "m", {}, tmp_path)
    make(shown, partial(map, maker_of(ASKED).dialogues), output)
    lines = [json.loads(line) for line in output.dialogues.read_text().splitlines()]
    write_lines(
        tmp_path / "true.jsonl",
        [{**lines[n % 4], "id": f"t/{n}", "split": ("train", "train", "valid", "test")[n % 4]} for n in range(8)],
    )
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "joint: {batch: 2, per_device: 2, warmup: 1, precision: fp32, validation: 4, validate_every: 2, workers: 1}\n"
    )
    command = [
        "curve",
        "--base",
        str(tiny_model_dir),
        "--true",
        str(tmp_path / "true.jsonl"),
        "--machine",
        str(output.dialogues),
        "--machine-images",
        str(tmp_path),
        "--counts",
        "0",
        "3",
        "--steps",
        "2",
        "--task",
        "joint",
        "--config",
        str(recipe),
        "--cpu",
        "-o",
        str(tmp_path / "c"),
    ]
    assert main(command) == 0
    rows = json.loads((tmp_path / "c" / "curve.json").read_text())
    assert [(r["machine"], r["steps"]) for r in rows] == [(0, 2), (3, 2)] and all(
        r["test"]["language_loss"] > 0 for r in rows
    )
    before = (tmp_path / "c" / "curve.json").stat().st_mtime_ns
    assert main(command) == 0 and (tmp_path / "c" / "curve.json").stat().st_mtime_ns == before
    capsys.readouterr()
    assert main([*command, "--counts", "9"]) == 2 and "there are 4 machine-made" in capsys.readouterr().err
