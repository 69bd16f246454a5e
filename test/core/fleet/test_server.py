"""The model's server over bare HTTP: whom it refuses, and what abuse does to it and to others."""

from __future__ import annotations

import json
import pickle
import socket
import threading

import numpy as np
import pytest
from grounder_contract import RGB

from clue_ros.console.access import AccessError
from clue_ros.console.server import bind
from clue_ros.fleet import app, wire
from clue_ros.fleet.keeper import Limits
from clue_ros.fleet.local import LocalServer
from clue_ros.fleet.remote import RemoteGrounder, read_token
from clue_ros.fleet.wire import File, fingerprint
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Cancelled, ModelLoadError

TOKEN = "0123456789abcdef0123"
MUG = {"image": fingerprint(RGB), "expression": "the mug"}
JPEG = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(40)  # says 65535 x 65535


def test_an_address_that_others_reach_needs_a_token(tmp_path):
    with pytest.raises(AccessError, match="token-file"):
        LocalServer(ScriptedGrounder(), "0.0.0.0", 0)
    with pytest.raises(AccessError, match="16 or more"):
        LocalServer(ScriptedGrounder(), "0.0.0.0", 0, "short")
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert read_token(str(tmp_path / "token")) == TOKEN
    with pytest.raises(ModelLoadError, match="none-here"):
        read_token(str(tmp_path / "none-here"))


def test_the_token_is_asked_for_everywhere_but_for_health(serve, monkeypatch, tmp_path):
    server = serve(token=TOKEN)
    body = wire.pack(MUG, [RGB])
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {TOKEN[:-1]}"},
                  {"authorization": f"Basic {TOKEN}"}, {"authorization": "Bearer \xe9"}):  # fmt: skip
        for method, path in (("POST", "/v1/ground"), ("GET", "/v1/about"), ("GET", "/metrics"), ("GET", "/docs")):
            assert server.http(method, path, body if method == "POST" else None, **wrong).status == 401
    assert server.http("GET", "/healthz").status == 200
    with pytest.raises(ModelLoadError, match="token"):
        server.robot(token="wrong" * 4)
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("CLUE_TOKEN_FILE", str(tmp_path / "token"))
    robot = RemoteGrounder.open(server.url)
    assert robot.ground(RGB, "the mug").box and not server.keeper.grounder.calls[1:]
    robot.close()


def test_web_pages_are_refused(serve):
    server = serve()
    for header in ({"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}, {"host": "evil.example"}):
        assert server.http("GET", "/v1/about", **header).status == 403
        assert server.http("POST", "/v1/ground", wire.pack(MUG, [RGB]), **header).status == 403
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        assert server.http("POST", "/v1/ground", wire.pack(MUG, [RGB]), content_type=kind).status == 415
    for path in ("/", "/v1/../etc/passwd", "/v1/pickle", "/v2/ground", "/openapi.json", "/v1/ground/x"):
        assert server.http("GET", path).status == 404 and server.http("POST", path, b"").status in (404, 415)
    assert server.http("DELETE", "/v1/ground").status == 405
    assert not server.keeper.grounder.calls


def head(words: bytes, size=None) -> bytes:
    return b"CLUE1" + (len(words) if size is None else size).to_bytes(4, "big") + words


GARBAGE = [
    b"", b"\x00" * 9, pickle.dumps({"image": "x"}), b"CLUE1", head(b"{}", 2**32 - 1), head(b"["), head(b"[]"),
    head(b"[" * 100_000), head(b'{"arrays":7}'), head(b'{"arrays":[{"type":"u8","shape":[20000,20000,3]}]}'),
    head(b'{"arrays":[{"type":"object","shape":[1]}]}'), head(b'{"arrays":[{"type":"u8","shape":[-1]}]}'),
    head(b'{"arrays":[{"type":"u8","shape":[1e3]}]}'), head(b'{"arrays":[{"type":"jpeg","bytes":9}]}'),
    head(b'{"image":"x","expression":NaN}'), head(b'{"image":"x","expression":"y"}') + b"more",
    head(b'{"image":"x","expression":"y","exec":"z"}'), head(b'{"image":7,"expression":"y"}'),
    head(b'{"image":"x","expression":"y","turns":[["a"]]}'), head(b'{"image":"x","expression":"y","turns":"abc"}'),
    head(b'{"image":"x","expression":"y","threshold":1.5}'), head(b'{"image":"x","expression":"y","may_ask":1}'),
    head(b'{"image":"x","expression":"y","candidates":[[1,2,3,1e999]]}'), head(b'{"image":"x","expression":"\xff"}'),
    head(b'{"image":"x","expression":"y","policy":"__init__"}'), head(b'{"threshold":1' + b"0" * 5000 + b"}"),
]  # fmt: skip


def test_garbage_gets_400_with_a_text(serve):
    server = serve()
    for body in GARBAGE:
        answer = server.http("POST", "/v1/ground", body)
        fields, _ = wire.unpack(answer.body)
        assert (answer.status, fields["error"]) == (400, "bad_request") and fields["text"], body[:80]
    assert not server.keeper.grounder.images and server.post("ground", MUG, [RGB])[0] == 200


PICTURES = [
    File(b"no jpeg"), File(JPEG), File(b""), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8),
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), bool),
]  # fmt: skip


