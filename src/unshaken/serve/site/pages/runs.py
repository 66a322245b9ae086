"""The list of runs, with filters; the comparison of some of them; and the table of papers with their newest runs."""

from __future__ import annotations

from functools import cache
from string import ascii_uppercase
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import Field as Bounds
from pydantic import ValidationError

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.papers import PaperInfo, PaperResult, list_papers
from unshaken.papers.pages import shown_figures
from unshaken.report.blocks import Prose
from unshaken.report.cells import counted
from unshaken.serve.access import Reader, Sent
from unshaken.serve.pages import answer, answer_blocks
from unshaken.serve.site.bin import FOLDER, deleted_runs, restore_run
from unshaken.serve.site.listing import ListedRun, Order, RunFilters, RunPage, all_tags, comparable, list_runs
from unshaken.serve.site.pages.context import (
    LARGEST,
    Field,
    Here,
    address_of,
    find_run,
    kinds_of,
    show_time,
)
from unshaken.serve.site.records import State
from unshaken.store.run_dir import RunDir

router = APIRouter()
KEPT = ("search", "kind", "state", "tag", "order", "archived")
"""Fields of the list that are kept as a filter."""


@router.get("/runs")
def show(
    site: Here, session: Reader, search: Field = "", kind: Field = "", state: Field = "", tag: Field = "",
    order: Field = "", after: Field = "", baseline: Field = "", archived: Field = "",
) -> Response:  # fmt: skip
    """A page of the list. With a baseline it holds the runs that can be compared with it, each a click away."""
    asked = {"search": search, "kind": kind, "state": state, "tag": tag, "order": order, "baseline": baseline}
    asked["archived"] = "yes" if archived == "yes" else ""
    first, page, trouble = None, RunPage(), ""
    try:
        if baseline:
            first = find_run(site, int(baseline) if baseline.isascii() and baseline.isdigit() else LARGEST)
        page = list_runs(
            site.index,
            RunFilters(search, kind, state, tag, first, archived=archived == "yes"),
            order=_order(order),
            after=after,
        )
    except ParameterError as error:
        trouble = f"{error}."
    last = site.index.last
    return answer(
        "site/runs",
        status=400 if trouble else 200,
        title="Compare with" if first else "Archive" if archived == "yes" else "Runs",
        session=session,
        trouble=trouble,
        site=site,
        asked=asked,
        page=page,
        comparable=comparable(site.index, page.runs),
        first=first,
        saved=site.index.saved_filters(),
        kept=KEPT,
        kinds=kinds_of(),
        states=[one.value for one in State if one is not State.PART],
        tags=all_tags(site.index),
        orders=[one.value for one in Order],
        refreshed=" ".join(
            (f"{counted(last.found, 'run')} found in the folders.", *(f"{line}." for line in last.troubles))
        ),
        time=show_time,
        address=address_of,
        beginning=address_of("runs", **asked) if after else "",
        more=address_of("runs", **asked, after=page.next) if page.next else "",
    )


@router.post("/runs/refresh")
def refresh(site: Here, sent: Sent) -> Response:
    """Look at the directories now."""
    site.index.refresh()
    return RedirectResponse("/runs", 303)


@router.post("/runs/filters")
def save_filters(site: Here, sent: Sent) -> Response:
    """Keep filters of the list under a name, or forget them."""
    query = {name: sent.one(name, "")[:300] for name in KEPT}
    try:
        site.index.save_filters(sent.one("name", ""), "" if sent.one("remove", "") else address_of("runs", **query))
    except ParameterError as error:
        raise HTTPException(400, f"{error}.") from None
    return RedirectResponse(address_of("runs", **query), 303)


@router.get("/bin")
def show_bin(site: Here, session: Reader) -> Response:
    """The runs that were deleted."""
    runs = deleted_runs(site.index)
    folders = [f"{root}/{FOLDER}" for root in site.index.roots if "://" not in root]
    return answer("site/bin", title="Bin", session=session, runs=runs, folders=folders, site=site, time=show_time)


@router.post("/bin/{id}/restore")
def restore(site: Here, sent: Sent, id: Annotated[str, Path(max_length=40)]) -> Response:
    """Move a run from the bin to where it was."""
    try:
        restore_run(site.index, id)
    except UnshakenError as error:
        raise HTTPException(409, f"{error}.") from None
    return RedirectResponse("/runs", 303)


def _order(text: str) -> Order:
    try:
        return Order(text or Order.NEWEST)
    except ValueError:
        raise ParameterError(f"the list has no such order; choose {', '.join(Order)}") from None


Number = Annotated[int, Query(ge=1, le=LARGEST)]


MOST_CANDIDATES = 9
"""Runs that are compared with a baseline on one page."""


@router.get("/compare")
def compare(
    site: Here,
    session: Reader,
    baseline: Number,
    candidate: Annotated[tuple[Annotated[int, Bounds(ge=1, le=LARGEST)], ...], Query()] = (),
) -> Response:
    """The paired comparison of runs with a baseline; each candidate is counted once."""
    if not candidate:
        raise HTTPException(404, "No run was chosen: go back and choose one or more.")
    chosen = tuple(dict.fromkeys(candidate))
    if len(chosen) > MOST_CANDIDATES:
        words = f"{len(chosen):,} runs were chosen; choose at most {MOST_CANDIDATES}, or use 'unshaken compare'."
        raise HTTPException(400, words)
    runs = [find_run(site, number) for number in (baseline, *chosen)]
    try:
        blocks, status = site.compare(runs), 200
    except UnshakenError as error:
        words = f"These runs cannot be compared: {error}."
        blocks, status = (Prose(words, "bad"),), 400
    letters = zip(ascii_uppercase, runs, strict=False)
    nav = tuple((f"{letter}: {run.name}", f"/runs/{run.id}", False) for letter, run in letters)
    title = f"{runs[0].name} and {', '.join(run.name for run in runs[1:])}"
    found = answer_blocks(title, blocks, session=session, nav=nav)
    found.status_code = status
    return found


MOST_PAPERS = 1000
"""Runs of papers that are looked through for the newest of each."""
Outcome = tuple[str, str, str]
"""Verdict, what was measured, and what was expected."""


@router.get("/papers")
def show_papers(site: Here, session: Reader) -> Response:
    """All papers with their claims and outcomes."""
    newest: dict[str, ListedRun] = {}
    for run in list_runs(site.index, RunFilters(kind="paper"), limit=MOST_PAPERS).runs:
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
    """Outcome of a run of a paper, from its `result.json`."""
    try:
        result = PaperResult.model_validate(RunDir(run.place).read_json("result.json"))
        figure = next(iter(shown_figures(result)), None)
    except (UnshakenError, ValidationError, ValueError, LookupError, TypeError, OSError):
        return "damaged", "", ""
    verdict = "reproduced" if result.reproduced else "not reproduced"
    return verdict, f"{figure.title}: {figure}" if figure else "", figure.expected if figure else ""
