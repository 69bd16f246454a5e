"""Names of taught things: which can be taught, and where a text says one."""

import pytest

from clue_ros.taught.names import Names, as_name, check_not_known
from clue_ros.taught.refusals import NameRefusedError

KNOWN = frozenset("the my a red blue cup mug one left right of hand me".split())


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The Torque  Wrench", "torque wrench"),
        ("my thermos", "my thermos"),
        ("part 17", "part 17"),
        ("Anna's mug", "anna's mug"),
        ("m8-bolt", "m8-bolt"),
    ],
)
def test_a_name_is_kept_in_lower_case_without_article(said, kept):
    assert as_name(said) == kept


@pytest.mark.parametrize(
    "said", ["", "the", "my", "one", "my red one", "one two three four five six", "x" * 60, "<loc0001>;", "a/b"]
)
def test_what_names_nothing_or_cannot_be_spoken_is_refused(said):
    with pytest.raises(NameRefusedError):
        as_name(said)


def test_a_known_word_is_hidden_only_when_that_is_asked_for():
    with pytest.raises(NameRefusedError, match="my red cup"):
        check_not_known("red cup", KNOWN)
    for name in ("my cup", "torque wrench", "red thermos"):
        check_not_known(name, KNOWN)
    check_not_known("red cup", None)


def test_the_longest_name_is_heard_and_nothing_inside_a_word():
    names = Names(["wrench", "torque wrench", "my thermos", "my cup"], KNOWN)
    assert names.said_in("Hand me the Torque Wrench, then a wrench!") == ("torque wrench", "wrench")
    assert names.said_in("the wrenches and the wrench-box") == ()
    assert names.said_in("the thermos's lid") == ("my thermos",)
    assert names.said_in("the cup") == () and names.said_in("my cup, please") == ("my cup",)
    assert Names([]).said_in("the cup") == ()


def test_a_hidden_name_comes_back():
    names = Names(["my thermos", "part 17"], KNOWN)
    said = names.hidden("the cup left of my thermos")
    assert said == (f"the cup left of the {names.noun_of('my thermos')}", ("my thermos",))
    assert names.hidden("near part 17").text == f"near the {names.noun_of('part 17')}"
    assert names.hidden("the red part 17").text == f"the red {names.noun_of('part 17')}"
    assert names.names_of(said.text) == ("my thermos",) and names.names_of("the cup") == ()
    assert names.names_of("taughtthing7") == ()
    assert names.shown(f"the left {names.noun_of('my thermos')}?") == "the left thermos?"
    assert names.shown(f"the {names.noun_of('part 17')}") == "the part 17"
