"""Bags without ROS: made here, broken on purpose, scored against truths, with a scripted Grounder."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from handmade_bags import GREY, START, image, jpeg, say, write

from clue_ros.bags.errors import BagError, MissingTopicError, TruthError
from clue_ros.bags.events import NS, ReplaySettings
from clue_ros.bags.reading import IMAGE, Bag, TopicNames, choose_topics, typestore
from clue_ros.bags.stream import header_stamp
from clue_ros.bags.suite import evaluate_bag, save
from clue_ros.bags.truth import Truth, assign, parse_truth, read_truths
from clue_ros.cli.main import main
from clue_ros.images.encodings import SUPPORTED_ENCODINGS, ImageMessageError, UnsupportedEncodingError
from clue_ros.images.messages import message_to_rgb
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

rosbag2 = pytest.importorskip("rosbags.rosbag2")

MUG = Box(4, 4, 12, 12)
ASKS = {"the mug": [Say.ask("The red one or the blue one?"), Say.found(MUG)], "the ball": Say.found(MUG)}


# Bags by hand.


def dialogue(message=image):
    """A question, its answer, and an instruction that is clear."""
    topic = "/image" if message is image else "/image/compressed"
    frames = [(t, topic, message(seconds=t - 0.01)) for t in (0, 0.5, 1, 6)]
    words = [(1.1, "the mug"), (4.0, "the red one"), (6.2, "the ball")]
    return sorted(frames + [(t, "/speech", say(text)) for t, text in words], key=lambda line: line[0])


def truth_line(**fields):
    row = {"expression": "the mug", "truth": "ambiguous", "box": list(MUG), "kind": "color"}
    return json.dumps({**row, **fields})


@pytest.fixture
def grounder():
    return ScriptedGrounder(ASKS)


# Bags on disk.


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("message", [image, jpeg])
def test_both_storages_and_both_kinds_of_image(tmp_path, grounder, storage, message):
    result = evaluate_bag(grounder, write(tmp_path / "bag", dialogue(message), storage))
    assert [row["outcome"] for row in result.rows] == ["found", "found"]
    assert result.rows[0]["answers"] == ["the red one"] and result.rows[0]["box"] == [4.0, 4.0, 12.0, 12.0]
    assert result.rows[0]["success"] is None
    assert result.rows[0]["image_time_s"] == pytest.approx(0.99)
    assert grounder.used[0].shape == GREY.shape and abs(int(grounder.used[0].mean()) - 90) <= 1


def test_a_camera_of_12_bits(tmp_path, grounder):
    dark = np.full((16, 24), 100 * 16, np.uint16)
    frame = image(dark.view(np.uint8), encoding="mono16")
    frame.width = 24
    bag = write(tmp_path / "bag", [(0, "/image", frame), (0.1, "/speech", say("the ball"))])
    for bits, level in ((0, 6), (12, 100)):
        evaluate_bag(grounder, bag, sample_bits=bits)
        assert grounder.used[-1].tolist() == np.full((16, 24, 3), level).tolist()


def test_a_single_file_and_a_folder_without_metadata(tmp_path, grounder):
    folder = write(tmp_path / "bag", dialogue())
    whole = evaluate_bag(grounder, folder).digest
    assert evaluate_bag(grounder, folder / "bag.mcap").digest == whole
    (folder / "metadata.yaml").unlink()
    assert evaluate_bag(grounder, folder).digest == whole


def test_topics_by_name_by_type_and_by_option(tmp_path, grounder):
    extra = [(0, "/cam/depth/image_raw", image()), (0, "/clue/utterance", say("hello"))]
    lines = [(t, {"/image": "/cam/color/image_raw", "/speech": "/clue/speech"}[n], m) for t, n, m in dialogue()]
    folder = write(tmp_path / "bag", extra + lines)
    with Bag(folder) as bag:
        topics = choose_topics(bag, TopicNames())
        assert topics == (("/cam/color/image_raw",), "/clue/speech", None, None)
        assert choose_topics(bag, TopicNames(image="/cam/depth/image_raw")).images == ("/cam/depth/image_raw",)
        with pytest.raises(MissingTopicError, match=r"no topic /speak .*/clue/speech \(std_msgs/msg/String, 3\)"):
            choose_topics(bag, TopicNames(speech="/speak"))
        with pytest.raises(MissingTopicError, match="is of type sensor_msgs/msg/Image, it must be std_msgs/msg/String"):
            choose_topics(bag, TopicNames(truth="/cam/color/image_raw"))
    two = write(tmp_path / "two", [*dialogue(), (9, "/other", say("x")), (9, "/a/image_raw", image())])
    with Bag(two) as bag:
        assert choose_topics(bag, TopicNames())[:2] == (("/image",), "/speech"), "the node's own names win"
    two = write(tmp_path / "three", [(0, "/a", say("x")), (0, "/b", say("x")), (0, "/image", image())])
    with Bag(two) as bag, pytest.raises(MissingTopicError, match="2 topics that may be the speech"):
        choose_topics(bag, TopicNames())


def test_raw_and_compressed_of_one_camera_are_one_stream(tmp_path, grounder):
    lines = [(0, "/image", image()), (0.5, "/image/compressed", jpeg(0.5)), (0.6, "/speech", say("the ball"))]
    row = evaluate_bag(grounder, write(tmp_path / "bag", lines)).rows[0]
    assert row["image_time_s"] == 0.5


def test_missing_topics_are_listed(tmp_path, grounder):
    with pytest.raises(MissingTopicError, match=r"no camera image.*holds /speech \(std_msgs/msg/String, 1\)"):
        evaluate_bag(grounder, write(tmp_path / "a", [(0, "/speech", say("the mug"))]))
    with pytest.raises(MissingTopicError, match="no speech"):
        evaluate_bag(grounder, write(tmp_path / "b", [(0, "/image", image())]))


def test_a_topic_of_an_unknown_type(tmp_path, grounder):
    folder = tmp_path / "bag"
    with rosbag2.Writer(folder, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        odd = writer.add_connection("/image", "my_msgs/msg/Odd", msgdef="int32 x\n", rihs01="RIHS01_" + "0" * 64)
        writer.write(odd, START, b"\x00\x01\x00\x00\x01\x00\x00\x00")
    with pytest.raises(MissingTopicError, match="my_msgs/msg/Odd"):
        evaluate_bag(grounder, folder, names=TopicNames(image="/image"))
    with pytest.raises(MissingTopicError, match="no camera image"):
        evaluate_bag(grounder, folder)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_cut_short(tmp_path, grounder, storage):
    folder = write(tmp_path / "bag", dialogue(), storage)
    file = next(f for f in folder.iterdir() if f.suffix in (".mcap", ".db3"))
    whole = file.read_bytes()
    for size in (0, 3, 100, len(whole) // 2, len(whole) - 20):
        file.write_bytes(whole[:size])
        with pytest.raises(BagError, match=r"(cut short|empty)"):
            evaluate_bag(grounder, folder)


def test_damaged_in_the_middle(tmp_path, grounder):
    folder = write(tmp_path / "bag", dialogue())
    file = folder / "bag.mcap"
    data = bytearray(file.read_bytes())
    data[300:2000] = bytes(255 - b for b in data[300:2000])
    file.write_bytes(data)
    with pytest.raises(BagError):
        evaluate_bag(grounder, folder)


def test_not_bags(tmp_path, grounder):
    with pytest.raises(BagError, match="does not exist"):
        Bag(tmp_path / "nothing")
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(BagError, match="not a bag"):
        Bag(tmp_path / "photo.png")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    with pytest.raises(BagError, match="rosbags-convert"):
        Bag(tmp_path / "old.bag")
    with pytest.raises(BagError, match="empty"):
        Bag(write(tmp_path / "empty", []))
    quiet = write(tmp_path / "quiet", [(0, "/image", image()), (0, "/speech", say(""))])
    assert evaluate_bag(grounder, quiet).rows == []


def test_an_encoding_that_is_not_known_is_one_failed_episode(tmp_path, grounder, capsys):
    """The same words, then a good frame: it goes on, and names the encoding once."""
    odd = image(encoding="rgb565")
    lines = [
        (0, "/image", odd), (0.1, "/speech", say("the ball")), (0.2, "/speech", say("the ball")),
        (0.3, "/image", image(seconds=0.3)), (0.4, "/speech", say("the ball")),
    ]  # fmt: skip
    rows = evaluate_bag(grounder, write(tmp_path / "bag", lines)).rows
    assert [row["outcome"] for row in rows] == ["unsupported_encoding", "unsupported_encoding", "found"]
    assert "rgb565" in rows[0]["reason"]


def test_the_command_line_names_what_is_wrong_once(tmp_path, capsys, monkeypatch):
    from clue_ros.cli import evaluate_bag as verb

    monkeypatch.setattr(verb, "load_grounder", lambda args: ScriptedGrounder(ASKS))
    ball = say("the ball")
    odd = [(0, "/image", image(encoding="rgb565")), (0.1, "/speech", ball), (0.2, "/speech", ball)]
    good = [(0.3, "/image", image(seconds=0.3)), (0.4, "/speech", ball), (0.5, "/speech", say("x" * 1001))]
    folder = write(tmp_path / "bag", odd + good)
    truth = tmp_path / "truth.jsonl"
    truth.write_text(truth_line(expression="the ball", truth="clear") + "\n" + truth_line(expression="the fork"))
    arguments = ["evaluate", "bag", str(folder), "-o", str(tmp_path / "out.json")]
    assert main([*arguments, "--truth", str(truth), "--at-least", "0.9"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("rgb565") == 1 and "not taken at 0.5 s" in printed.err and "the fork" in printed.err
    assert "3 instructions" in printed.out and "unsupported encoding" in printed.out
    assert main(arguments) == 0
    assert "Against the truth" not in capsys.readouterr().out
    assert main([*arguments, "--at-least", "0.9"]) == 2


def test_images_that_do_not_decode(tmp_path, grounder):
    short = image(seconds=1)
    short.data = short.data[:-1]
    lines = [
        (0, "/image/compressed", jpeg(0, data=np.zeros(10, np.uint8))), (0.1, "/speech", say("the ball")),
        (0.2, "/image/compressed", jpeg(0.2, form="h264", data=np.zeros(10, np.uint8))),
        (0.3, "/speech", say("the ball")),
        (1, "/image", short), (1.1, "/speech", say("the ball")),
    ]  # fmt: skip
    rows = evaluate_bag(grounder, write(tmp_path / "bag", lines)).rows
    assert [row["outcome"] for row in rows] == ["invalid_image", "unsupported_encoding", "invalid_image"]


def test_row_padding():
    wide = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    padded = np.zeros((4, 32), np.uint8)
    padded[:, :15] = wide.reshape(4, 15)
    message = SimpleNamespace(encoding="rgb8", height=4, width=5, step=32, is_bigendian=0, data=padded.reshape(-1))
    assert np.array_equal(message_to_rgb(message), wide)
    message.step = 10
    with pytest.raises(ImageMessageError, match="shorter than a row"):
        message_to_rgb(message)
    message.encoding = "nv24"
    with pytest.raises(UnsupportedEncodingError, match="nv24"):
        message_to_rgb(message)
    assert len(SUPPORTED_ENCODINGS) >= 20


def test_the_stamp_without_decoding():
    store = typestore()
    message = image(seconds=2.5)
    for big in (False, True):
        data = bytes(store.serialize_cdr(message, IMAGE, little_endian=not big))
        assert header_stamp(data) == START + 5 * NS // 2
    assert header_stamp(b"\x00\x01") == 0


# Truth.


def test_truth_on_a_topic_scores_what_was_decided(tmp_path, grounder):
    lines = dialogue() + [
        (1.05, "/truth", say(truth_line())),
        (6.1, "/truth", say(truth_line(expression="the ball", truth="absent", box=None, kind="absent"))),
        (6.3, "/truth", say(truth_line(expression="the spoon"))),
    ]
    result = evaluate_bag(grounder, write(tmp_path / "bag", sorted(lines, key=lambda line: line[0])))
    assert [(row["kind"], row["success"]) for row in result.rows] == [("color", True), ("absent", False)]
    assert result.rows[0]["iou"] == 1.0 and result.unsaid == ["the spoon"]
    assert result.rows[1]["reason"] == "found instead of not found"


def test_truth_in_a_file_and_an_instruction_that_was_swallowed(tmp_path, grounder):
    lines = [(0, "/image", image()), (0.1, "/speech", say("the mug")), (5, "/speech", say("the ball"))]
    file = tmp_path / "truth.jsonl"
    file.write_text(truth_line() + "\n\n" + truth_line(expression="the ball", truth="clear") + "\n")
    result = evaluate_bag(grounder, write(tmp_path / "bag", lines), truth_file=file)
    assert [row["outcome"] for row in result.rows] == ["found", "not_begun"]
    assert result.rows[1]["success"] is False and "still open" in result.rows[1]["reason"]


def test_which_words_a_truth_is_about():
    said = [(10, "the mug"), (20, "the red one"), (30, "the mug")]
    first, second = Truth("the mug", "clear", MUG, "a"), Truth("the mug", "clear", MUG, "b")
    assert assign([first, second], said)[0] == {0: first, 2: second}
    late = Truth("the mug", "clear", MUG, "c", time=15)
    assert assign([late], said)[0] == {2: late}
    assert assign([first, late, second], said)[1] == [second]


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("{", "not JSON"), ("[1]", "must be an object"), (truth_line(expression=""), "expression"),
        (truth_line(truth="maybe"), "clear, ambiguous, absent"), (truth_line(box=[1, 2, 3]), "box"),
        (truth_line(box=[5, 5, 1, 9]), "x0 < x1"), (truth_line(box=None), "box"), (truth_line(kind=3), "kind"),
        (truth_line(truth="absent"), "no box"), (truth_line(box=[float("nan"), 0, 1, 1]), "box"),
    ],
)  # fmt: skip
def test_truths_that_make_no_sense(line, wrong, tmp_path):
    with pytest.raises(TruthError, match=wrong):
        parse_truth(line, "line 3")
    (tmp_path / "truth.jsonl").write_text("\n" + line)
    with pytest.raises(TruthError, match="truth.jsonl line 2"):
        read_truths(tmp_path / "truth.jsonl")


# Files, and the command line with the embedded model.


def test_results_are_the_same_bytes_twice(tmp_path, grounder):
    folder = write(tmp_path / "bag", dialogue())
    files = []
    for name in ("a", "b"):
        result = evaluate_bag(ScriptedGrounder(ASKS), folder)
        files.append(save(result, tmp_path / f"{name}.json", {"what": "bag"}, ReplaySettings()))
    (json_a, csv_a), (json_b, csv_b) = files
    assert csv_a.read_bytes() == csv_b.read_bytes()
    one, other = json.loads(json_a.read_text()), json.loads(json_b.read_text())
    assert one.pop("timing") and other.pop("timing")
    assert json.dumps(one) == json.dumps(other)
    rows = list(csv.DictReader(csv_a.open()))
    assert json.loads(rows[0]["answers"]) == ["the red one"] and rows[1]["expression"] == "the ball"
    with pytest.raises(BagError, match="cannot write"):
        save(result, csv_a / "x.json", {}, ReplaySettings())
