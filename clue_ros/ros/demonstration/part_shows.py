"""What each part of the demo does with the running nodes, and what of it is shown: (title, panels, lines said)."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from clue_ros.belief.belief import Belief
from clue_ros.geometry import box_iou
from clue_ros.ros.client import Reply, click, mark, scribble
from clue_ros.ros.demonstration.processes import own_environment
from clue_ros.ros.demonstration.robot import Robot
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.types import Box, ClueError
from clue_ros.visualization.part_pictures import Panel, tinted, with_boxes

Shown = Tuple[str, List[Panel], List[Tuple[str, str]]]
CLEAR, BY_COLOR, BY_POSITION, CROWD = 0, 1, 2, 3  # indices of episodes, see derive_episode
MODES = ("overlay", "blur", "greyscale", "crop")
DIALOGUE_S = 300.0  # for `clue data dialogues`, loading included, on a slow machine


def masks(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """The target's pixels (Target.mask), and what a longer instruction is about."""
    robot.set("clue", target_mask=True)
    panels, lines = [], []
    for index in (CLEAR, CLEAR + 6, CLEAR + 12):
        episode, view = stage.render(index)
        result = robot.ground(episode.expression, view.rgb, policy="best_guess")
        mask = result.target.mask
        if not mask.height:
            raise ClueError("this model has no masks (mask.safetensors): clue train mask")
        pixels = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.step)[:, : mask.width] > 0
        truth = view.objects[episode.target_index].box
        panels.append(
            Panel(
                f"“{episode.expression}”",
                tinted(view.rgb, pixels),
                f"{int(pixels.sum())} pixels · box: IoU {box_iou(msg_to_box(result.target.box), truth):.2f}",
            )
        )
    robot.set("clue", target_mask=False)
    return "Masks: the target's pixels (Target.mask)", panels, lines


