"""The one resize and its inverse; what counts as an image."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.geometry import as_rgb, clip_box, scale_box, to_square
from clue_ros.types import Box, InvalidImageError


def test_a_box_goes_to_the_square_and_back():
    box = Box(64, 48, 320, 240)
    there = scale_box(box, (640, 480), (224, 224))
    assert there == pytest.approx((22.4, 22.4, 112, 112))
    assert scale_box(there, (224, 224), (640, 480)) == pytest.approx(box)


def test_the_resize_squashes_without_cropping():
    image = np.zeros((480, 640, 3), np.uint8)
    image[240:, 320:] = 255
    small = to_square(image, 224)
    assert small.shape == (224, 224, 3)
    assert small[113:, 113:].min() == 255 and small[:111].max() == 0 and small[:, :111].max() == 0


@pytest.mark.parametrize("image, shape", [
    (np.zeros((4, 5), np.uint8), (4, 5, 3)), (np.zeros((4, 5, 1), np.uint8), (4, 5, 3)),
    (np.zeros((4, 5, 4), np.uint8), (4, 5, 3)), (Image.new("LA", (5, 4)), (4, 5, 3))])
def test_other_layouts_become_rgb(image, shape):
    assert as_rgb(image).shape == shape


@pytest.mark.parametrize("image, word", [
    (np.zeros((0, 5, 3), np.uint8), "empty"), (np.zeros((4, 5, 3), np.float32), "float32"),
    (np.zeros((4, 5, 2), np.uint8), "[4, 5, 2]"), ("photo.png", "str"), (np.zeros((1, 30_000, 3), np.uint8), "large")])
def test_what_is_no_image_says_why(image, word):
    with pytest.raises(InvalidImageError, match=word.replace("[", r"\[").replace("]", r"\]")):
        as_rgb(image)


def test_boxes_are_clipped_to_the_image():
    assert clip_box(Box(-5, 10, 700, 5), 640, 480) == Box(0, 5, 640, 10)
