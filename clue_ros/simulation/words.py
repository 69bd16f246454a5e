"""The words of the tabletop language as tables, and the list of every one of them: the embedded model's vocabulary.

All text is lower case, words and punctuation separated by one space, as the embedded model's tokenizer reads it. The
tables in capitals without MORE_ are the frequent core: what newcomers type, and what episodes of the demo use.
"""

from __future__ import annotations

from typing import Dict, Iterator, Sequence, Tuple

from clue_ros.simulation.shapes import CATEGORIES, COLORS

# First entry: the word that the robot itself uses.
NOUNS: Dict[str, Tuple[str, ...]] = {
    "mug": ("mug", "mug", "mug", "cup", "coffee mug"),
    "bowl": ("bowl",),
    "plate": ("plate", "plate", "plate", "dish"),
    "bottle": ("bottle",),
    "can": ("can", "can", "can", "tin", "soda can"),
    "box": ("box", "box", "box", "carton"),
    "ball": ("ball",),
    "banana": ("banana",),
}
PLURALS: Dict[str, Tuple[str, ...]] = {
    "mug": ("mugs", "mugs", "cups"),
    "bowl": ("bowls",),
    "plate": ("plates",),
    "bottle": ("bottles",),
    "can": ("cans",),
    "box": ("boxes",),
    "ball": ("balls",),
    "banana": ("bananas",),
}
ANY_NOUN = ("thing", "object", "one", "item")
COLOR_WORDS: Dict[str, Tuple[str, ...]] = {**{c: (c,) for c in COLORS}, "purple": ("purple", "purple", "violet")}
SIZE_WORDS: Dict[str, Tuple[str, ...]] = {
    "small": ("small", "small", "small", "little", "smaller", "smallest"),
    "large": ("large", "large", "big", "big", "bigger", "larger", "biggest", "largest"),
}
ORDINALS = ("", "first", "second", "third", "fourth")

