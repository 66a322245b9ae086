"""How far the readers of a review agree: computed from the whole log when the page is asked for."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.labels.review.agreement import Agreement, agreement
from unshaken.measure.statistics.figure import Figure
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Headline, Prose, Table, Text, Tile, Tiles
from unshaken.serve.pages import answer_blocks
from unshaken.serve.review.pages.context import InReview, ReviewContext

router = APIRouter(prefix="/reviews/{name}")
HEADS = (Column("readers", number=False), Column("items"), Column("same answer"), Column("Cohen's kappa"))


@router.get("/agreement")
def show(here: InReview) -> Response:
    """Krippendorff's alpha of all readers, and Cohen's kappa of each pair, with intervals."""
    found = _agreement(here)
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
            cells.line(" and ".join(p.readers), f"{p.same.n:,}", wording.percent(p.same.value), _figure(p.kappa))
            for p in found.pairs
        )
        blocks += [_tiles(found), Prose(text, "small"), Table("Pairs of readers.", HEADS, rows, "narrow")]
    return answer_blocks(**here.layout("Agreement", "agreement"), blocks=blocks)


def _agreement(here: ReviewContext) -> Agreement:
    log = here.store.verdicts(here.name)
    return agreement(list(here.store.labels_at(here.name, log[-1].number)) if log else [])


def _tiles(found: Agreement) -> Tiles:
    alpha = found.alpha
    value = "–" if alpha is None else f"{alpha.value:.2f}"
    under = "all answers are the same" if alpha is None else f"{alpha.low:.2f} to {alpha.high:.2f}"
    items = sum(p.same.n for p in found.pairs)
    same = sum(p.same.value * p.same.n for p in found.pairs)
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
