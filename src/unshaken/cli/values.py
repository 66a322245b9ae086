"""The values of the command line's options, read strictly in one place, whichever verb they belong to."""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Callable
from typing import Any

import typer

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import LARGEST, LARGEST_COUNT, LARGEST_SEED, LARGEST_THREADS, parse_number, parse_whole

LONGEST = 20_000
"""Characters that the value of an option may have."""

SEED = {"min": 0, "max": LARGEST_SEED}
"""Bounds of a seed, as arguments of `typer.Option`."""
COUNT = {"min": 1, "max": LARGEST_COUNT}
"""Bounds of a number of things to be done."""
LIMIT = {"min": 1, "max": 10**9}
"""Bounds of a number of samples to be taken."""
SHARE = {"min": 0, "max": 1}
"""Bounds of a share or a probability."""
WORKERS = {"min": 1, "max": LARGEST_THREADS}
"""Bounds of a number of threads or processes."""


def strictly(parameter: inspect.Parameter) -> inspect.Parameter:
    """The same option, with its values read by this module.

    Args:
        parameter: of a command; its annotation is `Annotated[type, typer.Option(...)]`, or anything else, which is
            left as it is.
    """
    if typing.get_origin(parameter.annotation) is not typing.Annotated:
        return parameter
    own, info, *rest = typing.get_args(parameter.annotation)
    kinds = {own, *typing.get_args(own)}
    kinds |= {k for kind in kinds for k in typing.get_args(kind)}
    info = copy.copy(info)
    if bool in kinds and isinstance(info, typer.models.OptionInfo):
        info.metavar = ""  # a flag takes no value, so the help shows none
        return parameter.replace(annotation=typing.Annotated[own, info, *rest])
    if info.parser is not None or getattr(info, "is_flag", False):
        return parameter
    least, most = info.min, info.max
    info.min = info.max = None
    if int in kinds:
        info.parser = _whole(least, most)
    elif float in kinds:
        info.parser = _number(least, most)
    elif str in kinds:
        info.parser = statement if info.metavar == "SQL" else place if parameter.name == "out" else text
    return parameter.replace(annotation=typing.Annotated[own, info, *rest])


def text(value: str) -> str:
    """Text that names something: not empty, printable, of a sensible length.

    Raises:
        BadParameter: it is not.
    """
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        raise typer.BadParameter(f"{value[:80]!r} holds a control character, such as a line break: remove it")
    return statement(value)


def place(value: str) -> str:
    """A place to write to: a `file:` address becomes a path.

    Raises:
        BadParameter: it is an address of files on this machine without a whole path, or of memory that ends with this
            process.
    """
    value = text(value)
    protocol, colon, rest = value.partition("://")
    if colon and protocol in ("file", "local"):
        if not rest.startswith("/"):
            raise typer.BadParameter(f"{value!r} has no whole path: write {protocol}:///FOLDER, or the path alone")
        return rest
    if colon and protocol == "memory":
        raise typer.BadParameter(f"{value!r} would be lost when this program ends: give a folder")
    return value


def statement(value: str) -> str:
    """Text that may have several lines.

    Raises:
        BadParameter: it is empty, very long, or no Unicode.
    """
    if not value.strip():
        raise typer.BadParameter(f"{value!r} is empty: give a value, or leave it away")
    if len(value) > LONGEST:
        raise typer.BadParameter(f"{value[:30]!r}... has {len(value):,} characters; {LONGEST:,} are the most")
    if any(0xD800 <= ord(c) < 0xE000 for c in value) or "\0" in value:
        raise typer.BadParameter(f"{value[:80]!r} is no UTF-8 text: rename it")
    return value


def _whole(least: float | None, most: float | None) -> Callable[[str], int]:
    def whole(value: Any) -> int:
        if not isinstance(value, str):  # the default
            return int(value)
        try:
            return parse_whole(
                value, least=None if least is None else int(least), most=LARGEST_COUNT if most is None else int(most)
            )
        except ParameterError as error:
            raise typer.BadParameter(str(error)) from None

    return whole


def _number(least: float | None, most: float | None) -> Callable[[str], float]:
    least, most = -LARGEST if least is None else least, LARGEST if most is None else most

    def number(value: Any) -> float:
        if not isinstance(value, str):
            return float(value)
        try:
            found = parse_number(value)
        except ParameterError as error:
            raise typer.BadParameter(str(error)) from None
        if not least <= found <= most:
            raise typer.BadParameter(f"{value} is out of range: write a number from {least:,g} to {most:,g}")
        return found

    return number
