"""Examples to tensors: one pass's batch, and the steps of a run, decoded ahead in threads.

A row is: image tokens, <bos>, prefix, newline, suffix; <eos> is a target only. Rows are padded on the right, so that
positions and the attention pattern need no shift.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Dict, Generator, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from clue_ros.data import BrokenImageError, ImageArray, ImageFile
from clue_ros.finetune.examples import Example, ExampleStream
from clue_ros.finetune.features import FeatureCache
from clue_ros.geometry import to_square
from clue_ros.location import token
from clue_ros.problems import Kind, Place, Problems
from clue_ros.vlm.tokens import PromptTokens

IGNORE = -100
_GREY = 64  # pixels a side of what stands for a broken picture, where pictures are of any size


@dataclass
class Seen:
    """An image of a batch: its pixels uint8[3,S,S] (of eyes uint8[3,H,W]), or its features float[N,D] where they lie in
    the cache."""

    image: Union[ImageFile, ImageArray]
    pixels: Optional[torch.Tensor] = None
    features: Optional[torch.Tensor] = None


@dataclass
class Batch:
    """What one pass of one process reads; B rows, T text tokens, N image tokens.

    seen: the different images; image: int64[B], which of them a row shows; ids: int64[B,T], padded with 0;
    prefix: int64[B], text tokens that belong to the prefix; targets: int64[B,T], the token that must follow, IGNORE
    where none; rows: bool[B,T], what the tap reads; labels: float32[B], 1 ambiguous, 0 clear, -1 unknown;
    noise: seeds of this pass, (of this process, of all processes).
    """

    seen: List[Seen]
    image: torch.Tensor
    ids: torch.Tensor
    prefix: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    labels: torch.Tensor
    noise: Tuple[int, int] = (0, 0)

    def to(self, device) -> "Batch":
        moved = {k: getattr(self, k).to(device) for k in ("image", "ids", "prefix", "targets", "rows", "labels")}
        return replace(self, **moved)

    @property
    def tokens(self) -> int:
        """Targets in it."""
        return int((self.targets != IGNORE).sum())

    @property
    def speaking(self) -> int:
        """Rows with any target."""
        return int((self.targets != IGNORE).any(1).sum())

    @property
    def labelled(self) -> int:
        return int((self.labels >= 0).sum())


class Collator:
    """Examples -> Batch. An image that cannot be decoded becomes a grey one without targets, an example that is too
    long loses its targets; both are counted in `problems`.

    side: pixels of the squares that the tower takes, None for whole pictures (features.side_of).
    """

    def __init__(self, tokens: PromptTokens, side: Optional[int], length: int, cache: FeatureCache, workers: int = 4):
        self._tokens, self._side, self._length, self._cache = tokens, side, length, cache
        self._pool = ThreadPoolExecutor(workers)
        self.problems = Problems()

    def __call__(self, examples: Sequence[Example], noise: Tuple[int, int] = (0, 0)) -> Batch:
        images: Dict[object, int] = {}
        places = [images.setdefault(_key(e.image), len(images)) for e in examples]
        first = [examples[places.index(n)].image for n in range(len(images))]
        seen = list(self._pool.map(self._see, first))
        rows = [self._row(e, seen[place] is not None) for e, place in zip(examples, places)]
        grey = torch.full((3, self._side or _GREY, self._side or _GREY), 127, dtype=torch.uint8)
        width = max(len(ids) for ids, *_ in rows)
        pad = lambda values, fill: torch.tensor([list(v) + [fill] * (width - len(v)) for v in values])  # noqa: E731
        ids, prefix, targets, read, labels = zip(*rows)
        return Batch(
            [s or Seen(image, grey) for s, image in zip(seen, first)],
            torch.tensor(places),
            pad(ids, 0),
            torch.tensor(prefix),
            pad(targets, IGNORE),
            pad(read, False),
            torch.tensor(labels),
            noise,
        )

    @property
    def first_location(self) -> int:
        """The token id of <loc0000>."""
        return self._tokens.tokenizer.convert_tokens_to_ids(token(0))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _see(self, image: Union[ImageFile, ImageArray]) -> Optional[Seen]:
        features = self._cache.read(image)
        if features is not None:
            return Seen(image, features=features)
        try:
            picture = image.read()
        except BrokenImageError as error:
            self.problems.add(Kind.IMAGE, Place(image.name, 0), error)
            return None
        picture = picture if self._side is None else to_square(picture, self._side)
        return Seen(image, pixels=torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))))

    def _row(self, example: Example, usable: bool):
        ids, rows = self._tokens.prefix(example.prefix)
        ids, rows = ids[0].tolist(), rows[0].tolist()
        suffix = [] if example.suffix is None else self._suffix(example.suffix)
        if len(ids) + len(suffix) > self._length:
            long = f"{len(ids) + len(suffix)} text tokens, more than length {self._length}"
            self.problems.add(Kind.LINE, Place(example.image.name, 0), long)
            usable, ids, rows, suffix = False, ids[:2], [False, True], []
        if not usable:
            suffix = []
        targets = [IGNORE] * (len(ids) - 1) + (suffix or [IGNORE])
        label = -1.0 if example.ambiguous is None or not usable else float(example.ambiguous)
        return ids + suffix[:-1], len(ids), targets, rows + [False] * max(0, len(suffix) - 1), label

    def _suffix(self, text: str) -> List[int]:
        tokenizer = self._tokens.tokenizer
        return [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]


@dataclass
class Step:
    """The passes of one optimiser step in this process, and where the stream stands after it."""

    batches: List[Batch]
    state: Dict[str, int]


def steps(
    stream: ExampleStream,
    collator: Collator,
    start: int,
    seed: int,
    passes: int,
    per_device: int,
    rank: int,
    world: int,
) -> Generator[Step, None, None]:
    """Endless steps from step number `start`; the next one is made ready in a thread while one is used.

    Of each pass's per_device · world examples a process takes a run of neighbours: pairs of one image stay together, so
    its features are computed once.
    """
    examples = iter(stream)

    def make(number: int) -> Step:
        batches = []
        for n in range(passes):
            shared = list(islice(examples, per_device * world))
            own = shared[rank * per_device : (rank + 1) * per_device]
            noise = draw(seed, number, n, rank), draw(seed, number, n)
            batches.append(collator(own, noise))
        return Step(batches, stream.state())

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(make, start)
        while True:
            step = coming.result()
            start += 1
            coming = ahead.submit(make, start)
            yield step


def chunks(examples: Sequence[Example], collator: Collator, size: int) -> Iterator[Tuple[Sequence[Example], Batch]]:
    """A fixed list of examples as (examples, batch)."""
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        yield part, collator(part)


def draw(*numbers: int) -> int:
    """A seed below 2^32 that depends on all of some numbers."""
    return int(np.random.SeedSequence([*numbers, len(numbers)]).generate_state(1)[0])


def _key(image: Union[ImageFile, ImageArray]) -> object:
    return str(image.path) if isinstance(image, ImageFile) else id(image.pixels)
