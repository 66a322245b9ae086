"""`filter-drift`: how far apart the distributions of the filters of several models are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.filters.drift import BINNED, Basis, Bins, drift, fit_basis, read_basis
from unshaken.explain.filters.kernels import ConvLayer, conv_layers, layers_of_size
from unshaken.explain.filters.measures import near_zero
from unshaken.measure import Figure

Numbers = NDArray[np.float64]
HALVES = "drift between halves"


@register("filter-drift", reference="Gavrikov & Keuper 2022, arXiv:2203.15331")
class FilterDrift(Analysis):
    """Drift between the filters of models, scaled and in a common principal basis: a matrix of symmetric KL distances.

    All models give as many filters. What two halves of one model's filters drift apart is the noise floor of sampling;
    another network of the same recipe and another seed is the floor that counts, so give one.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "filters"
    needs: ClassVar[frozenset[str]] = frozenset({"model"})
    several: ClassVar[bool] = True

    by: Literal["model", "depth"] = Field(
        default="model", description="compare models, or tenths of the depth of all of them"
    )
    size: PositiveInt = Field(default=3, description="height and width of the kernels in pixels", ge=2, le=31)
    depthwise: bool = Field(default=True, description="whether filters of depth-wise convolutions count")
    bins: PositiveInt = Field(default=70, description="bins of each histogram", ge=2, le=10_000)
    measure: Literal["kl", "js", "wasserstein"] = Field(default="kl", description="distance of two histograms")
    sample: NonNegativeInt = Field(
        default=0, description="filters of each model; 0 for as many as the smallest one has"
    )
    drop_sparse: bool = Field(default=False, description="whether near-zero filters are left out before scaling")
    basis: str = Field(default="", description="arrays of an earlier run whose basis is used; empty to fit one")
    resamples: PositiveInt = Field(default=100, description="bootstrap draws of filters", ge=20, le=10_000)

    @override
    def find(self, subject: Subject) -> Findings:
        pools = self.pools(subject)
        if len(pools) < 2:
            raise ParameterError(
                f"filter-drift compares two sets of filters or more; by={self.by} gives one: add a model"
            )
        least = min(len(p) for p in pools.values())
        if not least:
            raise ModelError(f"{min(pools, key=lambda n: len(pools[n]))!r} has near-zero filters only: none is left")
        if self.sample > least:
            name = min(pools, key=lambda n: len(pools[n]))
            raise ParameterError(f"sample={self.sample}: {name!r} has {least} filters only; ask for at most as many")
        count = self.sample or least
        chosen = {n: drawn(p, count, subject.seed, n) for n, p in pools.items()}
        basis = read_basis(self.basis) if self.basis else fit_basis(list(chosen.values()))
        coefficients = {n: basis.coefficients(p) for n, p in chosen.items()}
        bins = Bins.over(list(coefficients.values()), self.bins)
        matrix, rows = np.zeros((len(pools), len(pools))), []
        draws = {n: self._resampled(c, bins, subject.seed, n) for n, c in coefficients.items()}
        for (i, one), (j, other) in combinations(enumerate(pools), 2):
            value = drift(coefficients[one], coefficients[other], basis.shares, bins, self.measure)
            matrix[i, j] = matrix[j, i] = value
            figure = self._figure(value, draws[one], draws[other], basis, count)
            rows.append(self._row(one, f"drift from {other}", figure))
        for name, c in coefficients.items():
            rows.append(self._row(name, HALVES, self._halves(c, basis, bins)))
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        arrays = {
            **basis.tensors(),
            "drift": torch.from_numpy(matrix),
            "range": torch.tensor([bins.low, bins.high], dtype=torch.float64),
            "densities": torch.from_numpy(np.stack([bins.masses(bins.counts(c)) for c in coefficients.values()])),
        }
        extra = {"names": list(pools), "filters": count, "range": [bins.low, bins.high], "bins": self.bins,
                 "measure": self.measure, "shares": basis.shares.tolist()}  # fmt: skip
        figures = headline(rows)
        return Findings(
            {k: v for k, v in columns.items() if k != "figure"}, figures, self._remarks(count, least), arrays, extra
        )

    def pools(self, subject: Subject) -> dict[str, Numbers]:
        """Filters `[n, size * size]` of each set.

        Raises:
            ModelError: a model has no such filters, or weights that are not finite.
        """
        found: dict[str, list[ConvLayer]] = {}
        for name, model in subject.models.items():
            for layer in layers_of_size(conv_layers(model), self.size, depthwise=self.depthwise, name=name):
                if not layer.is_finite:
                    raise ModelError(
                        f"model {name!r}: the weights of layer {layer.name!r} are infinite or not a number"
                    )
                key = name if self.by == "model" else f"depth {int(10 * layer.depth) / 10:.1f}"
                found.setdefault(key, []).append(layer)
        pools = {}
        for key, layers in found.items():
            parts = [x.filters[~near_zero(x.filters)] if self.drop_sparse else x.filters for x in layers]
            pools[key] = np.concatenate(parts)
        return pools if self.by == "model" else dict(sorted(pools.items()))

    def _row(self, model: str, quantity: str, figure: Figure) -> dict[str, Any]:
        return {"model": model, "quantity": quantity, "value": figure.value, "low": figure.low,
                "high": figure.high, "n": figure.n, "figure": figure}  # fmt: skip

    def _resampled(self, coefficients: Numbers, bins: Bins, seed: int, name: str) -> Numbers:
        """Histograms of bootstrap draws, `[draws, d, bins]`; empty where the distance needs no bins."""
        if self.measure not in BINNED:
            return np.zeros((0, *coefficients.shape[1:], self.bins))
        rng = generator(seed, f"resample {name}")
        n, d = coefficients.shape
        places = bins.places(coefficients) + bins.count * np.arange(d)
        found = np.empty((self.resamples, d, bins.count))
        for draw in found:
            rows = places[rng.integers(n, size=n)]
            draw[:] = np.bincount(rows.ravel(), minlength=d * bins.count).reshape(d, bins.count)
        return bins.masses(found)

    def _figure(self, value: float, one: Numbers, other: Numbers, basis: Basis, count: int) -> Figure:
        """The drift with its pivotal bootstrap interval, which takes off what resampling adds."""
        if self.measure not in BINNED:
            return Figure(value, 0.0, float("inf"), count, "none")
        draws = BINNED[self.measure](one, other) @ basis.shares
        low, high = (2 * value - q for q in np.quantile(draws, [0.975, 0.025]))
        ends = float(max(0.0, min(low, value))), float(max(high, value))
        return Figure(value, *ends, count, f"pivotal bootstrap 95% ({self.resamples})")

    def _halves(self, coefficients: Numbers, basis: Basis, bins: Bins) -> Figure:
        """The mean drift between ten random halves of the same filters, whose order is random already."""
        rng, n = np.random.default_rng(0), len(coefficients)
        values = []
        for _ in range(10 if n > 1 else 0):
            order = rng.permutation(n)
            halves = coefficients[order[: n // 2]], coefficients[order[n // 2 :]]
            values.append(drift(*halves, basis.shares, bins, self.measure))
        if not values:
            return Figure(0.0, 0.0, float("inf"), n, "none")
        return Figure(float(np.mean(values)), min(values), max(values), n, "range of 10 divisions")

    def _remarks(self, count: int, least: int) -> tuple[str, ...]:
        remarks = [
            f"Of each set {count:,} filters are compared; drift grows with fewer filters, more bins and a wider range.",
            "A drift means something beside that of two networks of one recipe and two seeds: give such a pair.",
        ]
        if count < 10 * self.bins:
            remarks.append(
                f"{count:,} filters in {self.bins} bins leave many of them empty, which inflates all drifts."
            )
        return tuple(remarks)


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """The largest and the smallest drift between two sets, and the largest between halves of one."""
    between = sorted((r for r in rows if r["quantity"] != HALVES), key=lambda r: r["value"])
    halves = max((r for r in rows if r["quantity"] == HALVES), key=lambda r: r["value"])
    named = {"largest drift": between[-1]} | ({"smallest drift": between[0]} if len(between) > 1 else {})
    found = {f"{name}, {r['model']} {r['quantity'].removeprefix('drift ')}": r["figure"] for name, r in named.items()}
    return {**found, f"largest {HALVES}, {halves['model']}": halves["figure"]}


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers that depend on a seed and a name."""
    return SampleRng.of(seed, "filter-drift", [name]).generators()[0]


def drawn(filters: Numbers, count: int, seed: int, name: str) -> Numbers:
    """Some filters at random; all of them, as they are, where that many are asked for."""
    if count == len(filters):
        return filters
    return np.asarray(filters[np.sort(generator(seed, name).choice(len(filters), count, replace=False))])
