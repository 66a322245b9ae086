"""The page of a labelled set that a generator made, from the record beside its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Facts, Headline, Page, Table
from unshaken.report.render.html import render_html
from unshaken.store.run_dir import RunDir

TITLE = "A labelled set made by a generator"
OPTIONS = ("condition", "seed", "guidance", "strength")


def set_page(record: Mapping[str, Any]) -> Page:
    """The page of a record: what made the set, how fast, what was refused, and how many images each class has.

    Args:
        record: as `write_set_record` takes it.
    """
    generator, speed = record["generator"], record["speed"]
    refused = ", ".join(f"{name} {count}" for name, count in record["refused"].items())
    rate = speed["images_a_second"]
    facts = {
        "file": record["file"],
        "generator": f"{generator['kind']}, {generator['file'][0]}",
        **{name: str(record[name]) for name in OPTIONS if record[name] is not None},
        "images": f"{record['n']:,}",
        "drawn": f"{record['drawn']:,} (refused: {refused})",
        "copies of held-out images": f"{len(record['leaked']):,}",
        "steps": "none" if speed["steps"] is None else f"{speed['steps']:,}",
        "seconds of the generator": f"{speed['seconds']:.2f} on {speed['device']}",
        "images a second": "" if rate is None else f"{rate:.3g}",
    }
    lines = tuple((str(k), f"{count:,}") for k, count in record["by_class"].items())
    blocks: list[Block] = [
        Headline(TITLE, (f"{record['n']:,} images of {len(lines)} classes.",), brief=True),
        Facts(tuple(facts.items())),
        Table("Images of each class.", cells.columns("class", "images"), lines, brief=True),
    ]
    return Page(TITLE, tuple(blocks), "Made by unshaken from the record beside the set.")


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
    folder.write(render_html(set_page(record)).encode(), f"{stem}.generated.html")
