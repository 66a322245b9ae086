"""Checks of a place before anything is written there: nothing is replaced that the program did not make."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Name the kind of what is at a path, such as `a folder`; None for a regular file and for nothing.

    Raises:
        OSError: the path is no path, such as one with a part that is too long.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISREG(mode) else next((name for test, name in KINDS if test(mode)), "no regular file")


def check_file(path: str | os.PathLike[str], option: str, *, overwrite: bool) -> None:
    """Refuse to write a file over another one, or over what is no regular file.

    Args:
        path: of the file, on this machine.
        option: that names it, for messages.
        overwrite: whether a regular file that is there may be replaced.

    Raises:
        ParameterError: nothing should or can be written there.
    """
    place = _describe(option, path)
    with _refused(place):
        if (kind := kind_of(path)) is not None:
            raise ParameterError(f"{place} is {kind}: name a file")
        _check_parent(Path(path), place)
        if not overwrite and os.path.lexists(path) and os.path.getsize(path):
            raise ParameterError(f"{place} exists: choose another name, or replace it with --overwrite")


def check_updated_file(
    path: str | os.PathLike[str], option: str, kind: str, *, begins: bytes, endings: Sequence[str]
) -> None:
    """Refuse to change a file of another kind.

    Args:
        path: of the file, on this machine.
        option: that names it, for messages.
        kind: of the files that may be changed, such as `a Markdown file`.
        begins: bytes that each of them begins with.
        endings: of their names; empty for any.

    Raises:
        ParameterError: it is no regular file of the kind, or nothing can be written there.
    """
    path = os.path.expanduser(path)
    check_file(path, option, overwrite=True)
    place = _describe(option, path)
    with _refused(place):
        if not os.path.lexists(path) or not os.path.getsize(path):
            return
        with open(path, "rb") as file:
            is_own = file.read(len(begins)) == begins and (not endings or path.lower().endswith(tuple(endings)))
        if not is_own:
            raise ParameterError(f"{place} is there, and is not {kind}: choose another name")


def check_folder(path: str | os.PathLike[str] | None, option: str, records: Sequence[str]) -> None:
    """Refuse to write into a folder of something else.

    Args:
        path: of the folder; an address of another file system is not looked at, and None is a place of the program's.
        option: that names it, for messages.
        records: paths in the folder; one of them is there when it is of the kind that will be written.

    Raises:
        ParameterError: it is no folder, nothing can be written there, or it holds other files.
    """
    if path is None or "://" in os.fspath(path):
        return
    if os.path.expanduser(path).startswith("~"):  # a user that `open_address` refuses
        return
    folder, place = Path(os.path.expanduser(path)), _describe(option, path)
    with _refused(place):
        if not os.path.lexists(folder):
            _check_parent(folder, place)
            return
        if not folder.is_dir():
            raise ParameterError(f"{place} is {kind_of(folder) or 'a file'}: name a folder, new or empty")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ParameterError(f"{place} cannot be written (Permission denied): choose another folder")
        if any((folder / record).is_file() for record in records):
            return
        with os.scandir(folder) as entries:
            begun = tuple(f"{record}.unshaken-" for record in records)  # as another process writes it just now
            first = next((entry.name for entry in entries if not entry.name.startswith(begun)), None)
        if first is not None:
            record = f", and no {records[0]} of an earlier call" if records else ""
            raise ParameterError(
                f"{place} holds other files, such as {shorten(first)}{record}: choose a new or empty folder"
            )


def temporary_name(name: str) -> str:
    """A new name for a file that takes its own when it is whole: it begins with that, as far as a name may be long."""
    short = os.fsencode(name)[:200].decode(errors="ignore")
    return f"{short}.unshaken-{uuid.uuid4().hex}.tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new temporary file beside a path, which takes its name when all went well, and is gone otherwise.

    Args:
        path: of a file that may be replaced; see `check_file`.
    """
    part = path.with_name(temporary_name(path.name))
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _describe(option: str, path: str | os.PathLike[str]) -> str:
    return f"{option} {shorten(os.fspath(path))}"


def _check_parent(path: Path, place: str) -> None:
    """Refuse a path whose next folder that is there is none, or cannot be written."""
    parent = next((folder for folder in path.parents if os.path.lexists(folder)), Path("."))
    if not parent.is_dir():
        raise ParameterError(f"{place} cannot be written: {shorten(str(parent))} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ParameterError(f"{place} cannot be written: {shorten(str(parent))} is not writable")


@contextmanager
def _refused(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # such as a name that is too long
        raise ParameterError(f"{place} cannot be written ({error.strerror or error})") from None
