"""The ROS 2 side: the only package of clue_ros that imports rclpy or messages."""
