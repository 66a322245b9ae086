"""Rows: the one form in which anything computed is kept."""

from __future__ import annotations

import re
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
from unshaken.core.oracle import Oracle
from unshaken.core.prediction import predict
from unshaken.run.flag import Flag as Flag

OUTCOMES = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("severity", pa.int32()),
        ("eps", pa.float64()),
        ("norm", pa.string()),
        ("label", pa.int64()),
        ("prediction", pa.int64()),
        ("confidence", pa.float32()),
        ("correct", pa.bool_()),
        ("loss", pa.float32()),
        ("logits", pa.list_(pa.float32())),
        ("distance", pa.float64()),
        ("survives_8bit", pa.bool_()),
        ("broken_by", pa.string()),
        ("step", pa.int64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)
FLAGS = pa.schema([(name, pa.string()) for name in ("name", "detail", "id", "meaning", "advice")])
COST = pa.schema(
    [
        ("step", pa.string()),
        ("shard", pa.int32()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("model_seconds", pa.float64()),
        ("method_seconds", pa.float64()),
        ("wall_seconds", pa.float64()),
        ("largest_batch", pa.int64()),
        ("back_offs", pa.int64()),
    ]
)
TURNS = pa.schema(
    [
        ("condition", pa.string()),
        ("turn", pa.int32()),
        ("attack", pa.string()),
        ("why", pa.string()),
        ("gradients", pa.bool_()),
        ("standing", pa.int64()),
        ("broken", pa.int64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
SCHEMAS: dict[str, pa.Schema] = {"outcomes": OUTCOMES, "turns": TURNS, "flags": FLAGS, "cost": COST}
"""Table name to columns; rooms that keep other rows enter theirs by `declare_table`."""


def declare_table(name: str, columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """Enter a table of rows.

    Args:
        name: unique over all rooms, letters and underscores.
        columns: name and type of each.

    Returns:
        Its schema.

    Raises:
        ValueError: another table has this name.
    """
    schema = pa.schema(columns)
    if not SCHEMAS.setdefault(name, schema).equals(schema):
        raise ValueError(f"the table {name!r} is declared already, with other columns: choose another name")
    return schema


@dataclass(frozen=True, slots=True)
class Condition:
    """One method at one severity or budget; `clean` is a condition, too.

    Args:
        id: unique in a run and fit for a file name, such as `fog-3` or `pgd-linf-0.1`.
        method: registry name, or `clean`.
        severity: 1 to 5 for stressors.
        eps: budget of an attack, in [0, 1] pixel units under `norm`.
        norm: `linf`, `l2` or `l1`.
    """

    id: str
    method: str
    severity: int | None = None
    eps: float | None = None
    norm: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._=+-]+", self.id):
            raise ValueError(f"condition id {self.id!r} cannot be used as a file name")


CLEAN = Condition("clean", "clean")

MODEL = "model"
"""The predictor that the rows of most methods evaluate; others name theirs by a property `subject`."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one condition for one shard's samples.

    Args:
        table: such as `outcomes`.
        condition: where the rows belong.
        columns: column name to values, one a sample; columns left out are null.
        images: gives what the model saw of some samples, by their indices: float32 `[n, C, H, W]`, for pictures.
        flags: doubts met on the way.
    """

    table: str
    condition: Condition
    columns: dict[str, Any]
    images: Callable[[Tensor], Tensor] | None = None
    flags: tuple[Flag, ...] = field(default=())


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


def table_of(part: Part) -> pa.Table:
    """The rows as a table of the schema, with the condition's own columns filled in."""
    schema, condition = SCHEMAS[part.table], part.condition
    n = len(next(iter(part.columns.values())))
    shared = {
        "condition": condition.id,
        "method": condition.method,
        "severity": condition.severity,
        "eps": condition.eps,
        "norm": condition.norm,
    }
    arrays = []
    for column in schema:
        if column.name in part.columns:
            arrays.append(pa.array(part.columns[column.name], type=column.type))
        elif shared.get(column.name) is not None:
            arrays.append(pa.array([shared[column.name]] * n, type=column.type))
        else:
            arrays.append(pa.nulls(n, type=column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


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
