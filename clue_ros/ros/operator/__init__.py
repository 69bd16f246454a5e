"""The parts of the console node: what it hears of a dialogue, its goals, the health it shows."""
