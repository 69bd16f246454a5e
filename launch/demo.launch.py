"""A robot without a robot: the simulated camera over a table, the clue node, a person and the console.

    ros2 launch clue_ros demo.launch.py                               then open http://127.0.0.1:8765
    ros2 launch clue_ros demo.launch.py person:=none episode:=3       you are the person: the console,
or  ros2 topic pub --once -w 1 /clue/speech std_msgs/msg/String "{data: 'the red mug'}"
another scene:
    ros2 topic pub --once -w 1 --qos-durability transient_local /clue/episode std_msgs/msg/UInt32 "{data: 4}"

`make demo` plays six episodes with pictures and a verdict; this one stays up, for your own programs to talk to.
"""

import sys
from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from clue_ros.ros.running import launching
from clue_ros.ros.running.dds_profile import profile_variables
from launch import LaunchDescription

ARGUMENTS = {
    "namespace": ("clue", "Namespace of all of it, within the one that is pushed"),
    "seed": ("0", "Seed of the scenes, instructions and answers"),
    "episode": ("0", "The scene shown first; a number on the topic `episode` changes it"),
    "person": ("scripted", "scripted: says what to find and answers questions; none: you do"),
    "console": ("true", "true: the operator console in a browser; false: none"),
    "port": ("8765", "The console's TCP port, on this machine only"),
    "model": ("", "Model directory; empty: the embedded tabletop model"),
    "device": ("", "torch device: cpu, cuda, cuda:1; empty: cpu"),
}


def _programs(context):
    """The package's other programs; the parameters are arguments here, of these types."""

    def program(executable, **kinds):
        values = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in kinds.items()}
        return Node(
            package="clue_ros",
            executable=executable,
            namespace=LaunchConfiguration("namespace"),
            parameters=[values],
            additional_env=profile_variables(context.environment),
            output="screen",
            sigterm_timeout="20",
        )

    def given(name):
        return LaunchConfiguration(name).perform(context)

    launching.check_names(sys.argv, context.argv, "demo.launch.py", ARGUMENTS)
    programs = [program("tabletop_camera", seed=int, episode=int)]
    if given("person") == "scripted":
        programs.append(program("person", seed=int))
    if given("console") == "true":
        programs.append(program("console", port=int))
    return programs


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    passed_on = {name: LaunchConfiguration(name) for name in ("namespace", "model", "device")}
    clue = Path(__file__).resolve().parent / "clue.launch.py"
    return LaunchDescription(
        [
            *arguments,
            OpaqueFunction(function=_programs),  # first: it looks at the arguments
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(clue)), launch_arguments=passed_on.items()),
        ]
    )
