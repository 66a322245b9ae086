"""Figures of attacks: by stage, by budget, and of nearest examples, from rows of outcomes and `turns`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken import measure
from unshaken.core.part import Condition
from unshaken.core.tables import TURNS
from unshaken.report.figures.outcomes import complete, worst_case
from unshaken.report.read.frame import Frame, label_of, read_outcomes, series_of, shards_of
from unshaken.store.run_dir import RunDir

POINTS = 32
"""Distances at which a curve is given, at most; the budgets of the run come on top."""
Distances = dict[int, NDArray[np.float64]]
_SUMS = ("standing", "broken", "forwards", "backwards", "seconds")
Turn = dict[str, Any]


def merged_turns(run: RunDir, condition: str) -> list[Turn]:
    """The turns of a condition, in order, summed over the shards whose outcomes are finished.

    Args:
        run: its rows alone are read.
        condition: its id.

    Returns:
        Records with the columns of the table `turns`, `condition` left out; empty when there are none.
    """
    shards = sorted(s for c, s in run.finished("turns") & run.finished() if c == condition)
    if not shards:
        return []
    merged: dict[int, Turn] = {}
    for row in read_outcomes(run, condition, shards, list(TURNS), table="turns").to_pylist():
        number = row["turn"]
        turn = merged.setdefault(number, {"turn": number, "attack": [], "why": [], **dict.fromkeys(_SUMS, 0)})
        for name in ("attack", "why"):
            turn[name] += [row[name]] if row[name] and row[name] not in turn[name] else []
        for name in _SUMS:
            turn[name] += row[name]
    words = ("attack", "why")  # one each, unless shards chose differently
    return [t | {name: " or ".join(t[name]) for name in words} for _, t in sorted(merged.items())]


def attacks(frame: Frame, run: RunDir) -> list[dict[str, Any]]:
    """One record an attack's condition that has turns: the robust accuracy after each, and what it cost so far.

    An example found within a smaller budget stands within a larger one of the same line, so what the smaller ones
    spent is stated as `passes_before`. A minimal-norm attack runs once for all budgets: at each it has one turn, which
    counts what it broke within that budget at the cost of the whole run.
    """
    minimal = {frame.conditions[j].id for j in frame.nearest}
    found, spent = [], dict[str, float]()
    for j in frame.attacks:
        one, right = frame.conditions[j], frame.right[:, [0, j]]
        right = right[(right >= 0).all(1)]
        turns = merged_turns(run, one.id)
        if not turns or not len(right):
            continue
        n, clean, series = len(right), int((right[:, 0] == 1).sum()), series_of(one)
        if series in minimal:
            turns = [_whole(turns, clean, int((right == [1, 0]).all(1).sum()))]
            spent.pop(series, None)
        standing = before = turns[0]["standing"]
        passes, stages = 0.0, []
        for turn in turns:
            standing -= turn["broken"]
            passes += (turn["forwards"] + turn["backwards"]) / n
            stages.append(turn | {"accuracy": measure.share(standing, n).to_json(), "passes_per_sample": passes})
        found.append(
            {
                "condition": one.id,
                "method": one.method,
                "norm": one.norm,
                "eps": one.eps,
                "clean": measure.share(clean, n).to_json(),
                "before": measure.share(before, n).to_json(),
                "passes_before": spent.get(series, 0.0),
                "turns": [{k: v for k, v in t.items() if k != "turn"} for t in stages],
            }
        )
        spent[series] = spent.get(series, 0.0) + passes
    return found


def _whole(turns: list[Turn], standing: int, broken: int) -> Turn:
    """All turns of a minimal-norm attack as one, at one budget."""
    names = {name: ", ".join(dict.fromkeys(t[name] for t in turns if t[name])) for name in ("attack", "why")}
    sums = {name: sum(t[name] for t in turns) for name in ("forwards", "backwards", "seconds")}
    return {"turn": 0, **names, "standing": standing, "broken": broken, **sums}


# Nearest examples.
def distances(frame: Frame, run: RunDir) -> Distances:
    """For each condition of nearest examples, by place: each sample's distance `[N]`.

    Infinite where no example was found or the kept one is not wrong; NaN where there is no row.
    """
    found = {}
    for j in frame.nearest:
        name, far = frame.conditions[j].id, np.full(len(frame.ids), np.nan)
        for shard in shards_of(run, name):
            table = read_outcomes(run, name, [shard], ["id", "distance", "error"])
            table = table.filter(pc.is_null(table["error"]))
            at = frame.places.of(table["id"], shard)
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
    found, optimal = [], _optimality(frame, far)
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
                **({"optimality": (figure := optimal[j]) and figure.to_json()} if j in optimal else {}),
                "curve": _curve(distance, clean, grid),
                "turns": turns,
                "passes_per_sample": passes / len(rows),
            }
        )
    return found


def _optimality(frame: Frame, far: Distances) -> dict[int, measure.Figure | None]:
    """Each attack beside the best of its norm, by place; of norms with several attacks, on the samples of all."""
    found: dict[int, measure.Figure | None] = {}
    for norm in {frame.conditions[j].norm for j in far}:
        among = [j for j in far if frame.conditions[j].norm == norm]
        rows = complete(frame, [0, *among])
        distance = np.stack([far[j][rows] for j in among])
        known = ~np.isnan(distance).any(0)
        if len(among) > 1 and known.any():
            clean = frame.right[rows[known], 0] == 1
            found |= dict(zip(among, measure.local_optimality(distance[:, known], clean), strict=True))
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


# Attacks against the budgets that were run.


def attacks_by_budget(frame: Frame) -> list[dict[str, Any]]:
    """For each attack and norm: robust accuracy against eps, and the median of the least eps that broke a sample.

    A sample broken within a smaller budget is broken within a larger one too.
    """
    series: dict[str, list[int]] = {}
    for j, c in enumerate(frame.conditions):
        if c.eps is not None:
            series.setdefault(series_of(c), []).append(j)
    found = []
    for name, columns in series.items():
        rows = complete(frame, [0, *columns])
        if not len(rows):
            continue
        eps = np.array([frame.conditions[j].eps for j in columns], float)
        broken = frame.right[np.ix_(rows, np.asarray(columns))] == 0
        least = np.where(broken, eps, np.inf).min(1)
        clean = frame.right[rows, 0] == 1
        curve, norm = measure.success_curve(least, clean, eps), measure.minimal_norm(least, clean)
        first: Condition = frame.conditions[columns[0]]
        found.append(
            {
                "attack": label_of(first),
                "series": name,
                "method": first.method,
                "norm": first.norm,
                "eps": eps.tolist(),
                "robust_accuracy": [f.to_json() for f in curve.robust_accuracy],
                "success": [f and f.to_json() for f in curve.success],
                "median_eps": norm.median and norm.median.to_json(),
            }
        )
    return found


def robust_by_budget(frame: Frame) -> list[dict[str, Any]]:
    """For each norm and eps that several attacks share: accuracy under the worst of them, sample by sample."""
    budgets: dict[tuple[str, float], list[int]] = {}
    for j, c in enumerate(frame.conditions):
        if c.eps is not None:
            budgets.setdefault((c.norm or "", round(c.eps, 12)), []).append(j)
    found = []
    for (norm, eps), columns in sorted(budgets.items()):
        worst = worst_case(frame, [0, *columns]) if len(columns) > 1 else None
        if worst is not None:
            names = [label_of(frame.conditions[j]) for j in columns]
            found.append({"norm": norm, "eps": eps, "attacks": names, "accuracy": worst.accuracy.to_json()})
    return found
