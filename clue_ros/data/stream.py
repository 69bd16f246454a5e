"""Samples one after the other, from any source: shared out between workers, shuffled, and resumed where one stopped."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.data.box_forms import unit_problem
from clue_ros.data.sample import Sample, is_empty, is_unusable
from clue_ros.data.source import Record, Source, hashed_split, split_name
from clue_ros.images.files import ImageArray, digest
from clue_ros.problems import BrokenImageError, DataError, Kind, MissingDataError, Place, Problems


class SampleStream:
    """An endless or a single pass over a source's samples; holds `buffer` unparsed records in memory and no more.

    A stream's order depends only on source, split, seed, epoch, rank, world and buffer. Records are dealt out in turn
    (record i goes to rank i mod world), then shuffled through a buffer: each new record takes the place of a random
    one, which comes out. A record that cannot be used is counted in `problems` and left out; samples whose target lies
    wholly outside the image count too.

    `state()` is where the stream stands; a stream made with `resume=state` and otherwise the same arguments goes on
    with the very next sample.
    """

    def __init__(
        self,
        source: Source,
        split: Optional[str] = None,
        *,
        buffer: int = 0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        repeat: bool = False,
        fractions: Optional[Sequence[float]] = None,
        strict: bool = False,
        resume: Optional[Dict[str, int]] = None,
    ):
        """split: 'train', 'valid', 'test', …, None for all; buffer: records to shuffle among, 0 keeps the order;
        rank, world: which share of how many; repeat: start a new, newly shuffled epoch at the end, for ever;
        fractions: (train, valid, test) for a source without splits of its own or with one, by the image's content;
        strict: raise the first problem as BrokenDataError.

        Raises DataError for arguments that make no sense, MissingDataError for a split that is not there.
        """
        if not 0 <= rank < world:
            raise DataError(f"rank {rank} of {world} workers: ranks go from 0 to {world - 1}")
        if buffer < 0 or (fractions is not None and (len(fractions) != 3 or min(fractions) < 0 or sum(fractions) <= 0)):
            raise DataError("buffer must be 0 or more; fractions must be three numbers for train, valid and test")
        if fractions is not None and len(source.splits) > 1:
            raise DataError(
                f"this {source.name} data set has splits of its own ({', '.join(source.splits)}): leave fractions out"
            )
        self.source, self.problems = source, Problems(strict)
        self._hashed = split_name(split) if split is not None and fractions is not None else None
        self._split = source.wanted(split) if fractions is None else None
        self._fractions = None if fractions is None else tuple(fractions)
        self._known: Dict[str, str] = {}  # an image's path -> its split by content: a file is read once
        self._buffer, self._seed, self._share, self._repeat = buffer, seed, (rank, world), repeat
        resume = resume or {}
        self._epoch, self._record, self._sample = (int(resume.get(k, 0)) for k in ("epoch", "record", "sample"))

    def state(self) -> Dict[str, int]:
        """{"epoch", "record", "sample"} of the next sample: how many records of this share were used up in the epoch,
        and how many samples of the record at hand."""
        return {"epoch": self._epoch, "record": self._record, "sample": self._sample}

    def __iter__(self) -> Iterator[Sample]:
        """Goes on from `state()`. Raises BrokenDataError where a file breaks off, and for any problem if strict."""
        while True:
            first, found = (self._record, self._sample) == (0, 0), False
            for position, record in enumerate(self._order(self._epoch)):
                if position < self._record:
                    continue
                done = self._sample
                for index, sample in enumerate(self._samples(record)):
                    if index >= done:
                        found, self._sample = True, index + 1
                        yield sample
                self._record, self._sample = position + 1, 0
            self._epoch, self._record, self._sample = self._epoch + 1, 0, 0
            if not self._repeat:
                return
            if first and not found:
                raise MissingDataError(
                    f"the {self.source.name} data set gave no sample that can be used "
                    f"({self.problems.total} problems); see: clue data check"
                )

    def with_pixels(self) -> Iterator[Tuple[Sample, np.ndarray]]:
        """(sample, uint8[H,W,3] RGB); a sample whose image cannot be decoded is counted and left out."""
        for sample in self:
            try:
                pixels = sample.pixels()
            except BrokenImageError as error:
                self.problems.add(Kind.IMAGE, Place(sample.source_id, 0), error)
                continue
            yield sample, pixels

    def _samples(self, record: Record) -> Iterator[Sample]:
        for sample in self.source.parse(record, self.problems):
            if self._fractions is not None:
                try:
                    own = self._split_by_content(sample, self._fractions)
                except BrokenImageError as error:
                    self.problems.add(Kind.IMAGE, record.place, error)
                    continue
                if self._hashed not in (None, own):
                    continue
                sample = replace(sample, split=own)
            wrong = target_problem(sample)
            if wrong:
                self.problems.add(wrong[0], record.place, wrong[1])
                continue
            yield sample

    def _split_by_content(self, sample: Sample, fractions: Sequence[float]) -> str:
        """Raises BrokenImageError if the file cannot be read."""
        image = sample.image
        if isinstance(image, ImageArray):
            return hashed_split(hashlib.blake2b(image.pixels.tobytes(), digest_size=16).digest(), fractions)
        key = str(image.path)
        if key not in self._known:
            self._known[key] = hashed_split(digest(image.path), fractions)
        return self._known[key]

    def _order(self, epoch: int) -> Iterator[Record]:
        rank, world = self._share
        mine = (r for i, r in enumerate(self.source.records(self._split)) if i % world == rank)
        if not self._buffer:
            yield from mine
            return
        rng = np.random.default_rng([self._seed, epoch, rank, world])
        held: List[Record] = []
        for record in mine:
            if len(held) < self._buffer:
                held.append(record)
                continue
            index = int(rng.integers(self._buffer))
            out, held[index] = held[index], record
            yield out
        for index in rng.permutation(len(held)):
            yield held[index]


def target_problem(sample: Sample) -> Optional[Tuple[Kind, str]]:
    """Why nothing can be learnt from a sample's target, or None."""
    wrong = unit_problem(sample)
    if wrong is not None:
        return wrong
    if sample.boxes and is_unusable(sample.boxes, sample.size):
        width, height = sample.size
        kind = Kind.EMPTY if any(is_empty(b) for b in sample.boxes) else Kind.OUTSIDE
        return kind, f"target {[list(b) for b in sample.boxes]} in an image of {width}x{height}"
    if sample.point is not None:
        (x, y), (width, height) = sample.point, sample.size
        if not (0 <= x < width and 0 <= y < height):
            return Kind.OUTSIDE, f"the point ({x:g}, {y:g}) lies outside the image of {width}x{height}"
    return None


def worker_share(rank: int = 0, world: int = 1) -> Tuple[int, int]:
    """(rank, world) of this process with the workers of a torch DataLoader counted in: call it in the worker."""
    torch_data = sys.modules.get("torch.utils.data")
    info = torch_data.get_worker_info() if torch_data is not None else None
    return (rank, world) if info is None else (rank * info.num_workers + info.id, world * info.num_workers)
