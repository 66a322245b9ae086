"""Prepare a run from the caller's options: load model and data, choose device and directory."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unshaken.core.batch import usual_batch
from unshaken.core.classifier import Classifier, alone
from unshaken.core.device import find_device
from unshaken.core.errors import ParameterError
from unshaken.core.label_record import LabelRecord
from unshaken.core.options import Options
from unshaken.core.package import public
from unshaken.core.search_copy import search_copy
from unshaken.data import Dataset, DataSource, as_dataset, subset
from unshaken.data.dataset import content_mark
from unshaken.data.streaming import first_batch
from unshaken.data.viewpoint.object_set import require_objects
from unshaken.models import as_classifier, check_model, fingerprint
from unshaken.models.align import Alignment, ModelClasses
from unshaken.models.loaders.check import count_outputs
from unshaken.models.loaders.load import second_model
from unshaken.models.within import ChosenClasses, refuse_within, restrict
from unshaken.run import Job
from unshaken.run.budgets import check_budget_sizes, check_class_counts, check_targets, first_images, fit_budgets
from unshaken.run.cost import seconds_a_pass, warn_if_long
from unshaken.run.engine import read_engine
from unshaken.run.plan import PLANS, Step, further_data, further_files, further_models, prepare
from unshaken.run.published import conditions_from_files
from unshaken.run.record import record_methods, record_steps
from unshaken.run.seen import seen_in_training
from unshaken.store.config import NAME, Entry, RunConfig
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import pack_ids
from unshaken.store.split import check_part, shard_size, usual_shard_size
from unshaken.tasks.classification import Classification
from unshaken.tasks.task import find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A model and its data, loaded, and tried on the first batch.

    Args:
        model: SPEC, or the type of an object.
        data: SPEC, or a name of an object.
        classifier: on its device.
        dataset: all samples.
        device: such as `cpu`.
        images: the first batch, on the device, `[N, C, H, W]` in [0, 1].
        outputs: number K of the model's classes.
    """

    model: str
    data: str
    classifier: Classifier
    dataset: Dataset
    device: str
    images: Tensor
    outputs: int

    @property
    def numbers(self) -> int:
        """Numbers in one image, C x H x W."""
        return self.images[0].numel()

    @property
    def class_names(self) -> list[str]:
        """Names of the K classes: the model's, else the data's, else their numbers."""
        fitting = self.dataset.classes if len(self.dataset.classes) == self.outputs else ()
        return list(self.classifier.classes or fitting) or [str(i) for i in range(self.outputs)]


