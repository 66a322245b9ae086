"""Pictures of a review: of an item, or of its references, by the number of the item only."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from unshaken.serve.images import answer_picture
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext

router = APIRouter(prefix="/reviews/{name}/items/{item}")


@router.get("/{use}.img")
def show_sample(here: InReview, request: Request, item: ItemNumber, use: Literal["thumbnail", "image"]) -> Response:
    """The picture of an item."""
    return _picture(here, request, here.item(item).sample, use)


@router.get("/near/{label}/{place}.img")
def show_reference(
    here: InReview, request: Request, item: ItemNumber, label: Literal["given", "suggested"], place: int
) -> Response:
    """A reference picture of an item: of the given class, or of the suggested one where the reader may see it."""
    view = here.item(item)
    samples = view.near_given if label == "given" else view.near_suggested
    if not 0 <= place < len(samples):
        raise HTTPException(404, f"Item {item} shows no reference picture {place} of the {label} class.")
    return _picture(here, request, samples[place], "thumbnail")


def _picture(here: ReviewContext, request: Request, sample: str, use: str) -> Response:
    return answer_picture(request, lambda: here.pictures.picture(sample, use))
