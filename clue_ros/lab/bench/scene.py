"""What the bench shows and says: a clear and an ambiguous instruction, and the answer that starts a second turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from clue_ros.types import Answer, Turn

SIZE = (640, 480)  # width and height of the pictures in pixels
SEED = 7
QUESTION, ANSWER = "do you mean the left one or the right one ?", "the left one"


@dataclass(frozen=True)
class Show:
    """clear_image, vague_image: uint8[H,W,3] RGB; clear, vague: the instructions that belong to them; source: what the
    pictures are."""

    clear_image: np.ndarray
    clear: str
    vague_image: np.ndarray
    vague: str
    source: str

    @property
    def turns(self) -> Tuple[Turn, ...]:
        return (Turn(QUESTION, Answer(ANSWER)),)

    @property
    def words(self) -> Tuple[str, ...]:
        return tuple(" ".join((self.clear, self.vague, QUESTION, ANSWER)).replace("?", " ?").split())


def rendered() -> Show:
    """Two scenes of the tabletop that the embedded model knows; noise where nothing can be rendered."""
    try:
        from clue_ros.evaluation.episode_runner import derive_episode
        from clue_ros.simulation.renderer import SimulationError, TabletopRenderer
    except ImportError:
        return noise()
    try:
        clear, vague = (derive_episode(SEED, index) for index in (0, 1))
        with TabletopRenderer(*SIZE) as renderer:
            return Show(
                renderer.render(clear.scene).rgb,
                clear.expression,
                renderer.render(vague.scene).rgb,
                vague.expression,
                f"rendered tabletop scenes, {SIZE[0]}x{SIZE[1]}",
            )
    except SimulationError:
        return noise()


def noise() -> Show:
    """Pictures of noise, for random weights, to which all pictures are alike. Both instructions have as many words."""
    image = np.random.default_rng(SEED).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Show(
        image, "hand me the red mug please", image, "hand me one mug then please", f"noise, {SIZE[0]}x{SIZE[1]}"
    )
