"""Pictures of a review: of an item, or of its references, by the number of the item only."""

from __future__ import annotations

import textwrap
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from markupsafe import escape

from unshaken.core.errors import UnshakenError
from unshaken.core.texts import printable
from unshaken.serve.review.pages.context import InReview, ItemNumber, ReviewContext

router = APIRouter(prefix="/reviews/{name}/items/{item}")
LINE = 28
"""Characters of a line of a placeholder."""
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
        return Response(_placeholder(str(error)), 404, media_type="image/svg+xml")
    headers = {"etag": picture.tag, "cache-control": HOUR}
    if picture.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def _placeholder(why: str) -> str:
    """An image that says why there is no picture; browsers show it whatever the status of the answer."""
    lines = textwrap.wrap(f"No picture: {why}", LINE, max_lines=7)
    spans = "".join(f'<tspan x="80" dy="1.3em">{escape(printable(line))}</tspan>' for line in lines)
    words = f'<text y="24" font-family="sans-serif" font-size="10" text-anchor="middle" fill="#7a8694">{spans}</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 160">{words}</svg>'
