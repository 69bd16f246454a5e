"""Whatever a line holds, a loader yields good samples or counts a problem; it never raises anything else."""

import copy
import json
import math
import random

import pytest
from drawn_data import draw, invig_entry, make_refcoco, scene_line, with_candidates, write_lines

from clue_ros.data import SampleStream, open_data, revealing_pairs
from clue_ros.data.jsonl import to_line

ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    1e308,
    math.inf,
    math.nan,
    "",
    "x",
    "../x",
    "\u0000",
    "\ud800",
    [],
    {},
    [[]],
    [None],
    [1, 2, 3, 4],
    [[1, 2, 3, 4]],
    ["a"],
    {"a": 1},
    [[1, 2], [3]],
    "9" * 3000,
]
OURS = {
    "image": "0001.jpg",
    "expression": "it",
    "size": [64, 48],
    "boxes": [[1, 2, 3, 4]],
    "label": "yes",
    "point": [1, 2],
    "objects": [[0, 0, 5, 5]],
    "split": "train",
    "id": "x",
    "question_candidates": [["a"]],
    "answer_candidates": [["b"]],
    "turns": [
        {"question": "which?", "answer": "this"},
        {"question": "which?", "answer": {"text": "t", "point": [1, 2]}},
    ],
}
QWEN = {"image": "0001.jpg", "sent": "it", "bbox": [1, 2, 3, 4], "width": 64, "height": 48}
RECLIP = {
    "file_name": "0001.jpg",
    "sentences": [{"raw": "it"}],
    "anns": [{"id": 1, "bbox": [1, 2, 3, 4]}],
    "ann_id": 1,
    "width": 64,
    "height": 48,
}


def mutations(value, rng, count):
    """Copies of a JSON value with one to three places replaced, removed or repeated."""
    for _ in range(count):
        mutant = copy.deepcopy(value)
        for _ in range(rng.randint(1, 3)):
            place = mutant
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = rng.choice(keys)
                if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.7:
                    place = place[key]
                    continue
                if isinstance(place, dict) and rng.random() < 0.2:
                    del place[key]
                else:
                    place[key] = copy.deepcopy(rng.choice(ODD))
                break
        yield mutant


def survives(path, count, **options):
    stream = SampleStream(open_data(path, **options))
    good = 0
    for sample in stream:
        good += 1
        to_line(sample).encode()
        for pair in revealing_pairs(sample, several=True):
            pair.prefix.encode()
    assert stream.problems.total and good, stream.problems.first  # both kinds came
    return good


@pytest.mark.parametrize(
    "name, entry",
    [
        ("invig21k_train_anns.jsonl", with_candidates(invig_entry(1))),
        ("ours.jsonl", OURS),
        ("refcoco_val.jsonl", QWEN),
        ("refcoco_testA.jsonl", RECLIP),
    ],
)
def test_mutated_lines(tmp_path, name, entry):
    rng = random.Random(name)
    lines = [json.dumps(m).encode() for m in mutations(entry, rng, 800)]
    for n in range(0, 800, 8):  # and bytes that are no JSON any more
        line = bytearray(lines[n])
        line[rng.randrange(len(line))] = rng.randrange(256)
        lines[n] = bytes(line).replace(b"\n", b"")
    write_lines(tmp_path / name, lines)
    draw(tmp_path / "0001.jpg")
    survives(tmp_path / name, 800, images=tmp_path)


def test_mutated_scenes(tmp_path):
    draw(tmp_path / "images/000000.webp", 0, 320, 240)
    lines = [json.dumps(m) for m in mutations(scene_line(0), random.Random(1), 300)]
    write_lines(tmp_path / "scenes-00000.jsonl", lines)
    survives(tmp_path, 300)


def test_mutated_references_and_instances(tmp_path):
    make_refcoco(tmp_path)
    rng = random.Random(2)
    for name in ("refs(unc).json", "instances.json"):
        file = tmp_path / "refcoco" / name
        value = json.loads(file.read_text())
        for mutant in mutations(value, rng, 60):
            # NaN ends the reading of a whole JSON file; that is tested elsewhere.
            text = json.dumps(mutant).replace("NaN", "null").replace("-Infinity", "0").replace("Infinity", "0")
            file.write_text(text)
            stream = SampleStream(open_data(tmp_path))
            for sample in stream:
                to_line(sample)
        file.write_text(json.dumps(value))


def test_mutated_tables(tmp_path):
    rng = random.Random(3)
    draw(tmp_path / "a.png")
    text = b"image,instruction,label,split\n" + b'a.png,"the, mug",yes,train\n' * 40
    for _ in range(80):
        mutant = bytearray(text)
        for _ in range(rng.randint(1, 6)):
            mutant[rng.randrange(30, len(mutant))] = rng.choice(b'",\n\r\0\xff;')
        (tmp_path / "x.csv").write_bytes(bytes(mutant))
        list(SampleStream(open_data(tmp_path / "x.csv")))
