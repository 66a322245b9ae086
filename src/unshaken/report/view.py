"""What the report's page shows, arranged: tiles, strips, curves, heat maps. Templates only draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.report import charts, wording
from unshaken.report.compare import RunComparison
from unshaken.report.others import Other
from unshaken.run.order import CERTIFICATE, DETECTOR

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dot:
    """A condition on a strip.

    Args:
        x: per cent.
        text: what it is, in words.
        label: its strength, short.
        last: it is the series' lowest.
    """

    x: float
    text: str
    label: str
    last: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """One run's dots of one series, with the interval of the lowest."""

    name: str
    dots: tuple[Dot, ...]
    low: float
    high: float
    lowest: Row

    @property
    def ends(self) -> tuple[float, float]:
        """The leftmost and the rightmost dot."""
        return min(d.x for d in self.dots), max(d.x for d in self.dots)


@dataclass(frozen=True, slots=True)
class Strip:
    """A series: one lane a run, this report's first."""

    name: str
    worst: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a heat map: the share, and how far it fell below the clean one, in [0, 1]."""

    text: str
    fall: float
    title: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A heat map: columns of strengths, rows of series; None where nothing was run."""

    caption: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def metric(row: Row) -> Row | None:
    """The figure that pages show: accuracy, or without labels consistency with the clean prediction."""
    figure: Row | None = row.get("accuracy") or row.get("consistency")
    return figure


def attacked(row: Row) -> bool:
    """Whether it takes an attacker."""
    return bool(row.get("group", "attack") == "attack")


def changes_of(data: Row) -> list[Row]:
    """The conditions that speak of the model itself; what certificates and detectors speak of stands with these."""
    return [row for row in data["conditions"] if row.get("group") not in (CERTIFICATE, DETECTOR)]


def clean_figure(data: Row) -> Row | None:
    """The figure of the unchanged images; without labels there is none."""
    clean: Row | None = data["clean"]
    return clean


def series(data: Row) -> dict[str, list[Row]]:
    """The conditions that have a figure, by series, in the order of the plan."""
    found: dict[str, list[Row]] = {}
    for row in changes_of(data):
        if metric(row) is not None:
            found.setdefault(wording.series_of(row), []).append(row)
    return found


def worst_of(rows: Sequence[Row]) -> Row | None:
    """The condition with the lowest figure."""
    return min((r for r in rows if metric(r)), key=lambda r: float((metric(r) or {})["value"]), default=None)


def strips(data: Row, others: Sequence[Other]) -> list[Strip]:
    """One strip a series, the most damaging first."""
    result = []
    for rows in series(data).values():
        own = _lane("this run", [(r, metric(r)) for r in rows])
        lanes = [own] if own else []
        for other in others:
            lane = _lane(other.name, [(r, other.figures.get(r["condition"])) for r in rows])
            lanes += [lane] if lane else []
        worst = worst_of(rows)
        if own and worst:
            result.append(Strip(wording.series_name(rows[0]), wording.strength(worst), tuple(lanes)))
    return sorted(result, key=lambda s: float(s.lanes[0].lowest["value"]))


def _lane(name: str, figures: Sequence[tuple[Row, Row | None]]) -> Lane | None:
    there = [(row, f) for row, f in figures if f is not None]
    if not there:
        return None
    lowest = min((f for _, f in there), key=lambda f: float(f["value"]))
    dots = tuple(
        Dot(
            x=round(100 * f["value"], 2),
            text=f"{wording.strength(row) or 'changed'}: {wording.percent(f['value'])}",
            label=wording.short_strength(row),
            last=f is lowest,
        )
        for row, f in there
    )
    return Lane(name, dots, round(100 * lowest["low"], 2), round(100 * lowest["high"], 2), lowest)


@dataclass(frozen=True, slots=True)
class Multiple:
    """A small chart of one series against its strength."""

    name: str
    steps: list[tuple[float, str]]
    curves: tuple[charts.Curve, ...]
    clean: float | None
    text: str


