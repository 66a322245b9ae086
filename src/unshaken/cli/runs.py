"""Commands that make runs by a plan: `unshaken audit|attack|certify|matrix|transfer|merge`; `unshaken plan check`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from unshaken.cli.complete import complete_methods, complete_model, complete_plan, complete_yaml
from unshaken.cli.names import check_method, check_model, check_plan
from unshaken.cli.options import (
    MODEL_FORMS,
    OWN,
    AllowCode,
    AllowLargeEps,
    Baseline,
    Data,
    Download,
    Gates,
    Json,
    Model,
    Resume,
)
from unshaken.cli.session import WRONG, Session, progress
from unshaken.cli.show import print_json, print_line, print_page, printable
from unshaken.cli.verb import group, verb
from unshaken.core.options import MERGE_RECORDS, Argument, Option, Options, OutputFolder
from unshaken.core.sources import keys_of

if TYPE_CHECKING:
    from unshaken.api import Audit, EvaluateResult, MatrixResult
    from unshaken.data import BadSample
    from unshaken.store.run_dir import RunDir

GATE_FAILED = 1
BAD_SAMPLES = 3
FEW = 3
"""Number of bad samples to name."""


def make_run(
    session: Session, options: Options, out: str, as_json: bool, start: Callable[[Options], Audit | EvaluateResult]
) -> int:
    """Make a run and show it.

    Args:
        session: of this call.
        options: as given; `out` is filled in where it is None.
        out: the run directory where none was given.
        as_json: print the summary instead of tables.
        start: makes the run from the options.

    Returns:
        The exit code: a failed gate wins over bad samples.
    """
    place = str(options["out"] or out)
    session.makes_run(place, given=options["out"] is not None)
    with progress(session):
        done = start({**options, "out": place})
    return show_run(session, done, as_json)


def show_run(session: Session, done: Audit | EvaluateResult, as_json: bool) -> int:
    """Show a finished run.

    Args:
        session: of this call.
        done: the run.
        as_json: print the summary instead of tables.

    Returns:
        The exit code, as of `make_run`.

    Raises:
        RunError: a gate is not decided, or the directory holds another verdict.
    """
    from unshaken.core.errors import RunError
    from unshaken.report.gates.kept import describe, read_gates
    from unshaken.report.render.terminal import warnings

    if as_json:
        print_json(done.summary)
    elif not session.quiet:
        print_page(done.page)
    if as_json or session.quiet:
        for line in warnings(done.page):
            typer.echo(line, err=True)
    if not as_json:
        place = f"{str(done.run).rstrip('/')}/report.html"
        print_line(place if session.quiet else f"report: {place}")
    session.shown = True
    kept = read_gates(done.run)
    if kept.verdict == "failed":
        return GATE_FAILED
    if not done.held or kept.verdict == "undecided":
        raise RunError(f"{done.run}: {'; '.join(describe(kept.results)) or 'its gates.json holds another verdict'}")
    return BAD_SAMPLES if done.bad_samples else 0


def show_verdict(run: RunDir) -> int:
    """Name each gate of a run that did not hold on stderr, and say where the run has not finished.

    Args:
        run: of any command, whose report was just made again.

    Returns:
        The exit code of every command that makes a report again from what was there.
    """
    from unshaken.report.gates.kept import describe, read_gates
    from unshaken.report.rebuild import why_unfinished

    kept, unfinished = read_gates(run), why_unfinished(run)
    for line in [*describe(kept.results), *([unfinished] if unfinished else [])]:
        typer.echo(printable(line), err=True)
    if kept.verdict == "failed":
        return GATE_FAILED
    return WRONG if unfinished or kept.verdict == "undecided" else 0


def name_bad_samples(bad: Sequence[BadSample]) -> int:
    """Name the first bad samples on stderr.

    Args:
        bad: the samples.

    Returns:
        The exit code.
    """
    for one in bad[:FEW]:
        typer.echo(f"bad sample {printable(str(one))}", err=True)
    return BAD_SAMPLES if bad else 0


@verb(name="audit", first="model data plan limit out gate", python="audit")
def audit(
    session: Session,
    options: Options,
    model: Annotated[
        str | None,
        Option(
            f"{MODEL_FORMS} Default: both demo networks, compared.", "SPEC", complete=complete_model, read=check_model
        ),
    ] = None,
    data: Data = "demo",
    plan: Annotated[
        str,
        Option(
            f"What to run: {', '.join(keys_of('run/plan.py', 'PLANS'))}, or a YAML file.",
            "NAME|FILE.yaml",
            complete=complete_plan,
            read=check_plan,
        ),
    ] = "quick",
    json: Json = False,
) -> int:
    """Measure a model's accuracy under corruptions and attacks, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    out = api.default_out(model, data, plan)
    return make_run(session, options, out, json, lambda o: api.audit(model, data, plan, **o))


Budgets = Annotated[
    list[str] | None,
    Option("Maximum size of the perturbation, for pixels in [0, 1]. Default: 8/255. May be repeated.", "E"),
]


