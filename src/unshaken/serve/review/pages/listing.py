"""The list of all reviews."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.serve.pages import answer
from unshaken.serve.review.pages.context import Here, ReviewContext
from unshaken.serve.session import Reader

router = APIRouter()


@router.get("/reviews")
def show(here: Here, session: Reader) -> Response:
    """The list of reviews."""
    reviews = [
        (ReviewContext(here, session, here.store, review, review.name), here.store.progress(review.name))
        for review in here.store.reviews()
    ]
    return answer("listing", title="Reviews of labels", session=session, reviews=reviews)