def prepare_run(
    run: RunDir,
    model: str | nn.Module | Callable[..., Any],
    data: DataSource,
    plan: list[Entry],
    options: Options,
    related: Sequence[str],
    plan_name: str,
    *,
    labels_needed: bool = True,
) -> Job:
    """Prepare a run: load and check model and data, and fix the configuration.

    Args:
        run: its directory.
        model: a SPEC, a `Classifier`, any module from [0, 1] images to logits, or a function of images.
        data: a SPEC or an object; see `unshaken.data.as_dataset`.
        plan: its lines.
        options: as the caller gave them.
        related: runs shown side by side with it.
        plan_name: for reports.
        labels_needed: False to go on without labels where they are of other classes than the model's.

    Raises:
        UnshakenError: model, data, plan or device is wrong.
    """
    allow = options["allow_large_eps"]
    check_budget_sizes(prepare(plan), None, allow=allow)  # a wrong plan is refused before anything is loaded
    steps = prepare(plan)
    inputs, budgets = load_inputs(model, data, options, steps), ""
    if plan_name in PLANS:
        plan, budgets = fit_budgets(plan, first_images(inputs.dataset))
        steps = prepare(plan)
    check_budget_sizes(steps, inputs.numbers, allow=allow)
    inputs, record = _align(inputs, needed=labels_needed)
    classifier = inputs.classifier
    check_class_counts(steps, inputs.outputs)
    for step in steps:
        if getattr(step.method, "needs_objects", False):
            require_objects(inputs.dataset, step.label)
    task = find_task(classifier.task).of(inputs.dataset, classifier.view)
    ids: Sequence[str] = inputs.dataset.ids
    if options["limit"] is not None:
        ids = inputs.dataset.ids.take(subset(inputs.dataset, options["limit"], options["seed"]))
    check_targets(steps, classifier, inputs.outputs, inputs.dataset, ids)
    config = _configure(
        inputs, plan, options, shard_size=_shard_size(run, inputs.numbers), ids=pack_ids(ids),
        plan_name=Path(plan_name).stem, budgets=budgets, beside=list(related), labels=record, task=task.name,
    )  # fmt: skip
    check_part(config.part, config.shards, config.shard_size)
    searching = any(type(step.method).room != "stress" for step in steps)
    quick = options["eot"] == 1 and isinstance(task, Classification) and searching
    warn_if_long(steps, inputs.outputs, config.own_samples, seconds_a_pass(classifier, inputs.images))
    job = Job(
        run=run,
        config=config,
        model=classifier,
        dataset=inputs.dataset,
        limit=images_a_pass(inputs, options),
        strict_batch=options["strict_batch"],
        workers=options["workers"],
        stop_on_bad=options["on_error"] == "stop",
        search=search_copy(classifier, inputs.images) if quick else None,
        engine=read_engine(options["engine"]),
        shared=options["share"],
        remake=partial(prepare_run, run, model, data, plan, options, related, plan_name, labels_needed=labels_needed),
        task=task,
    )
    if steps and not job.steps():
        names = ", ".join(dict.fromkeys(step.label for step in steps))
        raise ParameterError(f"nothing of the plan can be run ({names}): {job.obstacle(steps[0])}")
    return job


def _align(inputs: Inputs, *, needed: bool) -> tuple[Inputs, LabelRecord | None]:
    """Inputs whose labels, boxes or masks are of the model's classes, and how they became so."""
    classifier, dataset = inputs.classifier, inputs.dataset
    task = find_task(classifier.task)
    found = task.align(dataset, ModelClasses.of(classifier, inputs.outputs, inputs.model), needed=needed)
    if task is Classification and needed:
        return within_classes(inputs, found)
    refuse_within(classifier, f"for {task.name}" if needed else "to screen inputs")
    if task.gives_logits:
        return replace(inputs, dataset=found.dataset.within(inputs.outputs)), found.record
    return replace(inputs, dataset=found.dataset, outputs=inputs.outputs or len(found.dataset.classes)), found.record


def within_classes(inputs: Inputs, found: Alignment) -> tuple[Inputs, LabelRecord | None]:
    """Inputs whose labels are the model's, which chooses among those of the data where that is wanted; see `restrict`.

    Args:
        inputs: as they were loaded.
        found: their data with labels of the model's classes.
    """
    classifier, dataset, record = restrict(
        inputs.classifier, found.dataset.within(inputs.outputs), found.record, outputs=inputs.outputs,
        names=inputs.dataset.classes,
    )  # fmt: skip
    outputs = len(classifier.net.chosen) if isinstance(classifier.net, ChosenClasses) else inputs.outputs
    return replace(inputs, classifier=classifier, dataset=dataset, outputs=outputs), record


