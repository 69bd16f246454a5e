"""The dialogue: one about one instruction (`session`), who talks with whom (`turn_taking`), and the robot's words
(`phrases`). Pure state machines: no model, no ROS, no clock."""
