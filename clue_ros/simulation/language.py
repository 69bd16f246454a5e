"""The words: instructions, the robot's questions and a person's answers, and the list of every word in them.

All text is lower case, words and punctuation separated by one space, as the embedded model's tokenizer reads it.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from clue_ros.simulation.referring import Reference
from clue_ros.simulation.shapes import CATEGORIES, COLORS

# First entry: the word that the robot itself uses.
NOUNS: Dict[str, Tuple[str, ...]] = {
    "mug": ("mug", "mug", "mug", "cup", "coffee mug"), "bowl": ("bowl",), "plate": ("plate", "plate", "plate", "dish"),
    "bottle": ("bottle",), "can": ("can", "can", "can", "tin", "soda can"), "box": ("box", "box", "box", "carton"),
    "ball": ("ball",), "banana": ("banana",),
}
ANY_NOUN = ("thing", "object", "one", "item")
COLOR_WORDS: Dict[str, Tuple[str, ...]] = {**{c: (c,) for c in COLORS}, "purple": ("purple", "purple", "violet")}

# {n} is the noun phrase without article.
POSITION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left": ("left {n}", "leftmost {n}", "{n} on the left", "{n} to the left"),
    "right": ("right {n}", "rightmost {n}", "{n} on the right", "{n} to the right"),
    "front": ("front {n}", "closest {n}", "nearest {n}", "{n} in front", "{n} in the front"),
    "back": ("back {n}", "farthest {n}", "furthest {n}", "{n} in the back", "{n} at the back"),
    "middle": ("middle {n}", "{n} in the middle", "center {n}", "{n} in the center"),
}
INSTRUCTIONS: Tuple[str, ...] = (
    "{n}", "the {n}", "the {n}", "get the {n}", "get the {n}", "give me the {n}", "hand me the {n}", "hand me the {n}",
    "pick up the {n}", "pick the {n}", "pass me the {n}", "bring me the {n}", "grab the {n}", "take the {n}",
    "fetch the {n}", "i need the {n}", "i want the {n}", "i would like the {n}", "can i have the {n}",
    "could you pass me the {n}", "can you give me the {n}", "could you hand me the {n}", "would you bring me the {n}",
    "please hand me the {n}", "hand me the {n} please", "give me the {n} , please", "please get me the {n}",
    "robot , bring the {n}", "hey robot , give me the {n}", "where is the {n}", "find the {n}", "show me the {n}",
    "point at the {n}", "look for the {n}", "select the {n}", "i need a {n}", "get me a {n}", "hand me that {n}",
    "give it to me , the {n}", "now take the {n}", "reach for the {n}", "lift the {n}", "locate the {n}",
)
ONE_PHRASES: Dict[str, str] = {"left": "the left {n}", "right": "the right {n}", "middle": "the middle {n}",
                               "front": "the front {n}", "back": "the back {n}"}
DONT_KNOW = ("i do not know", "i am not sure", "no idea", "i don't know")
CLICK_WORDS = ("this one", "that one", "here", "this")
SIGNS_AND_ROLES = ("?", ",", ":", ";", "assistant", "user", "detect", "clarify", "disambiguate")
# What the autoregressive detectors say (vlm/answers.py): no text can reach these names, so a person's "no" stays a word.
DETECTOR_ANSWERS = ("<yes>", "<no>")
# Words that carry no meaning for finding a thing: a person may say them, the model never learnt them, they are skipped.
FILLERS = ("actually", "an", "colored", "coloured", "from", "hello", "hi", "i'd", "i'll", "just", "kindly", "let", "my", "ok",
           "okay", "our", "quickly", "so", "some", "table", "thanks", "then", "there", "uh", "uhm", "um", "us", "well",
           "will", "yes")


def noun(reference_category: Optional[str], rng: np.random.Generator) -> str:
    return str(rng.choice(NOUNS[reference_category] if reference_category else ANY_NOUN))


def noun_phrase(reference: Reference, rng: np.random.Generator) -> str:
    """'red mug on the left' — without an article."""
    words = noun(reference.category, rng)
    if reference.color:
        words = f"{rng.choice(COLOR_WORDS[reference.color])} {words}"
    if reference.position:
        words = str(rng.choice(POSITION_PHRASES[reference.position])).format(n=words)
    return words


def instruction(reference: Reference, rng: np.random.Generator) -> str:
    return str(rng.choice(INSTRUCTIONS)).format(n=noun_phrase(reference, rng))


def question(options: Sequence[str]) -> str:
    """'do you mean the red mug , the blue mug or the green mug ?' from noun phrases with article."""
    head = " , ".join(options[:-1])
    return f"do you mean {head} or {options[-1]} ?"


def color_options(colors: Sequence[str], category: Optional[str]) -> Tuple[str, ...]:
    return tuple(f"the {c} {NOUNS[category][0] if category else 'one'}" for c in colors)


def category_options(categories: Sequence[str]) -> Tuple[str, ...]:
    return tuple(f"the {NOUNS[c][0]}" for c in categories)


def place_options(positions: Sequence[str], category: Optional[str]) -> Tuple[str, ...]:
    return tuple(ONE_PHRASES[p].format(n=NOUNS[category][0] if category else "one") for p in positions)


def answer(reference: Reference, rng: np.random.Generator, other: Optional[str] = None) -> str:
    """How a person names one option; `other`: a word of the rejected option, sometimes said too."""
    if reference.position:
        p = reference.position
        forms = [p, f"the {p} one", f"on the {p}", f"the one on the {p}", f"the {p} one please", f"the {p}"]
        if p in ("front", "back", "middle"):
            forms = [p, f"the {p} one", f"in the {p}", f"the one in the {p}", f"the {p}"]
            if p != "middle":
                forms += {"front": ["the closest one", "the nearest one", "the one in front"],
                          "back": ["the farthest one", "the one at the back"]}[p]
    elif reference.color:
        c = str(rng.choice(COLOR_WORDS[reference.color]))
        n = noun(reference.category, rng)
        forms = [c, f"the {c} one", f"the {c} one", f"the {c} {n}", f"{c} please", f"i mean the {c} one", f"the {c}",
                 f"i want the {c} {n}", f"{c} one"]
        if other:
            forms += [f"no , the {c} one", f"not the {other} one , the {c} one", f"the {c} one , not the {other} one"]
    else:
        n = noun(reference.category, rng)
        forms = [n, f"the {n}", f"the {n} please", f"i mean the {n}"]
        if other:
            forms += [f"not the {other} , the {n}"]
    return str(rng.choice(forms))


def all_words() -> Tuple[str, ...]:
    """Every word of the grammar, sorted: the vocabulary of the embedded model."""
    text = [*INSTRUCTIONS, *(p for ps in POSITION_PHRASES.values() for p in ps), *ANY_NOUN, *DONT_KNOW, *CLICK_WORDS,
            *SIGNS_AND_ROLES, *DETECTOR_ANSWERS, *(n for ns in NOUNS.values() for n in ns),
            *(c for cs in COLOR_WORDS.values() for c in cs),
            *ONE_PHRASES.values(), "do you mean or , i mean the one please not no in on at front back middle left right",
            *CATEGORIES]
    return tuple(sorted({w for t in text for w in t.replace("{n}", " ").split()}))
