"""The parts of the demo: its processes, its robot, the scenes of its people."""
