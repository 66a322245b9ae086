"""Figures of the experiment with token attention, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken.measure import accuracy, paired_difference
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers._token_run import KINDS, MEASURES
from unshaken.run.store import RunDir

ARMS = ("plain", "tap", "adl", "tap+adl")


class Figures:
    """The figures of all seeds.

    Args:
        run: where the rows are.
        seeds: names in front of the conditions.
    """

    def __init__(self, run: RunDir, seeds: Sequence[str]) -> None:
        self.run, self.seeds = run, seeds
        self.table = run.rows("outcomes", ["id", "condition", "correct"])
        self.seen = run.rows("token_attention")

    def all(self) -> dict[str, Any]:
        """By seed, and over seeds each arm against the plain one."""
        found: dict[str, Any] = {seed: {arm: self.arm(seed, arm) for arm in ARMS} for seed in self.seeds}
        found["over_seeds"] = {arm: self.against_plain(arm) for arm in ARMS[1:]}
        return found

    def arm(self, seed: str, arm: str) -> dict[str, Any]:
        """Accuracy and attention of one continuation."""
        name = f"{seed}.{arm}"
        corrupted: dict[str, Any] = {kind: mean(self.corrupted(name, (kind,))) for kind in KINDS}
        corrupted["mean"] = mean(self.corrupted(name, tuple(KINDS)))
        return {
            "clean": accuracy(self.correct(f"{name}.clean")).to_json(),
            "corrupted": corrupted,
            "attention": self.attention(name),
            "scales": self.scales(name),
        }

    def against_plain(self, arm: str) -> dict[str, Any]:
        """This arm minus the plain one, on the same images of all seeds."""

        def gap(values: Any) -> dict[str, Any]:
            plain, other = (np.concatenate([values(f"{s}.{a}") for s in self.seeds]) for a in ("plain", arm))
            return paired_difference(plain, other).to_json()

        found = {"clean": gap(lambda name: self.correct(f"{name}.clean").astype(np.float64))}
        found["corrupted"] = gap(lambda name: self.corrupted(name, tuple(KINDS)))
        return found | {kind: gap(lambda name, kind=kind: self.corrupted(name, (kind,))) for kind in KINDS}

    def attention(self, name: str) -> dict[str, Any]:
        """Means over layers and images, and by layer: on clean images, stability by kind of corruption."""
        found: dict[str, Any] = {"stability": {}, "by_layer": {}}
        for kind, (_, severities) in KINDS.items():
            rows = self.seen.filter(pc.equal(self.seen["condition"], f"{name}.{kind}-{severities[-1]}"))
            layers = rows["layer"].to_numpy()
            last = int(layers.max()) + 1

            def by_layer(measure: str, rows: Any = rows, layers: Any = layers, last: int = last) -> list[float]:
                values = rows[measure].to_numpy()
                return [round(float(values[layers == i].mean()), 4) for i in range(last)]

            found["stability"][kind] = round(float(rows["stability"].to_numpy().mean()), 4)
            found["by_layer"][f"stability_{kind}"] = by_layer("stability")
            for measure in MEASURES:
                if measure != "stability":
                    found[measure] = round(float(rows[measure].to_numpy().mean()), 4)
                    found["by_layer"][measure] = by_layer(measure)
        return found

    def scales(self, name: str) -> list[list[float]]:
        """Shares of the pools by layer; none without pooling."""
        table = self.run.rows("token_scales")
        rows = table.filter(pc.equal(table["condition"], name)).to_pylist()
        count = max((r["layer"] for r in rows), default=-1) + 1
        return [[round(r["share"], 4) for r in rows if r["layer"] == i] for i in range(count)]

    def corrupted(self, name: str, kinds: Sequence[str]) -> Numbers:
        """Share of the corruptions under which each image is right, `[N]`."""
        labels = [f"{name}.{kind}-{s}" for kind in kinds for s in KINDS[kind][1]]
        return np.asarray(np.mean([self.correct(label) for label in labels], 0), np.float64)

    def correct(self, label: str) -> Flags:
        """Right predictions under a condition, in the order of ids."""
        rows = self.table.filter(pc.equal(self.table["condition"], label)).sort_by("id")
        return np.asarray(rows["correct"].to_numpy(zero_copy_only=False), bool)


def mean(values: Numbers) -> dict[str, Any]:
    """A mean over images with its interval, as JSON."""
    return paired_difference(np.zeros(len(values)), values).to_json()
