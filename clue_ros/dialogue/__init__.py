"""The dialogue: a pure state machine (`session`) and the robot's words (`phrases`). No model, no ROS, no clock."""
