"""Resources that a data set offers to methods beyond its images, by type; see `unshaken.core.context.Context`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.context import ObjectMasks, PhotoMap, SampleColumns
from unshaken.data.dataset import Dataset
from unshaken.data.object_masks import map_in_view, object_masks


def places_of(dataset: Dataset) -> dict[str, int]:
    """Sample id to its place in the data."""
    return {name: place for place, name in enumerate(dataset.ids)}


def resources_of(dataset: Dataset, view: View | None, device: str) -> Mapping[type[Any], Any]:
    """Each resource by its type: those of all data, and what this kind of data adds (`Dataset.resources`).

    Args:
        dataset: any.
        view: how the model looks at photos; None for as they are.
        device: of the model.
    """
    places, columns = cache(partial(places_of, dataset)), cache(dataset.columns)

    def sample_columns(name: str, ids: Sequence[str]) -> list[Any] | None:
        values = columns().get(name)
        return None if values is None else [values[places()[sample]] for sample in ids]

    def masks(folder: str, ids: Sequence[str]) -> Tensor:
        return object_masks(folder, dataset, [places()[name] for name in ids], view)

    def photo_map(sample: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return map_in_view(values, dataset, places()[sample], view)

    own = dataset.resources(view, device)
    return {ObjectMasks: masks, PhotoMap: photo_map, SampleColumns: sample_columns, **own}
