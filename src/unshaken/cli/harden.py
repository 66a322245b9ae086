"""`unshaken harden`: training by recipes, or the repair of what an audit found."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unshaken.cli import surgery
from unshaken.cli.complete import complete_data, complete_methods
from unshaken.cli.names import check_data, check_method
from unshaken.cli.options import (
    START_MODEL,
    AllowCode,
    AllowLargeEps,
    Download,
    Epochs,
    Json,
    LearningRate,
    NewHead,
    Out,
    Resume,
    Set,
    StepSize,
    TrainingDevice,
    TrainingLimit,
    TrainingSeed,
    TrainingTrack,
    TrainingWorkers,
)
from unshaken.cli.runs import BAD_SAMPLES
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, print_json, print_line, print_page, table
from unshaken.cli.verb import group, verb
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.options import SHARE, WORKERS, Option
from unshaken.store.address import bare

if TYPE_CHECKING:
    from unshaken.api.harden import HardenResult
    from unshaken.report import Comparisons
    from unshaken.run.repair import RepairPlan


def train(
    session: Session,
    model: str,
    data: str,
    recipes: Sequence[str],
    out: str | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    """Train a model by recipes, and show what came out.

    Args:
        session: of the command.
        model: an architecture, or the SPEC of a model.
        data: SPEC.
        recipes: `NAME[:k=v,...]`.
        out: run directory; None for a new one.
        options: others of `unshaken.harden`.
        as_json: whether to print JSON.

    Returns:
        The exit code.
    """
    from unshaken import api

    folder = out or api.default_out(model, data, "harden")
    session.makes_run(folder, given=out is not None)
    with progress(session):
        done = api.harden(model, data, recipes, out=folder, **options)
    return _show_result(done, session, as_json=as_json)


def _show_result(done: HardenResult, session: Session, *, as_json: bool) -> int:
    """Show what came out, and choose the exit code."""
    from unshaken.report.pages.training import TRAINING, Source
    from unshaken.report.read.training import read_training
    from unshaken.report.render.terminal import warnings

    result = done.summary
    if not result:  # the first of several processes tells
        return 0
    if as_json:
        print_json(
            {
                "run": str(done.run),
                **result,
                "bad_samples": [{"id": b.id, "reason": b.reason} for b in done.bad_samples],
            }
        )
        return BAD_SAMPLES if done.bad_samples else 0
    page = TRAINING.page(Source(read_training(done.run)))
    if not session.quiet:
        print_page(page)
    else:
        for line in warnings(page):
            typer.echo(line, err=True)
    for bad in done.bad_samples[:3]:
        print_line(f"not used: {bad}")
    print_line(f"report: {str(done.run).rstrip('/')}/report.html")
    print_line(f"model: {shlex.quote(done.spec or f'run:{done.run}')}")
    return BAD_SAMPLES if done.bad_samples else 0


def training_options(settings: Sequence[str], *, seed: int, **options: float | None) -> dict[str, Any]:
    """Collect the options of the training loop, as keyword arguments of `unshaken.harden`.

    Args:
        settings: the values of `--set`, each `K=V`; they stay text.
        seed: of `--seed`.
        options: those with an option of their own; None where it was not given.

    Raises:
        ParameterError: a setting is not of the form `K=V`, no option of the training loop, or given twice.
    """
    given, named = _settings(settings), {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key in named:
            raise ParameterError(f"{key!r} is given twice, as --{key.replace('_', '-')} and as --set: give it once")
    return {**named, "seed": seed, **given}


def _settings(texts: Sequence[str]) -> dict[str, str]:
    """`K=V` as a dict; the values stay text."""
    from unshaken.harden.engine.training import Training

    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ParameterError(f"--set {text!r} is not of the form K=V, such as schedule=step")
        if key in found:
            raise ParameterError(f"--set {key!r} is given twice: give it once")
        if key not in Training.model_fields:
            near = did_you_mean(key, Training.model_fields)
            raise ParameterError(f"--set {text!r}: there is no training option {key!r}; {near}")
        found[key] = value.strip()
    return found


NOT_REPAIRED = 1
"""Exit code where the starting weights are kept, as of a gate that failed."""


def repair_run(
    session: Session,
    run: str,
    out: str | None,
    about: dict[str, Any],
    place: dict[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Plan, show the plan, train, audit again, compare.

    Args:
        session: of this call.
        run: the audit's directory.
        out: of the training run; default the audit's with `-mended`.
        about: what decides the plan.
        place: where and how it is carried out.
        dry_run: stop after the plan.
        as_json: print JSON instead of tables.

    Returns:
        The exit code.
    """
    from unshaken import api
    from unshaken.report.pages.runs import comparison_page
    from unshaken.report.pages.training import WHAT_MAY_HELP

    with progress(session):
        plan = api.plan_repair(
            run, workers=place["workers"], download=place["download"], allow_large_eps=place["allow_large_eps"], **about
        )
    if not as_json:
        show_plan(plan)
    if dry_run:
        if as_json:
            print_json(plan_json(plan))
        return 0
    folder = out or f"{run.rstrip('/')}-mended"
    session.makes_run(folder, given=out is not None)
    with progress(session):
        done = api.repair(run, plan, out=folder, limit=about["limit"], **place)
    comparison, spec = done.comparison, shlex.quote(done.hardened.spec or f"run:{folder}")
    if as_json:
        pair = None if comparison is None else comparison.to_json()
        print_json({"plan": plan_json(plan), "run": bare(folder), **done.hardened.summary, "comparison": pair})
        return NOT_REPAIRED if done.refused else 0
    if done.refused or comparison is None:
        console().print(f"not repaired: {done.refused}", style="bold red", soft_wrap=True)
        print_line(WHAT_MAY_HELP)
        print_line(f"model: {spec} (the weights of {plan.model}, unchanged)")
        if comparison is not None:
            print_line(f"before and after, of the weights that were not kept: {folder}/before-after/compare.html")
        print_line(f"report: {folder}/report.html")
        return NOT_REPAIRED
    if not session.quiet:
        print_page(comparison_page(comparison))
    for line in costs(comparison):
        console().print(line, style="bold red", soft_wrap=True)
    print_line(f"before and after: {folder}/before-after/compare.html")
    print_line(f"model: {spec}")
    return 0


