"""The page of a matrix: one table of all models, then each data set and plan with its ranks and pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from unshaken.measure import Figure
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Cell,
    Column,
    Details,
    Facts,
    Heading,
    Headline,
    Items,
    Notice,
    Page,
    Prose,
    Span,
    Table,
    TableRow,
    Text,
)
from unshaken.report.cells import Row
from unshaken.report.drawings import Dot, Lane, Strip, Strips
from unshaken.report.matrix import FIGURES, LOWEST, NAME, Matrix, MatrixCell, MatrixColumn, is_newest, read_matrix
from unshaken.report.pages.page_kind import compose, write_page
from unshaken.report.transfer import TransferTable
from unshaken.store.run_dir import RunDir

PAGE = "index"
NOISE = "(random noise)"
"""The row of a table of transfer that no model can have the name of."""
TABLE = "matrix.csv"
FOOTER = (
    "Made by unshaken from the rows of the runs in this folder; ",
    Span("unshaken report DIR", "code"),
    " makes it again. Intervals of shares are 95 % each (Clopper–Pearson); ranks and differences hold together.",
)
SHORT = {"worst_case": "every change", "worst_natural": "every natural change", "clean": "unchanged", LOWEST: "lowest"}
"""Figures in the heads of tables."""


def matrix_page(matrix: Matrix) -> Page:
    """Make the page of a matrix.

    Args:
        matrix: with its figures.
    """
    columns = [partial(column_blocks, column) for column in matrix.columns]
    sections: list[Callable[[Matrix], list[Block]]] = [_head, _transfers, models_table, _trouble, *columns, _about]
    return compose("Matrix of models", matrix, sections, FOOTER)


def write_matrix(run: RunDir) -> Matrix:
    """Make `matrix.json`, `matrix.csv`, `index.html` and `index.md` of a matrix again, from the rows of its cells.

    Where a cell ended meanwhile they are made once more: of several processes, whose parts end at once, the last that
    writes has all cells.

    Args:
        run: the folder of the matrix.

    Raises:
        RunError: there is no matrix, a file is damaged, or one cannot be written.
    """
    while True:
        matrix = read_matrix(run)
        run.write_json(matrix.to_json(), NAME)
        run.write(matrix.to_csv(), TABLE)
        write_page(run, matrix_page(matrix), PAGE)
        if is_newest(matrix):
            return matrix


def _head(matrix: Matrix) -> list[Block]:
    record, every = matrix.record, matrix.cells
    finished = sum(cell.state == "finished" for cell in every)
    parts = cells.listed([
        cells.counted(len(record.models), "model"), cells.counted(len(record.data), "data set"),
        cells.counted(len(record.plans), "plan"),
    ])  # fmt: skip
    lead: list[Text] = [f"{parts}: {finished} of {cells.counted(len(every), 'cell')} are finished."]
    lead += [text for column in matrix.columns if (text := best_models(column))]
    notices = []
    if failed := [cell for cell in every if cell.state == "failed"]:
        head = Span(f"{cells.counted(len(failed), 'cell')} failed", "strong")
        notices.append(Notice((head, ": ", Span(failed[0].place, "code"), f" ({failed[0].reason[:200]})"), "trouble"))
    if gated := [cell for cell in every if cell.gates.verdict in ("failed", "undecided")]:
        head = Span(f"gates of {cells.counted(len(gated), 'cell')} did not hold", "strong")
        notices.append(Notice((head, ": ", Span(gated[0].place, "code")), "trouble"))
    return [Headline("Matrix of models", tuple(lead), tuple(notices), brief=True)]


def best_models(column: MatrixColumn) -> Text:
    """Which models may be the best of a column, and by which figure, in a sentence; empty without ranks.

    Args:
        column: with its ranks.
    """
    first = [cell.model for cell in column.cells if (rank := column.rank(cell)) and rank[0] == 1]
    ranked = sum(column.rank(cell) is not None for cell in column.cells)
    if ranked < 2:
        return ""
    if len(first) > 3:
        return (Span(column.title, "strong"), f", {_meaning(column.figure)}: {len(first)} of {ranked} may be the best.")
    verb = "is" if len(first) == 1 else "may each be"
    sentence = f"{cells.listed(first)} {verb} the best of {ranked}."
    return (Span(column.title, "strong"), f", {_meaning(column.figure)}: {sentence}")


def _by_rank(column: MatrixColumn) -> list[MatrixCell]:
    """The cells of a column, the best first; those without a figure last."""

    def key(cell: MatrixCell) -> tuple[bool, float]:
        figure = cell.figure(column.figure)
        return figure is None, -(figure["value"] if figure else 0.0)

    return sorted(column.cells, key=key)


def _rank(column: MatrixColumn, cell: MatrixCell, figure: str = "") -> str:
    """The rank by a figure, by default the column's, in words; empty without one."""
    found = column.ranks.get(figure or column.figure, {}).get(cell.model)
    if found is None:
        return ""
    return f"rank {found[0]}" if found[0] == found[1] else f"rank {found[0]} to {found[1]}"


