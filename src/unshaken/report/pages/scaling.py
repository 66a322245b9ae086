"""The page of scaling curves, from the rows `scaling` and `scaling.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.errors import RunError
from unshaken.measure import share
from unshaken.measure.scaling import LEAST, RepeatedCurve, fit_power_law
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Cell,
    Column,
    Facts,
    Heading,
    Headline,
    Prose,
    Table,
    TableRow,
    Text,
    Tile,
    Tiles,
)
from unshaken.report.drawings import Plot, Plots, Point
from unshaken.report.figures import plots
from unshaken.report.pages.page_kind import PageKind
from unshaken.store.run_dir import RunDir

RECORD = "scaling.json"
TITLE = "How many generated images is one real image worth?"
READ = (
    "Only exponents of the same sizes, test images and steps compare. A law is a line through few points: a "
    "number of images outside of the sizes is an extrapolation. Real images that a generator was fitted to are not "
    "counted among the generated ones."
)


class Source(NamedTuple):
    """Source of the sections: the record with its figures, and the curve of each source."""

    record: dict[str, Any]
    curves: Mapping[str, RepeatedCurve]


def _read(run: RunDir) -> Source:
    record = run.read_json(RECORD)
    if not isinstance(record, dict) or "settings" not in record:
        raise RunError(f"{run}: {RECORD} is damaged: measure again in a new --out")
    if not record["finished"]:
        raise RunError(f"{run}: its trainings have not finished; add --resume to its command")
    rows, settings = run.rows("scaling"), record["settings"]
    names = [name for name in settings["sources"] if name != "test"]
    sizes = np.asarray(settings["sizes"], np.float64)
    curves = {name: RepeatedCurve(sizes, _losses(rows, name, settings)) for name in names}
    real, *made = curves
    figures: dict[str, Any] = {
        name: {
            "exponent": curve.exponent().to_json(), "factor": curve.law.factor,
            "loss": _means(curve.losses, settings), "accuracy": _accuracies(rows, name, settings),
        }
        for name, curve in curves.items()
    }  # fmt: skip
    if len(sizes) >= 4:
        for name, curve in curves.items():
            with_floor = fit_power_law(sizes, curve.losses.mean((0, 2)), floor=True)
            figures[name] |= {"floor": with_floor.floor, "exponent_above_floor": with_floor.exponent}
    for name in made:
        worth = {str(size): curves[name].worth(curves[real], size) for size in settings["sizes"]}
        figures[name] |= {
            "exponent_below_real": curves[real].exponent_above(curves[name]).to_json(),
            "worth": {size: None if figure is None else figure.to_json() for size, figure in worth.items()},
        }
    return Source(record | {"figures": figures}, curves)


def _losses(rows: pa.Table, name: str, settings: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Losses `[R, S, N]` of one source."""
    own = rows.filter(pc.equal(rows["method"], name)).sort_by(
        [("repetition", "ascending"), ("images", "ascending"), ("id", "ascending")]
    )
    shape = settings["repetitions"], len(settings["sizes"]), -1
    return np.asarray(np.maximum(own["loss"].to_numpy(), LEAST), np.float64).reshape(shape)


def _means(losses: np.ndarray[Any, np.dtype[np.float64]], settings: Mapping[str, Any]) -> dict[str, float]:
    return {str(size): float(v) for size, v in zip(settings["sizes"], losses.mean((0, 2)), strict=True)}


