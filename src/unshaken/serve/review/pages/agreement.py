"""How far the readers of a review agree: computed from the whole log when the page is asked for."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.labels.review.agreement import agreement_of
from unshaken.report.blocks import Block, Headline, Text
from unshaken.report.pages.label_versions import agreement_blocks
from unshaken.serve.pages import answer_blocks
from unshaken.serve.review.pages.context import InReview

router = APIRouter(prefix="/reviews/{name}")


@router.get("/agreement")
def show(here: InReview) -> Response:
    """Krippendorff's alpha of all readers, and Cohen's kappa of each pair, with intervals."""
    found = agreement_of([label.independent for label in here.store.labels_at(here.name)])
    lead: list[Text] = [f"Two readers or more have answered {found.items:,} items."]
    if not found.pairs:
        lead.append("Agreement can be measured once they have.")
    blocks: list[Block] = [Headline("Agreement", tuple(lead)), *agreement_blocks(found.to_json())]
    return answer_blocks(**here.layout("Agreement", "agreement"), blocks=blocks)
