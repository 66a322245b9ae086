"""`NAME[:k=v,...]` taken apart."""

from __future__ import annotations

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten


def parse_values(text: str) -> tuple[str, dict[str, str]]:
    """The name, and the values by key, still as text.

    Raises:
        ParameterError: a part is not `key=value`, a key comes twice, or there is space where none belongs.

    >>> parse_values("pgd:steps=40,step_size=1/4")
    ('pgd', {'steps': '40', 'step_size': '1/4'})
    """
    name, colon, rest = text.partition(":")
    _check_edges(text, name)
    values: dict[str, str] = {}
    for part in rest.split(",") if rest or colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ParameterError(f"{shorten(text)}: {shorten(part)} is not of the form key=value")
        _check_edges(text, key)
        _check_edges(text, value)
        if key in values:
            raise ParameterError(f"{shorten(text)}: {key!r} is given twice: give it once")
        values[key] = value
    return name, values


def _check_edges(text: str, part: str) -> None:
    if part != part.strip():
        raise ParameterError(f"{shorten(text)}: remove the space around {shorten(part.strip())}")
