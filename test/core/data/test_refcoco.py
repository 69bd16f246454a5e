"""RefCOCO in its four forms, and its pickle, which is read without unpickling."""

import json
import pickle

import pytest
from drawn_data import make_refcoco, write_lines

from clue_ros.cli.main import main
from clue_ros.data import Label, MissingDataError, PickleRefusedError, SampleStream, open_data
from clue_ros.types import Box


def read(path, split=None, **options):
    return list(SampleStream(open_data(path, **options), split, strict=True))


# InViG


# RefCOCO


def test_refcoco_references_with_instances(tmp_path):
    source = open_data(make_refcoco(tmp_path))
    assert source.name == "refcoco" and source.splits == ("train", "valid", "testA")
    guy, man = read(tmp_path, "train")
    assert guy.source_id == "refcoco/train/7/0" and guy.expression == "Left Guy" and man.expression == "man"
    assert guy.boxes == (Box(4, 6, 14, 26),) and guy.label is Label.CLEAR  # xywh in the file
    assert guy.pixels().shape == (48, 64, 3)
    assert [s.boxes[0] for s in read(tmp_path, "val")] == [Box(30, 10, 50.5, 18)]
    with pytest.raises(MissingDataError, match="no split 'testB'; it has: train, valid, testA"):
        read(tmp_path, "testB")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_original_pickle_is_read_without_unpickling(tmp_path, protocol, monkeypatch):
    make_refcoco(tmp_path)
    converted = list(SampleStream(open_data(tmp_path)))
    file = tmp_path / "refcoco/refs(unc).json"
    pickled = file.with_suffix(".p")
    pickled.write_bytes(pickle.dumps(json.loads(file.read_text()), protocol))
    assert list(SampleStream(open_data(tmp_path))) == converted  # the conversion beside it is taken
    file.unlink()
    monkeypatch.setattr(pickle, "load", lambda *a: 1 / 0)
    monkeypatch.setattr(pickle, "loads", lambda *a: 1 / 0)
    source = open_data(tmp_path)
    assert list(SampleStream(source)) == converted and set(source.splits) == {"train", "valid", "testA"}
    assert [s.expression for s in SampleStream(open_data(pickled, images=tmp_path / "train2014"))] == [
        s.expression for s in converted
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"cposix\nsystem\n(S'touch {ran}'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x05touch\x85R.",
        b"(iposix\nsystem\n.",
        b"\x80\x02\x82\x01.",  # an extension's number
        b"]P1\n.",  # a persistent id
    ],
)
def test_a_pickle_that_names_or_calls_anything_is_refused(tmp_path, content):
    make_refcoco(tmp_path)
    (tmp_path / "refcoco/refs(unc).json").unlink()
    pickled = tmp_path / "refcoco/refs(unc).p"
    pickled.write_bytes(content.replace(b"{ran}", str(tmp_path / "ran").encode()))
    for path in (tmp_path, pickled):
        with pytest.raises(PickleRefusedError, match="nothing of it was run"):
            open_data(path, images=tmp_path / "train2014")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"]", b"\x80\x04", b"a.", b"no pickle", b"I1\n.", b"]r\xff\xff\xff\xff."])
def test_broken_pickles_are_told(tmp_path, content, capsys):
    make_refcoco(tmp_path)
    (tmp_path / "refcoco/refs(unc).json").unlink()
    (tmp_path / "refcoco/refs(unc).p").write_bytes(content)
    assert main(["data", "check", str(tmp_path)]) in (1, 2)


def test_refcoco_without_instances_or_images(tmp_path):
    make_refcoco(tmp_path)
    (tmp_path / "train2014").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingDataError, match="images of COCO are missing.*--images"):
        open_data(tmp_path)
    assert len(read(tmp_path, images=tmp_path / "elsewhere")) == 4
    (tmp_path / "refcoco/instances.json").unlink()
    with pytest.raises(MissingDataError, match="instances.json is missing"):
        read(tmp_path, images=tmp_path / "elsewhere")


def test_refcoco_json_lines_of_both_conventions(tmp_path):
    make_refcoco(tmp_path)
    qwen = {
        "image": "data/coco/train2014/COCO_train2014_000000000001.jpg",
        "sent": "left guy",
        "bbox": [4, 6, 14, 26],
        "width": 64,
        "height": 48,
    }
    reclip = {
        "file_name": "COCO_train2014_000000000002.jpg",
        "width": 64,
        "height": 48,
        "ann_id": 80,
        "id": 3,
        "anns": [{"id": 80, "bbox": [30, 10, 20, 8]}, {"id": 81, "bbox": [0, 0, 5, 5]}],
        "sentences": [{"raw": "Cup", "sent": "cup"}],
    }
    one = write_lines(tmp_path / "one/refcoco+_val.jsonl", [qwen])
    two = write_lines(tmp_path / "two/refcoco_testA.jsonl", [reclip])
    (sample,) = read(one, "valid", images=tmp_path / "train2014")
    assert sample.boxes == (Box(4, 6, 14, 26),) and sample.source_id == "refcoco+/valid/1/0"
    assert sample.image.name == "COCO_train2014_000000000001.jpg" and sample.pixels() is not None
    (sample,) = read(two, "testa", images=tmp_path / "train2014")
    assert sample.boxes == (Box(30, 10, 50, 18),) and sample.expression == "Cup"


def test_refcoco_of_mdetr_and_generalised_targets(tmp_path):
    make_refcoco(tmp_path)
    image = {"file_name": "COCO_train2014_000000000001.jpg", "width": 64, "height": 48}
    (tmp_path / "finetune_refcocog_val.json").write_text(
        json.dumps(
            {
                "info": [],
                "images": [{**image, "id": 0, "original_id": 1, "caption": "the guy"}],
                "annotations": [{"id": 0, "image_id": 0, "bbox": [1, 2, 3, 4]}],
            }
        )
    )
    (sample,) = read(tmp_path / "finetune_refcocog_val.json", "val")
    assert sample.boxes == (Box(1, 2, 4, 6),) and sample.source_id == "refcocog/valid/0/0"
    sentence = [{"raw": "all of them"}]
    (tmp_path / "refcoco/refs(unc).json").rename(tmp_path / "refcoco/grefs(unc).json")
    (tmp_path / "refcoco/grefs(unc).json").write_text(
        json.dumps(
            [
                {
                    "ref_id": 1,
                    "ann_id": [70, 80],
                    "image_id": 1,
                    "split": "train",
                    "sentences": sentence,
                    "no_target": False,
                },
                {
                    "ref_id": 2,
                    "ann_id": [-1],
                    "image_id": 1,
                    "split": "train",
                    "sentences": sentence,
                    "no_target": True,
                },
            ]
        )
    )
    both, none = read(tmp_path, "train", subset="grefcoco")
    assert len(both.boxes) == 2 and none.boxes == () and both.label is none.label is Label.UNKNOWN


# Tables and JSON lines
