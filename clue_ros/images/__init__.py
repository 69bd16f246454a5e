"""Pixels from elsewhere: encodings, messages without ROS, compressed pictures and depth, files, photographs, videos."""
