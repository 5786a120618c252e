"""Declared values hold what their types say. A word in the place of an enum would be compared by identity, and act as something else."""

from dataclasses import fields
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vold.base.errors import ObjectiveError


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def refuse_mistyped(value: Any) -> None:
    """Raise ObjectiveError for the first field of a dataclass that is not of its declared type. A whole number is welcome as a float."""
    kind: type = type(value)
    hints = _hints(kind)
    for field in fields(value):
        found, hint = getattr(value, field.name), hints[field.name]
        if not _fits(found, hint):
            raise ObjectiveError(f"{kind.__name__}.{field.name} = {found!r} is not {_name(hint)}.{_meant(found, hint)}")


def _fits(found: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(found, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(found, tuple) and all(_fits(inner, get_args(hint)[0]) for inner in found)
    if hint in (int, float):
        return isinstance(found, int if hint is int else int | float) and not isinstance(found, bool)
    return isinstance(found, hint)


def _name(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_name(part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a tuple of {_name(get_args(hint)[0])}"
    return "None" if hint is NoneType else {int: "a whole number", float: "a number", bool: "True or False"}.get(hint, f"a {hint.__name__}")


def _meant(found: Any, hint: Any) -> str:
    """The member a word names, or all there are."""
    enums = [part for part in (get_args(hint) or (hint,)) if isinstance(part, type) and issubclass(part, Enum)]
    for enum in enums:
        meant = next((f" Write {enum.__name__}.{member.name}." for member in enum if member.value == found), None)
        return meant or f" Choose from {', '.join(f'{enum.__name__}.{member.name}' for member in enum)}."
    return ""
