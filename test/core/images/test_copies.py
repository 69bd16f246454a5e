"""Copies of a picture in another encoding or size are known by their looks, other pictures are not."""

import numpy as np
import pytest
from PIL import Image

from clue_ros.images.copies import Looks, load_looks, look_of, save_looks
from clue_ros.images.files import verify_image
from clue_ros.types import ClueError


def photo(seed: int, width: int = 200, height: int = 150) -> Image.Image:
    """Blobs and noise, as large and as small as a photo has them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
    coarse = coarse.resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(-12, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse).astype(int) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "name, size, options",
    [("a.jpg", None, {"quality": 30}), ("a.webp", (448, 448), {"quality": 40}), ("a.png", (131, 97), {})],
)
def test_a_copy_in_another_form_is_found(tmp_path, name, size, options):
    photos = [photo(n) for n in range(9)]
    known = Looks([look_of(np.asarray(p)) for p in photos])
    for n in (0, 8):
        (photos[n] if size is None else photos[n].resize(size)).save(tmp_path / name, **options)
        assert known.copy_of(look_of(verify_image(tmp_path / name, size or photos[n].size))) == n
    assert known.copy_of(look_of(np.ascontiguousarray(np.asarray(photos[1])[:, ::-1]))) == 1  # mirrored
    assert known.copy_of(look_of(np.asarray(photo(40)))) is None
    assert Looks([]).copy_of(look_of(np.asarray(photo(1)))) is None


def test_one_thing_of_another_colour_is_another_picture():
    plain = np.full((240, 320, 3), 90, np.uint8)
    other = plain.copy()
    other[100:140, 100:140] = (200, 30, 30)
    assert Looks([look_of(plain)]).copy_of(look_of(other)) is None
    assert Looks([look_of(plain)]).copy_of(look_of(plain + 3)) == 0


def test_looks_lie_in_a_file_without_pickles(tmp_path):
    looks = [look_of(np.asarray(photo(n))) for n in range(3)]
    save_looks(tmp_path / "images.npy", looks)
    assert (load_looks(tmp_path / "images.npy") == looks).all()
    np.save(tmp_path / "other.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("other.npy", "none.npy"):
        with pytest.raises(ClueError):
            load_looks(tmp_path / name)