def costs(comparison: Comparisons) -> list[str]:
    """A line where unchanged images are now predicted worse by more than 5 points."""
    clean = [c for one in comparison.runs for c in one.conditions if c.condition.id == "clean"]
    lost = [-c.paired.difference.value for c in clean if c.verdict == "worse"]
    return [
        f"the repaired model lost {100 * points:.1f} points on unchanged images: train longer, on more images, or with "
        "a smaller radius, as in --method trades:eps=...; the original model is unchanged"
        for points in lost
        if points > 0.05
    ]


def show_plan(plan: RepairPlan) -> None:
    """Findings with their recipes, and the expected cost."""
    rows = [[f.what, f"{100 * f.loss:.1f}", f.recipe, f.left_out] for f in plan.findings]
    console().print(table(["weakness", "points lost", "recipe", "left out, because"], rows, right=[1]))
    names = ", ".join(r.info.name for r in plan.recipes)
    print_line(
        f"plan: train {plan.model} by {names}, {plan.training.epochs} epochs over {plan.images:,} images of {plan.data}"
    )
    if plan.reference is not None:
        console().print(f"doubt: {plan.reference.why}", style="bold yellow", soft_wrap=True, highlight=False)
    if plan.training.max_clean_loss is not None:
        print_line(
            f"kept is what gains on held-out and on audited images and loses at most "
            f"{100 * plan.training.max_clean_loss:g} points on unchanged ones (--max-clean-loss); else the model stays "
            "as it is"
        )
    print_line(
        f"expected: {minutes(plan.seconds)} and {plan.passes:,} passes for training, {minutes(plan.audit_seconds)} for "
        "the audit afterwards"
    )


