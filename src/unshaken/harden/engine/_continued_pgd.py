"""PGD from given points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng


class ContinuedPGD(PGD):
    """PGD that continues from another search's end points; samples are identified by their random streams.

    Args:
        keys: int64 `[N]`, rising.
        points: `[N, C, H, W]` in the same order.
    """

    keys: Tensor
    points: Tensor

    @classmethod
    def from_points(cls, batch: Batch, points: Tensor, seed: int, settings: Mapping[str, Any]) -> ContinuedPGD:
        """Start each sample of a batch at its point.

        Args:
            batch: the samples.
            points: `[N, C, H, W]`.
            seed: of the run.
            settings: parameters of PGD.
        """
        keys, order = SampleRng.of(seed, PGD.info.name, batch.ids).keys.sort()
        return cls(keys=keys, points=points[order.to(points.device)], **settings)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        place = torch.searchsorted(self.keys, rng.keys.cpu())
        x = problem.ball.project(self.points[place.to(self.points.device)])
        return PGDState(problem, x, torch.zeros_like(problem.labels))
