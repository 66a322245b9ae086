"""A safety classifier as a `Classifier` of two logits, safe and unsafe, so that an attack sees its true gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.forward_pass import pool
from unshaken.detect.moderation.policy_heads import category_margins

CLASSES = ("safe", "unsafe")


def two_logits(margin: Tensor) -> Tensor:
    """Logits `(-m/2, m/2)`: their softmax is `(1 - sigmoid(m), sigmoid(m))`, and the larger one is that of m's sign.

    A probability in the place of a logit would do neither: of a softmax of (1 - p, p) the most is 0.7311, and gradients
    shrink (Carlini & Wagner 2017, arXiv:1608.04644, sect. on defensive distillation).

    Args:
        margin: `[N]`, a logit over its threshold.

    Returns:
        `[N, 2]`.
    """
    return torch.stack([-margin, margin], 1) / 2


class FromProbability(nn.Module):
    """Any callable that gives P(unsafe), as two logits over a threshold.

    Args:
        probability: from images `[N, C, H, W]` in [0, 1] to P(unsafe) `[N]`.
        threshold: in (0, 1); at one half the softmax of the logits is the probability itself.
    """

    def __init__(self, probability: Callable[[Tensor], Tensor], threshold: float = 0.5) -> None:
        super().__init__()
        self.probability = probability
        self.over = float(torch.logit(torch.tensor(threshold, dtype=torch.float64)))

    @override
    def forward(self, images: Tensor) -> Tensor:
        return two_logits(torch.logit(self.probability(images), eps=1e-7) - self.over)


class PolicyNet(nn.Module):
    """A model with heads for a policy in the place of its own head: the largest margin of a category decides.

    Args:
        model: whose features the heads weigh.
        layer: of these features.
        bank: what `PolicyHeads.fit` left.
    """

    weight: Tensor
    bias: Tensor
    thresholds: Tensor

    def __init__(self, model: Classifier, layer: str, bank: Bank) -> None:
        super().__init__()
        self.model, self.layer = model, layer
        for name in ("weight", "bias", "thresholds"):
            self.register_buffer(name, bank[name])

    def margins(self, images: Tensor) -> Tensor:
        """Margin of each category over its threshold, `[N, C]`."""
        features = pool(self.model.features(images, [self.layer])[1][self.layer], self.layer)
        return category_margins(features, self.weight, self.bias, self.thresholds)

    @override
    def forward(self, images: Tensor) -> Tensor:
        return two_logits(self.margins(images).amax(1)).float()


def policy_classifier(model: Classifier, anatomy: Anatomy, bank: Bank) -> Classifier:
    """A fitted policy as a classifier of safe and unsafe, for attacks, certificates and audits.

    Args:
        model: that the heads were fitted on.
        anatomy: of it.
        bank: what `PolicyHeads.fit` left.
    """
    net = PolicyNet(model, anatomy.penultimate, bank)
    return Classifier(
        net, classes=CLASSES, view=model.view, differentiable=model.differentiable, name=f"policy on {model.name}"
    ).eval()
