"""Attacks and forward passes as outcome rows, with what each sample cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.core.batch import Batch, batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.context import Context, Renderer
from unshaken.core.oracle import Oracle, required
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part
from unshaken.core.search_copy import search_copy
from unshaken.run.adapters import rows_of
from unshaken.stress.engine.base import Stressor

Render = Callable[[str, Tensor], Tensor]
"""Renders a sample, by its id, from viewpoints; see `unshaken.run.rows.Context`."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Adversarial examples, and what their search cost.

    Args:
        images: `[N, C, H, W]`, inside the balls and [0, 1].
        method: registry name of the attack.
        norm: of the budget; None for an attack without one.
        eps: radius in [0, 1] pixel units under the norm; None likewise.
        forwards: passes spent on each sample, int64 `[N]`.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
    """

    images: Tensor
    method: str
    norm: str | None
    eps: float | None
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


def searched(
    model: Classifier, attack: Attack[Any], batch: Batch, *, norm: str, eps: float, seed: int, early: bool = False
) -> Examples:
    """The point that an attack ends with for each image, success or not.

    Args:
        model: searched.
        attack: a single search.
        batch: labelled images.
        norm: of the budget.
        eps: radius in [0, 1] pixel units under the norm.
        seed: of the search.
        early: end a sample's search with its first success, instead of after all steps.
    """
    found = find_end_points(model, attack, batch, norm=norm, eps=eps, seed=seed, early=early)
    return Examples(found.x, attack.info.name, norm, eps, found.forwards, found.backwards, found.seconds)


def accuracy_of(model: Classifier, images: Tensor, labels: Tensor | None) -> float:
    """The share of labelled images `[N, C, H, W]` that a model classifies correctly, for what is decided by it."""
    with evaluating(model):
        found = Oracle(model, limit=batch_for(images)).exact(images).argmax(1)
    return float((found == required(labels)).cpu().double().mean())


def predicted(condition: Condition, model: Classifier, batch: Batch, examples: Examples | None = None) -> Part:
    """The outcome rows of one exact forward pass; those of examples bear the cost of their search too.

    Args:
        condition: with its full id; that of examples gets their attack and budget.
        model: the classifier that is evaluated.
        batch: labelled images.
        examples: shown in the place of the images.
    """
    with evaluating(model):
        oracle = Oracle(model, limit=batch_for(batch.images))
        logits = oracle.exact(batch.images if examples is None else examples.images)
    each = oracle.meter.model_seconds / max(1, len(batch))
    if examples is None:
        return outcomes(condition, batch, logits, seconds=each)
    named = Condition(condition.id, examples.method, eps=examples.eps, norm=examples.norm)
    return outcomes(
        named, batch, logits, forwards=examples.forwards + 1, backwards=examples.backwards,
        seconds=examples.seconds + each,
    )  # fmt: skip


def read_examples(images: Mapping[str, Tensor], rows: pa.Table, batch: Batch) -> Examples:
    """Examples that were kept in a run directory, with the cost of their search.

    Args:
        images: by the sample's id.
        rows: outcomes of their condition.
        batch: the samples, all among those that were attacked.
    """
    names = ["id", "forwards", "backwards", "seconds"]
    costs = {i: cost for i, *cost in zip(*(rows[n].to_pylist() for n in names), strict=True)}
    forwards, backwards, seconds = torch.tensor([costs[i] for i in batch.ids], dtype=torch.float64).T
    method, norm, eps = (rows[n][0].as_py() for n in ("method", "norm", "eps"))
    found = torch.stack([images[i] for i in batch.ids])
    return Examples(found, method, norm, eps, forwards.long(), backwards.long(), seconds)


def evaluated(
    conditions: Sequence[Condition], method: Any, model: Classifier, batch: Batch, seed: int,
    render: Render | None = None,
) -> list[Part]:  # fmt: skip
    """The rows that a registered method makes of a model, as in an audit.

    An attack takes its budgets from small to large: what it finds in a smaller ball stands in the larger ones too.
    A stressor asks nothing of the model, so no copy is made for its searches.
    """
    with evaluating(model):
        quick = None if isinstance(method, Stressor) else search_copy(model, batch.images[:2])
        oracle = Oracle(model, search_copy=quick)
        context = Context(
            oracle, seed, oracle.exact(batch.images), resources={} if render is None else {Renderer: render}
        )
        parts: list[Part] = rows_of(method, batch, conditions, context)
    return parts
