"""`detect` and `set_thresholds`: score data with fitted detectors in a run, and set their thresholds anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from unshaken.api.audit import LOG, Audit, check_gates_early, keep_gates
from unshaken.api.division import asked_division, write_division
from unshaken.api.job import as_list, choose_device, default_out, prepare_run
from unshaken.api.options import check_options
from unshaken.api.tracking import log_run, open_log
from unshaken.core.consent import of_arguments
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ParameterError, RunError, UnshakenError
from unshaken.core.flag import Flag
from unshaken.core.keywords import keywords
from unshaken.core.numbers import LARGEST_COUNT, in_range, parse_number
from unshaken.core.options import Options
from unshaken.core.package import public
from unshaken.core.registry import as_methods
from unshaken.data import BadSample, DataSource, as_dataset, load_data, stream, subset
from unshaken.detect.engine.abnormal_sets import parse_against
from unshaken.detect.engine.detector_folder import LIST, DetectorList, read_list
from unshaken.detect.engine.detector_set import DetectorSet, check_accept, digest
from unshaken.detect.engine.fitting import Fit, fit
from unshaken.detect.engine.rows import detectors_of, key_of
from unshaken.detect.engine.screen import usable_scores
from unshaken.detect.engine.screening import FEW_SAMPLES, FITTED_ON
from unshaken.models import as_classifier
from unshaken.report.figures.detected import COVARIATE
from unshaken.report.gates.rehearsal import check_planned, planned_detection
from unshaken.report.write import make_report
from unshaken.run import Job, execute, load_plan
from unshaken.run.local import NOT_RUN, one_by_one
from unshaken.run.shard import write_flags
from unshaken.store.config import NAME as CONFIG
from unshaken.store.run_dir import RunDir

EVASION = "evasion"
"""Folder of the run, inside the main one, in which detectors are attacked."""
DETECTORS = "detectors"
"""Folder of the run in which detectors are kept that were given as an object."""
FEW = 100
"""Calibration samples below which the accepted share is known to some points only."""


def screen_run(
    model: str | nn.Module,
    data: DataSource,
    detectors: str | Path,
    options: Options,
    *,
    accept: float | None,
    against: Sequence[str],
    shifts: Sequence[str],
    attacked: bool,
    attack: str,
    norm: str,
    eps: Sequence[float | str],
    samples: int,
) -> RunDir:
    """The rows of `unshaken.detect`, in one run directory and others inside it."""
    if options["part"] is not None:
        raise ParameterError(
            f"part {options['part']}: the runs of detect score cannot be split; use --share or --engine"
        )
    found = read_list(str(detectors))
    labels = [entry.label for entry in found.detectors]
    if accept is not None:
        check_accept(accept, found.about.samples.get("calibration", 0))
    in_range("samples", samples, 1, LARGEST_COUNT)
    shared: dict[str, Any] = {
        "folder": str(detectors),
        "digest": digest(detectors),
        "detectors": labels,
        "accept": 0.95 if accept is None else accept,
    }
    out = str(options["out"] or default_out(model, data, "detect"))
    groups = [parse_against(a) for a in against]
    names = [f"{group}/{name}" for group, name, _ in groups]
    if len(set(names)) < len(names):
        raise ParameterError(f"against names {max(names, key=names.count)!r} twice: give each set once")
    inside = [f"against/{n.replace('/', '-')}" for n in names]

    def made(place: str, what: DataSource, entry: dict[str, Any], limit: int | None) -> Job:
        there: Options = {**options, "out": place, "limit": limit, "gates": (), "baseline": None}
        loaded = jobs[0].model if jobs else model  # one copy of the model serves all runs
        job = prepare_run(RunDir(place), loaded, what, load_plan([entry]), there, [], "detect", labels_needed=False)
        config = job.config.model_copy(update={"model": jobs[0].config.model}) if jobs else job.config
        return replace(job, config=config, inside=bool(jobs))

    entry: dict[str, Any] = {"method": "screening", "params": {**shared, "shifts": list(shifts)}}
    jobs: list[Job] = []
    jobs.append(made(out, data, entry, options["limit"]))
    for (group, name, spec), place in zip(groups, inside, strict=True):
        other = load_data(spec, download=options["download"]).unlabelled()
        split = {"method": "screening", "params": {**shared, "split": f"{group}/{name}"}}
        jobs.append(made(f"{out}/{place}", other, split, options["limit"]))
    missing = _lacks_for_attack(jobs[0])
    if attacked and missing is None:
        budgets = [parse_number(e, "eps") if isinstance(e, str) else float(e) for e in eps]
        guarded = {"method": "evasion", "params": {**shared, "attack": attack}, "norm": norm, "eps": budgets}
        most = samples if options["limit"] is None else min(samples, options["limit"])
        jobs.append(made(f"{out}/{EVASION}", data, guarded, most))
        inside.append(EVASION)
    # Detectors of another model are refused before any work; all runs use the ones read here.
    fitted = detectors_of(shared["folder"], shared["digest"], jobs[0].model, jobs[0].once)
    for job in jobs[1:]:
        job.once(key_of(shared["folder"], shared["digest"]), lambda: fitted)
    evasions = [e for job in jobs for e in job.config.plan if e.method == EVASION]
    named = getattr(jobs[0].steps()[0].method, "shifts", ())
    sets = [*((g, n) for g, n, _ in groups), *((COVARIATE, s) for s in named)]
    planned = planned_detection(labels, sets, [(entry.norm or "linf", eps) for entry in evasions for eps in entry.eps])
    conditions = [c for step in jobs[0].steps() for c in step.conditions]
    labelled = jobs[0].dataset.labels is not None
    division = asked_division(jobs[0].run, jobs[0].config, data, options)
    slices = division.planned(conditions) if division and labelled else ()
    check_planned(options["gates"], jobs[0].config, conditions, labelled=labelled, detection=planned, slices=slices)
    jobs[0].config.inside.extend(inside)
    for job in jobs:
        asked = options if job is jobs[0] else {**options, "gates": (), "baseline": None}
        begin = partial(keep_gates, job.run, job.config.model_name, asked)
        execute(job, resume=options["resume"], begin=begin)
    _flag(jobs[0], found, missing if attacked else None)
    write_division(jobs[0].run, division, shared=options["share"])
    return jobs[0].run


def _lacks_for_attack(job: Job) -> str | None:
    """Why the model and the detectors cannot be attacked; None where they can."""
    if job.dataset.labels is None:
        return "the data has no labels, and an attack needs the true class of each image"
    return None if job.model.differentiable else "the model gives no gradients (black box)"


@public()
@of_arguments
@keywords()
def set_thresholds(
    model: str | nn.Module,
    data: DataSource,
    detectors: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    download: bool = False,
) -> DetectorSet:
    """Set the thresholds of fitted detectors on other normal samples.

    `about["unread"]` of the result has the samples that could not be read, the first few with their reasons.

    Args:
        model: the one that the detectors were fitted on.
        data: normal samples that no detector was fitted on.
        detectors: the folder.
        limit: samples at most, seeded and stratified.
        seed: of the choice.
        workers: threads that decode.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: allow model and data to be fetched from their own source.

    Raises:
        DataError: no sample can be used.
    """
    classifier = as_classifier(model, download=download).to(choose_device(device))
    detector_set = DetectorSet.load(detectors, classifier)
    dataset = as_dataset(data, download=download)
    found: dict[str, list[Tensor]] = {label: [] for label in detector_set.detectors}
    bad: list[BadSample] = []
    for item in stream(dataset, subset(dataset, limit, seed), view=classifier.view, workers=workers, batch_size=256):
        if isinstance(item, BadSample):
            bad.append(item)
        else:
            here = item.to(device_of(classifier))
            scores = {label: scored.score for label, scored in detector_set.examine(here).items()}
            good, odd = usable_scores(scores, here.ids)
            bad += odd
            for label, values in scores.items():
                found[label].append(values.cpu()[good])
    if not any(map(len, next(iter(found.values())))):
        raise DataError(f"none of the samples of {dataset.options.spec!r} can be used: no threshold can be set")
    return detector_set.calibrated({n: torch.cat(v) for n, v in found.items()}, dataset.options.spec, bad)


def _flag(job: Job, listed: DetectorList, missing: str | None) -> None:
    """Flag what makes the figures of a run doubtful."""
    about, flags = listed.about, list[Flag]()
    n = about.samples.get("calibration", 0)
    if missing is not None:
        flags.append(NOT_RUN.flag(f"not run: evasion; {missing}"))
    if n < FEW:
        text = f"thresholds were set by {n} samples, so the accepted share is known to some points only; give more"
        flags.append(FEW_SAMPLES.flag(text))
    if about.data_fingerprint == job.config.data_fingerprint:
        text = f"the detectors were fitted on {about.data!r}, which holds these samples: they know them by heart"
        flags.append(FITTED_ON.flag(f"{text}; score other data of the same kind"))
    if flags:
        write_flags(job.run, "detectors", 0, flags)


def fit_for_run(
    model: str | nn.Module,
    data: DataSource,
    normal: str,
    methods: Sequence[str],
    options: Options,
    *,
    accept: float | None,
    against: Sequence[str],
) -> Fit | str:
    """Detectors for a run whose `out` is given: fitted now, or the folder in the run, where it is resumed.

    What cannot be opened is refused before the fit.

    Args:
        model: as for `detect`.
        data: as for `detect`.
        normal: SPEC of the normal data to fit on.
        methods: the detectors, `NAME[:k=v,...]`.
        options: of the run; its seed, device and batch size are those of the fit.
        accept: as for `detect`.
        against: as for `detect`.

    Raises:
        ParameterError: the run is shared by processes, or only a part of one.
        RunError: there is a run that is not to be resumed, or its detectors were fitted otherwise.
    """
    if options["share"] or options["part"] is not None:
        raise ParameterError("--fit goes with neither --share nor --part: give --detectors of 'unshaken detect fit'")
    out, asked = RunDir(str(options["out"])), as_methods(methods, "detect")
    if out.exists(CONFIG) and not options["resume"]:
        raise RunError(
            f"{out}: this directory already holds a run; add --resume to continue it, or choose another --out"
        )
    source = as_dataset(normal, download=options["download"])
    folder = f"{out}/{DETECTORS}"
    if options["resume"] and RunDir(folder).exists(LIST):
        found = read_list(folder)
        own = [source.options.spec, options["seed"], [[m.info.name, m.model_dump(mode="json")] for m in asked]]
        there = [found.about.data, found.about.seed, [[d.method, d.params] for d in found.detectors]]
        if own != there:
            labels = ", ".join(d.label for d in found.detectors)
            raise RunError(
                f"{folder}: fitted on {there[0]} with seed {there[1]}, by {labels}: resume by the same --fit, --method "
                "and --seed, or choose another --out"
            )
        return folder
    check_gates_early(options)
    for spec in (data, *(spec for _, _, spec in map(parse_against, against))):
        as_dataset(spec, download=options["download"])
    return fit(
        model, source, asked, accept=accept, seed=options["seed"], batch_size=options["batch_size"],
        workers=options["workers"], device=options["device"], download=options["download"],
    )  # fmt: skip


def _keep(detectors: Fit | DetectorSet, folder: str) -> str:
    """The folder with detectors that were given as an object; they are written once.

    Raises:
        RunError: it holds others.
    """
    given = detectors.detector_set if isinstance(detectors, Fit) else detectors
    if not RunDir(folder).exists(LIST):
        given.save(folder)
    elif RunDir(folder).read_json(LIST) != json.loads(json.dumps(given.pack()[1])):
        raise RunError(f"{folder}: holds other detectors than those given; choose another --out")
    return folder


def _forget(run: RunDir) -> None:
    """Delete the detectors that were kept for a run that was refused, and its folder where nothing else is in it."""
    run.fs.rm(run.at(DETECTORS), recursive=True)
    run.fs.invalidate_cache()
    if not run.fs.ls(run.root):
        run.fs.rmdir(run.root)


@public("detect")
@of_arguments
@keywords(Options)
def detect(
    model: str | nn.Module,
    data: DataSource,
    detectors: str | Path | Fit | DetectorSet,
    *,
    accept: float | None = None,
    against: str | Sequence[str] = (),
    shifts: str | Sequence[str] = (),
    attacked: bool = True,
    attack: str = "pgd:steps=20,rel_stepsize=0.1",
    norm: str = "linf",
    eps: float | str | Sequence[float | str] = "8/255",
    samples: int = 50,
    **options: Unpack[Options],
) -> Audit:
    """Score images with fitted detectors in one pass, and decide which are accepted; see `unshaken.detect.fit`.

    Args:
        model: as for `audit`; the one that the detectors were fitted on.
        data: as for `audit`; normal samples, to measure how well abnormal ones are separated from them.
        detectors: what `unshaken.detect.fit` gave, which the run keeps in its folder `detectors`; or the folder that
            `save` or `unshaken detect fit` wrote.
        accept: share of normal images that are accepted at least, by a conformal threshold; None for 0.95. One that is
            given must be a share that the calibration samples can promise.
        against: abnormal sets, `GROUP=SPEC` or `GROUP/NAME=SPEC`, such as `far=mnist`.
        shifts: stressors under which the same images are scored too, `NAME-SEVERITY`, such as `gaussian_noise-3`.
        attacked: attack model and detectors together on some labelled samples, beside the naive figure.
        attack: the search, `NAME[:k=v,...]`.
        norm: of its budget.
        eps: its budgets; fractions such as `8/255` will do.
        samples: that are attacked at most.
        options: see `Options`.
    """
    chosen = check_options(**options)
    baseline, log = check_gates_early(chosen), open_log(chosen, model)
    written = False
    if isinstance(detectors, Fit | DetectorSet):
        chosen["out"] = str(chosen["out"] or default_out(model, data, "detect"))
        folder = f"{chosen['out']}/{DETECTORS}"
        written = not RunDir(folder).exists(LIST)
        detectors = _keep(detectors, folder)
    try:
        run = screen_run(
            model, data, detectors, chosen, accept=accept, against=as_list(against), shifts=as_list(shifts),
            attacked=attacked, attack=attack, norm=norm, eps=as_list(eps), samples=samples,
        )  # fmt: skip
    except UnshakenError:
        if written and not RunDir(str(chosen["out"])).exists(CONFIG):
            _forget(RunDir(str(chosen["out"])))
        raise
    made = make_report(run, baseline=baseline, gates=chosen["gates"])
    if log is not None:
        with one_by_one(run, LOG) if chosen["share"] else nullcontext():
            log_run(log, run, made.summary, made.gates)
    return Audit(run, made.summary, made.gates, made.page)
