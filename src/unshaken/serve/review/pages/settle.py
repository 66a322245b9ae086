"""The queue to settle: items on which readers disagree."""

from __future__ import annotations

from fastapi import APIRouter, Query
from fastapi.responses import Response

from unshaken.serve.review.pages.context import InReview
from unshaken.serve.review.pages.items import Did, message_of
from unshaken.serve.review.pages.verdicts import in_words

router = APIRouter(prefix="/reviews/{name}")
LIMIT = 20


@router.get("/settle")
def show(here: InReview, after: int = Query(0, ge=0, le=2**31 - 1), last: int = 0, did: Did = "") -> Response:
    """A page of disagreements, with each reader's verdict."""
    found = here.store.disagreements(here.name, after=after, limit=LIMIT + 1)
    shown = [
        (dispute.item, [(row.reader, in_words(row.verdict, here.classes)) for row in dispute.verdicts])
        for dispute in found[:LIMIT]
    ]
    more = here.address("settle", after=shown[-1][0].id) if len(found) > LIMIT else ""
    return here.answer("settle", "Settle", "settle", disputes=shown, more=more, message=message_of(last, did))
