"""Figures of the maps of a run, from its rows and files alone: means, differences from a control, agreement."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from unshaken.explain.engine.compare_maps import MapValues, compare_methods, map_agreement, summarise
from unshaken.explain.engine.metric import MapMetric
from unshaken.measure import Figure
from unshaken.store.run_dir import RunDir

GAP = "completeness gap"
"""The mean distance of a map's sum from the total that it should have."""


def method_figures(run: RunDir, name: str, metrics: Mapping[str, MapMetric]) -> dict[str, Figure]:
    """The mean of each metric over the samples where it has a value, and the gap of a method that knows its total.

    Args:
        run: with the rows `attributions` and `map_metrics`.
        name: condition of the method.
        metrics: by the names that their rows have.
    """
    found = {m: summarise(_values(run, name, m).values, hits=metric.hits) for m, metric in metrics.items()}
    gap = _of(run.rows("attributions", ["condition", "gap"]), name)["gap"].drop_null().to_numpy()
    found[GAP] = summarise(np.abs(np.asarray(gap, np.float64)))
    return {label: figure for label, figure in found.items() if figure is not None}


def missing_values(run: RunDir, name: str, metrics: Sequence[str]) -> list[str]:
    """A sentence for each metric that has no value on some samples.

    Args:
        run: with the rows `map_metrics`.
        name: condition of the method.
        metrics: names.
    """
    counts = {m: np.isnan(_values(run, name, m).values) for m in metrics}
    return [
        f"{m} has no value on {missing.sum():,} of {len(missing):,} samples: no object is known there, or the map "
        "or the sums that it is compared with are constant."
        for m, missing in counts.items()
        if missing.any()
    ]


def constant_maps(rows: pa.Table) -> list[str]:
    """A sentence on maps that rank no pixel, where there are any.

    Args:
        rows: `attributions` of one method.
    """
    made = rows["constant"].drop_null()
    count = int(pc.sum(made).as_py() or 0)
    if not count:
        return []
    return [
        f"{count:,} of {len(made):,} maps are constant and rank no pixel: the score does not change with the image "
        "there, as where a probability is saturated or a layer is 0 everywhere."
    ]


def differences(run: RunDir, name: str, control: str, metrics: Sequence[str]) -> dict[str, Figure]:
    """Each metric of a method minus that of a control, paired over samples.

    Args:
        run: with the rows `map_metrics`.
        name: condition of the method.
        control: condition of the control.
        metrics: names.
    """
    found = {m: compare_methods(_values(run, control, m), _values(run, name, m)) for m in metrics}
    return {m: figure for m, figure in found.items() if figure is not None}


def agreements(run: RunDir, names: Sequence[str]) -> list[tuple[str, str, Figure]]:
    """Spearman's correlation of the kept maps of each two methods, a mean over samples.

    Args:
        run: with files of maps.
        names: conditions of the methods.
    """
    found = []
    for one, other in itertools.combinations(names, 2):
        values = []
        for file in run.names("maps", suffix=".safetensors"):
            if file.rpartition("-")[0] == one and run.exists("maps", second := f"{other}-{file.rpartition('-')[2]}"):
                first, other_maps = run.read_tensors("maps", file), run.read_tensors("maps", second)
                if list(first.ids) == list(other_maps.ids):
                    values.append(map_agreement(first.tensors["maps"], other_maps.tensors["maps"]))
        figure = summarise(torch.cat(values).numpy()) if values else None
        if figure is not None:
            found.append((one, other, figure))
    return found


def _values(run: RunDir, name: str, metric: str) -> MapValues:
    rows = _of(run.rows("map_metrics", ["id", "condition", "metric", "value"]), name)
    rows = rows.filter(pc.equal(rows["metric"], metric))
    values = rows["value"].to_numpy(zero_copy_only=False)
    return MapValues(rows["id"].to_pylist(), np.asarray(values, np.float64))


def _of(table: pa.Table, condition: str) -> pa.Table:
    return table.filter(pc.equal(table["condition"], condition))
