"""Runs that are started here: forms made from the registry, progress, and an end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.registry import find_method
from unshaken.report.cells import counted
from unshaken.report.wording import percent, seconds, span
from unshaken.run.plan import PLANS
from unshaken.serve.access import Reader, Sent, Session
from unshaken.serve.pages import answer
from unshaken.serve.site.cost import estimate_time
from unshaken.serve.site.job import Job
from unshaken.serve.site.jobs import Jobs
from unshaken.serve.site.launch import (
    ALL_NORMS,
    Specs,
    Verb,
    allow_command,
    allowed_specs,
    arguments_of,
    check_allowed,
    choices_of,
    methods_of,
    models_of,
    work_of,
)
from unshaken.serve.site.listing import all_specs, known_costs, known_pairs
from unshaken.serve.site.pages.context import Field, Here, show_duration, show_time
from unshaken.serve.site.state import Site

router = APIRouter(prefix="/jobs")
TICK = 1.0
"""Seconds between two looks at a job, of a stream of its events."""
LONGEST_STREAM = 300.0
"""Seconds after which a stream ends; the browser asks again, and must still be allowed to."""
MOST_STREAMS = 64
"""Streams of all readers at a time; pages beyond these ask again and again instead."""


def _jobs(site: Here) -> Jobs:
    if site.jobs is None:
        raise HTTPException(403, "This server was started with --read-only: it starts no run.")
    return site.jobs


InJobs = Annotated[Jobs, Depends(_jobs)]


def _job(id: str, jobs: InJobs) -> Job:
    job = jobs.find(id)
    if job is None:
        raise HTTPException(404, "There is no such job.")
    return job


InJob = Annotated[Job, Depends(_job)]


@router.get("")
def show(jobs: InJobs, session: Reader) -> Response:
    """All jobs, the newest first."""
    return answer("site/jobs", title="Jobs", session=session, jobs=jobs.all(), verbs=list(Verb), time=show_time)


@router.get("/new")
def form(
    site: Here, jobs: InJobs, session: Reader, verb: Field = "audit", method: Field = "", model: Field = "",
    data: Field = "",
) -> Response:  # fmt: skip
    """The form that starts a run: of an audit, or of one method with its parameters."""
    return _form(site, session, {"verb": verb, "method": method, "model": model, "data": data})


@router.post("/check")
def check(site: Here, jobs: InJobs, session: Reader, sent: Sent) -> Response:
    """The form as it was sent, with the time that the run will take and the data that fit its model."""
    fields = {name: sent.one(name, "") for name in sent.fields if name != "form"}
    try:
        arguments_of(fields, _specs(site))
    except ParameterError as error:
        return _form(site, session, fields, trouble=f"{error}.")
    return _form(site, session, fields)


@router.post("")
def start(site: Here, jobs: InJobs, session: Reader, sent: Sent) -> Response:
    """Start a run."""
    fields = {name: sent.one(name, "") for name in sent.fields if name != "form"}
    try:
        title, arguments = arguments_of(fields, _specs(site))
        job = jobs.start(title, arguments, session.reader)
    except ParameterError as error:
        return _form(site, session, fields, trouble=f"{error}.")
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/{id}")
def show_job(job: InJob, site: Here, session: Reader) -> Response:
    """A job with its progress."""
    text, place = job.messages_after(0)
    values = {**_state(job), **_figures(site, job), "messages": text, "place": place}
    return answer("site/job", title=job.title, session=session, job=job, time=show_time, **values)


@router.get("/{id}/state")
def state(job: InJob, session: Reader) -> dict[str, Any]:
    """How far a job came, for a page that has no stream of its events."""
    return {**_state(job), "messages": job.messages()}


@router.get("/{id}/events")
async def events(
    job: InJob, site: Here, jobs: InJobs, session: Reader, request: Request,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0, last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> Response:  # fmt: skip
    """What becomes of a job, as server-sent events: `state`, `figures` and `log`, until it has ended.

    The id of a `log` is the place in the log where its lines end, with which a browser that reconnects goes on.
    """
    if jobs.streams >= MOST_STREAMS:
        raise HTTPException(503, f"{MOST_STREAMS} pages follow jobs already.")
    known = last_event_id.isascii() and last_event_id.isdigit()
    stream = _stream(site, jobs, job.id, int(last_event_id) if known else after, request.app.state.is_ending)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _stream(site: Site, jobs: Jobs, id: str, place: int, is_ending: Callable[[], bool]) -> AsyncIterator[str]:
    jobs.streams += 1
    try:
        end, sent = time.monotonic() + LONGEST_STREAM, dict[str, str]()
        while (job := await run_in_threadpool(jobs.find, id)) is not None:
            last = job.ends or is_ending() or time.monotonic() > end
            text, place = await run_in_threadpool(job.messages_after, place)
            if text:
                yield f"event: log\nid: {place}\ndata: {json.dumps(text)}\n\n"
            for name, read in (("figures", lambda job: _figures(site, job)), ("state", _state)):
                found = json.dumps(await run_in_threadpool(read, job))
                if sent.get(name) != found:
                    sent[name] = found
                    yield f"event: {name}\ndata: {found}\n\n"
            if last:
                return
            await asyncio.sleep(TICK)
    finally:
        jobs.streams -= 1


@router.post("/{id}/cancel")
def cancel(job: InJob, jobs: InJobs, sent: Sent) -> Response:
    """End a job."""
    try:
        jobs.cancel(job)
    except ParameterError as error:
        raise HTTPException(409, f"{error}.") from None
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.post("/{id}/go-on")
def go_on(job: InJob, site: Here, jobs: InJobs, sent: Sent) -> Response:
    """Start a job again that was cancelled or interrupted."""
    try:
        check_allowed(job.arguments, _specs(site))
        jobs.go_on(job)
    except ParameterError as error:
        raise HTTPException(409, f"{error}.") from None
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _state(job: Job) -> dict[str, Any]:
    share = job.progress()
    return {
        "state": job.state.value,
        "ended": job.ends,
        "percent": None if share is None else round(100 * share),
        "duration": show_duration(job.seconds),
    }


def _figures(site: Site, job: Job) -> dict[str, Any]:
    """The accuracies of what is finished, as texts, and a note on what is missing."""
    partial = site.partial(job.out)
    try:
        found = partial.read()
    except UnshakenError as error:
        return {"figures": [], "note": f"{error}."}
    rows = [
        [one.condition, f"{one.accuracy.n:,}", percent(one.accuracy.value), span(one.accuracy.to_json()),
         percent(one.unchanged)]
        for one in found
    ]  # fmt: skip
    return {
        "figures": rows,
        "note": f"{partial.unread:,} finished parts are not counted yet." if partial.unread else "",
    }


def _specs(site: Site) -> Specs:
    return allowed_specs(all_specs(site.index), site.allow, known_pairs(site.index))


def _estimate(site: Site, fields: dict[str, str], specs: Specs) -> str:
    """How long the run of a form will take, in words; empty where the form is not complete."""
    try:
        work, model, units = work_of(arguments_of(fields, specs)[1])
    except ParameterError:
        return ""
    found = estimate_time(known_costs(site.index), work, model, units)
    if found is None:
        return "no run like it yet."
    ends = "" if found.low == found.high else f" ({seconds(found.low)} to {seconds(found.high)})"
    like = f"{counted(found.runs, 'run')} like it"
    if not found.own:
        like = f"{counted(found.runs, 'run')} of this kind with other models, at the speed of other runs of this model"
    unit = "image and epoch" if fields["verb"] == Verb.HARDEN else "image"
    return (
        f"about {seconds(found.value)}{ends}, by {like}: {found.passes:,.3g} passes and {seconds(found.seconds)} "
        f"an {unit}, on the machines of these runs."
    )


def _form(site: Site, session: Session, fields: dict[str, str], trouble: str = "") -> Response:
    """The form with the values that were sent; it says what was wrong with them."""
    verb = next((one for one in Verb if one == fields.get("verb")), Verb.AUDIT)
    methods, chosen, choices = methods_of(verb), None, []
    if fields.get("method"):
        try:
            chosen = find_method(fields["method"], verb.value) if verb is not Verb.AUDIT else None
            choices = choices_of(chosen) if chosen else []
        except ParameterError as error:
            trouble = trouble or f"{error}."
    specs = _specs(site)
    models, given_data = models_of(verb, specs), fields.get("data")
    filled = {"verb": verb.value, "model": models[0] if verb is Verb.HARDEN else "demo", "data": "demo", "seed": "0"}
    filled |= {"limit": "2000" if verb is Verb.HARDEN else "200", "plan": next(iter(PLANS))}
    fields = filled | {name: value for name, value in fields.items() if value}
    fitting = specs.fitting_data(fields["model"])
    if not given_data and fitting and fields["data"] not in fitting:
        fields["data"] = fitting[0]
    return answer(
        "site/new_job",
        status=400 if trouble else 200,
        title=f"Start: {verb}",
        session=session,
        trouble=trouble,
        verb=verb,
        verbs=list(Verb),
        methods=methods,
        method=chosen,
        choices=choices,
        plans=list(PLANS),
        norms=[n for n in ALL_NORMS if not chosen or not chosen.norms or n in chosen.norms],
        models=models,
        specs=specs,
        fitting=fitting,
        estimate=_estimate(site, fields, specs),
        refused=[(spec, allow_command(spec, site.index.roots, site.allow)) for spec in specs.refused],
        given=lambda name, otherwise="": fields.get(name) or otherwise,
    )
