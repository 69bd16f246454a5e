"""Images go through cv_bridge where it gives what our own converter gives, and through our own everywhere else."""

from __future__ import annotations

import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.image_messages import image_to_rgb
from clue_ros.ros import bridge
from clue_ros.ros.conversions import message_to_rgb


class StandIn:
    """As much of CvBridge as is used, with the habits of the real one: rgb8 from these encodings, padded rows sheared."""

    asked: list = []

    def imgmsg_to_cv2(self, msg, desired_encoding):
        self.asked.append(msg.encoding)
        assert desired_encoding == "rgb8"
        channels = {"rgb8": 3, "bgr8": 3, "mono8": 1, "bayer_rggb8": 1}[msg.encoding]  # KeyError: CvBridgeError of the real one
        pixels = np.ndarray((msg.height, msg.step // channels, channels), np.uint8, bytes(msg.data))[:, : msg.width]
        if msg.encoding == "bayer_rggb8":
            return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BayerRG2RGB)  # another pattern: not equal
        return {"rgb8": pixels, "bgr8": pixels[..., ::-1], "mono8": np.repeat(pixels, 3, axis=2)}[msg.encoding]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """installed(contents, or what raises on import) puts a cv_bridge there; the log's lines come back."""
    lines = []
    logger = types.SimpleNamespace(info=lines.append, warning=lines.append)
    monkeypatch.setattr(bridge, "get_logger", lambda name: logger)
    StandIn.asked = []

    def install(error="", **contents):
        if error:
            (tmp_path / "cv_bridge").mkdir()
            (tmp_path / "cv_bridge" / "__init__.py").write_text(f"import sys\nprint('a page', file=sys.stderr)\nraise {error}\n")
            monkeypatch.syspath_prepend(tmp_path)
            monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
        else:
            module = types.ModuleType("cv_bridge")
            vars(module).update(contents)
            monkeypatch.setitem(sys.modules, "cv_bridge", module)
        bridge.find_bridge.cache_clear()
        return lines

    yield install
    bridge.find_bridge.cache_clear()


def noise(encoding, size, step=0, height=5, width=7):
    step = step or width * size
    data = np.random.default_rng(3).integers(0, 256, height * step, np.uint8).tobytes()
    return Image(height=height, width=width, encoding=encoding, step=step, data=data)


@pytest.mark.parametrize("encoding, size", [("rgb8", 3), ("bgr8", 3), ("mono8", 1)])
def test_where_both_agree_cv_bridge_converts(installed, encoding, size):
    lines = installed(CvBridge=StandIn)
    message = noise(encoding, size)
    pixels = message_to_rgb(message)
    assert np.array_equal(pixels, image_to_rgb(message)) and StandIn.asked[-1] == encoding
    asked = len(StandIn.asked)
    message_to_rgb(message)
    assert len(StandIn.asked) == asked + 1, "which encodings are equal is asked once"
    assert lines == ["images of bgr8, mono8, rgb8 are converted by cv_bridge"]


@pytest.mark.parametrize("message", [
    noise("bayer_rggb8", 1, height=6, width=8), noise("rgba8", 4), noise("mono16", 2), noise("rgb8", 3, step=24),
], ids=["other pixels", "refused", "16 bits", "padded rows"])  # fmt: skip
def test_everything_else_stays_with_our_own(installed, message):
    installed(CvBridge=StandIn)
    bridge.find_bridge()
    asked = len(StandIn.asked)
    assert np.array_equal(message_to_rgb(message), image_to_rgb(message)) and len(StandIn.asked) == asked


def test_broken_and_compressed_images_get_our_own_errors_and_codecs(installed):
    installed(CvBridge=StandIn)
    from clue_ros.image_messages import ImageMessageError

    whole = noise("rgb8", 3)
    short = Image(height=5, width=7, encoding="rgb8", step=21, data=bytes(whole.data)[:50])
    for message in (short, Image(encoding="rgb8"), Image(height=5, width=7, encoding="rgb8", step=3, data=bytes(15))):
        with pytest.raises(ImageMessageError):
            message_to_rgb(message)
    coded = CompressedImage(format="png", data=cv2.imencode(".png", np.full((4, 4, 3), 9, np.uint8))[1].tobytes())
    assert (message_to_rgb(coded) == 9).all()


@pytest.mark.parametrize("error", [
    "ImportError('numpy.core.multiarray failed to import')", "AttributeError('_ARRAY_API not found')",
    "SystemError('initialization of cv_bridge_boost raised unreported exception')",
    "ModuleNotFoundError('No module named cv_bridge.boost', name='cv_bridge.boost')",
])  # fmt: skip
def test_a_cv_bridge_that_does_not_fit_numpy_costs_one_line(installed, capsys, error):
    lines = installed(error)
    message = noise("rgb8", 3)
    for _ in range(3):
        assert np.array_equal(message_to_rgb(message), image_to_rgb(message))
    (line,) = lines
    name, _, said = error.partition("('")
    assert name in line and said.partition("'")[0] in line and "converted without it" in line
    assert "a page" not in capsys.readouterr().err


def test_one_that_breaks_in_converting_costs_one_line(installed):
    class Breaks:
        def imgmsg_to_cv2(self, msg, desired_encoding):
            raise AttributeError("`newbyteorder` was removed from the ndarray class in NumPy 2.0")

    lines = installed(CvBridge=Breaks)
    assert np.array_equal(message_to_rgb(noise("bgr8", 3)), image_to_rgb(noise("bgr8", 3)))
    assert len(lines) == 1 and "newbyteorder" in lines[0]


def test_where_it_is_not_installed_nothing_is_said(installed, monkeypatch):
    lines = installed(CvBridge=StandIn)
    monkeypatch.setitem(sys.modules, "cv_bridge", None)  # import raises ModuleNotFoundError with this name
    assert message_to_rgb(noise("bgr8", 3)).shape == (5, 7, 3) and lines == []


@pytest.mark.parametrize("encoding", bridge.CANDIDATES)
def test_really_every_encoding_that_goes_through_it_is_equal(encoding):
    pytest.importorskip("cv_bridge", reason="cv_bridge is not on PyPI: this runs where ROS is installed")
    found = bridge.find_bridge()
    if found is None or encoding not in found.equal:
        pytest.skip("our own converter's")
    message = noise(encoding, bridge.CANDIDATES[encoding], height=48, width=64)
    assert np.array_equal(message_to_rgb(message), image_to_rgb(message))
