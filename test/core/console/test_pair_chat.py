"""Two people about one picture: the rules, what is written, and what a stranger or the other role gets to see."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from drawn_data import draw, write_lines

from clue_ros.console.pair_chat import ORACLE, QUESTIONER, PairChat
from clue_ros.console.pair_server import PairServer
from clue_ros.console.requests import Instruct, Live, NeverMind, Point, RequestError
from clue_ros.console.server import Settings
from clue_ros.data import SampleStream, open_data
from clue_ros.data.pictures import open_pictures
from clue_ros.data.sample import Label
from clue_ros.types import Box, ClueError

MUGS = [[2, 2, 20, 20], [40, 20, 60, 40]]


@pytest.fixture
def pictures(tmp_path):
    things = [*({"box": box, "name": "mug"} for box in MUGS), {"box": [0, 0, 64, 48], "name": "table"}]
    for n in range(3):
        draw(tmp_path / f"{n}.jpg", n)
    return write_lines(tmp_path / "boxes.jsonl", [{"image": f"{n}.jpg", "instances": things} for n in range(3)])


def chat_about(pictures, output):
    return PairChat(open_pictures(pictures), output)


def played(chat, hit, pair="1"):
    """One dialogue with one question, up to the click."""
    chat.do(pair, ORACLE, Instruct("get me the mug"))
    chat.do(pair, QUESTIONER, Instruct("which one?"))
    chat.do(pair, ORACLE, Instruct("the lower one"))
    target = chat.view(pair, ORACLE)["target"]
    assert target in MUGS  # of what stands there twice
    box = target if hit else next(b for b in MUGS if b != target)
    chat.do(pair, QUESTIONER, Point(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    return target


def test_a_dialogue_becomes_a_line_that_training_reads(pictures, tmp_path):
    chat, output = chat_about(pictures, tmp_path / "out.jsonl"), tmp_path / "out.jsonl"
    assert "target" not in chat.view("1", QUESTIONER)
    target = played(chat, True)
    shown = chat.view("1", QUESTIONER)
    assert shown["right"] is True and shown["target"] == target and shown["collected"] == 1
    (sample,) = SampleStream(open_data(output))
    assert (sample.expression, sample.label, sample.boxes) == ("get me the mug", Label.AMBIGUOUS, (Box(*target),))
    assert [(t.question, t.answer.text) for t in sample.turns] == [("which one?", "the lower one")]
    assert len(sample.objects) == 3
    chat.do("1", QUESTIONER, Live())
    assert chat.view("1", ORACLE)["phase"] == "instruction" and chat.view("1", ORACLE)["task"] == 2
    played(chat, False)  # missed: kept apart
    assert len(output.read_text().splitlines()) == 1
    assert len((tmp_path / "out-missed.jsonl").read_text().splitlines()) == 1
    again = chat_about(pictures, output)  # goes on with the picture that nobody has talked about
    assert again.view("1", ORACLE)["collected"] == 1
    played(again, True)
    again.do("1", ORACLE, Live())
    assert again.view("1", ORACLE)["phase"] == "empty"


def test_each_moves_in_turn_and_pairs_have_pictures_of_their_own(pictures, tmp_path):
    chat = chat_about(pictures, tmp_path / "out.jsonl")
    for role, request in (
        (QUESTIONER, Instruct("what?")), (QUESTIONER, Point((5, 5))), (QUESTIONER, NeverMind()), (ORACLE, Live()),
    ):  # fmt: skip
        with pytest.raises(RequestError, match="wait for the other"):
            chat.do("1", role, request)
    chat.do("1", ORACLE, Instruct("the mug"))
    with pytest.raises(RequestError, match="click on a thing"):
        chat.do("1", QUESTIONER, Point((900, 900)))
    assert chat.view("2", ORACLE)["task"] == 2
    chat.do("1", ORACLE, NeverMind())
    assert chat.view("1", ORACLE)["task"] == 3 and chat.view("1", ORACLE)["expression"] == ""
    with pytest.raises(RequestError, match="over"):
        chat.pixels("1", 1)
    with pytest.raises(ClueError, match="other than dialogues"):
        chat_about(pictures, write_lines(tmp_path / "other.jsonl", [{"a": 1}]))


def test_who_gets_what_over_http(pictures, tmp_path):
    server = PairServer(chat_about(pictures, tmp_path / "out.jsonl"), Settings(port=0))
    server.start()
    try:
        queries = {role: urlsplit(url).query for role, url in server.urls.items()}

        def ask(path, query="", body=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("GET" if body is None else "POST", f"{path}?{query}", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

        assert ask("/")[0] == ask("/view", "token=x")[0] == ask("/image", "task=1")[0] == 401
        assert ask("/do", "", "{}")[0] == 401 and ask("/view", f"{queries[ORACLE]}&pair=../x")[0] == 401
        assert ask("/", queries[ORACLE], Host="evil.example")[0] == 403
        assert ask("/do", queries[ORACLE], "{}", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        status, page, headers = ask("/", queries[QUESTIONER])
        assert status == 200 and b"pair.js" in page and "default-src 'none'" in headers["Content-Security-Policy"]
        views = {role: json.loads(ask("/view", query)[1]) for role, query in queries.items()}
        assert views[ORACLE]["role"] == ORACLE and "target" in views[ORACLE] and "target" not in views[QUESTIONER]
        status, jpeg, _ = ask("/image", f"{queries[QUESTIONER]}&task={views[QUESTIONER]['task']}")
        assert status == 200 and jpeg[:2] == b"\xff\xd8"
        assert ask("/image", f"{queries[QUESTIONER]}&task=2")[0] == 404
        say = json.dumps({"type": "instruct", "text": "the mug"})
        assert ask("/do", queries[QUESTIONER], say)[0] == 409 and ask("/do", queries[ORACLE], say)[0] == 200
        assert ask("/do", queries[ORACLE], "[" * 20000)[0] == 413 and ask("/do", queries[ORACLE], "{")[0] == 409
        assert json.loads(ask("/view", f"{queries[QUESTIONER]}&since=0")[1])["expression"] == "the mug"
    finally:
        server.stop()
