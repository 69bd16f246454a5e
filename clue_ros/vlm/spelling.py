"""Slips of the keyboard in words for a model with a closed vocabulary: "hand me the yelow botle".

A word that such a model lacks is reported, which is right for "wrench" and a nuisance for "botle". A word is repaired
only where the slip hardly leaves a doubt: exactly one known word of the same first letter differs by two neighbours
that changed places ("bottel", "teh"), one missing letter or apostrophe ("yelow", "dont", "giv") or one letter too many
that doubles its neighbour ("pplate", "mugg"). Never by another letter: a "bell" must not become a ball, for a wrong
thing in the gripper is worse than "I do not know that word". Words of one or two letters, and words of English that
happen to look like a slip (REAL_WORDS), stay as they are.
"""

from __future__ import annotations

import re
from typing import Collection, Optional

SHORTEST = 3  # letters, of the said word and of the known one
_WORD = re.compile(r"[\w'’]+")
# English words that the rule would turn into a word of the tabletop model: found by trying all of Debian's wamerican,
# wamerican-large and wbritish-large, for those of three letters names and abbreviations too. Not here: those of which
# the slip is the likelier reading ("were is the mug", "pleas", "centre", "blu"; "bal" and "gie" of the largest list).
REAL_WORDS = frozenset(
    """
    bow btu cps cpu dis fin fro gab gte had han her hod ida ide jus jut lie lit loo man men mid min ned net noe
    non pas pic sid sod som sow sue sur tat ten tow wan
    bows brig butt cartoon closes closet closets cold cusp firs fist font forge form forth garb hell juts lager
    lave leet lett nether objet pate pates pease pint plat plats rally redd reed root sanding suer tale tanks
    thee thin ting tree wold
    alar bard bards bat bats bead bee bellow blow boa boar boars boas boast boost bowing bra brad bras bred brow
    bush bushes cad cain camp camps cartoons cat cats cay chin chins chose clam clams clap claps clos cock cocks
    compute computes cooing copping corer cub cubs cue cues dak dar dill dills dink dispense dispenses dive
    dives dos dries flak gam gapes gasses gay gnu gnus gus hae has hast hoot lade lades lies loves magnifies
    maker makers mic mousse muse organize organizes pane panes pant pants par pars part paying pea peas per pie
    piers pip pis pitches plies plying post potter push sacking sal sap sat sauces shake shakes she shes shot
    sick sicks slat sliver soon sop sort sorter spay spays sprig spry staking staler staple staples state states
    status taler tap toe toes toile too tot tots try tub tubs tumble tumbles tuner tuners wench wenches whit win
""".split()
)


def respelled(text: str, known: Collection[str]) -> str:
    """The text with every repairable word repaired, everything else as it was: `repair` says which. Words with digits
    (location tokens are such) or apostrophes are left alone."""
    return _WORD.sub(lambda match: repair(match.group(), known) or match.group(), text)


def repair(word: str, known: Collection[str]) -> Optional[str]:
    """The one known word (lower case) that `word` is a slip of; None if it is known, too short, or in doubt."""
    word = word.lower()
    if len(word) < SHORTEST or not (word.isascii() and word.isalpha()) or word in known or word in REAL_WORDS:
        return None
    meant = {k for k in known if len(k) >= SHORTEST and k[0] == word[0] and is_slip(word, k)}
    meant = {k for k in meant if k.replace("'", "") == word} or meant  # "dont" is rather "don't" than "donut"
    return meant.pop() if len(meant) == 1 else None


def is_slip(word: str, meant: str) -> bool:
    """Whether `word` is `meant` with two neighbouring letters exchanged, one sign missing, or one doubled."""
    if len(word) == len(meant):
        differ = [i for i, (a, b) in enumerate(zip(word, meant)) if a != b]
        return (
            len(differ) == 2
            and differ[1] == differ[0] + 1
            and word[differ[0]] == meant[differ[1]]
            and word[differ[1]] == meant[differ[0]]
        )
    if len(word) == len(meant) - 1:
        return len(word) >= SHORTEST and any(meant[:i] + meant[i + 1 :] == word for i in range(len(meant)))
    if len(word) == len(meant) + 1:
        return any(word[i] == word[i - 1] and word[:i] + word[i + 1 :] == meant for i in range(1, len(word)))
    return False
