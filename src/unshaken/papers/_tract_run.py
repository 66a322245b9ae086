"""The runs of the experiment with TrAct as rows, and the figures from these rows alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import Oracle
from unshaken.measure import accuracy, compare, share
from unshaken.papers._tract_nets import ARMS, Arm, Pictures, Trained
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes
from unshaken.run.store import RunDir
from unshaken.stress.corruptions.contrast import contrast
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise

SCHEMAS["epochs"] = pa.schema(
    [
        ("condition", pa.string()),
        ("arch", pa.string()),
        ("arm", pa.string()),
        ("lr", pa.float64()),
        ("seed", pa.int64()),
        ("epoch", pa.int64()),
        ("right", pa.int64()),
        ("images", pa.int64()),
        ("choosing", pa.int64()),
        ("chosen_from", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
"""One row an epoch of a run: right answers on the test images, and on those that learning rates are chosen on."""

BELOW = 0.02
"""How far below the plain run's last accuracy A lies."""
CONTRAST = 0.25
FEW = 2500
"""Test images under noise and contrast, at most."""


def keep_run(bench: Bench, arm: Arm, run: Trained, pictures: Pictures) -> None:
    """Put the curve of a run, and its predictions in the end: clean, under noise of deviation .08, at low contrast."""
    if bench.run.has_rows("epochs", arm.name, 0):
        return
    few = pictures.test[slice(0, FEW)]
    shown: dict[str, Batch] = {
        "clean": pictures.test,
        "noise": GaussianNoise(preset="imagenet").apply(few, 1, bench.seed),
        "contrast": few.with_images(contrast(few.images, CONTRAST)),
    }
    parts = []
    with evaluating(run.model):
        for name, batch in shown.items():
            logits = Oracle(run.model, limit=500).exact(batch.images)
            parts.append(outcomes(Condition(f"{arm.name}.{name}", name), batch, logits))
    n = len(run.right)
    columns: dict[str, Any] = {
        "arch": [arm.arch] * n,
        "arm": [arm.arm] * n,
        "lr": [arm.lr] * n,
        "seed": [arm.seed] * n,
        "epoch": list(range(1, n + 1)),
        "right": run.right,
        "images": [len(pictures.test)] * n,
        "choosing": run.choosing,
        "chosen_from": [len(pictures.choosing)] * n,
        "seconds": [run.seconds] * n,
    }
    bench.keep([*parts, Part("epochs", Condition(arm.name, arm.arm), columns)], 0)


class Figures:
    """The figures of an experiment.

    Args:
        run: where the rows are.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.curves: dict[tuple[str, str, float, int], list[dict[str, Any]]] = defaultdict(list)
        for row in sorted(run.rows("epochs").to_pylist(), key=lambda r: r["epoch"]):
            self.curves[row["arch"], row["arm"], row["lr"], row["seed"]].append(row)
        self.right = run.rows("outcomes", ["id", "condition", "correct"])

    def best(self, arch: str, arm: str, seed: int) -> float:
        """The learning rate with the most right answers in the end on the images kept for that; ties: the lower."""
        rates = sorted(lr for a, b, lr, s in self.curves if (a, b, s) == (arch, arm, seed))
        return max(rates, key=lambda lr: self.curves[arch, arm, lr, seed][-1]["choosing"])

    def all(self, archs: list[str], seeds: list[int]) -> dict[str, Any]:
        """Of each architecture: the sweep, and both arms at their best rates over all seeds."""
        return {arch.rpartition(":")[2]: self.architecture(arch, seeds) for arch in archs}

    def architecture(self, arch: str, seeds: list[int]) -> dict[str, Any]:
        """Accuracy, epochs to A and their ratio, noise and contrast."""
        best = {arm: self.best(arch, arm, seeds[0]) for arm in ARMS}
        sweep = {
            arm: {
                f"{lr:g}": self.final(rows[-1]).to_json()
                for (a, b, lr, s), rows in sorted(self.curves.items())
                if (a, b, s) == (arch, arm, seeds[0])
            }
            for arm in ARMS
        }
        by_seed = {f"seed{s}": self.pair(arch, best, s) for s in seeds}
        plain, turned = (np.array([p["final"][arm]["value"] for p in by_seed.values()]) for arm in ARMS)
        speeds = [p["speed_up"] for p in by_seed.values()]
        return {
            "best_lr": best,
            "sweep": sweep,
            **by_seed,
            "mean": {
                "plain": round(float(plain.mean()), 4),
                "tract": round(float(turned.mean()), 4),
                "seed_deviation": round(float(plain.std(ddof=1)) if len(plain) > 1 else 0.0, 4),
                "speed_up": round(float(np.mean(speeds)), 3),
            },
            "at_equal_lr": self.equal(arch, seeds[0]),
        }

    def pair(self, arch: str, best: dict[str, float], seed: int) -> dict[str, Any]:
        """Both arms of one seed, each at its best learning rate."""
        rows = {arm: self.curves[arch, arm, best[arm], seed] for arm in ARMS}
        curves = {arm: [r["right"] / r["images"] for r in rows[arm]] for arm in ARMS}
        names = {arm: rows[arm][0]["condition"] for arm in ARMS}
        found: dict[str, Any] = {
            "final": {arm: accuracy(self.correct(f"{names[arm]}.clean")).to_json() for arm in ARMS}
        }
        found["final"]["tract_minus_plain"] = compare(
            *(self.correct(f"{names[arm]}.clean") for arm in ARMS)
        ).difference.to_json()
        for name in ("noise", "contrast"):
            found[name] = {arm: accuracy(self.correct(f"{names[arm]}.{name}")).to_json() for arm in ARMS}
        return found | self.speed(curves) | {"curve": {arm: [round(v, 4) for v in curves[arm]] for arm in ARMS}}

    def equal(self, arch: str, seed: int) -> dict[str, Any]:
        """Both arms at each learning rate of the sweep."""
        found = {}
        for lr in sorted(lr for a, b, lr, s in self.curves if (a, b, s) == (arch, "plain", seed)):
            if (arch, "tract", lr, seed) not in self.curves:
                continue
            rows = {arm: self.curves[arch, arm, lr, seed] for arm in ARMS}
            curves = {arm: [r["right"] / r["images"] for r in rows[arm]] for arm in ARMS}
            ratio = rows["tract"][0]["seconds"] / max(rows["plain"][0]["seconds"], 1e-9)
            found[f"{lr:g}"] = self.speed(curves) | {"seconds_ratio": round(ratio, 3)}
        return found

    @staticmethod
    def speed(curves: dict[str, list[float]]) -> dict[str, Any]:
        """Epochs to A in each arm, and how many times fewer TrAct needs."""
        goal = curves["plain"][-1] - BELOW
        needed = {arm: epochs_to(curves[arm], goal) for arm in ARMS}
        speed_up = 0.0 if needed["tract"] is None else (needed["plain"] or 0.0) / needed["tract"]
        rounded = {arm: None if v is None else round(v, 3) for arm, v in needed.items()}
        return {"epochs_to": rounded, "speed_up": round(speed_up, 3)}

    def final(self, row: dict[str, Any]) -> Any:
        """Accuracy after the last epoch."""
        return share(row["right"], row["images"])

    def correct(self, condition: str) -> Any:
        """Right predictions under a condition, samples in the order of their ids."""
        rows = self.right.filter(pc.equal(self.right["condition"], condition)).sort_by("id")
        return np.asarray(rows["correct"].to_numpy(zero_copy_only=False), bool)


def epochs_to(curve: list[float], goal: float) -> float | None:
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