def focus(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """A camera without distractors: one frame under every mode of the focus node."""
    view, words = _two_things(stage)
    panels = [Panel("image", view.rgb)]
    for mode in MODES:
        panels.append(Panel(f"mode: {mode}", robot.focused(view.rgb, words, mode)))
    panels.append(Panel("mode: overlay, crop: true", robot.focused(view.rgb, words, "overlay", crop=True)))
    return f"Focus: “{words}”", panels, []


def pointing(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """Numbers asked and answered, a scribble with "the one here", and a click with "another one like this"."""
    episode, view = stage.render(BY_POSITION)
    target = view.objects[episode.target_index].box
    robot.set("clue", question_policy="numbers")
    said: List[str] = []

    def by_number(question: str) -> Reply:
        offered = [msg_to_box(box) for box in robot.spin_until_reading(1)[0].candidates]
        number = 1 + max(range(len(offered)), key=lambda n: box_iou(offered[n], target))
        said.extend([question, f"{number}"])
        return mark(number)

    result = robot.ground(episode.expression, view.rgb, by_number)
    reading = robot.spin_until_reading(1)[0]
    robot.set("clue", question_policy="learned")
    if not said:
        raise ClueError(f"{episode.expression!r} was not asked about: try another --seed")
    numbered = with_boxes(
        view.rgb,
        candidates=[msg_to_box(b) for b in reading.candidates],
        labels=[str(n + 1) for n in range(len(reading.candidates))],
        target=msg_to_box(result.target.box),
    )
    stroke = _stroke(target)
    here = robot.ground("the one here", view.rgb, pointing=scribble(stroke))
    example = robot.ground("another one like this", view.rgb, pointing=click(*target.center))
    panels = [
        Panel("question_policy: numbers", numbered, f"answered with mark {said[1]}"),
        Panel(
            "“the one here”, with a scribble",
            _scribbled(with_boxes(view.rgb, target=msg_to_box(here.target.box)), stroke),
        ),
        Panel(
            "“another one like this”, with a click",
            with_boxes(view.rgb, target=msg_to_box(example.target.box), clicks=[target.center]),
            "the click is the example, the box the answer",
        ),
    ]
    lines = [("person", episode.expression), ("robot", said[0]), ("person", said[1])]
    return "Pointing: numbers, scribbles, examples", panels, lines


def belief(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """The belief before and after each answer to a question by information gain."""
    from clue_ros.evaluation.episode_runner import person_rng
    from clue_ros.simulation.person import SimulatedPerson

    episode, view = stage.render(BY_COLOR)
    person = SimulatedPerson(view.objects, episode.target_index, person_rng(options.seed, BY_COLOR))
    robot.set("clue", question_policy="information_gain")
    lines = [("person", episode.expression)]

    def truthfully(question: str) -> Reply:
        lines.extend([("robot", question), ("person", person.answer(question))])
        return lines[-1][1]

    result = robot.ground(episode.expression, view.rgb, truthfully)
    readings = robot.spin_until_reading(1 + len(lines) // 2)
    robot.set("clue", question_policy="learned")
    panels = []
    for number, reading in enumerate(readings):
        if not reading.belief:
            raise ClueError("no belief was kept: this model cannot be read (belief/reader.py)")
        boxes = [msg_to_box(box) for box in reading.candidates]
        bits = Belief.of(boxes, reading.belief).entropy
        last = number == len(readings) - 1
        picture = with_boxes(
            view.rgb,
            candidates=boxes,
            labels=[f"{100 * p:.0f}%" for p in reading.belief],
            target=msg_to_box(result.target.box) if last else None,
        )
        label = "before any answer" if not number else f"after “{lines[2 * number][1]}”"
        note = f"{bits:.2f} bits are missing"
        if last:
            truth = view.objects[episode.target_index].box
            note += f" · IoU {box_iou(msg_to_box(result.target.box), truth):.2f} with what the person means"
        panels.append(Panel(label, picture, note))
    lines.append(("robot", result.turns[-1].text))
    return "Belief: the question from whose answer most is expected", panels, lines


def teaching(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """A thing is boxed and named in one scene, and handed over by that name in another."""
    from clue_ros.evaluation.episode_runner import derive_episode

    _, view = stage.render(CROWD)
    shown = max((o for o in view.objects if o.box is not None), key=lambda o: o.box.area)
    looks = (shown.category, shown.color, shown.shape)
    others = (n for n in range(CROWD + 1, 200) if _looks_of(derive_episode(options.seed, n).scene).count(looks) == 1)
    _, elsewhere = stage.render(next(others, CROWD))
    name = "my treasure"
    robot.teach(name, view.rgb, shown.box)
    found = robot.ground(f"hand me {name}", elsewhere.rgb, policy="best_guess")
    panels = [
        Panel(f"shown by a box: “{name}”", with_boxes(view.rgb, target=shown.box)),
        Panel(f"“hand me {name}”", with_boxes(elsewhere.rgb, target=msg_to_box(found.target.box))),
    ]
    return "Teaching: shown once, found elsewhere", panels, []


def _looks_of(scene: Any) -> List[Tuple[str, str, str]]:
    return [(o.category, o.color, o.shape) for o in scene.objects]


def _boxes_only(folder: Path, view: Any) -> None:
    """image.png and boxes.jsonl: what annotation starts from, boxes without any words."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "image.png"), view.rgb[..., ::-1])
    boxes = [{"box": [float(v) for v in o.box]} for o in view.objects if o.box is not None]
    size = [view.rgb.shape[1], view.rgb.shape[0]]
    (folder / "boxes.jsonl").write_text(
        json.dumps({"image": "image.png", "size": size, "instances": boxes}) + "\n", "utf-8"
    )


def chat(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """Grounded chat: two questions about one picture."""
    from clue_ros.chat.answer import GroundedAnswer, Phrase
    from clue_ros.visualization.chat_picture import chat_picture

    _, view = stage.render(CROWD)
    panels = []
    for question in ("what is on the table?", f"where is the {view.objects[0].category}?"):
        told = robot.chat(question, view.rgb)
        phrases = tuple(Phrase(p.start, p.end, msg_to_box(p.box), p.confidence) for p in told.phrases)
        panels.append(Panel("service chat", chat_picture(view.rgb, GroundedAnswer(question, told.text, phrases))))
    return "Chat: answers whose phrases carry boxes", panels, []


def making_dialogue(stage: Any, options: argparse.Namespace) -> "subprocess.Popen[str]":
    """`clue data dialogues` at work on an image with boxes: it loads a model of its own, so it begins early."""
    _, view = stage.render(BY_COLOR)
    folder = (options.output / "dialogue").resolve()
    _boxes_only(folder, view)
    command = [sys.executable, "-m", "clue_ros.cli", "data", "dialogues", str(folder / "boxes.jsonl")]
    command += ["--format", "lines", "--output", str(folder / "made"), "--per-image", "4", "--asked-only", "--fresh"]
    command += ["--model", options.model] if options.model else []
    pipes: Dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=own_environment(), **pipes)


def dialogue(robot: Robot, stage: Any, options: argparse.Namespace) -> Shown:
    """One dialogue made by machine from an image with boxes; options.making: what makes it."""
    _, view = stage.render(BY_COLOR)
    making = options.making
    said, complaint = making.communicate(timeout=DIALOGUE_S)
    if making.returncode:
        raise ClueError(f"clue data dialogues: {complaint.strip()[-500:]}")
    lines_made = (options.output / "dialogue" / "made" / "dialogues.jsonl").read_text("utf-8").splitlines()
    made = [json.loads(line) for line in lines_made]
    if not made:
        raise ClueError(f"no dialogue was kept ({said.strip()}): try another --seed")
    first: Dict[str, Any] = made[0]
    lines = [("caption", first["expression"])]
    for turn in first["turns"]:
        lines += [("question", turn["question"]), ("oracle", turn["answer"])]
    lines.append(("guesser", "found it again: the dialogue is kept"))
    boxes = [o.box for o in view.objects if o.box is not None]
    panels = [Panel("given: an image with boxes", with_boxes(view.rgb, candidates=boxes, labels=[""] * len(boxes))),
              Panel("drawn: a target, by its area", with_boxes(view.rgb, target=Box(*first["boxes"][0])))]  # fmt: skip
    return "A dialogue made by machine", panels, lines


def _two_things(stage: Any) -> Tuple[Any, str]:
    """A scene with an instruction about two of its things, each alone of its kind."""
    for index in range(60):
        _, view = stage.render(index)
        kinds = [o.category for o in view.objects]
        alone = [o for o in view.objects if kinds.count(o.category) == 1 and o.box is not None]
        ground = [o for o in alone if o.category in ("plate", "bowl", "box")]
        moved = [o for o in alone if o.category in ("mug", "can", "ball", "banana", "bottle")]
        if ground and moved and len(view.objects) >= 5:
            return view, f"put the {moved[0].color} {moved[0].category} on the {ground[0].category}"
    raise ClueError("no scene of this seed suits: try another --seed")


def _stroke(box: Box) -> List[Tuple[float, float]]:
    """A zigzag over the middle of a box, as a finger draws it."""
    (cx, cy), width, height = box.center, 0.3 * (box.x1 - box.x0), 0.3 * (box.y1 - box.y0)
    return [(cx + width * x, cy + height * y) for x, y in ((-1, -1), (1, -0.5), (-1, 0), (1, 0.5), (-1, 1))]


def _scribbled(picture: np.ndarray, stroke: Sequence[Tuple[float, float]]) -> np.ndarray:
    import cv2

    from clue_ros.visualization import palette

    line = np.asarray(stroke, np.float32).round().astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [line], False, (255, 255, 255), 5, cv2.LINE_AA)
    cv2.polylines(picture, [line], False, palette.PERSON, 3, cv2.LINE_AA)
    return picture
