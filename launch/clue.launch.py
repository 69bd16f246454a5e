"""Starts the clue node:

    ros2 launch clue_ros clue.launch.py image:=/camera/color/image_raw depth:=/camera/aligned_depth_to_color/image_raw

The topics' names are seen from `namespace`, or absolute with a leading slash. An argument left empty leaves the
parameter to `params_file`, and without one to the node's default (config/clue.yaml).
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
TOPICS = ("image", "camera_info", "depth", "speech", "utterance")
ARGUMENTS = {
    "namespace": ("/clue", "Namespace of the node and its topics; one for each robot or camera"),
    "model": ("", "Model directory; empty: the embedded tabletop model"),
    "device": ("", "torch device: cpu, cuda, cuda:1; empty: cpu"),
    "image": ("image", "Camera image, sensor_msgs/Image; <image>/compressed is taken as well"),
    "camera_info": ("", "Calibration of that image, sensor_msgs/CameraInfo; empty: the camera_info beside it"),
    "depth": ("depth", "Depth registered to that image, 16UC1 (mm) or 32FC1 (m)"),
    "speech": ("speech", "What the person says, std_msgs/String"),
    "utterance": ("utterance", "What the robot should say, std_msgs/String"),
    "params_file": ("", "Parameter file, see config/clue.yaml"),
    "autostart": (
        "",
        "true: the node configures and activates itself; false: it waits for a lifecycle client; empty: true",
    ),
    "use_sim_time": ("false", "Take the time from /clock"),
}


def _node(context):
    def given(name):
        return LaunchConfiguration(name).perform(context)

    parameters = [given("params_file")] if given("params_file") else []
    # Later entries win, so only what was given may stand behind the file.
    parameters += [
        {name: ParameterValue(LaunchConfiguration(name), value_type=str)} for name in ("model", "device") if given(name)
    ]
    parameters += [
        {name: ParameterValue(LaunchConfiguration(name), value_type=bool)}
        for name in ("autostart", "use_sim_time")
        if given(name)
    ]
    node = LifecycleNode(
        package="clue_ros",
        executable="clue_node",
        name="clue",
        namespace=given("namespace"),
        parameters=parameters,
        remappings=[(topic, given(topic)) for topic in TOPICS if given(topic)],
        output="screen",
        emulate_tty=True,
        # Goals in flight get their results before the node ends, also on a busy machine.
        sigterm_timeout="20",
        sigkill_timeout="10",
    )
    return [node]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    profile = Path(__file__).resolve().parents[1] / "config" / "fastdds_shm.xml"
    # Fast DDS's default profile loses most best-effort images; a profile that somebody chose stays.
    profiles = [] if os.environ.get(PROFILE) else [SetEnvironmentVariable(PROFILE, str(profile))]
    return LaunchDescription([*arguments, *profiles, OpaqueFunction(function=_node)])
