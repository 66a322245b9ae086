"""Figures under dotted and nested names, and the effects that rules judge: differences, means over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:  # papers are listed without numpy and scipy
    from numpy.typing import NDArray

    from unshaken.measure.statistics.columns import Numbers


_FIRST = re.compile(r"(?:(?!\.).|(?<=\d)\.(?=\d))+")
"""The first part of a dotted name; a dot between two digits is of a number."""


class Nested(Mapping[str, Any]):
    """A view of figures under dotted names as mappings in mappings.

    A name may hold a dot itself, as in `noise-0.1.accuracy`: what is asked for by name is found however the dots lie;
    only listing takes a dot between two digits for that of a number.

    Args:
        flat: dotted name to a figure or a plain value.
        prefix: of the names that belong to this view.

    >>> view = Nested({"noise-0.1.accuracy": 0.5, "noise-0.1.cost": 2, "n": 7})
    >>> view["noise-0.1"]["cost"], list(view), "noise-0.2" in view
    (2, ['noise-0.1', 'n'], False)
    """

    def __init__(self, flat: Mapping[str, Any], prefix: str = "") -> None:
        self._flat, self._prefix = flat, prefix

    @override
    def __getitem__(self, name: str) -> Any:
        whole = self._prefix + name
        if whole in self._flat:
            return self._flat[whole]
        if any(key.startswith(f"{whole}.") for key in self._flat):
            return Nested(self._flat, f"{whole}.")
        raise KeyError(whole)

    @override
    def __iter__(self) -> Iterator[str]:
        own = (key[len(self._prefix) :] for key in self._flat if key.startswith(self._prefix))
        return iter(dict.fromkeys(found[0] for name in own if (found := _FIRST.match(name))))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


def flat(figures: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested figures under one dotted name each; a figure with its interval stays whole.

    >>> flat({"photos": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 96, "interval": "..."}, "law": 0.8}})
    {'photos.accuracy': {'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 96, 'interval': '...'}, 'photos.law': 0.8}
    """
    found: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and "interval" not in value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def unpaired(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The first figure less the second where they are not paired: above 0 where their intervals are apart.

    An end is None where the interval of either has none there.

    >>> unpaired({"value": 0.75, "low": 0.5, "high": 1.0}, {"value": 0.25, "low": 0.0, "high": 0.375})
    {'value': 0.5, 'low': 0.125, 'high': 1.0}
    """
    return {
        "value": one["value"] - other["value"],
        "low": _minus(one["low"], other["high"]),
        "high": _minus(one["high"], other["low"]),
    }


def constant(value: float) -> dict[str, float]:
    """A number without uncertainty as a figure, such as what `unpaired` subtracts.

    >>> unpaired(constant(1.0), {"value": 0.25, "low": 0.125, "high": 0.5})
    {'value': 0.75, 'low': 0.5, 'high': 0.875}
    """
    return {"value": value, "low": value, "high": value}


def negated(figure: Mapping[str, Any]) -> dict[str, Any]:
    """The other sign of a difference; an end that the interval does not have stays None.

    >>> negated({"value": 0.25, "low": None, "high": 0.5})
    {'value': -0.25, 'low': -0.5, 'high': None}
    """
    low, high = (None if end is None else -end for end in (figure["high"], figure["low"]))
    return {**figure, "value": -figure["value"], "low": low, "high": high}


def complement(share: Mapping[str, Any]) -> dict[str, Any]:
    """One less a share; an end that the interval does not have stays None.

    >>> complement({"value": 0.25, "low": 0.125, "high": 0.5, "n": 8})
    {'value': 0.75, 'low': 0.5, 'high': 0.875, 'n': 8}
    """
    low, high = _minus(1, share["high"]), _minus(1, share["low"])
    return {**share, "value": 1 - share["value"], "low": low, "high": high}


def scaled(figure: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """A figure times a number above 0; an end that the interval does not have stays None.

    >>> scaled({"value": 0.5, "low": 0.25, "high": 1.0}, 0.5)
    {'value': 0.25, 'low': 0.125, 'high': 0.5}
    """
    ends = {name: None if figure[name] is None else figure[name] * factor for name in ("low", "high")}
    return {**figure, "value": figure["value"] * factor, **ends}


def across_seeds(
    values: Sequence[float | NDArray[Any]] | NDArray[Any],
    *,
    low: float = -1.0,
    high: float = 1.0,
    level: float = 0.95,
    step: float = 0.0,
    influence: bool = False,
) -> dict[str, Any]:
    """The mean over seeds with its interval, which one seed does not have.

    Args:
        values: one a seed; or one row a seed, of the values of the same samples, `[S, N]`. Then the interval is for
            other samples too; see `unshaken.measure.over_seeds` and `over_seeds_and_samples`.
        low: lower end of the figure's range.
        high: upper end.
        level: coverage of the interval.
        step: distance of the values that a seed can have, such as 1/N for a share of N images; of numbers a seed.
        influence: the rows are those of a statistic that is no mean, by `measure.influence` or `auroc_influence`.

    >>> across_seeds([[0, 1], [1, 1]], low=0.0)["interval"]
    'student 95% over 2 seeds and 2 samples'
    """
    import numpy as np

    if len(values) < 2:
        return {"value": float(np.mean(values[0])), "low": None, "high": None}
    from unshaken.measure import over_seeds, over_seeds_and_samples

    table = np.asarray(values, np.float64)
    if table.ndim > 1:
        return over_seeds_and_samples(table, low=low, high=high, level=level, influence=influence).to_json()
    return over_seeds(table, low=low, high=high, level=level, step=step).to_json()


def mean_over(
    seeds: Iterable[Any],
    figure: Callable[..., float | NDArray[Any]],
    *given: Any,
    low: float = -1.0,
    high: float = 1.0,
    step: float = 0.0,
    influence: bool = False,
) -> dict[str, Any]:
    """The mean over seeds of what a function makes of each, with its interval; see `across_seeds`.

    Figures that are all means over the same seeds are written shortest with `over = partial(mean_over, seeds)`.

    Args:
        seeds: rows, figures, or whatever the function takes, one a seed.
        figure: called as `figure(seed, *given)`; a number, or the values `[N]` of samples that are the same ones in
            each seed and in one order: the interval is then for other seeds and other samples.
        given: its further arguments.
        low: lower end of the figure's range.
        high: upper end.
        step: distance of the values that a seed can have; see `across_seeds`.
        influence: the values are those of a statistic that is no mean; see `across_seeds`.

    >>> mean_over([{"a": 0.25}, {"a": 0.75}], lambda seed, name: seed[name], "a", low=0.0)["value"]
    0.5
    """
    return across_seeds([figure(seed, *given) for seed in seeds], low=low, high=high, step=step, influence=influence)


def values_of(seeds: Iterable[Mapping[str, Any]], *names: str) -> Numbers:
    """A figure of each seed, or a plain number, as a column `[S]` that can be added and subtracted.

    Args:
        seeds: the figures of each seed.
        names: under which it is nested.

    >>> values_of([{"pgd": {"value": 0.5, "low": 0.25, "high": 0.75}}, {"pgd": 0.25}], "pgd").tolist()
    [0.5, 0.25]
    """
    import numpy as np

    found = []
    for figure in seeds:
        for name in names:
            figure = figure[name]
        found.append(float(figure["value"] if isinstance(figure, Mapping) else figure))
    return np.array(found, np.float64)


def _minus(end: float | None, other: float | None) -> float | None:
    """One end of an interval less another; None where one is missing."""
    return None if end is None or other is None else end - other


def standard_error(values: Sequence[float] | NDArray[Any], errors: float = 1.0) -> dict[str, Any]:
    """The mean, between `errors` standard errors below and above; of one seed without ends.

    Args:
        values: one a seed, such as differences of two arms; or one row a seed, of values of the same samples, `[S, N]`:
            the standard error is then for other seeds and other samples, see `measure.over_seeds_and_samples`.
        errors: number of standard errors on either side.

    >>> found = standard_error([1.0, 2.0, 3.0])
    >>> round(found["low"], 4), found["value"], found["n"]
    (1.4226, 2.0, 3)
    """
    import numpy as np

    from unshaken.measure import Figure
    from unshaken.measure.statistics.means import crossed_error

    column, n = np.asarray(values, np.float64), len(values)
    mean = float(column.mean())
    if column.ndim > 1 and n > 1:
        apart, samples = errors * crossed_error(column)[0], column.shape[1]
        method = f"{errors:g} standard errors over {n} seeds and {samples:,} samples"
        return Figure(mean, mean - apart, mean + apart, samples, method).to_json()
    apart = errors * float(column.std(ddof=1)) / n**0.5 if n > 1 else math.inf
    return Figure(mean, mean - apart, mean + apart, n, f"{errors:g} standard errors over seeds").to_json()
