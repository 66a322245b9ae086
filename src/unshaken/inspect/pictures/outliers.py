"""Images that a model finds unlike the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.registry import parse_method, register
from unshaken.data.dataset import Dataset
from unshaken.data.selection import Selection
from unshaken.data.streaming import stream
from unshaken.detect.engine.fitting import fit
from unshaken.inspect.engine.base import Check, Issues, Measurements, ModelUse, halves_of
from unshaken.measure.statistics.columns import Indices, Numbers


def outlier_ranks(model: ModelUse, dataset: Dataset, rows: Indices, detector: str) -> Numbers:
    """How abnormal each sample is for a detector that was fitted on the other half of the samples, `[n]`.

    Args:
        model: whose values the detector reads.
        dataset: of the samples.
        rows: which of them, `[n]`.
        detector: a registered one.

    Returns:
        The rank of a sample's score in its half, in (0, 1), for two fits need not share a scale; NaN where it cannot
        be read.

    Raises:
        DataError: there are too few samples.
        ModelError: the model has not what the detector reads.
    """
    found = np.full(len(rows), np.nan)
    halves = halves_of([dataset.ids[i] for i in rows.tolist()], model.seed, "outliers")
    place = {dataset.ids[i]: n for n, i in enumerate(rows.tolist())}
    for half in (0, 1):
        learned = fit(
            model.spec, Selection(dataset, rows[halves != half]), [parse_method(detector, "detect")], seed=model.seed,
            device=model.device, download=model.download,
        )  # fmt: skip
        classifier, scores = learned.detector_set.model, dict[int, float]()
        for part in stream(dataset, rows[halves == half].tolist(), view=classifier.view):
            if isinstance(part, Batch):
                values = next(iter(learned.score(part).values())).tolist()
                scores |= {place[name]: value for name, value in zip(part.ids, values, strict=True)}
        order = sorted(scores, key=lambda n: (scores[n], n))
        found[order] = (np.arange(len(order)) + 0.5) / max(len(order), 1)
    return found


@register("outliers", reference="Kuan & Mueller 2022, arXiv:2207.03061")
class Outliers(Check):
    """Rank the images by how abnormal a detector finds them that was fitted on the other half; needs a model."""

    title = "Images unlike the others"
    counts = False
    needs = frozenset({"model"})
    detector: str = Field(default="knn", description="a detector of the room detect, by its name")
    shown: int = Field(default=40, description="images that are listed", ge=1, le=100_000)

    @override
    def measure_by_model(self, model: ModelUse, dataset: Dataset, rows: Indices) -> Mapping[str, Numbers]:
        return {"outlier_rank": outlier_ranks(model, dataset, rows, self.detector)}

    @override
    def find(self, measured: Measurements) -> Issues:
        scores = measured.quantities["outlier_rank"]
        own = np.flatnonzero((measured.set_of == 0) & np.isfinite(scores))
        order = own[np.argsort(-scores[own], kind="stable")][: self.shown]
        return Issues(order, 1 - scores[order], len(own), notes=[f"rank {n + 1}" for n in range(len(order))])
