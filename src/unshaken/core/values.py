"""Strict values for the fields of a pydantic model: numbers are numbers, finite, and of a sensible size.

Pydantic by itself takes `True` for 1, `"1_0"` for 10, digits of every alphabet, and numbers of any size.

A field of several values, a tuple, may be given as text with `+` between them, as in `0.25+1/2`; see `split_items`.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from unshaken.core.texts import PLUS

_WHOLE_AS_DECIMAL = re.compile(r"([+-]?[0-9]+)\.0+")
_ODD = re.compile(r"[^\x21-\x7e]|[0-9]_|_[0-9]")
"""What no number has: space, another alphabet, underscores between digits."""
_SIMPLE = (int, float, str, bool)


def split_items(text: str) -> tuple[str, ...]:
    """The items of several values that are written as one text, with `+` between; a `+` inside an item is `%2B`.

    Raises:
        ParameterError: an item is empty.

    >>> split_items("layer1+layer2"), split_items("gram:powers=1%2B2+msp"), split_items("")
    (('layer1', 'layer2'), ('gram:powers=1+2', 'msp'), ())
    """
    items = tuple(item.replace(PLUS, "+").replace(PLUS.lower(), "+") for item in text.split("+")) if text else ()
    if not all(items):
        raise ParameterError(f"{shorten(text)} has an empty item: write one + between two")
    return items


def text_of(value: Any) -> str:
    """A parameter's value as it is written after `k=`; what `strict_values` reads from it is the value again.

    >>> text_of((0.7, 1.0, 1.5)), text_of(("gram:powers=1+2", "msp")), text_of(()), text_of("linf")
    ('0.7+1+1.5', 'gram:powers=1%2B2+msp', '', 'linf')
    """
    return "+".join(map(_text_of_item, value)) if _plain(value) else str(value)


def _text_of_item(item: Any) -> str:
    if isinstance(item, float):
        return (f"{item:g}" if float(f"{item:g}") == item else repr(item)).replace("e+", "e")
    return str(item).replace("+", PLUS)


def strict_values(cls: type[BaseModel], values: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """The values with text turned into numbers where the field holds numbers; unknown names are left to pydantic.

    For a field that is a tuple, text is split at `+`, and a number alone stands for a tuple of one.

    Args:
        cls: whose fields they are for.
        values: name to value.
        name: what a message begins with.

    Raises:
        ParameterError: a value is a boolean, not finite, too large, or text that is no number, for a field of numbers;
            a tuple of fixed length has another number of items.
    """
    kinds, checked = _kinds(cls), dict(values)
    for key, value in values.items():
        if key in kinds:
            try:
                checked[key] = (_strict_tuple if kinds[key].several else _strict)(value, kinds[key], key)
            except ParameterError as error:
                shown, why = shorten(value), str(error)
                message = f"{shown}{why.removeprefix(shown)}" if why.startswith(shown) else f"{shown}: {why}"
                raise ParameterError(f"{name}{': ' if name else ''}{key}={message}") from None
    return checked


@dataclass(frozen=True, slots=True)
class _Kind:
    """Values that a field takes.

    Args:
        leaves: types of its single values.
        bounded: numbers have an upper bound.
        infinite: they may be infinite.
        several: it is a tuple of such values.
        length: of that tuple; None for any.
    """

    leaves: frozenset[Any]
    bounded: bool
    infinite: bool
    several: bool = False
    length: int | None = None


def _strict_tuple(value: Any, kind: _Kind, key: str) -> Any:
    if isinstance(value, str):
        value = split_items(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = (value,)
    if not _plain(value):
        return value
    if kind.length not in (None, len(value)):
        form = "+".join("abcdefghijklmnopqrstuvwxyz"[: kind.length])
        raise ParameterError(f"it takes {kind.length} values, not {len(value)}: write {form}")
    checked = []
    for item in value:
        try:
            checked.append(_strict(item, kind, key))
        except ParameterError as error:
            why, shown = str(error), shorten(item)
            raise ParameterError(why if why.startswith(shown) else f"{shown}: {why}") from None
    return type(value)(checked)


def _strict(value: Any, kind: _Kind, key: str) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_strict(v, kind, key) for v in value) if _plain(value) else value
    if isinstance(value, bool):
        if bool not in kind.leaves and kind.leaves & {int, float}:
            raise ParameterError("a boolean is not a number")
    elif isinstance(value, str):
        return value if str in kind.leaves else _from_text(value, kind, key)
    elif isinstance(value, int | float) and kind.leaves & {int, float}:
        _check_size(value, kind, key)
    return value


def _plain(value: Any) -> bool:
    return type(value) in (list, tuple)


def _from_text(text: str, kind: _Kind, key: str) -> Any:
    """A number from text where the field is one number; other text is left to pydantic."""
    if kind.leaves == {int}:
        found = _WHOLE_AS_DECIMAL.fullmatch(text)
        number: float = parse_whole(found[1] if found else text)
    elif kind.leaves == {float} and not kind.infinite:
        number = parse_number(text)
    else:
        if _ODD.search(text):
            raise ParameterError("write numbers with the digits 0-9, without spaces or underscores")
        return text
    _check_size(number, kind, key)
    return number


def _check_size(value: float, kind: _Kind, key: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        if kind.infinite and value == math.inf:
            return
        raise ParameterError("the value must be finite")
    check_not_tiny(value, "the value")
    if kind.bounded:
        return
    most = LARGEST_SEED if key.endswith("seed") else LARGEST_COUNT if isinstance(value, int) else LARGEST
    if abs(value) > most:
        raise ParameterError(f"the value must be at most {most:,.0f}")


@cache
def _kinds(cls: type[BaseModel]) -> dict[str, _Kind]:
    """Fields of numbers, and tuples of single values."""
    kinds: dict[str, _Kind] = {}
    for name, field in cls.model_fields.items():
        leaves, marks = set[Any](), list(field.metadata)
        for part in _parts(field.annotation):
            (leaves.add if isinstance(part, type) else marks.append)(part)
            leaves |= {type(v) for v in _words(part)}
        several, length = _items(field.annotation)
        if leaves & {int, float} or several:
            bounded = any(getattr(m, "le", None) is not None or getattr(m, "lt", None) is not None for m in marks)
            infinite = any(isinstance(m, AllowInfNan) and m.allow_inf_nan for m in marks)
            leaves -= {type(None), _Several} if several else {type(None)}
            kind = _Kind(frozenset(leaves), bounded, infinite, several, length)
            kinds |= {name: kind, field.alias or name: kind}  # either may be written
    return kinds


def _items(annotation: Any) -> tuple[bool, int | None]:
    """Whether a type is a tuple of single values, or None instead of it, and the length of it where that is fixed."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = annotation.__origin__
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        arms = [arm for arm in args if arm is not type(None)]
        return _items(arms[0]) if len(arms) == 1 else (False, None)
    if origin is not tuple or not all(map(_single, args)):
        return False, None
    return True, None if Ellipsis in args else len(args)


def _single(annotation: Any) -> bool:
    """Whether a type is of single values: numbers, texts, truth values, words of a list, or any of them."""
    return annotation is Ellipsis or all(
        part in _SIMPLE or typing.get_origin(part) is typing.Literal or not isinstance(part, type)
        for part in _parts(annotation)
    )


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