def models_table(matrix: Matrix, pages: Mapping[str, str] | None = None) -> list[Block]:
    """The table of all models: one row a model, one column a data set and plan; sorted by the first column.

    Args:
        matrix: with a cell for each model, data set and plan.
        pages: model to the address of its page, of those that have one.
    """
    heads: list[Column] = []
    for column in matrix.columns:
        if _has_clean(matrix, column):
            heads.append(Column(column.data, SHORT["clean"]))
        heads.append(Column(column.title, SHORT[column.figure]))
    rows = list[TableRow]()
    for model in [cell.model for cell in _by_rank(matrix.columns[0])]:
        line: list[Cell | Text] = [Cell(model, address=(pages or {}).get(model, ""))]
        for column in matrix.columns:
            own = [cell for cell in matrix.cells if cell.model == model and cell.data == column.data]
            if _has_clean(matrix, column):
                line.append(cells.share(next((f for cell in own if (f := cell.figure("clean"))), None)))
            line.append(_cell(column, next(cell for cell in own if cell.plan == column.plan)))
        rows.append(tuple(line))
    figures = cells.listed([_meaning(name) for name in dict.fromkeys(column.figure for column in matrix.columns)])
    caption = (
        f"Share of samples, with its 95 % interval: {figures}. A rank is given by the lowest and the highest that the "
        "samples allow, 1 for the best; all ranks hold together at 95 %."
    )
    return [
        Heading("Models", "models", "Models", open=True),
        Table(caption, (Column("model", number=False), *heads), tuple(rows), brief=True),
    ]


def _has_clean(matrix: Matrix, column: MatrixColumn) -> bool:
    """Whether a column of unchanged images stands before this one: once for a data set, unless all are of them."""
    same = [one for one in matrix.columns if one.data == column.data]
    return column is same[0] and any(one.figure != "clean" for one in same)


def _meaning(figure: str) -> str:
    return "the lowest under a single change" if figure == LOWEST else FIGURES[figure]


def _cell(column: MatrixColumn, cell: MatrixCell) -> Cell:
    figure = cell.figure(column.figure)
    if figure is None:
        return Cell(Span(cell.state, "bad" if cell.state == "failed" else "soft"))
    interval = ", ".join(filter(None, (wording.span(figure), _rank(column, cell))))
    return replace(cells.share(figure), interval=interval, address=cell.page)


def _trouble(matrix: Matrix) -> list[Block]:
    """Cells that failed or are not finished, and gates that did not hold."""
    items: list[Text] = [
        (Span(cell.place, "code"), ": ", Span("failed", "bad"), f": {cell.reason}")
        for cell in matrix.cells
        if cell.state == "failed"
    ]
    for cell in matrix.cells:
        for result in cell.gates.results:
            if not result.held:
                state = "gate FAILED" if result.held is False else "gate not decided"
                items.append((Span(cell.place, "code"), ": ", Span(state, "bad"), f": {result.text}: {result.detail}"))
    if waiting := [cell.place for cell in matrix.cells if cell.state == "unfinished"]:
        more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        items.append(f"not finished: {', '.join(waiting[:3])}{more}; add --resume to run them")
    return [Heading("What failed", "trouble", "Failed"), Items(tuple(items), brief=True)] if items else []


