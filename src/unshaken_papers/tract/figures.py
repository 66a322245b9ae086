"""Figures of the experiment with TrAct, from rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.measure import share
from unshaken.papers.effects import across_seeds
from unshaken.papers.roles import check_role, choosing
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.tract import ADAM, ARMS, TRANSFORMER, TrActPaper

BELOW = 0.02
"""How far below the plain run's last accuracy A lies."""


def figures(paper: TrActPaper, rows: Rows) -> dict[str, Any]:
    """Figures of each architecture: the sweep, and both arms at their best rates over all seeds."""
    curves, seeds = Curves(rows), rows.seeds(paper.seeds)
    return {arch: curves.architecture(arch, seeds) for arch in curves.architectures()}


class Curves:
    """Right predictions after each epoch, by architecture, arm, learning rate and seed.

    Args:
        rows: of the run.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.curves: dict[tuple[str, str, float, int], list[dict[str, Any]]] = defaultdict(list)
        for row in sorted(rows.table("epochs").to_pylist(), key=lambda r: r["epoch"]):
            self.curves[row["arch"], row["arm"], row["lr"], row["seed"]].append(row)

    def architectures(self) -> list[str]:
        """Their names: with SGD, with Adam, the transformer."""
        return sorted({arch for arch, *_ in self.curves}, key=lambda arch: (arch == TRANSFORMER, arch.endswith(ADAM)))

    def rates(self, arch: str, arm: str, seed: int) -> list[float]:
        """Learning rates of an arm, rising."""
        return sorted(lr for a, b, lr, s in self.curves if (a, b, s) == (arch, arm, seed))

    def best(self, arch: str, arm: str, seed: int) -> float:
        """The learning rate with the most right predictions in the end on the images kept for that; ties: the lower."""
        with choosing():
            return max(self.rates(arch, arm, seed), key=lambda lr: last(self.curves[arch, arm, lr, seed], "choosing"))

    def architecture(self, arch: str, seeds: Sequence[int]) -> dict[str, Any]:
        """Accuracy, epochs to A and their ratio, noise and contrast."""
        first = seeds[0]
        best = {arm: self.best(arch, arm, first) for arm in ARMS}
        sweep = {
            arm: {f"{lr:g}": self.final(arch, arm, lr, first) for lr in self.rates(arch, arm, first)} for arm in ARMS
        }
        by_seed = {f"seed{s}": self.pair(arch, best, s) for s in seeds}
        plain, ours = (np.array([p["final"][arm]["value"] for p in by_seed.values()]) for arm in ARMS)
        return {
            "best_lr": best,
            "sweep": sweep,
            **by_seed,
            "gain": across_seeds([self.gain_by_image(arch, best, s) for s in seeds]),
            "mean": {
                "plain": round(float(plain.mean()), 4),
                "tract": round(float(ours.mean()), 4),
                "seed_deviation": round(float(plain.std(ddof=1)) if len(plain) > 1 else 0.0, 4),
                "speed_up": round(float(np.mean([p["speed_up"] for p in by_seed.values()])), 3),
            },
            "at_equal_lr": self.equal(arch, first),
        }

    def final(self, arch: str, arm: str, lr: float, seed: int) -> dict[str, Any]:
        """Accuracy after the last epoch."""
        curve = self.curves[arch, arm, lr, seed]
        return share(last(curve, "right"), curve[-1]["images"]).to_json()

    def pair(self, arch: str, best: Mapping[str, float], seed: int) -> dict[str, Any]:
        """Both arms of one seed, each at its best learning rate."""
        runs = {arm: self.curves[arch, arm, best[arm], seed] for arm in ARMS}
        curves = {arm: accuracies(run) for arm, run in runs.items()}
        names = {arm: run[0]["condition"] for arm, run in runs.items()}
        under = {
            what: {arm: self.rows.accuracy(f"{names[arm]}.{what}") for arm in ARMS}
            for what in ("clean", "noise", "contrast")
        }
        gain = self.rows.difference(f"{names['tract']}.clean", f"{names['plain']}.clean")
        return {
            "final": {**under["clean"], "tract_minus_plain": gain},
            "noise": under["noise"],
            "contrast": under["contrast"],
            **speed(curves, {arm: median_seconds(run) for arm, run in runs.items()}),
            "curve": {arm: [round(v, 4) for v in curve] for arm, curve in curves.items()},
        }

    def gain_by_image(self, arch: str, best: Mapping[str, float], seed: int) -> Numbers:
        """What TrAct gains on each test image after the last epoch."""
        plain, tract = (
            self.rows.shares(f"{self.curves[arch, arm, best[arm], seed][0]['condition']}.clean") for arm in ARMS
        )
        return tract - plain

    def equal(self, arch: str, seed: int) -> dict[str, Any]:
        """Both arms at each learning rate of the sweep."""
        found = {}
        for lr in self.rates(arch, "plain", seed):
            if (arch, "tract", lr, seed) in self.curves:
                runs = {arm: self.curves[arch, arm, lr, seed] for arm in ARMS}
                seconds = {arm: median_seconds(run) for arm, run in runs.items()}
                found[f"{lr:g}"] = speed({arm: accuracies(run) for arm, run in runs.items()}, seconds)
        return found


def last(curve: Sequence[Mapping[str, Any]], images: str) -> int:
    """Right predictions after the last epoch.

    Args:
        curve: of a run.
        images: `choosing`, those on which the learning rate is chosen, or `right`, those that are reported.
    """
    check_role(images, chooses=images == "choosing")
    return int(curve[-1][images])


def accuracies(curve: Sequence[Mapping[str, Any]]) -> list[float]:
    """Accuracy on the test images after each epoch."""
    return [row["right"] / row["images"] for row in curve]


def median_seconds(curve: Sequence[Mapping[str, Any]]) -> float:
    """Processor time of the median epoch's steps."""
    return float(np.median([row["processor_seconds"] for row in curve]))


def speed(curves: Mapping[str, list[float]], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Epochs to A in each arm, and how many times fewer epochs and seconds TrAct needs.

    Args:
        curves: accuracy after each epoch, by arm.
        seconds: of one epoch, by arm.
    """
    goal = curves["plain"][-1] - BELOW
    needed = {arm: epochs_to(curves[arm], goal) for arm in ARMS}
    speed_up = 0.0 if needed["tract"] is None else (needed["plain"] or 0.0) / needed["tract"]
    cost = seconds["tract"] / max(seconds["plain"], 1e-9)
    return {
        "epochs_to": {arm: None if v is None else round(v, 3) for arm, v in needed.items()},
        "speed_up": round(speed_up, 3),
        "epoch_seconds_ratio": round(cost, 3),
        "time_speed_up": round(speed_up / max(cost, 1e-9), 3),
    }


def epochs_to(curve: Sequence[float], goal: float) -> float | None:
    """Epochs until an accuracy is first reached, linear between epochs; before the first it is 0. None: never.

    Args:
        curve: accuracy after each epoch.
        goal: the accuracy.

    >>> epochs_to([0.2, 0.4, 0.6], 0.5), epochs_to([0.2, 0.4], 0.1), epochs_to([0.2], 0.3)
    (2.5, 0.5, None)
    """
    before = 0.0
    for epoch, value in enumerate(curve):
        if value >= goal:
            return epoch + (0.0 if value == before else max(0.0, goal - before) / (value - before))
        before = value
    return None
