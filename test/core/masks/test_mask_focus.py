"""Pictures that keep what is active."""

import numpy as np
import pytest

from clue_ros.masks.focus import active_pixels, focused, smallest_box
from clue_ros.types import Box


def test_focus_keeps_what_is_active_and_nothing_else():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    heat = np.zeros((40, 60), np.float32)
    heat[10:20, 30:50] = 0.9
    active = active_pixels(heat, growth=0)
    assert smallest_box(active) == Box(30, 10, 50, 20) and smallest_box(active, 0.5) == Box(20, 5, 60, 25)
    grown = active_pixels(heat, growth=2 / 60)
    assert smallest_box(grown) == Box(28, 8, 52, 22) and (grown | active == grown).all()
    assert smallest_box(np.zeros((4, 4), bool)) is None
    for mode in ("overlay", "blur", "greyscale"):
        shown = focused(image, active, mode)
        assert shown.shape == image.shape and shown.dtype == np.uint8
        assert (shown[active] == image[active]).all() and (shown[~active] != image[~active]).any(-1).mean() > 0.9
    assert (focused(image, active, "overlay")[~active] == 127).all()
    grey = focused(image, active, "greyscale")[~active]
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 0] == grey[:, 2]).all()
    one = focused(image[..., 0], active, "blur")
    assert one.shape == (40, 60) and one[~active].std() < image[..., 0][~active].std() / 2
    assert focused(image, active, "crop") is image
    with pytest.raises(ValueError, match="overlay, blur"):
        focused(image, active, "sepia")
