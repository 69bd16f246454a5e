"""What stands on the table: categories in several shapes, colours and sizes.

A shape is a list of parts; a part is a mesh of simulation/meshes.py or a primitive, with a colour role: 'body' takes
the object's colour, 'label' a printed texture in that colour, anything else is a fixed RGBA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple, Union

RGBA = Tuple[float, float, float, float]

METAL: RGBA = (0.72, 0.73, 0.75, 1.0)


@dataclass(frozen=True)
class Part:
    """`mesh` names an entry of MESHES, or 'box' / 'sphere' with `size` (half extents or radius, metres)."""

    mesh: str
    role: Union[str, RGBA] = "body"
    size: Tuple[float, ...] = ()


@dataclass(frozen=True)
class Shape:
    """Footprint radius and height in metres at scale 1, and the parts."""

    radius: float
    height: float
    parts: Tuple[Part, ...]


STANDARD = "standard"
_CAP: RGBA = (0.85, 0.85, 0.83, 1.0)

# category -> shape -> its parts; every category has a 'standard' shape.
SHAPES: Dict[str, Dict[str, Shape]] = {
    "mug": {
        STANDARD: Shape(0.055, 0.095, (Part("mug_body"), Part("mug_handle"))),
        "tall": Shape(0.054, 0.120, (Part("mug_tall"), Part("mug_handle_tall"))),
        "tapered": Shape(0.058, 0.088, (Part("mug_tapered"), Part("mug_handle"))),
        "round": Shape(0.060, 0.090, (Part("mug_round"), Part("mug_handle_round"))),
    },
    "bowl": {
        STANDARD: Shape(0.080, 0.057, (Part("bowl"),)),
        "deep": Shape(0.070, 0.072, (Part("bowl_deep"),)),
        "conical": Shape(0.082, 0.050, (Part("bowl_conical"),)),
    },
    "plate": {
        STANDARD: Shape(0.101, 0.018, (Part("plate"),)),
        "deep": Shape(0.095, 0.028, (Part("plate_deep"),)),
        "octagonal": Shape(0.098, 0.016, (Part("plate_octagonal"),)),
    },
    "bottle": {
        STANDARD: Shape(0.036, 0.212, (Part("bottle"), Part("bottle_cap", _CAP))),
        "wine": Shape(0.038, 0.250, (Part("bottle_wine"), Part("bottle_cap_wine", _CAP))),
        "squat": Shape(0.044, 0.160, (Part("bottle_squat"), Part("bottle_cap_squat", _CAP))),
        "flask": Shape(0.042, 0.190, (Part("bottle_flask"), Part("bottle_cap_flask", _CAP))),
    },
    "can": {
        STANDARD: Shape(0.036, 0.122, (Part("can_side", "label"), Part("can_base", METAL), Part("can_top", METAL))),
        "short": Shape(
            0.044, 0.062, (Part("can_side_short", "label"), Part("can_base_short", METAL), Part("can_top_short", METAL))
        ),
        "slim": Shape(
            0.029, 0.145, (Part("can_side_slim", "label"), Part("can_base_slim", METAL), Part("can_top_slim", METAL))
        ),
    },
    "box": {
        STANDARD: Shape(0.060, 0.130, (Part("box", "label", (0.045, 0.026, 0.065)),)),
        "cube": Shape(0.062, 0.084, (Part("box", "label", (0.042, 0.042, 0.042)),)),
        "flat": Shape(0.080, 0.044, (Part("box", "label", (0.065, 0.042, 0.022)),)),
    },
    "ball": {
        STANDARD: Shape(0.038, 0.076, (Part("sphere", "body", (0.038,)),)),
        "oval": Shape(0.052, 0.066, (Part("ball_oval"),)),
    },
    "banana": {
        STANDARD: Shape(0.090, 0.042, (Part("banana"),)),
        "slender": Shape(0.092, 0.036, (Part("banana_slender"),)),
        "stout": Shape(0.080, 0.054, (Part("banana_stout"),)),
    },
}
CATEGORIES: Tuple[str, ...] = tuple(SHAPES)


def shape_of(category: str, shape: str = STANDARD) -> Shape:
    """A category's shape. Raises KeyError for an unknown one."""
    return SHAPES[category][shape]


# sRGB in [0, 1]; jittered per object when a scene is sampled.
COLORS: Dict[str, Tuple[float, float, float]] = {
    "red": (0.80, 0.06, 0.06),
    "green": (0.08, 0.50, 0.14),
    "blue": (0.06, 0.18, 0.72),
    "yellow": (0.92, 0.78, 0.05),
    "orange": (0.95, 0.42, 0.03),
    "purple": (0.42, 0.12, 0.55),
    "white": (0.90, 0.90, 0.88),
    "black": (0.06, 0.06, 0.07),
}

# Drawn beside those where a scene's configuration asks for them (SceneConfig.colors).
MORE_COLORS: Dict[str, Tuple[float, float, float]] = {
    "gray": (0.44, 0.44, 0.45),
    "brown": (0.36, 0.19, 0.08),
    "pink": (0.95, 0.52, 0.68),
    "light blue": (0.45, 0.70, 0.93),
    "dark blue": (0.03, 0.05, 0.26),
    "light green": (0.56, 0.84, 0.45),
    "dark green": (0.02, 0.20, 0.07),
    "light brown": (0.66, 0.48, 0.28),
    "light purple": (0.70, 0.52, 0.84),
}

# Colours that a category can have; all of COLORS where it is not listed.
NATURAL_COLORS: Dict[str, Tuple[str, ...]] = {"banana": ("yellow", "green")}

# Scale factor of each size class.
SIZES: Dict[str, float] = {"small": 0.78, "medium": 1.0, "large": 1.25}

# Never drawn for training (SceneConfig's default), so that the out-of-distribution test can draw them.
HELD_OUT_PAIRS: Tuple[Tuple[str, str], ...] = (
    ("red", "bowl"),
    ("green", "mug"),
    ("blue", "box"),
    ("yellow", "can"),
    ("orange", "bottle"),
    ("purple", "plate"),
    ("white", "ball"),
    ("black", "can"),
)
HELD_OUT_SHAPES: Tuple[Tuple[str, str], ...] = (
    ("mug", "round"),
    ("bowl", "conical"),
    ("plate", "octagonal"),
    ("bottle", "flask"),
    ("can", "slim"),
    ("box", "flat"),
    ("ball", "oval"),
    ("banana", "stout"),
)
