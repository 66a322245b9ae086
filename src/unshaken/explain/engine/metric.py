"""`MapMetric`: what a map is worth, sample by sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.registry import Parameters
from unshaken.explain.engine.run import AttributionResult

Again = Callable[[Tensor, Classifier | None, Tensor | None], AttributionResult]
"""The same method once more: other images `[N, C, H, W]`, another model, other classes `[N]` (None: as they were)."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Maps of N samples and all that they can be judged by.

    Args:
        model: the one explained, in evaluation mode.
        images: `[N, C, H, W]` in [0, 1].
        maps: `[N, H, W]`; a larger value counts more.
        classes: the classes explained, int64 `[N]`.
        labels: of the samples, int64 `[N]`; None without.
        truth: where the object is, bool `[N, H, W]`; None without. A sample whose mask is empty has none.
        boxes: for each sample its objects' boxes, float `[n, 4]` as (left, top, right, bottom) in pixels of `images`,
            the right and the lower end excluded; None without.
        again: makes maps by the same method once more; its passes count as the metric's.
        ids: of the samples.
        seed: of the run.
        limit: images in one pass at most.
    """

    model: Classifier
    images: Tensor
    maps: Tensor
    classes: Tensor
    ids: tuple[str, ...]
    again: Again
    labels: Tensor | None = None
    truth: Tensor | None = None
    boxes: Sequence[Tensor] | None = None
    seed: int = 0
    limit: int = 256


@dataclass(frozen=True, slots=True, eq=False)
class MapScores:
    """What a metric says of N maps.

    Args:
        value: float64 `[N]`; NaN where it says nothing, such as without a box or for a constant map.
        forwards: passes that it spent on each sample, int64 `[N]`.
        backwards: as `forwards`.
    """

    value: Tensor
    forwards: Tensor
    backwards: Tensor

    @classmethod
    def free(cls, value: Tensor) -> MapScores:
        """A value that took no pass."""
        none = torch.zeros(len(value), dtype=torch.int64)
        return cls(value.cpu().double(), none, none.clone())


class MapMetric(Parameters, ABC):
    """Base class of metrics of maps. A subclass writes `judge`.

    Class attributes: `needs`, of `boxes`, `truth`, `labels`, `gradient`; `higher`, whether a larger value is better.
    A value depends on the sample, its map and the seed, never on the others in the batch.
    """

    room: ClassVar[str] = "explain"
    group: ClassVar[str] = "metric"
    needs: ClassVar[frozenset[str]] = frozenset()
    higher: ClassVar[bool] = True

    @property
    def hits(self) -> bool:
        """Whether each value is 1 or 0, so that the mean is a share."""
        return False

    @abstractmethod
    def judge(self, case: Case) -> MapScores:
        """The value of each map.

        Args:
            case: with all that `needs` names.
        """
