"""A folder of tiny annotated photographs, drawn here."""

import json

import numpy as np
from PIL import Image


def thing(name, box, color=None, **more):
    return {"name": name, "box": box, **({"color": color} if color else {}), **more}


def line(*things, exhaustive=True, source="desk", **more):
    return {"size": [80, 60], "objects": list(things), "exhaustive": exhaustive, "source": source, **more}


def write(folder, *lines):
    """The folder, with an image of 80 x 60 for each line; a string is written as it is."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, entry in enumerate(lines):
        if isinstance(entry, str):
            rows.append(entry)
            continue
        name = f"images/{number}.png"
        Image.fromarray(np.full((60, 80, 3), number, np.uint8)).save(folder / name)
        rows.append(json.dumps({"image": name, **entry}))
    (folder / "annotations.jsonl").write_text("\n".join(rows) + "\n")
    return folder


LEFT, MIDDLE, RIGHT = [2, 20, 18, 44], [32, 20, 48, 44], [60, 20, 76, 44]