def column_blocks(column: MatrixColumn, matrix: Matrix) -> list[Block]:
    """One data set under one plan: strips, all figures with their cost, and the pairs that differ.

    Args:
        column: of the matrix; without a finished cell it has no block.
        matrix: that it stands in.
    """
    shown = [cell for cell in _by_rank(column) if cell.summary]
    if not shown:
        return []
    anchor = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{column.data}-{column.plan}")
    blocks: list[Block] = [Heading(column.title, anchor, column.title)]
    strips = tuple(_strip(column, cell) for cell in shown if cell.figure(column.figure))
    caption = f"Models by their figure: {_meaning(column.figure)}, in per cent, with its 95 % interval shaded."
    if strips:
        blocks.append(Strips(caption, ("model", ""), ("0", "50", "100 %"), strips))
    blocks += [Heading("All figures", level=3), _figures(column, shown)]
    if column.ranks:
        blocks += _pairs(matrix, column)
    return blocks


def _transfers(matrix: Matrix) -> list[Block]:
    tables = [(column, table) for column in matrix.columns for table in column.transfers]
    found: list[Block] = [Heading("Transfer", "transfer", "Transfer", open=True)] if tables else []
    for column, table in tables:
        found += transfer_blocks(table, column.title if len(matrix.columns) > 1 else "")
    return found


def transfer_blocks(table: TransferTable, place: str = "") -> list[Block]:
    """Which examples of one model mislead others: a heat map, source by target, and the same with intervals.

    Args:
        table: of one budget.
        place: data and plan, where there are several.
    """
    budget = f"{wording.NORMS[table.norm]}, ε {wording.distance(table.eps, table.norm)}"
    search = f"{wording.method_name(table.search.partition(':')[0])} {budget}" if table.search else budget
    search = f"{place}: {search}" if place else search
    sources, targets = (list(dict.fromkeys(names)) for names in zip(*table.misled, strict=True))
    rows = list[TableRow]()
    for source in sources:
        rows.append((source, *(_misled(source, t, table.misled.get((source, t))) for t in targets)))
    if table.noise:
        rows.append((Span(NOISE, "soft"), *(_misled(NOISE, t, table.noise.get(t)) for t in targets)))
    caption = (
        f"Misled by the examples of a row's model, in per cent ({search}): of the images that it and the column's "
        "model both have right when unchanged. On the diagonal the attack knows the model. Noise has the same norm."
    )
    lines = list[TableRow]()
    for (source, target), figure in table.misled.items():
        if figure is not None:
            lines.append((source, target, cells.share(figure.to_json()), str(figure.n)))
    for target, figure in table.noise.items():
        if figure is not None:
            lines.append((NOISE, target, cells.share(figure.to_json()), str(figure.n)))
    heads = cells.columns("made on", Column("tried on", number=False), "misled", "images")
    note = "with 95 % intervals (Clopper–Pearson)"
    return [
        Heading(search, level=3),
        *([Prose(text, brief=True)] if (text := _widest(table)) else []),
        Table(caption, cells.columns("made on", *targets), tuple(rows), "matrix", brief=True),
        Details(
            "All pairs", (Table(f"Misled by the examples of another model, {search}.", heads, tuple(lines)),), note
        ),
    ]


def _misled(source: str, target: str, figure: Figure | None) -> Cell:
    if figure is None:
        return Cell("", title="no image that both have right")
    text = f"{source} → {target}: {wording.figure_text('misled', figure.to_json())} of {figure.n}"
    shown = f"{100 * figure.value:.0f}"
    return Cell(Span(shown, "strong") if source == target else shown, heat=round(figure.value, 3), title=text)


def _widest(table: TransferTable) -> str:
    """The pair of two models of which most images are misled, beside noise on the same target, in a sentence."""
    others = {pair: figure for pair, figure in table.misled.items() if figure is not None and pair[0] != pair[1]}
    if not others:
        return ""
    (source, target), most = max(others.items(), key=lambda item: item[1].value)
    text = (
        f"Most of all, {source} misleads {target}: {wording.figure_text('misled', most.to_json())} of {most.n} images"
    )
    noise = table.noise.get(target)
    return f"{text}; noise {wording.figure_text('misled', noise.to_json())} of {noise.n}." if noise else f"{text}."


