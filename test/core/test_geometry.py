"""The one resize and its inverse; what counts as an image."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.geometry import as_rgb, clip_box, to_square
from clue_ros.images.photos import read_photo
from clue_ros.types import Box, InvalidImageError


def test_the_resize_squashes_without_cropping():
    image = np.zeros((480, 640, 3), np.uint8)
    image[240:, 320:] = 255
    small = to_square(image, 224)
    assert small.shape == (224, 224, 3)
    assert small[113:, 113:].min() == 255 and small[:111].max() == 0 and small[:, :111].max() == 0


@pytest.mark.parametrize(
    "image, shape",
    [
        (np.zeros((4, 5), np.uint8), (4, 5, 3)),
        (np.zeros((4, 5, 1), np.uint8), (4, 5, 3)),
        (np.zeros((4, 5, 4), np.uint8), (4, 5, 3)),
        (Image.new("LA", (5, 4)), (4, 5, 3)),
    ],
)
def test_other_layouts_become_rgb(image, shape):
    assert as_rgb(image).shape == shape


def test_a_pil_image_gives_the_pixels_that_its_file_gives(tmp_path):
    """Alpha on white, 16 bits scaled instead of clipped, CMYK and palettes as colours: as `clue ground` reads them."""
    clear = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    for number, image in enumerate(
        (
            clear,
            deep,
            Image.new("CMYK", (3, 2), (0, 255, 255, 0)),
            clear.convert("LA"),
            Image.new("RGB", (3, 2), (1, 2, 3)).convert("P"),
            Image.new("1", (3, 2), 1),
        )
    ):
        image.save(tmp_path / f"{number}.tiff")
        assert np.array_equal(as_rgb(image), read_photo(tmp_path / f"{number}.tiff"))
    assert as_rgb(clear).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert as_rgb(deep)[0, :, 0].tolist() == [0, 128, 255]


def test_a_damaged_file_that_pillow_opened_is_no_image(tmp_path):
    Image.effect_noise((80, 80), 50).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    with pytest.raises(InvalidImageError, match="cannot be decoded: .*truncated"):
        as_rgb(Image.open(tmp_path / "a.jpg"))


@pytest.mark.parametrize(
    "image, word",
    [
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (np.zeros((4, 5, 3), np.float32), "float32"),
        (np.zeros((4, 5, 2), np.uint8), "[4, 5, 2]"),
        ("photo.png", "str; open"),
        (np.zeros((1, 30_000, 3), np.uint8), "large"),
    ],
)
def test_what_is_no_image_says_why(image, word):
    with pytest.raises(InvalidImageError, match=word.replace("[", r"\[").replace("]", r"\]")):
        as_rgb(image)


def test_boxes_are_clipped_to_the_image():
    assert clip_box(Box(-5, 10, 700, 5), 640, 480) == Box(0, 5, 640, 10)
