"""Detectors: their order, names and sentences, plots, and the most abnormal pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.core.numbers import show_budget
from unshaken.core.part import CLEAN
from unshaken.measure.detection.ranking import RocBand, roc_band
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Group, Heading, Prose, Span, Table, TableRow, Text
from unshaken.report.cells import Row
from unshaken.report.drawings import Exhibit, Gallery, Picture, Plot, Point, Trace
from unshaken.report.figures import pictures, plots
from unshaken.report.figures.detected import COVARIATE, RESAMPLES, split_of
from unshaken.report.read.scores import NORMAL, Numbers, RunScores, Scores
from unshaken.report.sections import Report

_BINS, _TAIL, _ROOM = 36, 0.005, 1.05
_WIDE = 2.0  # times the longest time, so that there is room for its name
_FASTEST = 1e-4  # milliseconds; no clock tells less apart
_MOST = 4  # ROC plots shown
_RATES = 48
_FLOOR = 1e-3
SHOWN = 9
"""Pictures a set at most."""
SIZE = 400_000
"""Characters of all these pictures together."""
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
    return f"{_set(group)} ({group_name(group['group'])})" if group["name"] else group_name(group["group"])


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


def group_name(group: str) -> str:
    """A group of sets for people; `shift` for the run's own images under one."""
    return "shift" if group == COVARIATE else group


def differences(data: Data) -> Table | None:
    """How far each detector is from the best of a group and from the softmax baseline; None without pairs."""
    groups = {group: members for group, members in group_means(data).items() if len(members) > 1}
    if not groups:
        return None
    rows = list[TableRow]()
    for group, members in groups.items():
        rows.append(Group(group_name(group)))
        rows += [(d["condition"], _gap(d, m["best"]), _gap(d, m["softmax"])) for d, m in members]
    caption = (
        "Difference of the mean AUROC of a group, in pairs of the same images; the intervals of a column hold together "
        "at 95 %. ▼ is worse by more than chance explains."
    )
    baseline = any(m["softmax"] for members in groups.values() for _, m in members)
    heads = cells.columns("detector", "to the best", "to the softmax baseline" if baseline else None)
    return Table(caption, heads, tuple(r if isinstance(r, Group) else r[: len(heads)] for r in rows))


def is_worse(other: Row | None) -> bool:
    """Whether a detector is shown to be worse than the one that it stands beside."""
    return bool(other and other["difference"] and other["difference"]["high"] < 0)


def _gap(detector: Row, other: Row | None) -> Cell:
    gap = other and other["difference"]
    if not other or not gap:
        return Cell(
            "itself" if other and other["detector"] == detector["condition"] else "same ranking" if other else ""
        )
    text = f"{gap['value']:+.3f}"
    interval = f"{gap['low']:+.3f} to {gap['high']:+.3f}"
    return Cell(Span(f"▼ {text}", "bad") if is_worse(other) else text, interval)


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


def group_means(data: Data) -> dict[str, list[tuple[Row, Row]]]:
    """Each group of sets with the detectors that have a mean AUROC of it and that mean, the highest first."""
    found: dict[str, list[tuple[Row, Row]]] = {}
    for detector in data["detection"]:
        for mean in detector["means"]:
            if mean["auroc"]:
                found.setdefault(mean["group"], []).append((detector, mean))
    return {group: sorted(all_, key=lambda pair: -pair[1]["auroc"]["value"]) for group, all_ in found.items()}


def group_lines(data: Data) -> list[Text]:
    """What was found in each group of sets and of attacks, a line each; an AUROC below 0.5 is marked as bad."""
    lines = [_group_line(group, members) for group, members in group_means(data).items()]
    if not lines and data["detection"]:
        lines = ["No abnormal images were scored, so nothing is known of what would be rejected."]
    return [*lines, *_attack_lines(data)]


def _group_line(group: str, members: list[tuple[Row, Row]]) -> Text:
    (best, mean), *others = members
    area, several = mean["auroc"], f" (mean of {mean['sets']} sets)" if mean["sets"] > 1 else ""
    low, high = (f"{area[end]:.3f}" for end in ("low", "high"))
    text = Span(f"AUROC {area['value']:.3f}", "bad" if area["value"] < cells.COIN else "strong")
    line: list[str | Span] = [f"{group_name(group)}: {best['condition']}, ", text, f" ({low} to {high}){several}"]
    if others:
        line[0] = f"{group_name(group)}: best of {len(members)} is {best['condition']}, "
        near = [d["condition"] for d, m in others if not is_worse(m["best"])]
        line.append(f"; {_some(near)} may be as good" if near else "")
    below = sorted(
        (g["auroc"]["value"], f"{d['condition']}{f' at {_set(g)}' if g['name'] else ''}")
        for d, _ in members
        for g in d["groups"]
        if g["group"] == group and g["auroc"] and g["auroc"]["value"] < cells.COIN
    )
    if below:
        named = _some([f"{name} {value:.3f}" for value, name in below])
        line += ["; ", Span("below 0.5", "bad"), f", ranked the wrong way round: {named}"]
    if poor := [d["condition"] for d, m in members if is_worse(m["softmax"])]:
        baseline = members[0][1]["softmax"]["detector"]
        line += ["; ", Span("worse", "bad"), f" than the softmax baseline {baseline}: {_some(poor)}"]
    return (*line, ".")


