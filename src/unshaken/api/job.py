"""Prepare a run from the caller's options: model, data, device and directory."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, alone, evaluating
from unshaken.core.device import find_device
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import LARGEST_BATCH, LARGEST_COUNT, LARGEST_SEED, LARGEST_THREADS, in_range, shorten
from unshaken.core.search_copy import search_copy
from unshaken.data import DataSource, as_dataset, subset
from unshaken.data.first import first_batch
from unshaken.models import as_classifier, check_model, fingerprint
from unshaken.models.loaders.load import second_model
from unshaken.run import Entry, Job, RunConfig, RunDir
from unshaken.run.align import align
from unshaken.run.budgets import first_images, fit_budgets
from unshaken.run.class_bounds import check_class_counts
from unshaken.run.config import provenance
from unshaken.run.cost import seconds_a_pass, warn_if_long
from unshaken.run.plan import PLANS, further_models, prepare
from unshaken.run.published import conditions_from_files
from unshaken.run.ray_engine import load_ray
from unshaken.run.record import record_methods, record_steps
from unshaken.run.seen import seen_in_training

LONGEST_NAME = 100
"""Characters of a model's name in reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options shared by all functions that make a run.

    Args:
        limit: samples at most, a seeded and stratified subset.
        seed: the run seed.
        out: the run directory, local or any fsspec address; default `runs/` and a name made of model, data and time.
        resume: go on with the run that is there.
        on_error: `record` keeps a bad sample as a row, `stop` ends the run at the first.
        device: `auto`, `cpu`, `cuda`, `mps`.
        eot: passes whose gradients attacks average, above 1 for a model with randomness of its own; an example then
            counts when it fools most of as many fresh passes.
        precision: `fp32`, or `bf16` for the search of attacks; every judgement is float32.
        batch_size: images in one pass at most, or `auto`; halved when memory runs out.
        engine: `local`: this process; `ray`: the workers of a Ray cluster (extra `ray`).
        gates: such as `clean.accuracy >= 0.9`.
        baseline: a run to compare with.
        save_examples: pictures kept a condition; -1 for all.
        download: allow model and data to be fetched from their own source.
        workers: threads that decode; default the number of cores.
        strict_batch: fail instead of halving the batch size.
        name: of the model in reports and comparisons; default its SPEC or class.
    """

    limit: int | None = None
    seed: int = 0
    out: str | Path | None = None
    resume: bool = False
    on_error: Literal["record", "stop"] = "record"
    device: str = "auto"
    eot: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_size: int | Literal["auto"] = "auto"
    engine: str = "local"
    gates: Sequence[str] = ()
    baseline: str | Path | None = None
    save_examples: int = 20
    download: bool = False
    workers: int | None = None
    strict_batch: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ("local", "ray"):
            raise ParameterError(f"engine {self.engine!r} is not one of local, ray")
        if self.engine == "ray":
            load_ray()
        for name, number, least, most in (
            ("limit", self.limit, 1, LARGEST_SEED),
            ("seed", self.seed, 0, LARGEST_SEED),
            ("batch size", None if self.batch_size == "auto" else self.batch_size, 1, LARGEST_BATCH),
            ("eot", self.eot, 1, 10_000),
            ("save_examples", self.save_examples, -1, LARGEST_COUNT),
            ("workers", self.workers, 1, LARGEST_THREADS),
        ):
            if number is not None:
                in_range(name, number, least, most)
        if self.name is not None and not (0 < len(self.name) <= LONGEST_NAME and self.name.isprintable()):
            raise ParameterError(f"name {shorten(self.name)} must be 1 to {LONGEST_NAME} printable characters")
        for name, value, known in (
            ("on-error", self.on_error, ("record", "stop")),
            ("precision", self.precision, ("fp32", "bf16")),
        ):
            if value not in known:
                raise ParameterError(f"{name} {value!r} is not one of {', '.join(known)}")


class RunOptions(TypedDict, total=False):
    """`Options` as keywords, for the type checker; a test compares the two."""

    limit: int | None
    seed: int
    out: str | Path | None
    resume: bool
    on_error: Literal["record", "stop"]
    device: str
    eot: int
    precision: Literal["fp32", "bf16"]
    batch_size: int | Literal["auto"]
    engine: str
    gates: Sequence[str]
    baseline: str | Path | None
    save_examples: int
    download: bool
    workers: int | None
    strict_batch: bool
    name: str | None


def prepare_run(
    run: RunDir,
    model: str | nn.Module,
    data: DataSource,
    plan: list[Entry],
    options: Options,
    beside: Sequence[str],
    plan_name: str,
    *,
    labels_needed: bool = True,
) -> Job:
    """Prepare a run: load and check model and data, and fix the configuration.

    Args:
        run: its directory.
        model: a SPEC, a `Classifier`, or any module from [0, 1] images to logits.
        data: a SPEC or an object; see `unshaken.data.as_dataset`.
        plan: its lines.
        options: as the caller gave them.
        beside: runs shown side by side with it.
        plan_name: for reports.
        labels_needed: False to go on without labels where they are of other classes than the model's.

    Raises:
        UnshakenError: model, data, plan or device is wrong.
    """
    steps = prepare(plan)  # a wrong plan is refused before anything is loaded
    device = choose_device(options.device)
    classifier = as_classifier(model, download=options.download).to(device)
    classifier = alone(classifier) if options.batch_size == 1 else classifier
    dataset = as_dataset(data, download=options.download)
    first, budgets = first_batch(dataset, view=classifier.view).images, ""
    if plan_name in PLANS:
        plan, budgets = fit_budgets(plan, first_images(dataset))
        steps = prepare(plan)
    check_model(classifier, first)
    classes = _count_classes(classifier, first.to(device))
    check_class_counts(steps, classes)
    names = classifier.classes or (dataset.classes if len(dataset.classes) == classes else ())
    alignment = align(dataset, classifier.classes, model=f"model {classifier.name!r}", needed=labels_needed)
    dataset = alignment.dataset.within(classes)
    ids = list(dataset.ids)
    if options.limit is not None:
        ids = [ids[i] for i in subset(dataset, options.limit, options.seed)]
    warn_if_long(steps, classes, len(ids), seconds_a_pass(classifier, first.to(device)))
    numbers = first[0].numel()
    config = RunConfig(
        schema=1,
        model=model if isinstance(model, str) else f"<{type(classifier.net).__name__}>",
        data=data if isinstance(data, str) else dataset.options.spec,
        plan=plan,
        plan_name=Path(plan_name).stem,
        seed=options.seed,
        ids=ids,
        shard_size=max(16, min(1024, 2**24 // numbers)),
        eot=options.eot,
        precision=options.precision,
        device=device,
        save_examples=options.save_examples,
        model_fingerprint=fingerprint(classifier),
        data_fingerprint=dataset.fingerprint,
        model_name=options.name or classifier.name,
        classes=list(names) or [str(i) for i in range(classes)],
        labels=alignment.record,
        view=str(classifier.view or "as they are"),
        budgets=budgets,
        limit=options.limit,
        provenance=provenance(),
        beside=list(beside),
        further_models={spec: fingerprint(second_model(spec)) for spec in further_models(plan)},
        methods=record_methods(plan),
        steps=record_steps(plan),
        seen_in_training=seen_in_training(model if isinstance(model, str) else "", dataset),
        from_files=conditions_from_files(steps, dataset),
    )
    most = 256 if device == "cpu" else 512
    limit = options.batch_size if options.batch_size != "auto" else max(8, min(most, 2**23 // numbers))
    return Job(
        run,
        config,
        classifier,
        dataset,
        limit,
        strict_batch=options.strict_batch,
        workers=options.workers,
        stop_on_bad=options.on_error == "stop",
        search=search_copy(classifier, first.to(device)) if options.eot == 1 else None,
        engine=options.engine,
        remake=partial(prepare_run, run, model, data, plan, options, beside, plan_name, labels_needed=labels_needed),
    )


def _count_classes(model: Classifier, images: Tensor) -> int:
    with evaluating(model), torch.no_grad():
        return int(model(images[:1]).shape[1])


def choose_device(name: str) -> str:
    """The device of a name.

    Args:
        name: `auto` for the best that is there, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        ParameterError: there is no such kind.
        ModelError: it is not there.
    """
    return str(find_device(name))


def default_out(model: object, data: object, plan: object) -> str:
    """The run directory where none is given: `runs/` and a name made of model, data, plan and time.

    Args:
        model: a SPEC or an object; None for the embedded networks.
        data: a SPEC or an object.
        plan: a name, a file, or lines.
    """
    words = ["demo" if w is None else w if isinstance(w, str) else type(w).__name__ for w in (model, data, plan)]
    name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", Path(w.partition("?")[0]).name).strip("-") for w in words)
    return f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def as_list(value: Any) -> list[Any]:
    """One value or several, as a list."""
    return [value] if isinstance(value, str | float | int) else list(value)
