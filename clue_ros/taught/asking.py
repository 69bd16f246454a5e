"""Whom a dialogue asks: a grounder with a belief of its own, and with what was taught where that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.seams import Capability, Grounder, require

if TYPE_CHECKING:
    from clue_ros.taught.grounder import TaughtGrounder


def asking(grounder: Grounder, question_policy: str) -> "Union[BeliefGrounder, TaughtGrounder]":
    """For one dialogue. question_policy: as BeliefGrounder's. Raises ValueError for an unknown one."""
    if Capability.TAUGHT in grounder.capabilities:
        return knowing(grounder).asking(question_policy)
    return BeliefGrounder(grounder, question_policy)


def knowing(grounder: Grounder) -> "TaughtGrounder":
    """The grounder as one that can be taught. Raises MissingCapabilityError where it cannot."""
    require(grounder.capabilities, Capability.TAUGHT)
    from clue_ros.taught.grounder import TaughtGrounder  # here: a node without a model needs no torch

    assert isinstance(grounder, TaughtGrounder)
    return grounder
