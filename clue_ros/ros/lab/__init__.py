"""Measurements over real ROS 2: faults, soak, latency, load. No robot needs it."""
