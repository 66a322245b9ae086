"""Geolocation: great-circle errors of predicted places, and the share within usual distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, numbers, same_length
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import share

RADIUS = 6371.0
"""Of the earth, in km."""
DISTANCES = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country and continent, in km."""


def great_circle(
    latitude: ArrayLike, longitude: ArrayLike, other_latitude: ArrayLike, other_longitude: ArrayLike
) -> Numbers:
    """Distances of places on the sphere in km, `[N]`: `2 R asin sqrt(sin^2(dp/2) + cos p1 cos p2 sin^2(dl/2))`.

    Args:
        latitude: in degrees, from -90 to 90, `[N]`.
        longitude: in degrees, from -180 to 180.
        other_latitude: as `latitude`, of the other places.
        other_longitude: as `longitude`.

    Raises:
        ParameterError: a number is missing or out of range, or lengths differ.

    >>> [round(d, 2) for d in great_circle([48.8566], [2.3522], [51.5074], [-0.1278]).tolist()]
    [343.56]
    """
    north = [_degrees("latitude", v, 90) for v in (latitude, other_latitude)]
    east = [_degrees("longitude", v, 180) for v in (longitude, other_longitude)]
    same_length(latitude=north[0], longitude=east[0], other_latitude=north[1], other_longitude=east[1])
    (one, other), turn = north, east[1] - east[0]
    inner = np.sin((other - one) / 2) ** 2 + np.cos(one) * np.cos(other) * np.sin(turn / 2) ** 2
    return np.asarray(2 * RADIUS * np.arcsin(np.sqrt(np.minimum(inner, 1.0))), np.float64)


def within_distances(errors: ArrayLike, distances: Sequence[float] = DISTANCES) -> dict[float, Figure]:
    """The share of errors within each distance, with Clopper and Pearson's interval.

    Args:
        errors: in km, `[N]`.
        distances: in km, above 0.

    Raises:
        ParameterError: there is no error, one is negative or missing, or a distance is not above 0.
    """
    column = numbers("errors", errors, low=0)
    if bad := [d for d in distances if not d > 0]:
        raise ParameterError(f"distances must be above 0 km, not {bad[0]}")
    return {float(d): share(int((column <= d).sum()), len(column)) for d in distances}


def _degrees(name: str, values: ArrayLike, most: float) -> Numbers:
    return np.asarray(np.radians(numbers(name, values, low=-most, high=most)), np.float64)
