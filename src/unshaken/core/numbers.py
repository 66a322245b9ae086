"""Numbers from text: the one reader for options, SPECs, plans, method parameters, gates and budgets.

Python's own `int` and `float` take underscores, surrounding space, digits of every alphabet and `nan`; here a number is
ASCII digits, finite, and of a stated size.
"""

from __future__ import annotations

import math
import numbers
import re

from unshaken.core.errors import ParameterError

LARGEST = 1e9
"""Magnitude above which a parameter is no sensible number of anything, unless its own bound says otherwise."""
SMALLEST = 2.0**-126
"""Magnitude below which float32 holds a number in part or as 0 (1.2e-38)."""
LARGEST_COUNT = 10_000_000
"""Steps, votes, samples or other things to be done that one parameter may ask for."""
LARGEST_BATCH = 1_000_000
"""Images in one pass."""
LARGEST_THREADS = 1024
"""Threads or processes on one machine."""
MAX_SIDE = 8192
"""Pixels of an image's side."""
MAX_CLASSES = 1_000_000
"""Classes of a model or a data set."""
LARGEST_SEED = 2**62
"""What a random generator takes, with room for seeds that are made of it by adding."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_SHOWN = 40


def parse_whole(text: str, *, least: int | None = None, most: int | None = None) -> int:
    """A whole number.

    Args:
        text: ASCII digits with an optional sign, and nothing else.
        least: smallest value allowed.
        most: largest value allowed.

    Raises:
        ParameterError: it is no whole number, or out of range.

    >>> parse_whole("12", least=1)
    12
    """
    if not _WHOLE.fullmatch(text):
        raise ParameterError(f"{shorten(text)} is not a whole number{_range(least, most)}: write digits 0-9 only")
    value = int(text)
    if (least is not None and value < least) or (most is not None and value > most):
        raise ParameterError(f"{shorten(text)} is out of range: write a whole number{_range(least, most)}")
    return value


def show_budget(eps: float, digits: int = 4) -> str:
    """An eps as people write it, and as `parse_number` reads it: `8/255` where it is one, else a number in few digits.

    >>> show_budget(8 / 255), show_budget(0.1)
    ('8/255', '0.1')
    """
    levels = eps * 255
    if abs(levels - round(levels)) < 1e-6 and 1 <= round(levels) <= 64:
        return f"{round(levels)}/255"
    return f"{eps:.{digits}g}"


def parse_number(text: str, what: str = "") -> float:
    """A finite number or a fraction such as `8/255`.

    Args:
        text: ASCII digits with an optional sign, point, exponent and `/`, and nothing else.
        what: it is, for messages.

    Raises:
        ParameterError: it is neither.

    >>> parse_number("1/4"), parse_number("1e-3")
    (0.25, 0.001)
    """
    top, slash, bottom = text.partition("/")
    if _NUMBER.fullmatch(top) and (not slash or _NUMBER.fullmatch(bottom)):
        try:
            value = float(top) / float(bottom) if slash else float(top)
        except ZeroDivisionError:
            value = math.nan
        if math.isfinite(value):
            check_not_tiny(value, f"{what}{what and ': '}{shorten(text)}")
            return value
    raise ParameterError(f"{what}{what and ': '}{shorten(text)} is not a number or a fraction such as 8/255")


def check_not_tiny(value: float, shown: str) -> None:
    """Refuse a number that float32 cannot hold.

    Args:
        value: any.
        shown: what the message begins with.

    Raises:
        ParameterError: its magnitude is below `SMALLEST`, and it is not 0.
    """
    if 0 < abs(value) < SMALLEST:
        raise ParameterError(f"{shown} is too small to compute with: write 0, or a magnitude of {SMALLEST:.2g} or more")


def in_range(name: str, value: object, least: float, most: float) -> None:
    """Check a whole number that a program passed.

    Args:
        name: of the option.
        value: what was passed.
        least: smallest value allowed.
        most: largest value allowed.

    Raises:
        ParameterError: it is no whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ParameterError(f"{name} {shorten(value)} must be a whole number{_range(least, most)}")
    if not least <= int(value) <= most:
        raise ParameterError(f"{name} {shorten(value)} must be{_range(least, most)}")


def shorten(value: object) -> str:
    """The value as shown in a message: quoted when it is text, and never long.

    >>> shorten("9" * 5000)
    "'999999999999999999999999999999...' (5000 characters)"
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of more than {int((value.bit_length() - 1) * 0.30103)} digits"
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # it holds a number of more digits than Python writes
        return f"a {type(value).__name__} with a very long number"
    if len(text) > _SHOWN:
        text, tail = text[:30] + "...", f" ({len(text)} characters)"
    else:
        tail = ""
    return (repr(text) if isinstance(value, str) else text) + tail


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {most:,}"
    return f" of {least:,} or more" if most is None else f" from {least:,} to {most:,}"
