"""`NAME[:k=v,...]` taken apart."""

from __future__ import annotations

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten


def parse_values(text: str) -> tuple[str, dict[str, str]]:
    """The name, and the values by key, still as text.

    Raises:
        ParameterError: a part is not `key=value`, a key comes twice, or there is space around the name.

    >>> parse_values("pgd:steps=40,step_size=1/4")
    ('pgd', {'steps': '40', 'step_size': '1/4'})
    """
    name, colon, rest = text.partition(":")
    if name != name.strip():
        raise ParameterError(f"{shorten(text)}: remove the space around {shorten(name.strip())}")
    values: dict[str, str] = {}
    for part in rest.split(",") if rest or colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"{shorten(text)}: {shorten(part)} is not of the form key=value")
        key, value = key.strip(" "), value.strip(" ")
        if key in values:
            raise ParameterError(f"{shorten(text)}: {key!r} is given twice: give it once")
        values[key] = value
    return name, values
