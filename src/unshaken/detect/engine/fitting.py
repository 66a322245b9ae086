"""`fit`: from a model and normal data to fitted detectors, in one stream over the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unshaken.core.batch import Batch, usual_batch
from unshaken.core.classifier import Classifier, alone, evaluating
from unshaken.core.consent import of_arguments
from unshaken.core.device import device_of, find_device, float64_device
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.flag import Flag
from unshaken.core.keywords import keywords
from unshaken.core.options import DETECTORS
from unshaken.core.oracle import Oracle
from unshaken.core.progress import Task, track
from unshaken.core.registry import as_methods
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.core.trust import NON_FINITE, NOT_FINITE
from unshaken.data import BadSample, Dataset, DataSource, as_dataset, stream, subset
from unshaken.data.streaming import first_batch
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.detector_folder import view_text
from unshaken.detect.engine.detector_set import DetectorSet, check_accept
from unshaken.detect.engine.fit_data import FitData, Moments, Reservoir
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import FittedDetector, forward_passes, run_queries, screen, usable_scores
from unshaken.models import as_classifier, check_model, fingerprint
from unshaken.models.align import ModelClasses, align
from unshaken.models.loaders.check import count_outputs
from unshaken.models.within import refuse_within

LEAST = 20
"""Samples below which nothing is fitted."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a fit divides its data; each sample has one use.

    Args:
        keep: samples kept for banks at most; moments are of all.
        tune: samples at most on which temperatures, weights and scales are set.
        calibration: share of the data whose scores set thresholds, in (0, 1).
    """

    keep: int = 20_000
    tune: int = 500
    calibration: float = 0.2

    def __post_init__(self) -> None:
        if self.keep < 1 or self.tune < 1:
            raise ParameterError(f"keep={self.keep} and tune={self.tune} must be 1 or more")
        if not 0 < self.calibration < 1:
            raise ParameterError(f"calibration={self.calibration} must lie inside (0, 1); 0.2 is usual")

    def divide(self, ids: Sequence[str], seed: int) -> tuple[NDArray[np.int64], ...]:
        """Indices of the samples for the bank, for tuning and for calibration.

        A sample's place hangs on (seed, its id) alone.

        Raises:
            DataError: a part would be empty.
        """
        if len(ids) < LEAST:
            raise DataError(f"{len(ids)} samples are too few to fit on: give {LEAST} or more, better 1,000")
        order = np.argsort(SampleRng.of(seed, "detect/shares", ids).keys.numpy(), kind="stable")
        calibration = round(self.calibration * len(ids))
        tune = min(self.tune, len(ids) // 10)
        if min(calibration, len(ids) - calibration - tune) < 1:
            raise DataError(
                f"calibration={self.calibration} of {len(ids)} samples leaves {calibration} to set thresholds and "
                f"{len(ids) - calibration - tune} to fit on: choose another share"
            )
        parts = np.split(order, [calibration, calibration + tune])
        return parts[2], parts[1], parts[0]


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of fitting detectors.

    Args:
        detector_set: the fitted detectors, with their model.
        bad_samples: those that could not be used: unreadable, or with outputs or scores that are NaN or infinite.
        labels: how the data's classes became the model's, in one line; empty where they are the same.
        flags: reasons to doubt the fit.
    """

    detector_set: DetectorSet
    bad_samples: tuple[BadSample, ...]
    labels: str = ""
    flags: tuple[Flag, ...] = ()

    def score(self, batch: Batch | Tensor) -> dict[str, Tensor]:
        """How abnormal each image is, by each detector; see `DetectorSet.score`."""
        return self.detector_set.score(batch)

    def decide(self, batch: Batch | Tensor, *, accept: float = 0.95) -> dict[str, Tensor]:
        """Whether each detector accepts each image; see `DetectorSet.decide`."""
        return self.detector_set.decide(batch, accept=accept)

    def save(self, folder: str | Path) -> None:
        """Write the detectors to a folder; see `DetectorSet.save`."""
        self.detector_set.save(folder)

    def _repr_html_(self) -> str:
        return self.detector_set._repr_html_()


