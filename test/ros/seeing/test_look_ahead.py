"""See before being asked: what is run ahead, when it is taken, and that it never stands in the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bench import FRAME, SUCCEEDED, TIMEOUT, Bench, wait_until
from rclpy.parameter import Parameter
from std_msgs.msg import Header

import clue_ros
from clue_ros.action import Ground
from clue_ros.ros.seeing.sight import Glance, Sight, difference, thumbnail
from clue_ros.ros.serving import look_ahead
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.messages import stamp_to_seconds
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import OutOfMemoryError

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
FAST = {"look_ahead_rate": 30.0}


@pytest.fixture(autouse=True)
def no_renewal(monkeypatch):
    monkeypatch.setattr(look_ahead, "RENEW_S", 3600.0)


def picture(value=90, spot=None):
    """A grey frame; `spot` (row, column) has a bright square of 12 pixels."""
    pixels = np.full((48, 64, 3), value, np.uint8)
    if spot is not None:
        pixels[spot[0] : spot[0] + 12, spot[1] : spot[1] + 12] = 250
    return pixels


def frame(*args, **kwargs):
    return rgb_to_image(picture(*args, **kwargs), Header(frame_id=FRAME))


def settled(bench):
    """Waits until what the camera shows was run ahead and no look is on the way."""
    wait_until(lambda: bench.grounder.looks and np.array_equal(bench.grounder.looks[-1], _pixels(bench)))


def look_no_more(bench, monkeypatch):
    """From now on nothing is run ahead; what was is kept."""
    ahead = bench.node._look_ahead
    monkeypatch.setattr(ahead._sight, "look", lambda *_, **__: Glance.SAME)
    wait_until(lambda: bench.node_spinner.call(lambda: ahead._job is None))


def shown(bench):
    """Waits until the node has what the camera shows."""
    wait_until(lambda: bytes(bench.eye._frame.message.data) == bytes(bench.image.data))


def _pixels(bench):
    return np.frombuffer(bench.image.data, np.uint8).reshape(bench.image.height, bench.image.width, 3)


def test_a_goal_takes_the_seen_frame(make_bench):
    bench = make_bench()
    settled(bench)
    bench.sees(10)
    assert len(bench.grounder.looks) == 1, "an unchanged scene is looked at once"
    status, result = bench.ground("the mug")
    assert status == SUCCEEDED and result.seen_ahead
    assert bench.detect("the cup").success
    assert len(bench.grounder.images) == 1, "nothing was encoded again"
    assert 0 < result.response_time and result.inference_time <= result.response_time


def test_the_header_is_the_newest_frames(make_bench):
    bench = make_bench()
    settled(bench)
    bench.sees(10)
    newest = stamp_to_seconds(bench.eye._frame.message.header.stamp)
    result = bench.ground("the mug")[1]
    assert len(bench.grounder.looks) == 1, "a frame of long ago"
    assert result.seen_ahead and stamp_to_seconds(result.target.header.stamp) >= newest


def test_a_changed_scene_is_looked_at_again_and_never_confused(make_bench, monkeypatch):
    bench = make_bench(**FAST)
    settled(bench)
    for column in (4, 20, 40):
        bench.image = frame(spot=(10, column))
        settled(bench)
    look_no_more(bench, monkeypatch)
    bench.image = frame(spot=(30, 30))
    shown(bench)
    result = bench.ground("the mug")[1]
    assert np.array_equal(bench.grounder.used[-1], _pixels(bench)), "the goal is about what the camera shows now"
    assert not result.seen_ahead


def test_the_budget(make_bench):
    bench = make_bench(look_ahead_rate=2.0)
    settled(bench)
    begun, before = time.monotonic(), len(bench.grounder.looks)
    for step in range(5):
        bench.image = frame(value=10 + 30 * step)
        settled(bench)
    spent = time.monotonic() - begun
    assert 5 <= len(bench.grounder.looks) - before <= spent * 2.0 + look_ahead.BURST


def test_what_rests_again_is_looked_at_at_once(make_bench, monkeypatch):
    """Not at the next of the regular comparisons: words may come right after the change."""
    monkeypatch.setattr(look_ahead, "CHECK_S", 3600.0)
    bench = make_bench(look_ahead_rate=0.1)  # ten seconds between two looks, were it not changed below
    settled(bench)
    looks = len(bench.grounder.looks)
    wait_until(lambda: bench.node_spinner.call(lambda: bench.node._look_ahead._job is None))
    bench.node_spinner.call(lambda: setattr(bench.node._look_ahead, "_not_before", 0.0))
    bench.sees(10)  # frames are compared
    bench.image = frame(spot=(10, 20))
    settled(bench)
    assert len(bench.grounder.looks) == looks + 1


def test_what_moves_is_not_looked_at_until_it_rests(make_bench):
    bench = make_bench(**FAST)
    settled(bench)
    before, levels = len(bench.grounder.looks), list(range(250, 10, -4))
    still, bench.image = bench.image, None

    def move():
        """Each frame is another picture, however slowly they come."""
        message = frame(value=levels.pop() if levels else 250)
        message.header.stamp = bench.client.get_clock().now().to_msg()
        bench.image_publisher.publish(message)

    timer = bench.client.create_timer(0.03, move)
    wait_until(lambda: not levels)
    assert len(bench.grounder.looks) - before <= 2, "the first that differs, and the one at rest at the end"
    bench.spinner.call(lambda: bench.client.destroy_timer(timer))
    bench.image = still
    settled(bench)


def test_a_seen_frame_is_renewed_after_a_while(make_bench, monkeypatch):
    monkeypatch.setattr(look_ahead, "RENEW_S", 0.4)
    bench = make_bench(**FAST)
    wait_until(lambda: len(bench.grounder.looks) >= 3)
    assert bench.ground("the mug")[0] == SUCCEEDED


def test_switched_off(make_bench):
    bench = make_bench(look_ahead=False)
    assert not bench.ground("the mug")[1].seen_ahead
    assert not bench.ground("the cup")[1].seen_ahead
    assert not bench.grounder.looks and len(bench.grounder.images) == 2
    bench.node.set_parameters([Parameter("look_ahead", value=True)])
    settled(bench)
    bench.node.set_parameters([Parameter("look_ahead", value=False)])
    assert not bench.ground("the mug")[1].seen_ahead


def test_tolerance_zero_takes_the_very_frame_only(make_bench, monkeypatch):
    bench = make_bench(look_ahead_tolerance=0.0)
    settled(bench)
    with monkeypatch.context() as patch:
        look_no_more(bench, patch)
        bench.sees(2)  # younger frames have come
        assert not bench.ground("the mug")[1].seen_ahead
    bench.image = None  # the camera stops: its last frame stays the newest
    sight = bench.node._look_ahead._sight
    wait_until(lambda: (seen := sight._seen) and seen.ahead and seen.message is bench.eye._frame.message)
    assert bench.ground("the mug")[1].seen_ahead


def test_a_goal_with_its_own_image_is_not_confused_with_the_camera(make_bench):
    bench = make_bench()
    settled(bench)
    image = rgb_to_image(picture(), Header(frame_id="other"))
    result = bench.ground("the mug", image=image)[1]
    assert not result.seen_ahead and result.target.header.frame_id == "other"


def test_no_look_while_a_dialogue_is_open(make_bench):
    bench = make_bench({"the mug": [Say.ask("Which?"), Say.found(delay_s=0.4)]}, **FAST)
    settled(bench)
    goal = bench.goal("the mug")
    bench.hear("Which?")
    before = len(bench.grounder.looks)
    bench.image = frame(spot=(5, 5))
    time.sleep(0.4)
    bench.say("red")
    assert goal.finish()[0] == SUCCEEDED
    assert len(bench.grounder.looks) <= before + 1
    settled(bench)  # afterwards again


class SlowEyes(ScriptedGrounder):
    """Encoding takes until it is told to end."""

    def __init__(self):
        super().__init__()
        self.end, self.looks_before = threading.Event(), None

    def encode(self, image):
        self.looking.set()
        assert self.end.wait(TIMEOUT)
        return super().encode(image)

    def ground(self, *args, **kwargs):
        self.looks_before = len(self.looks)
        return super().ground(*args, **kwargs)


def test_a_look_in_progress_gives_way_between_its_steps(make_bench):
    bench = make_bench(grounder=SlowEyes())
    assert bench.grounder.looking.wait(TIMEOUT)
    goal = bench.goal("the mug")
    wait_until(lambda: bench.node._inference.busy)
    bench.grounder.end.set()
    assert goal.finish()[0] == SUCCEEDED
    assert bench.grounder.looks_before == 0, "the rest of the encoding, but not the running ahead"
    assert len(bench.grounder.images) == 1, "what was encoded is used"


def test_deactivation_frees_the_seen_frame_and_stops_looking(make_bench):
    bench = make_bench(**FAST)
    settled(bench)
    sight = bench.node._look_ahead._sight
    wait_until(lambda: sight._seen is not None)
    bench.lifecycle("deactivate")
    assert sight._seen is None
    before = len(bench.grounder.looks)
    bench.image = frame(value=200)
    time.sleep(0.3)
    assert len(bench.grounder.looks) <= before + 1 and sight._seen is None
    bench.lifecycle("activate")
    settled(bench)


@pytest.mark.parametrize("error", [OutOfMemoryError("no memory left"), ValueError("boom")])
def test_a_look_that_fails_harms_nobody(make_bench, capfd, error):
    bench = make_bench(grounder=ScriptedGrounder(look_error=error), **FAST)
    wait_until(lambda: bench.grounder.looks)
    assert bench.ground("the mug")[0] == SUCCEEDED
    wait_until(lambda: "looking ahead failed" in capfd.readouterr().err)
    bench.sees(10)
    assert len(bench.grounder.looks) == 1, "it is not tried again at once"


def test_a_broken_camera_harms_nobody(make_bench):
    from sensor_msgs.msg import Image

    bench = make_bench(camera=False, **FAST)
    bench.start_camera(Image(encoding="rgb8", header=Header(frame_id=FRAME)))
    bench.sees(10)
    assert bench.ground("the mug")[1].error_code == Ground.Result.INVALID_IMAGE
    assert bench.ground("the mug", image=frame())[0] == SUCCEEDED
    bench.image = frame(spot=(3, 3))
    settled(bench)  # as soon as the camera sends pictures


def test_noise_passes_and_a_moved_thing_does_not():
    rng = np.random.default_rng(0)
    scene = np.clip(rng.normal(120, 20, (480, 640, 3)), 0, 255)
    scene[200:240, 300:340] = 200

    def seen(pixels):
        return thumbnail(np.clip(pixels + rng.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8))

    moved = np.roll(scene, 0, 0).copy()
    moved[200:240, 300:340] = 120
    moved[200:240, 310:350] = 200
    assert difference(seen(scene), seen(scene)) < 2.0 < difference(seen(scene), seen(moved))
    assert difference(seen(scene), seen(scene)) > 0
    for shape in ((1, 1, 3), (7, 2000, 3), (1080, 1920, 3)):
        assert thumbnail(np.full(shape, 77, np.uint8)).shape == (64, 64)
        assert np.all(thumbnail(np.full(shape, 77, np.uint8)) == 77)


def test_sight_keeps_one_frame_and_none_when_closed():
    grounder, sight = ScriptedGrounder(), Sight()
    message = frame()
    assert not sight.view(grounder, message, 2.0).ahead and sight._seen is None
    sight.open()
    assert sight.look(grounder, message, 2.0, 9.0, lambda: True) is Glance.LOOKED
    assert not grounder.looks, "stopped in between"
    assert not sight.view(grounder, message, 2.0).ahead
    assert sight.look(grounder, message, 2.0, 9.0, lambda: False) is Glance.LOOKED
    assert sight.look(grounder, frame(), 2.0, 9.0, lambda: False) is Glance.SAME, "nothing to do"
    view = sight.view(grounder, frame(), 2.0)
    assert view.ahead and len(grounder.images) == 2
    assert not sight.view(grounder, rgb_to_image(np.full((24, 64, 3), 90, np.uint8), Header()), 2.0).ahead
    sight.forget()
    assert sight._seen is None


def test_sight_waits_until_a_picture_rests():
    grounder, sight = ScriptedGrounder(), Sight()
    sight.open()
    found = [sight.look(grounder, frame(value), 2.0, 9.0, lambda: False) for value in (90, 90, 120, 150, 150, 150)]
    assert found == [getattr(Glance, name) for name in ("LOOKED", "SAME", "MOVING", "MOVING", "LOOKED", "SAME")]
    assert len(grounder.looks) == 2


def test_a_quick_sight_looks_at_the_first_change_too():
    grounder, sight = ScriptedGrounder(), Sight()
    sight.open()
    values = (90, 90, 120, 150, 180, 180, 180, 30, 30)
    found = [sight.look(grounder, frame(value), 2.0, 9.0, lambda: False, at_once=True) for value in values]
    names = ("LOOKED", "SAME", "LOOKED", "MOVING", "MOVING", "LOOKED", "SAME", "LOOKED", "SAME")
    assert found == [getattr(Glance, name) for name in names]


def test_embedded_model_decides_the_same(domain):
    """The same frame, seen ahead and not: same probability, same map, same box, same question."""
    if not any(MODEL.glob("*.safetensors")):
        pytest.skip(f"the embedded model is not in {MODEL} yet")
    pytest.importorskip("torch", reason="the real Grounder needs torch")
    from clue_ros.ros.running.loading import load_grounder

    rng = np.random.default_rng(3)
    pixels = np.clip(rng.normal(140, 30, (240, 320, 3)), 0, 255).astype(np.uint8)
    pixels[60:120, 40:100], pixels[130:190, 200:260] = (200, 30, 30), (30, 40, 200)
    results = {}
    bench = Bench(factory=load_grounder, camera=False, look_ahead_rate=30.0)
    try:
        bench.start_camera(rgb_to_image(pixels, Header(frame_id=FRAME)))
        for ahead in (True, False):
            bench.node.set_parameters([Parameter("look_ahead", value=ahead)])
            for policy in (Ground.Goal.BEST_GUESS, Ground.Goal.ASK):
                if ahead:
                    wait_until(lambda p=policy: _answered(bench, p).seen_ahead)
                bench.ambiguities.clear()
                result = _answered(bench, policy)
                assert result.seen_ahead is ahead
                wait_until(lambda: bench.ambiguities)
                results[ahead, policy] = result, bench.ambiguities[-1]
    finally:
        bench.close()
    for policy in (Ground.Goal.BEST_GUESS, Ground.Goal.ASK):
        (one, map_one), (other, map_other) = results[True, policy], results[False, policy]
        assert one.error_code == other.error_code and one.target.box == other.target.box
        assert [turn.text for turn in one.turns] == [turn.text for turn in other.turns]
        assert map_one.probability == map_other.probability and map_one.map == map_other.map
        assert one.target.confidence == other.target.confidence


def _answered(bench, policy):
    """The result of a goal; a question is answered with "never mind"."""
    heard = len(bench.utterances)
    goal = bench.goal("the mug", ambiguity_policy=policy)
    end = time.monotonic() + TIMEOUT
    while not goal.done and time.monotonic() < end:
        if any(words.endswith("?") for words in bench.utterances[heard:]):
            bench.say("never mind")
            break
        time.sleep(0.01)
    return goal.finish()[1]
