"""`clue scenes`: render a data set of tabletop scenes, seeded, in parallel, resumable.

    clue scenes --output data/train --count 8000 --seed 1

Layout: `scenes-NNNNN.jsonl` (one line a scene, a shard of `SHARD` scenes a file, written when the shard is complete),
`images/ID.webp` (the camera image), `masks/ID.png` (uint8: object index + 1, 0 for the background).
A line holds: id, width, height, intrinsics [fx, fy, cx, cy] and objects (category, nouns of an own one, color or '',
size, shape, box [x0, y0, x1, y1] in pixels or null, visibility in [0, 1], pixels, point [x, y, z] metres in the optical
frame).

    clue scenes --objects DIR --output data/own --count 200 [--only-own]

takes objects that users bring (simulation/own_folder.py) among the built-in ones, or alone. With --varied every second
shard bends the built-in shapes its own way (simulation/variety.py), which is what a model should be trained on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np

from clue_ros.simulation import own_scenes
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.scene import Scene, SceneConfig, SceneObject, recolored, sample_scene
from clue_ros.simulation.variety import PLAIN
from clue_ros.types import Box, ClueError

SHARD = 100
VARIED_MARK = "varied"  # a file of this name lies in a data set of bent shapes
SIZES_MARK = "sizes"  # and one with the images' sizes in one of other sizes than ASPECTS
COUNTERFACTUAL = 8
ASPECTS = ((320, 240), (320, 240), (320, 240), (280, 280), (384, 216))  # width, height: what cameras deliver

SMALLEST_SIDE, LARGEST_SIDE = 64, 2048
Size = Tuple[int, int]

_renderer: dict = {}


def generate(
    output: Path,
    count: int,
    seed: int,
    workers: int = 1,
    progress: bool = True,
    shard: int = SHARD,
    objects: Optional[Path] = None,
    only_own: bool = False,
    varied: bool = False,
    sizes: Tuple[Size, ...] = (),
) -> int:
    """Render what is missing of a data set, in shards of `shard` scenes; returns how many it then holds. Safe to
    interrupt. objects: a folder of own meshes; only_own: no built-in ones; varied: bend the built-in shapes in every
    second shard; sizes: (width, height) of the images, pixels, shard by shard in turn, empty: ASPECTS. Raises
    OwnObjectError for a folder that cannot be used, or an output that was begun with another; ClueError for one begun
    with the other `varied` or `sizes`."""
    from tqdm import tqdm

    output = Path(output)
    own = _own_objects(objects) if objects is not None else ()
    if progress:
        for item in own:
            print(own_scenes.describe(item), file=sys.stderr)
        for remark in own_scenes.remarks(own):
            print(f"warning: {remark}", file=sys.stderr)
    own_scenes.keep_record(output, own, only_own)
    _keep_sizes(output, sizes)
    _keep_varied(output, varied)
    for folder in ("images", "masks"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    shards = range((count + shard - 1) // shard)
    todo = [
        (output, seed, s, shard, objects, only_own, varied, sizes or ASPECTS)
        for s in shards
        if not (output / f"scenes-{s:05d}.jsonl").exists()
    ]
    bar = tqdm(
        total=len(shards) * shard,
        initial=(len(shards) - len(todo)) * shard,
        unit="scene",
        disable=not progress,
        file=sys.stderr,
    )
    os.environ.setdefault("LP_NUM_THREADS", "1" if workers > 1 else str(os.cpu_count() or 1))
    with bar:
        if workers > 1 and len(todo) > 1:
            # spawn: a forked child would inherit the parent's GL state and hang.
            with multiprocessing.get_context("spawn").Pool(min(workers, len(todo))) as pool:
                for done in pool.imap_unordered(_shard, todo):
                    bar.update(done)
        else:
            for job in todo:
                bar.update(_shard(job))
    return len(shards) * shard


def _keep_sizes(output: Path, sizes: Tuple[Size, ...]) -> None:
    """Note other sizes than the usual ones. Raises ClueError if the folder was begun with others."""
    mark = output / SIZES_MARK
    text = " ".join(f"{width}x{height}" for width, height in sizes)
    before = mark.read_text(encoding="utf-8").strip() if mark.exists() else ""
    if text != before and any(output.glob("scenes-*.jsonl")):
        options = " ".join(f"--size {size}" for size in before.split()) or "no --size"
        raise ClueError(f"{output} was begun with {options}; go on as it was begun, or choose another folder")
    if text:
        output.mkdir(parents=True, exist_ok=True)
        mark.write_text(text + "\n", encoding="utf-8")


def _keep_varied(output: Path, varied: bool) -> None:
    """Note that a data set's shapes are bent. Raises ClueError if the folder was begun otherwise: half of it would
    be.
    """
    mark = output / VARIED_MARK
    if varied != mark.exists() and any(output.glob("scenes-*.jsonl")):
        raise ClueError(
            f"{output} was begun {'without' if varied else 'with'} --varied; go on as it was begun, or choose "
            "another folder"
        )
    if varied:
        output.mkdir(parents=True, exist_ok=True)
        mark.touch()


def scene_for(seed: int, index: int, config: SceneConfig = SceneConfig()) -> Scene:
    """The scene that a data set of this seed holds at this index; every eighth is the one before it with one object
    recoloured."""
    if index % COUNTERFACTUAL == COUNTERFACTUAL - 1:
        before = sample_scene(np.random.default_rng([seed, index - 1]), config)
        if any(o.own is None for o in before.objects):  # own objects have the colour that they have
            return recolored(before, np.random.default_rng([seed, index]), config)
    return sample_scene(np.random.default_rng([seed, index]), config)


def _shard(job) -> int:
    from clue_ros.simulation.renderer import TabletopRenderer

    output, seed, shard, size, objects, only_own, varied, sizes = job
    own = _own_objects(objects) if objects is not None else ()
    variety = shard if varied and shard % 2 else PLAIN
    config = replace(own_scenes.own_config(own, only_own) if own else SceneConfig(), variety=variety)
    width, height = sizes[shard % len(sizes)]
    if variety != PLAIN:
        with TabletopRenderer(width, height, own=own, variety=variety) as renderer:
            return _render_shard(renderer, config, output, seed, shard, size)
    if (width, height, own) not in _renderer:
        _renderer[width, height, own] = TabletopRenderer(width, height, own=own)
    return _render_shard(_renderer[width, height, own], config, output, seed, shard, size)


def _write(path: Path, pixels: np.ndarray, *options: int) -> None:
    """An image file. Raises OSError: OpenCV itself only says no, and leaves the half of it on a full disk."""
    data = cv2.imencode(path.suffix, pixels, options)[1]
    path.write_bytes(data.tobytes())


def _render_shard(renderer, config: SceneConfig, output: Path, seed: int, shard: int, size: int) -> int:
    lines: List[str] = []
    for index in range(shard * size, (shard + 1) * size):
        view = renderer.render(scene_for(seed, index, config), depth=False)
        name = f"{index:06d}"
        _write(output / "images" / f"{name}.webp", view.rgb[..., ::-1], cv2.IMWRITE_WEBP_QUALITY, 92)
        _write(output / "masks" / f"{name}.png", (view.segmentation + 1).astype(np.uint8))
        lines.append(
            json.dumps(
                {
                    "id": name,
                    "width": renderer.width,
                    "height": renderer.height,
                    "intrinsics": [round(v, 3) for v in view.intrinsics],
                    "objects": [object_to_dict(o, p) for o, p in zip(view.objects, view.points)],
                }
            )
        )
    target = output / f"scenes-{shard:05d}.jsonl"
    partial = target.with_suffix(".partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(target)
    return size


@lru_cache(maxsize=1)
def _own_objects(folder: Path) -> Tuple[OwnObject, ...]:
    return own_scenes.load_for_scenes(folder)


def object_to_dict(item: SceneObject, point) -> Dict:
    own = {} if item.own is None else {"nouns": list(item.own.nouns)}
    return {
        "category": item.category,
        **own,
        "color": item.color,
        "size": item.size,
        "shape": item.shape,
        "box": [round(v, 1) for v in item.box] if item.box else None,
        "visibility": round(item.visibility, 3),
        "pixels": item.pixels,
        "point": [round(float(v), 4) for v in point],
    }


def object_from_dict(item: Dict) -> SceneObject:
    """An object as `object_to_dict` wrote it, without its place in the world."""
    return SceneObject(
        item["category"],
        item["color"],
        item["size"],
        tuple(item["point"]),
        0.0,
        (0.0, 0.0, 0.0),
        box=Box(*item["box"]) if item["box"] else None,
        visibility=item["visibility"],
        pixels=item["pixels"],
    )


def read_scenes(folder: Path) -> Iterator[Dict]:
    """The lines of a data set in order. Raises FileNotFoundError if the folder holds no finished shard."""
    files = sorted(Path(folder).glob("scenes-*.jsonl"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no scenes-*.jsonl; make a data set with: clue scenes --output {folder}"
        )
    for file in files:
        with open(file, encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)
