"""The page of images that a method made, fooling images or generated ones, from their rows."""

from __future__ import annotations

from typing import Any

from unshaken.generate.rows import SAMPLING
from unshaken.report import cells
from unshaken.report.blocks import Block, Doubt, Facts, Flags, Headline, Page, Table, TableRow
from unshaken.store.run_dir import RunDir

TITLES = {
    "fooling": "Images that mean nothing to a person, and how sure the model is of them",
    "generated": "Generated images",
}
"""Tables of made images, each with the headline of its page."""
HIDDEN = {"condition", "error", "digest"}
SHOWN = 200
"""Images listed at most; `unshaken query` has all."""


def images_page(run: RunDir) -> Page | None:
    """The page of a folder of made images; None where it holds none.

    Args:
        run: the folder.
    """
    for name, title in TITLES.items():
        if run.names("rows", name, suffix=".parquet"):
            return _page(run, name, title)
    return None


def _page(run: RunDir, name: str, title: str) -> Page:
    rows = run.rows(name).to_pylist()
    names = [k for k in rows[0] if k not in HIDDEN and any(r[k] is not None for r in rows)] if rows else []
    lines: tuple[TableRow, ...] = tuple(tuple(_text(row[k]) for k in names) for row in rows[:SHOWN])
    caption = f"The first {SHOWN} of {len(rows)} images." if len(rows) > SHOWN else f"{len(rows)} images."
    found: list[Block] = [Headline(title, (caption,), brief=True)]
    doubts = _doubts(run.rows("flags").to_pylist())
    found += [Flags(doubts, brief=True)] if doubts else []
    found.append(Table(caption, cells.columns(*names), lines, brief=True))
    cost = [{k: v for k, v in r.items() if k != "condition"} for r in run.rows(SAMPLING).to_pylist()]
    cost += run.rows("cost").to_pylist()
    found += [Facts(tuple((k.replace("_", " "), _text(v)) for k, v in c.items() if v is not None)) for c in cost]
    return Page(title, tuple(found), "Made by unshaken from the rows of this folder alone.")


def _doubts(rows: list[dict[str, Any]]) -> tuple[Doubt, ...]:
    ids: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows:
        name, detail, meaning, advice = (row[k] or "" for k in ("name", "detail", "meaning", "advice"))
        key = name, detail, meaning, advice
        ids.setdefault(key, []).extend([row["id"]] if row["id"] else [])
    return tuple(Doubt(*key, tuple(found)) for key, found in ids.items())


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
