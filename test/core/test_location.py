"""The <loc> codec: order, bounds and round trip."""

from hypothesis import given
from hypothesis import strategies as st

from clue_ros.location import bins_to_box, box_to_bins, box_to_text, from_bin, point_to_text, to_bin, token
from clue_ros.types import Box

unit = st.floats(0, 1, allow_nan=False)


@given(unit)
def test_a_coordinate_comes_back_within_half_a_bin(value):
    assert abs(from_bin(to_bin(value)) - value) <= 0.5 / 1023 + 1e-9


@given(st.floats(-5, 5, allow_nan=False))
def test_coordinates_outside_the_image_are_clipped(value):
    assert 0 <= to_bin(value) <= 1023


@given(unit, unit, unit, unit, st.integers(8, 4000), st.integers(8, 4000))
def test_a_box_comes_back_within_half_a_bin_of_the_image(a, b, c, d, width, height):
    box = Box(min(a, b) * width, min(c, d) * height, max(a, b) * width, max(c, d) * height)
    bins = box_to_bins(box, width, height)
    assert box_to_text(box, width, height) == "".join(map(token, bins))
    back = bins_to_box(bins, width, height)
    assert abs(back.x0 - box.x0) <= width / 2046 + 1e-6 and abs(back.x1 - box.x1) <= width / 2046 + 1e-6
    assert abs(back.y0 - box.y0) <= height / 2046 + 1e-6 and abs(back.y1 - box.y1) <= height / 2046 + 1e-6


def test_the_order_is_ymin_xmin_ymax_xmax():
    assert box_to_bins(Box(10, 20, 50, 80), 100, 100) == (to_bin(0.2), to_bin(0.1), to_bin(0.8), to_bin(0.5))
    assert box_to_text(Box(0, 0, 100, 100), 100, 100) == "<loc0000><loc0000><loc1023><loc1023>"


def test_a_click_is_y_then_x():
    assert point_to_text((100, 0), 100, 100) == "<loc0000><loc1023>"


def test_corners_in_the_wrong_order_are_swapped():
    assert bins_to_box((1023, 1023, 0, 0), 10, 20) == Box(0, 0, 10, 20)
