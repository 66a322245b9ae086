"""What the terminal shows of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.cli.show import table

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]


def detector_tables(summary: Row) -> list[Table]:
    """One row a detector: what it tells apart, whom it lets in, what it costs; and for each budget who gets past."""
    from unshaken.report import detect_view

    if not (detectors := detect_view.by_auroc(summary)):
        return []
    several = len(detectors) > 1
    heads = ["detector, 95 % interval", *(f"AUROC {m['group']}" for m in detectors[0]["means"])]
    heads += [*(["behind the best"] if several else []), "normal let in", "time"]
    rows = [
        [
            d["condition"],
            *(_told(m["auroc"]) for m in d["means"]),
            *([detect_view.beside_best(d)] if several else []),
            _told(d["accepted"]),
            detect_view.milliseconds(d["cost"]["milliseconds"]),
        ]
        for d in detectors
    ]
    found = [table(heads, rows, right=range(1, len(heads)))]
    for bout in detect_view.bouts(summary):
        past = [[name, *(_told(k and k["past"]) for k in kinds)] for name, *kinds in bout.rows]
        found.append(table([f"gets past, {bout.name}, of {bout.n}", "naive", "adaptive"], past, right=(1, 2)))
    return found


def _told(figure: Row | None) -> str | None:
    from unshaken.report import wording

    if figure is None:
        return None
    return f"{wording.percent(figure['value'])} ({100 * figure['low']:.1f}–{100 * figure['high']:.1f})"
