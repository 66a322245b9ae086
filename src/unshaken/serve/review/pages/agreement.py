"""How far the readers of a review agree: computed from the whole log when the page is asked for."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.labels.review.agreement import Agreement, agreement_of
from unshaken.measure.statistics.figure import Figure
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Headline, Prose, Table, Text, Tile, Tiles
from unshaken.serve.pages import answer_blocks
from unshaken.serve.review.pages.context import InReview

router = APIRouter(prefix="/reviews/{name}")
HEADS = (Column("readers", number=False), Column("items"), Column("same answer"), Column("Cohen's kappa"))
RIGHT = (Column("reader", number=False), Column("answers that are right"))


@router.get("/agreement")
def show(here: InReview) -> Response:
    """Krippendorff's alpha of all readers, and Cohen's kappa of each pair, with intervals."""
    found = agreement_of([label.independent for label in here.store.labels_at(here.name)])
    lead: list[Text] = [f"Two readers or more have answered {found.items:,} items."]
    if not found.pairs:
        lead.append("Agreement can be measured once they have.")
    blocks: list[Block] = [Headline("Agreement", tuple(lead))]
    if found.pairs:
        text = (
            "Each reader's first answer counts, which was given before the model's suggestion or another verdict could "
            "be seen. 0 is the agreement of chance, 1 is full agreement; intervals are of a bootstrap over items."
        )
        rows = tuple(
            cells.line(" and ".join(p.readers), f"{p.items:,}", wording.percent(p.same / p.items), _figure(p.kappa))
            for p in found.pairs
        )
        blocks += [_tiles(found), Prose(text, "small"), Table("Pairs of readers.", HEADS, rows, "narrow")]
    if found.accuracy:
        lines = tuple(cells.line(reader, wording.percent(value)) for reader, value in found.accuracy.items())
        blocks.append(Table("Estimated from all answers together (Dawid and Skene).", RIGHT, lines, "narrow"))
    return answer_blocks(**here.layout("Agreement", "agreement"), blocks=blocks)


def _tiles(found: Agreement) -> Tiles:
    alpha = found.alpha
    value = "–" if alpha is None else f"{alpha.value:.2f}"
    under = "all answers are the same" if alpha is None else f"{alpha.low:.2f} to {alpha.high:.2f}"
    items, same = (sum(getattr(p, k) for p in found.pairs) for k in ("items", "same"))
    return Tiles(
        (
            Tile("Krippendorff's alpha", value, under),
            Tile("Same answer", wording.percent(same / items), f"of {items:,} pairs of answers"),
        )
    )


def _figure(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell("–", note="all answers are the same")
    return Cell(f"{figure.value:.2f}", interval=f"{figure.low:.2f} to {figure.high:.2f}")