def minutes(seconds: float) -> str:
    """A duration for a person.

    >>> minutes(42), minutes(600)
    ('42 s', '10 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def plan_json(plan: RepairPlan) -> dict[str, Any]:
    """Convert a repair plan to JSON."""
    from dataclasses import asdict

    return {
        "model": plan.model,
        "data": plan.data,
        "findings": [asdict(f) for f in plan.findings],
        "recipes": [{"name": r.info.name, **r.model_dump(mode="json")} for r in plan.recipes],
        "training": plan.training.model_dump(mode="json"),
        "images": plan.images,
        "reference": None if plan.reference is None else asdict(plan.reference),
        "expected": {"seconds": plan.seconds, "passes": plan.passes, "audit_seconds": plan.audit_seconds},
    }


app = group("harden", invoke_without_command=True)
app.add_typer(surgery.app, name="surgery")


@app.callback(invoke_without_command=True)
@verb(first="from dry-run method model data out", python="harden")
def harden(
    session: Session,
    method: Annotated[
        list[str] | None,
        Option(
            "Training recipe, e.g. trades:eps=8/255,beta=6; see 'unshaken list harden'. May be repeated.",
            "NAME[:k=v,...]",
            flags="--method,--recipe",
            complete=complete_methods("harden"),
            read=check_method("harden"),
        ),
    ] = None,
    model: Annotated[str | None, START_MODEL] = None,
    data: Annotated[
        str | None,
        Option(
            "Labelled training images; part of them is held out for model selection.",
            "SPEC",
            complete=complete_data,
            read=check_data,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Option("Repair the weaknesses that the audit in this run directory found: plan, train, audit again.", "RUN"),
    ] = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: Annotated[bool, Option("Only print the repair plan and its cost (with --from).")] = False,
    epochs: Epochs = None,
    batch_size: StepSize = None,
    lr: LearningRate = None,
    seed: TrainingSeed = 0,
    set_: Set = None,
    limit: TrainingLimit = None,
    max_clean_loss: Annotated[
        float | None,
        Option(
            "Largest loss of held-out accuracy, against the starting weights, that a kept checkpoint may have. "
            "Default: 0.2 with --from, else none.",
            "SHARE",
            SHARE,
            panel="Training",
        ),
    ] = None,
    new_head: NewHead = False,
    device: TrainingDevice = "auto",
    devices: Annotated[int, Option("Number of processes on this machine.", "N", WORKERS, panel="Execution")] = 1,
    nodes: Annotated[int, Option("Number of machines (start with torchrun).", "N", WORKERS, panel="Execution")] = 1,
    workers: TrainingWorkers = None,
    track: TrainingTrack = None,
    allow_large_eps: AllowLargeEps = False,
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Train a more robust model, by recipes of your choice or by those that an audit suggests.

    Exit codes: 0 success, 1 no repair was kept (with --from), 2 wrong usage or bad input, 3 finished, but some images
    were unreadable.
    """
    if session.subcommand:
        return 0
    training = training_options(
        set_ or [], epochs=epochs, batch_size=batch_size, lr=lr, max_clean_loss=max_clean_loss, seed=seed
    )
    execution = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
    execution["allow_large_eps"] = allow_large_eps
    if from_ is not None:
        given = {"--new-head": new_head, "--devices": devices != 1, "--nodes": nodes != 1}
        if unused := [name for name, there in given.items() if there]:
            raise ParameterError(f"{unused[0]} is for a training from --model and --data; a repair does not use it")
        about = {"model": model, "data": data, "methods": method or (), "limit": limit, **training}
        return repair_run(session, from_, out, about, execution, dry_run=dry_run, as_json=json)
    if dry_run:
        raise ParameterError("--dry-run needs --from RUN")
    if model is None or data is None:
        raise ParameterError("give --model and --data (and --method), or --from RUN")
    execution |= {"limit": limit, "new_head": new_head, "devices": devices, "nodes": nodes}
    return train(session, model, data, method or (), out, {**execution, **training}, as_json=json)
