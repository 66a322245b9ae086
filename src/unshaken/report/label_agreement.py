"""How far the readers of a review agree, as blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Prose, Table, Tile, Tiles

HEADS = (Column("readers", number=False), Column("items"), Column("same answer"), Column("Cohen's kappa"))
RIGHT = (Column("reader", number=False), Column("answers that are right"))
SAME = "all answers are the same"
TEXT = (
    "Each reader's first answer counts, given before the model's suggestion or another verdict could be seen. "
    "0 is the agreement of chance, 1 is full agreement; intervals are of a bootstrap over items."
)


def agreement_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Tiles, a table of pairs, and each reader's accuracy; none where no item has two answers.

    Args:
        found: as `Agreement.to_json` gives it.
    """
    blocks: list[Block] = []
    if found["pairs"]:
        rows = tuple(
            cells.line(" and ".join(p["readers"]), f"{p['items']:,}", wording.percent(p["same"] / p["items"]),
                       _kappa(p["kappa"]))
            for p in found["pairs"]
        )  # fmt: skip
        blocks += [_tiles(found), Prose(TEXT, "small"), Table("Pairs of readers.", HEADS, rows, "narrow")]
    if found["accuracy"]:
        lines = tuple(cells.line(reader, wording.percent(value)) for reader, value in found["accuracy"].items())
        blocks.append(Table("Estimated from all answers together (Dawid and Skene).", RIGHT, lines, "narrow"))
    return blocks


def alpha_tile(found: Mapping[str, Any]) -> Tile:
    """Krippendorff's alpha of all readers.

    Args:
        found: as for `agreement_blocks`.
    """
    alpha = found["alpha"]
    value = "–" if alpha is None else f"{alpha['value']:.2f}"
    return Tile("Krippendorff's alpha", value, SAME if alpha is None else _ends(alpha))


def _tiles(found: Mapping[str, Any]) -> Tiles:
    items, same = (sum(p[k] for p in found["pairs"]) for k in ("items", "same"))
    shared = Tile("Same answer", wording.percent(same / items), f"of {items:,} pairs of answers")
    return Tiles((alpha_tile(found), shared))


def _kappa(figure: Mapping[str, Any] | None) -> Cell:
    return Cell("–", note=SAME) if figure is None else Cell(f"{figure['value']:.2f}", interval=_ends(figure))


def _ends(figure: Mapping[str, Any]) -> str:
    return f"{figure['low']:.2f} to {figure['high']:.2f}"
