"""Certificates: the share of images whose class is proven to stay at each size of change, beside attacks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from unshaken import measure
from unshaken.core.numbers import show_budget
from unshaken.core.part import MODEL
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Heading, Items, Prose, Span, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Plots, Point, Trace
from unshaken.report.figures import plots
from unshaken.report.figures.outcomes import right_under
from unshaken.report.read.frame import Frame
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.run.flags import broken
from unshaken.store.run_dir import RunDir

_EDGE = 1.05  # of the largest size, so that the last step is seen
ATTACK = " the same command attacks the certified predictor too, and the truth lies between the two."
_REASONS = 8
"""Reasons shown."""
Size = tuple[float, Row | None, Row | None, Row | None]
"""A size of change: the share certified and correct, the share certified, the accuracy under an attack."""


class CertifySection(Section):
    """Certified accuracy at each size of change, beside the accuracy under attack."""

    name = "certify"
    table = "certificates"
    order = 9
    empty = {"certified": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        return SectionFigures({"certified": certified(source)})

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        return [_proven(one) for one in report.data["certified"]]

    @override
    def question(self, report: Report) -> str:
        return f"What can be ruled out for {report.source.config.model_name}?" if report.data["certified"] else ""

    @override
    def following(self, report: Report) -> Text:
        certified = report.data["certified"]
        if not certified or any(one["attacked"] for one in certified):
            return ""
        return ("what is not proven may still hold: without ", Span("--not-attacked", "code"), ATTACK)

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        answered = [
            Tile(
                "certified classifier, unchanged images",
                wording.percent(one["clean"]["value"]),
                f"{wording.span(one['clean'])}; {wording.method_name(one['condition'])}, abstained is wrong",
            )
            for one in report.data["certified"]
            if one["clean"] and one["base"]
        ]
        return answered + [
            Tile(
                f"proven {_right(one)} within {_within(one, radius)}",
                wording.percent(figure["value"]),
                f"{wording.span(figure)}; {wording.method_name(one['condition'])}",
            )
            for one in report.data["certified"]
            for radius, figure in [chosen_size(one)]
            if figure
        ]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        data = report.data
        if not data["certified"]:
            return ()
        text = (
            "The share of images whose class is proven to stay the same under every change of at most a size. An "
            "attack on the same predictor bounds the robust accuracy from above: the truth lies between the two."
        )
        drawn = [
            _plot(one)
            for one in data["certified"]
            if one["radii"] and len(one["radii"]) + len(one["attacked"]) > 1  # a stair needs two steps
        ]
        found: list[Block] = [Heading("Certified robustness", "certified", "Certificates"), Prose(text)]
        found += [Plots(tuple(drawn))] if drawn else []
        return [*found, *(b for one in data["certified"] for b in _condition(one))]


def chosen_size(one: Row) -> tuple[float, Row | None]:
    """The size of change that stands for a certified condition, with the share certified within it.

    It is the largest one at which at least half of what the certified predictor classifies correctly on unchanged
    images is certified, else the smallest; of the sizes that an attack was run at, where it was. None without any.
    """
    shares = {r["radius"]: r["certified_accuracy"] or r["certified_share"] for r in one["radii"] if r["radius"] > 0}
    asked = {a["radius"] for a in one["attacked"]} & shares.keys()
    sizes = sorted(asked or shares)
    if not sizes:
        return 0.0, None
    half = (one["clean"] or {"value": 1.0})["value"] / 2
    size = max((s for s in sizes if shares[s]["value"] >= half), default=sizes[0])
    return size, shares[size]


def _proven(one: Row) -> Text:
    size, figure = chosen_size(one)
    name = wording.method_name(one["condition"])
    if figure is None:
        return f"Nothing is proven by {name}."
    clean = one["clean"]
    unchanged = f", which classifies {wording.percent(clean['value'])} correctly unchanged" if clean else ""
    what = "classified correctly" if one["radii"][0]["certified_accuracy"] else "classified in the same way"
    return (
        "Proven: ",
        Span(wording.percent(figure["value"]), "strong"),
        f" ({wording.span(figure)}) of the images are {what} under ",
        Span("every", "strong"),
        f" change of {_within(one, size)} or less ({name}{unchanged}).",
    )


def _right(one: Row) -> str:
    return "correct" if one["radii"][0]["certified_accuracy"] else "unchanged"


def _within(one: Row, size: float) -> str:
    norm = wording.NORMS.get(one["norm"], str(one["norm"]))
    return f"{norm} size {show_budget(size)}" if one["norm"] else f"size {size:.4g}"


def _condition(one: Row) -> list[Block]:
    name = wording.method_name(one["condition"])
    found: list[Block] = [Heading(name, level=3)]
    if one["broken"]:
        n = cells.counted(len(one["broken"]), "sample")
        text = f"Contradicted: an example lies inside the certified radius of {n}"
        found.append(Prose(f"{text}. This is an error of unshaken; report it.", "bad", brief=True))
    found.append(Prose(" ".join(_sentences(one)), "small", brief=True))
    rows = certified_rows(one)
    asked = [row for row in rows if row[-1]] or rows
    if rows:
        found.append(_table(one, asked, brief=True))
    else:
        found.append(Prose("Nothing is certified.", brief=True))
    if len(asked) < len(rows):
        found.append(Details(f"All {len(rows)} sizes", (_table(one, rows),)))
    if one["reasons"]:
        most = sorted(one["reasons"].items(), key=lambda pair: -pair[1])[:_REASONS]
        title = f"Why nothing, or no larger size, is certified: {cells.counted(sum(one['reasons'].values()), 'image')}"
        found.append(Details(title, (Items(tuple(f"{count}: {reason}" for reason, count in most)),)))
    return found


def _table(one: Row, rows: Sequence[Size], *, brief: bool = False) -> Table:
    norm, name = wording.NORMS.get(one["norm"], one["norm"]), wording.method_name(one["condition"])
    heads = cells.columns(f"{name}: size ({norm})", "certified and correct", "certified", "accuracy under attack")
    lines = tuple(cells.line(f"{size:.4g}", *(cells.share(f) for f in figures)) for size, *figures in rows)
    return Table("Shares of the images, with 95 % intervals.", heads, lines, brief=brief)


def _sentences(one: Row) -> list[str]:
    """Sentences beside the figures: the failure probability, unchanged images, abstentions, radius, cost."""
    found = ["Certificates hold without a chance of error; an image without one may still be robust."]
    if one["alpha"]:
        found = [f"Each certificate is wrong with probability {one['alpha']:g} at most."]
        found += ["It holds for the network as computed in bfloat16."] if one["precision"] == "bf16" else []
    if one["clean"] and one["base"]:
        found.append(
            f"The certified classifier gives {wording.percent(one['clean']['value'])} of the unchanged images their "
            f"label, an abstention counted as wrong; base network, unchanged images: "
            f"{wording.percent(one['base']['value'])}."
        )
    elif one["clean"]:
        found.append(f"The accuracy on unchanged images is {wording.percent(one['clean']['value'])}.")
    silent = one["abstained"]
    found.append(f"Abstained (gave no answer) on {wording.percent(silent['value'])} ({wording.span(silent)}).")
    if one["average_radius"] is not None and one["alpha"]:
        found.append(f"Average certified radius {wording.number(one['average_radius'])}.")
    return [*found, f"Cost: {cost(one)}."]


def certified_rows(one: Row) -> list[Size]:
    """The sizes of a certified condition, rising: share certified and correct, certified, correct under an attack."""
    sizes = {round(r["radius"], 9): r for r in one["radii"]}
    left = {round(a["radius"], 9): a["accuracy"] for a in one["attacked"]}
    absent: Row = {"certified_share": None, "certified_accuracy": None}
    return [
        (radius, row["certified_accuracy"], row["certified_share"], left.get(radius))
        for radius in sorted({*sizes, *left})
        for row in [sizes.get(radius) or absent]
    ]


def _plot(one: Row) -> Plot:
    norm = wording.NORMS.get(one["norm"], str(one["norm"]))
    key = "certified_accuracy" if one["radii"][0]["certified_accuracy"] else "certified_share"
    place, ticks = plots.linear_axis(max(r["radius"] for r in [*one["radii"], *one["attacked"]]) * _EDGE or 1.0)
    steps = [
        plots.point(
            place(r["radius"]), r[key], f"within {r['radius']:.4g}: {wording.percent(r[key]['value'])} certified"
        )
        for r in one["radii"]
    ]
    traces = [_stairs("certified and correct" if key == "certified_accuracy" else "certified", steps)]
    words = [f"certified: {', '.join(p.text for p in steps)}"]
    if one["attacked"]:
        start = [{"radius": 0.0, "accuracy": one["clean"]}] if one["clean"] else []
        marks = []
        for a in [*start, *one["attacked"]]:
            text = f"attacked within {a['radius']:.4g}: {wording.percent(a['accuracy']['value'])} left"
            marks.append(plots.point(place(a["radius"]), a["accuracy"], text))
        traces.append(plots.curve("accuracy under attack", 1, marks))
        words.append(", ".join(m.text for m in marks))
    level = plots.down(one["clean"]["value"]) if one["clean"] else None
    name = wording.method_name(one["condition"])
    return Plot(name, f"size of the change ({norm})", ticks, tuple(traces), level, f"{name}. {'; '.join(words)}")


def _stairs(name: str, steps: list[Point]) -> Trace:
    """The share of a radius stands up to it, and the next one from there on."""

    def corners(heights: list[float]) -> list[tuple[float, float]]:
        found = [(0.0, heights[0]), (steps[0].x, heights[0])]
        for (before, after), y in zip(itertools.pairwise(steps), heights[1:], strict=True):
            found += [(before.x, y), (after.x, y)]
        return found

    band = [*corners([p.high for p in steps]), *reversed(corners([p.low for p in steps]))]
    return Trace(name, 0, tuple(steps), plots.outline(corners([p.y for p in steps])), plots.outline(band))


def cost(one: Row) -> str:
    """Cost of a condition's certificates: votes and time."""
    samples = one["samples"]
    if samples["most"] <= 1:
        return f"no votes; {wording.seconds(one['seconds'])} in all"
    return (
        f"{samples['mean']:,.0f} votes a sample on average (half took {samples['median']:,.0f} or fewer, the most "
        f"{samples['most']:,}), {wording.seconds(one['seconds'])} in all"
    )


