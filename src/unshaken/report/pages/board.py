"""The page of a board: one table of models by protocols, then each protocol with ranks, cost and pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from unshaken.report import blocks, cells, wording
from unshaken.report.blocks import Block, Span, Text
from unshaken.report.board import NAME, Board, Entry
from unshaken.report.drawings import Plot, Plots, Point, Trace
from unshaken.report.figures import plots
from unshaken.report.matrix import FIGURES, MatrixColumn
from unshaken.report.pages.matrix import SHORT, best_models, column_blocks, models_table
from unshaken.report.pages.page_kind import compose, write_page
from unshaken.store.run_dir import RunDir

PAGE = "index"
TABLE = "board.csv"
TITLE = "Board of models"
FOOTER = (
    "Made by unshaken from the rows of runs. Intervals of shares are 95 % each; ranks and differences hold together."
)
MOST_REPORTED = 200
"""Figures of other leaderboards that a page shows."""
_WIDE = 1.6
"""How far the axis of parameters goes beyond the smallest and the largest model."""


def board_page(board: Board) -> blocks.Page:
    """Make the page of a board.

    Args:
        board: with its figures.
    """
    sections: list[Callable[[Board], list[Block]]] = [_head, _models, _left_out]
    sections += [partial(_protocol, column) for column in board.matrix.columns]
    return compose(TITLE, board, [*sections, _reported, _about], FOOTER)


def write_board(run: RunDir, board: Board) -> blocks.Page:
    """Write `board.json`, `board.csv`, `index.html` and `index.md`.

    Args:
        run: the folder of the board.
        board: with its figures.

    Returns:
        The page.

    Raises:
        RunError: a file cannot be written.
    """
    page = board_page(board)
    run.write_json(board.to_json(), NAME)
    run.write(board.to_csv(), TABLE)
    write_page(run, page, PAGE)
    return page


def _head(board: Board) -> list[Block]:
    columns = board.matrix.columns
    models, protocols = (
        cells.counted(len(n), k) for n, k in ((board.matrix.record.models, "model"), (columns, "protocol"))
    )
    lead: list[Text] = [f"{models} under {protocols}, {cells.counted(len(board.entries), 'run')}."]
    lead += [text for column in columns if (text := best_models(column))]
    notices = []
    if board.left_out:
        head = Span(f"{cells.counted(len(board.left_out), 'source')} left out", "strong")
        name, reason = board.left_out[0]
        notices.append(blocks.Notice((head, ": ", Span(name, "code"), f" ({reason[:200]})"), "left-out"))
    return [blocks.Headline(TITLE, tuple(lead), tuple(notices), brief=True)]


def _models(board: Board) -> list[Block]:
    return models_table(board.matrix, board.pages)


def _left_out(board: Board) -> list[Block]:
    items: list[Text] = [(Span(name, "code"), f": {reason}") for name, reason in board.left_out]
    return [blocks.Heading("What was left out", "left-out", "Left out"), blocks.Items(tuple(items))] if items else []


def _protocol(column: MatrixColumn, board: Board) -> list[Block]:
    """One protocol: what it is, the figures of its models, their cost, and who is on the front."""
    own = board.of(column)
    found = column_blocks(column, board.matrix)
    found += [blocks.Heading("Accuracy and size", level=3)]
    drawn = _front_plot(column, board)
    found += (
        [Plots((drawn,))] if drawn else [blocks.Prose("Fewer than two of these runs know their number of parameters.")]
    )
    return [
        *found,
        _cost_table(column, board),
        blocks.Details("Protocol", (blocks.Facts(_facts(own)),), own[0].protocol.code),
    ]


def _sizes(column: MatrixColumn, board: Board) -> list[tuple[Entry, dict[str, Any], int]]:
    """The runs of a column whose number of parameters is known, with figure and number, the best first."""
    found = [(entry, entry.cell.figure(column.figure), entry.config.parameters) for entry in board.of(column)]
    rated = [(entry, figure, size) for entry, figure, size in found if figure and size]
    return sorted(rated, key=lambda one: (-one[1]["value"], one[2]))


def _front_plot(column: MatrixColumn, board: Board) -> Plot | None:
    """The figure against the number of parameters; the front is joined. None below two models."""
    rated = _sizes(column, board)
    if len(rated) < 2:
        return None
    sizes = [size for _, _, size in rated]
    place, ticks = plots.log_axis(min(sizes) / _WIDE, max(sizes) * _WIDE)
    marks, joined, ahead = list[Point](), list[tuple[float, float]](), board.front(column)
    for entry, figure, size in rated:
        text = f"{entry.cell.model}: {wording.percent(figure['value'])} at {size:,} parameters"
        mark = plots.point(place(size), figure, text, entry.cell.model)
        marks.append(mark)
        if entry.cell.model in ahead:
            joined.append((mark.x, mark.y))
    trace = Trace("no other is both better and smaller", 0, tuple(marks), plots.outline(sorted(joined)), whiskers=True)
    name, words = f"{FIGURES.get(column.figure, 'lowest')}, %".capitalize(), "; ".join(mark.text for mark in marks)
    axis = "parameters, logarithmic; numbers are those of the table"
    return Plot(name, axis, ticks, plots.labelled([trace]), None, f"{name}. {words}", numbered=True)


def _cost_table(column: MatrixColumn, board: Board) -> blocks.Table:
    """What each run cost, and the size of its model."""
    ahead, rows, rated = board.front(column), list[blocks.TableRow](), [entry for entry, _, _ in _sizes(column, board)]
    for entry in [*rated, *(one for one in board.of(column) if one not in rated)]:
        number = f"{rated.index(entry) + 1}. " if entry in rated else ""
        cost, size = entry.cell.summary["cost"], entry.config.parameters
        n = max(1, len(entry.config.ids))
        rows.append((
            blocks.Cell(f"{number}{entry.cell.model}", address=entry.cell.page),
            cells.share(entry.cell.figure(column.figure)),
            f"{size:,}" if size else "",
            wording.number(cost["forwards"] / n),
            wording.number(cost["backwards"] / n),
            wording.seconds(cost["seconds"]),
            "yes" if entry.cell.model in ahead else "",
            "submission" if entry.source.submitted else "run",
            str(entry.config.provenance.get("unshaken", "")),
        ))  # fmt: skip
    heads = (
        *cells.columns("model", blocks.Column(SHORT[column.figure]), "parameters", "forward", "backward", "time"),
        blocks.Column("front", number=False), blocks.Column("from", number=False),
        blocks.Column("unshaken", brief=False, number=False),
    )  # fmt: skip
    caption = (
        "Number of the model's parameters; forward and backward passes of a sample and time of the whole run on its "
        "own machine; models that no other equals in both figure and size and betters in one."
    )
    return blocks.Table(caption, heads, tuple(rows))


def _facts(own: list[Entry]) -> tuple[tuple[str, Text], ...]:
    fields, config = own[0].protocol.fields, own[0].config
    count, samples = fields["samples"]
    lines = [step.label or step.method for step in config.steps]
    return (
        ("identity", Span(own[0].protocol.digest, "code")),
        ("version of the protocol", str(fields["version"])),
        ("task", str(fields["task"])),
        ("data", (Span(config.data, "code"), ", fingerprint ", Span(fields["data"], "code"))),
        ("samples", (f"{count:,}, ids ", Span(samples, "code"))),
        ("plan", f"{config.plan_name}: {', '.join(lines) or 'unchanged images alone'}"),
        ("seed", str(fields["seed"])),
        ("precision of searches", str(fields["precision"])),
        ("gradients a step", str(fields["eot"])),
    )


def _reported(board: Board) -> list[Block]:
    """Figures of other leaderboards, the first `MOST_REPORTED`; their models as the files have them."""
    if not board.reported:
        return []
    shown = board.reported[:MOST_REPORTED]
    rest = (
        f" The first {len(shown)} of {len(board.reported):,}; board.json has all."
        if len(shown) < len(board.reported)
        else ""
    )
    caption = (
        "As files of other leaderboards state them. Nothing here was computed from rows: no interval is known, the "
        f"protocols are others than those above, and so these figures are neither ranked nor compared with them.{rest}"
    )
    heads = (
        *(blocks.Column(name, number=False) for name in ("model", "data", "figure")), blocks.Column("reported"),
        blocks.Column("from", number=False), blocks.Column("file", brief=False, number=False),
    )  # fmt: skip
    rows = tuple(
        (one.model, one.data, one.figure, f"{one.value:g} {one.unit}".strip(), one.form, Span(one.source, "code"))
        for one in shown
    )
    return [blocks.Heading("Reported elsewhere", "reported", "Reported"), blocks.Table(caption, heads, rows)]


def _about(board: Board) -> list[Block]:
    text = (
        "A column holds the runs of one protocol: the same plan with the same parameters, samples, labels, data and "
        f"seed. Runs that differ in any of them never share a column. Intervals of {board.matrix.family} differences "
        "hold together (Tango's interval and McNemar's exact test, corrected by Bonferroni): the chance that any rank "
        "is wrong is 5 % at most. A submission is computed by its sender; its figures here are made from its rows."
    )
    return [blocks.Heading("How to read this board", "how", "How"), blocks.Prose(text)]
