"""Labels that something else than the object gives away: brightness, size, sharpness and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.data.properties import find_property, measure_image, property_names
from unshaken.inspect.engine.base import Check, Issues, Measurements, Quantities, halves_of
from unshaken.inspect.engine.sample import DecodedSample
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.paired import holm, mcnemar

CELLS = 16
"""Parts, at most, into which a property is cut at its quantiles: one for ten samples."""
PREFIX = "property_"
"""How the quantities begin that are properties of images, apart from what other checks measure."""
LEAST = 5
"""Samples of a class from which on it takes part."""


@dataclass(frozen=True, slots=True)
class PropertyTest:
    """How well one property tells the labels.

    Args:
        accuracy: of the labels that the property alone predicts, on the half of the samples that it was not fitted on.
        majority: share of the commonest class there.
        p_value: of the property's being the same in all classes, by Kruskal and Wallis.
        p_better: of the prediction's being no better than the commonest class, exact, paired.
    """

    accuracy: Figure
    majority: float
    p_value: float
    p_better: float


def judge_property(values: Numbers, labels: Indices, first: Flags) -> PropertyTest | None:
    """Test whether a property predicts the labels; None where it is constant, or fewer than two classes are there.

    One half of the samples gives the quantiles of the property and the commonest class between each two of them; the
    other half is predicted by these.

    Args:
        values: of the property, finite, `[N]`.
        labels: from 0, `[N]`.
        first: which samples are the half that is learned, bool `[N]`.

    Source: Kruskal & Wallis 1952; McNemar 1947.
    """
    kept = np.bincount(labels)[labels] >= LEAST
    values, labels, first = values[kept], labels[kept], first[kept]
    if len(np.unique(labels)) < 2 or np.ptp(values) == 0 or not 0 < first.sum() < len(first):
        return None
    p = float(scipy.stats.kruskal(*(values[labels == k] for k in np.unique(labels))).pvalue)
    fit, test = np.flatnonzero(first), np.flatnonzero(~first)
    cells = max(2, min(CELLS, len(fit) // 10))
    ends = np.unique(np.quantile(values[fit], np.arange(1, cells) / cells))
    cell, count = np.searchsorted(ends, values, side="right"), int(labels.max()) + 1
    table = np.zeros((len(ends) + 1, count))
    np.add.at(table, (cell[fit], labels[fit]), 1)
    commonest = int(table.sum(0).argmax())
    best = np.where(table.any(1), table.argmax(1), commonest)
    right, usual = best[cell[test]] == labels[test], labels[test] == commonest
    gained, lost = int((right & ~usual).sum()), int((usual & ~right).sum())
    better = mcnemar(lost, gained) / 2 if gained > lost else 1.0
    return PropertyTest(share(int(right.sum()), len(test)), float(usual.mean()), p, better)


@register(
    "spurious-property",
    reference="Kruskal & Wallis 1952, doi:10.1080/01621459.1952.10483441",
    title="spurious properties",
)
class SpuriousProperty(Check):
    """Test whether a single property of the images, such as their brightness, predicts their labels.

    A property is named where its values differ between the classes (Kruskal and Wallis) and where it alone predicts
    labels of samples that it was not fitted on better than the commonest class does; both p-values are corrected for
    the number of properties by Holm. It may be what makes the classes: a night is dark. A model can use it either way.
    """

    title = "Properties that give the label away"
    counts = False
    needs = frozenset({"labels"})
    alpha: float = Field(
        default=0.01, description="chance of naming any property where none predicts a label", gt=0, lt=1
    )

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        found = measure_image(sample.pixels, map(find_property, property_names()))
        return {f"{PREFIX}{name}": value for name, value in found.items()}

    @override
    def find(self, measured: Measurements) -> Issues:
        own = np.flatnonzero((measured.set_of == 0) & measured.readable)
        own = own[[measured.labels[i] is not None for i in own.tolist()]]
        nothing, none = np.empty(0, np.int64), np.zeros(0)
        if len(own) < 2 * LEAST:
            return Issues(nothing, none, len(own), remarks=("The data has too few labels to test properties.",))
        _, labels = np.unique([str(measured.labels[i]) for i in own.tolist()], return_inverse=True)
        first = halves_of([measured.ids[i] for i in own.tolist()], measured.seed, self.info.name) == 0
        tests = self._tests(measured.quantities, own, labels, first)
        if not tests:
            return Issues(
                nothing,
                none,
                len(own),
                remarks=("No property could be tested: all images are alike, or classes too small.",),
            )
        names = list(tests)
        p_values = [max(one.p_value, one.p_better) for one in tests.values()]
        corrected = dict(zip(names, holm(p_values).tolist(), strict=True))
        order = sorted(names, key=lambda name: (corrected[name], -tests[name].accuracy.value, name))
        rows = tuple(
            (
                name,
                tests[name].accuracy,
                f"{100 * tests[name].majority:.1f} %",
                corrected[name],
                "yes" if corrected[name] < self.alpha else "",
            )
            for name in order
        )
        found = [name for name in order if corrected[name] < self.alpha]
        best = max(tests.values(), key=lambda one: one.accuracy.value)
        remarks = (f"The label can be told in part from {', '.join(found)} alone.",) if found else ()
        columns = ("property", "labels it predicts", "commonest class", "p, corrected", "predicts")
        table = "Labels that one property predicts, on samples that it was not fitted on.", columns, rows
        figures = {"property_accuracy": best.accuracy}
        return Issues(nothing, none, len(own), figures=figures, remarks=remarks, table=table)

    def _tests(
        self, quantities: Mapping[str, NDArray[np.generic]], own: Indices, labels: Indices, first: Flags
    ) -> dict[str, PropertyTest]:
        tests = {}
        for name, values in sorted(quantities.items()):
            if name.startswith(PREFIX):
                test = judge_property(np.asarray(values[own], np.float64), labels, first)
                if test is not None:
                    tests[name.removeprefix(PREFIX)] = test
        return tests