def certified(source: Source) -> list[Row]:
    """For each certified condition, what holds at each radius, beside what an attack leaves.

    A sample counts in `certified_share` when the method did not abstain and its radius is at least the one asked for;
    `certified_accuracy` counts those whose certified class is the label as well, and is null where labels or classes
    are unknown. At radius 0 it is the accuracy of the certified classifier on unchanged images. A certificate that
    was asked for no size computes how far it reaches, so that it answers at every size that a gate asks about.

    Args:
        source: its rows alone are read.

    Returns:
        One record a condition; see `certified` in `summary.schema.json`.
    """
    run, frame, methods = source.run, source.frame, source.methods
    if not run.names("rows", "certificates", suffix=".parquet"):
        return []
    table, subjects = run.rows("certificates"), methods.subjects()
    table = table.filter(pc.is_null(table["error"]))
    names = pc.unique(table["condition"]).to_pylist()
    parts = {name: table.filter(pc.equal(table["condition"], name)) for name in names}
    wrong = broken(_moved(run), table, subjects)
    found = []
    for name, part in parts.items():
        attacked = _attacked(frame, part, subjects, set(parts))
        one = next((c for c in frame.conditions if c.id == name), None)
        own = (one.eps or one.severity or 0.0) if one else 0.0
        asked = methods.radii(name) or ([] if own else source.radii)
        sizes = [0.0, float(own), *asked, *(a["radius"] for a in attacked)]
        base = right_under(frame, 0) if subjects.get(name, MODEL) != MODEL else None
        found.append(
            {
                **_one(part, sizes),
                "base": base and base.to_json(),
                "attacked": attacked,
                "precision": source.config.precision,
                "broken": list(wrong.get(name, ())),
            }
        )
    return found


