"""What finders of wrong labels are given: probabilities from a file, from cross-validation, or on frozen features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.data.resident import RESIDENT_BYTES, Samples
from unshaken.harden.engine.cross_validation import OutOfFold, cross_validate
from unshaken.harden.engine.start import FRESH
from unshaken.harden.engine.training import Training
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.folds import stratified_folds
from unshaken.labels.engine.frozen import features_of
from unshaken.labels.engine.given_probabilities import read_probabilities
from unshaken.labels.engine.linear_probe import probe_probabilities
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.models import load_model
from unshaken.models.networks.architectures import SMALL
from unshaken.run import RunDir

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

    def evidence(self, samples: Samples, classes: int, run: RunDir, needs: frozenset[str] = frozenset()) -> Evidence:
        """Everything that finders may ask for.

        Args:
            samples: of the data set; those that can be read are examined.
            classes: their number K.
            run: where finished folds are kept.
            needs: kinds of evidence that the finders use; margins cost more and are recorded only for these.

        Raises:
            UnshakenError: the probabilities do not fit, a class has one sample, or training failed.
        """
        labels = samples.labels[samples.good].numpy()
        if self.given is not None:
            return Evidence(labels, classes, self._given(samples))
        fold = stratified_folds(labels, self.folds, self.training.seed)
        if self.frozen is None:
            found = self._trained(samples, labels, fold, classes, run, watch="margins" in needs)
            return Evidence(labels, classes, Probabilities(found.probabilities), margins=found.margins)
        features = features_of(self.frozen, samples, samples.good)
        probabilities = probe_probabilities(features, labels, fold, classes)
        return Evidence(labels, classes, Probabilities(probabilities), features)

    def _given(self, samples: Samples) -> Probabilities:
        if isinstance(self.given, str | Path):
            ids = [samples.dataset.ids[i] for i in samples.good]
            return read_probabilities(self.given, ids, samples.dataset.classes)
        return Probabilities(np.asarray(self.given))

    def _trained(
        self,
        samples: Samples,
        labels: NDArray[np.int64],
        fold: NDArray[np.int64],
        classes: int,
        run: RunDir,
        *,
        watch: bool,
    ) -> OutOfFold:
        if samples.resident is None:
            raise DataError(
                f"the images of {samples.dataset.options.spec!r} take more than {RESIDENT_BYTES >> 30} GiB: bring them "
                "to one size by ?size=, take fewer by --limit, or give probabilities"
            )
        images = samples.resident[samples.place[samples.good]]
        arch = self.model.removeprefix(FRESH)
        return cross_validate(
            arch,
            images,
            torch.from_numpy(labels),
            fold,
            self.training,
            classes=classes,
            device=torch.device(self.device),
            run=run,
            watch=watch,
        )
