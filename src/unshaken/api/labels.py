"""`find_labels`: search for wrong labels, and the settings that a resume must share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from unshaken.api.job import choose_device, default_out
from unshaken.api.label_evidence import (
    AUTO,
    Given,
    Passes,
    Remade,
    Source,
    choose_epochs,
    choose_model,
    keep_features,
    mark_of,
)
from unshaken.api.label_record import RECORD, drawn_record, read_record, record_of, refuse_others
from unshaken.api.label_record import estimate_wrong as estimate_wrong
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.keywords import keywords
from unshaken.core.numbers import in_range
from unshaken.core.options import LABEL_RECORDS
from unshaken.core.package import public
from unshaken.core.part import Condition
from unshaken.core.registry import parse_method
from unshaken.data import BadSample, Dataset, DataSource, as_dataset
from unshaken.data.resident import Samples
from unshaken.harden.engine.cross_validation import FOLDER as FOLDS
from unshaken.harden.engine.training import Training, TrainingOptions
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.frozen import FOLDER as FEATURES
from unshaken.labels.engine.frozen import drop_shards
from unshaken.labels.engine.review_sample import STRATA
from unshaken.labels.engine.rows import label_rows
from unshaken.report.pages.labels import LABELS
from unshaken.report.render.notebook import render_notebook
from unshaken.run.engine import read_engine
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

ADDED = ("model_fingerprint",)
"""Settings that searches of earlier versions did not write down; they kept nothing that depends on them."""


def settings_of(
    dataset: Dataset, finders: Mapping[str, Finder], source: Source, *, limit: int | None, review_size: int
) -> dict[str, Any]:
    """Everything that decides what a search finds, as `labels.json` holds it.

    Args:
        dataset: that is examined.
        finders: by name.
        source: of probabilities and features.
        limit: samples at most; None for all.
        review_size: samples to draw for review.
    """
    return {
        "data": dataset.options.spec, "data_fingerprint": dataset.fingerprint,
        "labels_version": dataset.labels_version, "limit": limit,
        "methods": {name: [f.info.name, f.model_dump(mode="json")] for name, f in finders.items()},
        "probabilities": mark_of(source.given), "model": source.model, "folds": source.folds,
        "review_size": review_size, "training": source.training.model_dump(mode="json"),
        "model_fingerprint": source.fingerprint,
    }  # fmt: skip


def pin_settings(run: RunDir, settings: dict[str, Any], *, resume: bool) -> None:
    """Write the settings down before anything is trained, or compare them with those that are there.

    Args:
        run: the run directory.
        settings: see `settings_of`.
        resume: whether to go on with a search that is there.

    Raises:
        RunError: the directory holds another search, or what another command made.
    """
    if not run.exists(RECORD):
        refuse_others(run)
        run.write_json({"settings": settings}, RECORD)
        return
    record = read_record(run)
    if not resume and not _is_empty(run, record):
        raise RunError(f"{run}: already holds a search for wrong labels; add --resume or choose another --out")
    there = {key: settings[key] for key in ADDED} | record.get("settings", {})
    names = [k for k in settings if there.get(k) != settings[k]]
    if names and not _is_empty(run, record):
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    run.write_json({**record, "settings": settings}, RECORD)


def _is_empty(run: RunDir, record: dict[str, Any]) -> bool:
    """Whether nothing was computed, as where a search ended because of what it was given."""
    return not (record.get("finished") or "kind" in record or any(run.names(folder) for folder in (FOLDS, FEATURES)))


WORST = "worst"
"""The condition under which pictures of the most suspect samples are kept."""
PICTURES = 60
LARGEST_FOLDS = 100


@dataclass(frozen=True, slots=True)
class LabelsResult:
    """Result for the labels of a data set.

    Args:
        run: the directory: `labels.json`, the rows `labels`, pictures, and a report.
        ids: of the samples that were examined.
        found: name of a finder to what it says, in the order of `ids`.
        summary: what `labels.json` holds.
    """

    run: RunDir
    ids: tuple[str, ...] = field(repr=False)
    found: dict[str, LabelScores] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Samples that could not be used, with the reason."""
        return tuple(BadSample(one["id"], one["reason"]) for one in self.summary["bad_samples"])

    def _repr_html_(self) -> str:
        return render_notebook(LABELS.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


@public("find_labels", "labels.find_labels")
@of_arguments
@keywords(Training, epochs=None)
def find_labels(
    data: DataSource,
    methods: str | Finder | Sequence[str | Finder] = "confident-learning",
    *,
    model: str = AUTO,
    pred_probs: Given = None,
    folds: int = 5,
    review_size: int = 200,
    limit: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    download: bool = False,
    **training: Unpack[TrainingOptions],
) -> LabelsResult:
    """Find labels that are probably wrong, estimate their number, and draw the sample that people should review.

    Args:
        data: a SPEC or an object, as for `audit`, labelled.
        methods: finders, `NAME[:k=v,...]` of the room `labels` or objects; the first decides what is reviewed.
        model: where no probabilities are given: an architecture (`small-cnn`, `new:timm:NAME`), trained on all folds
            but one in turn; or the SPEC of a trained model, on whose frozen features a linear classifier is trained;
            or `auto`, see `choose_model`.
        pred_probs: class probabilities, out of sample `[N, K]`, or a file: `.npy` in the order of the data, or
            `.parquet` with the columns `id` and `p_CLASS`.
        folds: parts that are left out in turn, 2 to 100.
        review_size: samples to draw for review, at least 6, all where there are fewer; 0 for none.
        limit: maximum number of samples: a seeded, stratified draw.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; folds that are finished are not trained again.
        device: `auto`, `cpu`, `cuda`, `mps`.
        workers: threads that decode.
        engine: who does the forward passes over the samples: `local`, this process; `local:N`, N processes of this
            machine; `ray`, the workers of a cluster, each with one processor or what `ray:cpus=C,gpus=G` says.
            Networks are trained by this process.
        download: whether model and data may be fetched.
        training: of the networks; see `Training`. Where epochs are not given, see `choose_epochs`.

    Raises:
        DataError: the data has no labels, cannot be read, or does not fit the probabilities.
        ParameterError: a method or an option is not known or does not fit.
        RunError: the directory holds another run, or cannot be written.
    """
    check_folder(out, "out", LABEL_RECORDS)
    finders, chosen = _named(methods), read_engine(engine, device)
    _check(folds, review_size, model, pred_probs)
    dataset = as_dataset(data, download=download)
    classes = _count_classes(dataset)
    if model == AUTO and pred_probs is None:
        model = choose_model(dataset, _needs(finders), trained=bool(training.keys() - {"seed"}))
    examined = len(dataset) if limit is None else min(limit, len(dataset))
    settings = Training.from_text({"epochs": choose_epochs(examined, folds, training.get("batch_size")), **training})
    source = Source.of(pred_probs, model, folds, settings, choose_device(device), download=download)
    run = RunDir(out or default_out("labels", data, "find"))
    with locked(run) as lock:
        pinned = settings_of(dataset, finders, source, limit=limit, review_size=review_size)
        pin_settings(run, pinned, resume=resume)
        there = Remade(
            run=run, data=data, data_fingerprint=dataset.fingerprint, model=model, device=source.device,
            model_fingerprint=source.fingerprint, download=download, workers=workers,
        )  # fmt: skip
        samples, evidence = _examine(dataset, classes, source, finders, Passes(there, chosen, lock), limit)
        keep_features(run, evidence)
        found = _find(finders, evidence)
        ids = [dataset.ids[i] for i in samples.good]
        _write_found(run, finders, found, samples, evidence)
        true = None if dataset.true_labels is None else dataset.true_labels[samples.good]
        record = {
            "schema": 1, "settings": pinned, "samples": len(ids),
            "classes": list(dataset.classes) or [str(i) for i in range(classes)],
            "bad_samples": [{"id": dataset.ids[i], "reason": why} for i, why in sorted(samples.bad.items())],
            "realised_noise": dataset.realised_noise, **record_of(found, evidence, true),
            "review": drawn_record(next(iter(found.values())), ids, review_size, settings.seed),
            "provenance": provenance(), "finished": True,
        }  # fmt: skip
        run.write_json(record, RECORD)
        LABELS.write(run)
        drop_shards(run)
    return LabelsResult(run, tuple(ids), found, record)


def _check(folds: int, review_size: int, model: str, pred_probs: Given) -> None:
    """Refuse numbers out of range, and two sources of probabilities."""
    in_range("folds", folds, 2, LARGEST_FOLDS)
    if 0 < review_size < STRATA:
        raise ParameterError(f"review_size={review_size} must be {STRATA} or more, one a stratum, or 0 for none")
    if pred_probs is not None and model != AUTO:
        raise ParameterError(
            f"probabilities are given, and so is the model {model!r}, which would make others: give one"
        )


def _needs(finders: Mapping[str, Finder]) -> frozenset[str]:
    return frozenset().union(*(finder.needs for finder in finders.values()))


def _find(finders: Mapping[str, Finder], evidence: Evidence) -> dict[str, LabelScores]:
    """What each finder says of the labels; an error where the evidence is not there that one needs."""
    for name, finder in finders.items():
        if lacking := finder.needs - evidence.kinds:
            raise ParameterError(f"{name} needs {' and '.join(sorted(lacking))}, which {_HOW[min(lacking)]}")
    return {name: finder.find(evidence) for name, finder in finders.items()}


def _write_found(
    run: RunDir, finders: Mapping[str, Finder], found: Mapping[str, LabelScores], samples: Samples, evidence: Evidence
) -> None:
    """Write the rows of each finder, and pictures of the first one's most suspect samples; none that cannot be read."""
    ids = [samples.dataset.ids[i] for i in samples.good]
    for name, finder in finders.items():
        part = label_rows(Condition(name, finder.info.name), ids, evidence.labels, found[name])
        run.write_rows(table_of(part), part.table, name, 0)
    first = next(iter(found.values()))
    worst = samples.good[np.argsort(first.score, kind="stable")[:PICTURES]]
    for place, (rows, images, _) in enumerate(samples.batches(worst, PICTURES)):
        run.write_examples(images, [samples.dataset.ids[i] for i in rows.tolist()], WORST, place)


def _count_classes(dataset: Dataset) -> int:
    """The number of classes of a data set, which must have one class an image."""
    if dataset.labels is None:
        raise DataError(f"data {dataset.options.spec!r} has no labels to examine")
    if dataset.labels.ndim > 1:
        raise DataError(f"data {dataset.options.spec!r} has masks as labels: give them by --kind masks --labels FILE")
    classes = max(len(dataset.classes), int(dataset.labels.max()) + 1)
    if classes < 2:
        raise DataError(f"data {dataset.options.spec!r} has one class: no label of it can be another")
    return classes


def _examine(
    dataset: Dataset, classes: int, source: Source, finders: Mapping[str, Finder], passes: Passes, limit: int | None
) -> tuple[Samples, Evidence]:
    """The samples that can be read, and everything that the finders ask for."""
    frozen, workers = source.frozen, passes.there.workers
    samples = Samples(
        dataset, None if frozen is None else frozen.view, classes, workers=workers, limit=limit,
        seed=source.training.seed, sparse=True, hold=frozen is None,
    )  # fmt: skip
    if not len(samples.good):
        raise DataError(f"data {dataset.options.spec!r} has no sample that can be examined")
    return samples, source.evidence(samples, classes, passes, _needs(finders))


def _named(methods: str | Finder | Sequence[str | Finder]) -> dict[str, Finder]:
    """Finders under names that are unique: a second one of a method gets a number."""
    given = [methods] if isinstance(methods, str | Finder) else list(methods)
    if not given:
        raise ParameterError("no method: name one, such as confident-learning; 'unshaken list labels' has all")
    found: dict[str, Finder] = {}
    for one in given:
        finder: Finder = parse_method(one, "labels") if isinstance(one, str) else one
        if finder in found.values():
            raise ParameterError(f"{finder.info.name!r} is given twice with the same parameters: give it once")
        name, number = finder.info.name, 2
        while name in found:
            name, number = f"{finder.info.name}-{number}", number + 1
        found[name] = finder
    return found


_HOW = {
    "features": "a trained model gives: name one by --model SPEC",
    "margins": "are recorded while networks are trained: name an architecture by --model",
    "probabilities": "come from --model or --pred-probs",
}
