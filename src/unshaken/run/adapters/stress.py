"""Stressors in a run: a condition a severity, and the model's answers for the changed images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.boxes import join_boxes
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part
from unshaken.run.adapters import Line, conditions_of, rows_of, task_rows
from unshaken.run.published import CorruptedFiles
from unshaken.store.tables import table_of
from unshaken.stress.engine.attribute_edit import AttributeEdit, describe
from unshaken.stress.engine.base import Stressor

_SHARED = ("condition", "method", "severity", "eps", "norm")
"""Columns that the condition of a part fills in."""


@conditions_of.register
def _(method: Stressor, line: Line) -> list[Condition]:
    name = method.info.name
    method.require()
    if line.eps:
        raise ParameterError(f"{name}: a stressor has severities, not eps")
    for severity in line.severities:
        method.check_severity(severity)
    return [Condition(f"{line.label}-{s}", name, severity=s) for s in (line.severities or method.severities)]


@rows_of.register
def _(method: Stressor, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    own = method.with_resources(context.resources)
    bad = own.problems(batch)
    good = batch[torch.tensor([name not in bad for name in batch.ids])] if bad else batch
    if not len(good):
        return [with_errors(Part("outcomes", condition, {"id": []}), bad) for condition in conditions]
    parts = [part for condition in conditions for part in _rows(own, good, condition, context)]
    parts = [with_errors(part, bad) if part.table == "outcomes" else part for part in parts]
    return _flagged(own, parts, batch, conditions, context)


@rows_of.register
def _(method: AttributeEdit, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    own = method.with_resources(context.resources)
    parts = [part for condition in conditions for part in _edited_rows(own, batch, condition, context)]
    return _flagged(own, parts, batch, conditions, context)


def _flagged(
    method: Stressor, parts: list[Part], batch: Batch, conditions: Sequence[Condition], context: Context
) -> list[Part]:
    found = method.flags(batch, [c.severity or 0 for c in conditions], context.seed)
    return [replace(parts[0], flags=(*parts[0].flags, *found)), *parts[1:]] if parts and found else parts


def _rows(method: Stressor, batch: Batch, condition: Condition, context: Context) -> list[Part]:
    files = context.find(CorruptedFiles)
    if files is not None and condition.id in files.conditions:
        return _rows_of_files(condition, *files.read(condition, batch), context)
    oracle, severity, began = context.oracle, condition.severity or 0, time.perf_counter()
    outputs, truths, size = [], [], oracle.limit
    for first in range(0, len(batch), size):
        with oracle.meter.method():
            changed = method.apply(batch[slice(first, first + size)], severity, context.seed)
        outputs.append(oracle.exact(changed.images))
        truths.append((changed.labels, changed.boxes))
    return task_rows(
        context,
        condition,
        with_truth(batch, truths),
        torch.cat(outputs),
        seconds=(time.perf_counter() - began) / len(batch),
        images=lambda rows: method.apply(batch[rows], severity, context.seed).images,
    )


def _rows_of_files(condition: Condition, changed: Batch | None, bad: Mapping[str, str], context: Context) -> list[Part]:
    """Rows of samples as files show them, and of those that cannot be read."""
    if changed is None:
        return [with_errors(Part("outcomes", condition, {"id": []}), bad)]
    began = time.perf_counter()
    outputs = context.oracle.exact(changed.images)
    seconds = (time.perf_counter() - began) / len(changed)
    parts = task_rows(context, condition, changed, outputs, seconds=seconds, images=lambda rows: changed.images[rows])
    return [with_errors(part, bad) if part.table == "outcomes" else part for part in parts]


def _edited_rows(method: AttributeEdit, batch: Batch, condition: Condition, context: Context) -> list[Part]:
    oracle, severity, began = context.oracle, condition.severity or 0, time.perf_counter()
    logits, rows, reasons = list[Tensor](), list[dict[str, Any]](), dict[str, str]()
    for first in range(0, len(batch), oracle.limit):
        piece = batch[slice(first, first + oracle.limit)]
        with oracle.meter.method():
            started = time.perf_counter()
            made, masks = method.edits(piece, severity, context.seed)
            each = (time.perf_counter() - started) / len(piece)
            rows += [{**row, "seconds": each} for row in describe(piece, masks, made)]
        good = torch.tensor([i not in made.problems for i in range(len(piece))])
        reasons |= {piece.ids[i]: reason for i, reason in made.problems.items()}
        if bool(good.any()):
            logits.append(oracle.exact(made.images.to(piece.images)[good]))
    seconds = (time.perf_counter() - began) / len(batch)
    table = Part("attribute_edits", condition, {name: [row[name] for row in rows] for name in rows[0]})
    edited = batch[torch.tensor([name not in reasons for name in batch.ids])]
    if not logits:
        return [with_errors(Part("outcomes", condition, {"id": []}), reasons), table]
    part = outcomes(
        condition,
        edited,
        torch.cat(logits),
        seconds=seconds,
        images=lambda rows: method.apply(edited[rows], severity, context.seed).images,
    )
    return [with_errors(part, reasons), table]


def with_truth(batch: Batch, truths: Sequence[tuple[Tensor | None, Tensor | None]]) -> Batch:
    """The samples with the labels and boxes of their changed images, given piece by piece.

    Args:
        batch: the samples as they were.
        truths: of each piece labels and boxes, None where there are none.
    """
    labels, boxes = ([one[place] for one in truths if one[place] is not None] for place in (0, 1))
    return replace(
        batch,
        labels=torch.cat([x for x in labels if x is not None]) if labels else batch.labels,
        boxes=join_boxes([x for x in boxes if x is not None]) if boxes else batch.boxes,
    )


def with_errors(part: Part, reasons: Mapping[str, str]) -> Part:
    """The rows of a part, and one for each sample that could not be used; without pictures where there are such.

    Args:
        part: its rows.
        reasons: by the sample's id.
    """
    if not reasons:
        return part
    rows = [{k: v for k, v in row.items() if v is not None} for row in table_of(part).to_pylist()]
    rows += [{"id": name, "error": reason} for name, reason in reasons.items()]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}
    own = {name: values for name, values in columns.items() if name not in _SHARED}
    return replace(part, columns=own, images=None)