def _one(rows: pa.Table, sizes: list[float]) -> Row:
    n, first = len(rows), {k: rows[k][0].as_py() for k in ("condition", "method", "norm", "alpha")}
    abstained = rows["abstained"].fill_null(False).to_numpy()
    radius = np.where(abstained, 0.0, rows["radius"].to_numpy())
    judged = not rows["label"].null_count and not rows["prediction"].null_count
    right = rows["label"].to_numpy() == rows["prediction"].to_numpy() if judged else None
    samples = rows["samples"].to_numpy()

    def share(holds: Any) -> Row:
        return measure.share(int(holds.sum()), n).to_json()

    return {
        **first,
        "clean": None if right is None else share(~abstained & right),
        "abstained": share(abstained),
        "samples": {"mean": float(samples.mean()), "median": float(np.median(samples)), "most": int(samples.max())},
        "seconds": float(pc.sum(rows["seconds"]).as_py() or 0.0),
        "average_radius": None if right is None else float((radius * right).mean()),
        "reasons": _counted(rows),
        "radii": [
            {
                "radius": float(r),
                "certified_share": share((radius >= r) & ~abstained),
                "certified_accuracy": None if right is None else share((radius >= r) & ~abstained & right),
            }
            for r in sorted({*_grid(radius[~abstained]).tolist(), *sizes})
        ],
    }