def _accuracies(rows: pa.Table, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy at each size, of all repetitions together; its interval is that of the test images of one of them."""
    found = {}
    for size in settings["sizes"]:
        own = rows.filter(pc.and_(pc.equal(rows["method"], name), pc.equal(rows["images"], size)))
        hits, n = pc.sum(pc.equal(own["label"], own["prediction"])).as_py(), len(own) // settings["repetitions"]
        found[str(size)] = share(round(hits / settings["repetitions"]), n).to_json() | {"value": hits / len(own)}
    return found


def _made(source: Source) -> list[str]:
    return list(source.curves)[1:]


def _worth(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "no number of generated images reaches their loss, by the fitted laws"
    value, low, high = (None if figure[k] is None else wording.number(figure[k]) for k in ("value", "low", "high"))
    ends = f"{low} to {high}" if high is not None else f"at least {low}" if figure["low"] else "not settled: any number"
    return f"one real image is worth {value} generated ones ({ends})"


def _head(source: Source) -> list[Block]:
    settings, figures = source.record["settings"], source.record["figures"]
    lines: list[Text] = []
    for name in _made(source):
        for size in (settings["sizes"][0], settings["sizes"][-1]):
            lines.append(f"{name}: among {size:,} real images, {_worth(figures[name]['worth'][str(size)])}.")
    lead = (
        f"{settings['model']} learned {settings['sizes'][0]:,} to {settings['sizes'][-1]:,} images of each source, in "
        f"{cells.counted(settings['repetitions'], 'repetition')} of {settings['updates']:,} steps.",
    )
    worths = [one for name in _made(source) for one in figures[name]["worth"].values()]
    following = (
        "more --repetitions and other --sizes narrow what is not settled."
        if any(one is None or one["high"] is None for one in worths)
        else "train on real and generated images in the proportion that the curves pay for."
    )
    return [Headline(TITLE, lead, lines=tuple(lines), following=following, brief=True)]


def _tiles(source: Source) -> list[Block]:
    figures = source.record["figures"]
    return [
        Tiles(
            tuple(
                Tile(f"Exponent, {name}", f"{figures[name]['exponent']['value']:.3f}",
                     f"{figures[name]['exponent']['low']:.3f} to {figures[name]['exponent']['high']:.3f}")
                for name in source.curves
            )
        )
    ]  # fmt: skip


def _plot(source: Source) -> list[Block]:
    """Both axes logarithmic: a power law is a straight line."""
    sizes = source.record["settings"]["sizes"]
    right, ticks = plots.log_axis(sizes[0] * 0.8, sizes[-1] * 1.25)
    means = {name: curve.losses.mean((0, 2)) for name, curve in source.curves.items()}
    low, high = (math.log(f(float(f(m)) for m in means.values())) for f in (min, max))
    pad = 0.08 * (high - low) or 0.1

    def down(loss: float) -> float:
        return 100 * (high + pad - math.log(loss)) / (high - low + 2 * pad)

    traces, words = [], []
    for style, (name, losses) in enumerate(means.items()):
        points = []
        for size, loss in zip(sizes, losses.tolist(), strict=True):
            text = f"{name}, {size:,} images: loss {loss:.3f}"
            points.append(Point(right(size), down(loss), down(loss), down(loss), text))
            words.append(text)
        traces.append(plots.curve(name, style, points))
    lines = tuple((down(v), f"{v:.3g}") for v in np.geomspace(math.exp(low), math.exp(high), 4).tolist())
    plot = Plot("Loss on real test images", "training images", ticks, tuple(traces), None, "; ".join(words), lines)
    return [Heading("Curves", "curves", "Curves", open=True), Plots((plot,))]


def _table(source: Source) -> list[Block]:
    settings, figures = source.record["settings"], source.record["figures"]
    heads = (Column("images"), *(Column(name, "loss") for name in source.curves),
             *(Column(name, "accuracy", brief=False) for name in source.curves),
             *(Column(name, "for one real image") for name in _made(source)))  # fmt: skip
    rows: list[TableRow] = []
    for size in map(str, settings["sizes"]):
        line: list[Cell | Text] = [f"{int(size):,}"]
        line += [f"{figures[name]['loss'][size]:.3f}" for name in source.curves]
        line += [cells.share(figures[name]["accuracy"][size]) for name in source.curves]
        for name in _made(source):
            worth = figures[name]["worth"][size]
            line.append(Cell("no number") if worth is None else cells.value(worth))
        rows.append(tuple(line))
    caption = (
        "Loss (nats, after one temperature) and accuracy on the test images, and how many generated images one real "
        "image is worth there, with 95 % intervals over repetitions and test images."
    )
    return [Table(caption, heads, tuple(rows), brief=True), Prose(READ, "note")]


def _remarks(source: Source) -> list[Block]:
    record = source.record
    remarks = [Prose(text, "bad") for text in record.get("remarks", [])]
    if record["settings"]["repetitions"] == 1:
        remarks.append(Prose("One repetition: the intervals hold test images alone, not other trainings.", "note"))
    return list(remarks)


def _settings(source: Source) -> list[Block]:
    settings = source.record["settings"]
    facts = dict(settings["sources"])
    facts |= {k.replace("_", " "): f"{settings[k]:,}" for k in ("repetitions", "updates", "batch_size", "seed")}
    facts |= {"model": settings["model"], "learning rate": f"{settings['lr']:g}"}
    facts["recipes"] = ", ".join(name for name, _ in settings["methods"]) or "cross-entropy"
    for name in source.curves:
        if "floor" in (own := source.record["figures"][name]):
            facts[f"{name}, fitted with a floor"] = (
                f"exponent {own['exponent_above_floor']:.3f} above a loss of {own['floor']:.3f}"
            )
    return [Heading("Settings", "settings", "Settings"), Facts(tuple(facts.items()))]


SCALING = PageKind[Source](title=TITLE, read=_read, sections=(_head, _remarks, _tiles, _plot, _table, _settings))