# {n} is the noun phrase without article.
POSITION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left": ("left {n}", "leftmost {n}", "{n} on the left", "{n} to the left"),
    "right": ("right {n}", "rightmost {n}", "{n} on the right", "{n} to the right"),
    "front": ("front {n}", "closest {n}", "nearest {n}", "{n} in front", "{n} in the front"),
    "back": ("back {n}", "farthest {n}", "furthest {n}", "{n} in the back", "{n} at the back"),
    "middle": ("middle {n}", "{n} in the middle", "center {n}", "{n} in the center"),
}
MORE_POSITION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left": ("{n} on the left side", "{n} that is on the left"),
    "right": ("{n} on the right side", "{n} that is on the right"),
    "front": ("{n} at the front", "{n} closest to you", "{n} nearest to you", "{n} that is in front"),
    "back": ("{n} farthest away", "{n} furthest away", "{n} farthest from you", "{n} that is at the back"),
    "middle": ("{n} that is in the middle", "{n} in between"),
}
# {a}: the thing that the expression leans on, with article.
RELATION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left_of": ("to the left of {a}", "left of {a}", "on the left of {a}", "on the left side of {a}"),
    "right_of": ("to the right of {a}", "right of {a}", "on the right of {a}", "on the right side of {a}"),
    "next_to": ("next to {a}", "next to {a}", "next to {a}", "beside {a}", "by {a}", "near {a}", "close to {a}"),
    "behind": ("behind {a}",),
    "in_front_of": ("in front of {a}",),
}
ORDINAL_PHRASES = (
    "{o} {n} from the {s}",
    "{o} {n} from the {s}",
    "{o} {n} from the {s}",
    "{n} that is {o} from the {s}",
    "{o} {n} on the {s}",
)
INSTRUCTIONS: Tuple[str, ...] = (
    "{n}",
    "the {n}",
    "the {n}",
    "get the {n}",
    "get the {n}",
    "give me the {n}",
    "hand me the {n}",
    "hand me the {n}",
    "pick up the {n}",
    "pick the {n}",
    "pass me the {n}",
    "bring me the {n}",
    "grab the {n}",
    "take the {n}",
    "fetch the {n}",
    "i need the {n}",
    "i want the {n}",
    "i would like the {n}",
    "can i have the {n}",
    "could you pass me the {n}",
    "can you give me the {n}",
    "could you hand me the {n}",
    "would you bring me the {n}",
    "please hand me the {n}",
    "hand me the {n} please",
    "give me the {n} , please",
    "please get me the {n}",
    "robot , bring the {n}",
    "hey robot , give me the {n}",
    "where is the {n}",
    "find the {n}",
    "show me the {n}",
    "point at the {n}",
    "look for the {n}",
    "select the {n}",
    "i need a {n}",
    "get me a {n}",
    "hand me that {n}",
    "give it to me , the {n}",
    "now take the {n}",
    "reach for the {n}",
    "lift the {n}",
    "locate the {n}",
)
MORE_INSTRUCTIONS: Tuple[str, ...] = (
    "would you mind passing me the {n}",
    "would you mind handing me the {n}",
    "would you mind giving me the {n} please",
    "may i have the {n}",
    "may i have the {n} please",
    "could i have the {n}",
    "can i get the {n} please",
    "i am looking for the {n}",
    "i want you to take the {n}",
    "i need you to pick up the {n}",
    "could you please pass me the {n}",
    "can you please bring me the {n}",
    "could you grab the {n} for me",
    "could you get me the {n} please",
    "would you please hand me the {n}",
    "would you get the {n} for me",
    "go and get the {n}",
    "go get me the {n}",
    "can you find the {n}",
    "can you see the {n}",
    "do you see the {n}",
    "{n} please",
    "{n} , please",
    "the {n} please",
    "get {n}",
    "give me {n}",
    "bring {n}",
    "take {n}",
    "find {n}",
    "robot , the {n} please",
    "please pick the {n} up",
    "pick the {n} up",
    "choose the {n}",
    "hold the {n}",
    "show me where the {n} is",
    "where do you see the {n}",
    "which one is the {n}",
    "use the {n}",
    "what i need is the {n}",
    "it is the {n} that i need",
    "the {n} is what i want",
    "the {n} is the one i want",
    "i would like to have the {n}",
    "i would like you to bring me the {n}",
    "give the {n} to me",
    "hand the {n} to me",
    "i want that {n}",
    "can you bring me a {n}",
    "could i have a {n} please",
    "bring the {n} here",
)
# What stands beside the thing that is meant: {other} and {others} are things not meant, one or many of them.
DISTRACTED: Tuple[str, ...] = (
    "not the {others} , the {n}",
    "not the {other} , the {n}",
    "forget the {others} , give me the {n}",
    "i do not need the {others} , i need the {n}",
    "no {others} , the {n} please",
    "leave the {others} , take the {n}",
    "the {n} , not the {other}",
    "i want the {n} , not the {others}",
    "not the {other} but the {n}",
)
AMONG: Tuple[str, ...] = (
    "of the {many} , the {n}",
    "among the {many} , the {n}",
    "of the {many} give me the {n}",
    "the {n} of the {many}",
    "of the {many} i want the {n}",
    "among the {many} , take the {n}",
)
ONE_PHRASES: Dict[str, str] = {
    "left": "the left {n}",
    "right": "the right {n}",
    "middle": "the middle {n}",
    "front": "the front {n}",
    "back": "the back {n}",
}
DONT_KNOW = ("i do not know", "i am not sure", "no idea", "i don't know")
CLICK_WORDS = ("this one", "that one", "here", "this")
REFUSALS = ("neither", "neither of them", "none of them", "none of these", "no , neither")
VERBOSE = (
    "{x} please",
    "i mean {x}",
    "i want {x}",
    "i would like {x}",
    "i would like {x} please",
    "i need {x}",
    "give me {x}",
    "it is {x}",
    "please take {x}",
    "{x} , please",
    "i am looking for {x}",
)
SIGNS_AND_ROLES = ("?", ",", ":", ";", "assistant", "user", "detect", "clarify", "disambiguate")
# What the autoregressive detectors say (ambiguity/autoregressive.py): no text reaches these names, so a person's "no"
# stays a word.
DETECTOR_ANSWERS = ("<yes>", "<no>")
# Words that do not matter for finding a thing: a person may say them, the model never learnt them, they are skipped.
FILLERS = (
    "actually",
    "again",
    "also",
    "carefully",
    "colored",
    "coloured",
    "desk",
    "gently",
    "hello",
    "hi",
    "hmm",
    "i'd",
    "i'll",
    "just",
    "kindly",
    "let",
    "maybe",
    "my",
    "oh",
    "ok",
    "okay",
    "our",
    "quickly",
    "really",
    "so",
    "some",
    "sorry",
    "standing",
    "table",
    "thanks",
    "then",
    "there",
    "three",
    "two",
    "uh",
    "uhm",
    "um",
    "us",
    "very",
    "we",
    "well",
    "will",
    "yes",
    "your",
)
CHATTER_BEFORE = ("uh", "hello", "hi", "ok so", "well", "um", "oh", "hmm", "so", "okay then", "actually")
CHATTER_AFTER = ("thanks", "then", "quickly", "there", "on the table", "carefully")


def learn_nouns(category: str, nouns: Sequence[str]) -> None:
    """Makes the nouns of a category that a user brought sayable, the robot's word first; the built-in categories keep
    theirs. The embedded model's vocabulary stays as it is."""
    if category not in NOUNS:
        NOUNS[category] = tuple(nouns)
        PLURALS[category] = tuple(_plural(noun) for noun in nouns)


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"


def all_words() -> Tuple[str, ...]:
    """Every word of the grammar, sorted: the vocabulary of the embedded model."""
    return tuple(sorted({w for t in _texts() for w in t.split() if not w.startswith("{")}))


def _texts() -> Iterator[str]:
    for category in CATEGORIES:
        yield from (*NOUNS[category], *PLURALS[category])
    for table in (COLOR_WORDS, SIZE_WORDS, POSITION_PHRASES, MORE_POSITION_PHRASES, RELATION_PHRASES):
        for phrases in table.values():
            yield from phrases
    for phrases in (
        ANY_NOUN,
        ORDINALS,
        ORDINAL_PHRASES,
        INSTRUCTIONS,
        MORE_INSTRUCTIONS,
        DISTRACTED,
        AMONG,
        DONT_KNOW,
        CLICK_WORDS,
        REFUSALS,
        VERBOSE,
        SIGNS_AND_ROLES,
        DETECTOR_ANSWERS,
        CATEGORIES,
        COLORS,
    ):
        yield from phrases
    yield from ONE_PHRASES.values()
    yield "do you mean or , i mean the one please not no in on at front back middle left right an something"
