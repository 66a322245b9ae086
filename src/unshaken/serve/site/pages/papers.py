"""The table of papers: what each claims, and what came of it in the newest run of the list."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ValidationError

from unshaken.core.errors import UnshakenError
from unshaken.papers import PaperInfo, PaperResult, list_papers
from unshaken.papers.pages import shown_figures
from unshaken.serve.pages import answer
from unshaken.serve.session import Reader
from unshaken.serve.site.listing import ListedRun, RunFilters, list_runs
from unshaken.serve.site.pages.context import Here
from unshaken.store.run_dir import RunDir

router = APIRouter()
MOST = 1000
"""Runs of papers that are looked through for the newest of each."""
Outcome = tuple[str, str, str]
"""Verdict, what was measured, and what was expected."""


@router.get("/papers")
def show(site: Here, session: Reader) -> Response:
    """All papers with their claims and outcomes."""
    newest: dict[str, ListedRun] = {}
    for run in list_runs(site.index, RunFilters(kind="paper"), limit=MOST).runs:
        newest.setdefault(run.plan, run)
    known = [(paper, newest.get(paper.slug)) for paper in _papers()]
    rows = [(paper, one, _outcome(one) if one else None) for paper, one in known]
    found = sum(outcome is not None and outcome[0] == "reproduced" for _, _, outcome in rows)
    tried = sum(one is not None for _, one in known)
    return answer("site/papers", title="Papers", session=session, rows=rows, tried=tried, reproduced=found)


@cache
def _papers() -> list[PaperInfo]:
    return list_papers()


def _outcome(run: ListedRun) -> Outcome:
    """What came of a run of a paper, from its `result.json`."""
    try:
        result = PaperResult.model_validate(RunDir(run.place).read_json("result.json"))
        figure = next(iter(shown_figures(result)), None)
    except (UnshakenError, ValidationError, ValueError, LookupError, TypeError, OSError):
        return "damaged", "", ""
    verdict = "reproduced" if result.reproduced else "not reproduced"
    return verdict, f"{figure.title}: {figure}" if figure else "", figure.expected if figure else ""