def load_inputs(
    model: str | nn.Module | Callable[..., Any], data: DataSource, options: Options, steps: Sequence[Step] = ()
) -> Inputs:
    """Load model and data, and try the model on the first batch.

    Args:
        model: a SPEC, a `Classifier`, any module from [0, 1] images to logits, or a function of images.
        data: a SPEC or an object; see `unshaken.data.as_dataset`.
        options: device, batch size and consent to downloads are read.
        steps: of the plan; where the model can make none of them, it is not asked anything.

    Raises:
        UnshakenError: model, data or device is wrong.
    """
    device = choose_device(options["device"])
    classifier = as_classifier(model, download=options["download"]).to(device)
    lacks = [classifier.lacks(getattr(type(step.method), "needs", ())) for step in steps]
    if lacks and all(lacks):
        names = ", ".join(dict.fromkeys(step.label for step in steps))
        raise ParameterError(f"nothing of the plan can be run ({names}): {lacks[0]}")
    classifier = alone(classifier) if options["batch_size"] == 1 else classifier
    dataset = as_dataset(data, download=options["download"])
    first = first_batch(dataset, view=classifier.view).images
    check_model(classifier, first, data=dataset.options.spec)
    images = first.to(device)
    outputs = count_outputs(classifier, images)
    return Inputs(
        model=model if isinstance(model, str) else f"<{type(classifier.net).__name__}>",
        data=data if isinstance(data, str) else dataset.options.spec,
        classifier=classifier,
        dataset=dataset,
        device=device,
        images=images,
        outputs=outputs,
    )


def _shard_size(run: RunDir, numbers: int) -> int:
    """Samples in a shard of a run; one of very large images that an earlier version began keeps its own."""
    size, usual = shard_size(numbers), usual_shard_size(numbers)
    if size == usual or not run.exists(NAME):
        return size
    there = run.read_json(NAME)
    own = there.get("shard_size") if isinstance(there, dict) else None
    return own if isinstance(own, int) and size < own <= usual else size


def _configure(inputs: Inputs, plan: list[Entry], options: Options, **named: Any) -> RunConfig:
    """The configuration; `named` are further fields of `RunConfig`."""
    return RunConfig(
        schema=1,
        model=inputs.model,
        data=inputs.data,
        plan=plan,
        seed=options["seed"],
        eot=options["eot"],
        precision=options["precision"],
        device=inputs.device,
        save_examples=options["save_examples"],
        model_fingerprint=fingerprint(inputs.classifier),
        data_fingerprint=inputs.dataset.fingerprint,
        labels_version=inputs.dataset.labels_version,
        model_name=options["name"] or inputs.classifier.name,
        classes=inputs.class_names,
        view=str(inputs.classifier.view or "as they are"),
        parameters=sum(p.numel() for p in inputs.classifier.parameters()) or None,
        limit=options["limit"],
        part=options["part"],
        provenance=provenance(),
        further_models={
            **{spec: fingerprint(second_model(spec)) for spec in further_models(plan)},
            **{name: content_mark(Path(name)) for name in further_files(plan)},
            **{spec: as_dataset(spec, download=options["download"]).fingerprint for spec in further_data(plan)},
        },
        methods=record_methods(plan),
        steps=record_steps(plan),
        seen_in_training=seen_in_training(inputs.model, inputs.dataset),
        from_files=conditions_from_files(prepare(plan), inputs.dataset),
        **named,
    )


def images_a_pass(inputs: Inputs, options: Options) -> int:
    """Images in one pass at most."""
    if options["batch_size"] != "auto":
        return options["batch_size"]
    return usual_batch(inputs.numbers, inputs.device)


@public()
def choose_device(name: str) -> str:
    """The device of a name.

    Args:
        name: `auto` for the best that is there, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        ParameterError: there is no such kind.
        ModelError: it is not there.
    """
    return str(find_device(name))


@public()
def default_out(model: object, data: object, plan: object) -> str:
    """The run directory where none is given: `runs/` and a new name made of model, data, plan and time.

    Args:
        model: a SPEC or an object; None for the embedded networks.
        data: a SPEC or an object.
        plan: a name, a file, or lines.
    """
    words = ["demo" if w is None else w if isinstance(w, str) else type(w).__name__ for w in (model, data, plan)]
    name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", Path(w.partition("?")[0]).name).strip("-") for w in words)
    place = f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    others = (f"{place}-{number}" for number in itertools.count(2))  # several short runs begin within a second
    return next(p for p in itertools.chain([place], others) if not Path(p).exists())


def as_list(value: Any) -> list[Any]:
    """One value or several, as a list."""
    return [value] if isinstance(value, str | float | int) else list(value)
