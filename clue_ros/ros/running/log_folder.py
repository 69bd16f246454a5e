"""Where ROS writes its log files, and what to do where nothing can be written: go on without files, and say so.

rcl ends a program whose log folder cannot be made, as on a robot with a read-only file system or a service without
HOME. The log goes to stderr and /rosout all the same.
"""

from __future__ import annotations

import os
import sys
from typing import List


def logging_arguments() -> List[str]:
    """Arguments to add to rclpy.init's: none where the log folder can be written."""
    folder, reason = log_folder(), "HOME is not set"
    if folder:
        try:
            os.makedirs(folder, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return []
            reason = "no permission to write"
        except OSError as error:
            reason = error.strerror or str(error)
    where = folder or "~/.ros/log"
    print(
        f"no log file is written to {where} ({reason}): set ROS_LOG_DIR to a folder that can be written",
        file=sys.stderr,
    )
    return ["--ros-args", "--disable-external-lib-logs"]


def log_folder() -> str:
    """As rcl_logging_interface has it: ROS_LOG_DIR, else ROS_HOME/log, else ~/.ros/log; empty without a HOME."""
    home = os.environ.get("HOME", "")
    chosen = os.environ.get("ROS_LOG_DIR", "")
    if not chosen:
        ros_home = os.environ.get("ROS_HOME", "") or (os.path.join(home, ".ros") if home else "")
        chosen = os.path.join(ros_home, "log") if ros_home else ""
    if chosen.startswith("~"):
        return home + chosen[1:] if home else ""
    return chosen
