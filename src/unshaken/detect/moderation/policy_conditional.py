"""One head for all policies: an input names those that count, so that the policy decides and not the image alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.descent import descend
from unshaken.core.rng import SampleRng, seeded


def policy_target(belongs: Tensor, policy: Tensor) -> Tensor:
    """Label images by a policy: unsafe where a category that an image falls under is one of the policy's.

    Args:
        belongs: bool `[N, C]`, the categories that each image falls under.
        policy: bool `[N, C]`, the categories that count for each.

    Returns:
        bool `[N]`.
    """
    return (belongs & policy).any(1)


def draw_policies(belongs: Tensor, rng: SampleRng, negatives: float = 0.5) -> Tensor:
    """A random policy for each image: of the categories it does not show any number, and its own.

    Args:
        belongs: bool `[N, C]`.
        rng: of the images.
        negatives: share of images whose own categories are left out, which makes them safe.

    Returns:
        bool `[N, C]`, at least one category each.
    """
    categories = belongs.shape[1]
    many = rng.fold("many").uniform(1)
    others = (rng.fold("others").uniform(categories) < many) & ~belongs
    keeps_own = rng.fold("negatives").uniform(1) >= negatives
    policy = torch.where(belongs, keeps_own, others)
    filler = F.one_hot(torch.where(belongs, -1.0, rng.fold("one").uniform(categories)).argmax(1), categories).bool()
    return torch.where(policy.any(1, keepdim=True), policy, filler)


def perceptron(widths: Sequence[int], *, batch_norm: bool = False) -> nn.Sequential:
    """Hidden layers with ReLU, and batch norm after it where wished; then one output.

    Args:
        widths: of the input and of hidden layers.
        batch_norm: whether each hidden layer ends with one.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU(), *([nn.BatchNorm1d(b)] if batch_norm else [])]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


class ConditionalHead(nn.Module):
    """Features and a policy to a logit of unsafe; a policy of few categories weighs as much as many features.

    Args:
        features: `[N, d]`, whose mean and deviation standardise what comes.
        categories: C.
        width: of the hidden layer.
        seed: of the weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, categories: int, width: int = 128, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.net = perceptron([features.shape[1] + categories, width])
        self.loudness = math.sqrt(features.shape[1] / categories)
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", 1 / features.std(0).clamp(min=1e-6))

    @override
    def forward(self, features: Tensor, policy: Tensor) -> Tensor:
        x = torch.cat([(features - self.mean) * self.scale, self.loudness * (2.0 * policy - 1)], 1)
        logits: Tensor = self.net(x)[:, 0]
        return logits


def fit_conditional(
    features: Tensor, belongs: Tensor, *, steps: int = 600, negatives: float = 0.5, seed: int = 0
) -> ConditionalHead:
    """Train on a fresh policy for each image and epoch; unsafe images weigh as much as safe ones.

    Args:
        features: float32 `[N, d]`.
        belongs: bool `[N, C]`, the categories that each image falls under.
        steps: of Adam, 128 images each.
        negatives: see `draw_policies`; at 0 nothing teaches that a policy may leave a category out.
        seed: of weights, order and policies.

    Source:
        Qu et al. 2025, arXiv:2405.03486, on policies as prompts, here as inputs of a head.
    """
    head = ConditionalHead(features, belongs.shape[1], seed=seed)
    shares = belongs.any(1).float().mean() * (1 - negatives)
    weight = ((1 - shares) / shares.clamp(min=1e-3)).clamp(max=20)

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        policy = draw_policies(belongs[rows], rng, negatives)
        target = policy_target(belongs[rows], policy).float()
        return F.binary_cross_entropy_with_logits(head(features[rows], policy), target, pos_weight=weight)

    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    descend(optimizer, loss, len(features), steps=steps, batch_size=128, seed=seed, name="policy head")
    return head.eval().requires_grad_(False)
