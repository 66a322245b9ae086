"""Figures of the experiment with three heads, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from unshaken.harden.recipes.losses.three_heads_net import HEADS, Mode, decided, route
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Numbers, Rows, mean_of
from unshaken_papers.efficient_robustify import ARMS, CONDITIONS, EfficientRobustifyPaper


def figures(paper: EfficientRobustifyPaper, rows: Rows) -> dict[str, Any]:
    """Accuracies of every network and mode, routing, and cost."""
    return Figures(rows, paper.seeds).all()


class Figures:
    """The figures of a run.

    Args:
        rows: of the run.
        seeds: of all networks.
    """

    def __init__(self, rows: Rows, seeds: int) -> None:
        self.rows, self.seeds = rows, range(seeds)

    def all(self) -> dict[str, Any]:
        """Every network alone, each arm by mode, what the teacher adds, and the cost."""
        alone = {n: [self.correct(f"{n}{s}") for s in self.seeds] for n in ("original", "teacher", "full", "wise")}
        base = alone["original"]
        found: dict[str, Any] = {name: summary(parts, base) for name, parts in alone.items()}
        for arm in ARMS:
            by_mode = {mode: [self.decided(f"{arm}{s}", mode) for s in self.seeds] for mode in get_args(Mode)}
            found[arm] = {mode: summary(parts, base) for mode, parts in by_mode.items()}
            found[arm]["routing"] = self.routing(arm)
        found["teacher_effect"] = {head: self.effect(head) for head in ("unclean", "combined")}
        return found | {"cost": self.cost()}

    @cached_property
    def logits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits `[N, K]` and labels `[N]` by condition, in the order of writing."""
        found = ((label, self.rows.logits(label)) for label in self.rows.labels())
        return {label: (torch.from_numpy(z).float(), torch.from_numpy(y)) for label, (z, y) in found}

    def correct(self, name: str) -> Numbers:
        """Whether a network is correct, by condition and image, `[10, N]`."""
        found = [self.logits[f"{name}.model.on-{condition}"] for condition in CONDITIONS]
        return np.stack([(logits.argmax(1) == labels).double().numpy() for logits, labels in found])

    def decided(self, name: str, mode: Mode) -> Numbers:
        """Whether a mode of three heads is correct, by condition and image, `[10, N]`."""
        labels = self.logits[f"{name}.{HEADS[0]}.on-{CONDITIONS[0]}"][1]
        found = [decided(self.heads(name, condition), mode).argmax(1) == labels for condition in CONDITIONS]
        return np.stack([hits.double().numpy() for hits in found])

    def heads(self, name: str, condition: str) -> Tensor:
        """Logits of the heads, `[3, N, K]`."""
        return torch.stack([self.logits[f"{name}.{head}.on-{condition}"][0] for head in HEADS])

    def effect(self, head: Mode) -> dict[str, Any]:
        """Corrupted accuracy with a teacher minus that without."""
        three, plain = (np.stack([self.decided(f"{arm}{s}", head)[1:].mean(0) for s in self.seeds]) for arm in ARMS)
        return over(three - plain, low=-1.0)

    def routing(self, arm: str) -> dict[str, float]:
        """Shares of clean and of changed images that are sent to the clean head."""
        sent = [
            [float((route(self.heads(f"{arm}{s}", c)) == 0).double().mean()) for c in CONDITIONS] for s in self.seeds
        ]
        mean = np.mean(sent, 0)
        return {"clean_to_clean": round(float(mean[0]), 4), "changed_to_clean": round(float(mean[1:].mean()), 4)}

    def cost(self) -> dict[str, Any]:
        """Seconds of training (where it was done), parameters that learn, operations of a pass."""
        values = {row["id"]: row["value"] for row in self.rows.table("costs").to_pylist()}
        timed = ("large", "teacher", "full", *ARMS)
        seconds = {n: round(float(np.mean([values[f"{n}{s}.seconds"] for s in self.seeds])), 1) for n in timed}
        return {
            "seconds": seconds,
            "tunable_share": round(values["tunable_share"], 4),
            "flops_ratio": round(values["flops.three_heads"] / values["flops.original"], 4),
            "original_recovered": all(v == 1 for k, v in values.items() if k.endswith("original_recovered")),
        }


def over(values: Numbers, low: float) -> dict[str, Any]:
    """The mean of values `[S, N]` over seeds and images; of one seed over images alone."""
    return across_seeds(values, low=low) if len(values) > 1 else mean_of(values[0], low=low, high=1.0)


def summary(parts: Sequence[Numbers], base: Sequence[Numbers]) -> dict[str, Any]:
    """Clean and corrupted accuracy, means over seeds, and their differences from the original.

    Args:
        parts: one a seed, `[10, N]`, the first condition clean.
        base: the original's, likewise.
    """
    (clean, corrupted), before = (
        (np.stack([p[0] for p in every]), np.stack([p[1:].mean(0) for p in every])) for every in (parts, base)
    )
    found: dict[str, Any] = {
        "clean": over(clean, low=0.0),
        "corrupted": over(corrupted, low=0.0),
        "clean_minus_original": over(clean - before[0], low=-1.0),
        "corrupted_minus_original": over(corrupted - before[1], low=-1.0),
    }
    if len(parts) > 1:
        found["by_seed"] = [f"{p[0].mean():.4f} / {p[1:].mean():.4f}" for p in parts]
    return found