def _attacked(frame: Frame, rows: pa.Table, subjects: Mapping[str, str], certified: set[str]) -> list[Row]:
    """The accuracy of the certified classifier after attacks of each budget; an abstention is wrong there as well."""
    name, norm = rows["condition"][0].as_py(), rows["norm"][0].as_py()
    answered = rows.filter(pc.invert(pc.fill_null(rows["abstained"], False)))["id"]
    given = np.zeros(len(frame.ids), np.bool_)
    at = frame.ids.places(answered.to_pylist())
    given[at[at >= 0]] = True
    budgets: dict[float, list[int]] = {}
    for place, one in enumerate(frame.conditions):
        same = one.norm == norm and subjects.get(one.id) == subjects.get(name)
        if one.eps is not None and same and one.id not in certified:
            budgets.setdefault(one.eps, []).append(place)
    figures = []
    for eps, places in sorted(budgets.items()):
        columns = frame.right[:, places]
        known = (columns >= 0).all(1)
        if known.any():
            share = measure.share(int(((columns[known] == 1).all(1) & given[known]).sum()), int(known.sum()))
            figures.append({"radius": eps, "accuracy": share.to_json()})
    return figures


def _moved(run: RunDir) -> pa.Table:
    columns = ["id", "condition", "norm", "prediction", "distance", "error"]
    rows = run.rows("outcomes", columns)
    return rows.filter(pc.is_null(rows["error"]))


def _counted(rows: pa.Table) -> dict[str, int]:
    """The reasons given, those that differ in numbers only counted together; the most frequent first."""
    if "reason" not in rows.column_names:
        return {}
    texts = [_plain(t) for t in rows["reason"].to_pylist() if t]
    names, counts = np.unique(texts, return_counts=True) if texts else ((), ())
    return dict(sorted(zip(map(str, names), map(int, counts), strict=True), key=lambda pair: -pair[1]))


def _plain(reason: str) -> str:
    return " ".join("n" if w.strip(",:;.").isdigit() else w for w in reason.split())


def _grid(radius: Any, most: int = 20) -> Any:
    """The radii to report: all that occur, or `most` quantiles of them."""
    found = np.unique(radius)
    return found if len(found) <= most else np.unique(np.quantile(found, np.linspace(0, 1, most), method="nearest"))


section = CertifySection()