def _attack_lines(data: Data) -> list[Text]:
    """Which detector is evaded least and most at each budget, by attacks that know it where there are some."""
    budgets: dict[tuple[str, float], list[tuple[Row, str]]] = {}
    for detector in data["detection"]:
        for one in detector["attacked"]:
            if figure := one["adaptive"] or one["naive"]:
                budgets.setdefault((one["norm"], one["eps"]), []).append((figure["past"], detector["condition"]))
    found = list[Text]()
    for (norm, eps), members in budgets.items():
        members.sort(key=lambda pair: float(pair[0]["value"]))
        (least, name), (most, other) = members[0], members[-1]
        bad = "bad" if most["value"] > cells.COIN else "strong"
        text = f"attack, {wording.NORMS.get(norm, norm)} ε {show_budget(eps)}: past the model and {name} "
        line: list[str | Span] = [text, Span(wording.percent(least["value"]), bad if len(members) == 1 else "strong")]
        line.append(f" ({wording.span(least)}) of the attacked images")
        if len(members) > 1:
            line += [f"; most, past {other}, ", Span(wording.percent(most["value"]), bad)]
        found.append((*line, "."))
    return found


def _set(group: Row) -> str:
    return wording.method_name(group["name"])


def _some(names: Sequence[str]) -> str:
    return cells.listed([*names[:FEW], *(["others"] if len(names) > FEW else [])])


# The most abnormal pictures that a run kept.
def galleries(report: Report, every: RunScores, *, shown: int = SHOWN, size: int = SIZE) -> list[Block]:
    """Pictures by the scores of the best detector: the normal ones first, then each set with images of its own.

    Args:
        report: of the run.
        every: its scores.
        shown: pictures a set at most.
        size: characters of all pictures together.
    """
    best = by_auroc(report.data)[0]
    sets, classes = every.sets[best["condition"]], report.source.config.classes
    named = {NORMAL: "normal"} | {split_of(g): set_name(g) for g in best["groups"]}
    found = list[Block]()
    for split, name in named.items():
        scores = sets.get(split)
        if scores is None or (split != NORMAL and scores.place is sets[NORMAL].place):
            continue  # pictures of the own images under a shift are not kept
        images = {**scores.place.examples(CLEAN.id), **scores.place.examples(scores.condition)}
        places = [i for i in (-scores.score).argsort(kind="stable") if scores.known[i] and scores.ids[i] in images]
        exhibits = []
        for i in places[:shown]:
            picture = Picture(pictures.address(images[scores.ids[i]]), f"Sample {scores.ids[i]}")
            exhibits.append(Exhibit((picture,), _lines(scores, i, classes, normal=split == NORMAL)))
            size -= len(picture.address)
        if size < 0:
            break
        if exhibits:
            pixels = max(next(iter(images.values())).shape[1:]) < pictures.SIDE
            text = (f"{name} ", Span(f"{len(exhibits)} of {len(images)} kept", "soft"))
            found += [Prose(text), Gallery(tuple(exhibits), pixels)]
    if not found:
        return []
    about = (
        f"Of the pictures that the run kept, those with the highest score of {best['condition']}, with the class that "
        "the model predicts."
    )
    return [Heading("The most abnormal pictures", level=3), Prose(about, "small"), *found]


def _lines(scores: Scores, i: int, classes: Sequence[str], *, normal: bool) -> tuple[Text, ...]:
    accepted = bool(scores.accepted[i])
    verdict = Span("accepted" if accepted else "rejected", "good" if accepted == normal else "bad")
    predicted = pictures.class_name(classes, int(scores.prediction[i]))
    return verdict, f"{scores.score[i]:.4g}", Span(predicted, "soft")


# Plots: AUROC against time, densities of scores, ROC curves with bands.


def front_plot(data: Data) -> Plot | None:
    """Mean AUROC against the time of a sample, numbered as in the table; the front is joined. None below two."""
    rated = [d for d in by_auroc(data) if d["auroc"]]
    if len(rated) < 2:
        return None
    times = [max(d["cost"]["milliseconds"], _FASTEST) for d in rated]
    place, ticks = plots.log_axis(min(times) / _WIDE, max(times) * _WIDE)
    floor = math.floor(20 * min(d["auroc"]["low"] for d in rated)) / 20

    def down(share: float) -> float:
        return round(100 * (1 - share) / (1 - floor), 2) if floor < 1 else 0.0

    marks = []
    for one, time in zip(rated, times, strict=True):
        area = one["auroc"]
        text = f"{one['condition']}: AUROC {area['value']:.3f} at {milliseconds(time)}"
        ends = down(area["value"]), down(area["low"]), down(area["high"])
        marks.append(Point(place(time), *ends, text, one["condition"]))
    ahead = front(data)
    joined = sorted((m.x, m.y) for m, d in zip(marks, rated, strict=True) if d["condition"] in ahead)
    trace = Trace("no other is both better and faster", 0, tuple(marks), plots.outline(joined))
    rows = tuple((down(s), f"{s:.3g}") for s in np.linspace(floor, 1, 5))
    words = "; ".join(m.text for m in marks)
    name, axis = (
        "Mean AUROC against time",
        "milliseconds a sample beyond the shared pass, logarithmic; numbers are those of the table",
    )
    return Plot(name, axis, ticks, plots.labelled([trace]), None, f"{name}. {words}", rows, numbered=True)


