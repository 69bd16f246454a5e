"""Chats whose phrases carry boxes, written by a language model that sees an image's boxes and captions as text
(LLaVA-Grounding, section 3: "Grounded Visual Chat data").

The program gets a line {"image": "7.jpg", "size": [640, 480], "captions": ["…"], "instances": [{"name": "mug", "box":
[x0, y0, x1, y1]}]} and writes one back:
    {"turns": [{"question": "…", "answer": "A mug …", "groundings": [{"phrase": "A mug", "box": [x0, y0, x1, y1]}]}]}
A chat is kept only as a whole: each box must be one that was given, each phrase must stand in its answer.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from clue_ros.data.instances import Picture, to_line
from clue_ros.data.line_program import LineProgram
from clue_ros.data.sample import box_of
from clue_ros.data.textfiles import json_object, read_lines
from clue_ros.lab.annotation.paraphrase import plausible
from clue_ros.prompt import check_expression
from clue_ros.types import Box, ClueError, InvalidExpressionError

KEPT, NO_CHAT, INVENTED, ELSEWHERE, NOTHING = "kept", "no chat", "invented box", "phrase not in answer", "nothing named"
NEAR = 1.0  # pixels by which a box that was repeated may differ
MOST = 4096  # characters of an answer
Named = Tuple[str, Box]


class RejectedChat(Exception):
    """Why a chat is not used: the text is one of the outcomes above."""


def captions_of(file: Path) -> Dict[str, List[str]]:
    """Image name without folders -> its captions, of COCO's captions_*.json. Raises ClueError."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        names = {image["id"]: Path(str(image["file_name"])).name for image in content["images"]}
        found: Dict[str, List[str]] = {name: [] for name in names.values()}
        for line in content["annotations"]:
            found[names[line["image_id"]]].append(str(line["caption"]).strip())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClueError(f"{file} holds no captions as COCO's: {type(error).__name__} {error}") from error
    return found


def checked(said: Mapping[str, Any], instances: Sequence[Named]) -> List[Tuple[str, str, List[Named]]]:
    """(question, answer, phrases with the boxes that were given) of each turn. Raises RejectedChat."""
    turns, found = said.get("turns"), []
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise RejectedChat(NO_CHAT)
    for turn in turns:
        question, answer, groundings = turn.get("question"), turn.get("answer"), turn.get("groundings", [])
        if not plausible(question) or not plausible(answer, MOST) or not isinstance(groundings, list):
            raise RejectedChat(NO_CHAT)
        found.append((question.strip(), answer.strip(), [_grounded(g, answer, instances) for g in groundings]))
    if not any(named for _, _, named in found):
        raise RejectedChat(NOTHING)
    return found


def _grounded(value: Any, answer: str, instances: Sequence[Named]) -> Named:
    try:
        phrase, box = value["phrase"].strip(), box_of(value["box"])
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise RejectedChat(NO_CHAT) from error
    if not phrase or phrase not in answer:
        raise RejectedChat(ELSEWHERE)
    for _, given in instances:
        if max(abs(a - b) for a, b in zip(given, box)) <= NEAR:
            return phrase, given
    raise RejectedChat(INVENTED)


def make_chats(
    pictures: Iterable[Picture], captions: Mapping[str, Sequence[str]], program: LineProgram, folder: Path
) -> Counter:
    """Append to FOLDER/chat.jsonl and phrases.jsonl; pictures that stand there already are passed over, rejected ones
    are tried again. Returns how often what came of a picture. Raises ClueError if the program ends or is silent."""
    folder.mkdir(parents=True, exist_ok=True)
    chats, phrases = folder / "chat.jsonl", folder / "phrases.jsonl"
    done = {json_object(line)["id"].rpartition("/")[0] for _, line in read_lines(chats)} if chats.exists() else set()
    counts: Counter = Counter()
    for picture in pictures:
        if picture.key in done or not picture.instances:
            continue
        given = [(i.name, i.box) for i in picture.instances]
        request = {
            "image": picture.image.name,
            "size": list(picture.image.size),
            "captions": list(captions.get(Path(picture.image.name).name, ())),
            "instances": [{"name": name, "box": _rounded(box)} for name, box in given],
        }
        try:
            turns = checked(program.ask(request), given)
        except (RejectedChat, ValueError) as error:
            counts[str(error) if isinstance(error, RejectedChat) else NO_CHAT] += 1
            continue
        # Phrases first: a picture counts as done by its chat.
        _append(phrases, [line for n, turn in enumerate(turns) for line in _samples(picture, n, turn[2])])
        _append(chats, [_chat(picture, n, *turn) for n, turn in enumerate(turns)])
        counts[KEPT] += 1
    return counts


def _chat(picture: Picture, number: int, question: str, answer: str, named: Sequence[Named]) -> str:
    said = [{"phrase": phrase, "box": _rounded(box)} for phrase, box in named]
    return to_line(picture, id=f"{picture.key}/{number}", question=question, answer=answer, groundings=said)


def _samples(picture: Picture, number: int, named: Sequence[Named]) -> List[str]:
    """Each phrase as an instruction with its boxes."""
    boxes: Dict[str, List[Box]] = {}
    for phrase, box in named:
        boxes.setdefault(phrase, []).append(box)
    lines = []
    for phrase, own in boxes.items():
        try:
            check_expression(phrase)
        except InvalidExpressionError:
            continue
        entry = {"id": f"{picture.key}/{number}/{phrase}", "image": picture.image.name, "size": picture.image.size}
        entry.update(expression=phrase, boxes=[_rounded(box) for box in own], split=picture.split or "train")
        lines.append(json.dumps({**entry, **({"label": "clear"} if len(own) == 1 else {})}, ensure_ascii=False))
    return lines


def _append(file: Path, lines: Sequence[str]) -> None:
    with open(file, "a", encoding="utf-8") as out:
        out.write("".join(f"{line}\n" for line in lines))


def _rounded(box: Box) -> List[float]:
    return [round(float(v), 2) for v in box]
