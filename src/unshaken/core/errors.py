"""Errors of this package. Each message says what was wrong, with which value, and what to do."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from typing_extensions import override


class UnshakenError(Exception):
    """The root: wrong use or bad input. The command line prints its message as one line and exits with 2."""

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes as what they are, whatever their `__init__` takes."""
        return _restored, (type(self), self.args)


def _restored(kind: type[UnshakenError], arguments: tuple[object, ...]) -> UnshakenError:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class ModelError(UnshakenError):
    """A model cannot be loaded, or does not behave as a classifier."""


UNFIT_INPUT = (RuntimeError, AssertionError, ValueError)
"""What networks raise on images that they do not take; vision transformers assert their size."""


class DataError(UnshakenError):
    """A data source cannot be opened or holds nothing usable. A single bad sample is a row instead."""


class ParameterError(UnshakenError):
    """A parameter, option, plan or gate has a value that is not allowed."""


class RunError(UnshakenError):
    """A run directory is locked, damaged, full, or belongs to another configuration."""


class Busy(RunError):
    """Another process is writing into a run directory."""


class RunWarning(UserWarning):
    """A remark on a run while it goes on; the command line prints it as a line on stderr."""


class MissingExtra(UnshakenError):
    """A package of an optional extra is absent."""

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why} needs the package {package!r}, which is absent: pip install 'unshaken[{extra}]'")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of its accelerator; torch's allocators raise plain RuntimeErrors.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("not enough memory", "out of memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(w in str(error) for w in words)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: near names first, else all of them.

    >>> did_you_mean("pdg", ["fgsm", "pgd"])
    "did you mean 'pgd'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + (", ".join(names) or "none")


def near(name: str, known: Collection[str]) -> str:
    """Suggest a near name as `did_you_mean`, or name a few where all are too many to list."""
    text = did_you_mean(name, known)
    return text if text.startswith("did") else f"{len(known)} are known, such as {', '.join(sorted(known)[:3])}"


def near_path(target: str) -> str:
    """The nearest path that is there, for a message about one that is not; empty where none is near.

    Args:
        target: the path as the user wrote it; of its parts the first that is not there is compared with its neighbours.
    """
    rest = list[str]()
    try:
        path = Path(target).expanduser()
        while not path.parent.exists():
            rest.insert(0, path.name)
            path = path.parent
        names = sorted(os.listdir(path.parent), key=lambda name: Path(name).suffix == path.suffix)
        stems = {Path(name).stem: name for name in names}  # an ending that many files have makes none alike
        for stem in difflib.get_close_matches(path.stem, stems, n=3, cutoff=0.75):
            found = path.parent.joinpath(stems[stem], *rest)
            if found.exists():
                return str(found)
    except (OSError, RuntimeError, ValueError):
        return ""
    return ""