def _strip(column: MatrixColumn, cell: MatrixCell) -> Strip:
    figure = cell.figure(column.figure) or {}
    low, value, high = (round(100 * figure[k], 2) for k in ("low", "value", "high"))
    lane = Lane(cell.model, (Dot(value, wording.percent(figure["value"]), True),), low, high)
    return Strip(cell.model, "", (lane,), wording.percent(figure["value"]), (_rank(column, cell),))


def _figures(column: MatrixColumn, shown: list[MatrixCell]) -> Table:
    names = [
        name for name in ("clean", "worst_natural", "worst_attack", "worst_case") if any(c.figure(name) for c in shown)
    ]
    titles = {"clean": "unchanged", "worst_natural": "every natural change", "worst_attack": "every attack"}
    heads = cells.columns(
        "model", *(titles.get(name, "every change") for name in names), "lowest", "passes a sample", "time"
    )
    rows = list[TableRow]()
    for cell in shown:
        cost, lowest = cell.summary["cost"], cell.figure(LOWEST)
        n = (cell.figure("clean") or lowest or {"n": 0})["n"]
        passes = wording.number((cost["forwards"] + cost["backwards"]) / n) if n else ""
        figures = [replace(cells.share(cell.figure(k)), note=_rank(column, cell, k)) for k in (*names, LOWEST)]
        link = Cell(cell.model, address=cell.page)
        rows.append((link, *figures, passes, wording.seconds(cost["seconds"])))
    caption = (
        "Share of samples that are right when unchanged, under every change of a kind, and under the worst single "
        "change, with 95 % intervals and ranks; forward and backward passes, and time."
    )
    return Table(caption, heads, tuple(rows))


def _pairs(matrix: Matrix, column: MatrixColumn) -> list[Block]:
    every = column.pairs[column.figure]
    shown = sorted(
        (one for one in every if one.verdict != "not shown"), key=lambda one: -abs(one.paired.difference.value)
    )
    note = f"{len(shown)} of {cells.counted(len(every), 'pair')}"
    if not shown:
        return [Prose(f"No two of these models are shown to differ ({note}).", "small")] if every else []
    rows = []
    for one in shown:
        better, worse = one.candidate, one.baseline
        figure: Row = one.paired.difference.to_json()
        counts = one.paired.gained, one.paired.lost
        if one.verdict == "worse":
            better, worse, counts = worse, better, counts[::-1]
            figure = {**figure, "value": -figure["value"], "low": -figure["high"], "high": -figure["low"]}
        rows.append((better, worse, cells.points(figure), f"{counts[0]} / {counts[1]}", f"{one.paired.p_adjusted:.2g}"))
    caption = (
        "Pairs on the samples of both: percentage points by which the first is better, samples that only the first or "
        f"only the second has right, and p multiplied by the {matrix.family} comparisons of this matrix."
    )
    heads = cells.columns("better", Column("worse", number=False), "difference", "only one right", "p (adjusted)")
    table = Table(caption, heads, tuple(rows))
    return [Details("Pairs that differ", (table,), note)]


def _about(matrix: Matrix) -> list[Block]:
    record = matrix.record
    facts: list[tuple[str, Text]] = [(name, Span(spec, "code")) for name, spec in record.models.items()]
    facts += [(name, Span(spec, "code")) for name, spec in record.data.items()]
    facts += [(name, Span(plan, "code")) for name, plan in record.plans.items()]
    facts += [(name.replace("_", " "), str(value)) for name, value in record.options.items()]
    text = (
        f"Intervals of {matrix.family} differences hold together (Tango's interval and McNemar's exact test, corrected "
        "by Bonferroni): the chance that any pair is shown to differ which does not, or that any rank is wrong, is 5 % "
        f"at most. A column shows the first of these figures in which some model is right on any sample: "
        f"{'; '.join(FIGURES.values())}. The number of differences counts all three."
    )
    return [
        Heading("How it was found", "how", "How"),
        Prose(text),
        Details("Models, data and options", (Facts(tuple(facts)),)),
    ]
