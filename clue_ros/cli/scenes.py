"""`clue scenes -o FOLDER -n COUNT`: render a data set. The work is in `clue_ros.simulation.dataset`."""

from clue_ros.simulation.dataset import add_arguments, run

__all__ = ["add_arguments", "run"]
