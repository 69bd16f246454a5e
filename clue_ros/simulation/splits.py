"""What the embedded model is trained on, and what is kept from it for the out-of-distribution test.

`TRAIN` never draws the held-out colour × category pairs and shapes (simulation/shapes.py) nor the held-out surfaces.
`OUT_OF_DISTRIBUTION` draws most of its objects from them, stands them on unseen surfaces, under lower, dimmer or
stronger and more tinted light, and looks from farther, lower and more sideways than any camera of the training.
"""

from __future__ import annotations

import numpy as np

from clue_ros.simulation.scene import Scene, SceneObject
from clue_ros.simulation.scene_draw import SceneConfig, sample_scene
from clue_ros.simulation.shapes import HELD_OUT_PAIRS, HELD_OUT_SHAPES
from clue_ros.simulation.textures import HELD_OUT_SURFACES

TRAIN = SceneConfig()
OUT_OF_DISTRIBUTION = SceneConfig(
    camera_distance=(0.88, 0.96),
    camera_elevation=(0.50, 0.58),
    camera_azimuth=(0.38, 0.60),
    light_height=(0.45, 1.0),
    light_power=(0.30, 0.95),
    light_tint=0.4,
    surfaces=HELD_OUT_SURFACES,
    held_out_share=0.6,
)


def out_of_distribution_scene(seed: int, index: int) -> Scene:
    """A scene of the out-of-distribution test, the same for the same seed and index; it holds at least one held-out
    object."""
    rng = np.random.default_rng([seed, index])
    while True:
        scene = sample_scene(rng, OUT_OF_DISTRIBUTION)
        if any(is_held_out(o) for o in scene.objects):
            return scene


def is_held_out(item: SceneObject) -> bool:
    """Was this object's colour on its category, or its shape, never seen in training?"""
    return (item.color, item.category) in HELD_OUT_PAIRS or (item.category, item.shape) in HELD_OUT_SHAPES
