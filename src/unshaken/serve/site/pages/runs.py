"""The list of runs, with filters; and the choice of a second run to compare with."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from unshaken.core.errors import ParameterError
from unshaken.serve.pages import answer
from unshaken.serve.session import Reader, Sent
from unshaken.serve.site.listing import Order, RunFilters, RunPage, all_tags, list_runs
from unshaken.serve.site.pages.context import LARGEST, Field, Here, address_of, find_run
from unshaken.serve.site.records import State
from unshaken.serve.site.wording import describe_refresh, kinds_of, show_time

router = APIRouter()


@router.get("/runs")
def show(
    site: Here, session: Reader, search: Field = "", kind: Field = "", state: Field = "", tag: Field = "",
    order: Field = "", after: Field = "", baseline: Field = "",
) -> Response:  # fmt: skip
    """A page of the list. With a baseline it holds the runs that can be compared with it, each a click away."""
    asked = {"search": search, "kind": kind, "state": state, "tag": tag, "order": order, "baseline": baseline}
    first, page, trouble = None, RunPage(), ""
    try:
        if baseline:
            first = find_run(site, int(baseline) if baseline.isascii() and baseline.isdigit() else LARGEST)
        page = list_runs(
            site.index,
            RunFilters(search, kind, state, tag, first.data_key if first else ""),
            order=_order(order),
            after=after,
        )
    except ParameterError as error:
        trouble = f"{error}."
    found = answer(
        "site/runs",
        status=400 if trouble else 200,
        title="Compare with" if first else "Runs",
        session=session,
        trouble=trouble,
        site=site,
        asked=asked,
        page=page,
        first=first,
        kinds=kinds_of(),
        states=[one.value for one in State],
        tags=all_tags(site.index),
        orders=[one.value for one in Order],
        refreshed=describe_refresh(site.index.last),
        time=show_time,
        address=address_of,
        beginning=address_of("runs", **asked) if after else "",
        more=address_of("runs", **asked, after=page.next) if page.next else "",
    )
    return found


@router.post("/runs/refresh")
def refresh(site: Here, sent: Sent) -> Response:
    """Look at the directories now."""
    site.index.refresh()
    return RedirectResponse("/runs", 303)


def _order(text: str) -> Order:
    try:
        return Order(text or Order.NEWEST)
    except ValueError:
        raise ParameterError(f"the list has no such order; choose {', '.join(Order)}") from None
