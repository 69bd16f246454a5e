"""Kinds of things on a table, and the nouns that people say for them.

A kind is named by the robot's own word for it. A noun may cover several kinds: "cup" means mugs and paper cups, "fruit"
apples and pears. Every kind is a noun, and a general noun may be a kind as well, where nobody said more than "cup".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, FrozenSet, Optional, Tuple

from clue_ros.language.plurals import plural


def _listed(table: Dict[str, str]) -> Dict[str, Tuple[str, ...]]:
    return {name: tuple(word.strip() for word in words.split(",") if word.strip()) for name, words in table.items()}


# kind -> other words for exactly this kind.
_SYNONYMS = _listed(
    {
        "mug": "coffee mug", "cup": "", "paper cup": "takeaway cup", "plastic cup": "tumbler, party cup",
        "teacup": "tea cup", "stacking cup": "toy cup", "measuring cup": "", "egg cup": "",
        "glass": "drinking glass", "wine glass": "wineglass", "goblet": "chalice", "trophy": "",
        "bowl": "", "sugar bowl": "sugar pot", "ramekin": "", "plate": "", "saucer": "", "tray": "",
        "bottle": "", "spray bottle": "cleaning spray", "soap dispenser": "dispenser", "flask": "conical flask",
        "can": "tin, soda can", "spray can": "", "box": "", "carton": "", "crate": "tote",
        "milk carton": "juice carton, drink carton",
        "caddy": "organizer", "bag": "", "jar": "", "pitcher": "jug", "vase": "flower vase", "pottery": "clay pot",
        "flower pot": "plant pot", "potted plant": "plant", "saucepan": "cooking pot", "pan": "frying pan, skillet",
        "lid": "pan lid, pot lid", "teapot": "", "spoon": "", "fork": "", "knife": "", "ladle": "",
        "spatula": "turner", "rolling pin": "", "chopping board": "cutting board", "can opener": "", "funnel": "",
        "dish rack": "drainer", "utensil holder": "", "salt shaker": "", "shaker": "", "pepper mill": "pepper grinder",
        "mortar": "",
        "apple": "", "banana": "", "orange": "", "mandarin": "tangerine, clementine", "lemon": "", "lime": "",
        "pear": "", "peach": "nectarine", "plum": "", "strawberry": "", "mango": "", "pineapple": "", "grapes": "",
        "cherries": "cherry", "avocado": "", "tomato": "", "cucumber": "", "eggplant": "aubergine", "carrot": "",
        "broccoli": "", "cabbage": "lettuce", "pepper": "bell pepper", "bread": "loaf", "toast": "slice of bread",
        "egg": "", "cheese": "", "bacon": "", "sausage": "", "pizza": "", "pancakes": "", "sandwich": "",
        "donut": "doughnut", "cake": "", "hot dog": "hotdog", "chocolate bar": "chocolate",
        "block": "", "toy block": "brick", "cube": "", "puzzle cube": "rubik's cube", "dice": "die", "ball": "",
        "marble": "", "bowling pin": "", "toy": "", "teddy bear": "toy bear", "stuffed toy": "plush toy",
        "dog toy": "", "toy airplane": "toy plane, airplane", "toy boat": "sailboat", "toy cart": "toy wagon",
        "toy rocket": "rocket", "toy tool": "", "water pistol": "toy gun", "figurine": "statue, owl",
        "peg board": "",
        "hammer": "", "mallet": "wooden mallet", "screwdriver": "", "wrench": "spanner", "pipe wrench": "",
        "pliers": "", "ratchet": "", "saw": "", "drill": "power drill, cordless drill", "clamp": "spring clamp",
        "tape": "roll of tape", "padlock": "lock", "key": "", "chain": "", "paintbrush": "", "light bulb": "bulb",
        "lighter": "", "candle": "", "candlestick": "candle holder", "bell": "",
        "pen": "", "marker": "felt pen", "pencil": "", "scissors": "", "stapler": "", "book": "",
        "notebook": "notepad", "calendar": "", "playing card": "card", "circuit board": "",
        "phone": "cell phone, mobile phone, smartphone", "telephone": "", "remote": "remote control",
        "mouse": "computer mouse", "keyboard": "computer keyboard", "laptop": "laptop computer", "monitor": "",
        "tv": "television", "screen": "", "speaker": "loudspeaker", "headphones": "headset", "microphone": "",
        "camera": "", "game console": "handheld console", "controller": "gamepad, game controller",
        "usb stick": "flash drive", "walkie talkie": "", "clock": "alarm clock",
        "magnifying glass": "magnifier", "binoculars": "", "eyeglasses": "spectacles",
        "sponge": "", "toothbrush": "", "toothpaste": "toothpaste tube", "toilet roll": "toilet paper",
        "hat": "", "shoe": "", "boot": "",
    }
)  # fmt: skip
# noun -> the kinds that it covers, beside the kind of its own name.
_COVERS = _listed(
    {
        "cup": "mug, paper cup, plastic cup, teacup, stacking cup, measuring cup, coffee cup",
        "coffee cup": "mug, paper cup, teacup",
        "glass": "wine glass",
        "dish": "plate, saucer",
        "bowl": "sugar bowl",
        "bottle": "water bottle, wine bottle, beer bottle, milk bottle, juice bottle, ketchup bottle, mustard bottle, "
        "sauce bottle, pill bottle, soap bottle, glue bottle, detergent bottle, spray bottle",
        "box": "cardboard box, cereal box, cracker box, sugar box, tissue box, pizza box, lunch box",
        "carton": "box, milk carton",
        "bag": "paper bag",
        "pot": "saucepan, flower pot, pottery",
        "knife": "kitchen knife, butter knife",
        "spoon": "wooden spoon",
        "shaker": "salt shaker",
        "orange": "mandarin",
        "fruit": "apple, banana, orange, lemon, lime, pear, peach, plum, strawberry, mango, pineapple, grapes, "
        "cherries",
        "vegetable": "cucumber, eggplant, carrot, broccoli, cabbage, pepper",
        "block": "cube, toy block",
        "cube": "puzzle cube",
        "toy": "stuffed toy, dog toy, toy airplane, toy boat, toy cart, toy rocket, toy tool, water pistol",
        "stuffed toy": "teddy bear",
        "ball": "tennis ball, soccer ball, golf ball, baseball",
        "tool": "hammer, screwdriver, wrench, pliers, ratchet, saw, drill, clamp",
        "hammer": "mallet",
        "wrench": "pipe wrench",
        "brush": "paintbrush",
        "board": "chopping board, circuit board, peg board",
        "screen": "monitor, tv",
        "shoe": "boot",
    }
)
# noun -> kinds of which only some people say it: no careful annotator calls a picture clear or ambiguous by it.
_DISPUTED = _listed(
    {
        "mug": "teacup, paper cup", "cup": "glass, wine glass, goblet, egg cup, trophy", "teacup": "mug",
        "coffee cup": "cup, plastic cup", "glass": "plastic cup, cup, goblet, jar", "plastic cup": "glass, paper cup",
        "bowl": "ramekin, dish", "dish": "bowl, ramekin, pan, tray", "plate": "tray, saucer", "saucer": "plate",
        "bottle": "soap dispenser, flask, pitcher, jar", "jar": "bottle, can, utensil holder", "can": "spray can",
        "pitcher": "vase, measuring cup", "vase": "pitcher, bottle, pottery",
        "box": "carton, milk carton, crate, caddy",
        "pot": "teapot, sugar bowl, utensil holder, vase, pan", "pan": "saucepan", "shaker": "pepper mill",
        "spoon": "ladle", "lemon": "lime", "lime": "lemon", "peach": "plum", "cake": "donut",
        "fruit": "tomato, avocado, pepper, cucumber", "vegetable": "tomato, avocado",
        "cube": "block, dice, box", "block": "box, dice", "ball": "marble", "bread": "toast, sandwich",
        "toy": "block, cube, ball, dice, stacking cup, marble, figurine, bowling pin, game console",
        "tool": "scissors, knife, can opener, padlock, paintbrush", "hammer": "toy tool", "screwdriver": "toy tool",
        "drill": "toy tool", "brush": "toothbrush", "pen": "marker, pencil", "marker": "pen", "pencil": "pen",
        "book": "notebook, calendar", "notebook": "book, laptop", "lid": "plate", "remote": "controller, phone",
        "controller": "remote", "phone": "remote, telephone", "telephone": "phone",
        "screen": "laptop", "monitor": "tv, laptop", "tv": "monitor",
        "keyboard": "laptop", "potted plant": "flower pot, vase", "flower pot": "potted plant", "clamp": "pliers",
        "wrench": "ratchet, pliers", "pliers": "wrench",
    }
)  # fmt: skip
# Names of annotated things that stand about and are not asked for: of too few of them there are pictures.
_NOT_SAID = _listed(
    {
        "dining table": "table", "sink": "", "microwave": "", "toaster": "", "picture frame": "", "tool rack": "",
        "screwdriver set": "", "pipe cleaners": "pack of pipe cleaners", "pencil cup": "",
    }
)  # fmt: skip


_ALL = {**{n: () for names in _COVERS.values() for n in names}, **dict.fromkeys(_COVERS, ()), **_SYNONYMS, **_NOT_SAID}
NOUNS: Tuple[str, ...] = tuple(sorted(_ALL.keys() - _NOT_SAID.keys()))  # each with the words of `words_of`
GENERAL: Tuple[str, ...] = tuple(n for n in NOUNS if n in _COVERS)  # those that cover kinds of other names
_NOUN_OF = {form: noun for noun, words in _ALL.items() for word in (noun, *words) for form in (plural(word), word)}


def noun_of(word: str) -> Optional[str]:
    """The noun of the table that means exactly what a word does ('jug' -> 'pitcher'); None if the table lacks it."""
    return _NOUN_OF.get(word)


def noun_called(name: str) -> Optional[str]:
    """The noun of the table that means what `name` does ('cell phones' -> 'phone'), also the kind of a thing that data
    call so. A name that the table lacks is what its last words say ('jam jar' -> 'jar'); None if those say nothing."""
    words = name.lower().replace("_", " ").split()
    tails = (" ".join(words[first:]) for first in range(len(words)))
    return next((_NOUN_OF[tail] for tail in tails if tail in _NOUN_OF), None)


def words_of(noun: str) -> Tuple[str, ...]:
    """Words for exactly what a noun means, the noun itself first; the noun alone if the table lacks it."""
    return () if noun in _NOT_SAID else (noun, *_ALL.get(noun, ()))


@lru_cache(maxsize=None)
def kinds_of(noun: str) -> FrozenSet[str]:
    """The kinds that a noun covers, its own name among them: 'cup' -> cup, mug, paper cup, …"""
    return frozenset((noun, *(kind for name in _COVERS.get(noun, ()) for kind in kinds_of(name))))


@lru_cache(maxsize=None)
def fits(noun: str, kind: str) -> bool:
    """Whether everybody would call a thing of a kind so. noun, kind: of the table, or of a user's objects, where a
    'gear box' is a 'box'."""
    return bool(kinds_of(noun) & {kind, _known(kind)})


@lru_cache(maxsize=None)
def disputed(noun: str, kind: str) -> bool:
    """Whether some people would call a thing of a kind so, or it may be one for all that the kind says: a 'cup' may be
    a mug. False for what fits."""
    known = _known(kind)
    return not fits(noun, kind) and (bool(kinds_of(known) & kinds_of(noun)) or known in _DISPUTED.get(noun, ()))


@lru_cache(maxsize=None)
def general_nouns(kind: str) -> Tuple[str, ...]:
    """The nouns beside its own that fit a kind, the narrowest first: 'mandarin' -> orange, fruit."""
    found = [noun for noun in GENERAL if noun not in (kind, _known(kind)) and fits(noun, kind)]
    found += [] if _known(kind) == kind or _known(kind) in _NOT_SAID else [_known(kind)]
    return tuple(sorted(found, key=lambda noun: (len(kinds_of(noun)), noun)))


def _known(kind: str) -> str:
    return kind if kind in _ALL else noun_called(kind) or kind
