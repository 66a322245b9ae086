"""Runs that are started here: forms made from the registry, progress, and an end."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse, Response

from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.run.plan import PLANS
from unshaken.serve.access import Reader, Sent, Session
from unshaken.serve.pages import answer
from unshaken.serve.site.job import Job
from unshaken.serve.site.jobs import Jobs
from unshaken.serve.site.launch import (
    NORMS,
    Specs,
    Verb,
    allowed_specs,
    arguments_of,
    choices_of,
    methods_of,
    models_of,
)
from unshaken.serve.site.listing import all_specs
from unshaken.serve.site.pages.context import Field, Here, show_duration, show_time
from unshaken.serve.site.state import Site

router = APIRouter(prefix="/jobs")


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
def form(site: Here, jobs: InJobs, session: Reader, verb: Field = "audit", method: Field = "") -> Response:
    """The form that starts a run: of an audit, or of one method with its parameters."""
    return _form(site, session, {"verb": verb, "method": method})


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
def show_job(job: InJob, session: Reader) -> Response:
    """A job with its progress."""
    return answer("site/job", title=job.title, session=session, job=job, time=show_time, **_state(job))


@router.get("/{id}/state")
def state(job: InJob, session: Reader) -> dict[str, Any]:
    """How far a job came, for the page that shows it."""
    return _state(job)


@router.post("/{id}/cancel")
def cancel(job: InJob, jobs: InJobs, sent: Sent) -> Response:
    """End a job."""
    try:
        jobs.cancel(job)
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
        "messages": job.messages(),
    }


def _specs(site: Site) -> Specs:
    return allowed_specs(all_specs(site.index), site.allow)


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
        norms=[n for n in NORMS if not chosen or not chosen.norms or n in chosen.norms],
        models=models_of(verb, specs),
        specs=specs,
        given=lambda name, otherwise="": fields.get(name) or otherwise,
    )
