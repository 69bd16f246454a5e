"""clue_ros: interactive visual grounding that knows when to ask. The core imports without ROS."""

from pkgutil import extend_path

# The messages in clue_ros.msg, .srv and .action are generated into the install space. Where this file is read from the
# source tree (a program started from the repository root), they are found there all the same.
__path__ = extend_path(__path__, __name__)
