"""`filter-quality`: the convolutions of a network, layer by layer: sparse, low-variance or random-looking filters."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.filters.kernels import ConvLayer, conv_layers, layers_of_size
from unshaken.explain.filters.measures import (
    FEWEST,
    KINDS,
    degenerate_kinds,
    kernel_variation,
    near_zero,
    orthogonality,
    random_entropy,
    variance_entropy,
)
from unshaken.measure import Figure, share
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means
from unshaken.measure.statistics.means import alike_figure

MEASURED = ("sparsity", "entropy", "orthogonality", "smoothness")


@register("filter-quality", reference="Gavrikov & Keuper 2022, arXiv:2203.15331")
class FilterQuality(Analysis):
    """Sparsity, variance entropy, orthogonality and smoothness of each layer's filters, and which layers degenerate.

    Raw weights of square kernels of one size are measured; batch norms are not folded in. It describes: that more
    diverse filters make a network robust is not shown by it.
    """

    table: ClassVar[str] = "filters"
    group: ClassVar[str] = "filters"
    needs: ClassVar[frozenset[str]] = frozenset({"model"})

    size: PositiveInt = Field(default=3, description="height and width of the kernels in pixels", ge=2, le=31)
    depthwise: bool = Field(default=True, description="whether depth-wise convolutions are measured too")
    near_zero: PositiveFloat = Field(
        default=0.01, description="share of the layer's largest weight below which one is near 0"
    )
    clean: bool = Field(default=False, description="whether near-zero filters are left out of the entropy")
    sparse: NonNegativeFloat = Field(
        default=0.5, description="share of near-zero filters above which a layer is sparse", le=1
    )
    low: NonNegativeFloat = Field(
        default=0.5, description="entropy (log 10) below which a layer is low-variance", le=10
    )

    @override
    def find(self, subject: Subject) -> Findings:
        rows: list[dict[str, Any]] = []
        for name, model in subject.models.items():
            layers = layers_of_size(conv_layers(model), self.size, depthwise=self.depthwise, name=name)
            own = [{"model": name, **self.measure(layer)} for layer in layers]
            if all(row["error"] for row in own):
                raise ModelError(f"model {name!r}: the weights of all its convolutions are infinite or not a number")
            rows += own
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        figures: dict[str, Figure] = {}
        for name in subject.models:
            prefix = f"{name}." if len(subject.models) > 1 else ""
            found = summarise([r for r in rows if r["model"] == name and not r["error"]], subject.seed)
            figures |= {prefix + key: figure for key, figure in found.items()}
        return Findings(columns, figures, self._remarks(rows), extra={"kernel": self.size, "measured": list(MEASURED)})

    def measure(self, layer: ConvLayer) -> dict[str, Any]:
        """Measure one layer: its row."""
        n = len(layer.filters)
        row: dict[str, Any] = {"layer": layer.name, "depth": layer.depth, "size": self.size, "filters": n}
        empty = dict.fromkeys((*MEASURED, "random_entropy", "degenerate"))
        if not layer.is_finite:
            return {**row, **empty, "error": "its weights are infinite or not a number"}
        sparse = near_zero(layer.filters, self.near_zero)
        filters = layer.filters[~sparse] if self.clean and not sparse.all() else layer.filters
        entropy = variance_entropy(filters)
        threshold = random_entropy(len(filters)) if self.size == 3 else None
        kinds = degenerate_kinds(
            float(sparse.mean()), entropy, threshold, len(filters), most_sparsity=self.sparse, least_entropy=self.low
        )
        return {
            **row, "sparsity": float(sparse.mean()), "entropy": entropy, "orthogonality": orthogonality(layer.weight),
            "smoothness": kernel_variation(layer.weight), "random_entropy": threshold, "degenerate": "+".join(kinds),
            "error": None,
        }  # fmt: skip

    def _remarks(self, rows: list[dict[str, Any]]) -> tuple[str, ...]:
        remarks = ["Weights are as they are stored: batch norms are not folded in."]
        if few := sum(row["filters"] < FEWEST for row in rows):
            text = (
                f"1 layer has fewer than {FEWEST} filters: its"
                if few == 1
                else f"{few} layers have fewer than {FEWEST} filters: their"
            )
            remarks.append(f"{text} entropy cannot reach the largest value and is not judged.")
        if self.size != 3:
            remarks.append("The entropy of random filters is known for 3 x 3 kernels only, so none is called random.")
        if bad := [row["layer"] for row in rows if row["error"]]:
            remarks.append(f"Left out, as their weights are infinite or not a number: {', '.join(bad[:5])}.")
        return tuple(remarks)


def summarise(rows: list[dict[str, Any]], seed: int = 0) -> dict[str, Figure]:
    """Summarise the layers of one model: means over layers and over filters, and the shares that degenerate.

    Args:
        rows: of its layers, those with an error left out; not empty.
        seed: of the bootstrap over layers.
    """
    figures = {}
    for key in MEASURED:
        known = [r for r in rows if r[key] is not None]
        if known:
            values, counts = np.array([r[key] for r in known]), np.array([r["filters"] for r in known], np.float64)
            figures[f"{key}_by_layer"] = _mean(values, np.ones(len(known)), seed)
            figures[f"{key}_by_filter"] = _mean(values, counts, seed)
    kinds = [tuple((r["degenerate"] or "").split("+")) for r in rows]
    counts = np.array([r["filters"] for r in rows], np.float64)
    for kind in KINDS:
        name = kind.replace("-", "_")
        figures[f"{name}_layers"] = share(sum(kind in k for k in kinds), len(rows))
        figures[f"{name}_filters"] = _mean(np.array([float(kind in k) for k in kinds]), counts, seed, 1.0)
    figures["degenerate_layers"] = share(sum(any(kind in k for kind in KINDS) for k in kinds), len(rows))
    return figures


def _mean(values: np.ndarray, weights: np.ndarray, seed: int, most: float = math.inf) -> Figure:
    """A weighted mean of values in [0, most] with its bootstrap interval over layers."""
    sums = bootstrap_means(np.stack([values * weights, weights], 1), resamples=1000, seed=seed)
    value = float(np.average(values, weights=weights))
    alike = alike_figure(value, len(values), low=min(0.0, value), high=max(most, value))
    return bootstrap_figure(value, sums[:, 0] / sums[:, 1], len(values), ends=(alike.low, alike.high))
