"""Figures and rows of attacks on a guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part, name_condition
from unshaken.core.tables import declare_table
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.paired import compare, paired_difference

declare_table("looks", "id string, condition string, method string, eps double, norm string, looks int32, right int32")
"""One row an image: the passes of a random guard, and in how many it was right."""


def _none() -> Tensor:
    return torch.zeros(0)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make examples, shown to the guard.

    Args:
        name: of the way.
        images: `[N, C, H, W]`.
        right: int64 `[N]`: passes in which the guard was right.
        logits: `[N, K]` of the first pass.
        distance: norm of the change, float64 `[N]`.
        broken_by: for each sample the way that its image comes from.
        forwards: passes spent on each sample, `[N]`, or empty for none.
        backwards: as `forwards`.
        seconds: as `forwards`.
    """

    name: str
    images: Tensor
    right: Tensor
    logits: Tensor
    distance: Tensor
    broken_by: tuple[str, ...]
    forwards: Tensor = field(default_factory=_none)
    backwards: Tensor = field(default_factory=_none)
    seconds: Tensor = field(default_factory=_none)


def joined(name: str, ways: Sequence[Way]) -> Way:
    """For each sample the way by which the guard is right least often, the first of equals; costs add up."""
    right = torch.stack([w.right for w in ways])
    rows, pick = torch.arange(right.shape[1], device=right.device), right.argmin(0)

    def taken(values: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(values))[pick, rows]

    def spent(values: Sequence[Tensor]) -> Tensor:
        paid = [v for v in values if len(v)]
        return torch.stack(paid).sum(0) if paid else _none()

    by = tuple(ways[int(w)].broken_by[i] for i, w in enumerate(pick))
    return Way(
        name,
        taken([w.images for w in ways]),
        taken([w.right for w in ways]),
        taken([w.logits for w in ways]),
        taken([w.distance for w in ways]),
        by,
        spent([w.forwards for w in ways]),
        spent([w.backwards for w in ways]),
        spent([w.seconds for w in ways]),
    )


@dataclass(frozen=True, slots=True)
class GuardUnderAttack:
    """A guard under attack, at one radius.

    Args:
        batch: the samples.
        attack: registry name of the search.
        norm: of the budget.
        eps: radius in [0, 1] pixel units.
        looks: passes of each judgement; 1 for a guard without randomness.
        clean: the unchanged images.
        ways: each way by its name: `bare`, `direct`, the surrogates', `onward`.
        naive: the worse of clean and bare.
        adaptive: the worst of all.
    """

    batch: Batch
    attack: str
    norm: str
    eps: float
    looks: int
    clean: Way
    ways: dict[str, Way]
    naive: Way
    adaptive: Way

    def accuracy(self, way: Way) -> Figure:
        """How often the guard is right: a share of the samples, or for a random guard the mean of their shares."""
        if self.looks == 1:
            return share(int(way.right.sum()), len(way.right))
        return mean_figure(self.shares(way), low=0.0, high=1.0)

    def shares(self, way: Way) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Share of right passes, `[N]`."""
        return way.right.cpu().double().numpy() / self.looks

    @property
    def overestimate(self) -> Figure:
        """By how much the naive accuracy exceeds the adaptive one, on the same samples."""
        if self.looks == 1:
            right = [(w.right.cpu().numpy() > 0) for w in (self.adaptive, self.naive)]
            return compare(*right).difference
        return paired_difference(self.shares(self.adaptive), self.shares(self.naive), low=-1.0, high=1.0)

    @property
    def figures(self) -> dict[str, Figure]:
        """Accuracy unchanged, under each way, naive and adaptive, and the overestimate."""
        found = {way.name: self.accuracy(way) for way in (self.clean, *self.ways.values(), self.naive, self.adaptive)}
        return {**found, "overestimate": self.overestimate}

    def parts(self, label: str) -> list[Part]:
        """Rows of every way as attack conditions `<label>.<way>-<norm>-<eps>`, those of `clean` without a budget.

        The prediction is that of the first pass; a random guard's other passes are counted in the table `looks`.

        Args:
            label: in front of all conditions.
        """
        found = []
        for way in (self.clean, *self.ways.values(), self.naive, self.adaptive):
            condition = (
                Condition(f"{label}.clean", "clean")
                if way is self.clean
                else Condition(
                    name_condition(f"{label}.{way.name}", self.norm, self.eps),
                    self.attack,
                    eps=self.eps,
                    norm=self.norm,
                )
            )
            if self.looks > 1:
                columns = {
                    "id": list(self.batch.ids),
                    "looks": [self.looks] * len(way.right),
                    "right": way.right.tolist(),
                }
                found.append(Part("looks", condition, columns))
            found.append(
                outcomes(
                    condition,
                    self.batch,
                    way.logits,
                    forwards=way.forwards if len(way.forwards) else self.looks,
                    backwards=way.backwards if len(way.backwards) else 0,
                    seconds=way.seconds if len(way.seconds) else 0.0,
                    distance=None if way is self.clean else way.distance,
                    broken_by=None if way is self.clean else _breakers(way, self.looks),
                    images=way.images.__getitem__,
                )
            )
        return found


def _breakers(way: Way, looks: int) -> list[str | None]:
    """Way that each sample's image came from, where the guard is wrong in most passes; None elsewhere."""
    return [name if 2 * right < looks else None for name, right in zip(way.broken_by, way.right.tolist(), strict=True)]
