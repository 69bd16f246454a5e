"""Makes the documentation's pictures of the model that ships anew, into docs/images, and says how large they are.

scripts/run.sh python scripts/draw_pictures.py                 # demo, console, photograph: 2 min on 2 cores
scripts/run.sh python scripts/draw_pictures.py --pack pack     # also its failures on the pack's photographs

The console's need Chromium (scripts/browser.sh). Look at each before it is committed.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
IMAGES, WORK = ROOT / "docs" / "images", ROOT / "out" / "pictures"
EPISODE = "episode_3_ambiguous_position"
PARTS = ("masks", "focus", "pointing", "belief", "chat", "dialogue")
TILE, FOOT, GAP = (320, 240), 44, 10


def run(*command: object, **variables: str) -> None:
    subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, env={**os.environ, **variables}, check=True)


def scaled(source: Path, name: str, width: int, height: int = 10_000, **options: Any) -> None:
    """A picture at a width in pixels, its upper `height` rows, under docs/images; options: of Pillow's save."""
    with Image.open(source) as image:
        size = width, round(image.height * width / image.width)
        picture = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).crop((0, 0, width, min(height, size[1])))
    (picture.quantize(256, kmeans=4) if name.endswith(".png") else picture).save(IMAGES / name, **options)


def demo() -> None:
    run("clue_ros.ros.demo", "--seed", 0, "--animate", "--parts", "--output", WORK / "demo")
    scaled(WORK / "demo" / f"{EPISODE}.png", "demo.png", 1280, optimize=True)
    shutil.copy(WORK / "demo" / f"{EPISODE}.webp", IMAGES / "demo.webp")
    for part in PARTS:
        scaled(WORK / "demo" / "parts" / f"{part}.png", f"part_{part}.jpg", 1000, quality=80)


def console() -> None:
    shots = WORK / "console"
    shots.mkdir(parents=True, exist_ok=True)
    test = "test/ros/operator/test_console_browser.py"
    run("pytest", "-q", test, "-k", "embedded_model_on", CLUE_SHOTS=str(shots))
    for shot, name, width, height in (
        ("question_light", "console_question", 1360, 1235),
        ("found_dark", "console_found_dark", 1360, 1235),
        ("question_phone", "console_phone", 468, 1206),
    ):
        scaled(shots / f"{shot}.png", f"{name}.webp", width, height, quality=80, method=6)


def photograph() -> None:
    """The README's first picture: an ambiguous line about a photograph that ships, and a click."""
    source, folder = ROOT / "clue_ros" / "examples" / "photographs", WORK / "photograph"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    lines = (source / "photographs.jsonl").read_text("utf-8").splitlines()
    (folder / "photographs.jsonl").write_text(
        next(x for x in lines if json.loads(x)["id"] == "fruit/2") + "\n", "utf-8"
    )
    run("clue_ros.cli", "evaluate", "photographs", folder / "photographs.jsonl", "-o", folder / "run", "--fresh")
    scaled(next((folder / "run" / "pictures").glob("*.webp")), "photograph.webp", 960, quality=80, method=6)


def failures(pack: Path) -> None:
    """Up to six instructions that went wrong on photographs under the MIT licence: each photograph once, each way of
    failing twice at most."""
    from clue_ros.geometry import box_iou
    from clue_ros.grounder import Grounder
    from clue_ros.images.photos import read_photo
    from clue_ros.types import Box, Outcome

    folder, grounder = pack / "dev_photos", Grounder.from_pretrained()
    seen: Dict[str, Any] = {}
    used: Dict[str, int] = collections.Counter()
    tiles: List[Tuple[Image.Image, str, str]] = []
    for line in (folder / "photos.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        name, kind, fits = row["image"], row["kind"], [Box(*box) for box in row["fits"]]
        if kind == "absent" or "MIT" not in row["licence"] or used[name] or len(tiles) == 6:
            continue
        if name not in seen:
            seen = {name: (rgb := read_photo(folder / name), grounder.look(rgb))}
        rgb, looked = seen[name]
        said = grounder.ground(looked, row["expression"])
        box, asked = said.box, said.outcome is Outcome.ASK
        good = asked if kind == "ambiguous" else box is not None and max(box_iou(box, fit) for fit in fits) >= 0.5
        way = f"{said.outcome.value} {kind}"
        if good or used[way] == 2:
            continue
        used[name], used[way] = 1, used[way] + 1
        told = f"“{said.question}”" if asked else "not found" if box is None else "a wrong box"
        told = "a box: it did not ask" if box is not None and kind == "ambiguous" else told
        boxes = [(fit, "#28c83c") for fit in fits] + ([(box, "#f02828")] if box is not None else [])
        tiles.append((_tile(rgb, boxes), f"“{row['expression']}”", told))
    _sheet(tiles).save(IMAGES / "photo-failures.webp", quality=72, method=6)


def _tile(rgb: Any, boxes: Any) -> Image.Image:
    image = Image.fromarray(rgb).resize(TILE)
    x, y = TILE[0] / rgb.shape[1], TILE[1] / rgb.shape[0]
    for box, color in boxes:
        ImageDraw.Draw(image).rectangle((box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y), outline=color, width=3)
    return image


def _sheet(tiles: List[Tuple[Image.Image, str, str]]) -> Image.Image:
    from clue_ros.visualization.lettering import font

    wide, high = TILE[0] + GAP, TILE[1] + FOOT
    sheet = Image.new("RGB", (3 * wide - GAP, high * -(-len(tiles) // 3)), "white")
    pen, letters = ImageDraw.Draw(sheet), font(15)
    for number, (image, expression, told) in enumerate(tiles):
        x, y = number % 3 * wide, number // 3 * high
        sheet.paste(image, (x, y))
        pen.text((x + 2, y + TILE[1] + 2), expression, fill="black", font=letters)
        while pen.textlength(told, font=letters) > TILE[0]:
            told = told.rstrip("…")[:-1] + "…"
        pen.text((x + 2, y + TILE[1] + 21), told, fill="#c81e1e", font=letters)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, help="folder with dev_photos, for the failures")
    parser.add_argument("--only", nargs="+", choices=("demo", "console", "photograph", "failures"))
    chosen = parser.parse_args()
    wanted = chosen.only or ("demo", "console", "photograph", *(("failures",) if chosen.pack else ()))
    if "failures" in wanted and chosen.pack is None:
        parser.error("failures need --pack")
    for name, make in {"demo": demo, "console": console, "photograph": photograph}.items():
        if name in wanted:
            make()
    if chosen.pack is not None and "failures" in wanted:
        failures(chosen.pack)
    sizes = {path.name: path.stat().st_size for path in sorted(IMAGES.iterdir())}
    print("\n".join(f"{size:8d}  {name}" for name, size in sizes.items()), f"\n{sum(sizes.values()):8d}  together")


if __name__ == "__main__":
    main()
