"""Two runs side by side, on the same samples."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from unshaken.core.errors import ParameterError, RunError, UnshakenError
from unshaken.report.blocks import Prose
from unshaken.serve.pages import answer_blocks
from unshaken.serve.session import Reader
from unshaken.serve.site.pages.context import LARGEST, Here, find_run

router = APIRouter()
Number = Annotated[int, Query(ge=1, le=LARGEST)]


@router.get("/compare")
def show(site: Here, session: Reader, baseline: Number, candidate: Number) -> Response:
    """The paired comparison of two runs."""
    runs = find_run(site, baseline), find_run(site, candidate)
    try:
        blocks, status = site.compare(*runs), 200
    except (UnshakenError, ValueError, LookupError) as error:
        if not isinstance(error, UnshakenError):
            error = RunError("the rows of one of them do not fit its configuration")
        words = f"These runs cannot be compared: {error}."
        blocks, status = (Prose(words, "bad"),), 400 if isinstance(error, ParameterError) else 500
    nav = tuple((f"{what}: {run.name}", f"/runs/{run.id}", False) for what, run in zip(("A", "B"), runs, strict=True))
    found = answer_blocks(f"{runs[0].name} and {runs[1].name}", blocks, session=session, nav=nav)
    found.status_code = status
    return found
