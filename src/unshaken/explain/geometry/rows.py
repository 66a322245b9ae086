"""Rows of the table `geometry`, one a quantity."""

from __future__ import annotations

from typing import Any

from unshaken.measure import Figure


class GeometryRows:
    """Collects quantities with their intervals."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.figures: dict[str, Figure] = {}

    def add(
        self, quantity: str, figure: Figure, *, model: str | None = None, layer: str = "", depth: float | None = None
    ) -> None:
        """A quantity of the data, or of a layer's features of it.

        Args:
            quantity: its name.
            figure: its value and interval.
            model: name; None for a quantity of the data alone.
            layer: name; empty for the data.
            depth: of the layer in [0, 1].
        """
        place = {"model": model, "layer": layer, "depth": depth, "quantity": quantity}
        self.rows.append(
            {**place, "value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n, "error": None}
        )
        self.figures[": ".join(filter(None, (model, layer, quantity)))] = figure

    def fail(
        self, quantity: str, error: str, *, model: str | None = None, layer: str = "", depth: float | None = None
    ) -> None:
        """A quantity that cannot be told, with the reason."""
        place = {"model": model, "layer": layer, "depth": depth, "quantity": quantity}
        self.rows.append({**place, "value": None, "low": None, "high": None, "n": None, "error": error})

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The rows as columns."""
        return {key: [row[key] for row in self.rows] for key in (self.rows[0] if self.rows else ())}
