"""Frozen dataclasses from JSON or YAML mappings, checked at load: every problem is reported at once."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from typing import Any, Iterable, List, Mapping, Sequence, Type, TypeVar, cast

T = TypeVar("T")


class ConfigurationError(ValueError):
    """Unknown keys or values of the wrong type; the text lists all of them."""


def from_mapping(cls: Type[T], values: Any, where: str = "") -> T:
    """An instance of a (possibly nested) dataclass. Lists become tuples, whole numbers pass as floats.

    Raises ConfigurationError listing every unknown key (with the nearest known name) and every wrong type.
    """
    problems: List[str] = []
    result = _build(cls, values, where, problems)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return cast(T, result)  # without a problem it was built


def choice_problems(settings: Any, where: str, choices: Mapping[str, Sequence[Any]]) -> List[str]:
    """What is wrong with settings of which each named one must be one of its choices; one that is absent is right.
    where: name of the section."""
    return [
        f"'{where}.{name}' is '{value}', must be one of {', '.join(map(str, allowed))}"
        for name, allowed in choices.items()
        if (value := getattr(settings, name, allowed[0])) not in allowed
    ]


def range_problems(settings: Any, where: str, names: Iterable[str], least: float, above: bool = False) -> List[str]:
    """What is wrong with settings of which the named ones must be `least` or more (above: more); one that is absent is
    right. where: name of the section."""
    wanted = f"above {least}" if above else f"{least} or more"
    values = [(name, getattr(settings, name)) for name in names if hasattr(settings, name)]
    return [f"'{where}.{n}' is {v}, must be {wanted}" for n, v in values if v < least or (above and v == least)]


def _build(cls, values, where: str, problems: List[str]):
    if not isinstance(values, Mapping):
        problems.append(f"{where or 'the file'} must be a mapping of names to values, got {type(values).__name__}")
        return None
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    arguments = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            problems.append(f"unknown key '{path}'" + (f", did you mean '{near[0]}'?" if near else ""))
        elif dataclasses.is_dataclass(hints[key]):
            arguments[key] = _build(hints[key], value, path, problems)
        else:
            arguments[key] = _value(hints[key], value, path, problems)
    return None if problems else cls(**arguments)


def _value(kind, value, path: str, problems: List[str]):
    if typing.get_origin(kind) is tuple:
        if isinstance(value, (list, tuple)):
            inner = typing.get_args(kind)[0]
            return tuple(_value(inner, v, f"{path}[{n}]", problems) for n, v in enumerate(value))
        problems.append(f"'{path}' must be a list, got {value!r}")
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif dataclasses.is_dataclass(kind):
        return _build(kind, value, path, problems)
    elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    else:
        problems.append(f"'{path}' must be {getattr(kind, '__name__', kind)}, got {value!r}")
    return None
