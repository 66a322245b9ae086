"""Figures of fooling images, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure import accuracy, share
from unshaken.measure.statistics.intervals import median
from unshaken.run.store import RunDir

Row = dict[str, Any]
CERTAIN = 0.99


class Figures:
    """Reads a run's rows once.

    Args:
        run: where they are.
    """

    def __init__(self, run: RunDir) -> None:
        self._seen: dict[str, list[Row]] = {}
        for row in run.rows("fooling").to_pylist():
            self._seen.setdefault(row["condition"], []).append(row)
        self._history: dict[str, list[Row]] = {}
        for row in run.rows("fooling_history").to_pylist():
            self._history.setdefault(row["condition"], []).append(row)
        self._clean: dict[str, list[bool]] = {}
        for row in run.rows("outcomes", ["condition", "correct"]).to_pylist():
            self._clean.setdefault(row["condition"], []).append(row["correct"])

    def made(self, method: str, net: str) -> dict[str, Any]:
        """Images as the network sees them that they were made for."""
        rows = self.rows(method, net, net)
        found: dict[str, Any] = {
            "confidence": middle([r["confidence"] for r in rows]),
            "least": min(r["confidence"] for r in rows),
            "above_99": sum(r["confidence"] >= CERTAIN for r in rows),
            "images": len(rows),
            "labelled_so": share(sum(r["prediction"] == r["target"] for r in rows), len(rows)).to_json(),
            "forwards": sum(r["forwards"] for r in rows),
            "backwards": sum(r["backwards"] for r in rows),
        }
        if all(r["tempered"] is not None for r in rows):
            found["tempered"] = middle([r["tempered"] for r in rows])
        if all(r["certain"] is not None for r in rows):
            reached = [r["certain"] for r in rows if r["certain"] >= 0]
            found["reached_9999"] = share(len(reached), len(rows)).to_json()
            if reached:
                found["step_of_9999"] = float(np.median(reached))
        return {**found, **self.proxies(rows), **self._course(f"{method}.{net}")}

    def elsewhere(self, method: str, net: str, seen_by: str) -> dict[str, Any]:
        """The same images as another network sees them."""
        own = {r["id"]: r for r in self.rows(method, net, net)}
        rows = self.rows(method, net, seen_by)
        same = [r["prediction"] == r["target"] for r in rows]
        both = [s and own[r["id"]]["prediction"] == r["target"] for s, r in zip(same, rows, strict=True)]
        return {
            "confidence": middle([r["confidence"] for r in rows]),
            "labelled_so": share(sum(same), len(rows)).to_json(),
            "fool_both": share(sum(both), len(rows)).to_json(),
            "above_99": sum(r["confidence"] >= CERTAIN for r in rows),
        }

    def rejected(self, method: str, net: str, seen_by: str, reject: int) -> dict[str, Any]:
        """Share of the images that a network puts into its reject class."""
        rows = self.rows(method, net, seen_by)
        return share(sum(r["prediction"] == reject for r in rows), len(rows)).to_json()

    def proxies(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Medians of the distances from real images."""
        names = ("variation", "nearest", "nearest_features")
        return {
            name: round(float(np.median([r[name] for r in rows])), 4)
            for name in names
            if all(r[name] is not None for r in rows)
        }

    def clean(self, net: str) -> dict[str, Any]:
        """Accuracy on the test images."""
        return accuracy(self._clean[f"clean.{net}"]).to_json()

    def rows(self, method: str, net: str, seen_by: str) -> list[Row]:
        """In the order of their ids."""
        return sorted(self._seen[f"{method}.{net}.{seen_by}"], key=lambda r: str(r["id"]))

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


def middle(values: Sequence[float]) -> dict[str, Any]:
    """The median of confidences with its interval.

    >>> middle([0.2, 0.4, 0.9])["value"]
    0.4
    """
    column: NDArray[np.float64] = np.asarray(values, np.float64)
    figure = median(column)
    if figure is None:  # a confidence is never infinite
        return {}
    told = figure.to_json()
    return {**told, "high": 1.0 if told["high"] is None else told["high"]}
