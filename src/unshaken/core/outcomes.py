"""`outcomes`: the rows of predictions, the table that every run has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.flag import Flag
from unshaken.core.part import Condition, Part


def outcomes(
    condition: Condition,
    batch: Batch,
    logits: Tensor,
    *,
    prediction: Tensor | None = None,
    abstained: Tensor | None = None,
    forwards: Tensor | int = 1,
    backwards: Tensor | int = 0,
    seconds: Tensor | float = 0.0,
    distance: Tensor | None = None,
    survives_8bit: Tensor | None = None,
    broken_by: Sequence[str | None] | None = None,
    step: Tensor | None = None,
    images: Callable[[Tensor], Tensor] | None = None,
    flags: Sequence[Flag] = (),
) -> Part:
    """The `outcomes` rows of predictions.

    Args:
        condition: where the rows belong.
        batch: the samples; without labels `correct` and `loss` are null.
        logits: `[N, K]` from the exact model.
        prediction: int64 `[N]`, the answer of a classifier that does not give the largest logit, as one that chose its
            class by other votes; None for the largest logit.
        abstained: bool `[N]`: it gave no answer, which is not `correct`; None for never.
        forwards: passes a sample.
        backwards: passes a sample.
        seconds: a sample's share of the time.
        distance: norm of the change, `[N]`; null where infinite.
        survives_8bit: bool `[N]`, or -1 as int8 where it does not apply.
        broken_by: which of several searches broke each sample, or None.
        step: of that search, `[N]`; kept where `broken_by` names one.
        images: gives what the model saw of some samples.
        flags: doubts met on the way.
    """
    n = len(batch)
    logits = logits.float().cpu()
    probabilities = logits.softmax(1)
    answer = predict(logits) if prediction is None else prediction.cpu()
    confidence = probabilities.gather(1, answer.clamp_min(0)[:, None]).squeeze(1)
    columns: dict[str, Any] = {
        "id": list(batch.ids),
        "prediction": answer.numpy(),
        "confidence": confidence.numpy(),
        "logits": logits.numpy(),
        **cost_columns(n, forwards=forwards, backwards=backwards, seconds=seconds),
    }
    if batch.labels is not None:
        labels = batch.labels.cpu()
        correct = answer == labels if abstained is None else (answer == labels) & ~abstained.cpu()
        columns |= {
            "label": labels.numpy(),
            "correct": correct.numpy(),
            "loss": F.cross_entropy(logits, labels, reduction="none").numpy(),
        }
    if distance is not None:
        columns["distance"] = [d if d < float("inf") else None for d in distance.cpu().double().tolist()]
    if survives_8bit is not None:
        kept = survives_8bit.to(torch.int8).cpu().tolist()
        columns["survives_8bit"] = [None if v < 0 else bool(v) for v in kept]
    if broken_by is not None:
        columns["broken_by"] = list(broken_by)
    if broken_by is not None and step is not None:
        columns["step"] = [None if b in (None, "clean") else s for b, s in zip(broken_by, step.tolist(), strict=True)]
    return Part("outcomes", condition, columns, images, tuple(flags))


def cost_columns(
    n: int, *, forwards: Tensor | int = 1, backwards: Tensor | int = 0, seconds: Tensor | float = 0.0
) -> dict[str, Any]:
    """Columns of the cost of n samples: passes, and its share of the time."""
    return {
        "forwards": _column(forwards, n).long().numpy(),
        "backwards": _column(backwards, n).long().numpy(),
        "seconds": widen(_column(seconds, n)).numpy(),
    }


def _column(values: Tensor | float, n: int) -> Tensor:
    return values.cpu() if isinstance(values, Tensor) else torch.full((n,), float(values))
