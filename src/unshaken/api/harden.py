"""`harden` trains a model by recipes; `plan_repair` and `repair` choose them by what an audit found."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from unshaken.api.audit import Audit, audit
from unshaken.api.job import choose_device, default_out
from unshaken.api.results import compare
from unshaken.api.tracking import log_training
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.consent import allow_code, is_code, of_arguments, refuse_code
from unshaken.core.errors import ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.notebook import facts_card
from unshaken.core.options import TRAINING_RECORDS
from unshaken.core.package import public
from unshaken.core.registry import Parameters, parse_method
from unshaken.data import DataSource, as_dataset
from unshaken.harden.engine.compose import check_recipe_budgets
from unshaken.harden.engine.findings import MIN_LOSS, choose, findings_of
from unshaken.harden.engine.harden_file import keep_start
from unshaken.harden.engine.judgement import NOT_KEPT, Reference, audit_figures, read_summary, reference, refusal
from unshaken.harden.engine.prepared import prepared
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.run import FinishedTraining, chosen_weights, train_run
from unshaken.harden.engine.training import Training, TrainingOptions
from unshaken.models.loaders.spec import own_net
from unshaken.report import Comparisons, write_comparison
from unshaken.report.pages.runs import comparison_page
from unshaken.report.pages.training import TRAINING
from unshaken.report.render.notebook import render_notebook
from unshaken.report.write import make_report
from unshaken.run import repair as planning
from unshaken.run.budgets import first_images, largest_budget
from unshaken.run.repair import RepairPlan, read_audit
from unshaken.run.shard import write_flags
from unshaken.store.config import RunConfig
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class HardenResult(FinishedTraining):
    """A finished training run; in a notebook it shows the first screen of its page."""

    def _repr_html_(self) -> str:
        if not self.summary:  # of a process that was not the first of several
            return facts_card("Trained", {"run": self.run})
        return render_notebook(TRAINING.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


@public("harden")
@of_arguments
@keywords(Training)
def harden(
    model: str | nn.Module,
    data: DataSource,
    methods: str | Parameters | Sequence[Any] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    new_head: bool = False,
    limit: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
    validation: Callable[[Classifier, Batch], float] | None = None,
    reference: Reference | None = None,
    allow_large_eps: bool = False,
    **training: Unpack[TrainingOptions],
) -> HardenResult:
    """Train a model by recipes, in a run directory that `run:DIR` loads.

    Args:
        model: an architecture, which gets fresh weights (`small`, `small-cnn`, `small-vit`, `resnet-9`, `vit-9`,
            `new:torchvision:NAME`, `new:timm:NAME`), or a SPEC or module whose weights are trained on.
        data: a SPEC or an object, as for `audit`, labelled; a seeded part of it is held out and chooses the checkpoint.
            Recipes that learn without labels, such as `swav`, take unlabelled data, of which nothing is held out.
        methods: recipes, `NAME[:k=v,...]`, or objects of the room `harden`; none for plain cross-entropy.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; the weights are those of a run that never stopped.
        new_head: replace the last linear layer where the data has other classes than the model.
        limit: maximum number of images: a seeded, stratified draw.
        device: `auto`, `cpu`, `cuda`, `mps`.
        devices: processes that train together on this machine; under `torchrun` what it started.
        nodes: machines.
        workers: threads that decode.
        download: whether model and data may be fetched.
        track: log each epoch, and at the end files and model, to MLflow (a folder or a tracking URI), Weights & Biases
            (`wandb:PROJECT`) or event files (`tensorboard:DIR`).
        validation: figure in [0, 1] of a classifier on the held-out images; it chooses the checkpoint in the place of
            the option `select`, and the starting weights are a candidate.
        reference: figures of the starting weights in the place of those on held-out images, which they know.
        allow_large_eps: allow radii of more than half of what pixels in [0, 1] can change by.
        training: see `unshaken.harden.engine.training.Training`.

    Returns:
        A `HardenResult`: its run, the chosen model, and the result.

    Raises:
        UnshakenError: model, data, recipes or directory are wrong, or training diverged; the message says what to do.
    """
    check_folder(out, "out", TRAINING_RECORDS)
    done = train_run(
        model,
        data,
        parse_recipes(methods),
        Training.from_text(training),
        out=str(out or default_out(model, data, "harden")),
        resume=resume,
        new_head=new_head,
        limit=limit,
        device=choose_device(device),
        devices=devices,
        nodes=nodes,
        workers=workers,
        download=download,
        track=track,
        validation=validation,
        reference=reference,
        allow_large_eps=allow_large_eps,
    )
    if done.summary:  # the first of several processes has it
        TRAINING.write(done.run)
        log_training(track, done.run)
    return HardenResult(done.run, done.model, done.summary, done.bad_samples)


def parse_recipes(given: str | Parameters | Sequence[Any]) -> list[Any]:
    """Recipes from texts; what is an object already stays.

    Raises:
        ParameterError: a name is not a recipe's.
    """
    recipes = []
    for one in [given] if isinstance(given, str | Parameters) else given:
        found = parse_method(one, "harden") if isinstance(one, str) else one
        if isinstance(one, str) and not isinstance(found, Recipe):
            raise ParameterError(
                f"{found.info.name!r} is a defence at inference, not a recipe: use it with 'unshaken attack --defence'"
            )
        recipes.append(found)
    return recipes


@dataclass(frozen=True, slots=True)
class RepairResult:
    """Result of a repair: the trained model, and its audits before and after.

    Args:
        plan: what was done.
        hardened: the training run.
        after: the audit of the trained model, on the samples of the one before; None where no epoch was good enough
            to be audited.
        comparison: before and after, paired; None as `after`.
    """

    plan: RepairPlan
    hardened: HardenResult
    after: Audit | None
    comparison: Comparisons | None

    @property
    def refused(self) -> str:
        """Why no repaired weights are kept; empty where some are."""
        return str(self.hardened.summary.get("start_kept", ""))

    def _repr_html_(self) -> str:
        if self.refused or self.comparison is None:
            return facts_card("not repaired", {"why": self.refused})
        return render_notebook(comparison_page(self.comparison), f"{self.hardened.run}/before-after/compare.html")


@public()
@of_arguments
@keywords(Training, **planning.TUNING)
def plan_repair(
    run: str | Path,
    *,
    model: str | None = None,
    data: DataSource | None = None,
    methods: str | Parameters | Sequence[Any] = (),
    limit: int | None = None,
    workers: int | None = None,
    download: bool = False,
    allow_large_eps: bool = False,
    **training: Unpack[TrainingOptions],
) -> RepairPlan:
    """Plan recipes against an audit's findings, and estimate their cost.

    Args:
        run: of a finished audit.
        model: SPEC to train on; default the audited one, but code in it must be named again, for loading runs it.
        data: training images; default the training part of a named set that was audited.
        methods: further recipes, before those proposed.
        limit: maximum number of images.
        workers: threads that decode.
        download: whether model and data may be fetched.
        allow_large_eps: as of `harden`.
        training: see `unshaken.harden.engine.training.Training`; by default 5 epochs at a rate of 0.02, and
            a loss of at most 0.2 of the held-out accuracy (`max_clean_loss`).

    Raises:
        ParameterError: no condition lowered the accuracy, or the training images are those that were audited.
        RunError: the audit has not ended.
    """
    directory = RunDir(run)
    config = planning.read_audit(directory)
    spec, source = _given_again(config, model, data)
    refuse_code(() if model else spec, f"{run}/run.json")
    dataset = as_dataset(source, download=download)
    budget = largest_budget(first_images(dataset))
    findings, chosen = choose(findings_of(directory, budget=budget), parse_recipes(methods))
    if not chosen:
        doubts = "".join(f"; {f.what}, but {f.left_out}" for f in findings)
        raise ParameterError(
            f"{run}: no condition of this audit lowered the accuracy by {MIN_LOSS:.0%} of its value or "
            f"more, so no recipe is suggested{doubts}; choose one with --method and --model"
        )
    planning.check_apart(config, dataset.options.spec, dataset.fingerprint)
    settings = Training.from_text({**planning.TUNING, "seed": config.seed, **training})
    start, samples = prepared(spec, dataset, settings, new_head=False, limit=limit, workers=workers, download=download)
    check_recipe_budgets(chosen, prod(samples.shape), allow=allow_large_eps)
    validation = planning.validation_of(config, findings, chosen, settings)
    tried = planning.try_out(start, samples, chosen, settings, validation)
    before = audit_figures(directory, () if validation is None else validation.weaknesses)
    data_name = source if isinstance(source, str) else dataset.options.spec
    return RepairPlan(
        spec,
        data_name,
        tuple(findings),
        tuple(chosen),
        settings,
        len(samples.good),
        tried.seconds,
        tried.passes,
        read_summary(directory).cost.seconds,
        validation,
        reference(tried.held_accuracy, before),
    )


def _given_again(config: RunConfig, model: str | None, data: DataSource | None) -> tuple[str, DataSource]:
    """Model and training images, from the audit where they are not given; one message names all that must be given."""
    spec, source, missing = model or config.model, data, []
    if model is None and (spec.startswith("<") or is_code(spec)):
        again = "a SPEC of it" if spec.startswith("<") else shlex.quote(spec)
        missing.append(f"the audited model is your own code: give it again, with --model {again}")
    if source is None:
        try:
            source = planning.training_data(config)
        except ParameterError as error:
            missing.append(str(error))
    if source is None or missing:
        raise ParameterError("; ".join(missing))
    return spec, source


@public()
@of_arguments
@keywords()
def repair(
    run: str | Path,
    plan: RepairPlan,
    *,
    out: str | Path,
    data: DataSource | None = None,
    audited: DataSource | None = None,
    resume: bool = False,
    limit: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
    allow_large_eps: bool = False,
) -> RepairResult:
    """Carry out a plan: train, audit the trained model on the same samples, and compare with the audit before.

    Args:
        run: of the audit before.
        plan: see `plan_repair`.
        out: the training run; the audit goes to `audit` in it, the page of both to `before-after`.
        data: training images where they are no SPEC.
        audited: the audited images where they are no SPEC.
        resume: go on with what is there.
        limit: as for the plan.
        device: `auto`, `cpu`, `cuda`, `mps`.
        workers: threads that decode.
        download: whether model and data may be fetched.
        track: of the training; see `harden`.
        allow_large_eps: as of `harden`; budgets of the audit were allowed when it was made.
    """
    config = read_audit(RunDir(run))
    if audited is None and config.data.startswith("<"):
        raise ParameterError(f"the audited data is {config.data!r}, an object of a program: give it again as audited=")
    entries = [entry.model_dump(exclude_none=True) for entry in config.plan]
    with allow_code(plan.model):  # that of a file was refused when the plan was made
        hardened = harden(
            plan.model, plan.data if data is None else data, plan.recipes, out=out, resume=resume, limit=limit,
            device=device, workers=workers, download=download, track=track, validation=plan.validation,
            reference=plan.reference, allow_large_eps=allow_large_eps, **plan.training.model_dump(),
        )  # fmt: skip
        if hardened.summary.get("start_kept"):
            return RepairResult(plan, hardened, None, None)
        own = own_net(plan.model)
        trained = f"run:{out}" if own is None else f"run:{out}?net={own}"
        after = audit(
            trained, config.data if audited is None else audited, entries, out=f"{out}/audit", resume=resume,
            limit=config.limit, seed=config.seed, device=device, workers=workers, download=download, eot=config.eot,
            precision=config.precision, allow_large_eps=True,
        )  # fmt: skip
    comparison = compare(RunDir(run), after.run)
    write_comparison(RunDir(f"{out}/before-after"), comparison)
    figures = (audit_figures(RunDir(run), plan.aims), audit_figures(after.run, plan.aims))
    if why := refusal(*figures, plan.training.max_clean_loss):
        result = keep_start(hardened.run, why)
        write_flags(after.run, "refused", 0, [NOT_KEPT.flag(f"{why}: {hardened.run} holds the starting weights")])
        make_report(after.run)
        hardened = replace(hardened, model=chosen_weights(hardened.model, hardened.run), summary=result)
    TRAINING.write(RunDir(out))
    return RepairResult(plan, hardened, after, comparison)