@verb(name="attack", first="model data method norm eps limit", python="attack")
def attack(
    session: Session,
    options: Options,
    model: Model,
    data: Data,
    method: Annotated[
        str,
        Option(
            "Attack and its parameters, e.g. pgd:steps=40; see 'unshaken list attack'.",
            "NAME[:k=v,...]",
            flags="--method,--attack",
            complete=complete_methods("attack"),
            read=check_method("attack"),
        ),
    ] = "pgd",
    norm: Annotated[
        str | None, Option("Norm of the perturbation. Default: the first that the attack supports.", "linf|l2|l1|l0")
    ] = None,
    eps: Budgets = None,
    target: Annotated[
        str | None,
        Option(
            "Class to reach, by name or number, a rule that chooses one for each image, or a column of the data that "
            "names it. Default: any wrong class.",
            "least-likely|second|next|random|CLASS|COLUMN",
        ),
    ] = None,
    mode: Annotated[
        str | None, Option("For autoattack and auto: search in float32, or faster in bfloat16.", "strict|fast")
    ] = None,
    budget: Annotated[
        str | None,
        Option("For auto: maximum number of passes per sample (2000), or seconds in total (60s).", "PASSES|SECONDSs"),
    ] = None,
    defence: Annotated[
        str | None,
        Option(
            "Inference-time defence to put around the model; the attack sees it. See 'unshaken list harden'.",
            "NAME[:k=v,...]",
            complete=complete_methods("harden/defences"),
            read=check_method("harden"),
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Attack a model with one method, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, method.partition(":")[0]),
        json,
        lambda o: api.attack(
            model,
            data,
            method,
            norm=norm,
            eps=eps or None,
            target=target,
            mode=mode,
            budget=budget,
            defence=defence,
            **o,
        ),
    )


@verb(name="certify", first="model data method radius limit out", python="certify")
def certify(
    session: Session,
    options: Options,
    model: Model,
    data: Data,
    method: Annotated[
        str,
        Option(
            "Certification method and its parameters, e.g. smoothing:sigma=0.5; see 'unshaken list certify'.",
            "NAME[:k=v,...]",
            complete=complete_methods("certify"),
            read=check_method("certify"),
        ),
    ] = "smoothing-sequential",
    radius: Annotated[
        list[str] | None, Option("Radius to certify, in the method's norm, e.g. 0.5 or 8/255. May be repeated.", "R")
    ] = None,
    attacked: Annotated[
        bool,
        Option(
            "Also attack the same samples, as a check: attacked accuracy is an upper bound of certified accuracy.",
            flags="--attacked/--not-attacked",
        ),
    ] = True,
    json: Json = False,
) -> int:
    """Certify the robustness of each prediction, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, method.partition(":")[0]),
        json,
        lambda o: api.certify(model, data, method, radii=radius or None, attacked=attacked, **o),
    )


@verb(name="merge", python="merge")
def merge(
    session: Session,
    directories: Annotated[list[str], Argument("Run directories of the parts of one run.", "DIR DIR ...")],
    out: Annotated[
        str,
        OutputFolder("Directory of the whole run; it must hold no run.", "DIR", records=MERGE_RECORDS),
    ],
    allow_missing: Annotated[
        bool, Option("Continue where samples are in none of the directories; the result can be resumed.")
    ] = False,
    gate: Gates = None,
    baseline: Baseline = None,
    json: Json = False,
) -> int:
    """Join the parts of a run that were computed with --part in several directories.

    Exit codes: as for unshaken audit.
    """
    from unshaken import api

    with progress(session):
        done = api.merge(*directories, out=out, allow_missing=allow_missing, gates=gate or (), baseline=baseline)
    return show_run(session, done, json)


@verb(name="matrix", python="matrix")
def matrix(
    session: Session,
    file: Annotated[
        str,
        Argument("YAML file with models, data, plans, gates and options of all runs.", "FILE", complete=complete_yaml),
    ],
    out: Annotated[
        str, OutputFolder("Folder for the table and all runs, or fsspec address.", "DIR", records=("matrix.json",))
    ],
    resume: Resume = False,
    engine: Annotated[str, OWN["engine"]] = "local",
    part: Annotated[
        str | None,
        Option("Run the K-th of N parts of the cells only, in the same --out as the other parts.", "K/N"),
    ] = None,
    allow_code: AllowCode = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Audit many models on data sets and under plans, and rank them in one table.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage, bad input, a failed run or a gate that is not decided, 3
    finished, but some samples were unreadable.
    """
    from unshaken import api

    given = api.read_matrix_file(file)
    session.makes_run(out, given=True)
    with progress(session):
        done = api.matrix(**given, out=out, resume=resume, engine=engine, part=part, download=download)
    return _show_matrix(session, done, json)


@verb(name="transfer", first="data method norm eps limit out", python="transfer")
def transfer(
    session: Session,
    models: Annotated[
        list[str],
        Argument("Models, two at least, as SPEC or NAME=SPEC.", "SPEC SPEC ...", complete=complete_model),
    ],
    data: Data,
    out: Annotated[
        str, OutputFolder("Folder for the table and all runs, or fsspec address.", "DIR", records=("matrix.json",))
    ],
    method: Annotated[
        str,
        Option(
            "Attack within a norm, and its parameters, that makes the examples; see 'unshaken list attack'.",
            "NAME[:k=v,...]",
            flags="--method,--attack",
            complete=complete_methods("attack"),
            read=check_method("attack"),
        ),
    ] = "mi-fgsm",
    norm: Annotated[
        str | None, Option("Norm of the perturbation. Default: the first that the attack supports.", "linf|l2|l1")
    ] = None,
    eps: Budgets = None,
    source: Annotated[
        list[str] | None,
        Option("Name of a model to make examples on, which needs gradients. Default: all. May be repeated.", "NAME"),
    ] = None,
    limit: Annotated[int | None, OWN["limit"]] = None,
    seed: Annotated[int, OWN["seed"]] = 0,
    gate: Annotated[
        list[str] | None,
        Option(
            "Exit with code 1 unless this holds, for one model or all, e.g. 'robust: transfer.accuracy >= 0.5'. May be "
            "repeated.",
            "[MODEL:] EXPR",
            panel="Gates",
        ),
    ] = None,
    device: Annotated[str, OWN["device"]] = "auto",
    resume: Resume = False,
    engine: Annotated[str, OWN["engine"]] = "local",
    allow_large_eps: AllowLargeEps = False,
    allow_code: AllowCode = None,
    download: Download = False,
    json: Json = False,
) -> int:
    """Try the adversarial examples of each model on all of them, in a table of source by target.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage, bad input, a failed run or a gate that is not decided, 3
    finished, but some samples were unreadable.
    """
    from unshaken import api

    session.makes_run(out, given=True)
    with progress(session):
        done = api.transfer(
            _split_names(models), data, method, norm=norm, eps=eps or "8/255", sources=source, out=out, limit=limit,
            seed=seed, gates=gate or (), device=device, resume=resume, engine=engine, allow_large_eps=allow_large_eps,
            download=download,
        )  # fmt: skip
    return _show_matrix(session, done, json)


def _split_names(models: list[str]) -> dict[str, str] | list[str]:
    """NAME=SPEC of each model; where none has a name, SPECs, which are named after themselves."""
    from unshaken.core.errors import ParameterError

    pairs = [re.fullmatch(r"(?:([^:=?]+)=)?(.*)", text, re.DOTALL) for text in models]
    named = [(pair[1], check_model(pair[2])) for pair in pairs if pair]
    if not any(name for name, _ in named):
        return models
    if missing := next((spec for name, spec in named if not name), None):
        raise ParameterError(f"model {missing!r} has no name, and others have one: write NAME={missing}")
    found = dict[str, str]()
    for name, spec in named:
        if name in found:
            raise ParameterError(f"model {name!r} is there twice: give each a name of its own")
        found[name] = spec
    return found


def _show_matrix(session: Session, done: MatrixResult, as_json: bool) -> int:
    """Show a finished matrix.

    Args:
        session: of this call.
        done: the matrix.
        as_json: print what `matrix.json` holds instead of the page.

    Returns:
        The exit code: a cell that failed wins over a failed gate, and that over bad samples.
    """
    if as_json:
        print_json(done.summary)
    elif not session.quiet:
        print_page(done.page)
    if as_json or session.quiet:
        for cell in done.failed:
            typer.echo(f"failed: {printable(f'{cell.place}: {cell.reason}')}", err=True)
    if not as_json:
        place = f"{str(done.run).rstrip('/')}/index.html"
        print_line(place if session.quiet else f"page: {place}")
    session.shown = True
    verdicts = {cell.gates.verdict for cell in done.cells}
    if done.failed or ("undecided" in verdicts and "failed" not in verdicts):
        return WRONG
    return GATE_FAILED if "failed" in verdicts else BAD_SAMPLES if done.bad_samples else 0


plans = group("plan", help="Work with plan files.", no_args_is_help=True)


@plans.callback()
def plan() -> None:
    """Work with plan files, the YAML lists of what an audit runs."""


@plans.command("check")
@verb()
def check(
    files: Annotated[list[str], Argument("Plan files (.yaml) or names.", "FILE ...")],
    allow_large_eps: AllowLargeEps = False,
) -> int:
    """Check plan files without running them: methods, parameters, severities and budgets.

    Exit codes: 0 all can be run, 2 at least one cannot.
    """
    from unshaken.core.errors import ParameterError, UnshakenError
    from unshaken.run.budgets import check_budget_sizes
    from unshaken.run.plan import load_plan, prepare

    wrong = 0
    for file in files:
        try:
            steps = prepare(load_plan(file))
            check_budget_sizes(steps, None, allow=allow_large_eps)
        except UnshakenError as error:
            wrong += 1
            typer.echo(f"{file}: {error}", err=True)
        else:
            print_line(f"{file}: {len(steps)} lines, {sum(len(s.conditions) for s in steps)} conditions")
    if wrong:
        raise ParameterError(f"{wrong} of {len(files)} plans cannot be run")
    return 0
