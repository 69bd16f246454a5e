"""The folder of taught things: what survives, what is refused and by what name."""

import json

import numpy as np
import pytest
from coloured_sight import BLUE, RED, ColourSight, drawn

from clue_ros.taught.memory import FILE as VECTORS
from clue_ros.taught.memory import TaughtMemory
from clue_ros.taught.refusals import NameRefusedError, NothingToTeachError
from clue_ros.taught.store import FILE, Limits, TaughtStore, TaughtStoreError
from clue_ros.taught.views import only_thing, smallest_around, view_of
from clue_ros.types import Box

SCENE = drawn((RED, 40, 50, 90, 120), (BLUE, 200, 60, 260, 140))
RED_BOX = Box(40, 50, 90, 120)


@pytest.fixture
def view():
    return view_of(SCENE, RED_BOX)


def test_a_view_is_a_square_with_the_thing_in_its_middle(view):
    assert view.picture.shape == (224, 224, 3)
    x0, y0, x1, y1 = (round(v * 224) for v in view.box)
    assert np.abs(view.picture[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].astype(int) - RED).max() < 3
    assert abs(x0 + x1 - 224) < 4 and abs((y1 - y0) - 224 / 1.5) < 4


@pytest.mark.parametrize("box", [(10, 10, 12, 80), (400, 10, 500, 90), (50, 50, 50, 50)])
def test_a_box_without_a_thing_in_it_teaches_nothing(box):
    with pytest.raises(NothingToTeachError, match="320 x 240"):
        view_of(SCENE, Box(*box))


def test_what_was_taught_survives_and_views_add_up(store, view):
    store.add("my thermos", view)
    store.add("The Torque Wrench", view)
    store.add("torque wrench", view)
    again = TaughtStore(store.folder)
    assert again.names == ("my thermos", "torque wrench") and [len(t.views) for t in again.things] == [1, 2]
    kept = again.view(again.things[0].views[0])
    assert np.array_equal(kept.picture, view.picture) and kept.box == pytest.approx(view.box, abs=1e-4)


def test_what_is_forgotten_leaves_no_picture(store, view):
    store.add("my thermos", view)
    gone = store.forget("My Thermos")
    assert not store.names and not store.picture_file(gone.views[0].id).exists()
    with pytest.raises(NameRefusedError, match="nothing yet"):
        store.forget("my thermos")


def test_two_programs_share_a_folder(store, view):
    other = TaughtStore(store.folder)
    store.add("my thermos", view)
    other.add("part 17", view)
    assert store.reload() and store.names == other.names == ("my thermos", "part 17")
    assert not store.reload()


def test_limits_are_named(tmp_path, view):
    store = TaughtStore(tmp_path / "small", Limits(things=1, views=2))
    store.add("part 17", view)
    store.add("part 17", view)
    with pytest.raises(TaughtStoreError, match="2 views"):
        store.add("part 17", view)
    with pytest.raises(TaughtStoreError, match="holds 1 things"):
        store.add("part 18", view)
    assert TaughtStore(store.folder).names == ("part 17",)


def test_a_word_of_the_model_is_hidden_only_on_request(store, view):
    words = frozenset({"red", "cup"})
    with pytest.raises(NameRefusedError, match="already knows"):
        store.add("red cup", view, words)
    assert store.add("red cup", view, words, shadow=True).name == "red cup"
    assert len(store.add("red cup", view, words).views) == 2  # hidden already: a further view asks no more


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"format": 2, "things": []}', '{"format": 1, "things": 3}', '{"format": 1, "things": [{}]}',
        '{"format": 1, "things": [{"name": "x", "views": []}]}',
        '{"format": 1, "things": [{"name": "x", "views": [{"id": "../../../etc", "box": [0, 0, 1, 1]}]}]}',
        '{"format": 1, "things": [{"name": "x", "views": [{"id": "0123456789ab", "box": [0, 0, 1]}]}]}',
        '{"format": 1, "things": [{"name": "../x", "views": [{"id": "0123456789ab", "box": [0, 0, 1, 1]}]}]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_foreign_list_is_refused_by_name(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(TaughtStoreError, match=FILE):
        TaughtStore(tmp_path)


def test_broken_pictures_and_vectors_are_refused_by_name(store, sight, view):
    memory = TaughtMemory(store, sight)
    thing = memory.add("my thermos", view)
    vectors, picture = store.folder / VECTORS, store.picture_file(thing.views[0].id)
    vectors.write_bytes(vectors.read_bytes()[:-5])
    with pytest.raises(TaughtStoreError, match=VECTORS):
        TaughtMemory(TaughtStore(store.folder), sight)
    vectors.unlink()
    picture.write_bytes(b"GIF89a")
    with pytest.raises(TaughtStoreError, match=picture.name):
        TaughtMemory(TaughtStore(store.folder), sight)


def test_an_interrupted_change_leaves_the_folder_as_it_was(store, view, monkeypatch):
    store.add("my thermos", view)
    before = (store.folder / FILE).read_text()
    monkeypatch.setattr("clue_ros.taught.store.os.replace", _fails_for(FILE))
    with pytest.raises(TaughtStoreError, match="no space"):
        store.add("part 17", view)
    assert (store.folder / FILE).read_text() == before and TaughtStore(store.folder).names == ("my thermos",)


def _fails_for(name):
    import os

    replace = os.replace

    def failing(source, target):
        if target.name == name:
            raise OSError("no space left on device")
        replace(source, target)

    return failing


def test_views_are_looked_at_once_by_the_same_eyes(store, view):
    first = ColourSight()
    TaughtMemory(store, first).add("my thermos", view)
    again, others = ColourSight(), ColourSight("other")
    assert TaughtMemory(TaughtStore(store.folder), again).things[0].looks.shape == (1, 9) and again.looked == 0
    TaughtMemory(TaughtStore(store.folder), others)
    assert first.looked == 1 and others.looked == 1


def test_another_program_s_thing_is_taken_over(store, sight, view):
    memory = TaughtMemory(store, sight)
    TaughtStore(store.folder).add("part 17", view)
    assert not memory.things
    memory.reload()
    assert [thing.name for thing in memory.things] == ["part 17"]


def test_a_click_means_the_smallest_thing_around_it_and_no_gesture_the_only_thing():
    large, small, far = Box(0, 0, 100, 100), Box(20, 20, 40, 40), Box(200, 200, 215, 215)
    assert smallest_around([large, small], (30, 30)) == small and smallest_around([large, small], (50, 50)) == large
    assert only_thing([small], (320, 240)) == small and only_thing([large, far], (320, 240)) == large
    for boxes in ([], [small, far], [Box(0, 0, 320, 240)]):
        with pytest.raises(NothingToTeachError, match="click on"):
            only_thing(boxes, (320, 240))


def test_the_list_is_readable(store, view):
    store.add("my thermos", view)
    assert json.loads((store.folder / FILE).read_text())["things"][0]["name"] == "my thermos"
