"""The operator console without ROS: pictures encoded once, the small state that a page shows, and the server.

The ROS side (clue_ros/ros/console.py) feeds it and does what the page asks for; replays feed it from files.
"""
