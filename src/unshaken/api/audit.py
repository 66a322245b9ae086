"""`audit`, `attack` and `certify`: run a plan, and keep rows, figures, flags and a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from uuid import uuid4
from weakref import finalize

import numpy as np
from torch import Tensor, nn

from unshaken.api.job import as_list, default_out, prepare_run
from unshaken.api.options import check_options
from unshaken.attack.engine.ball import USUAL_EPS
from unshaken.attack.engine.base import Attack
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError, RunError, did_you_mean
from unshaken.core.keywords import keywords
from unshaken.core.numbers import LARGEST_COUNT, parse_number, parse_whole
from unshaken.core.options import Options
from unshaken.core.package import public
from unshaken.core.registry import Parameters, as_method, method_text, parse_method
from unshaken.data import BadSample, DataSource
from unshaken.report import Gate, GateResult
from unshaken.report.blocks import Page
from unshaken.report.gates import NO_REGRESSION
from unshaken.report.gates.kept import begin_gates
from unshaken.report.write import make_page, make_report
from unshaken.run import Job, execute, load_plan
from unshaken.run.adapters import has_adapter
from unshaken.run.local import one_by_one
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

if TYPE_CHECKING:
    from unshaken.api.division import Division
    from unshaken.api.tracking import RunLog

LOG = "track"
"""The lease of the work that logs a shared run to a tracking service."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished run.

    Args:
        run: its directory; that of an `attack` without `out` is in memory for as long as the result is.
        summary: as in `summary.json`.
        gates: what became of each gate.
        written_page: what `report.html` shows; None where no page was written.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)
    gates: list[GateResult]
    written_page: Page | None = field(repr=False, default=None)

    @property
    def page(self) -> Page:
        """What `report.html` shows, as blocks; it is made from the rows where no page was written."""
        return self.written_page or make_page(self.run)

    def save(self, out: str | Path) -> Audit:
        """Copy the run directory, such as one in memory, and write its report.

        Args:
            out: a new or empty folder, or an fsspec address.

        Returns:
            The same result, of the run there.

        Raises:
            ParameterError: the folder holds other files.
            RunError: it holds a run, or cannot be written.
        """
        there = check_options(out=out)["out"]
        target = RunDir(there or out)
        if target.exists(CONFIG):
            raise RunError(f"{target}: this directory already holds a run; choose another folder")
        files = {name.removeprefix(f"{self.run.root}/"): name for name in self.run.fs.find(self.run.root)}
        for name, place in sorted(files.items(), key=lambda item: item[0] == CONFIG):  # the configuration last
            target.write(self.run.fs.cat_file(place), *name.split("/"))
        made = make_report(target)
        return Audit(target, made.summary, made.gates, made.page)

    @property
    def held(self) -> bool:
        """Whether all gates passed; False where one is not decided."""
        return all(g.held for g in self.gates)

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Samples that could not be used, with the reason."""
        return tuple(BadSample(one["id"], one["reason"]) for one in self.summary["bad_samples"])

    def accuracy(self, condition: str = "clean") -> float:
        """The accuracy under a condition; its interval is in `summary`.

        Args:
            condition: such as `fog-3` or `pgd-linf-0.0313725`; the unchanged images by default.

        Raises:
            ParameterError: there is no such condition, or no accuracy of it.
        """
        found = {one["condition"]: one.get("accuracy") for one in self.summary["conditions"]}
        found["clean"] = self.summary["clean"]
        if condition not in found:
            raise ParameterError(f"no condition {condition!r} in {self.run}; {did_you_mean(condition, found)}")
        figure = found[condition]
        if figure is None:
            raise ParameterError(f"{self.run}: there is no accuracy under {condition!r}: its task has other figures")
        return float(figure["value"])

    def _repr_html_(self) -> str:
        from unshaken.report.render.notebook import render_notebook

        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/report.html")


@public("audit")
@of_arguments
@keywords(Options)
def audit(
    model: str | nn.Module | Callable[..., Any] | None = None,
    data: DataSource = "demo",
    plan: str | Sequence[Any] = "quick",
    **options: Unpack[Options],
) -> Audit:
    """Measure a model's accuracy under corruptions and attacks, and write a report.

    Args:
        model: a SPEC, a `Classifier`, any module from [0, 1] images to logits, or a function of images (see
            `unshaken.models.from_function`). None: both networks of the embedded default, side by side.
        data: a SPEC, a pair `(images, labels)` of arrays or tensors, a torch, torchvision or Hugging Face data set, a
            `DataLoader`, or a list of (image, label); see `unshaken.data.as_dataset`.
        plan: a name, a YAML file, or a list of `{method, params, severities|eps, norm, target}`.
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
        job = prepare_run(RunDir(out), "demo:standard", data, lines, options, [], "custom")
        check_gates_planned(job, options, _asked_division(job, data, options))
    robust = run_plan(
        "demo:robust", data, plan, {**options, "out": f"{out}/robust", "gates": (), "baseline": None, "register": None}
    )
    related = [robust.run.path.removeprefix(f"{out}/")]
    return run_plan("demo:standard", data, plan, {**options, "out": out}, related=related)