@of_arguments
@keywords()
def fit(
    model: str | nn.Module,
    data: DataSource,
    methods: str | Detector | Sequence[str | Detector] = DETECTORS,
    *,
    shares: Shares | None = None,
    accept: float | None = None,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    download: bool = False,
) -> Fit:
    """Fit detectors on normal data.

    The model looks at each sample once. Sums over the samples are kept, and a random set of bounded size, so that the
    memory does not grow with the data.

    Args:
        model: a SPEC, a `Classifier`, or any module from [0, 1] images to logits.
        data: normal samples, a SPEC or an object, as for `unshaken.audit`; their labels where a detector needs them.
        methods: the detectors, objects or `NAME[:k=v,...]`, several or one; default those of `unshaken detect fit`.
        shares: how the data is divided.
        accept: a share of normal samples that the thresholds must be able to promise; None for any.
        seed: decides who serves for what, and what detectors draw.
        limit: samples at most, a seeded and stratified subset; None for all.
        batch_size: images in one pass at most; `auto` for a size by their pixels.
        workers: threads that decode; None for the number of cores.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: allow model and data to be fetched from their own source.

    Raises:
        ParameterError: no detector is given.
        DataError: too few samples, no labels where some are needed, or values that nothing can be fitted on.
        ModelError: the model has no such layer, or gives no gradient where one is needed.
    """
    detectors = as_methods(methods, "detect")
    wrong = next((m.info.name for m in detectors if not isinstance(m, Detector)), None)
    if wrong is not None or not detectors:
        raise ParameterError(f"{wrong or 'nothing'} is no detector to fit: name one, such as knn or mahalanobis")
    shares = shares or Shares()
    classifier = as_classifier(model, download=download).to(find_device(device))
    classifier = alone(classifier) if batch_size == 1 else classifier
    for method in detectors:
        if lack := classifier.lacks(method.needs):
            raise ModelError(f"detector {method.info.name!r}: {lack}")
    dataset = as_dataset(data, download=download)
    refuse_within(classifier, "to fit detectors")
    first = first_batch(dataset, view=classifier.view).to(device_of(classifier))
    check_model(classifier, first.images, data=dataset.options.spec)
    own = ModelClasses.of(classifier, count_outputs(classifier, first.images), model)
    aligned = align(dataset, own, needed=any(m.labelled for m in detectors))
    dataset = aligned.dataset
    chosen = subset(dataset, limit, seed)
    _check_labels(dataset, detectors)
    fitting = _Fitting(
        classifier, dataset, first, detectors, seed, None if batch_size == "auto" else batch_size, workers
    )
    parts = shares.divide([dataset.ids[i] for i in chosen], seed)
    bank, tune, calibration = (np.sort(chosen[p]) for p in parts)
    if accept is not None:
        check_accept(accept, len(calibration))
    with evaluating(classifier), track("fit", len(chosen)) as task:
        fit_data = fitting.fit_data(bank, tune, shares.keep, task)
        labels = labels_of(detectors)
        banks = {label: fitting.learn(label, m, fit_data) for label, m in zip(labels, detectors, strict=True)}
        fitted = {n: FittedDetector(m, banks[n], torch.zeros(0)) for n, m in zip(labels, detectors, strict=True)}
        scores = fitting.scores(fitted, calibration, task)
    if accept is not None:
        check_accept(accept, len(scores[labels[0]]))  # some of them may have been unreadable
    fitted = {n: FittedDetector(f.method, f.bank, scores[n]) for n, f in fitted.items()}
    samples = {"bank": fit_data.n, "tune": len(fit_data.held_out), "calibration": len(scores[labels[0]])}
    found = DetectorSet(classifier, fitting.anatomy, fitted, fitting.about(samples, shares.keep))
    line = "" if aligned.record is None else aligned.record.line(classifier.classes)
    flags = []
    if odd := tuple(b.id for b in fitting.not_finite):
        text = f"{len(odd)} of {len(chosen)} samples get NaN or infinite outputs or scores, and are left out of the fit"
        flags.append(NON_FINITE.flag(text, odd))
    return Fit(found, (*fitting.bad, *fitting.not_finite), line, tuple(flags))


