"""`audit`: stress and attack a model, and keep rows, figures, flags and a report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Unpack

from torch import nn

from unshaken.api.job import default_out, prepare_run
from unshaken.api.options import check_options
from unshaken.api.tracking import log_run, open_log
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.options import Options
from unshaken.data import DataSource
from unshaken.report import Gate, GateResult
from unshaken.report.blocks import Page
from unshaken.report.gates import NO_REGRESSION
from unshaken.report.gates.rehearsal import check_planned
from unshaken.report.render.notebook import render_notebook
from unshaken.report.write import make_report
from unshaken.run import Job, execute, load_plan, read_config
from unshaken.run.local import one_by_one
from unshaken.store.run_dir import RunDir

LOG = "track"
"""The lease of the work that logs a shared run to a tracking service."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished run.

    Args:
        run: its directory.
        summary: as in `summary.json`.
        gates: what became of each gate.
        page: what `report.html` shows, as blocks.
    """

    run: RunDir
    summary: dict[str, Any]
    gates: list[GateResult]
    page: Page = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether all gates passed."""
        return all(g.held for g in self.gates)

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/report.html")


@of_arguments
@keywords(Options)
def audit(
    model: str | nn.Module | None = None,
    data: DataSource = "demo",
    plan: str | Sequence[Any] = "quick",
    **options: Unpack[Options],
) -> Audit:
    """Measure a model's accuracy under corruptions and attacks, and write a report.

    Args:
        model: a SPEC, a `Classifier`, or any module from [0, 1] images to logits. None: both networks of the embedded
            default, side by side.
        data: a SPEC, a pair `(images, labels)` of arrays or tensors, a torch, torchvision or Hugging Face data set, a
            `DataLoader`, or a list of (image, label); see `unshaken.data.as_dataset`.
        plan: a name, a YAML file, or a list of `{method, params, severities|eps, norm}`.
        options: see `Options`.

    Returns:
        The finished run.

    Raises:
        UnshakenError: model, data, plan, gate or directory is wrong; the message says how to fix it.
    """
    chosen = check_options(**options)
    if model is None:
        return _audit_demo(data, plan, chosen)
    return run_plan(model, data, plan, chosen)


def _audit_demo(data: DataSource, plan: str | Sequence[Any], options: Options) -> Audit:
    """Both embedded networks: the standard one in `out`, the robust one in a folder beside its rows."""
    if options["name"] is not None:
        raise ParameterError(f"name {options['name']!r} is of one model: give --model, the default audits two")
    if options["part"] is not None:
        raise ParameterError(f"part {options['part']} is of one run: give --model, the default audits two")
    check_gates_early(options)
    out = str(options["out"] or default_out(None, data, plan))
    if options["gates"]:  # they are of the second run
        lines = load_plan(plan)
        check_gates_planned(prepare_run(RunDir(out), "demo:standard", data, lines, options, [], "custom"), options)
    robust = run_plan(
        "demo:robust", data, plan, {**options, "out": f"{out}/robust", "gates": (), "baseline": None, "register": None}
    )
    beside = [robust.run.path.removeprefix(f"{out}/")]
    return run_plan("demo:standard", data, plan, {**options, "out": out}, beside=beside)


def run_plan(
    model: str | nn.Module,
    data: DataSource,
    plan: str | Sequence[Any],
    options: Options,
    *,
    beside: Sequence[str] = (),
    name: str | None = None,
) -> Audit:
    """Run a plan and write its report: what every verb with one model and one data set ends in."""
    run = RunDir(options["out"] or default_out(model, data, name or plan))
    baseline, log = check_gates_early(options), open_log(options, model)
    plan_name = name or (plan if isinstance(plan, str) else "custom")
    job = prepare_run(run, model, data, load_plan(plan), options, beside, plan_name)
    check_gates_planned(job, options)
    execute(job, resume=options["resume"])
    made = make_report(run, baseline=baseline, gates=options["gates"])
    if log is not None:
        with one_by_one(run, LOG) if options["share"] else nullcontext():  # all processes log it in one run there
            log_run(log, run, made.summary, made.gates)
    return Audit(run, made.summary, made.gates, made.page)


def check_gates_planned(job: Job, options: Options) -> None:
    """Refuse a gate on what the run will not produce."""
    conditions = [c for step in job.steps() for c in step.conditions]
    check_planned(options["gates"], job.config, conditions, labelled=job.dataset.labels is not None)


def check_gates_early(options: Options) -> RunDir | None:
    """The baseline. A gate or baseline that is wrong is refused before hours are spent."""
    gates = [Gate.parse(g) for g in options["gates"]]
    if options["baseline"] is None:
        if any(g.name == NO_REGRESSION for g in gates):
            raise ParameterError(f"gate {NO_REGRESSION!r} needs a run to compare with: give --baseline DIR")
        return None
    baseline = RunDir(options["baseline"])
    read_config(baseline)
    return baseline
