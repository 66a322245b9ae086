"""Pictures of a review: of an item, or of its references, by the number of the item only."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from unshaken.core.errors import UnshakenError
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext

router = APIRouter(prefix="/reviews/{name}/items/{item}")
HOUR = "private, max-age=3600"


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
    try:
        picture = here.application.pictures(here.review).picture(sample, use)
    except UnshakenError as error:
        raise HTTPException(404, f"There is no picture: {error}") from None
    headers = {"etag": picture.tag, "cache-control": HOUR}
    if picture.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)
