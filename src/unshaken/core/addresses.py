"""`bare`: addresses as pages, logs and messages show them."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)(?:[^/\s]+@|[^/\s:@]*:(?!\d+(?:[/\s]|$))\S*@)")
"""User and password of a URL; the second form is that of a password with a slash, which no port has."""


def bare(text: str) -> str:
    """A text with the user and password of each URL taken out.

    >>> bare("https://ann:secret@host/path"), bare("https://ann:s@cret@host/path"), bare("s3://key:a/b+c@bucket/run")
    ('https://host/path', 'https://host/path', 's3://bucket/run')
    """
    return _USER.sub("", text)


def bare_message(text: str, address: str) -> str:
    """A message of a file system without user and password of the address that it is about.

    >>> bare_message("no file ann:secret@host/x", "ftp://ann:secret@host/x")
    'no file host/x'
    """
    found = _USER.search(address)
    return bare(text if found is None else text.replace(found[0], ""))