def test_what_is_no_picture_is_refused(serve):
    server = serve()
    for image in PICTURES:
        status, fields = server.post("ground", {**MUG, "image": fingerprint(image)}, [image])
        assert (status, fields["error"]) == (422, "invalid_image"), image
    assert not server.keeper.grounder.images


def test_nobody_replaces_or_asks_about_anothers_image(serve):
    server = serve()
    server.robot("victim").ground(RGB, "the mug")
    status, fields = server.post("ground", MUG, x_session_id="thief")
    assert (status, fields["error"]) == (409, "unknown_image")
    assert server.post("ground", MUG, [np.zeros_like(RGB)])[0] == 422  # another picture under this name
    assert server.post("ground", MUG, [RGB, RGB])[0] == 400
    for name in ("", "x" * 65, "caf\xe9"):
        assert server.http("POST", "/v1/ground", wire.pack(MUG, [RGB]), x_session_id=name).status == 400


def test_what_is_too_long_is_refused_before_it_is_read(serve, monkeypatch):
    server = serve()
    monkeypatch.setattr(wire, "MAX_BODY", 20_000)
    assert server.post("ground", MUG, [RGB])[0] == 200
    assert server.post("ground", MUG, [np.zeros((100, 100, 3), np.uint8)])[0] == 413
    with socket.create_connection(("127.0.0.1", server.port), 120.0) as line:  # without a length, and without an end
        line.sendall(
            f"POST /v1/ground HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {wire.TYPE}\r\n{wire.ROBOT}: x\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(3):
            line.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        assert b" 413 " in line.recv(100)


def test_who_sends_no_end_is_let_go(serve, monkeypatch):
    monkeypatch.setattr(app, "BODY_S", 0.05)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), 120.0) as line:
        line.sendall(
            f"POST /v1/ground HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {wire.TYPE}\r\n{wire.ROBOT}: x\r\n"
            "Content-Length: 1000\r\n\r\nCLUE1".encode()
        )
        assert b" 408 " in line.recv(100)
    assert server.post("ground", MUG, [RGB])[0] == 200


def test_a_flood_is_told_that_it_is_one_and_others_are_served_in_turn(serve):
    grounder = ScriptedGrounder({"flood": Say.found(delay_s=600.0)})
    server = serve(grounder, Limits(waiting=8, waiting_per_robot=2))
    flooders = [server.robot("flood") for _ in range(2)]
    stop = threading.Event()
    threads = [threading.Thread(target=_until_stopped, args=(robot, stop)) for robot in flooders]
    threads[0].start()
    assert grounder.working.wait(120.0)
    threads[1].start()
    while server.keeper.waiting < 2:
        pass
    status, fields = server.post("ground", {**MUG, "expression": "flood"}, [RGB], x_session_id="flood")
    assert (status, fields["error"]) == (429, "busy") and "this robot" in fields["text"]
    answers = []
    other = threading.Thread(target=lambda: answers.append(server.post("ground", MUG, [RGB])))
    other.start()
    while server.keeper.waiting < 3:
        pass
    stop.set()
    other.join(120.0)
    assert answers[0][0] == 200
    for thread in threads:
        thread.join(120.0)
    assert server.http("GET", "/healthz").status == 200


def test_an_answer_does_not_wait_for_an_acknowledgement():
    """asyncio sets TCP_NODELAY only on connections whose socket says that it is TCP; each answer took 40 ms longer."""
    with bind("127.0.0.1", 0) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_metrics_are_prometheus_lines(serve):
    server = serve()
    server.robot().ground(RGB, "the mug")
    text = server.http("GET", "/metrics").body.decode()
    assert 'clue_requests_total{replica="",ended="ok"} 1\n' in text and "clue_waiting" in text
    assert 'clue_images_encoded_total{replica=""} 1\n' in text
    assert json.loads(server.http("GET", "/healthz").body) == {"ok": True}


def _until_stopped(robot, stop):
    try:
        robot.ground(RGB, "flood", should_stop=stop.is_set)
    except Cancelled:
        pass
