"""What was given to a node at start: taken where it can be meant, and named where nobody takes it.

ROS ignores a parameter that no node declares, and a parameter file whose keys name another node. A robot then runs with
a default that nobody wanted. So a name that is nearly one of ours is an error with the right name. A name that is like
none of ours, or that stands in a file under a key with * (which other nodes may share), is a warning.
"""

from __future__ import annotations

import difflib
import re
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from clue_ros.ros.running.errors import UnknownParameterError

NEAR = 0.8  # similarity of names (difflib's ratio) from which one is a slip of the keyboard
# rclpy, rcl and bondpy declare these when they need them.
_FOREIGN = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*|/?bond_disable_heartbeat_timeout")
_arguments: Optional[List[str]] = None


def note_arguments(arguments: Sequence[str]) -> None:
    """The ROS arguments of this process, where they are not sys.argv."""
    global _arguments
    _arguments = list(arguments)


def declare(node: Node, name: str, default: Any, descriptor: Optional[ParameterDescriptor] = None) -> Any:
    """node.declare_parameter, and the value; an integer is taken where the default is a double, [] as an empty list.

    Raises:
        rclpy.exceptions.ParameterException: the value given at start is of a wrong type or makes no sense.
    """
    given = node._parameter_overrides.get(name)  # rclpy shows them only by declaring them
    taken = None if given is None else _meant(given, default)
    if taken is not None:
        return node.declare_parameter(name, taken, descriptor or ParameterDescriptor(), ignore_override=True).value
    return node.declare_parameter(name, default, descriptor or ParameterDescriptor()).value


def take_integers(node: Node) -> None:
    """From now on an integer may be set where a declared parameter is a double."""

    def meant(parameters: List[Parameter]) -> List[Parameter]:
        return [_softened(node, parameter) for parameter in parameters]

    node.add_pre_set_parameters_callback(meant)


def check(node: Node) -> List[str]:
    """Call it when every parameter is declared. Logs what was given and is not taken, and returns it, a sentence each.

    Raises:
        UnknownParameterError: a name that is nearly one of the node's.
    """
    full_name = node.get_fully_qualified_name()
    known = [name for name in node._parameters if not _FOREIGN.fullmatch(name)]
    files = list(_files(full_name))
    shared = {
        name for _, keys in files for key, names in keys if _matches(key, full_name) and "*" in key for name in names
    }
    errors, warnings = [], []
    for name in node._parameter_overrides:
        if node.has_parameter(name) or _FOREIGN.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, 1, 0.6)
        text = f"{name} is no parameter of {full_name}" + (f": did you mean {close[0]}?" if close else "")
        near = close and difflib.SequenceMatcher(None, name, close[0]).ratio() >= NEAR
        (errors if near and name not in shared else warnings).append(text)
    if errors:
        raise UnknownParameterError("; ".join(errors + warnings))
    warnings = [f"{text} It is ignored" if text.endswith("?") else f"{text}: it is ignored" for text in warnings]
    warnings += [text for path, keys in files for text in _unmatched(path, keys, full_name, known)]
    for text in warnings:
        node.get_logger().warning(text)
    return warnings


def _meant(given: Parameter, default: Any) -> Any:
    """The value to declare in place of the one given; None: that one."""
    if isinstance(default, float) and given.type_ == Parameter.Type.INTEGER:
        return float(given.value)
    if isinstance(default, list) and given.type_ == Parameter.Type.NOT_SET:  # rcl knows no type of []
        return default
    return None


def _softened(node: Node, parameter: Parameter) -> Parameter:
    declared = node.get_parameter(parameter.name) if node.has_parameter(parameter.name) else None
    if declared is None or declared.type_ != Parameter.Type.DOUBLE or parameter.type_ != Parameter.Type.INTEGER:
        return parameter
    return Parameter(parameter.name, value=float(parameter.value))


Keys = List[Tuple[str, List[str]]]  # (key of a node, names of the parameters under it)


def _files(full_name: str) -> Iterator[Tuple[str, Keys]]:
    """The parameter files of this process; what cannot be read, rcl has refused before."""
    arguments = sys.argv if _arguments is None else _arguments
    for flag, path in zip(arguments, arguments[1:]):
        if flag != "--params-file":
            continue
        try:
            with open(path, encoding="utf-8") as file:
                content = yaml.safe_load(file)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict):
            yield path, list(_keys(content, ""))


def _keys(content: Dict[Any, Any], above: str) -> Iterator[Tuple[str, List[str]]]:
    """Namespaces may be nested."""
    for key, value in content.items():
        if key == "ros__parameters":
            yield above, list(_names(value, "")) if isinstance(value, dict) else []
        elif isinstance(value, dict):
            yield from _keys(value, f"{above}/{str(key).lstrip('/')}")


def _names(values: Dict[Any, Any], above: str) -> Iterator[str]:
    """Names may be nested too: a dot between."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _names(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _matches(key: str, full_name: str) -> bool:
    """As rcl: * is one name, ** any number of them."""
    pattern = re.escape(key).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(pattern, full_name) is not None


def _unmatched(path: str, keys: Keys, full_name: str, known: Sequence[str]) -> Iterator[str]:
    """Of a file in which nothing is for this node, all of it; else the keys that look as if they were meant for it."""
    others = [(key, names) for key, names in keys if not _matches(key, full_name)]
    cure = f"write it under `{full_name}:` (or `/**:`, for every node)"
    if keys and len(others) == len(keys):
        yield f"{path}: none of its keys ({', '.join(key for key, _ in others)}) is this node, {full_name}: {cure}"
        return
    name = full_name.rsplit("/", 1)[1]
    for key, names in others:
        own = [given for given in names if given in known]
        if difflib.get_close_matches(key.rsplit("/", 1)[1], [name], 1, NEAR) or (own and len(own) == len(names)):
            yield f"{path}: what stands under {key} is ignored, this node is {full_name}: {cure}"
