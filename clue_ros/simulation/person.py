"""A simulated person who has one object in mind and answers questions truthfully from the scene."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.simulation import language
from clue_ros.simulation.referring import ImageSize, Reference, extreme
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.shapes import CATEGORIES, COLORS

POSITION_WORDS = {"left": "left", "leftmost": "left", "right": "right", "rightmost": "right", "middle": "middle",
                  "center": "middle", "front": "front", "closest": "front", "nearest": "front", "back": "back",
                  "farthest": "back", "furthest": "back", "behind": "back"}


class SimulatedPerson:
    """Answers by attribute, position, yes / no, negation or "neither", from the scene's truth alone.

    objects: with boxes, as rendered; target: index of the object in mind (None: it is not in the scene);
    image: size of the render in pixels. The person remembers what the dialogue has already narrowed down.
    """

    def __init__(self, objects: Sequence[SceneObject], target: Optional[int], rng: np.random.Generator,
                 image: ImageSize = ImageSize(640, 480)):
        self._objects, self._target, self._rng, self._image = objects, target, rng, image
        self._candidates: List[int] = [i for i, o in enumerate(objects) if target is not None and o.box
                                       and o.category == objects[target].category]

    def answer(self, question: str) -> str:
        """The reply to a clarifying question in free text."""
        if self._target is None:
            return "neither"
        words = question.lower().replace("?", " ").replace(",", " ").split()
        colors = [w for w in dict.fromkeys(words) if w in COLORS]
        categories = [w for w in dict.fromkeys(words) if w in CATEGORIES]
        positions = list(dict.fromkeys(POSITION_WORDS[w] for w in words if w in POSITION_WORDS))
        target = self._objects[self._target]
        if positions:
            return self._place(positions, yes_no="or" not in words and "which" not in words)
        if len(categories) > 1 and not colors:
            return (language.answer(Reference(category=target.category), self._rng) if target.category in categories
                    else f"neither , the {target.category}")
        if "or" not in words and (colors or categories) and "which" not in words and "what" not in words:
            fits = target.color in (colors or [target.color]) and target.category in (categories or [target.category])
            return "yes" if fits else f"no , the {target.color} {target.category}"
        if colors and target.color not in colors:
            return f"neither , the {target.color} one"
        same_color = [i for i in self._candidates if self._objects[i].color == target.color]
        if colors or "color" in words or len(same_color) < len(self._candidates):
            self._candidates = same_color
            rejected = [c for c in colors if c != target.color]
            return language.answer(Reference(target.category, target.color), self._rng,
                                   rejected[0] if len(colors) == 2 else None)
        return self._place(["left", "right", "front", "back", "middle"], yes_no=False)

    def click(self) -> Tuple[float, float]:
        """A point on the object in mind, in pixels of the render. Raises ValueError if it is not in the scene."""
        if self._target is None or self._objects[self._target].box is None:
            raise ValueError("the object in mind is not in the image: there is nothing to click on")
        return self._objects[self._target].box.center

    def _place(self, positions: Sequence[str], yes_no: bool) -> str:
        for position in positions:
            if len(self._candidates) < 2:
                break
            if extreme(position, self._candidates, self._objects, self._image) == self._target:
                if yes_no:
                    return "yes"
                return language.answer(Reference(position=position), self._rng)
        if yes_no:
            return "no"
        return str(self._rng.choice(language.DONT_KNOW))
