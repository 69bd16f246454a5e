"""Whose a thing is: "my thermos", and how the robot says that."""

from __future__ import annotations

OWNERS = ("my", "your", "our", "his", "her", "their")
_TURNED = {"my": "your", "your": "my"}


def without_owner(name: str) -> str:
    """ "my thermos" -> "thermos"."""
    owner, _, rest = name.partition(" ")
    return rest if owner in OWNERS and rest else name


def spoken(name: str) -> str:
    """As the robot says it: "my thermos" is "your thermos", then "part 17", "the torque wrench"."""
    owner, _, rest = name.partition(" ")
    if owner in OWNERS and rest:
        return f"{_TURNED.get(owner, owner)} {rest}"
    return name if any(c.isdigit() for c in name) else f"the {name}"
