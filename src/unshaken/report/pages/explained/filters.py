"""Filters: quality layer by layer, and the heat map of drift between models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Prose, Table
from unshaken.report.cells import heat_matrix
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures.plots import Series, layer_plot
from unshaken.store.run_dir import RunDir

Found = Mapping[str, Any]
Row = dict[str, Any]


def blocks(run: RunDir, name: str, found: Found) -> list[Block]:
    """Make the part of the page for one analysis of filters.

    Args:
        run: as `unshaken explain` leaves it.
        name: of the condition.
        found: its entry in `explain.json`.
    """
    if found["method"] == "filter-drift":
        return _drift(run, name, found)
    rows = [r for r in run.rows(found["table"]).to_pylist() if r["condition"] == name]
    return _quality(rows, found)


def _quality(rows: Sequence[Row], found: Found) -> list[Block]:
    """A table and a plot for each model."""
    size = found["extra"]["kernel"]
    largest = math.log10(size * size)
    text = (
        f"Near zero: filters whose largest weight is below a hundredth of the layer's. Entropy: how evenly the filters "
        f"vary, from 0 to {largest:.3f}; the line below it is what random filters reach. Orthogonality: 1 where output "
        "channels are at right angles, 0 where they are parallel. Variation: small for smooth kernels, large for noise."
    )
    shown: list[Block] = [Prose(text, "small")]
    for model in dict.fromkeys(r["model"] for r in rows):
        own = [r for r in rows if r["model"] == model]
        shown += [_plot(model, own, largest), _table(model, own, largest)]
    return shown


def _plot(model: str, rows: Sequence[Row], largest: float) -> Plots:
    """Entropy and orthogonality over the depth; a layer without a value is left out."""
    series = []
    for title, key, most in (("entropy, of the largest", "entropy", largest), ("orthogonality", "orthogonality", 1.0)):
        points = [(r["depth"], r[key] / most, None, None, r["layer"]) for r in rows if r[key] is not None]
        series.append(Series(title, points))
    plot: Plot = layer_plot(f"{model}, by depth", series, most=1.0)
    return Plots((plot,))


def _table(model: str, rows: Sequence[Row], largest: float) -> Table:
    heads = (
        Column("layer", number=False), Column("filters", brief=False), Column("near zero"), Column("entropy"),
        Column("orthogonality"), Column("variation", brief=False), Column("degenerate", number=False),
    )  # fmt: skip
    lines = []
    for r in rows:
        if r["error"]:
            lines.append(cells.line(r["layer"], f"{r['filters']:,}", "", "", "", "", r["error"]))
            continue
        threshold = r["random_entropy"]
        random = "" if threshold is None or threshold <= 0 else f"random {threshold:.3f}"
        orthogonality = r["orthogonality"]
        lines.append(
            cells.line(
                r["layer"],
                f"{r['filters']:,}",
                Cell(wording.percent(r["sparsity"]), bar=r["sparsity"], bad=True),
                Cell(f"{r['entropy']:.3f}", note=random, bar=min(1.0, r["entropy"] / largest)),
                Cell("") if orthogonality is None else Cell(f"{orthogonality:.3f}", bar=orthogonality),
                wording.number(r["smoothness"]),
                (r["degenerate"] or "").replace("+", ", "),
            )
        )
    return Table(f"The convolutions of {model}, from the input to the output.", heads, tuple(lines))


def _drift(run: RunDir, name: str, found: Found) -> list[Block]:
    """The heat map, and the noise floor beside it."""
    extra = found["extra"]
    matrix = run.read_tensors("arrays", f"{name}.safetensors").tensors["drift"].tolist()
    halves = {
        r["model"]: r["value"]
        for r in run.rows(found["table"]).to_pylist()
        if r["condition"] == name and r["quantity"] == "drift between halves"
    }
    low, high = extra["range"]
    text = (
        f"Drift between the filters of each two, {extra['filters']:,} of each, scaled and in a common basis: "
        f"{extra['measure']} over {extra['bins']} bins from {low:.3g} to {high:.3g}, weighted by the variance of each "
        "component. On the diagonal: the drift between random halves of the same filters, which chance alone makes."
    )
    caption = "Drift between sets of filters; the darker, the further apart."
    values = [[halves[a] if i == j else matrix[i][j] for j, _ in enumerate(halves)] for i, a in enumerate(halves)]
    return [Prose(text, "small"), heat_matrix(caption, list(halves), values, digits=3)]
