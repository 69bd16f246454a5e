"""A RemoteGrounder is a Grounder: same promises, same decisions, same errors, through servers that come and go."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
from grounder_contract import PROMISES, RGB, TURNS, WORDS

from clue_ros.belief.grounder import BeliefGrounder
from clue_ros.fleet.keeper import Limits
from clue_ros.fleet.remote import RemoteGrounder, parse_address
from clue_ros.grounder import Grounder
from clue_ros.masks.head import MaskHead
from clue_ros.seams import Capability
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import (
    Answer,
    Box,
    Cancelled,
    InvalidExpressionError,
    InvalidImageError,
    ModelFailedError,
    ModelLoadError,
    ModelUnavailableError,
    OutOfMemoryError,
    Turn,
)

SCRIPT = {WORDS: [Say.ask("left or right ?", box=Box(5, 5, 30, 40)), Say.found(Box(5, 5, 30, 40))]}


@pytest.fixture(scope="module")
def trained(tiny_model_dir, tmp_path_factory):
    """A tiny checkpoint with everything that one may have."""
    folder = tmp_path_factory.mktemp("fleet") / "model"
    shutil.copytree(tiny_model_dir, folder)
    MaskHead(*Grounder.from_pretrained(folder).backbone.widths, 16, 1).save(folder)
    return Grounder.from_pretrained(folder)


@pytest.fixture(params=["scripted", "trained"])
def remote(request, serve):
    grounder = ScriptedGrounder(SCRIPT) if request.param == "scripted" else request.getfixturevalue("trained")
    return serve(grounder).robot()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_it_keeps_what_every_grounder_promises(remote, promise):
    promise(remote)
    promise(BeliefGrounder(remote))


def same(one, other):
    """Two decisions but for the time they took, floats to the last bit."""
    plain = [{**vars(d), "latency_s": None, "mask": None, "ambiguity": None} for d in (one, other)]
    assert plain[0] == plain[1]
    a, b = one.ambiguity, other.ambiguity
    assert (a is None) == (b is None)
    if a is not None:
        assert (a.probability, a.threshold, a.is_ambiguous, a.regions) == (
            b.probability, b.threshold, b.is_ambiguous, b.regions)  # fmt: skip
        assert a.attention_map.dtype == b.attention_map.dtype and (a.attention_map == b.attention_map).all()
    assert (one.mask is None) == (other.mask is None) and (one.mask is None or (one.mask == other.mask).all())


def test_decisions_are_the_same_to_the_last_bit(serve, trained):
    """Of every policy, with a gesture, with candidates, with a mask; the belief is kept on the server."""
    remote = serve(trained).robot()
    calls = [
        ("the mug", (), {}), ("the mug", TURNS, {"mask": True}), ("the mug", (), {"threshold": 0.0}),
        ("the mug", (), {"candidates": [Box(1, 2, 30, 40), Box(31.5, 2, 60, 40)], "may_ask": False}),
        ("the one here", (), {"pointing": Answer(point=(40.25, 30.0))}), ("the zyzzyva", (), {}),
    ]  # fmt: skip
    for policy in ("learned", "information_gain"):
        here, there = BeliefGrounder(trained, policy), BeliefGrounder(remote, policy)
        a, b = here.encode(RGB), there.encode(RGB)
        for words, turns, options in calls:
            same(here.ground(a, words, turns, **options), there.ground(b, words, turns, **options))
    assert trained.capabilities - remote.capabilities == {Capability.BACKBONE, Capability.BELIEF}


def test_an_image_is_sent_and_seen_once_a_robot(serve):
    grounder = ScriptedGrounder(SCRIPT)
    server = serve(grounder)
    one, other = server.robot("one"), server.robot("other")
    seen = one.look(RGB)
    for turns in ((), TURNS, TURNS * 2):
        one.ground(seen, WORDS, turns)
    one.chat(seen, "what is there?")
    assert len(grounder.images) == 1 and len(grounder.looks) == 1
    other.ground(RGB, WORDS)
    assert len(grounder.images) == 2  # nobody asks about another's
    for level in range(server.keeper.limits.images_per_robot):
        one.ground(np.full_like(RGB, level), WORDS)
    assert server.keeper.images == 1 + server.keeper.limits.images_per_robot
    assert one.ground(seen, WORDS, TURNS).box == Box(5, 5, 30, 40)  # forgotten there, sent again


def test_jpeg_is_near_and_small(serve):
    grounder = ScriptedGrounder()
    robot = serve(grounder).robot(image="jpeg")
    smooth = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    robot.ground(smooth, "the mug")
    assert np.abs(grounder.images[0].astype(int) - smooth).max() < 8
    assert len(robot.encode(smooth).body({}, "", True)) < smooth.size / 5


@pytest.mark.parametrize("error, comes", [
    (InvalidExpressionError("too odd"), InvalidExpressionError), (OutOfMemoryError("20 GiB"), OutOfMemoryError),
    (ValueError("boom"), ModelFailedError), (InvalidImageError("odd"), InvalidImageError),
])  # fmt: skip
def test_errors_come_as_they_are(serve, error, comes):
    robot = serve(ScriptedGrounder({"the mug": Say.failure(error)})).robot()
    with pytest.raises(comes, match=str(error)):
        robot.ground(RGB, "the mug")
    assert robot.ground(RGB, "the cup").box  # it goes on


def test_a_cancel_reaches_the_token_loop_and_the_queue(serve):
    grounder = ScriptedGrounder({"slow": Say.found(delay_s=600.0)})
    server = serve(grounder)
    for _ in range(2):
        grounder.working.clear(), grounder.stopped.clear()
        with pytest.raises(Cancelled):
            server.robot().ground(RGB, "slow", should_stop=grounder.working.is_set)
        assert grounder.stopped.wait(120.0)
    blocker = threading.Thread(target=_ignored, args=(server.robot("a"), "slow"), daemon=True)
    grounder.working.clear()
    blocker.start()
    assert grounder.working.wait(120.0)
    waits = time.monotonic() + 0.2
    with pytest.raises(Cancelled):
        server.robot("b").ground(RGB, "the mug", should_stop=lambda: time.monotonic() > waits)
    until(lambda: server.keeper.waiting == 1)  # the other one left the queue
    server.robots[-2].close()
    assert not [words for words, _, _ in grounder.calls if words == "the mug"]
    server.stop()


def test_a_server_that_comes_back_goes_on_with_the_dialogue(serve):
    """The robot asks through a restart: the turns are its own, the image is sent again."""
    first = serve(ScriptedGrounder(SCRIPT))
    robot = first.robot()
    seen = robot.encode(RGB)
    question = robot.ground(seen, WORDS).question
    first.stop()
    done = []
    asking = threading.Thread(target=lambda: done.append(robot.ground(seen, WORDS, [Turn(question, Answer("left"))])))
    asking.start()
    until(lambda: robot.health.away_since is not None)
    second = serve(ScriptedGrounder(SCRIPT), port=first.port)
    asking.join(120.0)
    assert done[0].box == Box(5, 5, 30, 40) and robot.health.away_since is None
    assert second.keeper.done["ok"] == 1 and robot.health.failures > 0


def test_the_second_server_takes_over(serve):
    first, second = serve(ScriptedGrounder(SCRIPT)), serve(ScriptedGrounder(SCRIPT))
    robot = first.robot(address=f"{first.url},{second.url}")
    seen = robot.encode(RGB)
    assert robot.ground(seen, WORDS).question and robot.health.server == first.url
    first.stop()
    assert robot.ground(seen, WORDS, TURNS).box == Box(5, 5, 30, 40) and robot.health.server == second.url


def test_when_nobody_answers_it_says_so_in_time_and_can_be_cancelled(serve):
    server = serve()
    robot = server.robot(patience=0.3)
    server.stop()
    with pytest.raises(ModelUnavailableError, match="clue serve"):
        robot.ground(RGB, "the mug")
    with pytest.raises(ModelUnavailableError):
        robot.look(RGB)
    assert robot.health.away_since is not None
    patient = RemoteGrounder.open(f"{serve().url}?patience=1000", "")
    patient.close()
    patient._line.servers[0] = server.url
    with pytest.raises(Cancelled):
        patient.ground(RGB, "the mug", should_stop=lambda: patient.health.failures > 1)
    with pytest.raises(ModelLoadError, match="no answer"):
        RemoteGrounder.open(f"{server.url}?patience=0", "")


def test_busy_is_waited_for(serve):
    grounder = ScriptedGrounder({"slow": Say.found(delay_s=0.4)})
    server = serve(grounder, Limits(waiting=1))
    other = threading.Thread(target=_ignored, args=(server.robot("a"), "slow"))
    other.start()
    assert grounder.working.wait(120.0)
    robot = server.robot("b")
    assert robot.ground(RGB, "the mug").box and robot.health.failures > 0
    other.join()


@pytest.mark.parametrize("address", [
    "http://", "http://host:99999", "http://host/path", "http://user:pw@host", "ftp://host", "http://host?image=gif",
    "http://host?pickle=1", "http://a:1,,http://b", "http://host?patience=soon",
])  # fmt: skip
def test_an_address_that_is_none_is_named(address):
    with pytest.raises(ModelLoadError):
        parse_address(address)


def test_addresses():
    assert parse_address("http://a:1, https://b?image=jpeg") == (["http://a:1", "https://b:8780"], {"image": "jpeg"})


def _ignored(robot, words):
    try:
        robot.ground(RGB, words)
    except ModelUnavailableError:
        pass


def until(condition):
    end = time.monotonic() + 120.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
