"""`guard`: a model and a detector as one classifier with a class "rejected", for adaptive attacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, predict
from unshaken.core.device import float64_device
from unshaken.core.query import Answer, Features, Logits, Query, gradients_by
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.base import QueryGenerator, T, follow
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.forward_pass import ForwardPass


def guard(detector_set: DetectorSet, label: str, accept: float = 0.95) -> Classifier:
    """Combine a model and a detector: K + 1 logits, the last one largest where the score exceeds the threshold.

    The rejection's logit is `max_c z_c + (s - t) / d` with s the score, t the threshold and d the spread of normal
    scores (Carlini & Wagner 2017, arXiv:1705.07263, with a sum in the place of their product, which needs positive
    logits). Where the score is differentiable, so is this; through the input step of a detector that moves the image
    first the gradient goes straight (BPDA, Athalye et al. 2018, arXiv:1802.00420). What a detector draws is the same
    for every image and every pass.

    Args:
        detector_set: the fitted detectors.
        label: of the one.
        accept: share of normal images that are accepted.
    """
    model = detector_set.model
    net = GuardNet(detector_set, label, accept)
    classes = (*model.classes, "rejected") if model.classes else ()
    return Classifier(
        net,
        classes=classes,
        view=model.view,
        differentiable=model.differentiable,
        name=f"{model.name} behind {label}",
        reject=detector_set.anatomy.classes,
    ).eval()


class GuardNet(nn.Module):
    """Network of a guarded classifier: the model's logits and that of rejection; see `guard`."""

    def __init__(self, detector_set: DetectorSet, label: str, accept: float) -> None:
        super().__init__()
        self.model, self.anatomy = detector_set.model, detector_set.anatomy
        self.fitted = detector_set.only(label).detectors[label]
        self.threshold = detector_set.threshold(label, accept).value
        spread = self.fitted.calibration.std() if len(self.fitted.calibration) > 1 else torch.ones(())
        self.spread = float(spread.clamp(min=1e-9))

    @override
    def forward(self, images: Tensor) -> Tensor:
        """`[N, C, H, W]` in [0, 1] to `[N, K + 1]`."""
        method = self.fitted.method
        logits, features = self.model.features(images, method.layers(self.anatomy))
        place = float64_device(images.device)
        rng = SampleRng(torch.zeros(len(images), dtype=torch.int64, device=place))
        forward = ForwardPass(
            self.anatomy, logits.to(place), {k: v.to(place) for k, v in features.items()}, images.to(place), rng
        )
        score = _through(follow(method.score(forward, self.fitted.bank)), self.model, images.device)
        away = ((score - self.threshold) / self.spread).clamp(-1e4, 1e4).to(logits)
        return torch.cat([logits, (logits.amax(1) + away)[:, None]], 1)


def _through(queries: QueryGenerator[T], model: Classifier, device: torch.device) -> T:
    """Answer a detector's queries by a model on a device, with a graph."""
    answer: Any = None
    while True:
        try:
            query: Query = queries.send(answer)
        except StopIteration as stop:
            found: T = stop.value
            return found
        query = query.to(device)
        if isinstance(query, Logits | Features) and query.points.ndim == 4:
            logits, features = model.features(query.points, query.layers if isinstance(query, Features) else ())
            reply = Answer(logits=logits, labels=predict(logits), features=features)
        else:
            with torch.enable_grad():  # a step of the image is taken as it is: its own gradient is not followed
                reply = query.evaluate(UncountedPasses(model), None)
        answer = reply.to(float64_device(device))


class UncountedPasses:
    """Runs the model for a query (`Passes`) without counting: the guard's own pass is counted."""

    draws = 1
    limit = 1 << 30

    def __init__(self, model: Classifier) -> None:
        self.model = model

    def forward(self, images: Tensor, layers: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the model for logits and features."""
        return self.model.features(images, layers)

    def gradient(self, value: Tensor, points: Tensor, *, keep: bool = False) -> Tensor:
        """The gradient of `value.sum()` by `points`."""
        return gradients_by(value, (points,), keep=keep)[0]

    def gradients(self, value: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of `value.sum()` by several tensors."""
        return gradients_by(value, places)

    def method(self) -> AbstractContextManager[None]:
        """Give a context that times nothing."""
        return nullcontext()

    def chunks(self, images: Tensor, function: Callable[[Tensor], Answer]) -> Answer:
        """Evaluate all images at once."""
        return function(images)
