"""`checked_name`: names of readers, reviews and versions."""

from __future__ import annotations

import re

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten

_NAME = re.compile(r"[^\W_](?:[\w .@+-]{0,62}[\w.@+-])?")


def checked_name(name: str, what: str) -> str:
    """The name of a reader, a review or a version.

    Args:
        name: to check.
        what: has the name, for the message.

    Raises:
        ParameterError: it is empty, longer than 64 characters, or has others than letters, digits, spaces and
            `_ . @ + -`.

    >>> checked_name("ann+reviews@example.org", "reader")
    'ann+reviews@example.org'
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{shorten(name)} is no name of a {what}: write 1 to 64 letters, digits, spaces and _ . @ + -, and begin "
            "with a letter or a digit"
        )
    return name
