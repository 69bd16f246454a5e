"""`clue train ...`: train a model. The work is in `clue_ros.training.cli`."""

from clue_ros.training.cli import add_arguments, run

__all__ = ["add_arguments", "run"]
