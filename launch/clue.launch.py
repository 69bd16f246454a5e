"""Starts the clue node:

    ros2 launch clue_ros clue.launch.py image:=/camera/color/image_raw depth:=/camera/aligned_depth_to_color/image_raw

two cameras, the first of which is looked through by default:
    ros2 launch clue_ros clue.launch.py cameras:="front wrist" \
        remap:="front/image:=/front/color/image_raw wrist/image:=/wrist/color/image_raw"

included under PushRosNamespace('robot1'), it becomes /robot1/clue/clue; "../camera/image_raw" is then
/robot1/camera/image_raw.

The topics' names are seen from the node's namespace, or absolute with a leading slash. An argument left empty leaves
the parameter to `params_file`, and without one to the node's default (config/clue.yaml).
"""

import sys

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from clue_ros.ros.running import launching
from clue_ros.ros.running.dds_profile import profile_variables
from launch import LaunchDescription

ARGUMENTS = {
    "namespace": (
        "clue",
        "Namespace of the node and its topics, within the one that is pushed; one for each robot or camera",
    ),
    "model": ("", "Model directory; empty: the embedded tabletop model"),
    "device": ("", "torch device: cpu, cuda, cuda:1; empty: cpu"),
    "image": ("image", "Camera image, sensor_msgs/Image; <image>/compressed is taken as well"),
    "camera_info": ("", "Calibration of that image, sensor_msgs/CameraInfo; empty: the camera_info beside it"),
    "depth": ("depth", "Depth registered to that image, 16UC1 (mm) or 32FC1 (m)"),
    "cameras": (
        "",
        "Names of several cameras, as in 'front wrist'; their topics are front/image, front/depth, wrist/image …",
    ),
    "speech": ("speech", "What the person says, std_msgs/String"),
    "utterance": ("utterance", "What the robot should say, std_msgs/String"),
    "remap": ("", "Other names to change, as in 'front/image:=/front/color/image_raw target:=/robot/target'"),
    "target_frame": ("", "Give positions in this frame, through tf2; empty: the camera's optical frame"),
    "params_file": ("", "Parameter file, see config/clue.yaml"),
    "autostart": (
        "",
        "true: the node configures and activates itself; false: it waits for a lifecycle client; empty: true",
    ),
    "use_sim_time": ("false", "Take the time from /clock"),
}


def _node(context):
    launching.check_names(sys.argv, context.argv, "clue.launch.py", ARGUMENTS)
    arguments = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    namespace = launching.full_namespace(context.launch_configurations.get("ros_namespace", ""), arguments["namespace"])
    # Later entries win, so only what was given may stand behind the file.
    parameters = [launching.parameters_file(arguments["params_file"])] if arguments["params_file"] else []
    parameters.append(launching.given_parameters(arguments))
    node = LifecycleNode(
        package="clue_ros",
        executable="clue_node",
        name="clue",
        namespace=arguments["namespace"],
        parameters=parameters,
        remappings=launching.remappings(arguments, namespace),
        # For our node only: Fast DDS's default profile loses most images, but the launch that includes this one may
        # have its own.
        additional_env=profile_variables(context.environment),
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
    return LaunchDescription([*arguments, OpaqueFunction(function=_node)])
