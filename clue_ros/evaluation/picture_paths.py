"""Pictures as paths, for programs that are asked about them: files where they lie, arrays as PNG files for a while."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Optional, Tuple, Union

import numpy as np

from clue_ros.images.files import ImageArray, ImageFile


class PicturePaths:
    def __init__(self) -> None:
        self._folder: Optional[tempfile.TemporaryDirectory] = None
        self._last: Tuple[Optional[np.ndarray], str] = (None, "")

    def of(self, image: Union[ImageFile, ImageArray]) -> str:
        """The absolute path. An array's file stays until the next array's, or `close`."""
        if isinstance(image, ImageFile):
            return str(Path(image.path).absolute())
        if self._last[0] is not image.pixels:
            from PIL import Image

            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="clue-pictures-")
            path = Path(self._folder.name) / "picture.png"
            Image.fromarray(image.pixels).save(path)
            self._last = image.pixels, str(path)
        return self._last[1]

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
