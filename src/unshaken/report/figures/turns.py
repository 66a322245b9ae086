"""What each stage of an attack bought, from rows of `turns` merged over shards."""

from __future__ import annotations

from typing import Any

from unshaken import measure
from unshaken.core.tables import TURNS
from unshaken.report.read.conditions import series_of
from unshaken.report.read.frame import Frame, read_outcomes
from unshaken.store.run_dir import RunDir

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
