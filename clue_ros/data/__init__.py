"""Data sets of instructions about images: one sample type, one loader a format, streaming. See docs/data.md.

from clue_ros.data import open_data, SampleStream
for sample in SampleStream(open_data("/data/invig"), split="train", buffer=1000, seed=1):
    rgb = sample.pixels()
"""

from clue_ros.data.formats import open_data
from clue_ros.data.pairs import RevealingPair, answering_pairs, revealing_pairs
from clue_ros.data.sample import Label, Sample
from clue_ros.data.stream import SampleStream
from clue_ros.images.files import ImageArray, ImageFile
from clue_ros.problems import (
    BrokenDataError,
    BrokenImageError,
    DataError,
    MissingDataError,
    PickleRefusedError,
    Problems,
    UnsafePathError,
)

__all__ = [
    "BrokenDataError",
    "BrokenImageError",
    "DataError",
    "ImageArray",
    "ImageFile",
    "Label",
    "MissingDataError",
    "PickleRefusedError",
    "Problems",
    "RevealingPair",
    "Sample",
    "SampleStream",
    "UnsafePathError",
    "answering_pairs",
    "open_data",
    "revealing_pairs",
]
