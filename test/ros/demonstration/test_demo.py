"""The demo as its user runs it: processes over DDS, pictures, summary, clean ends. The node's Grounder is scripted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from bench import wait_until
from conftest import HERE

from clue_ros.types import ClueError

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module", autouse=True)
def opengl():
    """The camera needs MuJoCo and OpenGL."""
    from clue_ros.ros.demonstration.scripted_scene import Stage

    stage = Stage(0)
    try:
        stage.render(0)
    except ClueError as error:
        pytest.skip(str(error))
    finally:
        stage.close()


def start(output, *arguments, module="scripted_node", **streams):
    paths = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    command = [sys.executable, "-m", "clue_ros.ros.demo", "--output", str(output), "--node-module", module, *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, **streams}
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, cwd=output, text=True, **streams)


def left_over(output) -> list:
    """Processes that still have the demo's log folder as their working directory."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{process}/cwd").startswith(str(output)):
                found.append(process)
        except OSError:
            continue
    return found


def test_six_episodes(tmp_path):
    demo = start(tmp_path)
    text, _ = demo.communicate(timeout=600)
    assert demo.returncode == 0, text
    assert "6 of 6 episodes as they should be" in text, text
    assert "P(ambiguous) 0.90" in text and "I see it." in text
    episodes = json.loads((tmp_path / "summary.json").read_text())["episodes"]
    assert [row["truth"] for row in episodes] == ["clear", *["ambiguous"] * 3, "absent", "ambiguous"]
    assert [len(row["questions"]) for row in episodes] == [0, 1, 1, 2, 0, 1]
    assert [row["outcome"] for row in episodes] == ["found"] * 4 + ["not_found", "found"]
    for row in episodes:
        assert row["expression"] and row["latency_s"] > 0 and 0 <= row["probability"] <= 1
        assert len(row["answers"]) == len(row["questions"])
        if row["truth"] == "absent":
            assert row["iou"] is None and row["box"] is None
        else:
            assert row["iou"] > 0.9 and len(row["box"]) == 4
    assert episodes[-1]["answers"][0].startswith("(click ")
    pictures = sorted(tmp_path.glob("episode_*.png"))
    assert len(pictures) == 6
    assert all(cv2.imread(str(path)).shape[1] == 1280 for path in pictures)
    assert not left_over(tmp_path)


def test_ctrl_c_leaves_nothing_behind_also_when_it_is_pressed_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # its lines have characters that ASCII lacks
    demo = start(tmp_path)
    wait_until(lambda: len(left_over(tmp_path)) >= 4, 300)
    time.sleep(1.0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        demo.send_signal(number)
        time.sleep(0.05)
    text, _ = demo.communicate(timeout=600)
    assert demo.returncode == 130 and "stopped" in text and "Traceback" not in text, text
    assert not left_over(tmp_path)


def test_a_model_that_does_not_load_is_named(tmp_path):
    demo = start(tmp_path, "--model", str(tmp_path / "broken"))
    text, _ = demo.communicate(timeout=600)
    assert demo.returncode == 1 and "a model that does not load" in text, text
    assert not left_over(tmp_path)


def test_somebody_at_the_terminal(tmp_path):
    from clue_ros.evaluation.episode_runner import derive_episode

    # Words that the scripted node asks one question about, whatever stands on the table.
    said = next(e.expression for e in (derive_episode(0, i) for i in range(6)) if e.kind.value == "ambiguous_color")
    demo = start(tmp_path, "--person", "me", "--episodes", "1", stdin=subprocess.PIPE)
    demo.stdin.write(f"{said}\nthe red one\n")
    demo.stdin.flush()
    assert demo.wait(600) == 0
    row = json.loads((tmp_path / "summary.json").read_text())["episodes"][0]
    assert (row["expression"], row["answers"], row["outcome"]) == (said, ["the red one"], "found")
    assert row["truth"] == "unknown" and row["iou"] is None
    assert not left_over(tmp_path)
