"""Accuracy over viewpoints, from rows of `views`: by attack, and by the camera's azimuth and elevation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken import measure
from unshaken.attack.viewpoint.chosen_views import VIEWS
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means
from unshaken.run import RunDir

STEP = 45
"""Degrees of azimuth of a cell; the first is centred at the front."""
BANDS = ((60, 90), (30, 60), (0, 30))
"""Degrees of elevation of each row of cells."""
Row = dict[str, Any]


def viewpoint_figures(run: RunDir, seed: int = 0) -> list[Row]:
    """One record an attack by viewpoint.

    Views of one object are alike, so the intervals are of a bootstrap over objects.

    Args:
        run: its rows alone are read.
        seed: of the bootstrap.
    """
    names = [name for name in VIEWS.names if name in ("id", "condition", "method", "theta", "phi", "correct")]
    table = run.rows("views", names)
    columns: dict[str, NDArray[Any]] = {name: np.array(table[name].to_pylist()) for name in names}
    found = []
    for condition in dict.fromkeys(columns["condition"].tolist()):
        mine = columns["condition"] == condition
        some = {name: values[mine] for name, values in columns.items()}
        right, ids = some["correct"].astype(np.float64), some["id"]
        objects = np.unique(ids)
        held = [bool(right[ids == name].all()) for name in objects]
        found.append(
            {
                "condition": condition,
                "method": str(some["method"][0]),
                "views": len(right),
                "accuracy": _over_objects(right, ids, seed),
                "held": measure.share(sum(held), len(held)).to_json(),
                "cells": _cells(some, right, seed),
            }
        )
    return found


def _over_objects(right: NDArray[np.float64], ids: NDArray[Any], seed: int) -> Row:
    """The mean over objects of each one's share of right answers, with the interval of a bootstrap over objects."""
    means = np.array([right[ids == name].mean() for name in np.unique(ids)])
    if len(means) == 1:  # says nothing of other objects
        return measure.Figure(float(means[0]), 0.0, 1.0, 1, "one object").to_json()
    draws = bootstrap_means(means[:, None], seed=seed)[:, 0]
    return bootstrap_figure(float(means.mean()), draws, len(means)).to_json()


def _cells(some: dict[str, NDArray[Any]], right: NDArray[np.float64], seed: int) -> list[Row]:
    """The accuracy of each part of the globe that views lie in."""
    theta, phi = some["theta"].astype(np.float64), some["phi"].astype(np.float64)
    azimuth = (np.round(theta / STEP).astype(int) * STEP + 180) % 360 - 180
    elevation, inverted = 90 - np.abs(phi), phi < 0
    cells = []
    for upside_down in (False, True):
        for low, high in BANDS:
            band = (inverted == upside_down) & (elevation >= low) & ((elevation < high) | (high == BANDS[0][1]))
            for centre in range(-180, 180, STEP):
                here = band & (azimuth == centre)
                if here.any():
                    accuracy = _over_objects(right[here], some["id"][here], seed)
                    place = {"azimuth": centre, "low": low, "high": high, "upside_down": upside_down}
                    cells.append({**place, "views": int(here.sum()), "accuracy": accuracy})
    return cells
