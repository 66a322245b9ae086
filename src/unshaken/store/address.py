"""From the address of a run directory to a file system and a path."""

from __future__ import annotations

import os
import re
from typing import Any

import fsspec

from unshaken.core.errors import RunError
from unshaken.core.numbers import shorten

READ_ONLY = frozenset({"data", "reference", "http", "https", "git", "github", "gist", "zip", "tar", "libarchive"})
"""Protocols that files can be read from and not written to."""
LONGEST = 4096
"""Characters of an address."""


def open_address(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Args:
        address: a local folder or an fsspec address such as `s3://bucket/run` or `memory://run`.

    Raises:
        RunError: the address is empty or malformed, or its file system is unknown or cannot be opened.
    """
    what = f"run directory {shorten(bare(address))}"
    if not address.strip() or len(address) > LONGEST:
        raise RunError(f"{what} is empty or longer than {LONGEST} characters: give a directory")
    if not address.isprintable():
        raise RunError(f"{what} holds a character that cannot be printed, such as a line break: give a plain name")
    if "::" in address:
        raise RunError(f"{what} chains several file systems with '::', which cannot be written: give one address")
    protocol = address.partition("://")[0] if "://" in address else "file"
    if address.startswith("~") and os.path.expanduser(address).startswith("~"):
        raise RunError(f"{what}: there is no user {address[1:].partition('/')[0]!r}: write the folder's whole path")
    try:
        fs, root = fsspec.core.url_to_fs(address)
    except Exception as error:  # each file system raises its own
        raise RunError(f"{what}: {_reason(error, protocol, address)}; give a local folder") from None
    return fs, root.rstrip("/") or root


def check_writable(fs: Any, address: str) -> None:
    """Refuse a file system that can only be read.

    Args:
        fs: as `open_address` gives it.
        address: for messages.

    Raises:
        RunError: nothing can be written there.
    """
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if found := protocols & READ_ONLY:
        raise RunError(
            f"run directory {shorten(bare(address))}: {min(found)} addresses cannot be written: give a local folder, "
            "or s3://, gs:// or such"
        )


def _reason(error: Exception, protocol: str, address: str) -> str:
    if isinstance(error, TypeError):
        return f"{protocol} needs settings that an address cannot give"
    return bare_message(" ".join(str(error).split()), address)[:300] or type(error).__name__


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
