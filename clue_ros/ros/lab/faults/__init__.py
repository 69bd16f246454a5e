"""What a robot's bad day does to the node, done on purpose: `clue faults`, `clue soak`. Start reading at run.py."""
