"""Calibrated cameras: from the numbers of a camera_info to rays and pixels, and depth from one camera to another. No
ROS."""
