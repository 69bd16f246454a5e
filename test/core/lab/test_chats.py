"""Chats with boxes written by a program: what is kept, what is rejected and counted, and who reads them."""

import json
import sys

import pytest
from drawn_data import draw

from clue_ros.cli.main import main
from clue_ros.data.formats import open_data
from clue_ros.data.pictures import open_pictures
from clue_ros.data.stream import SampleStream
from clue_ros.lab.annotation.chats import ELSEWHERE, INVENTED, NO_CHAT, NOTHING, RejectedChat, checked
from clue_ros.types import Box

DOG, MAN = ("dog", Box(30, 8, 50, 40)), ("person", Box(4, 6, 14, 26))
PROGRAM = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    thing = asked["instances"][0]
    box = [v + 9 for v in thing["box"]] if "3" in asked["image"] else thing["box"]
    answer = f"The {thing['name']}: {asked['captions'][0]}"
    named = [{"phrase": f"The {thing['name']}", "box": box}]
    turns = [{"question": "What is it?", "answer": answer, "groundings": named}]
    print(json.dumps({"turns": turns}) if "2" not in asked["image"] else "Sure, here it is", flush=True)
"""


def test_a_program_writes_chats_that_training_and_evaluation_read(tmp_path, capsys):
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in (1, 2, 3, 4)]
    for image in images:
        draw(tmp_path / image["file_name"], image["id"])
    boxes = [{"image_id": n, "bbox": [4, 6, 10, 20], "category_id": 1} for n in (1, 2, 3, 4)]
    named = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "dog"}]}
    said = [{"image_id": n, "caption": f" a dog in picture {n} "} for n in (1, 2, 3, 4)]
    (tmp_path / "instances_train2017.json").write_text(json.dumps(named))
    (tmp_path / "captions_train2017.json").write_text(json.dumps({"images": images, "annotations": said}))
    (tmp_path / "writes.py").write_text(PROGRAM)
    command = ["data", "chats", str(tmp_path / "instances_train2017.json"), "-o", str(tmp_path / "out")]
    command += ["--captions", str(tmp_path / "captions_train2017.json")]
    command += ["--model-command", sys.executable, str(tmp_path / "writes.py")]
    assert main(command) == 0
    assert "2 chats" in (told := capsys.readouterr().out) and "1 invented box" in told and "1 no chat" in told
    pictures = list(open_pictures(tmp_path / "out/chat.jsonl", images=tmp_path))
    assert [(p.question, p.instances[0].name) for p in pictures] == [("What is it?", "dog")] * 2
    line = json.loads((tmp_path / "out/chat.jsonl").read_text().splitlines()[0])
    assert line["answer"] == "The dog: a dog in picture 1"
    assert line["groundings"] == [{"phrase": "The dog", "box": [4, 6, 14, 26]}]
    samples = list(SampleStream(open_data(tmp_path / "out/phrases.jsonl", images=tmp_path)))
    assert [(s.expression, s.boxes, s.split) for s in samples] == [("The dog", (Box(4, 6, 14, 26),), "train")] * 2
    before = (tmp_path / "out/chat.jsonl").read_bytes()
    assert main(command) == 0 and (tmp_path / "out/chat.jsonl").read_bytes() == before, "what is there is passed over"


def turn(answer="A dog and a man.", **named):
    return {"question": "what?", "answer": answer, "groundings": [{"phrase": p, "box": b} for p, b in named.items()]}


@pytest.mark.parametrize(
    "turns, reason",
    [
        ([], NO_CHAT),
        ("a dog", NO_CHAT),
        ([{"question": "what?"}], NO_CHAT),
        ([{**turn(), "groundings": [{"phrase": "dog"}]}], NO_CHAT),
        ([turn(dog=[31, 8, 53, 40])], INVENTED),
        ([turn(dog=list(DOG[1])), turn(dog=[0, 0, 64, 48])], INVENTED),
        ([turn(cat=list(DOG[1]))], ELSEWHERE),
        ([turn()], NOTHING),
    ],
)
def test_what_is_no_grounded_chat_is_rejected_whole(turns, reason):
    with pytest.raises(RejectedChat, match=reason):
        checked({"turns": turns}, [DOG, MAN])


def test_a_box_that_was_rounded_is_the_given_one():
    ((_, _, named),) = checked({"turns": [turn(dog=[30.4, 8, 50, 40.9], man=[4, 6, 14, 26])]}, [DOG, MAN])
    assert named == [("dog", DOG[1]), ("man", MAN[1])]
