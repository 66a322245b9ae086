"""The slices of a run's samples, from its rows."""

from __future__ import annotations

import numpy as np

from unshaken.core.tables import declare_table
from unshaken.measure.slices import Slicing
from unshaken.report.read.frame import Frame
from unshaken.store.run_dir import RunDir

SLICES = declare_table("slices", "id string, slicing string, part string, place int32, number double")
"""A row for each sample and column that divides the samples: its part, the part's place, and its value if a number."""


def read_slices(run: RunDir, frame: Frame) -> list[Slicing]:
    """The slicings of a run, for the samples of its outcomes, in the order in which they were asked for."""
    table = run.rows("slices")
    places = {name: place for place, name in enumerate(frame.ids)}
    at = np.array([places.get(name, -1) for name in table["id"].to_pylist()], np.int64)
    names, parts = table["slicing"].to_pylist(), table["part"].to_pylist()
    numbers = table["place"].to_numpy()
    found = []
    for name in dict.fromkeys(names):
        own = np.flatnonzero(np.array([n == name for n in names], np.bool_))
        codes = np.full(len(places), -1)
        there = own[at[own] >= 0]
        codes[at[there]] = numbers[there]
        titles = {int(numbers[row]): parts[row] for row in own.tolist()}
        found.append(Slicing(name, tuple(titles.get(k, "") for k in range(max(titles) + 1)), codes))
    return found
