"""Things shown and named, over DDS: the services, lessons by voice, goals and chat with a taught name, a restart."""

from __future__ import annotations

import pytest
from bench import FRAME, SUCCEEDED, wait_until
from coloured_sight import BLUE, GREEN, RED, ColourSight, CupBackbone, drawn
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.geometry import box_iou
from clue_ros.msg import Box as BoxMsg
from clue_ros.msg import Pointing
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.srv import Chat, Forget, ListTaught, Teach
from clue_ros.stock.grounder import StockGrounder
from clue_ros.taught.grounder import TaughtGrounder
from clue_ros.taught.store import Limits
from clue_ros.types import Box

Code = Ground.Result
RED_BOX, BLUE_BOX = (60, 60, 100, 120), (200, 60, 260, 140)
ONE = drawn((RED, *RED_BOX), (BLUE, *BLUE_BOX))
TWO = drawn((RED, *RED_BOX), (RED, *BLUE_BOX))
LONELY = drawn((RED, *RED_BOX))


@pytest.fixture
def teach_bench(make_bench, tmp_path):
    """teach_bench(picture) -> Bench: a node with eyes for colours, whose store is in tmp_path/taught."""

    def make(picture=ONE, limits=Limits(), **parameters):
        def factory(settings):
            model = StockGrounder(CupBackbone(ColourSight()))
            return TaughtGrounder.around(model, tmp_path / "taught", limits=limits)

        bench = make_bench(factory=factory, camera=False, activate=False, still=True, **parameters)
        bench.start_camera(rgb_to_image(picture, Header(frame_id=FRAME)))
        for name, kind in (("teach", Teach), ("forget", Forget), ("list", ListTaught), ("chat", Chat)):
            setattr(bench, f"{name}_client", bench.client.create_client(kind, name))
        return bench

    def ready(*args, **kwargs):
        bench = make(*args, **kwargs)
        bench.lifecycle("configure"), bench.lifecycle("activate")
        assert bench.node.state == "active"
        bench.connect()
        for name in ("teach", "forget", "list", "chat"):
            wait_until(getattr(bench, f"{name}_client").service_is_ready, what=name)
        bench.sees()
        return bench

    ready.unconfigured = make
    return ready


def teach(bench, name, shown=None, **fields):
    return bench.call(bench.teach_client, Teach.Request(name=name, shown=shown or Pointing(), **fields))


def click(x, y):
    return Pointing(kind=Pointing.POINT, x=float(x), y=float(y))


def boxed(*box):
    return Pointing(kind=Pointing.BOX, box=BoxMsg(**dict(zip(("x0", "y0", "x1", "y1"), map(float, box)))))


def listed(bench, pictures=False):
    response = bench.call(bench.list_client, ListTaught.Request(pictures=pictures))
    assert response.success, response.error_msg
    return response.things


def same(box, other):
    return box_iou(Box(box.x0, box.y0, box.x1, box.y1), Box(*other)) > 0.9


def show(bench, picture):
    bench.image = rgb_to_image(picture, Header(frame_id=FRAME))
    bench.sees(2)


def test_taught_by_click_box_target_and_image_then_found_and_forgotten(teach_bench):
    bench = teach_bench()
    taught = teach(bench, "The Torque Wrench", click(80, 90))
    assert taught.success and taught.thing.name == "torque wrench" and same(taught.box, RED_BOX), taught.error_msg
    assert teach(bench, "part 17", boxed(200, 60, 260, 140)).thing.views == 1
    status, result = bench.ground("hand me part 17")
    assert status == SUCCEEDED and same(result.target.box, BLUE_BOX)
    again = teach(bench, "part 17")  # the current target
    assert again.success and again.thing.views == 2 and same(again.box, BLUE_BOX), again.error_msg
    own = rgb_to_image(drawn((GREEN, 20, 20, 80, 90)), Header(frame_id="elsewhere"))
    assert teach(bench, "my cap", click(50, 50), image=own).success
    things = listed(bench, pictures=True)
    assert [(thing.name, thing.views) for thing in things] == [("torque wrench", 1), ("part 17", 2), ("my cap", 1)]
    assert all(bytes(thing.picture.data)[:2] == b"\xff\xd8" for thing in things) and things[0].picture.format == "jpeg"
    assert not listed(bench)[0].picture.data
    said = bench.call(bench.chat_client, Chat.Request(question="do you see the torque wrench?"))
    assert said.success and said.answer.text == "Yes, I see the torque wrench." and len(said.answer.phrases) == 1
    gone = bench.call(bench.forget_client, Forget.Request(name="torque wrench"))
    assert gone.success and gone.thing.views == 1
    assert bench.ground("the torque wrench")[1].error_code == Code.UNKNOWN_WORDS


