"""Where the thing in a box is and how large what is seen of it: from depth, without ROS."""
