"""The looks of a stream's images, each once: a training run records them, and held-out judging compares them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Dict, Iterable, Iterator, Optional, Tuple, Union

import numpy as np

from clue_ros.data.sample import Sample
from clue_ros.images.copies import look_of
from clue_ros.images.files import ImageArray, ImageFile, verify_image
from clue_ros.problems import BrokenImageError

_BATCH = 256


def looks_of(samples: Iterable[Sample]) -> Iterator[Tuple[str, np.ndarray]]:
    """(an image's name, uint8[192]) of every image that can be read, at about 240 JPEGs a CPU second; Pillow decodes
    beside Python."""
    with ThreadPoolExecutor() as pool:
        for batch in _batches(_images(samples)):
            for image, look in zip(batch, pool.map(_look, batch)):
                if look is not None:
                    yield image.name, look


def _images(samples: Iterable[Sample]) -> Iterator[Union[ImageFile, ImageArray]]:
    known: Dict[str, None] = {}
    last: object = None
    for sample in samples:
        image = sample.image
        if isinstance(image, ImageFile):
            if str(image.path) in known:
                continue
            known[str(image.path)] = None
        elif image.pixels is last:
            continue
        else:
            last = image.pixels
        yield image


def _batches(images: Iterator[Union[ImageFile, ImageArray]]) -> Iterator[list]:
    while batch := list(islice(images, _BATCH)):
        yield batch


def _look(image: Union[ImageFile, ImageArray]) -> Optional[np.ndarray]:
    try:
        return look_of(image.pixels if isinstance(image, ImageArray) else verify_image(image.path, image.size))
    except BrokenImageError:
        return None
