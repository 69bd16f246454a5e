"""Every Grounder keeps the promises of test/grounder_contract.py, and a decision walks down through the rooms."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
from grounder_contract import PROMISES, RGB, TURNS, WORDS
from rooms import rooms_of_the_architecture

import clue_ros.grounder
from clue_ros.belief.grounder import QUESTION_POLICIES, BeliefGrounder
from clue_ros.grounder import EMBEDDED_MODEL, Grounder
from clue_ros.masks.head import MaskHead
from clue_ros.masks.segment_codes import SegmentDecoder
from clue_ros.seams import Capability, MissingCapabilityError
from clue_ros.stock.grounder import StockGrounder
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Answer, Box, Outcome

PACKAGE = Path(clue_ros.grounder.__file__).parent
FLOORS = {room: number for number, room in enumerate(rooms_of_the_architecture())}
KINDS = ("trained", "with masks", "embedded", "stock", "stock with masks", "scripted")


@pytest.fixture(scope="module")
def make(tiny_model_dir, tmp_path_factory):
    """kind -> a Grounder, each made once."""
    root, made = tmp_path_factory.mktemp("kinds"), {}

    def folder(kind):
        copy = root / kind.replace(" ", "_")
        shutil.copytree(tiny_model_dir, copy)
        if "stock" in kind:
            shutil.rmtree(copy / "adapters")
            (copy / "ambiguity.safetensors").unlink()
            clue = json.loads((copy / "clue.json").read_text())
            kept = {k: v for k, v in clue.items() if "detector" not in k and "adapter" not in k}
            (copy / "clue.json").write_text(json.dumps(kept))
            if "masks" in kind:
                SegmentDecoder(code_width=24, channels=16).save(copy)
        elif "masks" in kind:
            MaskHead(*made_of("trained").backbone.widths, 16, 1).save(copy)
        return copy

    def made_of(kind):
        if kind not in made:
            script = {WORDS: [Say.ask("left or right ?", box=Box(5, 5, 30, 40)), Say.found(Box(5, 5, 30, 40))]}
            made[kind] = (
                ScriptedGrounder(script) if kind == "scripted"
                else Grounder.from_pretrained(EMBEDDED_MODEL if kind == "embedded" else folder(kind))
            )  # fmt: skip
        return made[kind]

    return made_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
def test_every_grounder_keeps_it(make, kind, promise):
    promise(make(kind))


# Each kind under one policy, the first under all: every pair of the eighteen would take half a minute.
BELIEVING = sorted({(kind, QUESTION_POLICIES[n % len(QUESTION_POLICIES)]) for n, kind in enumerate(KINDS)}
                   | {(KINDS[0], policy) for policy in QUESTION_POLICIES})  # fmt: skip


@pytest.mark.parametrize("kind, policy", BELIEVING)
def test_a_belief_around_any_keeps_all(make, kind, policy):
    believing = BeliefGrounder(make(kind), policy)
    assert believing.capabilities == make(kind).capabilities
    for promise in PROMISES:
        promise(believing)


def test_they_are_what_they_should_be(make):
    model = {Capability.BACKBONE, Capability.READINGS, Capability.BELIEF}
    assert make("trained").capabilities == model
    assert make("with masks").capabilities == model | {Capability.MASKS, Capability.RELEVANCE}
    assert isinstance(make("stock"), StockGrounder) and make("stock").capabilities == {Capability.BACKBONE}
    assert make("stock with masks").capabilities == {Capability.BACKBONE, Capability.MASKS}
    assert make("scripted").capabilities == {Capability.MASKS}


def test_what_is_lacking_survives_another_process():
    error = pickle.loads(pickle.dumps(MissingCapabilityError(Capability.RELEVANCE)))
    assert error.capability is Capability.RELEVANCE and "clue train mask" in str(error)


def room_of(file):
    """The room of a file of the package, None for any other."""
    if not Path(file).is_relative_to(PACKAGE):
        return None
    inside = Path(file).relative_to(PACKAGE)
    return inside.name if len(inside.parts) == 1 else inside.parent.as_posix() + "/"


def climbs_of(work):
    """(calls from a room into one above it, rooms entered); what a library calls back counts as its caller's."""
    climbs, entered, rooms = set(), set(), {}

    def seen(frame):
        file = frame.f_code.co_filename
        if file not in rooms:
            rooms[file] = room_of(file)
        return rooms[file]

    def look(frame, event, _):
        below = seen(frame) if event == "call" else None
        if below is None:
            return
        entered.add(below)
        caller = frame.f_back
        while caller is not None and seen(caller) is None:
            caller = caller.f_back
        if caller is not None and FLOORS[below] < FLOORS[seen(caller)]:
            climbs.add(f"{caller.f_code.co_name} in {seen(caller)} -> {frame.f_code.co_name} in {below}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return climbs, entered


@pytest.mark.parametrize("kind", ["trained", "with masks", "embedded", "stock"])
def test_a_decision_walks_down_only(make, kind):
    """No room calls one above it: neither by an import nor through something handed down."""
    grounder = make(kind)
    climbs, entered = climbs_of(lambda: grounder.ground(RGB, WORDS, TURNS, mask=True))
    assert not climbs and {"vlm/", "prompt.py"} <= entered
    believing = BeliefGrounder(grounder, "information_gain")
    for ask in (
        lambda: believing.ground(RGB, WORDS, TURNS, mask=True),
        lambda: believing.ground(RGB, "the one here", pointing=Answer(point=(40, 30))),
        lambda: grounder.chat(RGB, "what is on the table?"),
    ):
        climbs, entered = climbs_of(ask)
        assert not climbs and "vlm/" in entered


def test_the_watch_sees_a_climb(make):
    grounder = make("trained")
    seen = grounder.encode(RGB)
    climbs, _ = climbs_of(lambda: grounder.ground(seen, WORDS, should_stop=lambda: grounder.threshold > 2))
    assert climbs and grounder.ground(seen, WORDS).outcome in Outcome
