"""Images go through cv_bridge where it gives what our own converter gives, and through our own everywhere else."""

from __future__ import annotations

import os
import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.images.encodings import ImageMessageError
from clue_ros.images.messages import image_to_rgb
from clue_ros.ros.wire import bridge
from clue_ros.ros.wire.conversions import message_to_rgb

# As much of the real one as is used, with its habits: rgb8 from these encodings, padded rows sheared. (The real one
# agrees with our own in 10 encodings.) Of its Bayer pattern it makes another than ours, as a version of other
# conventions would.
STAND_IN = """
import cv2
import numpy as np

asked = []


class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding):
        asked.append(msg.encoding)
        assert desired_encoding == "rgb8"
        channels = {"bgr8": 3, "mono8": 1, "bayer_rggb8": 1}[msg.encoding]  # KeyError: the real one's CvBridgeError
        pixels = np.ndarray((msg.height, msg.step // channels, channels), np.uint8, bytes(msg.data))[:, : msg.width]
        if msg.encoding == "bayer_rggb8":
            return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BayerRG2RGB)
        return {"bgr8": pixels[..., ::-1], "mono8": np.repeat(pixels, 3, axis=2)}[msg.encoding]
"""
CRASHES = """
import os
import signal


class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def install(monkeypatch, tmp_path):
    """install(source of a cv_bridge) -> the lines of the log, when it has been tried out."""
    lines, find = [], bridge.find_bridge
    logger = types.SimpleNamespace(info=lines.append, warning=lines.append)
    monkeypatch.setattr(bridge, "get_logger", lambda name: logger)
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)

    def install(source):
        (tmp_path / "cv_bridge").mkdir()
        (tmp_path / "cv_bridge" / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        bridge.find_bridge.cache_clear()
        bridge.find_bridge().result(300)
        return lines

    yield install
    find.cache_clear()
    sys.modules.pop("cv_bridge", None)


def asked():
    return sys.modules["cv_bridge"].asked


def noise(encoding, size, step=0, height=5, width=7):
    step = step or width * size
    data = np.random.default_rng(3).integers(0, 256, height * step, np.uint8).tobytes()
    return Image(height=height, width=width, encoding=encoding, step=step, data=data)


def test_where_both_agree_cv_bridge_converts_and_all_else_stays_with_our_own(install):
    lines = install(STAND_IN)
    assert lines == ["images of bgr8, mono8 are converted by cv_bridge"]
    for encoding, size in (("bgr8", 3), ("mono8", 1)):
        before, message = len(asked()), noise(encoding, size)
        pixels = message_to_rgb(message)
        assert np.array_equal(pixels, image_to_rgb(message)) and pixels.flags.c_contiguous
        assert asked()[before:] == [encoding]
    for message in (
        noise("bayer_rggb8", 1, height=6, width=8),
        noise("rgba8", 4),
        noise("mono16", 2),
        noise("rgb8", 3),
        noise("bgr8", 3, step=24),
    ):
        before = len(asked())
        assert np.array_equal(message_to_rgb(message), image_to_rgb(message)) and len(asked()) == before


def test_broken_and_compressed_images_get_our_own_errors_and_codecs(install):
    install(STAND_IN)
    whole = noise("bgr8", 3)
    short = Image(height=5, width=7, encoding="bgr8", step=21, data=bytes(whole.data)[:50])
    for message in (short, Image(encoding="bgr8"), Image(height=5, width=7, encoding="bgr8", step=3, data=bytes(15))):
        with pytest.raises(ImageMessageError):
            message_to_rgb(message)
    coded = CompressedImage(format="png", data=cv2.imencode(".png", np.full((4, 4, 3), 9, np.uint8))[1].tobytes())
    assert (message_to_rgb(coded) == 9).all()


@pytest.mark.parametrize(
    "source, says",
    [
        (CRASHES, "ends the process with SIGSEGV, as one for another numpy than"),
        (
            "raise ImportError('numpy.core.multiarray failed to import')",
            "ImportError: numpy.core.multiarray failed to import",
        ),
        ("import cv_bridge.boost", "No module named 'cv_bridge.boost'"),
        (
            STAND_IN.replace("pixels[..., ::-1]", "pixels").replace("np.repeat(pixels, 3, axis=2)", "pixels"),
            "it gives other pixels",
        ),
    ],
    ids=["a crash", "an error", "half of it", "none equal"],
)
def test_one_that_does_not_fit_costs_one_line_and_no_process(install, capfd, source, says):
    (line,) = install(source)
    assert says in line and "images are converted without it, with the same result" in line
    message = noise("bgr8", 3)
    assert np.array_equal(message_to_rgb(message), image_to_rgb(message))
    assert capfd.readouterr().err == ""


def test_frames_do_not_wait_for_the_trial(monkeypatch):
    monkeypatch.setattr(bridge, "find_bridge", bridge.Future)  # never done
    assert message_to_rgb(noise("bgr8", 3)).shape == (5, 7, 3)


def test_where_it_is_not_installed_nothing_is_said_or_started(install, monkeypatch):
    monkeypatch.setattr(bridge.importlib.util, "find_spec", lambda name: None)
    bridge.find_bridge.cache_clear()
    assert bridge.find_bridge().done() and bridge.find_bridge().result() is None
    assert message_to_rgb(noise("bgr8", 3)).shape == (5, 7, 3)


@pytest.mark.parametrize("encoding", bridge.CANDIDATES)
def test_really_every_encoding_that_goes_through_it_is_equal(encoding):
    pytest.importorskip("cv_bridge", reason="cv_bridge is not on PyPI: this runs where ROS is installed")
    found = bridge.find_bridge().result(120)
    if found is None or encoding not in found.equal:
        pytest.skip("our own converter's")
    message = noise(encoding, bridge.CANDIDATES[encoding], height=48, width=64)
    assert np.array_equal(bridge.through_cv_bridge(message), image_to_rgb(message))
