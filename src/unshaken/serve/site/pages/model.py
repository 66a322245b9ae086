"""The runs of a model, and a figure of them against time."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from unshaken.report.drawings import Plots
from unshaken.report.render.html import render_blocks
from unshaken.serve.site.listing import RunFilters, comparable, list_runs
from unshaken.serve.site.pages.context import Field, InRun, address_of, show_time
from unshaken.serve.site.trend import PREFERRED, TrendPoint, trend_plot

router = APIRouter(prefix="/runs/{number}")
MOST_RUNS = 100
"""Runs of a model that its page shows, the newest first."""


@router.get("/model")
def show(here: InRun, figure: Field = "") -> Response:
    """All runs of the model of a run, with a figure against time; the run itself is the baseline."""
    if not here.listed.model:
        raise HTTPException(404, "The run names no model.")
    page = list_runs(here.site.index, RunFilters(model=here.listed.model), limit=MOST_RUNS)
    figures = {run.id: here.site.figures(run) for run in page.runs}
    own = here.site.figures(here.listed)
    chosen = figure or next((name for name in PREFERRED if name in own), next(iter(own), ""))
    if figure and figure not in own and not any(figure in one for one in figures.values()):
        raise HTTPException(404, "No run of this model has this figure.")
    same = {
        run.id: TrendPoint(run, figures[run.id][chosen])
        for run in page.runs
        if chosen in figures[run.id] and (run.data_key == here.listed.data_key != "" or run.id == here.listed.id)
    }
    baseline = TrendPoint(here.listed, own[chosen]) if chosen in own else None
    drawn = (Plots((trend_plot(chosen, list(same.values()), baseline),)),) if same else ()
    able = comparable(here.site.index, page.runs)
    return here.answer(
        "model",
        f"Runs of {here.listed.model}",
        "model",
        page=page,
        chosen=chosen,
        names=sorted({name for one in figures.values() for name in one}),
        values={id: one[chosen].text(chosen) for id, one in figures.items() if chosen in one},
        plotted=same.keys(),
        paired=able & same.keys() if here.listed.id in able else frozenset(),
        body=render_blocks(drawn),
        time=show_time,
        address=address_of,
    )
