"""What the tables and plots of detectors share: their order, the front, names, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import wording
from unshaken.report.cells import Row

Data = Mapping[str, Any]

FEW = 3
"""Detectors whose curves are drawn."""


def by_auroc(data: Data) -> list[Row]:
    """The detectors, the highest mean AUROC first; without abnormal samples in the order of the plan."""
    return sorted(data["detection"], key=lambda d: -(d["auroc"] or {"value": -1.0})["value"])


def front(data: Data) -> set[str]:
    """The detectors that no other equals in both AUROC and time and betters in one."""
    rated = [(d["condition"], d["auroc"]["value"], d["cost"]["milliseconds"]) for d in data["detection"] if d["auroc"]]
    return {
        name
        for name, area, time in rated
        if not any(a >= area and t <= time and (a > area or t < time) for _, a, t in rated)
    }


def chosen(data: Data, few: int = FEW) -> list[str]:
    """The few detectors whose curves are drawn: the best, then others of the front, then the next best."""
    order, ahead = [d["condition"] for d in by_auroc(data)], front(data)
    return sorted(order, key=lambda name: (name != order[0], name not in ahead, order.index(name)))[:few]


def set_name(group: Row) -> str:
    """A set of samples for people: `cifar (far)`."""
    return f"{wording.method_name(group['name'])} ({group['group']})" if group["name"] else str(group["group"])


def sets_of(data: Data) -> list[Row]:
    """Every set that a detector has figures of, once."""
    found: dict[tuple[str, str], Row] = {}
    for detector in data["detection"]:
        for group in detector["groups"]:
            if group["auroc"]:
                found.setdefault((group["group"], group["name"]), group)
    return list(found.values())


def at_set(detector: Row, group: Row) -> Row | None:
    """A detector's own record of a set."""
    same = (g for g in detector["groups"] if (g["group"], g["name"]) == (group["group"], group["name"]))
    return next(same, None)


def beside_best(detector: Row) -> str:
    """How far a detector is behind the best, as text: `best`, `-2.2 (-3.4 to -1.0)` points; empty for none."""
    best = detector["best"]
    if best is None:
        return ""
    if best["detector"] == detector["condition"]:
        return "best"
    gap = best["difference"]
    if gap is None:
        return "same ranking" if best["sets"] else ""
    return f"{100 * gap['value']:+.1f} ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"


def milliseconds(value: float) -> str:
    """A time a sample as text: `5.7 ms`, `0.012 ms`, `under 0.001 ms`."""
    return "under 0.001 ms" if value < 0.001 else f"{value:.2g} ms" if value < 100 else f"{value:,.0f} ms"


def passes(cost: Row) -> str:
    """The further passes of a sample as text: `none`, `2 + 1`."""
    forwards, backwards = cost["forwards"], cost["backwards"]
    return f"{wording.number(forwards)} + {wording.number(backwards)}" if forwards or backwards else "none"


def promise(data: Data) -> str:
    """The sentence on what the thresholds promise."""
    shares = {d["accept"] for d in data["detection"] if d["accept"] is not None}
    share = wording.percent(shares.pop(), 0) if len(shares) == 1 else "the share asked for"
    return (
        "Each threshold was set on normal images kept aside for it: a new normal image of the same distribution is "
        f"accepted with a probability of {share} or more, over the draw of those images as well. So one threshold may "
        "accept a little less. Nothing is promised of abnormal images, nor after the normal ones have changed."
    )


def headline(data: Data) -> str:
    """What the section has found, in a sentence or two."""
    found = by_auroc(data)
    best = found[0]
    if not best["auroc"]:
        return "No abnormal images were scored, so nothing is known of what would be rejected."
    area = f"{wording.percent(best['auroc']['value'])} ({wording.span(best['auroc'])})"
    text = f"{best['condition']} ranks an abnormal image above a normal one {area} of the time"
    rivals = [
        d["condition"]
        for d in found[1:]
        if d["best"] and d["best"]["sets"] and (d["best"]["p_holm"] is None or d["best"]["p_holm"] >= 0.05)
    ]
    if rivals:
        text += f"; {', '.join(rivals[:FEW])}{' and others' if len(rivals) > FEW else ''} may be as good"
    return f"{text}."
