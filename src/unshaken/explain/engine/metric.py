"""`MapMetric`: the worth of a map, sample by sample, and the cases that it is judged by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from unshaken.core.batch import usual_batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.registry import Parameters, parse_method
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.run import AttributionResult, attribute

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
    """Values of a metric for N maps, and their cost.

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


def make_case(
    model: Classifier,
    images: Tensor,
    method: Attribution[Any] | str,
    *,
    classes: Tensor | None = None,
    labels: Tensor | None = None,
    truth: Tensor | None = None,
    boxes: Sequence[Tensor] | None = None,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> tuple[Case, AttributionResult]:
    """Make maps, ready to be judged.

    Args:
        model: a classifier.
        images: `[N, C, H, W]` in [0, 1].
        method: an attribution, or `NAME[:k=v,...]`.
        classes: the classes to explain, int64 `[N]`; default what the model predicts.
        labels: of the samples.
        truth: bool `[N, H, W]`, where the object is.
        boxes: for each sample `[n, 4]`; see `Case`.
        ids: one a sample; default its number.
        seed: of the run.
        limit: images in one pass at most; default `usual_batch`.

    Returns:
        The case, and what the maps cost.

    Raises:
        UnshakenError: as `attribute`.

    >>> import torch
    >>> from unshaken.explain import Deletion
    >>> from unshaken.models import load_model
    >>> case, _ = make_case(load_model("demo"), torch.rand(2, 1, 28, 28), "gradcam")
    >>> Deletion(steps=4).judge(case).forwards.tolist()
    [5, 5]
    """
    names = tuple(map(str, range(len(images))) if ids is None else ids)
    limit = limit or usual_batch(images[0].numel(), images.device)
    found = parse_method(method, "explain") if isinstance(method, str) else method
    options: dict[str, Any] = {"ids": names, "seed": seed, "limit": limit}
    first = attribute(model, images, found, classes=classes, **options)

    def again(other_images: Tensor, other: Classifier | None, others: Tensor | None) -> AttributionResult:
        chosen = first.classes if others is None else others
        return attribute(other or model, other_images, found, classes=chosen, **options)

    case = Case(
        model, images, first.maps, first.classes, names, again, labels=labels, truth=truth, boxes=boxes, seed=seed,
        limit=limit,
    )  # fmt: skip
    return case, first


def box_masks(boxes: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The pixels whose centre lies in a box of the sample.

    Args:
        boxes: for each sample `[n, 4]` as (left, top, right, bottom) in pixels, the right and lower end excluded.
        height: of the images.
        width: of the images.

    Returns:
        bool `[N, H, W]`.

    >>> box_masks([torch.tensor([[1.0, 0.0, 3.0, 1.0]])], 2, 4).int().tolist()
    [[[0, 1, 1, 0], [0, 0, 0, 0]]]
    """
    found = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    for mask, several in zip(found, boxes, strict=True):
        for left, top, right, bottom in several.tolist():
            mask |= ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    return found


def object_masks(case: Case, metric: str) -> Tensor:
    """Where the object of each sample is: its mask, or all its boxes.

    Args:
        case: with `truth`, or with `boxes`.
        metric: name of the one that asks, for the message.

    Returns:
        bool `[N, H, W]`, on the device of the maps.

    Raises:
        DataError: the case has neither.
    """
    if case.truth is not None:
        return case.truth.to(case.maps.device)
    if case.boxes is not None:
        return box_masks(case.boxes, *case.maps.shape[1:]).to(case.maps.device)
    raise DataError(f"{metric} needs to know where the object is: give boxes or masks (--boxes FILE)")
