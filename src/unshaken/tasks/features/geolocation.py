"""Geolocation by frozen features: an image is where its nearest geotagged images are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.retrieval import DISTANCES, great_circle, within_distances
from unshaken.measure.statistics.columns import Numbers, numbers
from unshaken.measure.statistics.intervals import Figure
from unshaken.tasks.features.probes import check_features
from unshaken.tasks.features.transforms import Features, unit

CELL = 1.0
"""Degrees of latitude and longitude of the cells in which neighbours vote."""


def predict_places(features: Features, places: ArrayLike, queries: Features, *, k: int = 1) -> Numbers:
    """The place of each query: that of its nearest image by cosine, or the commonest cell among the k nearest.

    Args:
        features: of geotagged images, `[G, D]`.
        places: their latitudes and longitudes in degrees, `[G, 2]`.
        queries: features, `[Q, D]`.
        k: neighbours that vote for cells of one degree; the place is that of the nearest one in the cell that wins, of
            equal ones that with the nearest neighbour.

    Returns:
        Latitudes and longitudes, `[Q, 2]`.

    Raises:
        DataError: features are not finite, not of one width, or there is not one place each.
        ParameterError: a latitude or longitude is out of range, or k is not in 1 to G.
    """
    there, asked = check_features(features), check_features(queries)
    known = np.asarray(places, np.float64)
    if there.shape[1] != asked.shape[1] or known.shape != (len(there), 2):
        raise DataError(
            f"features {there.shape}, places {known.shape} and queries {asked.shape} do not fit: [G, D], [G, 2], [Q, D]"
        )
    numbers("latitude", known[:, 0], low=-90, high=90)
    numbers("longitude", known[:, 1], low=-180, high=180)
    if not 1 <= k <= len(there):
        raise ParameterError(f"k must lie in 1 to {len(there)}, the images that there are, not {k}")
    order = np.argsort(-(unit(asked) @ unit(there).T), axis=1, kind="stable")[:, :k]
    cells = np.floor(known / CELL).astype(np.int64)
    chosen = []
    for near in order:
        votes = (cells[near][:, None] == cells[near][None]).all(2).sum(1)
        chosen.append(near[int(votes.argmax())])
    return np.asarray(known[chosen])


def locate(
    features: Features, places: ArrayLike, queries: Features, true_places: ArrayLike, *, k: int = 1,
    distances: Sequence[float] = DISTANCES,
) -> dict[float, Figure]:  # fmt: skip
    """The share of queries that are placed within each distance, in km.

    Args:
        features: as in `predict_places`, as the other arguments.
        places: likewise.
        queries: likewise.
        true_places: where the queries are, `[Q, 2]`.
        k: neighbours that vote.
        distances: in km.

    Raises:
        DataError: as in `predict_places`.
        ParameterError: likewise.
    """
    found, truth = predict_places(features, places, queries, k=k), np.asarray(true_places, np.float64)
    if truth.shape != found.shape:
        raise DataError(f"true places must be [{len(found)}, 2], not {truth.shape}")
    return within_distances(great_circle(found[:, 0], found[:, 1], truth[:, 0], truth[:, 1]), distances)
