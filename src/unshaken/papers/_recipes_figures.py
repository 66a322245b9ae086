"""Figures of the experiment with training recipes, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure import accuracy, compare, paired_difference
from unshaken.measure.statistics.columns import Flags
from unshaken.run.store import RunDir


class Figures:
    """The rows of a run, read once.

    Args:
        run: where they are.
    """

    def __init__(self, run: RunDir) -> None:
        rows = run.rows("outcomes", ["id", "condition", "method", "correct"]).to_pydict()
        self.found: dict[str, list[tuple[str, bool]]] = {}
        for key, condition, right in zip(rows["id"], rows["condition"], rows["correct"], strict=True):
            self.found.setdefault(condition, []).append((key, bool(right)))
        self.epochs = run.rows("training").to_pylist()

    def right(self, condition: str) -> Flags:
        """Whether each sample is predicted rightly, in the order of ids."""
        return np.array([r for _, r in sorted(self.found[condition])])

    def ordering(self, arms: list[str], condition: str) -> dict[str, Any]:
        """Clean and AutoAttack accuracy of each arm, and what the arm gains over the first, paired."""
        under = {arm: self.right(condition.format(arm)) for arm in arms}
        return {
            arm: {
                "clean": accuracy(self.right(f"clean.{arm}")).to_json(),
                "autoattack": accuracy(under[arm]).to_json(),
                "gain": compare(under[arms[0]], under[arm]).difference.to_json(),
            }
            for arm in arms
        }

    def curve(self, arm: str, name: str) -> list[float]:
        """A figure over the epochs of an arm."""
        rows = [(r["epoch"], r["value"]) for r in self.epochs if r["condition"] == f"train.{arm}" and r["name"] == name]
        return [value for _, value in sorted(rows)]

    def flagged(self, arm: str, flag: str) -> bool:
        """Whether a monitor spoke."""
        return bool(self.curve(arm, f"flag:{flag}"))

    def course(self, arm: str, name: str) -> dict[str, Any]:
        """Best, last and when, of a figure over epochs."""
        values = self.curve(arm, name)
        return {
            "best": max(values),
            "best_epoch": int(np.argmax(values)) + 1,
            "last": values[-1],
            "epochs": len(values),
        }

    def corruptions(self, arms: list[str]) -> dict[str, Any]:
        """Clean and mean corrupted accuracy of each arm, and the paired gain over the first."""
        base = self.mean_right(arms[0])
        found: dict[str, Any] = {}
        for arm in arms:
            mean = self.mean_right(arm)
            found[arm] = {
                "clean": accuracy(self.right(f"clean.{arm}")).to_json(),
                "corrupted": float(mean.mean()),
                "gain": paired_difference(base, mean).to_json(),
                "clean_gain": compare(self.right(f"clean.{arms[0]}"), self.right(f"clean.{arm}")).difference.to_json(),
            }
        return found

    def mean_right(self, arm: str) -> Any:
        """Share of corruptions and severities under which each sample is predicted rightly."""
        names = [c for c in self.found if c.startswith(f"{arm}.")]
        return np.mean([self.right(c) for c in names], 0)