def labels_of(methods: Sequence[Detector]) -> list[str]:
    """A name for each, made unique: `knn`, `knn-2`.

    >>> from unshaken.detect import MSP
    >>> labels_of([MSP(), MSP()])
    ['msp', 'msp-2']
    """
    names: list[str] = []
    for method in methods:
        name, number = method.info.name, 1
        while (label := name if number == 1 else f"{name}-{number}") in names:
            number += 1
        names.append(label)
    return names


class _Fitting:
    """One fit: the model, the stream of samples, and the samples that could not be used."""

    def __init__(
        self,
        model: Classifier,
        dataset: Dataset,
        first: Batch,
        methods: Sequence[Detector],
        seed: int,
        limit: int | None,
        workers: int | None,
    ) -> None:
        self.methods, self.seed, self.workers = list(methods), seed, workers
        self.model, self.bad, self.not_finite = model, list[BadSample](), list[BadSample]()
        self.shape = list(first.images.shape[1:])
        self.anatomy = Anatomy.of(model, first.images)
        self.dataset = dataset.within(self.anatomy.classes)
        size = limit or usual_batch(first.images[0].numel(), first.images.device)
        self.oracle = Oracle(model, limit=size, search_copy=search_copy(model, first.images))

    def fit_data(self, bank: NDArray[np.int64], tune: NDArray[np.int64], keep: int, task: Task) -> FitData:
        """One look at every sample of the bank, and the tuning samples with their images."""
        moments = {layer: Moments(self.anatomy.classes) for m in self.methods for layer in m.moments(self.anatomy)}
        reservoir = Reservoir(keep)
        for batch in self._batches(bank):
            for forward in self._passes(batch)[1]:
                self._add(forward, moments, reservoir)
            task.advance(len(batch))
        held = list(self._batches(tune))
        task.advance(sum(len(b) for b in held))
        rows = reservoir.rows()
        if not reservoir.offered:
            bad = [*self.bad, *self.not_finite]
            why = f", such as {bad[0]}" if bad else ""
            raise DataError(f"no sample of {self.dataset.options.spec!r} can be used{why}: there is nothing to fit on")
        names = self.model.classes or self.dataset.classes
        return FitData(self.anatomy, moments, rows, self._whole(held), reservoir.offered, tuple(names))

    def learn(self, label: str, method: Detector, fit_data: FitData) -> Bank:
        """Fit a detector to the data."""
        with self.oracle.meter.method(), torch.no_grad():
            result = method.fit(fit_data)
        bank = run_queries(result, self.oracle)
        wrong = next((k for k, v in bank.items() if not bool(v.isfinite().all())), None)
        if wrong is not None:
            raise DataError(
                f"{label}: what was fitted ({wrong}) is not finite: the model's values on this data are not"
            )
        return {k: v.detach().contiguous() for k, v in bank.items()}

    def scores(
        self, fitted: dict[str, FittedDetector], calibration: NDArray[np.int64], task: Task
    ) -> dict[str, Tensor]:
        """The calibration samples' scores, rising."""
        found: dict[str, list[Tensor]] = {label: [] for label in fitted}
        for batch in self._batches(calibration):
            scored = {n: s.score for n, s in screen(fitted, self.anatomy, batch, self.oracle, self.seed).items()}
            good, bad = usable_scores(scored, batch.ids)
            self.not_finite += bad
            for label, values in scored.items():
                found[label].append(values.cpu()[good])
            task.advance(len(batch))
        if not any(map(len, next(iter(found.values())))):
            raise DataError(f"none of the {len(calibration)} samples that set thresholds can be used")
        return {label: torch.cat(parts).sort().values for label, parts in found.items()}

    def about(self, samples: dict[str, int], keep: int) -> dict[str, Any]:
        """What the folder of the detectors records of their model, data and samples."""
        return {
            "model": self.model.name,
            "fingerprint": fingerprint(self.model),
            "data": self.dataset.options.spec,
            "data_fingerprint": self.dataset.fingerprint,
            "labels_version": self.dataset.labels_version,
            "samples": {**samples, "bad": len(self.bad) + len(self.not_finite)},
            "keep": keep,
            "seed": self.seed,
            "view": view_text(self.model.view),
            "shape": self.shape,
        }

    def _add(self, forward: ForwardPass, moments: dict[str, Moments], reservoir: Reservoir) -> None:
        labels = forward.labels if forward.labels is not None else torch.zeros_like(forward.predictions)
        for layer, sums in moments.items():
            sums.add(forward.pooled(layer), labels)
        rows = {name: row for m in self.methods for name, row in m.rows(forward).items()}
        if forward.labels is not None:
            rows["labels"] = forward.labels
        reservoir.add(rows or {"logits": forward.logits}, forward.streams)

    def _whole(self, held: list[Batch]) -> ForwardPass | None:
        """All tuning samples as one look."""
        if not held:
            return None
        batch, parts = self._passes(Batch.concat(held).to(float64_device(self.oracle.device)))
        if not parts:
            return None
        features = {k: torch.cat([p.features[k] for p in parts]) for k in parts[0].features}
        rng = SampleRng.of(self.seed, "detect", batch.ids)
        return ForwardPass(
            self.anatomy, torch.cat([p.logits for p in parts]), features, batch.images, rng, batch.labels
        )

    def _passes(self, batch: Batch) -> tuple[Batch, list[ForwardPass]]:
        """Passes of the samples whose values are all numbers, with these samples; others are recorded as bad."""
        parts = list(forward_passes(self.methods, self.anatomy, batch, self.oracle, self.seed))
        every = [torch.stack([_finite(values) for values in (p.logits, *p.features.values())]).all(0) for p in parts]
        good = torch.cat(every).cpu()
        if bool(good.all()):
            return batch, parts
        self.not_finite += [BadSample(batch.ids[i], NOT_FINITE) for i in (~good).nonzero().flatten().tolist()]
        kept = batch[good.nonzero().flatten()]
        return kept, list(forward_passes(self.methods, self.anatomy, kept, self.oracle, self.seed))

    def _batches(self, indices: NDArray[np.int64]) -> Iterator[Batch]:
        device = device_of(self.model)
        size = self.oracle.limit
        for item in stream(self.dataset, indices, view=self.model.view, workers=self.workers, batch_size=size):
            if isinstance(item, Batch):
                yield item.to(device)
            else:
                self.bad.append(item)


def _finite(values: Tensor) -> Tensor:
    """Whether all values of each sample are numbers, bool `[N]`."""
    return values.flatten(1).isfinite().all(1)


def _check_labels(dataset: Dataset, methods: Sequence[Detector]) -> None:
    needy = [m.info.name for m in methods if m.labelled]
    if needy and dataset.labels is None:
        raise DataError(
            f"{', '.join(needy)}: a fit needs the class of each image, and {dataset.options.spec!r} has none; "
            "use data with labels, or detectors that need none, such as knn or vim"
        )
    if needy and dataset.labels is not None:
        present = np.unique(dataset.labels[dataset.labels >= 0])
        if len(present) < 2:
            name = dataset.classes[present[0]] if len(present) and dataset.classes else str(present[:1].tolist())
            raise DataError(f"{', '.join(needy)}: a fit needs two classes or more, and the data has only {name!r}")
