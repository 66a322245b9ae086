"""Pages of images that a method made: fooling images or generated ones from their rows, and a labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from unshaken.core.errors import RunError
from unshaken.generate.rows import SAMPLING
from unshaken.report import cells
from unshaken.report.blocks import Block, Doubt, Facts, Flags, Headline, Table, TableRow
from unshaken.report.pages.page_kind import PageKind, compose
from unshaken.report.render.html import render_html
from unshaken.store.run_dir import RunDir

TITLES = {
    "fooling": "Images that mean nothing to a person, and how sure the model is of them",
    "generated": "Generated images",
}
"""Tables of made images, each with the headline of its page."""
SET_TITLE = "A labelled set made by a generator"
SET_OPTIONS = ("condition", "seed", "guidance", "strength")
HIDDEN = {"condition", "error", "digest"}
SHOWN = 200
"""Images listed at most; `unshaken query` has all."""


class Source(NamedTuple):
    """Source of the sections: the directory, and the name of its table of images with all its rows."""

    run: RunDir
    table: str
    rows: list[dict[str, Any]]


def _read(run: RunDir) -> Source:
    for name in TITLES:
        if run.names("rows", name, suffix=".parquet"):
            return Source(run, name, run.rows(name).to_pylist())
    raise RunError(f"{run}: not a run directory (no run.json)")


def _caption(source: Source) -> str:
    n = len(source.rows)
    return f"The first {SHOWN} of {n} images." if n > SHOWN else f"{cells.counted(n, 'image')}."


def _head(source: Source) -> list[Block]:
    return [Headline(TITLES[source.table], (_caption(source),), brief=True)]


def _flags(source: Source) -> list[Block]:
    ids: dict[tuple[str, str, str, str], list[str]] = {}
    for row in source.run.rows("flags").to_pylist():
        name, detail, meaning, advice = (row[k] or "" for k in ("name", "detail", "meaning", "advice"))
        ids.setdefault((name, detail, meaning, advice), []).extend([row["id"]] if row["id"] else [])
    doubts = tuple(Doubt(*key, tuple(found)) for key, found in ids.items())
    return [Flags(doubts, brief=True)] if doubts else []


def _images(source: Source) -> list[Block]:
    rows = source.rows
    names = [k for k in rows[0] if k not in HIDDEN and any(r[k] is not None for r in rows)] if rows else []
    lines: tuple[TableRow, ...] = tuple(tuple(_text(row[k]) for k in names) for row in rows[:SHOWN])
    return [Table(_caption(source), cells.columns(*names), lines, brief=True)]


def _cost(source: Source) -> list[Block]:
    cost = [{k: v for k, v in r.items() if k != "condition"} for r in source.run.rows(SAMPLING).to_pylist()]
    cost += source.run.rows("cost").to_pylist()
    return [Facts(tuple((k.replace("_", " "), _text(v)) for k, v in c.items() if v is not None)) for c in cost]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


MADE_IMAGES = PageKind[Source](
    title=lambda source: TITLES[source.table], read=_read, sections=(_head, _flags, _images, _cost)
)


# A labelled set, from the record beside its file.


def write_set_record(folder: RunDir, stem: str, record: Mapping[str, Any]) -> None:
    """Write `STEM.generated.json` and a page of it, `STEM.generated.html`.

    Args:
        folder: of the set.
        stem: name of its file without the ending.
        record: how the set was made, with `file`, `by_class` and `speed`.

    Raises:
        RunError: a file cannot be written.
    """
    folder.write_json(dict(record), f"{stem}.generated.json")
    footer = "Made by unshaken from the record beside the set."
    page = compose(SET_TITLE, record, (_set_head, _set_facts, _set_classes), footer)
    folder.write(render_html(page).encode(), f"{stem}.generated.html")


def _set_head(record: Mapping[str, Any]) -> list[Block]:
    text = f"{cells.counted(record['n'], 'image')} of {len(record['by_class'])} classes."
    return [Headline(SET_TITLE, (text,), brief=True)]


def _set_facts(record: Mapping[str, Any]) -> list[Block]:
    """Facts of the set: its generator, its rate, and the images that were refused."""
    generator, speed = record["generator"], record["speed"]
    refused = ", ".join(f"{name} {count}" for name, count in record["refused"].items())
    rate = speed["images_a_second"]
    facts = {
        "file": record["file"],
        "generator": f"{generator['kind']}, {generator['file'][0]}",
        **{name: str(record[name]) for name in SET_OPTIONS if record[name] is not None},
        "images": f"{record['n']:,}",
        "drawn": f"{record['drawn']:,} (refused: {refused})",
        "copies of held-out images": f"{len(record['leaked']):,}",
        "steps": "none" if speed["steps"] is None else f"{speed['steps']:,}",
        "seconds of the generator": f"{speed['seconds']:.2f} on {speed['device']}",
        "images a second": "" if rate is None else f"{rate:.3g}",
    }
    return [Facts(tuple(facts.items()))]


def _set_classes(record: Mapping[str, Any]) -> list[Block]:
    lines = tuple((str(k), f"{count:,}") for k, count in record["by_class"].items())
    return [Table("Images of each class.", cells.columns("class", "images"), lines, brief=True)]