def densities(data: Data, scores: RunScores) -> list[Plot]:
    """How the scores of each set lie beside those of normal samples, one plot a chosen detector."""
    return [p for name in chosen(data) if (p := _density(data, scores, name)) is not None]


def _density(data: Data, scores: RunScores, name: str) -> Plot | None:
    record = next(d for d in data["detection"] if d["condition"] == name)
    sets = scores.sets[name]
    groups = [g for g in record["groups"] if len(sets[split_of(g)].values)][: plots.STYLES - 1]
    if not len(sets[NORMAL].values):
        return None
    columns = {"normal": sets[NORMAL].values} | {set_name(g): sets[split_of(g)].values for g in groups}
    low = min(float(np.quantile(v, _TAIL)) for v in columns.values())
    high = max(float(np.quantile(v, 1 - _TAIL)) for v in columns.values())
    if not low < high:
        return None
    edges = np.linspace(low, high, _BINS + 1)
    shares = {k: np.histogram(v.clip(low, high), edges)[0] / len(v) for k, v in columns.items()}
    peak = max(float(s.max()) for s in shares.values()) * _ROOM

    def place(score: float) -> float:
        return round(100 * (score - low) / (high - low), 2)

    traces = [_hills(k, i, s / peak) for i, (k, s) in enumerate(shares.items())]
    digits = 3 + max(0, math.ceil(math.log10(max(abs(low), abs(high)) / (high - low))))
    ticks = tuple((place(t), f"{t:.{digits}g}") for t in np.linspace(low, high, 5))
    ends = [e for e in record["boundary"].values() if e is not None]
    middle = float(np.mean(ends)) if len(ends) == 2 else None
    marker = (place(middle), "threshold") if middle is not None and low <= middle <= high else None
    words = "; ".join(f"half of {k} lie below {np.median(v):.4g}" for k, v in columns.items())
    axis = "score; further right is more abnormal"
    return Plot(name, axis, ticks, tuple(traces), None, f"{name}. {words}", ((100.0, ""),), marker)


def _hills(name: str, style: int, heights: Numbers) -> Trace:
    """A histogram as an outline with steps."""
    corners, width = [(0.0, 100.0)], 100 / len(heights)
    for i, height in enumerate(heights.tolist()):
        y = round(100 * (1 - height), 2)
        corners += [(round(i * width, 2), y), (round((i + 1) * width, 2), y)]
    corners.append((100.0, 100.0))
    line = plots.outline(corners)
    return Trace(name, style, (), line, line if not style else "", marked=False)


def curves(data: Data, scores: RunScores) -> list[Plot]:
    """ROC curves with bands of the chosen detectors, one plot a set; false alarms on a logarithmic axis."""
    return [p for g in sets_of(data)[:_MOST] if (p := _curves(data, scores, g)) is not None]


def _curves(data: Data, scores: RunScores, group: Row) -> Plot | None:
    split, bands = split_of(group), dict[str, RocBand]()
    for name in chosen(data):
        sets = scores.sets[name]
        if split in sets and len(sets[NORMAL].values) and len(sets[split].values):
            floor = max(_FLOOR, 10 ** math.floor(math.log10(1 / len(sets[NORMAL].values))))
            grid = np.geomspace(min(floor, 0.01), 1, _RATES)
            bands[name] = roc_band(sets[NORMAL].values, sets[split].values, grid=grid, resamples=RESAMPLES)
    if not bands:
        return None
    least = min(float(b.false_alarm_rate[0]) for b in bands.values())
    decades = round(-math.log10(least))

    def place(rate: float) -> float:
        return round(100 * (1 + math.log10(rate) / decades), 2)

    traces = []
    for style, (name, band) in enumerate(bands.items()):
        columns = zip(band.false_alarm_rate, band.detection_rate, band.low, band.high, strict=True)
        points = [
            Point(place(float(x)), plots.down(float(y)), plots.down(float(lo)), plots.down(float(hi)), "")
            for x, y, lo, hi in columns
        ]
        traces.append(plots.curve(name, style, points, band=True, marked=False))
    ticks = tuple((place(10.0**-k), f"{100 * 10.0**-k:g}") for k in range(decades, -1, -1))
    words = "; ".join(f"{n}: {wording.percent(_at(b, 0.05))} at 5 % false alarms" for n, b in bands.items())
    name = set_name(group)
    return Plot(name, "false alarms, % of normal images", ticks, tuple(traces), None, f"{name}. {words}")


def _at(band: RocBand, rate: float) -> float:
    return float(band.detection_rate[np.searchsorted(band.false_alarm_rate, rate + 1e-9, side="right") - 1])
