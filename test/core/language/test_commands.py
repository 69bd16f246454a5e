"""What of a command names the thing; sentences as people say them to robots, written by hand."""

import pytest

from clue_ros.language.commands import names_kind, target_of, without_modifiers


@pytest.mark.parametrize(
    "command, target",
    [
        ("put the blue mug on the shelf", "the blue mug"),
        ("Could you please place my thermos in the drawer?", "my thermos"),
        ("put the mug on the left in the box", "the mug on the left"),
        ("place the apple next to the banana in the bowl", "the apple next to the banana"),
        ("robot, could you put the lemon into the bowl on the right?", "the lemon"),
        ("move the mug to the left", "the mug"),
        ("move the mug on the left", "the mug on the left"),
        ("slide the red block towards the cup", "the red block"),
        ("stack the red cube on the blue cube", "the red cube"),
        ("put the can on the plate", "the can"),
        ("put the spoon away", "the spoon"),
        ("take the sponge from the shelf", "the sponge from the shelf"),  # which one, not where to
        ("throw away the red can", "the red can"),
        ("pick up the blue mug and put it on the plate.", "pick up the blue mug"),
        ("grab the mug, then hand it to me", "grab the mug"),
    ],
)
def test_what_a_command_is_about(command, target):
    assert target_of(command) == target


@pytest.mark.parametrize(
    "command",
    [
        "the mug on the plate",
        "pick up the mug on the plate",
        "bring me the mug on the windowsill",
        "take the bottle in the sink",
        "lift the can next to the toaster",
        "move the apple in the sink",
        "put it on the plate",
        "put that on the table",
        "put them in the box",
        "don't move the mug",
        "never put the mug on the plate",
        "burn the mug",
        "what did you put on the plate?",
        "",
    ],
)
def test_a_command_in_doubt_stays_whole(command):
    assert target_of(command) == command


@pytest.mark.parametrize(
    "said, unknown, kept",
    [
        ("the coke can", "coke", "the can"),
        ("can you pass the metal can, please", "metal", "can you pass the can, please"),
        ("hand me the blue ceramic coffee mug", "ceramic", "hand me the blue coffee mug"),
        ("the green rice chip bag", "rice chip", "the green bag"),
        ("the bag of chips", "chips", "the bag"),
        ("the can left of the metal bowl", "metal", "the can left of the bowl"),
        ("the Cheez-It box", "cheez", "the box"),
        ("hand me the ceramic mug please", "ceramic", "hand me the mug please"),
        ("robot bring the metal can now", "metal", "robot bring the can now"),
        ("the steel cup left of the plate", "steel", "the cup left of the plate"),
        ("grab coke can", "coke", "grab can"),
        ("the bottle cap", "cap", None),
        ("the metal one", "metal", None),
        ("the non-red can", "non", None),
        ("both mugs", "both", None),
        ("the mug with the handle", "with handle", "the mug"),
        ("the long screwdriver with the yellow handle, please", "long with handle", "the screwdriver, please"),
        ("the mug without the handle", "without handle", None),
        ("the soup can behind the oven mitt", "soup oven mitt", None),
        ("the mug that nobody uses", "nobody uses", None),
    ],
)
def test_unknown_words_in_front_of_a_known_noun(said, unknown, kept):
    assert without_modifiers(said, unknown.split()) == kept


def test_a_kind_is_named_or_not():
    assert names_kind("the red mug") and names_kind("Two paper cups!")
    assert not names_kind("the red one") and not names_kind("left") and not names_kind("")
