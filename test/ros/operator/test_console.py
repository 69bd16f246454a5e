"""The console against the real node over real DDS, and a page over a real WebSocket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from bench import FRAME, Spinner, wait_until
from exported_session import dialogues_of
from rclpy.parameter import Parameter
from short_lease import short_lease
from std_msgs.msg import Header
from test_answers import Held

from clue_ros.action import Ground
from clue_ros.console.client import open_page
from clue_ros.ros.console import Console
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.testing.fake_grounder import Say
from clue_ros.types import Box

QUESTION = "Do you mean the red mug or the blue mug?"
MUGS = [Say.ask(QUESTION), Say.found(Box(10, 20, 30, 40), confidence=0.75, probability=0.2)]
LIMIT_S = 120.0


@pytest.fixture
def run(make_bench):
    """run(script, **parameters of the console) -> (bench, console node): both active and connected."""
    consoles = []

    def start(script=None, node=None, **parameters):
        bench = make_bench(script or {}, still=True, **(node or {}))
        overrides = [Parameter(name, value=value) for name, value in {"port": 0, **parameters}.items()]
        console = Console(parameter_overrides=overrides)
        spinner = Spinner(console)
        consoles.append((console, spinner))
        console.start()
        wait_until(lambda: console.state.connection["node"] == "active", LIMIT_S, "the console sees the node")
        wait_until(lambda: console._goals.ready and console._answer.service_is_ready(), LIMIT_S, "action and service")
        for topic in ("turn", "ambiguity", "target", "correction"):
            wait_until(lambda topic=topic: bench.node.count_subscribers(f"/{topic}") >= 2, LIMIT_S, topic)
        return bench, console

    yield start
    for console, spinner in consoles:
        console.close()
        spinner.close()
        console.destroy_node()


def show(bench, console, level):
    """A picture of one grey, which the node and the console both have when it returns."""
    bench.image = rgb_to_image(np.full((48, 64, 3), level, np.uint8), Header(frame_id=FRAME))
    wait_until(lambda: bench.eye._frame.message.data[0] == level, LIMIT_S, "the new scene at the node")
    wait_until(lambda: _newest_level(console) == level, LIMIT_S, "the new scene at the console")


def dialogue_of(page):
    return page.state["dialogue"] if page.state else {}


def test_instruct_question_chip_and_target(run):
    bench, console = run({"the mug": MUGS}, node={"target_mask": True})
    with open_page(console.url) as page:
        page.until(lambda p: p.state and p.state["connection"]["camera"] == "ok" and p.frames)
        page.send(type="instruct", text="the mug")
        page.until(lambda p: dialogue_of(p).get("question") and dialogue_of(p)["readings"] and p.state["goals"])
        dialogue = dialogue_of(page)
        assert dialogue["question"] == QUESTION and dialogue["chips"] == ["the red mug", "the blue mug"]
        assert dialogue["open"] and dialogue["source"] == "action" and dialogue["id"] == page.state["goals"][0]["id"]
        reading = dialogue["readings"][0]
        assert reading["is_ambiguous"] and reading["probability"] == pytest.approx(0.9) and len(reading["regions"]) == 2
        assert dialogue["frame"] == reading["frame"] is not None
        page.until(lambda p: {reading["frame"], reading["map"]} <= set(p.pictures))
        assert (page.pictures[reading["frame"]]["width"], page.pictures[reading["map"]]["width"]) == (64, 16)
        page.send(type="answer", text=dialogue["chips"][0])
        page.until(lambda p: p.state["goals"][0]["state"] == "SUCCEEDED" and dialogue_of(p)["target"])
        page.until(lambda p: p.state["history"] and len(dialogue_of(p)["turns"]) == 4)  # each by a topic of its own
        page.until(lambda p: len(dialogue_of(p)["readings"]) == 2 and dialogue_of(p)["target"]["mask"] is not None)
        dialogue = dialogue_of(page)
        target = dialogue["target"]
        assert (target["x"], target["y"], target["width"], target["height"]) == (10, 20, 20, 20)
        assert target["confidence"] == pytest.approx(0.75) and not dialogue["open"] and dialogue["chips"] == []
        assert [turn["text"] for turn in dialogue["turns"]] == ["the mug", QUESTION, "the red mug", "I see it."]
        assert len(dialogue["readings"]) == 2 and dialogue["latency"]["inference_s"] is not None
        page.until(lambda p: target["mask"] in p.pictures)
        assert page.pictures[target["mask"]]["width"] == 64
        assert page.state["history"][0] == {"id": dialogue["id"], "expression": "the mug", "outcome": "found"}


def test_the_frozen_image_is_the_one_that_was_judged(run):
    bench, console = run({"the mug": MUGS})
    with open_page(console.url) as page:
        for level in (20, 220):
            seen = bench.grounder.images
            wait_until(lambda: console._camera.last is not None)
            show(bench, console, level)
            page.send(type="instruct", text="the mug")
            page.until(lambda p: dialogue_of(p).get("question") and dialogue_of(p)["frame"] in p.pictures)
            number = dialogue_of(page)["frame"]
            show(bench, console, 120)  # the world goes on
            assert abs(int(_decoded(console, number).mean()) - int(seen[-1].mean())) <= 2
            page.send(type="never_mind")
            page.until(
                lambda p: p.state["dialogue"]["open"] is False and p.state["goals"][0]["error"].startswith("ABANDONED")
            )


def test_a_slow_model_does_not_lose_the_picture(run):
    """Of large images the console keeps a second, and a model may take longer: a click would be on the live picture."""
    grounder = Held({"the mug": MUGS}, 0)
    bench, console = run(node={"grounder": grounder, "look_ahead": False})
    recent = console._camera.recent
    recent._seconds = 0.0  # the newest only, and what is held
    with open_page(console.url) as page:
        wait_until(lambda: console._camera.last is not None)
        show(bench, console, 20)
        page.send(type="instruct", text="the mug")
        assert grounder.working.wait(LIMIT_S)
        page.until(lambda p: dialogue_of(p).get("turns"))
        for level in range(100, 200, 10):  # more pictures than those that are held after the words
            show(bench, console, level)
        grounder.let_go.set()
        page.until(lambda p: dialogue_of(p).get("question"))
        assert dialogue_of(page)["frame"] is not None
        assert abs(int(_decoded(console, dialogue_of(page)["frame"]).mean()) - 20) <= 2


def _newest_level(console) -> int:
    return int(console.pictures._offered.rgb().mean())


def _decoded(console, number: int) -> np.ndarray:
    import cv2

    console.pictures.settle()
    return cv2.imdecode(np.frombuffer(console.pictures.get(number).body, np.uint8), cv2.IMREAD_COLOR)


def test_a_question_that_names_nothing_gets_places(run):
    bench, console = run({"the mug": [Say.ask("Which one do you mean?"), Say.found(Box(10, 20, 30, 40))]})
    wait_until(lambda: console._camera.last is not None, LIMIT_S)
    with open_page(console.url) as page:
        page.send(type="instruct", text="the mug")
        page.until(lambda p: dialogue_of(p).get("chips") == ["the left one", "the right one"])


@pytest.mark.parametrize("answer, said", [({"click": [12, 30]}, "(click 12 30)"),
                                          ({"box": [10, 20, 5, 6]}, "(box 10 20 15 26)")])  # fmt: skip
def test_answers_by_pointing(run, answer, said):
    bench, console = run({"the mug": MUGS})
    with open_page(console.url) as page:
        page.send(type="instruct", text="the mug")
        page.until(lambda p: dialogue_of(p).get("question"))
        page.send(type="answer", **answer)
        page.until(lambda p: dialogue_of(p)["target"] and not dialogue_of(p)["open"])
        assert [turn["text"] for turn in dialogue_of(page)["turns"]][2] == said
    turns = bench.grounder.calls[-1][1]
    assert turns[0].answer.point == (12, 30) if "click" in answer else turns[0].answer.box == Box(10, 20, 15, 26)


def test_refusals_come_back_as_notes(run):
    bench, console = run()
    with open_page(console.url) as page:
        page.send(type="answer", text="the left one")
        page.until(lambda p: any("no question is open" in note["text"] for note in p.notes))
        page.send(type="cancel", goal="0" * 32)
        page.until(lambda p: any("over already" in note["text"] for note in p.notes))
        bench.lifecycle("deactivate")
        page.until(lambda p: p.state["connection"]["node"] == "inactive")
        assert "activate" in page.state["connection"]["advice"]
        page.send(type="instruct", text="the mug")
        page.until(lambda p: p.state["goals"] and p.state["goals"][0]["state"] == "REJECTED")
        page.until(lambda p: any("refused the instruction" in note["text"] for note in p.notes))


def test_goals_of_other_clients_are_seen_and_canceled(run):
    bench, console = run({"something slow": Say.found(delay_s=600.0)})
    with open_page(console.url) as page:
        goal = bench.goal("something slow")
        page.until(lambda p: p.state and p.state["goals"] and p.state["goals"][0]["state"] == "DETECTING_AMBIGUITY")
        shown = page.until(lambda p: p.state["goals"][0]["expression"] and p.state["goals"][0])
        assert shown["id"] == goal.id and shown["expression"] == "something slow" and shown["can_cancel"]
        assert dialogue_of(page)["source"] == "action"
        page.send(type="cancel", goal=goal.id)
        page.until(lambda p: p.state["goals"][0]["state"] == "CANCELED" and not p.state["goals"][0]["can_cancel"])
        assert goal.finish()[1].error_code == Ground.Result.CANCELED
        page.until(lambda p: p.state["dialogue"]["error"] and p.state["dialogue"]["error"]["name"] == "CANCELED")


def test_never_mind_while_the_model_works(run):
    bench, console = run({"something slow": Say.found(delay_s=600.0)})
    with open_page(console.url) as page:
        page.send(type="instruct", text="something slow")
        assert bench.grounder.working.wait(LIMIT_S)
        page.until(lambda p: dialogue_of(p).get("open"))
        page.send(type="never_mind")
        page.until(lambda p: p.state["goals"][0]["state"] == "CANCELED" and not p.state["dialogue"]["open"])
        bench.say("something slow")
        page.until(lambda p: p.state["dialogue"]["open"] and p.state["dialogue"]["source"] == "speech")
        page.send(type="never_mind")
        page.until(lambda p: not p.state["dialogue"]["open"])
        assert page.state["dialogue"]["turns"][-1]["text"] == "All right, never mind."


def test_spoken_dialogue_and_its_correction(run):
    bench, console = run({"the mug": MUGS})
    with open_page(console.url) as page:
        bench.say("the mug")
        page.until(lambda p: dialogue_of(p).get("question"))
        assert dialogue_of(page)["source"] == "speech"
        bench.say("the red mug")
        page.until(lambda p: dialogue_of(p)["target"] and not dialogue_of(p)["open"])
        wait_until(lambda: bench.targets, LIMIT_S)
        assert dialogue_of(page)["id"] == bench.targets[-1].dialogue
        wait_until(lambda: not bench.node.busy)
        page.send(type="never_mind")
        page.until(
            lambda p: (
                dialogue_of(p)["target"] is None and dialogue_of(p)["turns"][-1]["text"] == "All right, never mind."
            )
        )


def test_pointing_without_a_question_goes_out_in_pixels(run):
    bench, console = run()
    from geometry_msgs.msg import PointStamped

    points = []
    bench.client.create_subscription(PointStamped, "point", points.append, 10)
    wait_until(lambda: console._point.get_subscription_count() >= 2, LIMIT_S)
    with open_page(console.url) as page:
        page.send(type="point", click=[12.5, 30])
        wait_until(lambda: points)
    assert (points[0].header.frame_id, points[0].point.x, points[0].point.y, points[0].point.z) == ("", 12.5, 30.0, 0.0)


def test_health_camera_and_what_to_do(run):
    bench, console = run()
    with open_page(console.url) as page:
        page.until(lambda p: p.state and p.state["health"] and p.state["connection"]["advice"] == "")
        assert (page.state["connection"]["node"], page.state["connection"]["camera"]) == ("active", "ok")
        names = [line["name"] for line in page.state["health"]]
        assert {"clue: model", "clue: camera", "clue: goals"} < set(names) and names[-1] == "console: pages"
        page.until(lambda p: p.state["connection"]["model"] == "the embedded model")
        bench.image = None
        page.until(lambda p: p.state["connection"]["camera"] == "stale" and p.state["connection"]["camera_age_s"] > 1)
        assert "camera driver" in page.state["connection"]["advice"]


def test_a_node_that_was_silent_is_asked_for_the_goals_again(run):
    bench, console = run({"something slow": Say.found(delay_s=600.0)})
    with open_page(console.url) as page:
        goal = bench.goal("something slow")
        page.until(lambda p: p.state and p.state["goals"] and p.state["goals"][0]["state"] == "DETECTING_AMBIGUITY")
        console.state.goal("f" * 32, "DETECTING_AMBIGUITY")  # of a node that died, and this one took its place
        console.executor.create_task(console._goals.ask_again)
        page.until(lambda p: p.state["goals"][0]["state"] == "LOST")
        assert page.state["goals"][1]["id"] == goal.id and page.state["goals"][1]["can_cancel"]
        goal.cancel()
        page.until(lambda p: p.state["goals"][1]["state"] == "CANCELED")


def test_looking_only_and_html_in_words(run):
    bench, console = run(can_instruct=False)
    evil = "<img src=x onerror=alert(1)>"
    with open_page(console.url) as page:
        assert page.until(lambda p: p.hello)["options"]["can_instruct"] is False
        page.send(type="instruct", text="the mug")
        page.until(lambda p: any("may only look" in note["text"] for note in p.notes))
        assert not bench.grounder.calls
        bench.say(evil)
        page.until(lambda p: dialogue_of(p).get("turns") and not dialogue_of(p)["open"])
        assert dialogue_of(page)["turns"][0]["text"] == evil  # text; what a page makes of it is the page's test
    console.pictures.settle()
    html = urllib.request.urlopen(console.url + "export", timeout=LIMIT_S).read().decode()
    assert evil not in html and dialogues_of(html)[0]["turns"][0]["text"] == evil


def test_a_flood_of_pages_leaves_the_node_alone(run):
    """Garbage and floods from many pages, and goals that go on meanwhile."""
    bench, console = run({"the mug": Say.found(Box(1, 2, 30, 40))})
    pages = [open_page(console.url, close_timeout=0.5) for _ in range(5)]  # they read nothing, not even the goodbye
    opened = [page.__enter__() for page in pages]
    try:
        for number in range(60):
            for page in opened:
                page.socket.send(
                    ["{", "x" * 20000, b"\x00" * 100, json.dumps({"type": "answer", "click": [number, 1]})][number % 4]
                )
            if number % 20 == 0:
                status, result = bench.ground("the mug")
                assert result.error_code == Ground.Result.NONE
        assert all(page.until(lambda p: p.notes) for page in opened)
    finally:
        for page in pages:
            page.__exit__(None, None, None)
    wait_until(lambda: console.viewers == 0, LIMIT_S)


def test_the_node_dies_and_comes_back(domain, tmp_path):
    """A real process, killed; the page sees it go, loses its goal, and talks to the next one."""
    console = Console(parameter_overrides=[Parameter("port", value=0)])
    spinner = Spinner(console)
    console.start()
    processes, environment = [], {**os.environ, **short_lease(tmp_path)}

    def start():
        log = open(tmp_path / f"node{len(processes)}.log", "wb")
        command = [sys.executable, "-m", "clue_ros.ros.scripted_ground"]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path))
        log.close()

    try:
        with open_page(console.url) as page:
            page.until(
                lambda p: (
                    p.state
                    and p.state["connection"]["node"] == "away"
                    and "Start it" in p.state["connection"]["advice"]
                )
            )
            page.send(type="instruct", text="the mug")
            page.until(lambda p: p.notes)
            start()
            page.until(
                lambda p: p.state["connection"]["node"] == "active" and p.state["connection"]["camera"] == "ok", 300.0
            )
            wait_until(lambda: console._goals.ready, LIMIT_S)
            page.send(type="instruct", text="something slow")
            page.until(lambda p: p.state["goals"] and p.state["goals"][0]["state"] == "DETECTING_AMBIGUITY")
            processes[0].send_signal(signal.SIGKILL)
            page.until(lambda p: p.state["connection"]["node"] == "away" and p.state["goals"][0]["state"] == "LOST")
            assert not page.state["dialogue"]["open"] and page.state["connection"]["model"] is None
            start()
            page.until(lambda p: p.state["connection"]["node"] == "active", 300.0)
            wait_until(lambda: console._goals.ready, LIMIT_S)

            def found(p):
                if p.state["goals"][0]["state"] in (
                    "LOST",
                    "ABORTED",
                    "REJECTED",
                ):  # DDS still believes in the dead one
                    p.send(type="instruct", text="the red mug")
                    p.state["goals"][0]["state"] = "SENT"
                return p.state["goals"][0]["state"] == "SUCCEEDED" and p.state["dialogue"]["target"]

            target = page.until(found, 300.0)
            assert (target["x"], target["width"]) == (100, 80)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        console.close()
        spinner.close()
        console.destroy_node()


def test_the_program_refuses_the_network_without_a_token(domain, tmp_path):
    command = [sys.executable, "-m", "clue_ros.ros.console", "--ros-args", "-p", "address:=0.0.0.0", "-p", "port:=0"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ, cwd=tmp_path, check=False
    )
    assert ended.returncode == 2 and "token" in ended.stderr and "allow_open" in ended.stderr


def test_ros2_run_finds_it():
    from ament_index_python.packages import get_package_prefix

    executable = Path(get_package_prefix("clue_ros")) / "lib" / "clue_ros" / "console"
    assert executable.is_file() and os.access(executable, os.X_OK)
