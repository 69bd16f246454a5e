"""What stands on the table: categories in several shapes, colours and sizes.

A shape is a list of parts; a part is a mesh of simulation/meshes.py or a primitive, with a colour role: 'body' takes the
object's colour, 'label' a printed texture in that colour, anything else is a fixed RGBA.
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
_CAP: RGBA = (.85, .85, .83, 1.)

# category -> shape -> its parts; every category has a 'standard' shape.
SHAPES: Dict[str, Dict[str, Shape]] = {
    "mug": {
        STANDARD: Shape(.055, .095, (Part("mug_body"), Part("mug_handle"))),
        "tall": Shape(.054, .120, (Part("mug_tall"), Part("mug_handle_tall"))),
        "tapered": Shape(.058, .088, (Part("mug_tapered"), Part("mug_handle"))),
        "round": Shape(.060, .090, (Part("mug_round"), Part("mug_handle_round"))),
    },
    "bowl": {
        STANDARD: Shape(.080, .057, (Part("bowl"),)),
        "deep": Shape(.070, .072, (Part("bowl_deep"),)),
        "conical": Shape(.082, .050, (Part("bowl_conical"),)),
    },
    "plate": {
        STANDARD: Shape(.101, .018, (Part("plate"),)),
        "deep": Shape(.095, .028, (Part("plate_deep"),)),
        "octagonal": Shape(.098, .016, (Part("plate_octagonal"),)),
    },
    "bottle": {
        STANDARD: Shape(.036, .212, (Part("bottle"), Part("bottle_cap", _CAP))),
        "wine": Shape(.038, .250, (Part("bottle_wine"), Part("bottle_cap_wine", _CAP))),
        "squat": Shape(.044, .160, (Part("bottle_squat"), Part("bottle_cap_squat", _CAP))),
        "flask": Shape(.042, .190, (Part("bottle_flask"), Part("bottle_cap_flask", _CAP))),
    },
    "can": {
        STANDARD: Shape(.036, .122, (Part("can_side", "label"), Part("can_base", METAL), Part("can_top", METAL))),
        "short": Shape(.044, .062, (Part("can_side_short", "label"), Part("can_base_short", METAL),
                                    Part("can_top_short", METAL))),
        "slim": Shape(.029, .145, (Part("can_side_slim", "label"), Part("can_base_slim", METAL),
                                   Part("can_top_slim", METAL))),
    },
    "box": {
        STANDARD: Shape(.060, .130, (Part("box", "label", (.045, .026, .065)),)),
        "cube": Shape(.062, .084, (Part("box", "label", (.042, .042, .042)),)),
        "flat": Shape(.080, .044, (Part("box", "label", (.065, .042, .022)),)),
    },
    "ball": {
        STANDARD: Shape(.038, .076, (Part("sphere", "body", (.038,)),)),
        "oval": Shape(.052, .066, (Part("ball_oval"),)),
    },
    "banana": {
        STANDARD: Shape(.090, .042, (Part("banana"),)),
        "slender": Shape(.092, .036, (Part("banana_slender"),)),
        "stout": Shape(.080, .054, (Part("banana_stout"),)),
    },
}
CATEGORIES: Tuple[str, ...] = tuple(SHAPES)


def shape_of(category: str, shape: str = STANDARD) -> Shape:
    """A category's shape. Raises KeyError for an unknown one."""
    return SHAPES[category][shape]


# sRGB in [0, 1]; jittered per object when a scene is sampled.
COLORS: Dict[str, Tuple[float, float, float]] = {
    "red": (.80, .06, .06), "green": (.08, .50, .14), "blue": (.06, .18, .72), "yellow": (.92, .78, .05),
    "orange": (.95, .42, .03), "purple": (.42, .12, .55), "white": (.90, .90, .88), "black": (.06, .06, .07),
}

# Colours that a category can have; all of COLORS where it is not listed.
NATURAL_COLORS: Dict[str, Tuple[str, ...]] = {"banana": ("yellow", "green")}

# Scale factor of each size class.
SIZES: Dict[str, float] = {"small": .78, "medium": 1.0, "large": 1.25}

# Never drawn for training (SceneConfig's default), so that the out-of-distribution test can draw them.
HELD_OUT_PAIRS: Tuple[Tuple[str, str], ...] = (
    ("red", "bowl"), ("green", "mug"), ("blue", "box"), ("yellow", "can"), ("orange", "bottle"), ("purple", "plate"),
    ("white", "ball"), ("black", "can"))
HELD_OUT_SHAPES: Tuple[Tuple[str, str], ...] = (
    ("mug", "round"), ("bowl", "conical"), ("plate", "octagonal"), ("bottle", "flask"), ("can", "slim"), ("box", "flat"),
    ("ball", "oval"), ("banana", "stout"))
