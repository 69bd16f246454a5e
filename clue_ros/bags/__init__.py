"""Recorded bags without ROS: read them, replay them through the Grounder and the node's dialogue, score, make them.

`rosbags` reads and writes MCAP and sqlite3; nothing here imports rclpy. Start with replay.py; docs/bags.md is the
manual.
"""
