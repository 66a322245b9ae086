"""The runs of a model, and a figure of them against time or a setting."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from unshaken.report.drawings import Plots
from unshaken.report.render.html import render_blocks
from unshaken.serve.site.listing import ListedRun, RunFilters, comparable, list_runs
from unshaken.serve.site.pages.context import Field, InRun, address_of, show_time
from unshaken.serve.site.trend import PREFERRED, TrendPoint, show_setting, trend_plot

router = APIRouter(prefix="/runs/{number}")
MOST_RUNS = 100
"""Runs of a model that its page shows, the newest first."""


@router.get("/model")
def show(here: InRun, figure: Field = "", x: Field = "") -> Response:
    """All runs of the model of a run, with a figure against time or a setting; the run itself is the baseline."""
    if not here.listed.model:
        raise HTTPException(404, "The run names no model.")
    page = list_runs(here.site.index, RunFilters(model=here.listed.model), limit=MOST_RUNS)
    figures = {run.id: here.site.figures(run) for run in page.runs}
    own = here.site.figures(here.listed)
    chosen = figure or next((name for name in PREFERRED if name in own), next(iter(own), ""))
    if figure and figure not in own and not any(figure in one for one in figures.values()):
        raise HTTPException(404, "No run of this model has this figure.")
    settings = {run.id: _settings(run) for run in page.runs}
    if x and not any(x in one for one in settings.values()):
        raise HTTPException(404, "No run of this model has this setting.")
    key = (here.listed.data_key, here.listed.record)
    same = {
        run.id: TrendPoint(run, figures[run.id][chosen], settings[run.id].get(x))
        for run in page.runs
        if chosen in figures[run.id] and ((run.data_key, run.record) == key != ("", key[1]) or run.id == here.listed.id)
    }
    placed = [one for one in same.values() if not x or one.at is not None]
    baseline = TrendPoint(here.listed, own[chosen]) if chosen in own else None
    drawn = (Plots((trend_plot(chosen, placed, baseline, x),)),) if placed else ()
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
        x=x,
        ways=_differing([settings[number] for number in same], x),
        at={number: show_setting(one[x], x) for number, one in settings.items() if x in one},
        absent=len(same) - len(placed),
        paired=able & same.keys() if here.listed.id in able else frozenset(),
        body=render_blocks(drawn),
        time=show_time,
        address=address_of,
    )


def _settings(run: ListedRun) -> dict[str, float | str]:
    found: dict[str, float | str] = json.loads(run.settings)
    return found


def _differing(settings: Sequence[dict[str, float | str]], chosen: str) -> list[str]:
    """Names of the settings of which some runs have other values, and the chosen one."""
    values: dict[str, set[float | str]] = {chosen: set()} if chosen else {}
    for one in settings:
        for name, value in one.items():
            values.setdefault(name, set()).add(value)
    return sorted(name for name, found in values.items() if len(found) > 1 or name == chosen)
