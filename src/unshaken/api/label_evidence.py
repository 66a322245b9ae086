"""What finders of wrong labels are given: probabilities from a file, from cross-validation, or on frozen features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.api.label_passes import Passes
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, RunError
from unshaken.data.resident import RESIDENT_BYTES, Samples
from unshaken.harden.engine.cross_validation import OutOfFold, cross_validate
from unshaken.harden.engine.start import FRESH
from unshaken.harden.engine.training import Training
from unshaken.labels.engine.finder import Evidence
from unshaken.labels.engine.frozen import FeatureShards
from unshaken.labels.engine.out_of_sample import probe_probabilities, stratified_folds
from unshaken.labels.engine.probabilities import Probabilities, of_examined, read_probabilities
from unshaken.models import fingerprint, load_model
from unshaken.models.networks.architectures import SMALL
from unshaken.store.run_dir import RunDir

PINNED = ("folds", "samples.json")
"""Which samples the folds of a run are made of."""
Given = str | Path | NDArray[np.floating[Any]] | None
"""Out-of-sample probabilities of the user: a file, an array, or none."""


def mark_of(given: Given) -> str | None:
    """What tells a user's probabilities from others."""
    if given is None or isinstance(given, str | Path):
        return None if given is None else str(given)
    return hashlib.blake2b(np.ascontiguousarray(given).tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """How probabilities are found.

    Args:
        given: the user's own; None to train.
        model: an architecture to train on parts, or the SPEC of a model whose features are frozen.
        folds: parts that are left out in turn.
        training: of each network.
        device: to compute on.
        frozen: that model; None for an architecture.
    """

    given: Given
    model: str
    folds: int
    training: Training
    device: str
    frozen: Classifier | None = None

    @classmethod
    def of(cls, given: Given, model: str, folds: int, training: Training, device: str, *, download: bool) -> Source:
        """A source, whose trained model is loaded if it has one.

        Args:
            given: the user's own; None to train.
            model: an architecture or a SPEC.
            folds: parts that are left out in turn.
            training: of each network.
            device: to compute on.
            download: whether a model may be fetched.
        """
        fresh = model.startswith(FRESH) or model in SMALL
        frozen = None if fresh or given is not None else load_model(model, download=download, device=device).eval()
        return cls(given, model, folds, training, device, frozen)

    @property
    def fingerprint(self) -> str | None:
        """That of the trained model; None for an architecture, and where probabilities are given."""
        return None if self.frozen is None else fingerprint(self.frozen)

    def evidence(self, samples: Samples, classes: int, passes: Passes, needs: frozenset[str] = frozenset()) -> Evidence:
        """Everything that finders may ask for.

        Args:
            samples: of the data set; those that can be read are examined. Of a frozen model those that cannot be are
                found here, and are no longer among `samples.good`.
            classes: their number K.
            passes: does the forward passes.
            needs: kinds of evidence that the finders use; margins cost more and are recorded only for these.

        Raises:
            UnshakenError: the probabilities do not fit, a class has one sample, or training failed.
        """
        if self.given is not None:
            return Evidence(_labels_of(samples), classes, self._given(samples, classes))
        if self.frozen is None:
            labels = _labels_of(samples)
            fold = stratified_folds(labels, self.folds, self.training.seed)
            found = self._trained(samples, labels, fold, classes, passes, watch="margins" in needs)
            return Evidence(labels, classes, Probabilities(found.probabilities), margins=found.margins)
        shards = FeatureShards(passes.there.run, self.frozen, samples, samples.good)
        passes.features(shards)
        samples.good, features = shards.finish()
        labels = _labels_of(samples)
        fold = stratified_folds(labels, self.folds, self.training.seed)
        return Evidence(labels, classes, Probabilities(probe_probabilities(features, labels, fold, classes)), features)

    def _given(self, samples: Samples, classes: int) -> Probabilities:
        if not isinstance(self.given, str | Path):
            return of_examined(Probabilities(np.asarray(self.given)), samples.good, len(samples.dataset))
        names = samples.dataset.classes or [str(k) for k in range(classes)]
        return read_probabilities(self.given, samples.dataset.ids, samples.good, names)

    def _trained(
        self,
        samples: Samples,
        labels: NDArray[np.int64],
        fold: NDArray[np.int64],
        classes: int,
        passes: Passes,
        *,
        watch: bool,
    ) -> OutOfFold:
        if samples.resident is None:
            raise DataError(
                f"the images of {samples.dataset.options.spec!r} take more than {RESIDENT_BYTES >> 30} GiB: bring them "
                "to one size by ?size=, take fewer by --limit, or give probabilities"
            )
        images = samples.resident[samples.place[samples.good]]
        _pin_samples(passes.there.run, [samples.dataset.ids[i] for i in samples.good])
        return cross_validate(
            self.model.removeprefix(FRESH),
            images,
            torch.from_numpy(labels),
            fold,
            self.training,
            classes=classes,
            device=torch.device(self.device),
            run=passes.there.run,
            watch=watch,
            do=partial(passes.held_out, samples.good),
        )


def _labels_of(samples: Samples) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = samples.labels[samples.good].numpy()
    return labels


def _pin_samples(run: RunDir, ids: Sequence[str]) -> None:
    """Write down which samples the folds are made of, or compare them with those that are there.

    Raises:
        RunError: other images could be read when the run was begun, so that its folds are of other samples.
    """
    mark = {"samples": len(ids), "ids": hashlib.blake2b("\0".join(ids).encode(), digest_size=16).hexdigest()}
    if not run.exists(*PINNED):
        run.write_json(mark, *PINNED)
    elif (there := run.read_json(*PINNED)) != mark:
        raise RunError(
            f"{run}: was begun with {there.get('samples')} readable images, now there are {len(ids)}: its folds do not "
            "fit; make the same images readable, or choose another --out"
        )
