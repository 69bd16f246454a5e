"""The parts of the node: its dialogues, goals, worker, outputs and diagnostics."""
