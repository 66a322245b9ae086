"""`open_recorded`: the data set that a record of a run or of a review names."""

from __future__ import annotations

from unshaken.core.consent import call, refuse_code
from unshaken.data.dataset import Dataset
from unshaken.data.load import load_data


def open_recorded(spec: str, where: str, *, download: bool = False) -> Dataset:
    """Open the data set that a record names. Code that it names is refused unless the user named it in this call.

    A program that serves runs has no call under way, and then `load_data` takes every SPEC for the program's own.

    Args:
        spec: in the record.
        where: the record, for messages.
        download: whether the data may be fetched.

    Raises:
        ModelError: the record names code that the user did not name.
        DataError: the data cannot be opened here.
    """
    with call():
        refuse_code(spec, where)
        return load_data(spec, download=download)
