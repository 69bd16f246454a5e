"""The parts of the demo as `make demo` runs them: the real nodes, the embedded model, every picture from what came over
DDS.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from clue_ros.types import ClueError

cv2 = pytest.importorskip("cv2")


@pytest.fixture(autouse=True)
def opengl():
    from clue_ros.ros.demonstration.scripted_scene import Stage

    stage = Stage(0)
    try:
        stage.render(0)
    except ClueError as error:
        pytest.skip(str(error))
    finally:
        stage.close()


def test_masks_pointing_belief_chat_teaching_and_dialogue_of_the_real_model_after_an_episode(tmp_path):
    """Without focus, which loads a model of its own: test_focus.py has it."""
    parts = ("masks", "pointing", "belief", "chat", "teaching", "dialogue")
    command = [sys.executable, "-m", "clue_ros.ros.demo", "--output", str(tmp_path), "--episodes", "1", "--parts"]
    ran = subprocess.run([*command, *parts], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list((tmp_path / "logs").glob("clue_node*"))) == 1 and list(tmp_path.glob("episode_1_*.png"))
    for part in parts:
        picture = cv2.imread(str(tmp_path / "parts" / f"{part}.png"))
        assert picture is not None and picture.shape[1] == 1200 and picture.std() > 20, part


def test_a_model_that_does_not_load_is_told(tmp_path):
    command = [sys.executable, "-m", "clue_ros.ros.demo_parts", "--output", str(tmp_path), "--only", "chat", "--model",
               str(tmp_path / "none")]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 1 and "not active" in ran.stdout and "none" in ran.stdout, ran.stdout
    assert not list(tmp_path.glob("*.png"))
