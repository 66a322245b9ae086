"""Figures of predictions under shifts, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.measure import accuracy, compare, paired_difference, share
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers._shifted import Look, Shift, named
from unshaken.run.store import RunDir

COLUMNS = ["id", "condition", "prediction", "correct", "logits", "forwards"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network said through one look, at each shift; the first is no shift.

    Args:
        prediction: int64 `[S, N]`.
        correct: bool `[N]`, without shift.
        logits: float64 `[S, N, K]`.
        forwards: passes in all.
    """

    prediction: NDArray[np.int64]
    correct: Flags
    logits: Numbers
    forwards: int

    @property
    def moved(self) -> Flags:
        """Bool `[N]`: some shift changes the label."""
        return np.asarray((self.prediction != self.prediction[:1]).any(0))

    @property
    def neighbour_moved(self) -> Flags:
        """Bool `[N]`: some shift changes which other photo is the nearest, by cosine of the logits.

        The gallery are the unshifted photos; a photo is not its own neighbour.
        """
        gallery = _unit(self.logits[0])
        nearest = []
        for logits in self.logits:
            likeness = _unit(logits) @ gallery.T
            np.fill_diagonal(likeness, -np.inf)
            nearest.append(likeness.argmax(1))
        return np.asarray((np.stack(nearest) != nearest[0]).any(0))


def read_seen(run: RunDir, prefix: str, looks: Sequence[Look], shifts: Sequence[Shift]) -> dict[str, Seen]:
    """Rows of each look, samples in the order of their ids."""
    table = run.rows("outcomes", COLUMNS)
    found = {}
    for look in looks:
        wanted = [named(prefix, look, s) for s in shifts]
        parts = [table.filter(pc.equal(table["condition"], c)).sort_by("id").combine_chunks() for c in wanted]
        logits = [np.asarray(p["logits"].combine_chunks().flatten(), np.float64).reshape(len(p), -1) for p in parts]
        found[look.name] = Seen(
            np.stack([p["prediction"].to_numpy() for p in parts]),
            np.asarray(parts[0]["correct"].to_numpy(zero_copy_only=False), bool),
            np.stack(logits),
            sum(int(pc.sum(p["forwards"]).as_py()) for p in parts),
        )
    return found


def read_agreed(run: RunDir, prefix: str, looks: Sequence[Look]) -> dict[str, Flags]:
    """Bool `[N]` of each look: all windows select the same crop."""
    table = run.rows("certificates", ["id", "condition", "radius"])
    found = {}
    for look in looks:
        part = table.filter(pc.equal(table["condition"], f"{prefix}.{look.name}")).sort_by("id")
        found[look.name] = np.asarray(part["radius"].to_numpy() > 0)
    return found


def rate(hits: Flags) -> dict[str, Any]:
    """A share with its interval, as JSON."""
    return share(int(hits.sum()), len(hits)).to_json()


def looked_figures(seen: Seen, *, neighbours: bool) -> dict[str, Any]:
    """All figures of one look."""
    kept = (seen.prediction[1:] == seen.prediction[:1]).mean(0)
    figures: dict[str, Any] = {
        "accuracy": accuracy(seen.correct).to_json(),
        "label_failures": rate(seen.moved),
        "consistency": _mean(kept),
        "forwards": round(seen.forwards / len(seen.correct), 2),
    }
    if neighbours:
        figures["neighbour_failures"] = rate(seen.neighbour_moved)
    return figures


def against(baseline: Seen, other: Seen) -> dict[str, Any]:
    """One look compared with a baseline on the same photos: differences, and McNemar's p-value for failures."""
    stable = compare(~baseline.moved, ~other.moved)
    return {
        "accuracy": compare(baseline.correct, other.correct).difference.to_json(),
        "stable": stable.difference.to_json(),
        "stable_p": float(f"{stable.p_value:.3g}"),
    }


def _mean(values: Numbers) -> dict[str, Any]:
    return paired_difference(np.zeros_like(values), values).to_json()


def _unit(logits: Numbers) -> Numbers:
    centred = logits - logits.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))
