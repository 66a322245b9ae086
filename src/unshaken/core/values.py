"""Strict values for the fields of a pydantic model: numbers are numbers, finite, and of a sensible size.

Pydantic by itself takes `True` for 1, `"1_0"` for 10, digits of every alphabet, and numbers of any size.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import AllowInfNan, BaseModel

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import (
    LARGEST,
    LARGEST_COUNT,
    LARGEST_SEED,
    check_not_tiny,
    parse_number,
    parse_whole,
    shorten,
)

_WHOLE_AS_DECIMAL = re.compile(r"([+-]?[0-9]+)\.0+")
_ODD = re.compile(r"[^\x21-\x7e]|[0-9]_|_[0-9]")
"""What no number of a list has: space, another alphabet, underscores between digits."""


def strict_values(cls: type[BaseModel], values: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """The values with text turned into numbers where the field holds numbers; unknown names are left to pydantic.

    Args:
        cls: whose fields they are for.
        values: name to value.
        name: what a message begins with.

    Raises:
        ParameterError: a value is a boolean, not finite, too large, or text that is no number, for a field of numbers.
    """
    kinds, checked = _kinds(cls), dict(values)
    for key, value in values.items():
        if key in kinds:
            try:
                checked[key] = _strict(value, *kinds[key], key=key)
            except ParameterError as error:
                shown, why = shorten(value), str(error)
                message = f"{shown}{why.removeprefix(shown)}" if why.startswith(shown) else f"{shown}: {why}"
                raise ParameterError(f"{name}{': ' if name else ''}{key}={message}") from None
    return checked


def _strict(value: Any, leaves: frozenset[Any], bounded: bool, infinite: bool, *, key: str) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_strict(v, leaves, bounded, infinite, key=key) for v in value) if _plain(value) else value
    if isinstance(value, bool):
        if bool not in leaves:
            raise ParameterError("a boolean is not a number")
    elif isinstance(value, str):
        return value if str in leaves else _from_text(value, leaves, bounded, infinite, key)
    elif isinstance(value, int | float):
        _check_size(value, bounded, infinite, key)
    return value


def _plain(value: Any) -> bool:
    return type(value) in (list, tuple)


def _from_text(text: str, leaves: frozenset[Any], bounded: bool, infinite: bool, key: str) -> Any:
    """A number from text where the field is one number; lists written as text are split by the field itself."""
    if leaves == {int}:
        found = _WHOLE_AS_DECIMAL.fullmatch(text)
        number: float = parse_whole(found[1] if found else text)
    elif leaves == {float} and not infinite:
        number = parse_number(text)
    else:
        if _ODD.search(text):
            raise ParameterError("write numbers with the digits 0-9, without spaces or underscores")
        return text
    _check_size(number, bounded, infinite, key)
    return number


def _check_size(value: float, bounded: bool, infinite: bool, key: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        if infinite and value == math.inf:
            return
        raise ParameterError("the value must be finite")
    check_not_tiny(value, "the value")
    if bounded:
        return
    most = LARGEST_SEED if key.endswith("seed") else LARGEST_COUNT if isinstance(value, int) else LARGEST
    if abs(value) > most:
        raise ParameterError(f"the value must be at most {most:,.0f}")


@cache
def _kinds(cls: type[BaseModel]) -> dict[str, tuple[frozenset[Any], bool, bool]]:
    """Fields of numbers: the types of their values, whether there is an upper bound, whether they may be infinite."""
    kinds: dict[str, tuple[frozenset[Any], bool, bool]] = {}
    for name, field in cls.model_fields.items():
        leaves, marks = set[Any](), list(field.metadata)
        for part in _parts(field.annotation):
            (leaves.add if isinstance(part, type) else marks.append)(part)
            leaves |= {type(v) for v in _words(part)}
        if leaves & {int, float}:
            bounded = any(getattr(m, "le", None) is not None or getattr(m, "lt", None) is not None for m in marks)
            infinite = any(isinstance(m, AllowInfNan) and m.allow_inf_nan for m in marks)
            kind = frozenset(leaves - {type(None)}), bounded, infinite
            kinds |= {name: kind, field.alias or name: kind}  # either may be written
    return kinds


def _parts(annotation: Any) -> Iterator[Any]:
    """The simple types and the marks (such as bounds) of a type, however composed; tuples count as their items."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _parts(annotation.__origin__)
        for mark in annotation.__metadata__:
            yield from getattr(mark, "metadata", [mark])
    elif origin in (typing.Union, types.UnionType, tuple, list):
        for part in typing.get_args(annotation):
            yield from _parts(part)
        if origin in (tuple, list):
            yield _Several
    elif annotation is not Ellipsis:
        yield annotation


class _Several:
    """Marks a field that holds several values."""


def _words(part: Any) -> tuple[Any, ...]:
    return typing.get_args(part) if typing.get_origin(part) is typing.Literal else ()
