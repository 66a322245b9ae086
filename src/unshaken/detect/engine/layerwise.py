"""`LayerwiseDetector`: detectors with one score a layer, their scales, and the weights that make them one score."""

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
from unshaken.detect.engine.base import Bank, Detector, FigureObjective, QueryGenerator, follow
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass


def spread(scores: Tensor, names: Sequence[str], method: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divided by N) of each column.

    Args:
        scores: `[N, L]` of normal samples.
        names: of the columns, for the message.
        method: whose they are, for the message.

    Returns:
        `[L]` and `[L]`, the deviations above 0.

    Raises:
        DataError: a column is constant, so that nothing says what a large value of it is.
    """
    mean, deviation = scores.mean(0), scores.std(0, correction=0)
    flat = [n for n, still in zip(names, (deviation <= 1e-12 * (1 + mean.abs())).tolist(), strict=True) if still]
    if flat:
        raise DataError(
            f"{method}: the score of {flat[0]} is the same for all {len(scores)} held-out samples, so it has no scale: "
            "leave it out, or give more data"
        )
    return mean, deviation


STEPS = 100


def logistic_regression(x: Tensor, y: Tensor, c: float = 1.0) -> tuple[Tensor, Tensor]:
    """Minimise `1/2 |w|^2 + C sum_i log(1 + exp(-y_i (w.x_i + b)))`, y in {-1, 1}; b is not penalised.

    That is scikit-learn's `LogisticRegression(C=c)`. The problem is convex, and full Newton steps are halved until
    they lower it.

    Args:
        x: float64 `[N, L]`; standardise the columns first.
        y: bool `[N]`, both values present.
        c: C, above 0; a smaller one pulls the weights closer to 0.

    Returns:
        w `[L]` and b, a scalar tensor.

    >>> w, b = logistic_regression(torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([False, True]))
    >>> round(w.item(), 4), abs(round(b.item(), 4))
    (0.6748, 0.0)
    """
    ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    sign = y.to(x.dtype) * 2 - 1
    penalty = torch.cat([torch.ones_like(x[0]), x.new_zeros(1)])

    def value(w: Tensor) -> Tensor:
        return (penalty * w * w).sum() / 2 + c * F.softplus(-sign * (ones @ w)).sum()

    w = x.new_zeros(ones.shape[1])
    for _ in range(STEPS):
        p = (ones @ w).sigmoid()
        slope = penalty * w + c * (ones.T @ (p - y.to(x.dtype)))
        if slope.abs().max() < 1e-9 * c * len(x):
            break
        curvature = torch.diag(penalty) + c * (ones.T * (p * (1 - p)).clamp(min=1e-12)) @ ones
        step, now, size = torch.linalg.solve(curvature, slope), value(w), 1.0
        while value(w - size * step) > now and size > 1e-6:
            size /= 2
        w = w - size * step
    return w[:-1], w[-1]


FEWEST = 5
"""Examples of each kind that weights are learned from at least."""


def named_layers(anatomy: Anatomy, names: tuple[str, ...]) -> tuple[str, ...]:
    """Find the layers that a parameter names.

    Args:
        anatomy: of the model.
        names: of layers, or one of `penultimate` and `stages` (those of the anatomy and the penultimate one).

    Raises:
        ModelError: the layers of this kind cannot be found in the model.
    """
    if names == ("penultimate",):
        return (anatomy.penultimate,)
    if names != ("stages",):
        return tuple(dict.fromkeys(names))
    found = anatomy.stages if anatomy.head is None else (*anatomy.stages, anatomy.penultimate)
    if not found:
        raise ModelError(f"model {anatomy.name!r} has no recognisable stages: give layer names (layer=A+B)")
    return tuple(dict.fromkeys(found))


class LayerwiseDetector(Detector):
    """A detector with a score for each of several layers, put together as `sum_l alpha_l (s_l - m_l) / sd_l`.

    Mean m_l and deviation sd_l are those of held-out normal samples, for scores of layers differ by orders. The score
    of a single layer stays as it is.
    """

    layer: tuple[str, ...] = Field(
        default=("penultimate",), description="penultimate, stages, or the names of layers", min_length=1
    )
    weights: Literal["equal", "fgsm"] = Field(
        default="equal", description="alpha: 1 for every layer, or learned by logistic regression on FGSM examples"
    )
    fgsm_eps: PositiveFloat = Field(
        default=8 / 255, description="step of these FGSM examples, in [0, 1] pixel units", le=1
    )

    @abstractmethod
    def layer_bank(self, fit_data: FitData) -> Bank:
        """Compute from the data what `layer_scores` needs."""

    @abstractmethod
    def layer_scores(self, forward: ForwardPass, bank: Bank) -> Tensor | QueryGenerator[Tensor]:
        """Score each sample in each layer, float64 `[N, L]`."""

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return named_layers(anatomy, self.layer)

    @override
    def fit(self, fit_data: FitData) -> QueryGenerator[Bank]:
        bank, names = self.layer_bank(fit_data), self.layers(fit_data.anatomy)
        if len(names) == 1:
            return bank
        normal = yield from follow(self.layer_scores(fit_data.held_out, bank))
        mean, deviation = spread(normal, names, self.info.name)
        alpha = torch.ones_like(mean)
        if self.weights == "fgsm":
            sorts = yield from fgsm_examples(fit_data.held_out, names, self.fgsm_eps, self.info.name)
            scores = []
            for forward in sorts:
                found = yield from follow(self.layer_scores(forward, bank))
                scores.append((found - mean) / deviation)
            abnormal = torch.cat([torch.full((len(s),), k == 2, device=s.device) for k, s in enumerate(scores)])
            alpha = logistic_regression(torch.cat(scores), abnormal)[0]
        return {**bank, "mean": mean, "weights": alpha / deviation}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor | QueryGenerator[Tensor]:
        scores = self.layer_scores(forward, bank)
        if isinstance(scores, Tensor):
            return combine_layers(scores, bank)
        queries = scores

        def combined() -> QueryGenerator[Tensor]:
            return combine_layers((yield from queries), bank)

        return combined()


def combine_layers(scores: Tensor, bank: Bank) -> Tensor:
    """Combine the scores of layers to one `[N]`: `sum_l alpha_l (s_l - m_l) / sd_l`; that of a single layer as it is.

    Args:
        scores: s, `[N, L]`.
        bank: of a `LayerwiseDetector`, with `mean` m and `weights` alpha / sd where there are several layers.
    """
    return scores[:, 0] if scores.shape[1] == 1 else (scores - bank["mean"]) @ bank["weights"]


def forward_on(forward: ForwardPass, images: Tensor, layers: Sequence[str]) -> QueryGenerator[ForwardPass]:
    """Run the model on other images of the same samples.

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

    def cross_entropy(answer: Answer, labels: Tensor) -> Tensor:
        return F.cross_entropy(required(answer.logits), labels, reduction="none")

    answer = yield Gradient(clean, of=FigureObjective(cross_entropy, labels))
    fooling = (clean + eps * required(answer.gradient).sign()).clamp(0, 1)
    noise = forward.streams.fold("noise").normal(*clean.shape[1:]).to(clean)
    moved = yield from forward_on(forward, fooling, layers)
    noisy = yield from forward_on(forward, (clean + eps * noise).clamp(0, 1), layers)
    rows = (forward.predictions == labels) & (noisy.predictions == labels) & (moved.predictions != labels)
    if int(rows.sum()) < FEWEST:
        raise DataError(
            f"{method}: only {int(rows.sum())} of {len(forward)} held-out images are classified rightly and fooled by "
            f"FGSM at eps={eps:.4g}, too few to learn weights from: raise fgsm_eps, give more data, or weights=equal"
        )
    return tuple(_subset(one, rows) for one in (forward, noisy, moved))  # type: ignore[return-value]  # three of three


def _subset(forward: ForwardPass, rows: Tensor) -> ForwardPass:
    return ForwardPass(
        forward.anatomy,
        forward.logits[rows],
        {k: v[rows] for k, v in forward.features.items()},
        forward.pixels[rows],
        None if forward.rng is None else forward.rng[rows],
        None if forward.labels is None else forward.labels[rows],
    )
