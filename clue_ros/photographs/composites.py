"""`clue photos compose`: a folder of pictures composed of cut-outs, in the layout that `read_annotations` reads.

`images/ID.jpg`, `masks/ID.png` and `annotations.jsonl`, whose lines tell besides what each picture is made of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Collection, Dict

import cv2
import numpy as np

from clue_ros.data.textfiles import read_lines
from clue_ros.photographs.annotations import FILE
from clue_ros.photographs.composing import Composite, compose
from clue_ros.photographs.cutouts import read_pack
from clue_ros.types import ClueError

SOURCE = "composite"
MARK = "composed.json"  # beside the annotations: how the folder was begun


def write_composites(
    pack: Path,
    output: Path,
    count: int,
    seed: int,
    without_sharealike: bool = False,
    leave_out: Collection[str] = (),
    progress: bool = False,
) -> int:
    """Compose what is missing of `count` pictures; returns how many there are then. Safe to interrupt; the picture at
    an index depends on pack, seed and index only.

    leave_out: names of files of the pack that are not to be used
    Raises MissingDataError, BrokenDataError and DataError for a pack that cannot be used so, ClueError for a folder
    that was begun otherwise.
    """
    from tqdm import tqdm

    pack, output = Path(pack), Path(output)
    things = read_pack(pack, without_sharealike, leave_out)
    _keep_mark(output, {"seed": seed, "cutouts": len(things.cutouts), "backgrounds": len(things.backgrounds)})
    for folder in ("images", "masks"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    done = _whole_lines(output / FILE)
    with open(output / FILE, "a", encoding="utf-8") as lines:
        for index in tqdm(range(done, count), initial=done, total=count, unit="picture", disable=not progress):
            made = compose(things, np.random.default_rng([seed, index]))
            lines.write(json.dumps(_save(made, output, f"{index:06d}")) + "\n")
            lines.flush()
    return max(done, count)


def _save(made: Composite, output: Path, name: str) -> Dict[str, Any]:
    """Writes image and mask and returns their line."""
    image, mask = f"images/{name}.jpg", f"masks/{name}.png"
    for file, pixels, options in (
        (image, made.pixels[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95)),
        (mask, made.mask, ()),
    ):
        # OpenCV's own writing only says no on a full disk; this raises OSError.
        (output / file).write_bytes(cv2.imencode(Path(file).suffix, pixels, options)[1].tobytes())
    height, width = made.mask.shape
    used = [*(t.cutout for t in made.things), *made.backgrounds]
    return {
        "image": image,
        "mask": mask,
        "size": [width, height],
        "objects": [
            {
                "name": t.cutout.name,
                "box": list(t.box),
                **({"color": t.cutout.color} if t.cutout.color else {}),
                **({"visibility": t.visibility} if t.visibility < 1 else {}),
            }
            for t in made.things
        ],
        "exhaustive": True,
        "complete": all(b.kind != "table" for b in made.backgrounds),  # a photographed counter may hold a sink
        "source": SOURCE,
        "licence": "; ".join(sorted({piece.licence for piece in used if piece.licence})),
        "made_of": [piece.image.name for piece in used],
    }


def _keep_mark(output: Path, begun: Dict[str, Any]) -> None:
    mark = output / MARK
    if not mark.exists():
        output.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps(begun) + "\n", encoding="utf-8")
    elif json.loads(mark.read_text(encoding="utf-8")) != begun:
        raise ClueError(
            f"{output} was begun with another seed or pack ({mark}); go on as it was, or choose another folder"
        )


def _whole_lines(path: Path) -> int:
    """How many lines are there; a half one at the end, of a run that was stopped, is taken off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    return sum(1 for _ in read_lines(path))
