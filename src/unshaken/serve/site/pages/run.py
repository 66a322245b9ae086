"""A run: what it is, its figures in brief, its tags; and its report."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.part import CLEAN
from unshaken.report.blocks import Block, Prose
from unshaken.report.render.html import render_blocks
from unshaken.report.wording import percent
from unshaken.serve.access import Reader, Sent
from unshaken.serve.pages import answer_blocks
from unshaken.serve.site.bin import delete_run
from unshaken.serve.site.listing import comparable, is_archived
from unshaken.serve.site.pages.context import InRun, RunContext, show_time
from unshaken.serve.site.state import has_reviews, holds_file
from unshaken.store.run_dir import RunDir

router = APIRouter(prefix="/runs/{number}")
SANDBOX = "; ".join(
    ("sandbox", "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "frame-ancestors 'none'")
)
"""The Content-Security-Policy of a page that a run brought with it: no script, no form, no origin, no network."""
MOST_CONDITIONS = 500


@router.get("")
def show(here: InRun) -> Response:
    """Page of a run."""
    conditions, reviews, trouble = [], list[tuple[str, str]](), ""
    try:
        conditions, reviews = _conditions(here), _reviews(here)
    except UnshakenError as error:
        trouble = f"{error}."
    facts = [(name, value) for name, value in _facts(here) if value not in ("", "0")]
    more = max(0, len(conditions) - MOST_CONDITIONS)
    return here.answer(
        "run",
        here.listed.name,
        "",
        facts=facts,
        conditions=conditions[:MOST_CONDITIONS],
        worst=_worst(conditions),
        comparable=bool(comparable(here.site.index, [here.listed])),
        more=more,
        trouble=trouble,
        reviews=reviews,
        archived=is_archived(here.site.index, here.listed),
    )


@router.get("/report")
def report(here: InRun) -> Response:
    """The report, made again of the rows; where that would take long, a link to the file that the run holds."""
    notes: list[Block] = []
    try:
        blocks = here.site.report(here.listed)
    except UnshakenError as error:
        blocks, notes = None, [Prose(f"The report cannot be made from the rows: {error}.", "bad")]
    if blocks is None:
        there = holds_file(RunDir(here.listed.place), "report.html")
        return here.answer(
            "report", "Report", "report", notes=render_blocks(notes), file=here.address("report.html") if there else ""
        )
    return answer_blocks(
        **here.layout("Report", "report"),
        blocks=blocks,
        samples=here.address("samples"),
        save="" if here.site.read_only else here.address("selections"),
    )


@router.get("/report.html")
def report_file(here: InRun) -> Response:
    """The report as the run holds it, in a sandbox: whoever made the run may have written anything into it."""
    run = RunDir(here.listed.place)
    if not holds_file(run, "report.html"):
        raise HTTPException(404, "The run holds no report.html.")
    headers = {"content-security-policy": SANDBOX}
    return Response(run.read("report.html"), media_type="text/html; charset=utf-8", headers=headers)


@router.post("/tags")
def change_tags(here: InRun, sent: Sent) -> Response:
    """Put a tag on the run, or take one off."""
    index, place = here.site.index, here.listed.place
    try:
        if sent.one("remove", ""):
            index.untag(place, sent.one("remove"))
        else:
            index.tag(place, sent.one("tag"))
    except ParameterError as error:
        raise HTTPException(400, f"{error}.") from None
    return here.go()


@router.post("/archive")
def archive(here: InRun, sent: Sent) -> Response:
    """Put the run into the archive, or take it out."""
    here.site.index.archive(here.listed.place, archived=sent.one("archived") == "yes")
    return here.go()


@router.post("/note")
def write_note(here: InRun, sent: Sent, session: Reader) -> Response:
    """Write a note on the run, or take it off."""
    try:
        here.site.index.write_note(here.listed.place, sent.one("note", ""), session.reader)
    except ParameterError as error:
        raise HTTPException(400, f"{error}.") from None
    return here.go()


@router.post("/delete")
def delete(here: InRun, sent: Sent, session: Reader) -> Response:
    """Move the run into the bin."""
    try:
        delete_run(here.site.index, here.listed, session.reader)
    except UnshakenError as error:
        raise HTTPException(409, f"{error}.") from None
    return RedirectResponse("/bin", 303)


def _reviews(here: RunContext) -> list[tuple[str, str]]:
    """The reviews of labels in the run, each with its address."""
    if here.site.read_only or not has_reviews(here.listed.place):
        return []
    reviews = here.site.review_store(here.listed.id).reviews()
    return [(one.name, f"/reviews/{quote(f'{here.listed.id}~{one.name}', safe='')}") for one in reviews]


def _facts(here: RunContext) -> list[tuple[str, str]]:
    run = here.listed
    return [
        ("Kind", run.kind),
        ("Model", run.model),
        ("Model SPEC", run.model_spec if run.model_spec != run.model else ""),
        ("Data", run.data),
        ("Plan", run.plan),
        ("Task", run.task),
        ("Samples", f"{run.samples:,}"),
        ("Bad samples", f"{run.bad:,}"),
        ("Flags", f"{run.flags:,}"),
        ("Figure", run.figure),
        ("Clean", percent(run.clean) if run.clean >= 0 else ""),
        ("Worst case", percent(run.worst) if run.worst >= 0 else ""),
        ("State", run.state),
        ("Changed", f"{show_time(run.modified)} UTC"),
    ]


def _conditions(here: RunContext) -> list[dict[str, Any]]:
    """The conditions of an evaluation with their figures, as far as its summary has them."""
    if here.listed.record != "run.json" or here.listed.state == "damaged":
        return []
    opened = here.site.open(here.listed)
    run = opened.run
    summary = run.read_json("summary.json") if run.exists("summary.json") else {}
    rows = summary.get("conditions") if isinstance(summary, dict) else None
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    found = {row["condition"]: row for row in known if isinstance(row.get("condition"), str)}
    found["clean"] = {"accuracy": summary.get("clean") if isinstance(summary, dict) else None}
    return [{"id": c, **_figure(found.get(c, {}))} for c in opened.conditions]


def _worst(conditions: list[dict[str, Any]]) -> str:
    """The condition with the lowest figure, the unchanged images left out; empty without any."""
    known = [c for c in conditions if c["bar"] is not None and c["id"] != CLEAN.id]
    return str(min(known, key=lambda c: float(c["bar"]), default={"id": ""})["id"])


def _figure(row: dict[str, Any]) -> dict[str, Any]:
    """The figure of a condition: its value, and its interval in words."""
    figures = (row[k] for k in ("map", "miou", "accuracy", "consistency") if isinstance(row.get(k), dict))
    figure: dict[str, Any] = next(figures, {})
    value, low, high = (v if isinstance(v := figure.get(k), int | float) else None for k in ("value", "low", "high"))
    span = f"{percent(low)} to {percent(high)}" if low is not None and high is not None else ""
    return {"value": percent(value), "span": span, "bar": None if value is None else max(0.0, min(1.0, value))}