def multiples(data: Row, others: Sequence[Other]) -> list[Multiple]:
    """Small charts of the series that have two strengths or more."""
    clean = clean_figure(data)
    found = []
    for rows in series(data).values():
        if len(rows) < 2:
            continue
        start = [("clean", clean)] if clean else []
        own = start + [(wording.short_strength(r), metric(r)) for r in rows]
        drawn = [charts.curve("this run", own)]
        for other in others:
            if other.figures:
                first = [("clean", other.figures.get("clean"))] if clean else []
                theirs = first + [(wording.short_strength(r), other.figures.get(r["condition"])) for r in rows]
                drawn.append(charts.curve(other.name, theirs))
        name = wording.series_name(rows[0])
        told = "; ".join(f"{c.name}: " + ", ".join(f"{m.label} {m.text}" for m in c.marks) for c in drawn if c.marks)
        level = charts.height(clean["value"]) if clean else None
        found.append(Multiple(name, charts.steps([s for s, _ in own]), tuple(drawn), level, f"{name}. {told}"))
    return found


def heats(data: Row) -> list[Heat]:
    """Heat maps of severities and of budgets, one for each norm."""
    clean = clean_figure(data)
    top = float(clean["value"]) if clean else 1.0
    kinds: dict[tuple[str, str], list[list[Row]]] = {}
    for rows in series(data).values():
        if rows[0].get("severity") is not None:
            kinds.setdefault(("severity", ""), []).append(rows)
        elif rows[0].get("eps") is not None:
            kinds.setdefault(("eps", rows[0]["norm"] or ""), []).append(rows)
    result = []
    for (key, norm), members in kinds.items():
        strengths = sorted({r[key] for rows in members for r in rows})
        lines = []
        for rows in members:
            at = {r[key]: _cell(r, top) for r in rows}
            lines.append((wording.series_name(rows[0]), tuple(at.get(s) for s in strengths)))
        name = "severity" if key == "severity" else f"ε ({wording.NORMS.get(norm, norm)})"
        columns = tuple(str(s) if key == "severity" else wording.budget(s) for s in strengths)
        result.append(Heat(f"By {name}", name, columns, tuple(lines)))
    return result


def _cell(row: Row, top: float) -> Cell:
    value = float((metric(row) or {})["value"])
    fall = min(1.0, max(0.0, (top - value) / top)) if top else 0.0
    return Cell(f"{100 * value:.0f}", round(fall, 3), f"{wording.condition_name(row)}: {wording.percent(value)}")


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number with what it is."""

    title: str
    value: str
    under: str
    kind: str


def tiles(data: Row) -> list[Tile]:
    """The four numbers of the first screen, as far as there are any."""
    clean = clean_figure(data)
    rows = changes_of(data)
    found = []
    if clean:
        found.append(Tile("unchanged images", wording.percent(clean["value"]), wording.span(clean), "clean"))
    kinds = (
        ("worst natural change", [r for r in rows if not attacked(r)]),
        ("worst attack", [r for r in rows if attacked(r)]),
    )
    for title, members in kinds:
        worst = worst_of(members)
        if worst:
            value = wording.percent((metric(worst) or {})["value"])
            found.append(Tile(title, value, wording.condition_name(worst), "shaken"))
    least = data["aggregates"].get("worst_case")
    if least:
        found.append(
            Tile(f"right under all {len(rows)} changes", wording.percent(least["value"]), wording.span(least), "shaken")
        )
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """A paired difference on an axis of 0 to 100 per cent of the width, 50 for none."""

    name: str
    x: float
    low: float
    high: float
    text: str
    verdict: str


def changes(comparison: RunComparison) -> tuple[float, list[Change]]:
    """The largest difference that the axis holds, in points, and each condition's difference on it."""
    ends = [abs(e) for c in comparison.conditions for e in (c.paired.difference.low, c.paired.difference.high)]
    scale = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0) if s >= max(ends) or s == 1.0)

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / scale)), 2)

    rows = []
    for one in comparison.conditions:
        d = one.paired.difference
        name = wording.name_of(one.condition)
        rows.append(Change(name, place(d.value), place(d.low), place(d.high), f"{100 * d.value:+.1f}", one.verdict))
    return 100 * scale, rows
