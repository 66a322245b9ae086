"""`Scorer`: the answers of a model and its detectors for the images of several requests, in one shared pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch, usual_batch
from unshaken.core.classifier import Classifier, View, evaluating, predict
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Logits
from unshaken.detect.engine.detector_set import DetectorSet, check_accept
from unshaken.detect.engine.screen import DetectorScores, screen_with_logits
from unshaken.measure.detection.conformal import Threshold, conformal_p_values
from unshaken.models import check_model
from unshaken.models.within import refuse_within
from unshaken.serve.score.answers import Answers, DetectorVerdicts, certify, perturb
from unshaken.serve.score.calibration import Calibration
from unshaken.serve.score.options import ScoreOptions


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The images of one request.

    Args:
        batch: float32 in [0, 1], as the model sees them.
        options: of the request.
    """

    batch: Batch
    options: ScoreOptions


class Scorer:
    """A model with its detectors, its calibration and its thresholds.

    Args:
        model: a classifier of images, with a view.
        detectors: fitted on this model; None for none.
        accept: share of normal images that each detector, and that all of them together, accept at least.
        calibration: of the probabilities; None for a temperature of 1.
        most: images in one pass at most; None for a number by their size.
        seed: of checks that draw.

    Raises:
        ModelError: the model is no classifier, or takes images of any size.
        ParameterError: the detectors cannot promise this share.
    """

    def __init__(
        self,
        model: Classifier,
        detectors: DetectorSet | None = None,
        *,
        accept: float = 0.95,
        calibration: Calibration | None = None,
        most: int | None = None,
        seed: int = 0,
    ) -> None:
        if model.task != "classification":
            raise ModelError(f"model {model.name!r} is for {model.task}; only classifiers are served")
        if model.view is None:
            raise ModelError(
                f"model {model.name!r} takes images of any size: name the one to serve by the option size of its SPEC, "
                "as in SPEC?size=224"
            )
        refuse_within(model, "to serve")
        self.model, self.detectors, self.view = model, detectors, model.view
        self.calibration, self.accept, self.seed = calibration or Calibration(), accept, seed
        device = device_of(model)
        self.most = most or usual_batch(self.view.channels * self.view.height * self.view.width, device)
        self.oracle = Oracle(model, limit=self.most)
        self.own = _thresholds(detectors, accept)
        self.joint = _thresholds(detectors, 1 - (1 - accept) / max(1, len(self.own)))
        self._calibrations = (
            {}
            if detectors is None
            else {label: fitted.calibration.numpy() for label, fitted in detectors.detectors.items()}
        )
        check_model(model, _blank(self.view, 2))

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Put the model into evaluation mode, and run batches of one image and of the most, to warm up."""
        with evaluating(self.model):
            for n in (1, self.most):
                self.run([Work(Batch(_blank(self.view, n), None, tuple(map(str, range(n)))), ScoreOptions())])
            yield

    def run(self, works: Sequence[Work]) -> list[Answers]:
        """Answer requests, in order.

        Args:
            works: one at least; all ask for the same checks.
        """
        batch = Batch.concat([work.batch for work in works]).to(self.oracle.device)
        with torch.inference_mode(False):  # some detectors need gradients
            if self.detectors is None:
                logits, scores = required(self.oracle.ask(Logits(batch.images)).logits), dict[str, DetectorScores]()
            else:  # the same as of the model and of `DetectorSet.examine`
                seed, anatomy = int(self.detectors.about.get("seed", 0)), self.detectors.anatomy
                logits, scores = screen_with_logits(self.detectors.detectors, anatomy, batch, self.oracle, seed)
            found = self._checked(logits.cpu(), scores, batch, works[0].options)
        ends = np.cumsum([len(work.batch) for work in works]).tolist()
        return [found[slice(end - len(work.batch), end)] for work, end in zip(works, ends, strict=True)]

    def _checked(
        self, logits: Tensor, screened: dict[str, DetectorScores], batch: Batch, options: ScoreOptions
    ) -> Answers:
        scores = {label: found.score.cpu().double() for label, found in screened.items()}
        detected = {label: self._detected(label, score) for label, score in scores.items()}
        joint = [score <= self.joint[label].value for label, score in scores.items()]
        return Answers(
            logits,
            self.calibration.probabilities(logits),
            predict(logits),
            detected,
            torch.stack(joint).all(0) if joint else None,
            certify(self.oracle, batch, options.certify, options.sigma, self.seed) if options.certify else None,
            perturb(self.oracle, batch, options.perturbations, self.seed) if options.perturbations else None,
        )

    def _detected(self, label: str, score: Tensor) -> DetectorVerdicts:
        calibration = self._calibrations[label]
        known = score.nan_to_num(torch.inf, torch.inf)  # what has no score is as abnormal as can be
        p_values = conformal_p_values(calibration, known.clamp(max=torch.finfo(torch.float64).max).numpy())
        return DetectorVerdicts(score, score <= self.own[label].value, torch.from_numpy(p_values))


def _thresholds(detectors: DetectorSet | None, accept: float) -> dict[str, Threshold]:
    """The threshold of each detector at a share."""
    if detectors is None:
        return {}
    for fitted in detectors.detectors.values():
        check_accept(accept, len(fitted.calibration))
    return {label: detectors.threshold(label, accept) for label in detectors.detectors}


def _blank(view: View, n: int) -> Tensor:
    return torch.zeros(n, view.channels, view.height, view.width)
