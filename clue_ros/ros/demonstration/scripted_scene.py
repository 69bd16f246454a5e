"""What the demo's processes agree on: which episode is played, and which of the robot's words end a dialogue.

Camera, person and demo each derive the same episode from (seed, index), so no scene ever travels. The demo announces
the index on `episode` (latched); the camera repeats it on `scene` once its frames show that scene.
"""

from __future__ import annotations

from typing import Any, Optional

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from clue_ros.dialogue import phrases
from clue_ros.dialogue.steps import End
from clue_ros.ros.serving.report import REFUSAL

WIDTH, HEIGHT = 640, 480
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Stage:
    """Renders the episodes of one seed at 640x480. The GL context is opened once, in the thread that renders first."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._renderer: Any = None

    def render(self, index: int) -> "tuple[Any, Any]":
        """(Episode, View) of an episode. Raises SimulationError without OpenGL."""
        from clue_ros.evaluation.episode_runner import derive_episode
        from clue_ros.simulation.renderer import TabletopRenderer

        if self._renderer is None:
            self._renderer = TabletopRenderer(WIDTH, HEIGHT)
        episode = derive_episode(self._seed, index)
        return episode, self._renderer.render(episode.scene)

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def closing_of(words: str, expression: str) -> Optional[str]:
    """The outcome that the robot's words announce ('found', 'not_found', ..., 'error'); None: they are a question."""
    if words.startswith(REFUSAL):
        return "error"
    if words.startswith("I do not know the word"):
        return End.UNKNOWN_WORDS.value
    end = phrases.announced(words, expression)
    return None if end is None else end.value
