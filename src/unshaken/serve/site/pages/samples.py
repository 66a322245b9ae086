"""The samples of a run: a grid with filters, and a page for each sample."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.numbers import parse_number
from unshaken.core.part import CLEAN
from unshaken.core.texts import csv_text
from unshaken.report.blocks import walk
from unshaken.report.drawings import PointMap
from unshaken.serve.access import Sent
from unshaken.serve.images import Picture, answer_picture
from unshaken.serve.site.grid import GridFilters, GridOrder, GridPage, Outcome
from unshaken.serve.site.listing import RunFilters, comparable, list_runs
from unshaken.serve.site.opened import TABLES, check_condition
from unshaken.serve.site.pages.context import LARGEST, Field, InRun, RunContext, find_run

router = APIRouter(prefix="/runs/{number}")
OTHERS = 12
"""Other runs on the same data that the page of a sample names, the newest first."""
WORDS = {Outcome.ANY: "any", Outcome.BROKEN: "right before, wrong now", Outcome.WRONG: "wrong", Outcome.RIGHT: "right"}
ORDERS = {
    GridOrder.WORST: "most damaged first",
    GridOrder.CONFIDENT: "most confident first",
    GridOrder.UNSURE: "least confident first",
    GridOrder.GIVEN: "as in the data",
}

E = TypeVar("E", Outcome, GridOrder)
SampleNumber = Annotated[int, Path(ge=0, le=LARGEST)]


@router.get("/classes")
def search_classes(here: InRun, q: Annotated[str, Query(max_length=200)] = "") -> list[str]:
    """Names of classes that hold a text."""
    return here.classes.search(q)


@router.get("/samples")
def grid(
    here: InRun, condition: Field = "", outcome: Field = "", label: Field = "", predicted: Field = "", low: Field = "",
    high: Field = "", flag: Field = "", selection: Field = "", order: Field = "", after: Field = "",
) -> Response:  # fmt: skip
    """A page of samples under a condition."""
    asked = {
        "condition": condition, "outcome": outcome, "label": label, "predicted": predicted, "low": low, "high": high,
        "flag": flag, "selection": selection, "order": order,
    }  # fmt: skip
    page, trouble, flags, known = GridPage(), "", list[str](), list[str]()
    try:
        known = here.opened.conditions
        asked["condition"] = check_condition(known, condition) if condition else _first(known)
        samples = here.opened.grid(asked["condition"])
        flags = list(samples.flags)
        page = samples.page(_filters(here, asked), order=_choose(GridOrder, order or GridOrder.WORST), after=after)
    except UnshakenError as error:
        trouble = f"{error}."
    shown = {
        "asked": asked, "page": page, "conditions": known, "flags": flags, "words": WORDS, "orders": ORDERS,
        "selections": here.site.index.selections(here.listed.place),
        "first": here.address("samples", **asked) if after else "",
        "more": here.address("samples", **asked, after=page.next) if page.next else "",
    }  # fmt: skip
    found = here.answer("samples", "Samples", "samples", trouble=trouble, **shown)
    found.status_code = 400 if trouble else 200
    return found


@router.post("/selections")
def save_selection(here: InRun, sent: Sent) -> Response:
    """Keep the points that were chosen on the map under a name, or forget them."""
    index, place = here.site.index, here.listed.place
    try:
        if sent.one("remove", ""):
            index.save_selection(place, sent.one("name"), ())
            return here.go("samples", condition=sent.one("condition", ""))
        inside, outside = _read_points(here, sent.one("points"), "".join(sent.all("chosen")))
        name = index.save_selection(place, sent.one("name"), inside, outside)
    except UnshakenError as error:
        raise HTTPException(400, f"{error}.") from None
    return here.go("samples", selection=name)


def _read_points(here: RunContext, points: str, chosen: str) -> tuple[list[int], list[int]]:
    """The numbers of the samples of the map's points, those that were chosen and the others.

    Args:
        here: the run with the map.
        points: how many the page drew.
        chosen: a bit for each point in base64, the first of a byte its highest.

    Raises:
        ParameterError: the run has no map, or another one than the page drew; or none of its points is chosen.
        RunError: the run is damaged.
    """
    drawn = next((b for b in walk(here.site.report(here.listed) or ()) if isinstance(b, PointMap)), None)
    if drawn is None:
        raise ParameterError("the run has no map here: make it with 'unshaken map'")
    numbers = np.frombuffer(base64.b64decode(json.loads(drawn.data)["numbers"]), "<i4")
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(chosen, validate=True), np.uint8))
    except ValueError:
        bits = np.zeros(0, np.uint8)
    if points != str(len(numbers)) or len(bits) != 8 * -(-len(numbers) // 8):
        raise ParameterError("the map has changed since the page was loaded: load it again and choose anew")
    inside = bits[: len(numbers)] == 1
    if not inside.any():
        raise ParameterError("no image is chosen: draw around some on the map")
    return numbers[inside].tolist(), numbers[~inside].tolist()


@router.get("/selection.csv")
def selection_table(here: InRun, name: Field) -> Response:
    """A kept selection as the column that `--meta` reads: `in`, `out`, and no value for images without a point."""
    try:
        inside, outside = here.site.index.selection(here.listed.place, name)
    except ParameterError as error:
        raise HTTPException(404, f"{error}.") from None
    value = dict.fromkeys(inside, "in") | dict.fromkeys(outside, "out")
    rows = ((id, value.get(n, "")) for n, id in enumerate(here.opened.config.ids))
    file = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
    headers = {"content-disposition": f'attachment; filename="{file}.csv"'}
    return Response(csv_text(["id", name], rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/samples/{n}")
def sample(here: InRun, n: SampleNumber, other: Annotated[int | None, Query(ge=1, le=LARGEST)] = None) -> Response:
    """Page of a sample: its outcomes in this run, and in another one on the same data, of which it names the newest."""
    id, opened = _id(here, n), here.opened
    rows, troubles = list[dict[str, Any]](), list[str]()
    tables, kept = dict[str, list[dict[str, Any]]](), list[str]()
    try:
        rows = opened.rows_of(n)
        tables = {name: found for name in TABLES if (found := opened.rows_of(n, name))}
        kept = [c for c in opened.example_conditions(n) if c != CLEAN.id]
    except UnshakenError as error:
        troubles.append(f"{error}.")
    others = _others(here, other)
    place, other_rows, other_trouble = None, list[dict[str, Any]](), ""
    try:
        if other is not None:
            there = here.site.open(others[other].listed)
            place = there.places.get(id)
            other_rows = [] if place is None else there.rows_of(place)
    except UnshakenError as error:
        other_trouble = f"{error}."
    return here.answer(
        "sample",
        f"Sample {n}",
        "samples",
        n=n,
        id=id,
        kept=kept,
        rows=rows,
        tables=tables,
        troubles=troubles,
        last=len(opened.config.ids) - 1,
        others=list(others.values()),
        other=other,
        place=place,
        other_rows=other_rows,
        other_trouble=other_trouble,
    )


@router.get("/samples/{n}/{use}.img")
def picture(
    here: InRun, request: Request, n: SampleNumber, use: Literal["shown", "image"], condition: Field = CLEAN.id
) -> Response:
    """Picture of a sample under a condition; in a grid the unchanged image where that was not kept."""
    _id(here, n)
    check_condition(here.opened.conditions, condition)

    def make() -> Picture:
        small = use == "shown"
        shown_condition = CLEAN.id if small and here.opened.example(n, condition) is None else condition
        return here.opened.picture(n, "thumbnail" if small else "image", shown_condition)

    return answer_picture(request, make)


def _id(here: RunContext, n: int) -> str:
    ids = here.opened.config.ids
    if n >= len(ids):
        raise HTTPException(404, f"The run has no sample {n}.")
    return ids[n]


def _others(here: RunContext, other: int | None) -> dict[int, RunContext]:
    """The newest other runs on the same data by number, and the one that is asked for.

    Raises:
        HTTPException: 404, the one that is asked for is on other data.
    """
    same = list_runs(here.site.index, RunFilters(like=here.listed), limit=OTHERS + 1).runs
    others = {run.id: run for run in [one for one in same if one.id != here.listed.id][:OTHERS]}
    if other is not None and other not in others:
        asked = find_run(here.site, other)
        fits = asked.data_key == here.listed.data_key and bool(comparable(here.site.index, [asked]))
        if other == here.listed.id or not fits:
            raise HTTPException(404, f"The run {other} is no other run on the same data.")
        others[other] = asked
    return {number: RunContext(here.site, here.session, run) for number, run in others.items()}


def _first(known: list[str]) -> str:
    """The condition that a grid begins with: the first that changes images."""
    return next((c for c in known if c != CLEAN.id), CLEAN.id)


def _filters(here: RunContext, asked: dict[str, str]) -> GridFilters:
    """The filters that a form asks for."""
    return GridFilters(
        outcome=_choose(Outcome, asked["outcome"]),
        label=here.classes.number(asked["label"]) if asked["label"].strip() else None,
        prediction=here.classes.number(asked["predicted"]) if asked["predicted"].strip() else None,
        low=parse_number(asked["low"], "confidence") if asked["low"].strip() else None,
        high=parse_number(asked["high"], "confidence") if asked["high"].strip() else None,
        flag=asked["flag"],
        chosen=here.site.index.selection(here.listed.place, name)[0] if (name := asked["selection"]) else None,
    )


def _choose(kind: type[E], text: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise ParameterError(f"there is no such choice; choose {', '.join(kind)}") from None
