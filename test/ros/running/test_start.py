"""What is given to the programs at their start: taken where it can be meant, else named in a sentence, never a
traceback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from bench import Bench, wait_until
from domains import isolated
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.signals import SignalHandlerOptions

from clue_ros.ros import console, focus, person, tabletop_camera, webcam
from clue_ros.ros.node import ClueNode
from clue_ros.ros.running import spinning
from clue_ros.ros.running.errors import UnknownParameterError
from clue_ros.ros.running.log_folder import log_folder
from clue_ros.ros.running.stop_signals import PATIENCE_S
from clue_ros.testing.fake_grounder import ScriptedGrounder


@pytest.fixture
def begin():
    """begin(make, *ros_arguments) -> (exit code, the node's parameters): a program's start without its life."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(make, *arguments, name="clue"):
        seen = {}

        def look(node, executor, stop):
            seen.update({name: parameter.value for name, parameter in node._parameters.items()})

        return spinning.run(name, make, [name, "--ros-args", *arguments], look), seen

    with isolated():
        yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def clue_node() -> ClueNode:
    return ClueNode(lambda settings: ScriptedGrounder())


IN_CLUE = ("-r", "__ns:=/robot/clue")


@pytest.mark.parametrize(
    "given, right",
    [("treshold", "threshold"), ("Threshold", "threshold"), ("camera", "cameras"), ("max_question", "max_questions"),
     ("lookahead", "look_ahead"), ("answer_timeout", "answer_timeout_s")],
)  # fmt: skip
def test_a_slip_of_the_keyboard_is_an_error_with_the_right_name(begin, capfd, given, right):
    code, _ = begin(clue_node, *IN_CLUE, "-p", f"{given}:=1")
    err = capfd.readouterr().err
    assert code == 2 and f"clue: {given} is no parameter of /robot/clue/clue: did you mean {right}?" in err
    assert "Traceback" not in err


def test_all_slips_are_named_at_once_and_also_those_of_a_node_in_somebody_elses_program(domain):
    overrides = [Parameter("treshold", value=0.5), Parameter("devise", value="cpu")]
    with pytest.raises(
        UnknownParameterError, match="treshold .* did you mean threshold.*devise .* did you mean device"
    ):
        ClueNode(lambda settings: ScriptedGrounder(), parameter_overrides=overrides)


@pytest.mark.parametrize(
    "make, given, right",
    [(focus.Focus, "tolerence", "tolerance"), (console.Console, "adress", "address"), (person.Person, "sed", "seed"),
     (tabletop_camera.TabletopCamera, "rate_hs", "rate_hz"), (webcam.Webcam, "heigth", "height")],
)  # fmt: skip
def test_the_other_programs_do_the_same(begin, capfd, make, given, right):
    code, _ = begin(make, "-p", f"{given}:=1", name="program")
    err = capfd.readouterr().err
    assert code == 2 and f"program: {given} is no parameter of /" in err and f"did you mean {right}?" in err


def test_what_is_like_nothing_of_ours_is_named_and_left_out(begin, capfd):
    """launch gives SetParameter's to every node, and qos_overrides and the like are ROS's own."""
    code, seen = begin(clue_node, "-p", "robot_description:=x", "-p", "qos_overrides./tf.depth:=3",
                       "-p", "use_sim_time:=true")  # fmt: skip
    err = capfd.readouterr().err
    assert code == 0 and seen["use_sim_time"] is True and "robot_description" not in seen
    assert "robot_description is no parameter of /clue: it is ignored" in err and "qos_overrides" not in err


FILES = {
    "ours": ("/robot/clue/clue:\n  ros__parameters: {threshold: 0.25}\n", 0.25, None),
    "nested": ("robot:\n  clue:\n    clue:\n      ros__parameters: {threshold: 0.25}\n", 0.25, None),
    "for all": ("/**:\n  ros__parameters: {threshold: 0.25}\n", 0.25, None),
    "one star": ("/robot/*/clue:\n  ros__parameters: {threshold: 0.25}\n", 0.25, None),
    "a robot's": (
        "/camera:\n  ros__parameters: {fps: 30}\n/**/clue:\n  ros__parameters: {threshold: 0.25}\n",
        0.25,
        None,
    ),
    "name only": (
        "clue:\n  ros__parameters: {threshold: 0.25}\n",
        0.0,
        ("none of its keys (/clue) is this node, /robot/clue/clue"),
    ),
    "another namespace": (
        "/robot2/clue/clue:\n  ros__parameters: {threshold: 0.25}\n/camera:\n  ros__parameters: {fps: 30}\n",
        0.0,
        (
            "none of its keys (/robot2/clue/clue, /camera) is this node, /robot/clue/clue: write it under "
            "`/robot/clue/clue:`"
        ),
    ),
    "beside one for all": (
        "/**:\n  ros__parameters: {use_sim_time: false}\n/clue:\n  ros__parameters: {threshold: 0.25}\n",
        0.0,
        "what stands under /clue is ignored, this node is /robot/clue/clue",
    ),
    "misspelt for all": (
        "/**:\n  ros__parameters: {treshold: 0.25}\n",
        0.0,
        ("treshold is no parameter of /robot/clue/clue: did you mean threshold? It is ignored"),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_keys_of_a_parameter_file(begin, capfd, tmp_path, name):
    content, threshold, warning = FILES[name]
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    code, seen = begin(clue_node, *IN_CLUE, "--params-file", str(path))
    err = capfd.readouterr().err
    assert (code, seen["threshold"]) == (0, threshold)
    assert (warning in err) if warning else "ignored" not in err and "none of its keys" not in err


def test_a_slip_under_the_nodes_own_key_is_an_error(begin, capfd, tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("/robot/clue/clue:\n  ros__parameters: {treshold: 0.25}\n")
    assert begin(clue_node, *IN_CLUE, "--params-file", str(path))[0] == 2
    assert "did you mean threshold?" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("--params-file", "{bad}"), "bad.yaml"), (("--params-file", "/no/such.yaml"), "/no/such.yaml"),
        (("-r", "image"), "image"), (("--nonsense",), "--nonsense"), (("-p", "threshold=1"), "threshold=1"),
        (("-p", "threshold:=high"), "threshold"), (("-p", "cameras:=front"), "cameras"), (("-p", "model:=3"), "model"),
        (("-p", "max_questions:=2.5"), "max_questions"), (("-p", "use_depth:=perhaps"), "use_depth"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(begin, capfd, tmp_path, arguments, text):
    bad = tmp_path / "bad.yaml"
    bad.write_text("/**:\n  ros__parameters:\n    threshold: [0.5\n")
    code, _ = begin(clue_node, *(argument.format(bad=bad) for argument in arguments))
    err = [line for line in capfd.readouterr().err.splitlines() if line.startswith("clue: ")]
    assert code == 2 and len(err) == 1 and text in err[0] and "/project/" not in err[0], err


@pytest.mark.parametrize("value, taken", [("1", 1.0), ("0", 0.0), ("0.5", 0.5)])
def test_a_double_may_be_given_as_an_integer(begin, value, taken):
    code, seen = begin(clue_node, "-p", f"threshold:={value}", "-p", "answer_timeout_s:=5", "-p", "cameras:=[]")
    assert (code, seen["threshold"], seen["answer_timeout_s"], seen["cameras"]) == (0, taken, 5.0, [""])
    assert isinstance(seen["threshold"], float)
    assert begin(clue_node, "-p", "threshold:=2")[0] == 2  # the range holds


def test_a_double_may_be_set_to_an_integer_while_the_node_runs(make_bench):
    bench: Bench = make_bench(activate=False)
    client = AsyncParameterClient(bench.client, "clue")
    wait_until(client.services_are_ready)
    for value, done in ((1, True), (2, False)):
        future = client.set_parameters([Parameter("threshold", value=value)])
        assert wait_until(future.done) and future.result().results[0].successful == done
    assert bench.node.get_parameter("threshold").value == 1.0
    future = client.set_parameters([Parameter("max_questions", value=2.0)])
    assert wait_until(future.done) and not future.result().results[0].successful


@pytest.mark.parametrize("variables", [{"ROS_LOG_DIR": "/proc/no"}, {"HOME": "/proc/no"}, {"HOME": None}])
def test_without_a_log_folder_the_programs_run_and_say_so(begin, capfd, monkeypatch, variables):
    for name in ("ROS_LOG_DIR", "ROS_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert begin(clue_node)[0] == 0
    err = capfd.readouterr().err
    assert "no log file is written to" in err and "set ROS_LOG_DIR" in err and "Traceback" not in err


def test_the_log_folder_is_found_as_rcl_does(monkeypatch):
    for variables, folder in (
        ({"ROS_LOG_DIR": "/a"}, "/a"), ({"ROS_LOG_DIR": "~/b"}, "/h/b"), ({"ROS_HOME": "/c"}, "/c/log"),
        ({}, "/h/.ros/log"), ({"ROS_LOG_DIR": "", "ROS_HOME": ""}, "/h/.ros/log"), ({"HOME": ""}, ""),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            for name in ("ROS_LOG_DIR", "ROS_HOME"):
                patch.delenv(name, raising=False)
            for name, value in {"HOME": "/h", **variables}.items():
                patch.setenv(name, value)
            assert log_folder() == folder


def test_any_number_of_signals_ends_every_program_with_0(tmp_path):
    """As processes, all at once: systemd signals the control group, launch signals it again, and so does Ctrl-C."""
    with isolated():
        programs = {
            "scripted_ground": (),
            "person": (),
            "tabletop_camera": (),
            "webcam": ("-p", f"source:={picture(tmp_path)}"),
            "console": ("-p", "port:=0"),
            "focus": (),
        }
        running = {name: start_program(name, *arguments) for name, arguments in programs.items()}
        observer = Observer()
        try:
            wait_until(lambda: set(programs) - {"scripted_ground", "focus"} | {"clue"} <= observer.names, 300.0,
                       "the programs are there")  # fmt: skip
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
                for process in running.values():
                    process.send_signal(number)
                time.sleep(0.05)
            for name, process in running.items():
                _, log = process.communicate(timeout=300)
                assert process.returncode == 0 and "Traceback" not in log, f"{name}: {process.returncode}\n{log}"
        finally:
            observer.close()
            for process in running.values():
                process.kill()
                process.wait()


def start_program(name: str, *arguments: str) -> subprocess.Popen:
    module = f"clue_ros.ros.{name}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    return subprocess.Popen(
        [sys.executable, "-m", module, "--ros-args", *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def picture(folder: Path) -> Path:
    path = folder / "picture.png"
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return folder


class Observer:
    def __init__(self) -> None:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("observer")

    @property
    def names(self) -> set:
        return set(self._node.get_node_names())

    def close(self) -> None:
        self._node.destroy_node()
        rclpy.try_shutdown()


def test_signals_after_the_first_are_the_same_wish_and_a_program_that_hangs_can_be_ended(tmp_path):
    """A program that hangs and whose clock stands still: only a signal PATIENCE_S after the first one ends it."""
    text = (
        "import sys\nfrom types import SimpleNamespace\nfrom clue_ros.ros.running import stop_signals\n"
        "now = [0.0]\nstop_signals.time = SimpleNamespace(monotonic=lambda: now[0])\n"
        "stop = stop_signals.StopSignals()\nprint('ready', flush=True)\n"
        "for line in sys.stdin:\n    now[0] += float(line)\n    print(len(stop.received), flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env=environment) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        for count, seconds in ((1, 0.0), (2, PATIENCE_S - 1.0), (3, 2.0)):
            process.send_signal(signal.SIGINT)
            print(seconds, file=process.stdin, flush=True)
            assert process.stdout.readline() == f"{count}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(300.0) == -signal.SIGINT


def test_a_signal_while_a_node_is_made_ends_it_there(begin, capfd):
    """Focus loads its model, the camera compiles its scene and the console plays bags before they spin."""

    def make():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(600.0)
        raise AssertionError("it was not interrupted")

    code, _ = begin(make)
    assert code == 0 and "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "program, arguments",
    [
        (webcam.Webcam, ("source:=.",)),
        (focus.Focus, ()),
        (console.Console, ("port:=0",)),
        (person.Person, ("mode:=me",)),
        (tabletop_camera.TabletopCamera, ()),
    ],
)
def test_a_signal_at_the_end_of_making_leaves_no_thread_behind(begin, monkeypatch, tmp_path, program, arguments):
    """Nobody could end it: a camera's thread then talks to a context that is gone."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", np.zeros((48, 64, 3), np.uint8))
    before = set(threading.enumerate())

    def make():
        node = program()
        os.kill(os.getpid(), signal.SIGINT)
        return node

    code, _ = begin(make, *(word for argument in arguments for word in ("-p", argument)))
    assert code == 0 and set(threading.enumerate()) <= before


def test_stdout_of_any_encoding():
    text = "from clue_ros.terminal import any_encoding; any_encoding(); print('a · b')"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, env={
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"})  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"a ? b\n"), done.stderr


def test_a_signal_while_the_modules_are_imported():
    """The installed executable; before its first line Python itself answers."""
    program = shutil.which("scripted_ground") or pytest.skip("the executables are not on PATH")
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([program], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: catches(process.pid))
        process.send_signal(number)
        _, log = process.communicate(timeout=300)
        assert process.returncode == 0 and "Traceback" not in log, log


def catches(pid: int) -> bool:
    """Whether a process has set a handler of its own for SIGTERM, which Python has not."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
