"""Figures of the experiment with three heads, from rows alone."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import torch

from unshaken.harden.recipes.losses.three_heads_net import HEADS, Mode, decided, route
from unshaken.measure import accuracy, paired_difference
from unshaken.measure.statistics.columns import Numbers
from unshaken.papers._heads_run import ARMS, CHANGES
from unshaken.run.store import RunDir

CONDITIONS = ("clean-0", *(f"{kind}-{s:g}" for kind, strengths in CHANGES.items() for s in strengths))


class Figures:
    """The figures of a run.

    Args:
        run: where the rows are.
        seeds: of tuning.
    """

    def __init__(self, run: RunDir, seeds: int) -> None:
        self.seeds = seeds
        table = run.rows("outcomes", ["id", "condition", "label", "logits"]).sort_by("id")
        conditions = np.array(table["condition"].to_pylist(), dtype=object)
        logits = np.stack(table["logits"].to_numpy(zero_copy_only=False))
        labels = table["label"].to_numpy()
        self.logits: dict[str, torch.Tensor] = {}
        for name in set(conditions.tolist()):
            self.logits[name] = torch.from_numpy(logits[conditions == name])
            self.labels = torch.from_numpy(labels[conditions == name])
        self.values = {row["id"]: row["value"] for row in run.rows("costs").to_pylist()}

    def all(self) -> dict[str, Any]:
        """Accuracies of every network and mode, routing, and cost."""
        base = self.right("original")
        alone = ("original", "teacher", "full", "wise")
        found: dict[str, Any] = {name: self.of([self.right(name)], base) for name in alone}
        for arm in ARMS:
            for mode in get_args(Mode):
                rights = [self.right(f"{arm}{seed}", mode) for seed in range(self.seeds)]
                found.setdefault(arm, {})[mode] = self.of(rights, base)
            found[arm]["routing"] = self.routing(arm)
        found["teacher_effect"] = {head: self.effect(head) for head in ("unclean", "combined")}
        return found | {"cost": self.cost()}

    def right(self, label: str, mode: Mode | None = None) -> Numbers:
        """Right predictions by condition, `[10, N]`."""
        found = []
        for condition in CONDITIONS:
            if mode is None:
                logits = self.logits[f"{label}.model.on-{condition}"]
            else:
                logits = decided(self.stack(label, condition), mode)
            found.append((logits.argmax(1) == self.labels).double().numpy())
        return np.stack(found)

    def stack(self, label: str, condition: str) -> torch.Tensor:
        """Logits of the heads, `[3, N, K]`."""
        return torch.stack([self.logits[f"{label}.{head}.on-{condition}"] for head in HEADS])

    def of(self, rights: list[Numbers], base: Numbers) -> dict[str, Any]:
        """Clean and corrupted accuracy, means over seeds, and their differences from the original."""
        mean = np.mean(rights, 0)
        clean = accuracy(mean[0] > 0.5) if len(rights) == 1 else paired_difference(0 * mean[0], mean[0])
        corrupted = paired_difference(0 * mean[0], mean[1:].mean(0))
        found: dict[str, Any] = {"clean": clean.to_json(), "corrupted": corrupted.to_json()}
        if rights[0] is not base:
            found["clean_minus_original"] = paired_difference(base[0], mean[0]).to_json()
            found["corrupted_minus_original"] = paired_difference(base[1:].mean(0), mean[1:].mean(0)).to_json()
        if len(rights) > 1:
            found["by_seed"] = [f"{r[0].mean():.4f} / {r[1:].mean():.4f}" for r in rights]
        return found

    def effect(self, head: Mode) -> dict[str, Any]:
        """Corrupted accuracy with a teacher minus that without."""
        with_, without = (
            np.mean([self.right(f"{arm}{seed}", head)[1:].mean(0) for seed in range(self.seeds)], 0) for arm in ARMS
        )
        return paired_difference(without, with_).to_json()

    def routing(self, arm: str) -> dict[str, float]:
        """Shares of clean and of changed images that are sent to the clean head."""
        sent = [
            [float((route(self.stack(f"{arm}{seed}", c)) == 0).double().mean()) for c in CONDITIONS]
            for seed in range(self.seeds)
        ]
        mean = np.mean(sent, 0)
        return {"clean_to_clean": round(float(mean[0]), 4), "changed_to_clean": round(float(mean[1:].mean()), 4)}

    def cost(self) -> dict[str, Any]:
        """Seconds of training (where it was done), parameters that learn, operations of a pass."""

        def mean(arm: str) -> float:
            return round(float(np.mean([self.values[f"{arm}{s}.seconds"] for s in range(self.seeds)])), 1)

        recovered = [v for k, v in self.values.items() if k.endswith("original_recovered")]
        return {
            "seconds": {n: round(self.values[f"{n}.seconds"], 1) for n in ("large", "teacher", "full")}
            | {arm: mean(arm) for arm in ARMS},
            "tunable_share": round(self.values["tunable_share"], 4),
            "flops_ratio": round(self.values["flops.three_heads"] / self.values["flops.original"], 4),
            "original_recovered": all(v == 1 for v in recovered),
            "networks_from_cache": bool(self.values["from_cache"]),
        }
