"""A simulated person who has one object in mind and answers questions truthfully from the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import fits
from clue_ros.simulation.answers import answer, by_another, refusal, reply, restated
from clue_ros.simulation.lexicon import POSITIONS
from clue_ros.simulation.question_reading import asks_for, offered
from clue_ros.simulation.referring import Reference, means, resolve
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.utterances import DONT_KNOW


@dataclass(frozen=True)
class _Offer:
    reference: Reference
    keeps: Tuple[int, ...]


class SimulatedPerson:
    """Answers by attribute, position, size, relation, yes / no, negation or "neither", from the scene's truth alone.

    objects: with boxes, as rendered; target: index of the object in mind (None: it is not in the scene);
    image: size of the render in pixels; among: what the instruction was about (default: all of the target's category).
    The person remembers what the dialogue has already narrowed down.
    """

    def __init__(
        self,
        objects: Sequence[SceneObject],
        target: Optional[int],
        rng: np.random.Generator,
        image: ImageSize = ImageSize(640, 480),
        among: Optional[Sequence[int]] = None,
    ):
        self._objects, self._target, self._rng, self._image = objects, target, rng, image
        pool = range(len(objects)) if among is None else among
        self._candidates: List[int] = [
            i
            for i in pool
            if target is not None
            and objects[i].box is not None
            and objects[i].pixels > 0
            and (among is not None or fits(objects[target].category, objects[i].category))
        ]
        self._rivals: List[int] = self._candidates  # the last time there were any

    def answer(self, question: str) -> str:
        """The reply to a clarifying question in free text."""
        if self._target is None:
            return refusal(self._rng)
        references = offered(question)
        if not references:
            return self._open(question)
        offers = [_Offer(r, self._kept(r)) for r in references]
        true = [o for o in offers if self._target in o.keeps]
        if len(offers) == 1:
            return self._yes_or_no(offers[0])
        if not true:
            return self._none_fits(references)
        # An option as narrow as can be: of "the mug or the red mug" a person picks the second.
        best = min(true, key=lambda o: len(o.keeps))
        rivals = [o for o in offers if o is not best and self._target not in o.keeps]
        said = reply([best, *rivals], self._meant, self._pool(offers), self._objects, self._image, self._rng)
        self._keep(said.keeps)
        return said.text

    def click(self) -> Tuple[float, float]:
        """A point on the object in mind, in pixels of the render. Raises ValueError if it is not in the scene."""
        if self._target is None or self._objects[self._target].box is None:
            raise ValueError("the object in mind is not in the image: there is nothing to click on")
        return self._objects[self._target].visible_box.center

    @property
    def _meant(self) -> int:
        if self._target is None:
            raise ValueError("the object in mind is not in the scene")
        return self._target

    def _kept(self, reference: Reference) -> Tuple[int, ...]:
        """What an option means among the things that the dialogue is still about, or else in the whole scene; for other
        kinds of things, those in the scene."""
        item = self._objects[self._meant]
        if not means(reference.category, item) or reference.color not in (None, item.color):
            return resolve(Reference(reference.category, reference.color), self._objects, self._image) or ()
        # Asked again though all is said: "left or right" is still about what there was to choose from.
        pool = self._candidates if len(self._candidates) > 1 else self._rivals
        return resolve(reference, self._objects, self._image, among=pool) or ()

    def _pool(self, offers: Sequence[_Offer]) -> Tuple[int, ...]:
        return tuple(dict.fromkeys([*self._candidates, *(i for o in offers for i in o.keeps)]))

    def _yes_or_no(self, offer: _Offer) -> str:
        if self._target in offer.keeps:
            self._keep(offer.keeps)
            return "yes"
        self._keep([i for i in self._candidates if i not in offer.keeps])
        item, asked = self._objects[self._meant], offer.reference
        if means(asked.category, item) and asked.color in (None, item.color):
            return "no"
        return f"no , the {item.color} {item.category}" if item.color else f"no , the {item.category}"

    def _none_fits(self, references: Sequence[Reference]) -> str:
        item, first = self._objects[self._meant], references[0]
        if not any(means(r.category, item) for r in references):
            return refusal(self._rng, Reference(item.category))
        kinds = {r.kind() for r in references}
        if item.color and any(r.color for r in references) and item.color not in {r.color for r in references}:
            self._narrow(Reference(color=item.color))
            return refusal(self._rng, Reference(first.category, item.color))
        if len(self._candidates) > 1 and kinds & {"position", "ordinal"}:
            for position in POSITIONS:
                if self._kept(Reference(position=position)) == (self._target,):
                    return refusal(self._rng, Reference(position=position))
        return str(self._rng.choice(DONT_KNOW))

    def _open(self, question: str) -> str:
        """An answer to "which color ?" or "which one do you mean ?"."""
        item, asked = self._objects[self._meant], asks_for(question)
        if asked == "category":
            reference: Optional[Reference] = Reference(item.category)
        elif asked in ("size", "position"):
            reference = None
        else:
            reference = Reference(item.category, item.color or None)
        if reference is not None and (asked is not None or self._tells(reference)):
            self._narrow(reference)
            return answer(reference, self._rng)
        kind = "color_category" if asked == "position" else "category"
        for say in ((lambda: by_another(kind, *self._situation())), (lambda: restated(*self._situation()))):
            said = say()
            if said is not None:
                self._keep(said.keeps)
                return said.text
        return str(self._rng.choice(DONT_KNOW))

    def _situation(self):
        return self._meant, self._candidates, self._objects, self._image, self._rng

    def _tells(self, reference: Reference) -> bool:
        kept = self._kept(reference)
        return self._target in kept and len(kept) < len(self._candidates)

    def _narrow(self, reference: Reference) -> None:
        self._keep(self._kept(reference))

    def _keep(self, indices: Sequence[int]) -> None:
        kept = [i for i in self._candidates if i in indices]
        if len(self._candidates) > 1:
            self._rivals = self._candidates
        self._candidates = kept or self._candidates
