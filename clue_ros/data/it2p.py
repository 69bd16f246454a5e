"""IT2P (Ahn et al., ICRA 2018: Interactive Text2Pickup): tabletop photos, commands, and points instead of boxes.

    ROOT/train_img/NNNN.jpg
    ROOT/train_script/NNNN.txt        lines `x y command`: a point in pixels on the thing meant; unambiguous commands
    ROOT/script_ambiguous/NNNN.txt    one ambiguous command a line

A command that stands in both files of an image contradicts itself and is dropped. `test_img` and `test_script` are read
as the split 'test' where they exist. A record is one image with all its commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from clue_ros.data.sample import Label, Sample, point_of
from clue_ros.data.source import Record, Source, expression_of, reporting
from clue_ros.data.textfiles import read_lines, text_of
from clue_ros.images.files import ImageFile, ImageRoot, image_file
from clue_ros.problems import Kind, MissingDataError, Place, Problems, UnsafePathError
from clue_ros.prompt import clean

AMBIGUOUS = "script_ambiguous"
SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = "expected ROOT/train_img/NNNN.jpg, ROOT/train_script/NNNN.txt and ROOT/script_ambiguous/NNNN.txt"


class It2pSource(Source):
    name = "it2p"

    def __init__(self, path: Path, images: Optional[Path] = None):
        """images: a folder in place of ROOT/train_img. Raises MissingDataError naming what is not there."""
        self._root = ImageRoot(path)
        folders: Dict[str, ImageRoot] = {}
        for split in ("train", "valid", "test"):
            folder = images if images is not None and split == "train" else path / f"{split}_img"
            if split == "train" or folder.is_dir():
                missing = [p for p in (folder, path / f"{split}_script") if not p.is_dir()]
                if missing:
                    raise MissingDataError(f"{path}: {' and '.join(str(m) for m in missing)} missing; {LAYOUT}")
                folders[split] = ImageRoot(folder)
        if not (path / AMBIGUOUS).is_dir():
            raise MissingDataError(f"{path}: {path / AMBIGUOUS} missing; {LAYOUT}")
        self._folders = folders
        self.roots, self.splits = tuple(folders.values()), tuple(folders)

    def records(self, split: Optional[str] = None) -> Iterator[Record]:
        wanted = self.wanted(split)
        ambiguous = _stems(self._root.folder / AMBIGUOUS)
        for own, root in self._folders.items():
            if wanted in (None, own):
                stems = _stems(self._root.folder / f"{own}_script")
                # Ambiguous commands without any image are reported once, with the training split.
                mine = {s for s in ambiguous if _image(root, s) or (own == "train" and not self._elsewhere(s))}
                for number, stem in enumerate(sorted(stems | mine), 1):
                    yield Record(Place(f"{own}_img", number), own, stem)

    def annotation_files(self) -> Sequence[Path]:
        return [
            f
            for name in (*(f"{split}_script" for split in self._folders), AMBIGUOUS)
            for f in self._root.folder.glob(f"{name}/*.txt")
        ]

    def count(self, split: Optional[str] = None) -> int:
        return sum(1 for _ in self.records(split))

    def parse(self, record: Record, problems: Problems) -> Iterator[Sample]:
        root, stem = self._folders[record.split], record.content
        image = None
        with reporting(problems, Place(f"{record.split}_script/{stem}.txt", 1)):
            image = image_file([root], _image(root, stem) or f"{stem}.jpg")
        if image is None:
            return
        clear = self._clear(record.split, image, stem, problems)
        ambiguous = self._lines(f"{AMBIGUOUS}/{stem}.txt", problems)
        both = {clean(text) for _, text, _ in clear} & {clean(text) for _, text in ambiguous}
        yield from self._samples(record.split, stem, image, clear, ambiguous, both)

    @staticmethod
    def _samples(split: str, stem: str, image: ImageFile, clear, ambiguous, both: Set[str]) -> Iterator[Sample]:
        seen = set()
        for number, text, point in clear:
            if clean(text) not in both and (clean(text), point) not in seen:
                seen.add((clean(text), point))
                yield Sample(f"it2p/{split}/{stem}/{number}", image, text, point=point, label=Label.CLEAR, split=split)
        for number, text in ambiguous:
            if clean(text) not in both and clean(text) not in seen:
                seen.add(clean(text))
                yield Sample(f"it2p/{split}/{stem}/ambiguous/{number}", image, text, label=Label.AMBIGUOUS, split=split)

    def _clear(
        self, split: str, image: ImageFile, stem: str, problems: Problems
    ) -> List[Tuple[int, str, Tuple[float, float]]]:
        name = f"{split}_script/{stem}.txt"
        (width, height), found = image.size, []
        for number, line in self._lines(name, problems, commands=False):
            with reporting(problems, Place(name, number)):
                parts = line.split(None, 2)
                if len(parts) < 3:
                    raise ValueError(f"expected 'x y command', got '{line[:60]}'")
                point = point_of([float(parts[0]), float(parts[1])])
                text = expression_of(parts[2])
                if 0 <= point[0] < width and 0 <= point[1] < height:
                    found.append((number, text, point))
                else:
                    problems.add(
                        Kind.OUTSIDE,
                        Place(name, number),
                        f"the point ({point[0]:g}, {point[1]:g}) in an image of {width}x{height}",
                    )
        return found

    def _lines(self, name: str, problems: Problems, commands: bool = True) -> List[Tuple[int, str]]:
        """The lines of a script, none if there is no such file."""
        path = self._root.folder / name
        if not path.is_file():
            return []
        try:
            self._root.inside(path)
        except UnsafePathError as error:
            problems.add(Kind.PATH, Place(name, 1), error)
            return []
        found = []
        for number, line in read_lines(path):
            with reporting(problems, Place(name, number)):
                text = text_of(line)
                found.append((number, expression_of(text) if commands else text))
        return found

    def _elsewhere(self, stem: str) -> bool:
        return any(_image(root, stem) for split, root in self._folders.items() if split != "train")


def _stems(folder: Path) -> Set[str]:
    return {p.stem for p in folder.iterdir() if p.suffix == ".txt"}


def _image(root: ImageRoot, stem: str) -> str:
    """The file name of an image of this number, or ''."""
    return next((stem + s for s in SUFFIXES if (root.folder / (stem + s)).is_file()), "")
