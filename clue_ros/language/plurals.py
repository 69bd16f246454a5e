"""English plurals of nouns, by the usual endings and the common exceptions."""

from __future__ import annotations

_IRREGULAR = {
    "people": "person", "persons": "person", "children": "child", "grandchildren": "grandchild", "mice": "mouse",
    "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "dice": "die", "knives": "knife",
    "wives": "wife", "lives": "life", "leaves": "leaf", "loaves": "loaf", "shelves": "shelf",
    "bookshelves": "bookshelf",
    "wolves": "wolf", "calves": "calf", "halves": "half", "scarves": "scarf", "thieves": "thief", "hooves": "hoof",
    "elves": "elf", "cookies": "cookie", "movies": "movie", "brownies": "brownie", "smoothies": "smoothie",
    "hoodies": "hoodie", "selfies": "selfie", "zombies": "zombie", "doggies": "doggie", "veggies": "veggie",
    "buses": "bus", "minibuses": "minibus", "gases": "gas", "lenses": "lens", "octopuses": "octopus",
    "walruses": "walrus", "cactuses": "cactus", "cacti": "cactus", "canvases": "canvas", "irises": "iris",
    "skis": "ski", "taxis": "taxi", "kiwis": "kiwi", "bikinis": "bikini", "zucchinis": "zucchini", "paninis": "panini",
    "mustaches": "mustache", "quiches": "quiche",
}  # fmt: skip
_SAME = frozenset(
    "sheep fish deer cattle series species gas lens chess news canvas christmas atlas "
    "ramen specimen abdomen omen regimen stamen".split()
)
_WITH_E = frozenset("shoes snowshoes horseshoes toes canoes foes hoes oboes does".split())


_PLURAL = {one: many for many, one in _IRREGULAR.items() if many not in ("persons", "cacti")}
_NO_PLURAL = frozenset(
    "scissors pliers binoculars headphones eyeglasses spectacles grapes cherries pancakes cleaners dice glasses blocks "
    "broccoli bread bacon toast cheese toothpaste chocolate paper tape markers".split()
)


def plural(noun: str) -> str:
    """'cup' -> 'cups', 'pizza box' -> 'pizza boxes', 'roll of tape' -> 'rolls of tape'; 'scissors' and 'bread' stay.
    noun: lower case."""
    first, of, rest = noun.partition(" of ")
    if of:
        return f"{plural(first)} of {rest}"
    before, _, word = noun.rpartition(" ")
    return f"{before} {_plural(word)}".strip()


def _plural(word: str) -> str:
    if word in _PLURAL or word in _SAME or word in _NO_PLURAL:
        return _PLURAL.get(word, word)
    if word.endswith("man"):
        return word[:-3] + "men"
    if word.endswith(("s", "x", "z", "ch", "sh")) or word in ("tomato", "potato", "mango"):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else word + "s"


def singular(noun: str) -> str:
    """'cups' -> 'cup', 'boxes' -> 'box', 'people' -> 'person'; 'glass' and 'sheep' stay. noun: lower case."""
    if noun in _SAME or noun in _IRREGULAR:
        return _IRREGULAR.get(noun, noun)
    if noun.endswith("men"):
        return noun[:-3] + "man"
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith("oes") and noun not in _WITH_E:
        return noun[:-2]
    if noun.endswith(("xes", "ches", "shes", "sses", "zzes", "tzes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun
