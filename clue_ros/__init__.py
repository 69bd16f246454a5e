"""clue_ros: interactive visual grounding that knows when to ask. The core imports without ROS."""
