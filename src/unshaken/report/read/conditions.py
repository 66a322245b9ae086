"""What a condition's id and its norm say: its line of the plan, and whether it is a budget or a nearest example."""

from __future__ import annotations

from collections.abc import Iterable

from unshaken.core.part import Condition
from unshaken.store.config import RunConfig


def series_of(condition: Condition) -> str:
    """A condition's line of the plan: its id without the strength, such as `fog`, `pgd+2` or `pgd-linf`."""
    if condition.severity is not None:
        return condition.id.removesuffix(f"-{condition.severity}")
    if condition.eps is not None:
        return condition.id.removesuffix(f"-{condition.eps:.6g}")
    return condition.id


def label_of(condition: Condition) -> str:
    """The name that a plan's line has: `fog`, `pgd+2`."""
    series = series_of(condition)
    return series.removesuffix(f"-{condition.norm}") if condition.norm else series


def is_nearest(condition: Condition) -> bool:
    """Whether it holds the nearest example at any distance: a norm, and no budget. Accuracy under it says nothing."""
    return condition.norm is not None and condition.eps is None


def by_plan(conditions: Iterable[Condition], config: RunConfig) -> list[Condition]:
    """Conditions in the order of the plan; of one line by strength, the nearest example last."""
    place: dict[str, int] = {}
    for i, entry in enumerate(config.plan):
        place.setdefault(entry.method, i)

    def key(c: Condition) -> tuple[int, int, str, str, bool, float]:
        label = label_of(c)
        return place.get(c.method, len(place)), len(label), label, c.norm or "", is_nearest(c), c.severity or c.eps or 0

    return sorted(conditions, key=key)
