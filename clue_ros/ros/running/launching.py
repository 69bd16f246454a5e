"""What launch/clue.launch.py makes of its arguments: names of topics, parameters, and one sentence for what cannot be
right.

Pure functions without launch or rclpy: `ros2 launch` imports this with the Python that it runs on itself.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Collection, Dict, List, Mapping, Sequence, Tuple

import yaml

CAMERA_TOPICS = ("image", "camera_info", "depth")
TOPICS = (*CAMERA_TOPICS, "speech", "utterance")
_NAME = re.compile(r"(~/|/)?[A-Za-z_{}][\w{}]*(/[A-Za-z_{}][\w{}]*)*")


class LaunchArgumentError(ValueError):
    """An argument of the launch file that cannot be right; the text names it and says what to give."""


def check_names(program: Sequence[str], given: Sequence[str], file: str, known: Collection[str]) -> None:
    """Launch ignores arguments that nobody declared: here they are named, where `file` is what the person started.

    program: sys.argv of `ros2 launch`; given: the arguments behind the file, as in "image:=/camera/image". Of a launch
    file that includes `file` they may be meant for others.

    Raises:
        LaunchArgumentError: one is none of `known`; the text has the nearest name that is.
    """
    if not any(Path(word).name == file for word in program):
        return
    for name in (argument.split(":=", 1)[0] for argument in given if ":=" in argument):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            advice = (
                f"did you mean {near[0]}:=?"
                if near
                else "a parameter of the node stands in a params_file (config/clue.yaml)"
            )
            raise LaunchArgumentError(f"{name}:= is no argument of {file}: {advice}")


def full_namespace(pushed: str, namespace: str) -> str:
    """The node's absolute namespace. pushed: what PushRosNamespace has made so far, "" for nothing."""
    name = namespace if namespace.startswith("/") else f"{pushed or ''}/{namespace}"
    return "/" + name.strip("/")


def topic_name(argument: str, name: str, namespace: str) -> str:
    """What a topic is remapped to: `name` as it is, "../x" as the topic x beside the absolute `namespace` of the node.

    A relative name without ".." stays: ROS sees it from the node's namespace. "../camera/image" is what a robot's
    camera is
    called wherever its namespace was pushed: /robot1/camera/image for the node in /robot1/clue.

    Raises:
        LaunchArgumentError: it is no name of a topic, or leads out of the root.
    """
    parts = [part for part in namespace.split("/") if part]
    rest, upwards = name, False
    while rest.startswith("../"):
        if not parts:
            raise LaunchArgumentError(f"{argument}:={name} leads out of the root: the node's namespace is {namespace}")
        rest, upwards = rest[3:], True
        parts.pop()
    if not _NAME.fullmatch(rest) or (upwards and rest[0] in "~/"):
        raise LaunchArgumentError(
            f"{argument}:={name!r} is no name of a topic: give one such as /camera/color/image_raw"
        )
    return "/" + "/".join([*parts, rest]) if upwards else rest


def remappings(arguments: Mapping[str, str], namespace: str) -> List[Tuple[str, str]]:
    """(from, to) for the node, from the launch file's arguments; one that is empty or the topic's own name renames
    nothing.

    Raises:
        LaunchArgumentError: a name is none, `remap` is no list of from:=to, or a topic of the one camera was given
        beside
            the names of several.
    """
    given = {topic: arguments[topic].strip() for topic in TOPICS}
    given = {topic: name for topic, name in given.items() if name not in ("", topic)}
    cameras = camera_names(arguments["cameras"])
    for topic in CAMERA_TOPICS:
        if cameras and topic in given:
            raise LaunchArgumentError(
                f"{topic}:={given[topic]} is the topic of one camera, but cameras:= names {', '.join(cameras)}: "
                f"give remap:='{cameras[0]}/{topic}:={given[topic]} …'"
            )
    pairs = [(topic, topic_name(topic, name, namespace)) for topic, name in given.items()]
    for rule in arguments["remap"].split():
        source, arrow, target = rule.partition(":=")
        if not source or not arrow or not target or ":=" in target:
            raise LaunchArgumentError(
                "remap:= takes pairs such as 'front/image:=/front/color/image_raw', separated by spaces; "
                f"{rule!r} is none"
            )
        pairs.append((topic_name("remap", source, namespace), topic_name("remap", target, namespace)))
    return pairs


def camera_names(argument: str) -> List[str]:
    """The names in `cameras`, which stand between spaces or commas; none: the one camera without a name."""
    return [name for name in re.split(r"[\s,]+", argument.strip("[] ")) if name]


def parameters_file(argument: str) -> str:
    """The path in `params_file`, absolute, of a file that holds parameters of ROS nodes.

    Raises:
        LaunchArgumentError: there is no such file, it cannot be read, it is no YAML, or holds no ros__parameters.
    """
    path = Path(argument).expanduser().absolute()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LaunchArgumentError(f"params_file {path} {what}: correct the path, or leave params_file out")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchArgumentError(f"params_file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise LaunchArgumentError(f"params_file {path} is not YAML: {problem}{where}") from None
    if not _holds_parameters(content):
        raise LaunchArgumentError(
            f"params_file {path} holds no parameters of a node: they stand under `/**:` and `ros__parameters:`, "
            "as in config/clue.yaml"
        )
    return str(path)


def _holds_parameters(content: object) -> bool:
    """One of the mappings, at any depth of namespaces, has the key ros__parameters with a mapping."""
    if not isinstance(content, Mapping):
        return False
    if isinstance(content.get("ros__parameters"), Mapping):
        return True
    return any(_holds_parameters(value) for value in content.values())


def given_parameters(arguments: Mapping[str, str]) -> Dict[str, object]:
    """The parameters that arguments were given for, of the types that the node declares; the empty ones are left out.

    Raises:
        LaunchArgumentError: autostart or use_sim_time is neither true nor false.
    """
    values: Dict[str, object] = {
        name: arguments[name] for name in ("model", "device", "target_frame") if arguments[name]
    }
    for name in ("autostart", "use_sim_time"):
        if arguments[name]:
            values[name] = _truth(name, arguments[name])
    if camera_names(arguments["cameras"]):
        values["cameras"] = camera_names(arguments["cameras"])
    return values


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise LaunchArgumentError(f"{name}:={text!r} is no truth value: give true or false")
    return text.lower() in ("true", "1", "yes", "on")
