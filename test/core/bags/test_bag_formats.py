"""Files that are no bags of ROS 2, and bags in which nobody speaks: what is said, and what to do about it.

The MCAPs were written by the public library mcap 1.6.0 (its Writer: profile, one schema and channel, one message), and
are kept here as base85 of zlib.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib

import pytest
from handmade_bags import image, say, write

from clue_ros.bags.errors import BagError
from clue_ros.bags.reading import Bag, typestore
from clue_ros.bags.said import Said, parse_said, read_said
from clue_ros.bags.suite import evaluate_bag
from clue_ros.cli.main import main
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.types import Box

rosbag1 = pytest.importorskip("rosbags.rosbag1")
MUG = Box(4, 4, 12, 12)
ASKS = {"the mug": [Say.ask("The red one or the blue one?"), Say.found(MUG)], "the ball": Say.found(MUG)}
BAG_WORDS = [(0, "/image", image()), (0.5, "/speech", say("the ball"))]
MCAPS = {
    "ros1": "c-rgqb#@Fe;N@ZzXMg|}ATG);Hsl7<xygwI3I&xV8Tol^s~BKl!Hw2%6EPUw1QjjZ-S7=W!}!bwPzECdKaeagNr}%bPA}FEE-A{)OJ|4L0u<"
    "r_%Yp<IQW8rNxmcv&8W|bbfV6&QZen^W%v~TER#~_bR3|~L2I9n|WOgyQDgh)_F;G!{76t^MrE9q@&|J$1XCXvU1C<L!6^9p&u-AZ!ZidnjZ"
    "MUI3c_d4k&}cqEn8(?nwpgOeusA?vl+k6llc6$>=rSBjpfbVeGF;!0{fsQbi!Q??0%gFQ22-FPZYk9XO|JmCUQ&h",
    "ros1_unsaid": "c-rgqb#@Fe;N@ZzW<UULAkIxrEKn$@EXl~vV_OB6S#YB@+(ZmUH$g=UcQ<?k(J(%<0hGbWzz-ygOH$%<i_?qsgG-7s^U~RYLPhz-hCm@6uq;"
    "SWAtkXSk&8tNu91;}4M^)}<|d}6vOsl!WLRb4N>H5ywHk;MlakrR;Hm_WRK-9=`B{*BOH0>sTcEj?5za!0q6R7#iYg8-9AU2l72OP_A=<7(d"
    "Gbh>G@;Raf-sLWLv67{mtnDi$|$4DaK}Ss9MNSs7C>c!(Pg+kBl{Uyh8JCiNd)FLs02(wv89f2Cp4`B0E*yI0{",
    "protobuf": "c-rgqb#@Fe;N@ZzW<UULAkIxrEKn$@EXl~vV_OZES#YB@+(ZmUH$z4LFi!9U(J(%<A(X+$AOR%P@+;DF^2<{7obz)Fic*V<Q&T*16Vp>UfN}"
    "*z`6c;DrD@DSHWy<eiyT}hBLf?d*3U#&36f=%geyaJ7X$zeVi$v}5I|Cq2o>dLLGmumoy%>3=3GWN3n7Xcv|K2vIJ|JgfC^M}3(V(WZ8xAic"
    "_d4k(P%zFnD1GjwpgLdu-HLm)X`<QQ=u}B=rSD3pfbVeGF(5A{fsQbi!Q??0&@XW0;VAN=5?!1Xo>{@P{~z4",
    "json": "c-rgqb#@Fe;N@ZzW<UULAkIxrEKn$@EXl~vV{3!UEV$7cZXyPwbD*NGX9bd2fOJ)HNlFw{Ok=D5Uxl1rCWbA{%<>G346Hyg&)mfHR4yPRt2j"
    "TeI5{IVH<1a*tFC2{0;*tSU;}dWGg(+Apw?8^axf@J=P@kis%>MaoV&>*VGkn@BfA*X3PuJ2Bu9BeMfq8fd;+u@rk0QcVCrDb04ZgGDg_6M1"
    "zZV2DFQHJ2_G&LRUCdef>8x3+7G26+BQRZFdv`?Ff8!-1Yv%?4-0y985VY^8<f#yxV4}%j_5KR*-)8qbQ!Kg$o@u_;YF8W5`i*cPJ=06jlO-"
    "m6Pok@$8k-+",
    "mixed": "c-rgqb#@Fe;N@ZzXMg|}ATG);HsS`-xygwI3I&xV8Tol^@{CXg3=3|whMR~nLh0{N(I5NwOa##|KC=mw!N?#CB#TQ@;&Y4Bi}itoesD=qW?n"
    "iw)Fz+^4_F0AP$4C;B$10n3a*)v0i;g9xF9t(IfEI<Oin2Rn=cPl!o<J|B!f#5OH#RjjI84PyyE1H)Z9cSAg{U>ZWI#`vVn~PDP@5w1<9}~!"
    "EHnKA<VxZVUY5~q+|wG3Akwx8C0d!wd`VWO#(<}t%i!irJ2CeF#Xq{qWmlj2tZK?k{mp^Lz;*X<aR;{7Kl;?<N(A-HzH6wVd`Nljt~ay2~7h"
    "kssU9AF(7~uW<WlaWrt+(cQl$$5Eizxp{i5SWmsS?cSD!qc7w`zqswqigv!LC%W%Cz4hLizUUV5I5hw%ZG?;=%_tx&{gl1C!FZ_8?",
    "unsaid": "c-rgqb#@Fe;N@ZzW<UULAkIxrEKn$@EXl~vW7`CmS#YB@+(ZmUcR@wn{w2nMXc(W_1j=A!02y0ck`kX=oL;OCB=mzziZb)k*@41E`Nc*+5gx"
    "D#kf1_JVo4$wizHk#BLf?d*3ZmMOiyJ7vXWDZKoYD<a22SoLI|?}sl=pY26i#Hm;jQ}c&I2p3zDyC>}qZcG*>giSqM?o@Z~~L#o>h`8dRX7y"
    "P-5h+kGfc9?6m}G@4Hk=67zWEw<<~EFMr9C3G3?EU1hlx(vr^s7x@r4A(zoKO@WVqRTLe!0draz!dxxV{zz&CR+f#z*D3",
    "nothing": "c-rgqb#@Fe;N@ZzXMg|}ATG);HsS`-xygwI3I&xV8TonqEDQ+1t;awP;1h&0m`!oXu;7&8hRK+t%W&l2(!+&Qh8JCiNd(G(Sp!obTGlAh2@N"
    "CwZ-);b",
    "nothing_anyhow": "c-rgqb#@Fe;N@ZzW<UULAkIxrEKn$@EXl~v<7YvZ(_<h9@Cia0%!asRSa8a4!(`0SWjHc$>EXgD!;3D%Bm!l?tbr*|pQM`I2@N0st2+&r",
}


def truth_line(**fields):
    return json.dumps({"expression": "the mug", "truth": "ambiguous", "box": list(MUG), **fields})


def file(folder, name):
    path = folder / f"{name}.mcap"
    path.write_bytes(zlib.decompress(base64.b85decode(MCAPS[name])))
    return path


@pytest.mark.parametrize(
    "name, said",
    [
        ("ros1", "ROS 1 messages.*rosbags-convert"),
        ("ros1_unsaid", "ROS 1 messages.*rosbags-convert"),
        ("protobuf", "MCAP of protobuf messages.*ros2 bag record"),
        ("json", "MCAP of json"),
        ("mixed", "holds json.*mcap filter"),
        ("unsaid", "profile is ''.*ros2 bag convert"),
        ("nothing", "is empty"),
        ("nothing_anyhow", "is empty"),
    ],
)
def test_mcaps_of_other_systems(tmp_path, capsys, name, said):
    path = file(tmp_path, name)
    with pytest.raises(BagError, match=said):
        Bag(path)
    with pytest.raises(BagError, match=said):
        Bag(tmp_path)  # the folder that holds it
    assert main(["evaluate", "bag", str(path), "--say", "the mug@0"]) == 2
    printed = capsys.readouterr().err
    assert len(printed.strip().splitlines()) == 1 and printed.startswith("clue: ") and name in printed


def test_a_ros1_mcap_that_was_cut_short_is_still_one_of_ros1(tmp_path):
    path = file(tmp_path, "ros1")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(BagError, match="ROS 1"):
        Bag(path)


def test_a_ros1_bag_by_its_content_and_in_its_folder(tmp_path):
    path = tmp_path / "a bag.bag"
    with rosbag1.Writer(path) as bag:
        bag.add_connection("/speech", "std_msgs/msg/String", typestore=typestore())
    copy = tmp_path / "a bag.recording"
    copy.write_bytes(path.read_bytes())
    for given in (path, tmp_path, copy):
        with pytest.raises(BagError, match="ROS 1 bag.*rosbags-convert --src '.*a bag"):
            Bag(given)


def test_folders_and_files_that_are_no_bags(tmp_path):
    with pytest.raises(BagError, match="no metadata.yaml and no .mcap"):
        Bag(tmp_path)
    write(tmp_path / "kitchen", [(0, "/image", image())])
    with pytest.raises(BagError, match="give one of them: kitchen"):
        Bag(tmp_path)
    for name in ("a.db3", "b.db3"):
        sqlite3.connect(tmp_path / name).execute("create table photos (pixels)").connection.close()
    with pytest.raises(BagError, match="2 files that may belong together.*reindex"):
        Bag(tmp_path)
    with pytest.raises(BagError, match="does not open as a bag.*missing tables"):
        Bag(tmp_path / "a.db3")
    (tmp_path / "c.mcap.zstd").write_bytes(b"(\xb5/\xfd")
    with pytest.raises(BagError, match="zstd -d"):
        Bag(tmp_path / "c.mcap.zstd")


def test_a_db3_without_metadata_is_read(tmp_path):
    folder = write(tmp_path / "bag", BAG_WORDS, "sqlite3")
    (folder / "metadata.yaml").unlink()
    for path in (folder, folder / "bag.db3"):
        assert [row["outcome"] for row in evaluate_bag(ScriptedGrounder(ASKS), path).rows] == ["found"]


# Words for a bag without.


@pytest.fixture
def silent(tmp_path):
    """A camera for ten seconds, and a topic of strings that nobody says."""
    frames = [(t / 2, "/image", image(seconds=t / 2)) for t in range(21)]
    return write(tmp_path / "silent", sorted([*frames, (3, "/state", say("ready"))], key=lambda line: line[0]))


def test_words_at_their_times(silent):
    said = [parse_said("the red one@4"), parse_said("the mug@2.5"), parse_said("no, meet @ the left one@9.5")]
    rows = evaluate_bag(ScriptedGrounder(ASKS), silent, said=said).rows
    assert [(row["time_s"], row["words"], row["answers"]) for row in rows] == [
        (2.5, "the mug", ["the red one"]), (9.5, "no, meet @ the left one", []),
    ]  # fmt: skip
    assert rows[1]["corrects"] == 1 and rows[0]["image_time_s"] == 2.5


def test_words_among_those_of_the_bag_and_their_truth(tmp_path):
    folder = write(tmp_path / "bag", [(0, "/image", image()), (0.5, "/speech", say("the mug")), (9, "/image", image())])
    truth = tmp_path / "truth.jsonl"
    truth.write_text(
        truth_line() + "\n" + truth_line(expression="Never mind", truth="withdrawn", box=None, kind="back")
    )
    said = [Said("the red one", 4.0, ""), Said("Never mind", 6.0, "")]
    rows = evaluate_bag(ScriptedGrounder(ASKS), folder, said=said, truth_file=truth).rows
    assert [(row["outcome"], row["success"], row["corrects"]) for row in rows] == [
        ("found", True, None), ("withdrawn", True, 1)
    ]  # fmt: skip
    del said[0]  # now it ends the question that is open
    rows = evaluate_bag(ScriptedGrounder(ASKS), folder, said=said, truth_file=truth).rows
    assert [(row["outcome"], row["success"]) for row in rows] == [("abandoned", False), ("not_begun", False)]


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("the mug", "has no time"),
        ("the mug@", "'' is no number"),
        ("me@home", "'home' is no number"),
        ("@3", "says nothing"),
        ("the mug@-1", "the time is -1 s"),
        ("the mug@nan", "the time is nan"),
        ("the mug@inf", "the time is inf"),
        ("caf\udce9@1", "no text in UTF-8"),
        ("the mug@10.1", "behind the end of the bag, which lasts 10.0 s"),
    ],
)
def test_words_without_sense(silent, capsys, text, wrong):
    assert main(["evaluate", "bag", str(silent), "--say", "the ball@1", "--say", text]) == 2
    printed = capsys.readouterr().err
    assert wrong in printed and len(printed.strip().splitlines()) == 1


def test_a_file_of_words(tmp_path, silent, monkeypatch, capsys):
    from clue_ros.cli import evaluate_bag as verb

    monkeypatch.setattr(verb, "load_grounder", lambda args: ScriptedGrounder(ASKS))
    words = tmp_path / "words.txt"
    words.write_text("\ufeffthe mug@2.5\n\n" + json.dumps({"say": "the red one", "at": 4}) + "\n", encoding="utf-8")
    assert [one[:2] for one in read_said(words)] == [("the mug", 2.5), ("the red one", 4.0)]
    arguments = ["evaluate", "bag", str(silent), "-o", str(tmp_path / "out.json"), "--say-file", str(words)]
    assert main([*arguments, "--say", "the ball@9"]) == 0
    printed = capsys.readouterr().out
    assert "2 instructions" in printed and "3 by --say" in printed
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["topics"]["speech"] is None and len(saved["episodes"]) == 2
    for line, wrong in (
        ("{", "not JSON"),
        ('{"say": "x"}', 'must hold "say" and "at"'),
        ('{"say": 3, "at": 1}', "must hold"),
        ('{"say": "x", "at": true}', "must hold"),
        ("x@1@", "no number"),
        ("", "holds no words"),
    ):
        words.write_text("\n" + line)
        with pytest.raises(BagError, match=wrong):
            read_said(words)
    with pytest.raises(BagError, match="cannot read"):
        read_said(tmp_path / "none.txt")


def test_a_bag_in_which_nobody_speaks_says_what_to_do(tmp_path):
    for lines in ([(0, "/image", image())], [(0, "/image", image()), (1, "/utterance", say("I see it."))]):
        with pytest.raises(BagError, match=r"no speech .*--say .the red mug@2.5"):
            evaluate_bag(ScriptedGrounder(ASKS), write(tmp_path / f"{len(lines)}", lines))


def test_a_gesture_in_the_bag(tmp_path):
    types = typestore().types

    def point(seconds, x, y, z=0.0, frame="camera"):
        stamp = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
        header = types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)
        place = types["geometry_msgs/msg/Point"](x=x, y=y, z=z)
        return seconds, "/clue/point", types["geometry_msgs/msg/PointStamped"](header=header, point=place)

    words = [
        (0, "/image", image()),
        (0.5, "/speech", say("the mug")),
        point(1, 6.0, 6.0, frame="map"),
        point(2, 0.1, 0.2, 0.8),
        point(3, 6.0, 7.0),
    ]
    result = evaluate_bag(ScriptedGrounder(ASKS), write(tmp_path / "bag", words))
    assert result.rows[0]["answers"] == ["(points at 6, 7)"] and result.rows[0]["box"] == list(MUG)
    assert [round(item["time_s"]) for item in result.not_taken] == [1, 2] and result.topics.point == "/clue/point"
