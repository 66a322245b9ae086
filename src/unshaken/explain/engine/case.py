"""`make_case`: the maps of one method with all that metrics judge them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from unshaken.core.batch import usual_batch
from unshaken.core.classifier import Classifier
from unshaken.core.registry import parse_method
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.metric import Case
from unshaken.explain.engine.run import AttributionResult, attribute


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