def run_plan(
    model: str | nn.Module | Callable[..., Any],
    data: DataSource,
    plan: str | Sequence[Any],
    options: Options,
    *,
    related: Sequence[str] = (),
    name: str | None = None,
    run: RunDir | None = None,
) -> Audit:
    """Run a plan and write its report: what every verb with one model and one data set ends in.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        plan: as for `audit`.
        options: as they were checked.
        related: runs shown side by side with it.
        name: of the plan; None for its own.
        run: a directory in memory, for which no page is written; None for `out`.
    """
    pages = run is None
    run = run or RunDir(options["out"] or default_out(model, data, name or plan))
    baseline, log = check_gates_early(options), _open_log(options, model)
    plan_name = name or (plan if isinstance(plan, str) else "custom")
    job = prepare_run(run, model, data, load_plan(plan), options, related, plan_name)
    division = _asked_division(job, data, options)
    check_gates_planned(job, options, division)
    execute(job, resume=options["resume"], begin=partial(keep_gates, run, job.config.model_name, options))
    if division is not None:
        from unshaken.api.division import write_division

        write_division(run, division, shared=options["share"])
    made = make_report(run, baseline=baseline, gates=options["gates"], pages=pages)
    if log is not None:
        from unshaken.api.tracking import log_run

        with one_by_one(run, LOG) if options["share"] else nullcontext():  # all processes log it in one run there
            log_run(log, run, made.summary, made.gates)
    return Audit(run, made.summary, made.gates, made.page)


def _asked_division(job: Job, data: DataSource, options: Options) -> Division | None:
    if not options["slices"] and options["meta"] is None:  # most runs do without the import
        return None
    from unshaken.api.division import asked_division

    return asked_division(job.run, job.config, data, options)


def _open_log(options: Options, model: object) -> RunLog | None:
    if options["track"] is None and options["register"] is None:
        return None
    from unshaken.api.tracking import open_log

    return open_log(options, model)


def _in_memory(options: Options) -> RunDir | None:
    """A directory in memory, dropped with the last reference to it; None where others need to see the run's files."""
    needed = options["part"] is not None or options["track"] is not None or options["engine"] != "local"
    if options["out"] is not None or needed:
        return None
    run = RunDir(f"memory://unshaken-{uuid4().hex}")
    finalize(run, _drop, run.fs, run.root).atexit = False
    return run


def _drop(fs: Any, root: str) -> None:
    with suppress(FileNotFoundError):  # nothing was written
        fs.rm(root, recursive=True)


def check_gates_planned(job: Job, options: Options, division: Division | None) -> None:
    """Refuse a gate on what the run will not produce."""
    if not options["gates"]:
        return
    from unshaken.report.gates.rehearsal import check_planned

    conditions = [c for step in job.steps() for c in step.conditions]
    labelled = job.dataset.labels is not None
    slices = division.planned(conditions) if division and (labelled or job.config.task != "classification") else ()
    check_planned(options["gates"], job.config, conditions, labelled=labelled, slices=slices)


def keep_gates(run: RunDir, name: str, options: Options, first: bool) -> None:
    """Keep the gates and the baseline of a run that begins; see `begin_gates`."""
    baseline = None if options["baseline"] is None else RunDir(options["baseline"])
    begin_gates(run, name, options["gates"], baseline, first=first)


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


