"""What is said of a photograph is what its annotation decides, and nothing else."""

import numpy as np
from drawn_photos import LEFT, MIDDLE, RIGHT, line, thing, write

from clue_ros.photographs.annotations import read_annotations
from clue_ros.photographs.queries import (
    absent_references,
    photo_queries,
    photo_states,
    sayable_objects,
    sayable_references,
)
from clue_ros.simulation.referring import Reference


def said(photo, general=None):
    return dict(sayable_references(photo, sayable_objects(photo), general))


def read(folder, *lines, **options):
    return read_annotations(write(folder, *lines), **options)


def test_an_exhaustive_picture_is_spoken_of_as_a_scene(tmp_path):
    mugs = thing("mug", LEFT, "red"), thing("mug", RIGHT, "blue"), thing("bowl", MIDDLE)
    (photo,) = read(tmp_path / "p", line(*mugs))
    found = said(photo)
    assert found[Reference("mug")] == (0, 1) and found[Reference("mug", "red")] == (0,)
    assert found[Reference("mug", position="right")] == (1,) and found[Reference("bowl")] == (2,)
    assert found[Reference("mug", relation="left_of", anchor=Reference("bowl"))] == (0,)
    assert Reference(color="red") not in found  # other red things may lie about
    assert not any(r.size for r in found)
    (complete,) = read(tmp_path / "q", line(*mugs[:2], complete=True))
    assert said(complete)[Reference(color="red")] == (0,)


def test_a_colour_is_said_only_where_its_rivals_have_one(tmp_path):
    (photo,) = read(tmp_path / "p", line(thing("mug", LEFT, "red"), thing("mug", RIGHT), thing("bowl", MIDDLE, "red")))
    colored = {(r.category, r.color) for r in said(photo) if r.color}
    assert colored == {("bowl", "red")}


def test_a_noun_means_all_that_it_covers(tmp_path):
    fruit = thing("mandarin", LEFT, "orange"), thing("orange", RIGHT, "orange"), thing("mug", MIDDLE, "red")
    (photo,) = read(tmp_path / "p", line(*fruit))
    assert said(photo)[Reference("orange")] == (0, 1)
    found = said(photo, "fruit")
    assert found[Reference("fruit")] == (0, 1) and found[Reference("fruit", position="left")] == (0,)
    assert not any(r.anchor and r.anchor.category == "mandarin" for r in found if r.category == "fruit")
    # Not an anchor by its own noun, which means the mandarin as well.
    assert {r.anchor.category for r in found if r.anchor and r.relation != "between"} <= {"mandarin", "mug"}
    states = [s for seed in range(30) for s in photo_states(photo, np.random.default_rng(seed), 6)]
    spoken = " ".join(s.step.instruction for s in states).split()
    assert {"fruit", "cup", "mug"} <= set(spoken)
    (photo,) = read(tmp_path / "q", line(*fruit[:2], thing("mug", MIDDLE, "red"), thing("cup", [50, 1, 58, 12])))
    assert Reference("mug") not in said(photo)  # the cup may be one
    assert {o.category for o in sayable_objects(photo) if o.color} == {"mandarin", "orange"}


def test_where_more_may_be_there_only_the_ambiguous_is_sure(tmp_path):
    (photo,) = read(
        tmp_path / "p", line(thing("mug", LEFT), thing("mug", RIGHT), thing("bowl", MIDDLE), exhaustive=False)
    )
    assert said(photo) == {Reference("mug"): (0, 1)}
    rng = np.random.default_rng(0)
    queries = [q for _ in range(40) for q in photo_queries(photo, rng, 8)]
    assert all(q.prefix.startswith("detect ") for q in queries)  # no question, which would have to offer all
    sure = [q for q in queries if len(q.matches) == 1]
    assert sure and all("<loc" in q.prefix for q in sure)  # pointed at
    assert {q.kind for q in queries} == {"category", "dialogue", "point", "absent"}


def test_absent_is_what_the_source_names_elsewhere_or_nowhere(tmp_path):
    here, elsewhere = line(thing("mug", LEFT, "red"), thing("bowl", RIGHT)), line(thing("plate", LEFT))
    photo, _ = read(tmp_path / "p", here, elsewhere)
    found = absent_references(photo, sayable_objects(photo), np.random.default_rng(0), 400)
    names = {r.category for r in found}
    assert "plate" in names and "bottle" in names
    assert "mug" in names and all(r.color not in (None, "red") for r in found if r.category == "mug")
    assert "bowl" not in names  # its colour is not known
    assert "cup" not in names  # a mug is one
    assert not any(r.color == "pink" for r in found if r.category == "mug")  # some call red so
    unsure, _ = read(tmp_path / "q", {**here, "exhaustive": False}, elsewhere)
    names = {r.category for r in absent_references(unsure, sayable_objects(unsure), np.random.default_rng(0), 400)}
    assert "bottle" in names and not {"plate", "mug", "bowl"} & names


def test_a_name_without_a_noun_is_never_said(tmp_path):
    (photo,) = read(tmp_path / "p", line(thing("gadget", LEFT), thing("gadget", RIGHT), thing("mug", MIDDLE)))
    assert {r.category for r in said(photo)} == {"mug"}
    states = [s for seed in range(20) for s in photo_states(photo, np.random.default_rng(seed), 6)]
    assert states and not any("gadget" in s.step.instruction for s in states)


def test_the_same_seed_says_the_same(tmp_path):
    (photo,) = read(tmp_path / "p", line(thing("mug", LEFT, "red"), thing("mug", RIGHT, "blue"), thing("bowl", MIDDLE)))
    first, second = (photo_queries(photo, np.random.default_rng(7), 12) for _ in range(2))
    assert first == second and len(first) == 12
