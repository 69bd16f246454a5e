"""Photos as people have them: formats, EXIF, alpha, depth of colour, damage."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.images.photos import read_photo
from clue_ros.types import InvalidImageError


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff", "ppm"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (30, 20), (200, 40, 40)).save(path)
    rgb = read_photo(path)
    assert rgb.shape == (20, 30, 3) and rgb.dtype == np.uint8 and rgb.flags.writeable
    assert abs(rgb[10, 15].astype(int) - (200, 40, 40)).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F", "LAB"])
def test_modes(tmp_path, mode):
    path = tmp_path / "a.tiff"
    Image.new(mode, (9, 7)).save(path)
    assert read_photo(path).shape == (7, 9, 3)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 20, 20))  # left half blue
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    rgb = read_photo(tmp_path / "a.jpg")
    assert rgb.shape == (40, 20, 3)
    assert rgb[5, 10, 2] > 200 and rgb[35, 10, 0] > 200, "the left half is now on top"


def test_alpha_is_dropped_on_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.save(tmp_path / "a.png")
    rgb = read_photo(tmp_path / "a.png")
    assert tuple(rgb[0, 0]) == (10, 20, 30) and tuple(rgb[3, 3]) == (255, 255, 255)


def test_sixteen_bits_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 255]
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "f.tiff")
    assert read_photo(tmp_path / "f.tiff")[0, :, 0].tolist() == [0, 128, 255]


def test_greys_of_fewer_bits(tmp_path):
    Image.fromarray(np.array([[0, 2048, 4095, 9000]], np.uint16)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png", 12)[0, :, 0].tolist() == [0, 128, 255, 255]
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "f.tiff")
    assert read_photo(tmp_path / "f.tiff", 12)[0, :, 0].tolist() == [0, 128, 255], "floats have no bits"


def test_huge_image(tmp_path):
    Image.new("L", (13000, 7500), 77).save(tmp_path / "huge.png")  # 97 megapixels: above Pillow's own warning
    assert read_photo(tmp_path / "huge.png").shape == (7500, 13000, 3)


def test_damaged_and_foreign_files_name_themselves(tmp_path):
    Image.effect_noise((200, 200), 50).convert("RGB").save(tmp_path / "cut.jpg")
    Image.effect_noise((200, 200), 50).save(tmp_path / "cut.png")
    for name in ("cut.jpg", "cut.png"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("cut.jpg", "cut.png", "text.png", "empty.png", "folder.png", "missing.png"):
        with pytest.raises(InvalidImageError, match=name) as caught:
            read_photo(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_random_damage_is_read_or_refused_and_nothing_else(tmp_path, form):
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((40, 40), 60).convert("RGB").save(
        path, form, **({} if form in ("GIF", "BMP") else {"exif": exif})
    )
    whole = path.read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 300), size=4):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert read_photo(path).dtype == np.uint8
        except InvalidImageError as error:
            assert "damaged" in str(error)