@public("attack")
@of_arguments
@keywords(Options)
def attack(
    model: str | nn.Module,
    data: DataSource,
    method: str | Parameters = "pgd",
    *,
    norm: str | None = None,
    eps: float | str | Sequence[float | str] | None = None,
    target: str | int | None = None,
    mode: str | None = None,
    budget: str | None = None,
    defence: str | None = None,
    **options: Unpack[Options],
) -> Audit:
    """Run one attack: an audit whose plan has one line, or, behind a defence, two.

    Without `out` nothing is written: the rows are in memory, the page is made when it is looked at, and
    `result.save(DIR)` writes both. A run of several processes, of one part or with `track` goes to a new folder in
    `runs/` all the same. Give a long run an `out`, so that `resume` can finish it after an interruption.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        method: an attack, `NAME[:k=v,...]`, or an object such as `PGD(steps=40)`.
        norm: `linf`, `l2` or `l1`; default the first that the attack has.
        eps: one budget or several, in [0, 1] pixel units; fractions such as `8/255`, the default, will do. A
            minimal-norm attack needs none, an attack without a norm has none.
        target: the class to reach: `least-likely`, `second`, `next`, `random`, a class by name or number, or a column
            of the data that names the class of each sample; None for any class but the label.
        mode: `strict` or `fast`, of `autoattack` and `auto`.
        budget: what `auto` may spend: passes a sample (`2000`), or seconds for the whole run (`60s`).
        defence: `NAME[:k=v,...]` of the room `harden`: the model is put behind it and attacked through it. Beside that
            stands the naive figure, of examples that the same attack (APGD for one that is no single search) made on
            the bare model. Gradients of a random defence are averaged over 10 passes unless `eot` says otherwise.
        options: see `Options`.
    """
    found = _one_method(method, "attack")
    if not has_adapter(type(found)):
        name = found.info.name
        raise ParameterError(f"{name!r} makes images of its own and attacks no sample: unshaken fool --method {name}")
    chosen = _with_budget(found, mode, budget)
    if eps is None:
        eps = USUAL_EPS if chosen.norms and not chosen.minimal else ()
    given = [eps] if isinstance(eps, float | int | str) else list(eps)
    budgets = [parse_number(e, "eps") if isinstance(e, str) else e for e in given]
    aim = {} if target is None else {"target": target}
    entry = {
        "method": chosen.info.name,
        "params": chosen.model_dump(exclude_defaults=True),
        "norm": norm,
        "eps": budgets,
        **aim,
    }
    if defence is None:
        return _attack(model, data, [entry], check_options(**options), chosen.info.name)
    if not isinstance(model, str):
        raise ParameterError("defence needs a model SPEC; for a model object call the defence's wrap(model) yourself")
    if getattr(parse_method(defence, "harden"), "random", False):
        options.setdefault("eot", 10)
    same = method_text(found) if isinstance(chosen, Attack) and not chosen.minimal else ""
    naive = {
        "method": "transfer",
        "params": {"surrogate": model, "search": same},
        "norm": entry["norm"],
        "eps": budgets,
        **aim,
    }
    plan = [entry, naive] if budgets else [entry]
    guarded = f"{model}{'&' if '?' in model else '?'}defence={defence}"
    return _attack(guarded, data, plan, check_options(**options), chosen.info.name)


def _attack(model: str | nn.Module, data: DataSource, plan: list[Any], options: Options, name: str) -> Audit:
    return run_plan(model, data, plan, options, name=name, run=_in_memory(options))


def _one_method(given: Any, room: str) -> Any:
    """The method that was given; arrays in its place are refused with the right call."""
    if isinstance(given, Tensor | np.ndarray):
        raise ParameterError(
            f"an array stands where the method of the room {room} belongs: give images and labels as one argument, "
            f"unshaken.{room}(model, (images, labels), NAME)"
        )
    return as_method(given, room)


def _with_budget(method: Any, mode: str | None, budget: str | None) -> Any:
    """The method with mode and budget put into its parameters."""
    changes: dict[str, Any] = {} if mode is None else {"mode": mode}
    if budget is not None:
        amount, seconds = budget.removesuffix("s"), budget.endswith("s")
        changes["seconds" if seconds else "passes"] = _budget(amount, budget, float if seconds else int)
    for name, value in changes.items():
        if name not in type(method).model_fields:
            raise ParameterError(
                f"{method.info.name} has no {name} ({value!r}): only auto has it (mode: auto and autoattack)"
            )
    return type(method)(**{**method.model_dump(exclude_defaults=True), **changes}) if changes else method


def _budget(text: str, whole: str, number: type[int] | type[float]) -> float:
    try:
        value = parse_whole(text) if number is int else parse_number(text)
    except ParameterError:
        value = -1
    if not 0 < value <= LARGEST_COUNT:
        raise ParameterError(f"budget {whole!r} must be passes per sample, such as 2000, or seconds, such as 60s")
    return value


@public("certify")
@of_arguments
@keywords(Options)
def certify(
    model: str | nn.Module,
    data: DataSource,
    method: str | Parameters = "smoothing-sequential",
    *,
    radii: float | str | Sequence[float | str] | None = None,
    attacked: bool = True,
    **options: Unpack[Options],
) -> Audit:
    """Certify the robustness of each prediction, and attack the same samples as an upper bound.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        method: `NAME[:k=v,...]` of the room `certify`, or an object such as `IBP()`.
        radii: sizes asked for, in the unit of the method's norm; fractions such as `8/255` will do. A run whose votes
            cannot reach them is refused before it starts.
        attacked: attack what the certificate speaks of, too: clean, attacked and certified accuracy must fall in this
            order, and what contradicts a certificate is flagged as an error of this package.
        options: see `Options`.
    """
    from unshaken.run.adapters.certify import attacks_on, fields_for  # with every certifier of the room

    certifier = _one_method(method, "certify")
    given = [] if radii is None else as_list(radii)
    sizes = [parse_number(r, "radius") if isinstance(r, str) else float(r) for r in given]
    entry = {
        "method": certifier.info.name,
        "params": certifier.model_dump(exclude_defaults=True),
        **fields_for(certifier, sizes),
    }
    plan = [entry, *(attacks_on(certifier, sizes) if attacked else [])]
    return run_plan(model, data, plan, check_options(**options), name=certifier.info.name)
