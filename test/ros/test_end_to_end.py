"""The node with the embedded model: a rendered scene, real DDS, real weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import FRAME, SUCCEEDED, Bench, wait_until
from std_msgs.msg import Header

import clue_ros
from clue_ros.action import Ground
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.types import ClueError

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
CLEAR, ABSENT = 0, 4  # indices of episodes, see derive_episode


@pytest.fixture
def stage():
    from clue_ros.ros.demonstration.scripted_scene import Stage

    if not any(MODEL.glob("*.safetensors")):
        pytest.skip(f"the embedded model is not in {MODEL} yet")
    stage = Stage(0)
    try:
        stage.render(0)
    except ClueError as error:
        pytest.skip(str(error))
    yield stage
    stage.close()


def test_embedded_model(domain, stage):
    from clue_ros.evaluation.episode_runner import truth_box_of
    from clue_ros.geometry import box_iou
    from clue_ros.ros.running.loading import load_grounder
    from clue_ros.ros.wire.messages import msg_to_box

    bench = Bench(factory=load_grounder, camera=False)
    try:
        overlaps = []
        for turn in range(3):
            episode, view = stage.render(CLEAR + 6 * turn)
            image = rgb_to_image(view.rgb, Header(frame_id=FRAME))
            status, result = bench.goal(
                episode.expression, image=image, ambiguity_policy=Ground.Goal.BEST_GUESS
            ).finish(120.0)
            assert result.inference_time > 0 and result.error_code in (Ground.Result.NONE, Ground.Result.NOT_FOUND)
            if status == SUCCEEDED:
                overlaps.append(box_iou(msg_to_box(result.target.box), truth_box_of(view, episode)))
        assert sum(overlap >= 0.5 for overlap in overlaps) >= 2, overlaps
        _, result = bench.goal("the zyzzyva", image=image).finish(120.0)
        assert result.error_code == Ground.Result.UNKNOWN_WORDS and "zyzzyva" in result.error_msg
        wait_until(lambda: bench.ambiguities)
        assert bench.ambiguities[0].map_width * bench.ambiguities[0].map_height == len(bench.ambiguities[0].map)
    finally:
        bench.close()


def test_corrections_in_the_models_own_words(domain, stage):
    """Two things of a kind: the person is understood, the robot finds one, and is told that it is the other one."""
    from clue_ros.evaluation.corrections import name_of
    from clue_ros.geometry import box_iou
    from clue_ros.ros.running.loading import load_grounder
    from clue_ros.ros.wire.messages import msg_to_box

    bench = Bench(factory=load_grounder, camera=False, speech_mode="start")
    right = []
    try:
        for number, index in enumerate((1, 2, 7, 8)):  # ambiguous by colour, by position, twice
            episode, view = stage.render(index)
            kind = view.objects[episode.target_index].category
            pair = [i for i, item in enumerate(view.objects) if item.category == kind]
            other = view.objects[next(i for i in pair if i != episode.target_index)].box
            image = rgb_to_image(view.rgb, Header(frame_id=FRAME))
            goal = bench.goal(episode.expression, image=image, answer_timeout=600.0)
            wait_until(lambda goal=goal: goal.done or goal.reached(Ground.Feedback.WAITING_FOR_ANSWER), 120.0)
            if not goal.done:
                x, y = view.objects[episode.target_index].box.center
                assert bench.answer(kind=1, x=x, y=y).accepted
            status, result = goal.finish(120.0)
            if status != SUCCEEDED or box_iou(msg_to_box(result.target.box), other) >= 0.5:
                continue  # it found the other one at once: nothing to correct
            named = name_of(next(i for i in pair if i != episode.target_index), pair, view.objects)
            words = "the other one" if number % 2 else f"no, the {next(iter(named.values()))} one"
            bench.say(words)
            ended = lambda goal=goal: [c for c in bench.corrections if c.corrects == goal.id and c.state != c.REOPENED]
            correction = wait_until(ended, 120.0, words)[0]
            right.append(correction.state == correction.CORRECTED
                         and box_iou(msg_to_box(correction.target.box), other) >= 0.5)  # fmt: skip
    finally:
        bench.close()
    assert len(right) >= 2 and sum(right) >= len(right) - 1, right


def test_a_download_that_nobody_trained(domain, taught_dir):
    """The layout, names and vocabulary of PaliGemma 2: stock mode asks by colour, is answered, and denies a kettle."""
    import taught_model

    from clue_ros.geometry import box_iou
    from clue_ros.ros.running.loading import load_grounder
    from clue_ros.ros.wire.messages import msg_to_box
    from clue_ros.types import Box

    bench = Bench(factory=load_grounder, camera=False, model=str(taught_dir))
    try:
        image = rgb_to_image(taught_model.table(), Header(frame_id=FRAME))
        goal = bench.goal("hand me the mug", image=image, answer_timeout=600.0)
        wait_until(lambda: goal.done or goal.reached(Ground.Feedback.WAITING_FOR_ANSWER))
        bench.hear("Do you mean the red mug or the blue mug?")
        assert bench.answer(kind=0, text="the blue one").accepted
        status, result = goal.finish()
        assert status == SUCCEEDED
        assert box_iou(msg_to_box(result.target.box), Box(*map(float, taught_model.RIGHT))) > 0.97
        _, result = bench.goal("the kettle", image=image).finish()
        assert result.error_code == Ground.Result.NOT_FOUND
    finally:
        bench.close()
