"""The node with the embedded model: a rendered scene, real DDS, real weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import FRAME, SUCCEEDED, Bench, wait_until
from std_msgs.msg import Header

import clue_ros
from clue_ros.action import Ground
from clue_ros.ros.conversions import rgb_to_image
from clue_ros.types import ClueError

MODEL = Path(clue_ros.__file__).parent / "models" / "tabletop"
CLEAR, ABSENT = 0, 4  # indices of episodes, see derive_episode


@pytest.fixture
def stage():
    from clue_ros.ros.scripted_scene import Stage

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
    from clue_ros.evaluation.metrics import box_iou
    from clue_ros.evaluation.episode_runner import truth_box_of
    from clue_ros.ros.loading import load_grounder
    from clue_ros.ros.messages import msg_to_box

    bench = Bench(factory=load_grounder, camera=False)
    try:
        overlaps = []
        for turn in range(3):
            episode, view = stage.render(CLEAR + 6 * turn)
            image = rgb_to_image(view.rgb, Header(frame_id=FRAME))
            status, result = bench.goal(
                episode.expression, image=image, ambiguity_policy=Ground.Goal.BEST_GUESS
            ).finish(60.0)
            assert result.inference_time > 0 and result.error_code in (Ground.Result.NONE, Ground.Result.NOT_FOUND)
            if status == SUCCEEDED:
                overlaps.append(box_iou(msg_to_box(result.target.box), truth_box_of(view, episode)))
        assert sum(overlap >= 0.5 for overlap in overlaps) >= 2, overlaps
        _, result = bench.goal("the zyzzyva", image=image).finish(60.0)
        assert result.error_code == Ground.Result.UNKNOWN_WORDS and "zyzzyva" in result.error_msg
        wait_until(lambda: bench.ambiguities)
        assert bench.ambiguities[0].map_width * bench.ambiguities[0].map_height == len(bench.ambiguities[0].map)
    finally:
        bench.close()
