"""Versions: named points in the log."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.core.errors import ParameterError
from unshaken.serve.review.pages.context import InReview, ReviewContext, Sent

router = APIRouter(prefix="/reviews/{name}")


@router.get("/versions")
def show(here: InReview) -> Response:
    """All named versions, with their downloads, and the form that names another one."""
    return _page(here)


@router.post("/versions")
def name_version(here: InReview, sent: Sent) -> Response:
    """Name the labels as they are now."""
    try:
        here.store.name_version(here.name, sent.one("version").strip())
    except ParameterError as error:
        found = _page(here, trouble=f"{error}.")
        found.status_code = 400
        return found
    return here.go("versions")


def _page(here: ReviewContext, trouble: str = "") -> Response:
    versions = here.store.versions(here.name)
    return here.answer("versions", "Versions", "versions", versions=versions, trouble=trouble)
