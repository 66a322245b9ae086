"""Maps of a whole data set by one method, shard by shard, judged by metrics; what is finished is not done again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow.compute as pc
import torch
from torch import Tensor

from unshaken.api.job import Inputs
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.trust import NON_FINITE, NOT_FINITE
from unshaken.data.box_table import BoxTable
from unshaken.data.dataset import BadSample
from unshaken.data.object_masks import object_masks
from unshaken.data.streaming import stream
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.map_figures import constant_maps, method_figures, missing_values
from unshaken.explain.engine.metric import Again, Case, MapMetric
from unshaken.explain.engine.rows import table_rows
from unshaken.explain.engine.run import AttributionResult, NonFiniteMapError, attribute
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

SHARD = 64
"""Samples of a shard, whatever the batch: the maps of one shard are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class MapsOf:
    """An attribution under the name that its rows have."""

    name: str
    method: Attribution[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The true places of objects, as boxes or masks.

    Args:
        boxes: a table of boxes; None without.
        masks: a folder of masks; None without.
    """

    boxes: BoxTable | None = None
    masks: str | None = None

    def check(self, metrics: Mapping[str, MapMetric], labelled: bool) -> None:
        """Refuse metrics that need what is not there.

        Raises:
            ParameterError: one does; the message says which, and what to give.
        """
        for name, metric in metrics.items():
            if "labels" in metric.needs and not labelled:
                raise ParameterError(f"{name} needs labels, and the data has none")
            if "boxes" in metric.needs and self.boxes is None:
                raise ParameterError(f"{name} needs boxes: give --boxes FILE, or data that has them")
            if "truth" in metric.needs and self.boxes is None and self.masks is None:
                raise ParameterError(f"{name} needs to know where the objects are: give --boxes FILE or --masks DIR")


@dataclass(frozen=True, slots=True, eq=False)
class MapWork:
    """State that all methods of a run share.

    Args:
        run: its directory.
        inputs: the model and the data.
        subject: which samples, and how many in one pass.
        metrics: name to metric.
        truth: where the objects are.
        target: `prediction` or `label`.
        kept: maps of a method that are kept; -1 for all.
    """

    run: RunDir
    inputs: Inputs
    subject: Subject
    metrics: Mapping[str, MapMetric]
    truth: Truth
    target: str
    kept: int

    def run_method(self, maps: MapsOf) -> dict[str, Any]:
        """Make and judge the maps of all samples by one method.

        Returns:
            What `explain.json` says of it.

        Raises:
            ParameterError: a metric or `target` needs what the data does not have.
            DataError: the images that a metric changes have a map that is not finite.
        """
        self.check()
        with track(f"explain {maps.name}", len(self.subject.indices)) as task:
            for shard in range(self.shards):
                self.run_shard(maps, shard)
                task.advance(self.samples(shard))
        return self.summary(maps)

    def check(self) -> None:
        """Refuse what needs what is not there.

        Raises:
            ParameterError: a metric or `target` does.
        """
        if self.target == "label" and self.inputs.dataset.labels is None:
            raise ParameterError("target='label' needs labels, and the data has none")
        self.truth.check(self.metrics, self.inputs.dataset.labels is not None)

    @property
    def shards(self) -> int:
        """How many shards the samples make."""
        return -(-len(self.subject.indices) // SHARD)

    def samples(self, shard: int) -> int:
        """How many samples a shard has."""
        return min(SHARD, len(self.subject.indices) - shard * SHARD)

    def is_whole(self, maps: MapsOf, shard: int) -> bool:
        """Whether the rows of a shard are there."""
        return self.run.has_rows("attributions", maps.name, shard)

    def run_shard(self, maps: MapsOf, shard: int) -> None:
        """Make and judge the maps of one shard's samples, unless their rows are there.

        Raises:
            DataError: the images that a metric changes have a map that is not finite.
        """
        if self.is_whole(maps, shard):
            return
        start = shard * SHARD
        indices = [int(i) for i in self.subject.indices[start : start + SHARD]]
        with evaluating(self.inputs.classifier):
            self._shard(maps, shard, indices, kept=start < self.kept or self.kept < 0)

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
            columns = self._explained(maps, shard, Batch.concat(batches), bad, indices, kept=kept) or columns
        columns = {k: [*v, *({"id": bad, "error": bad.values()}.get(k, [None] * len(bad)))] for k, v in columns.items()}
        rows = table_rows("attributions", maps.name, maps.method.info.name, columns)
        self.run.write_rows(rows, "attributions", maps.name, shard)

    def _explained(
        self, maps: MapsOf, shard: int, batch: Batch, bad: dict[str, str], indices: list[int], *, kept: bool
    ) -> dict[str, list[Any]]:
        """Columns of the samples that have a map; the others are entered in `bad` with the reason."""
        model, labelled = self.inputs.classifier, self.target != "prediction" and batch.labels is not None
        oracle = Oracle(model, limit=self.subject.batch)
        logits = torch.cat([oracle.exact(piece) for piece in torch.split(batch.images, self.subject.batch)])
        predicted = predict(logits)
        bad |= {batch.ids[i]: NOT_FINITE for i in (predicted < 0).nonzero().flatten().tolist()}
        if labelled and batch.labels is not None:
            for i in (batch.labels < 0).nonzero().flatten().tolist():
                bad.setdefault(batch.ids[i], "it has no class to explain: its label is none of the model's classes")

        def usable() -> tuple[Batch, Tensor, Again, Tensor]:
            good = torch.tensor([i not in bad for i in batch.ids], device=logits.device)
            some, own = batch[good], logits[good]
            classes = predict(own) if not labelled or some.labels is None else some.labels
            return some, own, partial(_again, maps.method, model, some, classes, self.subject), classes

        some, own, again, classes = usable()
        if not len(some):
            return {}
        try:
            found = again(some.images, None, None)
        except NonFiniteMapError as error:  # a map does not depend on the others: without these images none is left
            bad |= {some.ids[i]: f"its map by {maps.name} has NaN or infinite values" for i in error.places}
            some, own, again, classes = usable()
            if not len(some):
                return {}
            found = again(some.images, None, None)
        batch, logits, images, predicted = some, own, some.images, predict(own)
        place_of = {self.inputs.dataset.ids[i]: i for i in indices}
        places = [place_of[i] for i in batch.ids]
        if kept:
            file = TensorFile({"maps": found.maps, "images": images}, batch.ids)
            self.run.write_tensors(file, "maps", f"{maps.name}-{shard:05d}.safetensors")
        data, view, objects = self.inputs.dataset, model.view, self.truth
        boxes = None if objects.boxes is None else objects.boxes.in_view(data, places, view)
        truth = None if objects.masks is None else object_masks(objects.masks, data, places, view)
        case = Case(
            model, images, found.maps, classes, batch.ids, again, labels=batch.labels, truth=truth, boxes=boxes,
            seed=self.subject.seed, limit=self.subject.batch,
        )  # fmt: skip
        for name, metric in self.metrics.items():
            self._judge(maps, name, metric, case, shard)
        return {
            "id": list(batch.ids), "label": [None] * len(batch) if batch.labels is None else batch.labels.tolist(),
            "explained": classes.tolist(), "prediction": predicted.tolist(),
            "confidence": logits.softmax(1).amax(1).tolist(),
            "gap": [None] * len(batch) if found.error is None else found.error.tolist(),
            "constant": (found.maps.flatten(1).amax(1) == found.maps.flatten(1).amin(1)).tolist(),
            "forwards": (found.forwards + 1).tolist(), "backwards": found.backwards.tolist(),
            "seconds": found.seconds.tolist(), "error": [None] * len(batch),
        }  # fmt: skip

    def _judge(self, maps: MapsOf, name: str, metric: MapMetric, case: Case, shard: int) -> None:
        scores = metric.judge(case)
        columns: dict[str, list[Any]] = {
            "id": list(case.ids), "metric": [name] * len(case.ids),
            "value": [None if math.isnan(v) else v for v in scores.value.tolist()],
            "forwards": scores.forwards.tolist(), "backwards": scores.backwards.tolist(),
        }  # fmt: skip
        rows = table_rows("map_metrics", maps.name, maps.method.info.name, columns)
        self.run.write_rows(rows, "map_metrics", f"{maps.name}-{name}", shard)

    def summary(self, maps: MapsOf) -> dict[str, Any]:
        """Summarise a method for the record, from its rows and its own remarks alone."""
        name, remarks = maps.name, maps.method.remarks
        table = self.run.rows("attributions", ["id", "condition", "constant", "forwards", "backwards", "error"])
        rows = table.filter(pc.equal(table["condition"], name))
        bad = rows.filter(pc.is_valid(rows["error"]))
        self.subject.bad.update(zip(bad["id"].to_pylist(), bad["error"].to_pylist(), strict=True))
        figures = {k: f.to_json() for k, f in method_figures(self.run, name, self.metrics).items()}
        odd = sum("NaN or infinite values" in str(why) for why in bad["error"].to_pylist())
        text = f"flag {NON_FINITE.name}: {NON_FINITE.meaning} for {odd} of {len(rows)} samples, which are left out"
        doubts = [text] if odd else []
        all_remarks = [*doubts, *remarks, *constant_maps(rows), *missing_values(self.run, name, list(self.metrics))]
        counts = {k: int(pc.sum(rows[k]).as_py() or 0) for k in ("forwards", "backwards")}
        return {"figures": figures, "remarks": all_remarks, "table": "attributions", **counts}


def _again(
    method: Attribution[Any], model: Classifier, batch: Batch, classes: Tensor, subject: Subject,
    images: Tensor, other: Classifier | None, asked: Tensor | None,
) -> AttributionResult:  # fmt: skip
    """Maps of the batch's samples by a method; see `explain.engine.metric.Again`."""
    return attribute(
        model if other is None else other, images, method, classes=classes if asked is None else asked, ids=batch.ids,
        seed=subject.seed, limit=subject.batch,
    )  # fmt: skip
