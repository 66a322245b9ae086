"""`Figure`: a number that never travels without its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unshaken.core.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number, its interval and what it was measured on.

    A figure of nothing does not exist: where there is no sample to measure, functions raise, or return None where
    that is an outcome of the data and not a mistake of the caller (each says which).

    Args:
        value: the number, finite.
        low: lower end of the interval, at most `value`; minus infinity when unbounded.
        high: upper end, at least `value`; infinity when unbounded.
        n: samples (or models, where the docstring says so) behind the number, at least 1.
        interval: the interval's method and level, as in `clopper-pearson 95%`.

    Raises:
        ParameterError: a number is not a number, the value is outside its interval, or n is below 1.
    """

    value: float
    low: float
    high: float
    n: int
    interval: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or math.isnan(self.low) or math.isnan(self.high):
            raise ParameterError(
                f"a figure must be a finite number with an interval, not {self.value} in [{self.low}, {self.high}]; "
                "leave out the rows that have no value"
            )
        if not self.low <= self.value <= self.high:
            raise ParameterError(f"the figure {self.value} is outside its interval [{self.low}, {self.high}]")
        if self.n < 1:
            raise ParameterError(f"a figure needs at least 1 sample, not n = {self.n}")

    def to_json(self) -> dict[str, float | int | str | None]:
        """The five fields, as plain numbers; an unbounded end is None, for JSON has no infinity.

        >>> Figure(0.5, 0.0, math.inf, 3, "order statistics 95%").to_json()
        {'value': 0.5, 'low': 0.0, 'high': None, 'n': 3, 'interval': 'order statistics 95%'}
        """
        return {
            "value": float(self.value),
            "low": float(self.low) if math.isfinite(self.low) else None,
            "high": float(self.high) if math.isfinite(self.high) else None,
            "n": int(self.n),
            "interval": self.interval,
        }
