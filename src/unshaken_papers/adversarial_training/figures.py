"""Figures of the experiment with training recipes, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unshaken.measure import paired_difference, share
from unshaken.papers.roles import Roles, choosing
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.adversarial_training import EPS, FAR_CHECKED, LONG_CHECKED, MIXED, ORDER, AdversarialTrainingPaper

FAR, LONG = ("fgsm", "n-fgsm"), ("at", "awp", "ema")


def figures(paper: AdversarialTrainingPaper, rows: Rows) -> dict[str, Any]:
    """By seed: the parts that were run."""
    seeds = {name: Seed(part) for name, part in rows.repetitions(paper.seeds).items()}
    found: dict[str, Any] = {name: seed.all() for name, seed in seeds.items()}
    trained = next(iter(seeds.values())).arms
    for arm in FAR:
        if f"far-{arm}" in trained:
            for name, seed in seeds.items():
                course = collapse(seed.curve(f"far-{arm}", "train_robust"), FAR_CHECKED)
                found[name].setdefault("catastrophic", {})[arm] = course
    for arm in LONG:
        if f"long-{arm}" in trained:
            curves = {name: seed.curve(f"long-{arm}", "held_robust") for name, seed in seeds.items()}
            for name, course in courses(curves, LONG_CHECKED).items():
                found[name].setdefault("robust_overfitting", {})[arm] = course
    return found


def collapse(curve: Mapping[int, float], checked: int) -> dict[str, Any]:
    """The largest fall within a training: from the highest accuracy so far to a later epoch.

    Args:
        curve: accuracy by epoch.
        checked: images of which each accuracy is the share.
    """
    epochs = sorted(curve)
    values: Numbers = np.array([curve[epoch] for epoch in epochs])
    before = np.maximum.accumulate(values)
    left = np.divide(values, before, out=np.ones(len(values)), where=before > 0)
    end = int(left.argmin())
    start = int(values[: end + 1].argmax())
    return {
        "left": float(left[end]),
        "before": share(round(values[start] * checked), checked).to_json(),
        "after": share(round(values[end] * checked), checked).to_json(),
        "last": share(round(values[-1] * checked), checked).to_json(),
        "from_epoch": epochs[start],
        "to_epoch": epochs[end],
    }


def courses(curves: Mapping[str, Mapping[int, float]], checked: int) -> dict[str, dict[str, Any]]:
    """By seed: accuracy in the best epoch, which the other seeds choose, and at the end.

    The largest value of a curve is above what its epoch is worth, as it was chosen among all by its own noise.

    Args:
        curves: name of a seed to accuracy by epoch, of two seeds or more.
        checked: images of which each accuracy is the share.
    """
    epochs = sorted(next(iter(curves.values())))
    table: Numbers = np.array([[curve[epoch] for epoch in epochs] for curve in curves.values()])
    found = {}
    for i, (name, own) in enumerate(zip(curves, table, strict=True)):
        others = Roles(np.arange(len(table)) != i, f"curves for {name}")
        with choosing():
            place = int(others.rows(table).mean(0).argmax())
        best, last = (others.rows(table)[0, at] for at in (place, -1))
        found[name] = {
            "best": share(round(best * checked), checked).to_json(),
            "last": share(round(last * checked), checked).to_json(),
            "best_epoch": epochs[place],
            "highest": round(float(own.max()), 4),
            "epochs": epochs[-1],
            "checks": len(epochs),
        }
    return found


class Seed:
    """The rows of one seed, read once.

    Args:
        rows: of the seed.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.labels = rows, rows.labels()
        self.arms = [label.removeprefix("train.") for label in rows.labels("training")]

    def all(self) -> dict[str, Any]:
        """Part (a), and part (d) where it was run."""
        found: dict[str, Any] = {"ordering": self.ordering(ORDER, f"aa.{{}}-linf-{EPS:.6g}")}
        if MIXED[0] in self.arms:
            found["corruptions"] = self.corruptions(MIXED)
        return found

    def ordering(self, arms: list[str], condition: str) -> dict[str, Any]:
        """Clean and AutoAttack accuracy of each arm, and what the arm gains over the first, paired."""
        return {
            arm: {
                "clean": self.rows.accuracy(f"clean.{arm}"),
                "autoattack": self.rows.accuracy(condition.format(arm)),
                "gain": self.rows.difference(condition.format(arm), condition.format(arms[0])),
                "clean_gain": self.rows.difference(f"clean.{arm}", f"clean.{arms[0]}"),
            }
            for arm in arms
        }

    def curve(self, arm: str, name: str) -> dict[int, float]:
        """A figure of an arm by epoch, where it was checked."""
        rows = self.rows.table("training", f"train.{arm}").to_pylist()
        return {r["epoch"]: r["value"] for r in rows if r["name"] == name}

    def corruptions(self, arms: list[str]) -> dict[str, Any]:
        """Clean and mean corrupted accuracy of each arm, and the paired gain over the first."""
        base = self.mean_right(arms[0])
        found: dict[str, Any] = {}
        for arm in arms:
            mean = self.mean_right(arm)
            found[arm] = {
                "clean": self.rows.accuracy(f"clean.{arm}"),
                "corrupted": float(mean.mean()),
                "gain": paired_difference(base, mean, low=-1.0, high=1.0).to_json(),
                "clean_gain": self.rows.difference(f"clean.{arm}", f"clean.{arms[0]}"),
            }
        return found

    def mean_right(self, arm: str) -> Any:
        """Share of corruptions and severities under which each sample is predicted rightly."""
        return self.rows.shares(*(c for c in self.labels if c.startswith(f"{arm}.")))
