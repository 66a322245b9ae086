"""Figures of fooling images, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.intervals import median
from unshaken.papers.rows import Rows, share_of
from unshaken_papers.fooling_images import CERTAIN, CONTROL, MADE, FoolingImagesPaper

Columns = dict[str, NDArray[Any]]
COLUMNS = (
    *("id", "confidence", "tempered", "prediction", "target", "certain", "forwards", "backwards"),
    *("variation", "nearest", "nearest_features"),
)


def figures(paper: FoolingImagesPaper, rows: Rows) -> dict[str, Any]:
    """By seed."""
    return {name: seed_figures(paper, part) for name, part in rows.repetitions(paper.seeds).items()}


def seed_figures(paper: FoolingImagesPaper, rows: Rows) -> dict[str, Any]:
    """Figures of the small networks; or of the user's own model, for which there is no row in `used`."""
    found, used = Figures(rows), rows.table("used", "used").to_pylist()
    if not used:
        return {name: found.made(name, "own") for name in MADE}
    before = ["first", *(f"retrained-{i}" for i in range(1, paper.rounds + 1))]
    others = [net for net in ("second", "robust") if f"clean.{net}" in rows.labels()]
    retrained = {}
    for i, (old, new) in enumerate(pairwise(before), 1):
        retrained[str(i)] = {
            **found.made("cppn", new),
            "pool": found.made("pool", old)["confidence"],
            "pool_after": found.elsewhere("pool", old, new)["confidence"],
            "pool_rejected": found.rejected("pool", old, new, used[0]["classes"]),
        }
    measured: dict[str, Any] = {
        "used": f"{used[0]['data']} ({used[0]['images']} training images)",
        **{name: found.made(name, "first") for name in MADE},
        "transfer": {m: {net: found.elsewhere(m, "first", net) for net in others} for m in MADE},
        "retrained": retrained,
        "accuracy": {net: rows.accuracy(f"clean.{net}") for net in [*before, *others]},
        "real": found.proxies(found.rows("real", "test", "first")),
    }
    if "robust" in others:
        measured["control"] = {m: found.made(m, "robust") for m in CONTROL}
    if "ascent-plain.imagenet.imagenet" in rows.labels("images"):
        measured["imagenet"] = found.made("ascent-plain", "imagenet")
    return measured


class Figures:
    """Reads a run's rows once.

    Args:
        rows: of the run.
    """

    def __init__(self, rows: Rows) -> None:
        self._images, self._history = rows.arrays("images", *COLUMNS), rows.grouped("history")

    def made(self, method: str, net: str) -> dict[str, Any]:
        """Images shown to the network that they were made for."""
        rows = self.rows(method, net, net)
        found: dict[str, Any] = {
            "confidence": middle(rows["confidence"]),
            "least": float(rows["confidence"].min()),
            "above_99": int((rows["confidence"] >= CERTAIN).sum()),
            "images": len(rows["id"]),
            "labelled_so": share_of(rows["prediction"] == rows["target"]),
            "forwards": int(rows["forwards"].sum()),
            "backwards": int(rows["backwards"].sum()),
        }
        if known(rows["tempered"]):
            found["tempered"] = middle(rows["tempered"])
        if known(rows["certain"]):
            reached = rows["certain"] >= 0
            found["reached_9999"] = share_of(reached)
            if reached.any():
                found["step_of_9999"] = float(np.median(rows["certain"][reached]))
        return {**found, **self.proxies(rows), **self._course(f"{method}.{net}")}

    def elsewhere(self, method: str, net: str, shown_to: str) -> dict[str, Any]:
        """The same images shown to another network."""
        own, rows = self.rows(method, net, net), self.rows(method, net, shown_to)
        same = rows["prediction"] == rows["target"]
        return {
            "confidence": middle(rows["confidence"]),
            "labelled_so": share_of(same),
            "fool_both": share_of(same & (own["prediction"] == rows["target"])),
            "above_99": int((rows["confidence"] >= CERTAIN).sum()),
        }

    def rejected(self, method: str, net: str, shown_to: str, reject: int) -> dict[str, Any]:
        """Share of the images that a network puts into its reject class."""
        return share_of(self.rows(method, net, shown_to)["prediction"] == reject)

    def proxies(self, rows: Columns) -> dict[str, Any]:
        """Medians of the distances from real images."""
        names = ("variation", "nearest", "nearest_features")
        return {name: round(float(np.median(rows[name])), 4) for name in names if known(rows[name])}

    def rows(self, method: str, net: str, shown_to: str) -> Columns:
        """Columns, in the order of ids."""
        columns = self._images[f"{method}.{net}.{shown_to}"]
        order = np.argsort(columns["id"].astype(str))
        return {name: values[order] for name, values in columns.items()}

    def _course(self, condition: str) -> dict[str, Any]:
        """How an evolution went; empty where there was none."""
        history = sorted(self._history.get(condition, []), key=lambda r: int(r["generation"]))
        if not history:
            return {}
        first = next((h["evaluations"] for h in history if h["median"] >= CERTAIN), None)
        return {
            "start": round(history[0]["median"], 4),
            "evaluations": history[-1]["evaluations"],
            "jumps": sum(h["jumps"] for h in history),
            "evaluations_to_median_99": "never" if first is None else first,
        }


def known(column: NDArray[Any]) -> bool:
    """Whether a column has a value in each row."""
    return not np.isnan(column.astype(np.float64)).any()


def middle(values: Sequence[float] | NDArray[Any]) -> dict[str, Any]:
    """The median of confidences with its interval.

    >>> middle([0.2, 0.4, 0.9])["value"]
    0.4
    """
    column: NDArray[np.float64] = np.asarray(values, np.float64)
    figure = median(column)
    if figure is None:  # a confidence is never infinite
        return {}
    found = figure.to_json()
    return {**found, "high": 1.0 if found["high"] is None else found["high"]}
