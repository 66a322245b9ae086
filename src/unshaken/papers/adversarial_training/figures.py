"""Figures of the experiment with training recipes, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure import paired_difference
from unshaken.papers.adversarial_training import EPS, MIXED, ORDER, AdversarialTrainingPaper
from unshaken.papers.frame.rows import Rows


def figures(paper: AdversarialTrainingPaper, rows: Rows) -> dict[str, Any]:
    """The parts that were run."""
    return Figures(rows).all()


class Figures:
    """The rows of a run, read once.

    Args:
        rows: of the run.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.labels = rows, rows.labels()
        self.epochs = rows.table("training").to_pylist()

    def all(self) -> dict[str, Any]:
        """Part (a), and the other three where they were run."""
        found: dict[str, Any] = {"ordering": self.ordering(ORDER, f"aa.{{}}-linf-{EPS:.6g}")}
        if not self.curve("far-fgsm", "train_robust"):
            return found
        found["catastrophic"] = {
            name: self.course(f"far-{name}", "train_robust")
            | {"flagged": self.flagged(f"far-{name}", "catastrophic-overfitting")}
            for name in ("fgsm", "n-fgsm")
        }
        found["robust_overfitting"] = {
            name: self.course(f"long-{name}", "held_robust")
            | {"train_last": self.curve(f"long-{name}", "train_robust")[-1]}
            | {"flagged": self.flagged(f"long-{name}", "robust-overfitting")}
            for name in ("at", "awp", "ema")
        }
        found["corruptions"] = self.corruptions(MIXED)
        return found

    def ordering(self, arms: list[str], condition: str) -> dict[str, Any]:
        """Clean and AutoAttack accuracy of each arm, and what the arm gains over the first, paired."""
        return {
            arm: {
                "clean": self.rows.accuracy(f"clean.{arm}"),
                "autoattack": self.rows.accuracy(condition.format(arm)),
                "gain": self.rows.difference(condition.format(arm), condition.format(arms[0])),
            }
            for arm in arms
        }

    def curve(self, arm: str, name: str) -> list[float]:
        """A figure over the epochs of an arm."""
        rows = [(r["epoch"], r["value"]) for r in self.epochs if r["condition"] == f"train.{arm}" and r["name"] == name]
        return [value for _, value in sorted(rows)]

    def flagged(self, arm: str, flag: str) -> bool:
        """Whether a monitor raised a flag."""
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
                "clean": self.rows.accuracy(f"clean.{arm}"),
                "corrupted": float(mean.mean()),
                "gain": paired_difference(base, mean).to_json(),
                "clean_gain": self.rows.difference(f"clean.{arm}", f"clean.{arms[0]}"),
            }
        return found

    def mean_right(self, arm: str) -> Any:
        """Share of corruptions and severities under which each sample is predicted rightly."""
        return self.rows.shares(*(c for c in self.labels if c.startswith(f"{arm}.")))
