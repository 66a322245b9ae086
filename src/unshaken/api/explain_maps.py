"""Maps of a whole data set by one method, shard by shard, judged by metrics; what is finished is not done again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from unshaken.api.job import Inputs
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.prediction import predict
from unshaken.core.progress import track
from unshaken.data.dataset import BadSample
from unshaken.data.stream import stream
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.metric import Case, MapMetric
from unshaken.explain.engine.rows import table_rows
from unshaken.explain.engine.run import AttributionResult, attribute
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means
from unshaken.run import RunDir
from unshaken.run.tensor_file import TensorFile

SHARD = 64
"""Samples of a shard, whatever the batch: maps of so many are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class MapsOf:
    """An attribution under the name that its rows have."""

    name: str
    method: Attribution[Any]


@dataclass(frozen=True, slots=True, eq=False)
class MapWork:
    """What all methods of a run share.

    Args:
        run: its directory.
        inputs: the model and the data.
        subject: which samples, and how many in one pass.
        metrics: name to metric.
        explained: `prediction` or `label`.
        kept: maps of a method that are kept; -1 for all.
    """

    run: RunDir
    inputs: Inputs
    subject: Subject
    metrics: Mapping[str, MapMetric]
    explained: str
    kept: int

    def run_method(self, maps: MapsOf) -> dict[str, Any]:
        """Make and judge the maps of all samples by one method.

        Returns:
            What `explain.json` says of it.

        Raises:
            ParameterError: a metric or `explained` needs what the data does not have.
            DataError: a map is not finite.
        """
        if self.explained == "label" and self.inputs.dataset.labels is None:
            raise ParameterError("explained='label' needs labels, and the data has none")
        for name, metric in self.metrics.items():
            if "labels" in metric.needs and self.inputs.dataset.labels is None:
                raise ParameterError(f"{name} needs labels, and the data has none")
        indices = self.subject.indices
        with track(f"explain {maps.name}", len(indices)) as task, evaluating(self.inputs.classifier):
            for shard, start in enumerate(range(0, len(indices), SHARD)):
                part = indices[start : start + SHARD]
                if not self.run.has_rows("attributions", maps.name, shard):
                    self._shard(maps, shard, [int(i) for i in part], kept=start < self.kept or self.kept < 0)
                task.advance(len(part))
        return self._summary(maps.name)

    def _shard(self, maps: MapsOf, shard: int, indices: list[int], *, kept: bool) -> None:
        """One shard: maps, then the rows of each metric, and last those of the method: they say that it is whole."""
        bad: dict[str, str] = {}
        batches: list[Batch] = []
        view = self.inputs.classifier.view
        for part in stream(self.inputs.dataset, indices, view=view, workers=self.subject.workers, batch_size=SHARD):
            if isinstance(part, BadSample):
                bad[part.id] = part.reason
            else:
                batches.append(part.to(self.subject.device))
        columns: dict[str, list[Any]] = {"id": [], "error": []}
        if batches:
            columns = self._explained(maps, shard, Batch.concat(batches), kept=kept)
        columns = {k: [*v, *({"id": bad, "error": bad.values()}.get(k, [None] * len(bad)))] for k, v in columns.items()}
        rows = table_rows("attributions", maps.name, maps.method.info.name, columns)
        self.run.write_rows(rows, "attributions", maps.name, shard)

    def _explained(self, maps: MapsOf, shard: int, batch: Batch, *, kept: bool) -> dict[str, list[Any]]:
        model, images = self.inputs.classifier, batch.images
        oracle = Oracle(model, limit=self.subject.batch)
        logits = torch.cat([oracle.exact(piece) for piece in torch.split(images, self.subject.batch)])
        predicted = predict(logits)
        classes = predicted if self.explained == "prediction" else batch.labels
        assert classes is not None
        if bool((classes < 0).any()):
            place = int((classes < 0).nonzero()[0])
            raise DataError(f"sample {batch.ids[place]!r} has no class to explain: the model's output is not finite, "
                            "or its label is none of the model's classes")  # fmt: skip
        again = partial(_again, maps.method, model, batch, classes, self.subject)
        found = again(images, None, None)
        if kept:
            file = TensorFile({"maps": found.maps, "images": images}, batch.ids)
            self.run.write_tensors(file, "maps", f"{maps.name}-{shard:05d}.safetensors")
        case = Case(
            model, images, found.maps, classes, batch.ids, again, labels=batch.labels, seed=self.subject.seed,
            limit=self.subject.batch,
        )  # fmt: skip
        for name, metric in self.metrics.items():
            self._judge(maps, name, metric, case, shard)
        return {
            "id": list(batch.ids), "label": [None] * len(batch) if batch.labels is None else batch.labels.tolist(),
            "explained": classes.tolist(), "prediction": predicted.tolist(),
            "confidence": logits.softmax(1).amax(1).tolist(),
            "gap": [None] * len(batch) if found.error is None else found.error.double().tolist(),
            "forwards": (found.forwards + 1).tolist(), "backwards": found.backwards.tolist(),
            "seconds": found.seconds.tolist(), "error": [None] * len(batch),
        }  # fmt: skip

    def _judge(self, maps: MapsOf, name: str, metric: MapMetric, case: Case, shard: int) -> None:
        scores = metric.judge(case)
        columns: dict[str, list[Any]] = {
            "id": list(case.ids), "metric": [name] * len(case.ids),
            "value": [None if math.isnan(v) else v for v in scores.value.double().tolist()],
            "forwards": scores.forwards.tolist(), "backwards": scores.backwards.tolist(),
        }  # fmt: skip
        rows = table_rows("map_metrics", maps.name, maps.method.info.name, columns)
        self.run.write_rows(rows, "map_metrics", f"{maps.name}-{name}", shard)

    def _summary(self, name: str) -> dict[str, Any]:
        """The figures of a method, from its rows alone."""
        rows = _of(self.run.rows("attributions"), name)
        bad = rows.filter(pc.is_valid(rows["error"]))
        self.subject.bad.update(zip(bad["id"].to_pylist(), bad["error"].to_pylist(), strict=True))
        figures: dict[str, Any] = {}
        if self.metrics:
            judged = _of(self.run.rows("map_metrics"), name)
            for metric in self.metrics:
                values = judged.filter(pc.equal(judged["metric"], metric))["value"].drop_null().to_numpy()
                if len(values):
                    figures[metric] = mean_figure(values).to_json()
        gap = rows["gap"].drop_null().to_numpy()
        if len(gap):
            figures["completeness gap"] = mean_figure(np.abs(gap)).to_json()
        counts = {k: int(pc.sum(rows[k]).as_py() or 0) for k in ("forwards", "backwards")}
        return {"figures": figures, "remarks": [], "extra": {}, "table": "attributions", **counts}


def mean_figure(values: Numbers) -> Any:
    """The mean over samples with a bootstrap interval.

    Args:
        values: `[N]`, at least one.
    """
    values = np.asarray(values, np.float64)
    return bootstrap_figure(float(values.mean()), bootstrap_means(values), len(values))


def _of(table: pa.Table, condition: str) -> pa.Table:
    return table.filter(pc.equal(table["condition"], condition))


def _again(
    method: Attribution[Any], model: Classifier, batch: Batch, classes: Tensor, subject: Subject,
    images: Tensor, other: Classifier | None, told: Tensor | None,
) -> AttributionResult:  # fmt: skip
    """Maps of the batch's samples by a method; see `explain.engine.metric.Again`."""
    return attribute(
        model if other is None else other, images, method, classes=classes if told is None else told, ids=batch.ids,
        seed=subject.seed, limit=subject.batch,
    )  # fmt: skip