def test_what_is_refused_says_why(teach_bench):
    bench = teach_bench(limits=Limits(things=1))
    known = teach(bench, "red cup", click(80, 90))
    assert not known.success and known.shadows and known.error_code == Code.INVALID_EXPRESSION
    assert teach(bench, "red cup", click(80, 90), shadow=True).success
    for request, code, words in (
        (("part 17", click(80, 90)), Code.UNKNOWN, "its limit"),
        (("red", click(80, 90)), Code.INVALID_EXPRESSION, "names no thing"),
        (("", click(80, 90)), Code.INVALID_EXPRESSION, "1 to 5 words"),
        (("part 18", click(150, 20)), Code.NOT_FOUND, "no thing is seen"),
        (("part 18", click(900, 20)), Code.UNKNOWN, "image"),
        (("part 18", None), Code.NOT_FOUND, "no target is current"),
    ):
        refused = teach(bench, *request)
        assert (refused.success, refused.shadows, refused.error_code) == (False, False, code), refused
        assert words in refused.error_msg
    nobody = bench.call(bench.forget_client, Forget.Request(name="gizmo"))
    assert not nobody.success and "red cup" in nobody.error_msg
    bench.lifecycle("deactivate")
    assert teach(bench, "part 18", click(80, 90)).error_code == Code.NOT_ACTIVE


def test_what_was_taught_outlives_the_node_and_a_broken_file_is_named(teach_bench, tmp_path, capfd):
    bench = teach_bench()
    teach(bench, "my thermos", click(80, 90))
    bench.lifecycle("deactivate"), bench.lifecycle("cleanup")
    bench.lifecycle("configure"), bench.lifecycle("activate")
    bench.sees()
    assert same(bench.ground("my thermos")[1].target.box, RED_BOX)
    (tmp_path / "taught" / "taught.json").write_text("{")
    assert "taught.json" in bench.ground("my thermos")[1].error_msg
    bench.lifecycle("deactivate"), bench.lifecycle("cleanup")
    bench.lifecycle("configure")
    assert bench.node.state == "unconfigured"
    assert "taught.json cannot be read" in capfd.readouterr().err


def test_lessons_by_voice(teach_bench):
    bench = teach_bench(LONELY)
    bench.say("this is my thermos")
    bench.hear("Now I know your thermos.")
    assert [(turn.speaker, turn.text) for turn in bench.turns] == [
        ("person", "this is my thermos"), ("robot", "Now I know your thermos."),
    ]  # fmt: skip
    show(bench, TWO)
    bench.say("call it cup")
    wait_until(lambda: any("Which one is the cup?" in said for said in bench.utterances), what=bench.utterances)
    wait_until(lambda: bench.conversation is not None)
    bench.answer(kind=1, x=230.0, y=100.0)
    bench.hear("I already know the word “cup”. Shall I call only this one so from now on?")
    bench.say("no")
    bench.hear("All right, never mind.")
    status, result = bench.goal("my thermos", answer_timeout=0.5).finish()
    assert result.error_code == Code.ANSWER_TIMEOUT and "thermos" in bench.utterances[-2]
    bench.say("what do you know?")
    bench.hear("You showed me your thermos.")
    bench.say("forget my thermos")
    bench.hear("I have forgotten your thermos.")
    assert not listed(bench)


def test_a_spoken_name_for_the_current_target_then_a_correction(teach_bench):
    bench = teach_bench(TWO)
    teach(bench, "my thermos", click(80, 90))
    bench.say("the left thermos")
    wait_until(lambda: bench.targets)
    assert same(bench.targets[-1].box, RED_BOX)
    bench.say("no, the other one")
    wait_until(lambda: len(bench.targets) > 1)
    assert same(bench.targets[-1].box, BLUE_BOX)
    bench.say("call it part 17")
    bench.hear("Now I know part 17.")


def test_without_a_folder_nothing_can_be_taught(make_bench):
    bench = make_bench()
    bench.teach_client = bench.client.create_client(Teach, "teach")
    wait_until(bench.teach_client.service_is_ready)
    refused = teach(bench, "my thermos", click(5, 5))
    assert not refused.success and "parameter taught" in refused.error_msg
    bench.say("this is my thermos")
    wait_until(lambda: bench.targets, what="an instruction as ever")
