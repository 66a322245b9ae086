"""`LayerwiseDetector`: detectors with one score a layer, and the weights by which these become one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ModelError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Features, Gradient
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector, FigureObjective, QueryGenerator
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.logistic import logistic_regression
from unshaken.detect.engine.standard import spread

FEWEST = 5
"""Examples of each kind that weights are learned from at least."""


def named_layers(anatomy: Anatomy, text: str) -> tuple[str, ...]:
    """Layers as a parameter names them.

    Args:
        anatomy: of the model.
        text: `penultimate`, `stages` (those of the anatomy and the penultimate one), or names with `+` between.

    Raises:
        ModelError: the model has no such layers that can be told.
    """
    if text == "penultimate":
        return (anatomy.penultimate,)
    if text != "stages":
        return tuple(dict.fromkeys(filter(None, (part.strip() for part in text.split("+")))))
    names = anatomy.stages if anatomy.head is None else (*anatomy.stages, anatomy.penultimate)
    if not names:
        raise ModelError(f"model {anatomy.name!r} has no recognisable stages: give layer names (layer=A+B)")
    return tuple(dict.fromkeys(names))


class LayerwiseDetector(Detector):
    """A detector with a score for each of several layers, put together as `sum_l alpha_l (s_l - m_l) / sd_l`.

    Mean m_l and deviation sd_l are those of held-out normal samples, for scores of layers differ by orders. The score
    of a single layer stays as it is.
    """

    layer: str = Field("penultimate", description="penultimate, stages, or names with + between", min_length=1)
    weights: Literal["equal", "fgsm"] = Field(
        "equal", description="alpha: 1 for every layer, or learned by logistic regression on FGSM examples"
    )
    fgsm_eps: PositiveFloat = Field(8 / 255, description="step of these FGSM examples, in [0, 1] pixel units", le=1)

    @abstractmethod
    def layer_bank(self, fit_data: FitData) -> Bank:
        """What `layer_scores` needs of the data."""

    @abstractmethod
    def layer_scores(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """One score a layer, float64 `[N, L]`, from one pass."""

    def asked_scores(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        """`layer_scores`, for those that ask the model again."""
        return self.layer_scores(forward, bank)
        yield  # never reached: it makes this a generator

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return named_layers(anatomy, self.layer)

    @override
    def learn(self, fit_data: FitData) -> QueryGenerator[Bank]:
        bank, names = self.layer_bank(fit_data), self.layers(fit_data.anatomy)
        if len(names) == 1:
            return bank
        normal = yield from self.asked_scores(fit_data.held_out, bank)
        mean, deviation = spread(normal, names, self.info.name)
        alpha = torch.ones_like(mean)
        if self.weights == "fgsm":
            sorts = yield from fgsm_examples(fit_data.held_out, names, self.fgsm_eps, self.info.name)
            scores = []
            for forward in sorts:
                found = yield from self.asked_scores(forward, bank)
                scores.append((found - mean) / deviation)
            abnormal = torch.cat([torch.full((len(s),), k == 2, device=s.device) for k, s in enumerate(scores)])
            alpha = logistic_regression(torch.cat(scores), abnormal)[0]
        return {**bank, "mean": mean, "weights": alpha / deviation}

    def together(self, scores: Tensor, bank: Bank) -> Tensor:
        """One score `[N]` of those of the layers `[N, L]`."""
        if scores.shape[1] == 1:
            return scores[:, 0]
        return (scores - bank["mean"]) @ bank["weights"]

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return self.together(self.layer_scores(forward, bank), bank)


def looked_at(forward: ForwardPass, images: Tensor, layers: Sequence[str]) -> QueryGenerator[ForwardPass]:
    """The same samples with other images, as the model sees these.

    Args:
        forward: the samples.
        images: `[N, C, H, W]`.
        layers: whose values are wanted.
    """
    answer = yield Features(images, tuple(layers))
    return replace(forward, logits=required(answer.logits), features=answer.features or {}, images=images)


def fgsm_examples(
    forward: ForwardPass, layers: Sequence[str], eps: float, method: str
) -> QueryGenerator[tuple[ForwardPass, ForwardPass, ForwardPass]]:
    """Clean, noisy and adversarial images, as Lee et al. 2018 choose them.

    An image serves when the model is right on it, clean and with Gaussian noise of deviation `eps` (which is as long as
    the adversarial step), and wrong after `x' = clip(x + eps sign(grad_x CE))`.

    Args:
        forward: normal samples with images; where their labels are not known the predictions stand for them.
        layers: whose values are wanted.
        eps: step in [0, 1] pixel units.
        method: who asks, for the message.

    Raises:
        DataError: too few images serve.
    """
    clean = forward.pixels
    labels = forward.predictions if forward.labels is None else forward.labels
    answer = yield Gradient(clean, of=FigureObjective(_cross_entropy, labels))
    fooling = (clean + eps * required(answer.gradient).sign()).clamp(0, 1)
    noise = forward.streams.fold("noise").normal(*clean.shape[1:]).to(clean)
    moved = yield from looked_at(forward, fooling, layers)
    noisy = yield from looked_at(forward, (clean + eps * noise).clamp(0, 1), layers)
    rows = (forward.predictions == labels) & (noisy.predictions == labels) & (moved.predictions != labels)
    if int(rows.sum()) < FEWEST:
        raise DataError(
            f"{method}: only {int(rows.sum())} of {len(forward)} held-out images are classified rightly and fooled by "
            f"FGSM at eps={eps:.4g}, too few to learn weights from: raise fgsm_eps, give more data, or weights=equal"
        )
    return tuple(_some(one, rows) for one in (forward, noisy, moved))  # type: ignore[return-value]  # three of three


def _cross_entropy(answer: Answer, labels: Tensor) -> Tensor:
    return F.cross_entropy(required(answer.logits), labels, reduction="none")


def _some(forward: ForwardPass, rows: Tensor) -> ForwardPass:
    """Some of the samples."""
    return ForwardPass(
        forward.anatomy,
        forward.logits[rows],
        {k: v[rows] for k, v in forward.features.items()},
        forward.pixels[rows],
        None if forward.rng is None else forward.rng[rows],
        None if forward.labels is None else forward.labels[rows],
    )
