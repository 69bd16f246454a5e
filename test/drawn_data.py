"""Small data sets in the formats of the real ones, with drawn images: for tests, and to see a format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterable, Union

import cv2
import numpy as np


def draw(path: Path, seed: int = 0, width: int = 64, height: int = 48) -> Path:
    """A photo-like image that differs by seed."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    cv2.circle(image, (int(rng.integers(width)), int(rng.integers(height))), 9, (0, 0, 255), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def write_lines(path: Path, lines: Iterable[Union[dict, str, bytes]]) -> Path:
    """Dicts become JSON, bytes stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = [ln if isinstance(ln, bytes) else (ln if isinstance(ln, str) else json.dumps(ln)).encode() for ln in lines]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def invig_entry(number: int, turns: int = 2, **changes) -> dict:
    """A line as the API's README describes it; the box is x0 y0 x1 y1."""
    entry = {
        "filename": f"{number:04d}.jpg",
        "width": 64,
        "height": 48,
        "id": number,
        "invig_label_id": 1000 + number,
        "ann": {
            "bboxes": [[0, 0, 10, 10], [20, 8, 40, 32]],
            "ref_exp": f"Get me the thing {number}, please.",
            "questions": [f"Which one, {n}?" for n in range(turns)],
            "answers": [f"The red one {n}." for n in range(turns)],
            "ref_bboxes": [[20, 8, 40, 32]],
        },
    }
    entry["ann"].update(changes.pop("ann", {}))
    entry.update(changes)
    return entry


def with_candidates(entry: dict) -> dict:
    """As in valid and test: 30 wrong candidates a question and an answer."""
    count = len(entry["ann"]["questions"])
    entry["ann"]["question_candidates"] = [[f"q{t} {n}?" for n in range(30)] for t in range(count)]
    entry["ann"]["answer_candidates"] = [[f"a{t} {n}" for n in range(30)] for t in range(count)]
    return entry


def make_invig(root: Path, train: int = 6, other: int = 2) -> Path:
    splits = {"train": range(train), "valid": range(100, 100 + other), "test": range(200, 200 + other)}
    for split, numbers in splits.items():
        entries = [invig_entry(n, turns=n % 4) for n in numbers]
        if split != "train":
            entries = [with_candidates(e) for e in entries]
        write_lines(root / "invig21k_anns" / f"invig21k_{split}_anns.jsonl", entries)
        for n in numbers:
            draw(root / "invig21k_imgs" / f"{n:04d}.jpg", n)
    return root


def make_ivm(root: Path, own_images: bool = True) -> Path:
    """Lines, images and maps as their reader joins them; a machine's lines name images of other data sets."""
    lines = []
    for n in range(3):
        heat = np.zeros((48, 64), np.uint8)
        heat[8:40, 16:48] = 120
        draw(root / ("images" if own_images else "coco/train2017") / (f"img_{n}.jpg" if own_images else f"{n}.jpg"), n)
        (root / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "masks" / f"mask_{n}.jpg"), heat)
        line = {"uuid": n, "instruction": ["where is the mug?", "the mug"]}
        lines.append(line if own_images else {**line, "image": f"coco/train2017/{n}.jpg"})
    write_lines(root / "meta.json", lines)
    return root / "meta.json"


def make_it2p(root: Path) -> Path:
    for n in range(3):
        draw(root / "train_img" / f"{n:04d}.jpg", n)
    write_lines(
        root / "train_script/0000.txt",
        [
            "30 20 pick up the red block",
            "12.5 7 the left one",
            "5 5 Grab the Yellow cube",
            "30 20 pick up the red block",
        ],
    )
    write_lines(root / "script_ambiguous/0000.txt", ["pick up a block", "grab the yellow cube"])
    write_lines(root / "train_script/0001.txt", ["1 1 take it"])
    write_lines(root / "script_ambiguous/0002.txt", ["get me one"])
    return root


def make_refcoco(root: Path) -> Path:
    """refs(unc).json, instances.json; a reference's file name carries the annotation's number, as in the original."""
    for n in (1, 2, 3):
        draw(root / "train2014" / f"COCO_train2014_{n:012d}.jpg", n)
    sentence = {"tokens": [], "sent_id": 0}
    refs = [
        {
            "ref_id": 7,
            "ann_id": 70,
            "image_id": 1,
            "split": "train",
            "category_id": 1,
            "sent_ids": [0, 1],
            "file_name": "COCO_train2014_000000000001_70.jpg",
            "sentences": [
                {**sentence, "raw": "Left Guy", "sent": "left guy"},
                {**sentence, "raw": "man", "sent": "man"},
            ],
        },
        {
            "ref_id": 8,
            "ann_id": 80,
            "image_id": 2,
            "split": "val",
            "category_id": 1,
            "sent_ids": [2],
            "file_name": "COCO_train2014_000000000002_80.jpg",
            "sentences": [{**sentence, "raw": "cup", "sent": "cup"}],
        },
        {
            "ref_id": 9,
            "ann_id": 90,
            "image_id": 3,
            "split": "testA",
            "category_id": 1,
            "sent_ids": [3],
            "file_name": "COCO_train2014_000000000003_90.jpg",
            "sentences": [{**sentence, "raw": "mug", "sent": "mug"}],
        },
    ]
    instances = {
        "info": {"year": 2014},
        "licenses": [],
        "images": [
            {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 64, "height": 48} for n in (1, 2, 3)
        ],
        "annotations": [
            {"id": 70, "image_id": 1, "bbox": [4, 6, 10, 20], "category_id": 1, "segmentation": [[1, 2]]},
            {"id": 80, "image_id": 2, "bbox": [30, 10, 20.5, 8], "category_id": 1},
            {"id": 90, "image_id": 3, "bbox": [30, 10, 20.5, 8], "category_id": 1},
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    folder = root / "refcoco"
    folder.mkdir(parents=True)
    (folder / "refs(unc).json").write_text(json.dumps(refs))
    (folder / "instances.json").write_text(json.dumps(instances))
    return root


def scene_line(number: int) -> dict:
    """A line as `clue scenes` writes it: two red mugs, a blue mug, a bowl."""

    def thing(category, color, x):
        return {
            "category": category,
            "color": color,
            "size": "medium",
            "box": [x, 60.0, x + 40.0, 110.0],
            "visibility": 1.0,
            "pixels": 1500,
            "point": [0.0, 0.0, 0.7],
        }

    return {
        "id": f"{number:06d}",
        "width": 320,
        "height": 240,
        "intrinsics": [300, 300, 160, 120],
        "objects": [
            thing("mug", "red", 10.0),
            thing("mug", "red", 250.0),
            thing("mug", "blue", 120.0),
            thing("bowl", "green", 190.0),
        ],
    }


def make_scenes(root: Path, count: int = 3, first: int = 0) -> Path:
    write_lines(root / "scenes-00000.jsonl", [scene_line(n) for n in range(first, first + count)])
    for n in range(first, first + count):
        draw(root / "images" / f"{n:06d}.webp", n, 320, 240)
    return root
