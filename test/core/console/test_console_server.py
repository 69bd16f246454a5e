"""The server over real HTTP and real WebSockets: what it serves, whom it refuses, and what abuse does to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from types import SimpleNamespace
from typing import Any, Callable, List, Optional

import numpy as np
import pytest
from exported_session import dialogues_of
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from clue_ros.console import access, requests, viewers
from clue_ros.console.access import AccessError
from clue_ros.console.client import open_page
from clue_ros.console.dialogue import PERSON, ROBOT, Found, Reading
from clue_ros.console.export import export_html
from clue_ros.console.page_files import page_files
from clue_ros.console.pictures import Frame, Pictures
from clue_ros.console.server import ConsoleServer, Settings
from clue_ros.console.state import ConsoleState
from clue_ros.types import Box, ClueError

LIMIT_S = 120.0  # generous: the machine may be busy
TOKEN = "0123456789abcdef0123"
EVIL = "</script><img src=x onerror=alert(1)>&\u2028"


class Robot:
    """Keeps what pages ask for; answers where a test says so."""

    def __init__(self) -> None:
        self.asked: List[Any] = []
        self.reply: Optional[str] = None

    def do(self, request: Any, tell: Callable[[str, str], None]) -> None:
        self.asked.append(request)
        if self.reply is not None:
            tell("error", self.reply)


class Running:
    """A server with its state, pictures and robot."""

    def __init__(self, **settings: Any) -> None:
        self.state, self.pictures, self.robot = ConsoleState(), Pictures(), Robot()
        recordings = settings.pop("recordings", {})
        self.server = ConsoleServer(
            self.state, self.pictures, self.robot, Settings(port=0, **settings), recordings,
            lambda: export_html(self.state, self.pictures),
        )  # fmt: skip
        self.server.start()
        self.host = f"127.0.0.1:{self.server.port}"

    def close(self) -> None:
        self.server.stop()
        self.pictures.close()

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT_S)
        connection.request(
            "GET", path, headers={"Host": self.host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        )
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def page(self, path: str = "", origin: Optional[str] = None, **options: Any):
        return open_page(self.server.url, path, origin, **options)


@pytest.fixture
def serve():
    running: List[Running] = []

    def make(**settings: Any) -> Running:
        running.append(Running(**settings))
        return running[-1]

    yield make
    for one in running:
        one.close()


def offer(running: Running, level: int) -> None:
    running.pictures.offer(Frame(level, lambda: np.full((48, 64, 3), level % 256, np.uint8)))


def a_dialogue(running: Running, text: str = "the mug") -> "tuple[int, int]":
    """A finished dialogue in the state: the ids of its frame and map."""
    frame = running.pictures.freeze(Frame(1, lambda: np.full((48, 64, 3), 90, np.uint8)))
    heat = running.pictures.keep_map(np.eye(16, dtype=np.uint8) * 255)
    with running.state.dialogues() as dialogues:
        dialogues.say(PERSON, text, 1.0, 1.0)
        dialogues.read(Reading(text, 0.9, 0.5, True, ((Box(1, 2, 3, 4), 1.0),), frame, heat), 1.2)
        dialogues.find_target(Found(Box(5, 6, 20, 30), 0.9, text, (0.1, 0.2, 0.7), "camera"))
        dialogues.say(ROBOT, "I see it.", 2.0, 2.0, "found")
    return frame, heat


def test_page_files_are_served_with_rules_for_the_browser(serve):
    running = serve()
    page = running.get("/")
    assert (
        page.status == 200 and page.getheader("content-type").startswith("text/html") and b"<html" in page.body.lower()
    )
    rules = page.getheader("content-security-policy")
    assert "script-src 'self'" in rules and "frame-ancestors 'none'" in rules and "unsafe" not in rules
    assert page.getheader("x-content-type-options") == "nosniff" and page.getheader("referrer-policy") == "no-referrer"
    assert page.getheader("access-control-allow-origin") is None
    for name, file in page_files().items():
        answer = running.get(f"/static/{name}")
        assert answer.status == 200 and answer.body == file.path.read_bytes()
    assert json.loads(running.get("/healthz").body) == {"ok": True}
    assert json.loads(running.get("/bags").body) == []


@pytest.mark.parametrize("path", [
    "/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/",
    "/static/server.py", "/static/index.html%00", "/docs", "/openapi.json", "/static/..\\server.py",
])  # fmt: skip
def test_no_path_of_a_request_is_opened(serve, path):
    answer = serve().get(path)
    assert answer.status == 404 and b"import" not in answer.body and b"root:" not in answer.body


def test_hello_state_and_pictures(serve):
    running = serve()
    running.state.connect(node="active", camera="ok", advice="")
    frame, heat = a_dialogue(running)
    with running.page() as page:
        page.until(lambda p: p.state and p.state["dialogue"]["target"] and len(p.pictures) == 2)
        assert page.hello["version"] == 1 and page.hello["limits"] == {"text": 1000, "message_bytes": 16384}
        assert page.hello["options"] == {"can_instruct": True, "live": True, "replay": []}
        dialogue = page.state["dialogue"]
        assert (dialogue["frame"], dialogue["readings"][0]["map"]) == (frame, heat)
        assert page.pictures[frame]["width"] == 64 and page.pictures[frame]["live"] is False
        assert page.pictures[heat]["mime"] == "image/png" and page.pictures[heat]["width"] == 16
        running.state.goal("a" * 32, "SENT", "the bowl")
        page.until(lambda p: p.state["goals"])
        with running.page() as second:  # whoever comes later gets all of it as well
            second.until(lambda p: p.state and p.state["goals"] and len(p.pictures) == 2)


def test_a_page_gets_the_next_frame_only_after_it_has_seen_the_last(serve):
    running = serve(frames_per_s=30.0)
    offer(running, 0)
    with running.page() as page:
        page.until(lambda p: p.frames)
        for level in range(1, 20):
            offer(running, level)
            time.sleep(0.02)
        page.read_for(0.3)
        assert len(page.frames) == 1  # dropped, not queued
        page.send(type="seen", frame=page.frames[0]["id"])
        page.until(lambda p: len(p.frames) == 2)
        page.read_for(0.2)
        assert len(page.frames) == 2
        page.send(type="seen", frame=page.frames[0]["id"])  # an old one, and one that never was
        page.send(type="seen", frame=10**9)
        offer(running, 21)
        page.read_for(0.3)
        assert len(page.frames) == 2


def test_frames_are_encoded_once_for_all_and_not_at_all_for_nobody(serve):
    running = serve(frames_per_s=30.0)
    for level in range(5):
        offer(running, level)
        time.sleep(0.05)
    assert running.pictures.encoded_live == 0
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(running.page()) for _ in range(5)]
        for page in pages:
            page.until(lambda p: p.frames)
        assert {page.frames[0]["id"] for page in pages} == {pages[0].frames[0]["id"]}
        assert running.pictures.encoded_live == 1


def test_a_page_that_takes_nothing_slows_nobody(serve):
    running = serve(frames_per_s=30.0)
    with running.page(), running.page() as page:  # the first reads nothing
        for level in range(10):
            offer(running, level)
            running.state.goal(f"{level:032x}", "SENT", "x" * 900)
            page.until(lambda p: len(p.frames) > level)
            page.send(type="seen", frame=page.frames[-1]["id"])
        assert len(page.frames) == 10


def test_what_a_page_asks_reaches_the_robot_and_its_answer_that_page_alone(serve):
    running = serve()
    running.robot.reply = "the node is away"
    with running.page() as page, running.page() as other:
        page.send(type="instruct", text="the mug")
        page.send(type="answer", box=[1, 2, 3, 4])
        page.until(lambda p: len(p.notes) == 2)
        assert running.robot.asked == [requests.Instruct("the mug"), requests.Answer(box=Box(1, 2, 4, 6))]
        assert page.notes[0] == {"type": "note", "level": "error", "text": "the node is away"}
        other.read_for(0.2)
        assert not other.notes


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        '{"type":"exec"}',
        '{"type":"cancel","goal":"x"}',
        "x" * 20000,
        b"\x00\xff" * 50,
        '{"type":"instruct","text":"a","path":"/etc/passwd"}',
        '{"type":"replay","bag":"r9","episode":0,"step":0}',
    ],
)
def test_what_is_not_understood_gets_a_note_and_the_page_goes_on(serve, bad):
    running = serve()
    with running.page() as page:
        page.socket.send(bad)
        page.until(lambda p: p.notes)
        assert page.notes[0]["level"] == "warn" and page.notes[0]["text"]
        assert running.robot.asked == []
        page.send(type="instruct", text="still here")
        wait(lambda: running.robot.asked)


def test_a_huge_message_closes_its_page_only(serve):
    running = serve()
    with running.page() as other:
        with pytest.raises(ConnectionClosed) as closed, running.page() as page:
            page.socket.send("x" * 10_000_000)
            page.read_for(LIMIT_S)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        other.send(type="instruct", text="still here")
        wait(lambda: running.robot.asked)


@pytest.fixture
def standing_clock(monkeypatch):
    """Of what is allowed a second: on a slow machine a flood takes longer than a second."""
    monkeypatch.setattr(access.Allowance.__init__, "__defaults__", (lambda: 100.0,))
    monkeypatch.setattr(viewers, "time", SimpleNamespace(monotonic=lambda: 100.0))


def test_a_flood_is_dropped_then_shown_the_door(serve, standing_clock):
    running = serve()
    with running.page() as other:
        with pytest.raises(ConnectionClosed) as closed, running.page() as page:
            for _ in range(5000):
                page.send(type="instruct", text="again")
            page.read_for(LIMIT_S)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1008
        assert len(running.robot.asked) == viewers.MESSAGES_PER_S and len(page.notes) <= 1
        other.send(type="instruct", text="somebody else")
        wait(lambda: requests.Instruct("somebody else") in running.robot.asked)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1"])
def test_pages_of_others_are_refused(serve, origin):
    running = serve()
    with pytest.raises(InvalidStatus) as refused, running.page(origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_without_an_origin_and_under_a_foreign_name_it_is_refused(serve):
    running = serve()
    with pytest.raises(InvalidStatus), connect(f"ws://{running.host}/ws", open_timeout=LIMIT_S):
        pass
    assert running.get("/", Host="evil.example").status == 403
    rebound = {"additional_headers": {"Host": f"evil.example:{running.server.port}"}}
    with pytest.raises(InvalidStatus), running.page(origin=f"http://evil.example:{running.server.port}", **rebound):
        pass
    for path in ("/export",):
        assert running.get(path, Sec_Fetch_Site="cross-site").status == 403


def test_the_token_is_asked_for_everywhere_that_matters(serve):
    running = serve(token=TOKEN)
    a_dialogue(running)
    for path in ("/", "/bags", "/export", "/?token=wrong", f"/export?token={TOKEN[:-1]}"):
        assert running.get(path).status == 401
    assert running.get(f"/?token={TOKEN}").status == 200 and running.get("/healthz").status == 200
    assert running.get(f"/export?token={TOKEN}").status == 200
    for path in ("/ws", "/ws?token=", "/ws?token=wrong"):
        with pytest.raises(ConnectionClosed) as closed, running.page(path) as page:
            page.read_for(LIMIT_S)
        assert closed.value.rcvd.code == 4401 and page.hello is None and page.state is None
    with running.page(f"/ws?token={TOKEN}") as page:
        page.until(lambda p: p.state)
    assert TOKEN in running.server.url


def test_so_many_pages_and_no_more(serve):
    running = serve(max_viewers=2)
    with running.page() as one, running.page() as two:
        one.until(lambda p: p.state), two.until(lambda p: p.state)
        with pytest.raises(ConnectionClosed) as closed, running.page() as page:
            page.read_for(LIMIT_S)
        assert closed.value.rcvd.code == 4429
    wait(lambda: not running.server.feed.viewers)
    with running.page() as page:
        page.until(lambda p: p.state)


def test_words_are_escaped_in_the_export(serve, standing_clock):
    running = serve()
    a_dialogue(running, EVIL)
    running.state.goal("a" * 32, "ABORTED", EVIL, EVIL)
    running.state.report([{"name": EVIL, "level": "ok", "message": EVIL, "values": [[EVIL, EVIL]]}])
    running.pictures.settle()
    answer = running.get("/export")
    html = answer.body.decode()
    assert answer.status == 200 and "attachment" in answer.getheader("content-disposition")
    assert "<img src=x" not in html and html.count("<script") == 1 and html.count("</script>") == 1
    assert html.count("data:image/jpeg;base64,") == 1 and html.count("data:image/png;base64,") == 1
    assert "http://" not in html and "https://" not in html
    (dialogue,) = dialogues_of(html)
    assert dialogue["turns"][0]["text"] == EVIL and dialogue["outcome"] == "found"
    assert running.get("/export").status == 429


def test_stopping_closes_pages_and_frees_the_port(serve):
    running = serve()
    with pytest.raises(ConnectionClosed), running.page() as page:
        page.until(lambda p: p.state)
        threading.Thread(target=running.server.stop).start()
        page.read_for(LIMIT_S)
    wait(lambda: not running.server._thread.is_alive())
    again = ConsoleServer(running.state, Pictures(), Robot(), Settings(port=running.server.port))
    with pytest.raises(ClueError, match="another console"):
        again.start()
        ConsoleServer(running.state, Pictures(), Robot(), Settings(port=again.port))
    again.stop()


def test_it_does_not_open_to_the_network_unasked():
    with pytest.raises(AccessError, match="token"):
        ConsoleServer(ConsoleState(), Pictures(), Robot(), Settings(address="0.0.0.0", port=0))


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
