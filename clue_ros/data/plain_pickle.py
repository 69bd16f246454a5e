"""Pickles that hold plain containers only, such as RefCOCO's `refs(unc).p`, read without unpickling.

A pickle is a program for a small stack machine. Here only the instructions that make numbers, texts, lists, tuples and
dicts are carried out, by this file; the first one that names, calls or builds anything else ends the reading. So no
code of the file can run, and nothing is imported.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any, Dict, List

from clue_ros.problems import BrokenDataError, PickleRefusedError

LARGEST = 1 << 29  # bytes
_VALUES = frozenset(
    "INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUTS, _GETS = frozenset(("PUT", "BINPUT", "LONG_BINPUT")), frozenset(("GET", "BINGET", "LONG_BINGET"))
_NOTHING = frozenset(("PROTO", "FRAME"))


class _Mark:
    """On the stack, where a container's elements begin."""


def read_plain_pickle(file: Path) -> Any:
    """What the file holds.

    Raises PickleRefusedError where it holds more than plain containers, BrokenDataError where it is no pickle.
    """
    try:
        size = Path(file).stat().st_size
        if size > LARGEST:
            raise BrokenDataError(f"{file}: {size} bytes are more than the limit of {LARGEST}")
        data = Path(file).read_bytes()
    except OSError as error:
        raise BrokenDataError(f"{file}: cannot be read: {error.strerror}") from error
    stack: List[Any] = []
    memo: Dict[int, Any] = {}
    try:
        for operation, argument, place in pickletools.genops(data):
            name = operation.name
            if name == "STOP":
                return stack.pop()
            if not _run(name, argument, stack, memo):
                raise PickleRefusedError(
                    f"{file}: holds more than plain containers ({name} {str(argument or '')[:40]!r} at byte {place}), "
                    "so it could run code where it is unpickled. It is not RefCOCO's own file; nothing of it was run"
                )
    except PickleRefusedError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise BrokenDataError(f"{file}: is no pickle that can be read: {str(error)[:80]}") from error
    raise BrokenDataError(f"{file}: breaks off")


def _run(name: str, argument: Any, stack: List[Any], memo: Dict[int, Any]) -> bool:
    """Carry one instruction out; False for one that is not."""
    if name in _VALUES:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _PUTS:
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in _GETS:
        stack.append(memo[int(argument)])
    elif name == "MARK":
        stack.append(_Mark)
    elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
        stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}[name]())
    elif name in ("LIST", "TUPLE", "DICT"):
        values = _since_mark(stack)
        stack.append(values if name == "LIST" else tuple(values) if name == "TUPLE" else _pairs(values))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("APPEND", "APPENDS"):
        values = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        stack[-1].extend(values)
    elif name in ("SETITEM", "SETITEMS"):
        values = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
        stack[-1].update(_pairs(values))
    else:
        return name in _NOTHING
    return True


def _since_mark(stack: List[Any]) -> List[Any]:
    values: List[Any] = []
    while stack[-1] is not _Mark:
        values.append(stack.pop())
    stack.pop()
    return values[::-1]


def _pairs(values: List[Any]) -> Dict[Any, Any]:
    return dict(zip(values[::2], values[1::2]))
