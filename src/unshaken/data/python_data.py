"""`py:FILE_OR_MODULE:FACTORY` as data: a data set that the user's own code makes, such as objects with a renderer."""

from __future__ import annotations

import copy
from dataclasses import replace

from unshaken.core.consent import require_named
from unshaken.core.errors import DataError
from unshaken.core.user_code import call_factory
from unshaken.data.dataset import Dataset
from unshaken.data.spec import Options


def open_python(target: str, options: Options) -> Dataset:
    """Call a factory, which returns a `Dataset`; `size` and `mode` of the SPEC take the place of its own.

    Raises:
        DataError: the target does not name both a file or module and a factory, or no data set is returned.
        ModelError: the code was not named by the user in this call, is absent, or raises.
    """
    place, _, factory = target.rpartition(":")
    if not place or not factory:
        raise DataError(f"data {options.spec!r}: write py:FILE_OR_MODULE:FACTORY, such as py:objects.py:build")
    require_named(f"py:{target}")
    made, _ = call_factory(place, factory)
    if not isinstance(made, Dataset):
        raise DataError(f"data {options.spec!r}: the factory returned a {type(made).__name__}, not an unshaken Dataset")
    other = copy.copy(made)
    own = made.options
    other.options = replace(options, size=options.size or own.size, mode=options.mode or own.mode)
    return other
