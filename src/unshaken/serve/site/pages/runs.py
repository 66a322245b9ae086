"""The list of runs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.report.blocks import Headline
from unshaken.serve.pages import answer_blocks
from unshaken.serve.session import Reader

router = APIRouter()


@router.get("/runs")
def show(session: Reader) -> Response:
    """All runs."""
    return answer_blocks("Runs", [Headline("Runs")], session=session)
