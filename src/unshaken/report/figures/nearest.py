"""Nearest examples, and robust accuracy against eps: of each minimal-norm attack, and of all attacks of a norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken import measure
from unshaken.report.figures.outcomes import complete
from unshaken.report.figures.turns import merged_turns
from unshaken.report.read.frame import Frame, read_outcomes, shards_of
from unshaken.store.run_dir import RunDir

POINTS = 32
"""Distances at which a curve is given, at most; the budgets of the run come on top."""

Distances = dict[int, NDArray[np.float64]]


def distances(frame: Frame, run: RunDir) -> Distances:
    """For each condition of nearest examples, by place: each sample's distance `[N]`.

    Infinite where no example was found or the kept one is not wrong; NaN where there is no row.
    """
    known, found = pa.array(frame.ids, pa.string()), {}
    for j in frame.nearest:
        name = frame.conditions[j].id
        table = read_outcomes(run, name, shards_of(run, name), ["id", "distance", "error"])
        table = table.filter(pc.is_null(table["error"]))
        at = pc.index_in(table["id"], value_set=known).fill_null(-1).to_numpy()
        far = np.full(len(frame.ids), np.nan)
        far[at[at >= 0]] = table["distance"].fill_null(np.inf).to_numpy()[at >= 0]
        found[j] = np.where((frame.right[:, j] == 1) & ~np.isnan(far), np.inf, far)
    return found


def minimal_norms(frame: Frame, run: RunDir, far: Distances) -> list[dict[str, Any]]:
    """One record a condition of nearest examples: how far the attack had to go, and the accuracy left at each eps.

    Args:
        frame: the outcomes.
        run: for the turns.
        far: the distances.
    """
    found = []
    for j, distance in far.items():
        one = frame.conditions[j]
        rows = np.flatnonzero((frame.right[:, 0] >= 0) & (frame.right[:, j] >= 0) & ~np.isnan(distance))
        if not len(rows):
            continue
        clean, distance = frame.right[rows, 0] == 1, distance[rows]
        norm = measure.minimal_norm(distance, clean)
        grid = _grid(distance[clean], _budgets(frame, one.norm))
        turns = [{k: v for k, v in t.items() if k != "turn"} for t in merged_turns(run, one.id)]
        passes = sum(t["forwards"] + t["backwards"] for t in turns)
        found.append(
            {
                "condition": one.id,
                "method": one.method,
                "norm": one.norm,
                "clean": measure.accuracy(clean).to_json(),
                "success": norm.success and norm.success.to_json(),
                "median": norm.median and norm.median.to_json(),
                "median_of_broken": norm.median_of_broken and norm.median_of_broken.to_json(),
                "mean_of_broken": norm.mean_of_broken and norm.mean_of_broken.to_json(),
                "curve": _curve(distance, clean, grid),
                "turns": turns,
                "passes_per_sample": passes / len(rows),
            }
        )
    return found


def together(frame: Frame, far: Distances) -> list[dict[str, Any]]:
    """For each norm, all its attacks taken together: the accuracy that they leave at each eps, sample by sample.

    A sample falls at the least eps within which any of them broke it. The figure is an upper bound of the robust
    accuracy, and between the budgets that were run a loose one.
    """
    found = []
    for norm in dict.fromkeys(frame.conditions[j].norm for j in frame.attacks + frame.nearest):
        if norm is None:
            continue
        budgets = [j for j in frame.attacks if frame.conditions[j].norm == norm]
        nearest = [j for j in far if frame.conditions[j].norm == norm]
        rows = complete(frame, [0, *budgets, *nearest])
        rows = rows[~np.isnan([far[j][rows] for j in nearest]).any(0)] if nearest else rows
        if not len(rows):
            continue
        eps = np.array([frame.conditions[j].eps for j in budgets], float)
        least = np.where(frame.right[np.ix_(rows, np.array(budgets, np.int64))] == 0, eps, np.inf).min(
            1, initial=np.inf
        )
        least = np.minimum(least, np.min([far[j][rows] for j in nearest], axis=0, initial=np.inf))
        clean = frame.right[rows, 0] == 1
        grid = _grid(least[clean] if nearest else least[:0], _budgets(frame, norm))
        median = measure.minimal_norm(least, clean).median
        found.append(
            {
                "norm": norm,
                "conditions": [frame.conditions[j].id for j in budgets + nearest],
                "clean": measure.accuracy(clean).to_json(),
                "median": median and median.to_json(),
                "curve": _curve(least, clean, grid),
            }
        )
    return found


def _curve(distance: NDArray[np.float64], clean: NDArray[np.bool_], grid: NDArray[np.float64]) -> list[dict[str, Any]]:
    curve = measure.success_curve(distance, clean, grid)
    return [{"eps": e, "accuracy": f.to_json()} for e, f in zip(curve.eps, curve.robust_accuracy, strict=True)]


def _budgets(frame: Frame, norm: str | None) -> list[float]:
    return [e for j in frame.attacks if frame.conditions[j].norm == norm and (e := frame.conditions[j].eps) is not None]


def _grid(distance: NDArray[np.float64], budgets: Sequence[float]) -> NDArray[np.float64]:
    """0, the run's budgets, and the distances that occur or `POINTS` quantiles of them, rounded up to 3 digits."""
    reached = distance[np.isfinite(distance)]
    if len(reached) > POINTS:
        reached = np.quantile(reached, np.linspace(0, 1, POINTS), method="higher")
    return np.unique([0.0, *budgets, *(_up(d) for d in reached.tolist())])


def _up(value: float) -> float:
    """The next number of 3 digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.3g}")
