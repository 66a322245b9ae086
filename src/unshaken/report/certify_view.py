"""What the report's section on certificates shows, arranged: a plot for each, and the figures beside each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from unshaken.report import plots, wording

Row = dict[str, Any]

_EDGE = 1.05  # of the largest size, so that the last step is seen


@dataclass(frozen=True, slots=True)
class Line:
    """Figures at one size.

    Args:
        radius: the size.
        certified: share that holds, whatever the class; None where only an attack has this size.
        accuracy: share that holds and is right.
        attacked: share that an attack of this size leaves right; None where none was run.
    """

    radius: float
    certified: Row | None
    accuracy: Row | None
    attacked: Row | None


def lines(one: Row) -> list[Line]:
    """The sizes of a certified condition, rising."""
    held = {round(r["radius"], 9): r for r in one["radii"]}
    left = {round(a["radius"], 9): a["accuracy"] for a in one["attacked"]}
    found = []
    for radius in sorted({*held, *left}):
        row = held.get(radius) or {"certified": None, "accuracy": None}
        found.append(Line(radius, row["certified"], row["accuracy"], left.get(radius)))
    return found


def certified_plots(data: Row) -> list[plots.Plot]:
    """Certified accuracy against the size, a stair each, beside what an attack leaves; those with two steps or more."""
    return [_plot(one) for one in data["certified"] if len(one["radii"]) + len(one["attacked"]) > 1 and one["radii"]]


def _plot(one: Row) -> plots.Plot:
    norm = wording.NORMS.get(one["norm"], str(one["norm"]))
    key = "accuracy" if one["radii"][0]["accuracy"] else "certified"
    most = max(r["radius"] for r in [*one["radii"], *one["attacked"]])
    place, ticks = plots.linear_axis(most * _EDGE or 1.0)
    steps = [
        plots.point(
            place(r["radius"]), r[key], f"within {r['radius']:.4g}: {wording.percent(r[key]['value'])} certified"
        )
        for r in one["radii"]
    ]
    traces = [_stairs("certified and right" if key == "accuracy" else "certified", steps)]
    told = [f"certified: {', '.join(p.text for p in steps)}"]
    if one["attacked"]:
        start = [{"radius": 0.0, "accuracy": one["clean"]}] if one["clean"] else []
        marks = [
            plots.point(
                place(a["radius"]),
                a["accuracy"],
                f"attacked within {a['radius']:.4g}: {wording.percent(a['accuracy']['value'])} left",
            )
            for a in [*start, *one["attacked"]]
        ]
        traces.append(plots.curve("left by an attack", 1, marks))
        told.append(", ".join(m.text for m in marks))
    level = plots.down(one["clean"]["value"]) if one["clean"] else None
    name = wording.method_name(one["condition"])
    return plots.Plot(name, f"size of the change ({norm})", ticks, tuple(traces), level, f"{name}. {'; '.join(told)}")


def _stairs(name: str, steps: list[plots.Point]) -> plots.Trace:
    """The share of a radius stands up to it, and the next one from there on."""

    def corners(heights: list[float]) -> list[tuple[float, float]]:
        found = [(0.0, heights[0]), (steps[0].x, heights[0])]
        for (before, after), y in zip(itertools.pairwise(steps), heights[1:], strict=True):
            found += [(before.x, y), (after.x, y)]
        return found

    band = [*corners([p.high for p in steps]), *reversed(corners([p.low for p in steps]))]
    line = corners([p.y for p in steps])
    return plots.Trace(name, 0, tuple(steps), plots.outline(line), plots.outline(band))


def cost(one: Row) -> str:
    """What it took, as a sentence."""
    samples = one["samples"]
    if samples["most"] <= 1:
        return f"no votes; {wording.seconds(one['seconds'])} in all"
    return (
        f"{samples['mean']:,.0f} votes a sample on average (half took {samples['median']:,.0f} or fewer, the most "
        f"{samples['most']:,}), {wording.seconds(one['seconds'])} in all"
    )
