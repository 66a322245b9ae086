"""Data sets of any kind: ids and labels at once, pixels on demand, bad samples as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.data.arrays import from_arrays
    from unshaken.data.dataset import BadSample, Dataset
    from unshaken.data.load import load_data
    from unshaken.data.objects import DataSource, as_dataset
    from unshaken.data.selection import subset
    from unshaken.data.streaming import stream

__all__ = ["BadSample", "DataSource", "Dataset", "as_dataset", "from_arrays", "load_data", "stream", "subset"]

_HOMES = {
    "BadSample": "unshaken.data.dataset",
    "DataSource": "unshaken.data.objects",
    "Dataset": "unshaken.data.dataset",
    "as_dataset": "unshaken.data.objects",
    "from_arrays": "unshaken.data.arrays",
    "load_data": "unshaken.data.load",
    "stream": "unshaken.data.streaming",
    "subset": "unshaken.data.selection",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
