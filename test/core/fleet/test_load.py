"""`clue fleet` and `clue serve`: dialogues through a bad line, the files it writes, a server that is told to stop."""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import threading

import numpy as np

from clue_ros.cli import main as cli
from clue_ros.fleet import load
from clue_ros.fleet.cut_line import CutLine
from clue_ros.fleet.remote import RemoteGrounder
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, Turn

SCRIPT = {load.WORDS: [Say.ask(load.QUESTION, box=load.FOUND), Say.found(load.FOUND)]}


def test_no_dialogue_is_lost_on_a_line_that_is_cut(serve):
    server = serve(ScriptedGrounder(SCRIPT))
    ended = []

    def dialogues(number):
        robot = RemoteGrounder.open(f"{line.url}?patience=120", "", f"r{number}")
        for level in range(12):
            seen = robot.encode(np.full((60, 90, 3), level, np.uint8))
            asked = robot.ground(seen, load.WORDS).question
            ended.append(robot.ground(seen, load.WORDS, [Turn(asked, Answer("left"))]).box)
        robot.close()

    with CutLine(server.url, 0.3) as line:
        load.all_at_once([lambda n=n: dialogues(n) for n in range(3)])
        assert line.cut > 5 and line.exchanges > line.cut
    assert ended == [load.FOUND] * 36


def test_what_counts_as_the_same_decision():
    box, other = Box(1.0, 2.0, 30.0, 40.0), Box(1.0, 2.3, 30.0, 40.0)
    found = ("found", box, "", 0.9)
    assert load.alike(
        [found, ("ask", None, "which?", 0.0)], [("found", other, "", 0.905), ("ask", None, "which?", 0.0)]
    )
    for wrong in (
        ("found", Box(1.0, 2.0, 31.0, 40.0), "", 0.9), ("found", box, "", 0.8), ("not_found", None, "", 0.9),
        ("found", None, "", 0.9), ("found", box, "which?", 0.9),
    ):  # fmt: skip
        assert not load.alike([found], [wrong])
    assert not load.alike([found], [found, found])


def test_the_table_compares_the_same_dialogues(serve, tmp_path):
    server = serve(ScriptedGrounder())
    speed = load.speed(ScriptedGrounder(), server.url, 3, 2, 0, "", lambda text: None)
    assert speed["equal_decisions"] and speed["dialogues"] == 6 and len(speed["seconds"]) == 3
    assert speed["throughput"] > 0 and speed["p99_s"] >= speed["p50_s"] > 0 and speed["slowest_over_median"] >= 1
    load.write({"speed": speed, "lost": {}}, tmp_path)
    assert json.loads((tmp_path / "fleet.json").read_text())["speed"]["robots"] == 3
    lines = (tmp_path / "fleet.csv").read_text().splitlines()
    assert len(lines) == 1 + speed["requests"] and (tmp_path / "fleet.png").stat().st_size > 1000


class Heard(io.StringIO):
    """A standard output whose lines are given to who waits for one. (capfd drops what is written while it is read.)"""

    def __init__(self):
        super().__init__()
        self.lines = queue.Queue()

    def write(self, text):
        self.lines.put(text)
        return super().write(text)


def test_clue_serve_serves_until_it_is_told_to_stop(tiny_model_dir, monkeypatch):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    asked, out = [], Heard()

    def robot():
        try:
            line = ""
            while "serving on " not in line:
                line = out.lines.get(timeout=120.0)
            grounder = RemoteGrounder.open(line.split("serving on ")[1].split()[0], "")
            asked.append(grounder.ground(np.zeros((48, 64, 3), np.uint8), "the mug").outcome)
            grounder.close()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("sys.stdout", out)
    thread = threading.Thread(target=robot)
    thread.start()
    try:
        assert cli.main(["serve", "--without-ray", "--port", "0", "--model", str(tiny_model_dir)]) == 0
    finally:
        thread.join(120.0)
    assert len(asked) == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_serving_to_others_needs_a_token_and_ray_is_named(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["serve", "--without-ray", "--host", "0.0.0.0"]) == 2
    assert "--token-file" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert cli.main(["serve"]) == 2
    assert "clue_ros[fleet]" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before  # or Ctrl-C ends nothing any more in this process
