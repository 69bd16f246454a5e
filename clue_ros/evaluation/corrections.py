"""How often a correction after the result leads to the object that the person means, on rendered episodes.

    python -m clue_ros.evaluation.corrections --first-seed 200 --seeds 12 --model DIR      (default: the embedded model)

Each ambiguous episode (two or three things of a kind) is played to its end. Where the target was found, the person
takes it back in favour of another thing of that kind, in several ways; each starts from the same result. "Asked
directly" is what the model makes of "no, the other one" as an answer, without dialogue/regrounding.py.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.dialogue.correction import QUESTION, Concluded
from clue_ros.dialogue.regrounding import correct
from clue_ros.dialogue.steps import Policy
from clue_ros.evaluation.episode_runner import FOUND_AT_IOU, EpisodeResult, derive_episode, person_rng, run_episode
from clue_ros.geometry import box_iou
from clue_ros.measures.metrics import wilson_interval
from clue_ros.seams import Grounder
from clue_ros.simulation.lexicon import POSITIONS
from clue_ros.simulation.referring import Reference, resolve
from clue_ros.simulation.scene import ImageSize
from clue_ros.types import Answer, Box, Decision, Turn

KINDS = (1, 2, 3)  # ambiguous by colour, by position, two questions: see derive_episode
SIZE = ImageSize(640, 480)
Try = Tuple[str, Optional[Decision], Sequence[Box]]  # what was said, what came of it, boxes that are right


def concluded(result: EpisodeResult) -> Concluded:
    """A played episode that found something as what a correction goes on from."""
    if result.box is None:
        raise ValueError("an episode that found nothing cannot be corrected")
    turns = tuple(Turn(question, Answer(answer)) for question, answer in zip(result.questions, result.answers))
    return Concluded(result.expression, Policy.ASK, 3, turns, result.decisions[0], result.box, 0.0)


def name_of(index: int, among: Sequence[int], objects: Sequence[Any]) -> Dict[str, str]:
    """What tells one object from the others of its kind: {"colour": "red", "position": "left"}, where it does."""
    words = {}
    if sum(objects[i].color == objects[index].color for i in among) == 1:
        words["colour"] = str(objects[index].color)
    placed = [p for p in POSITIONS if resolve(Reference(position=p), objects, SIZE, among=among) == (index,)]
    if placed:
        words["position"] = placed[0]
    return words


def tries(grounder: Grounder, encoded: Any, past: Concluded, objects: Sequence[Any], target: int) -> Iterator[Try]:
    """Every correction of one result, each on its own."""
    same = [i for i, item in enumerate(objects) if item.category == objects[target].category and item.box is not None]
    others = [i for i in same if i != target]
    right = [objects[i].box for i in others]
    count = "two" if len(same) == 2 else "more"
    if len(same) == 2:
        direct = (*past.turns, Turn(QUESTION, Answer("no, the other one")))
        decision = grounder.ground(encoded, past.expression, direct, may_ask=False)
        yield "the other one, of two: asked directly", decision, right
        yield "the other one, of two", correct(grounder, encoded, past, Answer("the other one")), right
    yield f"not that one, of {count}", correct(grounder, encoded, past, Answer("not that one"), may_ask=False), right
    for index in others:
        box = objects[index].box
        for attribute, word in name_of(index, same, objects).items():
            said = Answer(f"no, the {word} one")
            yield f"no, the ... one, by {attribute}", correct(grounder, encoded, past, said, may_ask=False), [box]
        yield "a click", correct(grounder, encoded, past, Answer(point=box.center), may_ask=False), [box]


def measure(grounder: Grounder, seeds: Sequence[int]) -> Tuple[Dict[str, List[bool]], int]:
    """({what was said: right or wrong each time}, episodes whose first target was wrong). Raises SimulationError."""
    from clue_ros.simulation.renderer import TabletopRenderer

    renderer = TabletopRenderer(SIZE.width, SIZE.height)
    rows: Dict[str, List[bool]] = defaultdict(list)
    wrong = 0
    for seed in seeds:
        for index in KINDS:
            episode = derive_episode(seed, index)
            view = renderer.render(episode.scene)
            result = run_episode(grounder, view, episode, rng=person_rng(seed, index))
            target = episode.target_index
            truth = None if target is None else view.objects[target].box
            if target is None or truth is None or result.box is None or box_iou(result.box, truth) < FOUND_AT_IOU:
                wrong += 1
                continue
            encoded = grounder.encode(np.asarray(view.rgb))
            for name, decision, boxes in tries(grounder, encoded, concluded(result), view.objects, target):
                found = decision.box if decision is not None else None
                rows[name].append(found is not None and any(box_iou(found, box) >= FOUND_AT_IOU for box in boxes))
    renderer.close()
    return dict(rows), wrong


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default=None, help="model directory (default: the embedded model)")
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=12, help="three episodes each")
    options = parser.parse_args(arguments)
    from clue_ros.grounder import Grounder

    rows, wrong = measure(
        Grounder.from_pretrained(options.model), range(options.first_seed, options.first_seed + options.seeds)
    )
    print(f"{options.seeds * len(KINDS)} episodes, {wrong} without a right first target, which are left out")
    for name, right in sorted(rows.items()):
        low, high = wilson_interval(sum(right), len(right))
        share = sum(right) / len(right)
        print(f"{name:40s} {sum(right):4d} of {len(right):4d}   {share:.2f} ({low:.2f} to {high:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
