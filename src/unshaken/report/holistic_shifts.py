"""Blocks of the page of `holistic`: accuracy on each factor's images, beside accuracy on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Cell, Prose, Table, TableRow
from unshaken.report.drawings import Plot, Plots, Point, Trace
from unshaken.report.figures.plots import STYLES, outline, point
from unshaken.tasks.zero_shot.across import LEAST

SHOWN_PLOTS = 12
Found = Mapping[str, Any]


def _by_factor(models: Found, line: Callable[[Found], Sequence[Cell]]) -> tuple[TableRow, ...]:
    return tuple((name, *line(found["visual"])) for name, found in models.items() if found.get("visual"))


def shift_blocks(models: Found, shifted: Found) -> list[Block]:
    """Accuracy, error ratio and effective robustness by factor, and a scatter with the lines of families.

    Args:
        models: name to aspect to figures, as `read_figures` gives them.
        shifted: a factor or a set to accuracy by model, effective robustness and lines.
    """
    factors = list(dict.fromkeys(f for found in models.values() for f in found.get("visual", {})))
    blocks: list[Block] = []
    if factors:
        rows = _by_factor(models, lambda own: [cells.share((own.get(f) or {}).get("accuracy")) for f in factors])
        caption = "Accuracy on the images of each factor."
        blocks.append(Table(caption, cells.columns("model", *factors), rows, brief=True))
        rows = _by_factor(models, lambda own: [cells.value((own.get(f) or {}).get("error_ratio")) for f in factors])
        caption = "Error on the images of each factor over the error on all images: above 1 is harder."
        blocks.append(Table(caption, cells.columns("model", *factors), rows))
    beyond = {name: own["effective"] for name, own in shifted.items() if own["effective"]}
    if beyond:
        rows = tuple(
            (name, *(cells.points((own.get(name) or {}).get("rho")) for own in beyond.values())) for name in models
        )
        caption = (
            "Effective robustness in points: accuracy less what Huber's line of the baseline models foretells; the "
            "interval is that of the line."
        )
        blocks.append(Table(caption, cells.columns("model", *beyond), rows))
        drawn = [_scatter(name, models, own) for name, own in list(shifted.items())[:SHOWN_PLOTS]]
        blocks.append(Plots(tuple(drawn), "half"))
    elif shifted:
        blocks.append(
            Prose(f"Lines and effective robustness need {LEAST} other models of different accuracy at least.")
        )
    return blocks


def _scatter(name: str, models: Found, own: Found) -> Plot:
    """Accuracy under a shift against accuracy, and a line for each family."""
    traces, words = [], []
    left = set(own["accuracy"])
    for style, (family, line) in enumerate([*own["lines"].items(), ("other models", None)]):
        members = [m for m in own["accuracy"] if m in left and (line is None or m in line["models"])]
        left -= set(members)
        marks = tuple(_mark(m, models, own["accuracy"][m]) for m in members)
        ends = ""
        if line is not None:
            at = [(100 * x, 100 * (1 - min(max(line["intercept"] + line["slope"] * x, 0.0), 1.0))) for x in (0.0, 1.0)]
            ends = outline(at)
            words.append(f"{family}: {line['intercept']:.3f} + {line['slope']:.3f} accuracy")
        if marks:
            traces.append(Trace(family, style % STYLES, marks, ends))
    ticks = tuple((float(t), str(t)) for t in range(0, 101, 25))
    title = f"Accuracy: {name}, %"
    return Plot(title, "accuracy on all images, %", ticks, tuple(traces), None, f"{title}. {'; '.join(words)}")


def _mark(name: str, models: Found, value: float) -> Point:
    x = models[name]["accuracy"]["value"]
    return point(100 * x, {"value": value, "low": value, "high": value}, f"{name}: {value:.1%} at {x:.1%}")
