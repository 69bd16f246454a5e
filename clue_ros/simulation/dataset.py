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
import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from clue_ros.processes import Sharing, in_processes
from clue_ros.simulation import own_scenes
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.scene import Scene, SceneObject
from clue_ros.simulation.scene_draw import SceneConfig, recolored, sample_scene
from clue_ros.simulation.shapes import COLORS, MORE_COLORS
from clue_ros.simulation.variety import PLAIN
from clue_ros.types import Box, ClueError

SHARD = 100
COUNTERFACTUAL = 8
ASPECTS = ((320, 240), (320, 240), (320, 240), (280, 280), (384, 216))  # width, height: what cameras deliver

SMALLEST_SIDE, LARGEST_SIDE = 64, 2048
Size = Tuple[int, int]

_renderer: dict = {}


@dataclass(frozen=True)
class World:
    """What the scenes of a data set hold. objects: a folder of own meshes; only_own: no built-in ones; varied: bend the
    built-in shapes in every second shard; any_camera: from near and far, steep and flat; more_colors: built-in shapes
    in shapes.MORE_COLORS as well; weights: (noun, factor), how often the kinds of a noun are drawn; sizes: (width,
    height) of the images, pixels, shard by shard in turn."""

    objects: Optional[Path] = None
    only_own: bool = False
    varied: bool = False
    any_camera: bool = False
    more_colors: bool = False
    weights: own_scenes.Weights = ()
    sizes: Tuple[Size, ...] = ASPECTS

    def config(self, own: Tuple[OwnObject, ...], variety: int) -> SceneConfig:
        colors = (*COLORS, *MORE_COLORS) if self.more_colors else tuple(COLORS)
        return replace(
            own_scenes.own_config(own, self.only_own, self.weights),
            variety=variety,
            any_camera=self.any_camera,
            colors=colors,
        )

    def options(self) -> Dict[str, str]:
        """Mark -> the options of the command line that differ from its own, '' for none."""
        return {
            "sizes": " ".join(f"--size {w}x{h}" for w, h in self.sizes) if self.sizes != ASPECTS else "",
            "varied": "--varied" if self.varied else "",
            "camera": "--any-camera" if self.any_camera else "",
            "colors": "--more-colors" if self.more_colors else "",
            "weights": " ".join(f"--weight '{noun}={weight:g}'" for noun, weight in self.weights),
        }


def generate(
    output: Path,
    count: int,
    seed: int,
    sharing: Sharing = Sharing(),
    progress: bool = True,
    shard: int = SHARD,
    objects: Optional[Path] = None,
    only_own: bool = False,
    varied: bool = False,
    sizes: Tuple[Size, ...] = (),
    any_camera: bool = False,
    more_colors: bool = False,
    weights: own_scenes.Weights = (),
) -> int:
    """Render what is missing of a data set, in shards of `shard` scenes; returns how many it then holds. Safe to
    interrupt. sharing: of the shards, whose machines all write to `output`; objects … weights: see World; sizes: empty
    for ASPECTS. Raises OwnObjectError for a folder that cannot be
    used, or an output that was begun with another; ClueError for one begun with other options."""
    from tqdm import tqdm

    output, objects = Path(output), objects if objects is None else Path(objects).absolute()
    own = _own_objects(objects) if objects is not None else ()
    if progress:
        for item in own:
            print(own_scenes.describe(item), file=sys.stderr)
        for remark in own_scenes.remarks(own):
            print(f"warning: {remark}", file=sys.stderr)
    own_scenes.keep_record(output, own, only_own)
    world = World(objects, only_own, varied, any_camera, more_colors, weights, sizes or ASPECTS)
    for mark, option in world.options().items():
        _keep(output, mark, option)
    for folder in ("images", "masks"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    shards = range((count + shard - 1) // shard)
    jobs = [_Job(output.absolute(), seed, s, shard, world) for s in shards]
    todo = [job for job in jobs if not job.lines.exists()]
    bar = tqdm(
        total=len(shards) * shard,
        initial=(len(shards) - len(todo)) * shard,
        unit="scene",
        disable=not progress,
        file=sys.stderr,
    )
    os.environ.setdefault("LP_NUM_THREADS", str(os.cpu_count() or 1))
    with bar:
        alone = sharing.alone or len(todo) < 2
        for done in map(_shard, todo) if alone else in_processes(sharing, _nothing, _shard_there, todo):
            bar.update(done)
    missing = [job.shard for job in todo if not job.lines.exists()]
    if missing:
        raise ClueError(f"{len(missing)} shards are not in {output}: do all machines of the cluster share that folder?")
    return len(shards) * shard


def _keep(output: Path, mark: str, option: str) -> None:
    """Note an option beside a data set. Raises ClueError if the folder was begun with another: half of it would be."""
    path = output / mark
    before = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if path.exists() and not before.startswith("--"):  # as folders of older versions say it
        before = " ".join(f"--size {size}" for size in before.split()) or f"--{mark}"
    if option != before and any(output.glob("scenes-*.jsonl")):
        begun = f"with {before}" if before else f"without {option.split()[0]}"
        raise ClueError(f"{output} was begun {begun}; go on as it was begun, or choose another folder")
    if option:
        output.mkdir(parents=True, exist_ok=True)
        path.write_text(option + "\n", encoding="utf-8")


def scene_for(seed: int, index: int, config: SceneConfig = SceneConfig()) -> Scene:
    """The scene that a data set of this seed holds at this index; every eighth is the one before it with one object
    recoloured."""
    if index % COUNTERFACTUAL == COUNTERFACTUAL - 1:
        before = sample_scene(np.random.default_rng([seed, index - 1]), config)
        if any(o.own is None for o in before.objects):  # own objects have the colour that they have
            return recolored(before, np.random.default_rng([seed, index]), config)
    return sample_scene(np.random.default_rng([seed, index]), config)


class _Job(NamedTuple):
    """size: scenes of the shard."""

    output: Path
    seed: int
    shard: int
    size: int
    world: World

    @property
    def lines(self) -> Path:
        return self.output / f"scenes-{self.shard:05d}.jsonl"


def _nothing() -> None:
    """A worker needs nothing before its first shard."""


def _shard_there(_: None, job: _Job) -> int:
    return _shard(job)


def _shard(job: _Job) -> int:
    from clue_ros.simulation.renderer import TabletopRenderer

    output, seed, shard, size, world = job
    own = _own_objects(world.objects) if world.objects is not None else ()
    variety = shard if world.varied and shard % 2 else PLAIN
    config = world.config(own, variety)
    width, height = world.sizes[shard % len(world.sizes)]
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
