"""Rows: the one form in which anything computed is kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.device import widen
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.part import Condition, Part
from unshaken.core.prediction import predict


def _make(key: Hashable, make: Callable[[], Any]) -> Any:
    return make()


def _none(condition: Condition, batch: Batch) -> None:
    return None


class MakeRows(Protocol):
    """Makes rows of a model's outputs, as `unshaken.run.task.Task.rows` does."""

    def __call__(self, condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
        """One part of `outcomes`, and parts of other tables."""


def _outcomes(condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
    return [outcomes(condition, batch, outputs, **columns)]


@dataclass(frozen=True, slots=True)
class Context:
    """The runner's side of a method: oracle, seed, clean logits, and whatever else its rows are computed with.

    Args:
        oracle: runs the model and counts its passes.
        seed: the run seed.
        clean: logits `[N, K]` of the unchanged images, already paid for.
        reference: gives the run's first samples, the same in every part of the run; None outside a run.
        samples: in the whole run; 0 when unknown.
        journal: gives, for a condition, where its finished samples are kept until its rows are written; None outside a
            run.
        once: `once(key, make)` returns what `make` made at the run's first call with this key, such as detectors read
            from a folder; kept as long as the run is under way, and made anew at each call outside a run.
        files: gives, for a corruption whose images come with the data as files, the samples as these show them, and
            the reason by id for those that cannot be read; None where the images are to be made.
        rows: makes rows of the model's outputs; see `unshaken.run.task`. Those of `outcomes` where none is given.
        object_masks: gives, from a folder of masks as large as the photos, where the objects of samples (ids) are in
            what the model sees, bool `[N, H, W]`; None outside a run.
        render: gives pictures `[n, C, H, W]` of a sample, by its id, from viewpoints `[n, 6]`, as the model is shown
            samples; None where the samples are no objects.
        photo_map: gives, from a sample's id and numbers of the pixels of its photo, `[H, W]`, those of what the model
            sees; None outside a run.
    """

    oracle: Oracle
    seed: int
    clean: Tensor
    reference: Callable[[], Batch] | None = None
    samples: int = 0
    journal: Callable[[str], Journal] | None = None
    once: Callable[[Hashable, Callable[[], Any]], Any] = field(default=_make, repr=False)
    files: Callable[[Condition, Batch], tuple[Batch | None, dict[str, str]] | None] = field(default=_none, repr=False)
    rows: MakeRows = field(default=_outcomes, repr=False)
    object_masks: Callable[[str, Sequence[str]], Tensor] | None = None
    render: Callable[[str, Tensor], Tensor] | None = field(default=None, repr=False)
    photo_map: Callable[[str, NDArray[np.float64]], NDArray[np.float64]] | None = None


class Journal(Protocol):
    """Stores finished samples of a shard, so that an interruption costs seconds and not the shard."""

    def found(self) -> dict[str, dict[str, Any]]:
        """Sample id to what was kept of it."""

    def keep(self, sample: str, record: dict[str, Any]) -> None:
        """A sample is finished; its record is JSON."""

    def flush(self) -> None:
        """Write what is waiting."""


class Evaluable(Protocol):
    """Interface of methods that a run can execute; each room's base class implements it."""

    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        """The conditions of one line of a plan. `label` is the method's name, made unique within the plan."""

    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        """The rows of one shard, one part a condition."""


def outcomes(
    condition: Condition,
    batch: Batch,
    logits: Tensor,
    *,
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
    confidence, prediction = probabilities.amax(1), predict(logits)
    columns: dict[str, Any] = {
        "id": list(batch.ids),
        "prediction": prediction.numpy(),
        "confidence": confidence.numpy(),
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.flatten().numpy()), logits.shape[1]).cast(
            pa.list_(pa.float32())
        ),
        **cost_columns(n, forwards=forwards, backwards=backwards, seconds=seconds),
    }
    if batch.labels is not None:
        labels = batch.labels.cpu()
        columns |= {
            "label": labels.numpy(),
            "correct": (prediction == labels).numpy(),
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
