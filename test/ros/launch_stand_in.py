"""As much of launch and launch_ros as our launch files use, to look at what they describe where neither is installed.

Nothing is started. What the real ones do with the same descriptions is tested in test_launch.py where they are
installed.
"""

from __future__ import annotations

import os
import runpy
import types
from dataclasses import dataclass, field
from typing import Any, Dict, List


class Context:
    def __init__(self, arguments: Dict[str, str], pushed: str = "") -> None:
        self.launch_configurations = dict(arguments)
        self.environment = os.environ
        self.argv = [f"{name}:={value}" for name, value in arguments.items()]
        if pushed:
            self.launch_configurations["ros_namespace"] = pushed


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: Context) -> str:
        return context.launch_configurations[self.name]


@dataclass
class LaunchDescription:
    entities: list


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str
    description: str


@dataclass
class OpaqueFunction:
    function: Any


@dataclass
class IncludeLaunchDescription:
    source: str
    launch_arguments: Any = ()


@dataclass
class ParameterValue:
    value: LaunchConfiguration
    value_type: type


@dataclass
class Node:
    package: str
    executable: str
    namespace: Any
    name: str = ""
    parameters: List[Any] = field(default_factory=list)
    remappings: List[Any] = field(default_factory=list)
    additional_env: Dict[str, str] = field(default_factory=dict)
    output: str = "log"
    emulate_tty: bool = False
    sigterm_timeout: str = ""
    sigkill_timeout: str = ""


def modules() -> Dict[str, types.ModuleType]:
    """For sys.modules."""
    contents = {
        "launch": {"LaunchDescription": LaunchDescription},
        "launch.actions": {
            kind.__name__: kind for kind in (DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction)
        },
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": str},
        "launch_ros": {},
        "launch_ros.actions": {"Node": Node, "LifecycleNode": Node},
        "launch_ros.parameter_descriptions": {"ParameterValue": ParameterValue},
    }
    made = {}
    for name, members in contents.items():
        made[name] = types.ModuleType(name)
        vars(made[name]).update(members)
    return made


def nodes_of(path: str, context: Context) -> List[Node]:
    """The nodes that a launch file describes, with their arguments put in."""
    return _nodes(runpy.run_path(str(path))["generate_launch_description"]().entities, context)


def _nodes(entities: list, context: Context) -> List[Node]:
    found = []
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations.setdefault(entity.name, entity.default_value)
        elif isinstance(entity, OpaqueFunction):
            found += _nodes(entity.function(context), context)
        elif isinstance(entity, IncludeLaunchDescription):
            inner = Context(context.launch_configurations)
            inner.launch_configurations.update(
                {name: value.perform(context) for name, value in entity.launch_arguments}
            )
            found += nodes_of(entity.source, inner)
        else:
            assert isinstance(entity, Node), f"the stand-in does not know {type(entity)}"
            if isinstance(entity.namespace, LaunchConfiguration):
                entity.namespace = entity.namespace.perform(context)
            found.append(entity)
    return found
