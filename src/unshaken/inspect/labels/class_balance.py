"""How often each class occurs, and in which set."""

from __future__ import annotations

from collections import Counter

import numpy as np
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import Check, Issues, Measured
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, share

SHOWN = 30
"""Classes that the table lists: the rarest."""


@register("class-balance", reference="Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404")
class ClassBalance(Check):
    """Count the samples of each class in each set, the rarest class first; its figure is the rarest one's share.

    The intervals of the shares hold together over all classes of a set, with 95% (Bonferroni).
    """

    title = "Class balance"
    counts = False
    needs = frozenset({"labels"})

    @override
    def find(self, measured: Measured) -> Issues:
        labels = [(int(s), name) for s, name in zip(measured.set_of, measured.labels, strict=True) if name is not None]
        found, sizes = Counter(labels), Counter(s for s, _ in labels)
        names = sorted({name for _, name in labels}, key=lambda name: (found[0, name], name))
        if not sizes[0]:
            return Issues(np.empty(0, np.int64), np.zeros(0), 0, remarks=("The data has no labels.",))
        level = 1 - 0.05 / len(names)
        rows = tuple(
            (name, *(one for s in range(len(measured.sets)) for one in _cells(found[s, name], sizes[s], level)))
            for name in names[:SHOWN]
        )
        titles = [
            f"{what}{f', …{at[-16:]}' * bool(s)}" for s, at in enumerate(measured.sets) for what in ("samples", "share")
        ]
        lost = [name for name in names if not found[0, name]]
        remarks = [f"The data has no sample of {len(lost)} classes, such as {lost[0]}."] if lost else []
        more = (
            f"The rarest {SHOWN} of {len(names)} classes." if len(names) > SHOWN else "All classes, the rarest first."
        )
        figures = {"rarest_class": share(found[0, names[0]], sizes[0])}
        table = more, ("class", *titles), rows
        return Issues(
            np.empty(0, np.int64), np.zeros(0), sizes[0], figures=figures, remarks=tuple(remarks), table=table
        )


def _cells(count: int, size: int, level: float) -> tuple[float, Figure | None]:
    """Number and share of a class in a set."""
    if not size:
        return 0.0, None
    low, high = clopper_pearson([count], [size], level=level)
    return float(count), Figure(count / size, float(low[0]), float(high[0]), size, "clopper-pearson, simultaneous 95%")
