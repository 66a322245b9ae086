"""The board of the listed runs: models by protocols, as `unshaken board make` shows them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.core.errors import UnshakenError
from unshaken.report.render.html import render_blocks
from unshaken.serve.access import Reader
from unshaken.serve.pages import answer
from unshaken.serve.site.listing import ListedRun, RunFilters, all_tags, list_runs
from unshaken.serve.site.pages.context import Field, Here, address_of
from unshaken.serve.site.records import State
from unshaken.serve.site.state import MOST_OUTCOMES

router = APIRouter()
MOST_RUNS = 100
"""Runs of a board, the newest first."""


@router.get("/board")
def show(site: Here, session: Reader, search: Field = "", tag: Field = "") -> Response:
    """The board of the newest finished runs that fit the filters."""
    asked = RunFilters(search, state=State.FINISHED, tag=tag, evaluation=True, archived=False)
    page = list_runs(site.index, asked, limit=MOST_RUNS)
    runs, head, body, trouble = _within_reach(page.runs), "", "", ""
    try:
        blocks = site.board(runs) if runs else ()
        head, body = render_blocks(blocks[:1]), render_blocks(blocks[1:])
    except UnshakenError as error:
        trouble = f"There is no board of these runs: {error}."
    return answer(
        "site/board",
        title="Board",
        session=session,
        trouble=trouble,
        head=head,
        body=body,
        total=page.total,
        shown=len(runs),
        search=search,
        tag=tag,
        tags=all_tags(site.index),
        address=address_of,
    )


def _within_reach(runs: tuple[ListedRun, ...]) -> list[ListedRun]:
    """The first runs whose rows are not too many to be read for a page, by their models; the newest of each first."""
    found, outcomes = list[ListedRun](), 0
    for run in runs:
        outcomes += run.samples * run.conditions
        if outcomes > MOST_OUTCOMES:
            break
        found.append(run)
    return sorted(found, key=lambda run: str(run.model))
