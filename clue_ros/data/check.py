"""Reads a data set from end to end and says what is in it and what is wrong with it: the work of `clue data check`."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from clue_ros.data.box_forms import Scale, advice_on_order, unit_problem
from clue_ros.data.sample import Sample, is_empty, is_outside
from clue_ros.data.source import Source
from clue_ros.data.stream import target_problem
from clue_ros.images.copies import Looks, look_of
from clue_ros.images.files import digest, header_size, verify_image
from clue_ros.problems import BrokenDataError, BrokenImageError, Kind, Place, Problems
from clue_ros.prompt import clean

_BATCH = 256  # samples whose images are decoded side by side


@dataclass
class SplitCounts:
    """What a split holds; `images` are different files by content (by name where contents were not read); closings:
    exchanges cut from the ends of dialogues."""

    samples: int = 0
    images: int = 0
    ambiguous: int = 0
    clear: int = 0
    unknown: int = 0
    dialogues: int = 0
    questions: int = 0
    closings: int = 0
    boxes: int = 0
    points: int = 0
    absent: int = 0

    def add(self, sample: Sample) -> None:
        self.samples += 1
        setattr(self, sample.label.value, getattr(self, sample.label.value) + 1)
        self.dialogues += bool(sample.turns)
        self.questions += len(sample.turns)
        self.closings += len(sample.closing)
        self.boxes += len(sample.boxes or ())
        self.points += sample.point is not None
        self.absent += sample.boxes == ()


@dataclass
class CheckReport:
    """records: entries read; repeated: samples that say the same of the same image within their split;
    shared_images: images that stand in more than one split, also in another encoding or size, a problem unless both
    are for testing (RefCOCO's testA and testB) or it was allowed; unsplit: records without a split where others have
    one, counted as training data."""

    form: str
    splits: Dict[str, SplitCounts] = field(default_factory=dict)
    records: int = 0
    repeated: int = 0
    shared_images: int = 0
    unsplit: int = 0
    problems: Problems = field(default_factory=Problems)

    @property
    def ok(self) -> bool:
        return self.problems.total == 0 and any(counts.samples for counts in self.splits.values())

    def to_dict(self) -> Dict[str, Any]:
        return {
            "format": self.form,
            "ok": self.ok,
            "records": self.records,
            "splits": {name or "all": vars(counts) for name, counts in self.splits.items()},
            "repeated_samples": self.repeated,
            "images_in_several_splits": self.shared_images,
            "records_without_split": self.unsplit,
            "problems": self.problems.to_dict(),
        }


def check(
    source: Source,
    *,
    images: str = "full",
    workers: Optional[int] = None,
    progress: Callable[[int], None] = lambda records: None,
    allow_shared: bool = False,
) -> CheckReport:
    """Read everything once.

    images: 'full' decodes every image and compares contents and looks between splits, 'header' only opens them, 'none'
    leaves them alone; the latter two compare names. workers: decoding threads (default: the processor's cores).
    progress: called with the number of records that were just read. Memory: about 0.3 kB a sample and 0.5 kB an image.
    allow_shared: an image in several splits is counted and no problem.
    """
    report = CheckReport(source.name, unsplit=source.unsplit)
    seen, scale = _Seen(report, allow_shared), Scale()
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        reader = _Images(pool, images, report.problems)
        for batch in _batches(source, report, progress):
            contents = reader.contents(batch)
            for (place, sample), content in zip(batch, contents):
                seen.add(place, sample, content, reader.looks)
                _check_boxes(place, sample, report.problems)
                for box in (*(sample.boxes or ()), *sample.objects):
                    scale.add(box, sample.size)
    wrong = scale.problem()
    if wrong is not None:
        report.problems.add(wrong[0], Place(source.name, 0), wrong[1])
    report.shared_images = seen.shared_images() + seen.copies()
    return report


def _batches(source: Source, report: CheckReport, progress) -> Iterator[List[Tuple[Place, Sample]]]:
    batch: List[Tuple[Place, Sample]] = []
    try:
        for record in source.records():
            report.records += 1
            batch += [(record.place, s) for s in source.parse(record, report.problems)]
            progress(1)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    except BrokenDataError as error:  # a JSON file cannot be read on beyond its first mistake
        report.problems.add(Kind.LINE, Place(source.name, 0), error)
    yield batch


class _Images:
    """Opens each image file once. `contents`: 16 bytes a sample that stand for its image, None if it is broken;
    `looks`: of the contents that were decoded (images/copies.py)."""

    def __init__(self, pool: ThreadPoolExecutor, depth: str, problems: Problems):
        self._pool, self._opening, self._problems = pool, depth, problems
        self._known: Dict[bytes, Optional[bytes]] = {}  # of the path -> of the content
        self.looks: Dict[bytes, np.ndarray] = {}

    def contents(self, batch: Sequence[Tuple[Place, Sample]]) -> List[Optional[bytes]]:
        keys = [_hash(str(sample.file.path)) for _, sample in batch]
        new = {key: n for n, key in reversed(list(enumerate(keys))) if key not in self._known}
        results = self._pool.map(self._open, [(batch[n][1], key) for key, n in new.items()])
        for (key, n), (content, error) in zip(new.items(), results):
            self._known[key] = content
            if error:
                self._problems.add(Kind.IMAGE, batch[n][0], error)
        return [self._known[key] for key in keys]

    def _open(self, job: Tuple[Sample, bytes]) -> Tuple[Optional[bytes], str]:
        sample, key = job
        path, size = sample.file.path, sample.size
        try:
            if self._opening == "full":
                look, content = look_of(verify_image(path, size)), digest(path)
                self.looks.setdefault(content, look)
                return content, ""
            if self._opening == "header" and header_size(path) not in (size, size[::-1]):
                return None, f"{path}: is not of the stated size {size[0]}x{size[1]}"
        except BrokenImageError as error:
            return None, str(error)
        return key, ""


class _Seen:
    """Counts by split, and what stands in two of them."""

    def __init__(self, report: CheckReport, allow_shared: bool):
        self._report, self._allow_shared = report, allow_shared
        self._splits: Dict[str, int] = {}
        self._images: Dict[bytes, int] = {}  # content -> bit set of splits
        self._samples: Dict[bytes, int] = {}  # content and expression -> split
        self._looks: Dict[str, List[Tuple[np.ndarray, Place, str]]] = {}  # of a split: look, place and name

    def add(
        self, place: Place, sample: Sample, content: Optional[bytes], looks: Mapping[bytes, np.ndarray] = {}
    ) -> None:
        counts = self._report.splits.setdefault(sample.split, SplitCounts())
        counts.add(sample)
        if content is None:
            return
        split = self._splits.setdefault(sample.split, len(self._splits))
        before = self._images.get(content, 0)
        if not before >> split & 1:
            counts.images += 1
            self._shared(place, sample, before)
            if not before and content in looks:
                self._looks.setdefault(sample.split, []).append((looks[content], place, sample.image.name))
        self._images[content] = before | 1 << split
        key = _hash(content.hex() + clean(sample.expression))
        if key not in self._samples:
            self._samples[key] = split
        elif self._samples[key] == split:
            self._report.repeated += 1
        else:
            other = next(name for name, n in self._splits.items() if n == self._samples[key])
            text = f"the same image with '{sample.expression}' is also in the split '{other}'"
            self._report.problems.add(Kind.DUPLICATE, place, text)

    def _shared(self, place: Place, sample: Sample, before: int) -> None:
        """An image that is new in its split and known from others; those that are only tested on may share."""
        others = [name for name, n in self._splits.items() if before >> n & 1]
        if others and not self._may_share(*others, sample.split):
            text = f"the image {sample.image.name} is also in the split '{others[0]}'"
            self._report.problems.add(Kind.SHARED, place, text)

    def _may_share(self, *splits: str) -> bool:
        return self._allow_shared or all(name.startswith("test") for name in splits)

    def shared_images(self) -> int:
        return sum(1 for splits in self._images.values() if splits & (splits - 1))

    def copies(self) -> int:
        """Images of one split that are copies of another's in another encoding or size; they are reported."""
        count = 0
        splits = sorted(self._looks, key=lambda name: -len(self._looks[name]))
        for n, large in enumerate(splits):
            known = Looks([look for look, *_ in self._looks[large]])
            for small in splits[n + 1 :]:
                for look, place, name in self._looks[small]:
                    found = known.copy_of(look)
                    count += found is not None
                    if found is not None and not self._may_share(large, small):
                        text = f"the image {name} looks like {self._looks[large][found][2]} of the split '{large}'"
                        self._report.problems.add(Kind.SHARED, place, text)
        return count


def _check_boxes(place: Place, sample: Sample, problems: Problems) -> None:
    wrong = unit_problem(sample)
    if wrong is not None:
        problems.add(wrong[0], place, wrong[1])
        return
    clicked = [t.answer.box for t in sample.turns if t.answer.box is not None]
    boxes = [("target", b) for b in sample.boxes or ()] + [("box of an object", b) for b in sample.objects]
    for what, box in boxes + [("answered box", b) for b in clicked]:
        text = f"{what} {[round(v, 2) for v in box]} in an image of {sample.size[0]}x{sample.size[1]}"
        if is_empty(box):
            problems.add(Kind.EMPTY, place, text + advice_on_order(box, sample.size))
        elif is_outside(box, sample.size):
            problems.add(Kind.OUTSIDE, place, text + advice_on_order(box, sample.size))
    if sample.point is not None:
        wrong = target_problem(replace(sample, boxes=None))
        if wrong:
            problems.add(wrong[0], place, wrong[1])


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
