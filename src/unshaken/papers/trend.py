"""`Trend`: the effect of each check of a row along one parameter, as it is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.errors import DataError
from unshaken.papers.paper import Scale

NAME = "trend-{}.json"
_Z = 1.959963984540054


class TrendPoint(BaseModel):
    """An effect at one value of the parameter.

    Args:
        at: the place along the axis.
        value: of the effect.
        low: lower end of its interval, if it has one.
        high: upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    value: float
    low: float | None = None
    high: float | None = None


class Curve(BaseModel):
    """The effect of one check of a part along a parameter.

    Args:
        part: of the claim.
        words: what the effect is.
        points: by rising place, two at least.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str
    words: str
    points: tuple[TrendPoint, ...]

    def slope(self) -> dict[str, Any] | None:
        """By how much the effect rises with each doubling of the place, by weighted least squares, with its interval.

        Intervals count as those of independent normal values. None where one has no interval, or places are 0 or less,
        or all alike.

        >>> ends = ((1, 0.0), (2, 1.0), (4, 2.0))
        >>> points = [TrendPoint(at=at, value=v, low=v - 1.96, high=v + 1.96) for at, v in ends]
        >>> found = Curve(part="gain", words="gain", points=points).slope()
        >>> round(found["value"], 6), round(found["high"] - found["value"], 3)
        (1.0, 1.386)
        """
        widths = [p.high - p.low for p in self.points if p.low is not None and p.high is not None]
        least, most = min(p.at for p in self.points), max(p.at for p in self.points)
        if len(widths) < len(self.points) or min(widths) <= 0 or not 0 < least < most:
            return None
        weights = [(2 * _Z / width) ** 2 for width in widths]
        places = [math.log2(p.at) for p in self.points]
        middle = sum(w * x for w, x in zip(weights, places, strict=True)) / sum(weights)
        spread = sum(w * (x - middle) ** 2 for w, x in zip(weights, places, strict=True))
        rise = sum(w * (x - middle) * p.value for w, x, p in zip(weights, places, self.points, strict=True)) / spread
        half = _Z / math.sqrt(spread)
        return {"value": rise, "low": rise - half, "high": rise + half}


class Trend(BaseModel):
    """A row at several values of one parameter.

    Args:
        slug: of the row.
        parameter: that was varied.
        along: what the places are, in words or as the dotted name of a figure.
        scale: of the other parameters.
        seed: the run seed of every run.
        data: SPEC.
        model: SPEC.
        seconds: wall time of all runs.
        curves: one a check that has an effect.
        provenance: of the last run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    slug: str = Field(pattern=r"^[a-z0-9-]+$")
    parameter: str
    along: str
    scale: Scale
    seed: int
    data: str
    model: str
    seconds: float = Field(ge=0)
    curves: tuple[Curve, ...]
    provenance: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        """As kept and printed."""
        return self.model_dump(mode="json", by_alias=True)


def read_trends(folder: Path) -> list[Trend]:
    """The trends that are kept in a row's folder.

    Raises:
        DataError: a file is no trend.
    """
    found = []
    for path in sorted(folder.glob(NAME.format("*"))):
        try:
            found.append(Trend.model_validate_json(path.read_text(encoding="utf-8")))
        except (ValidationError, ValueError) as error:
            raise DataError(f"{path} is no trend of a row ({str(error).splitlines()[0]}): make it again") from None
    return found
