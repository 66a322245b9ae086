"""The gradient of a smoothed classifier's loss, for attacks through the noise and for training against them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer, Goal, Passes, Query


def log_mean(logs: Tensor) -> Tensor:
    """`log mean_i exp(l_i)` over the first dimension.

    Args:
        logs: log-probabilities `[M, ...]`.
    """
    return logs.logsumexp(0) - math.log(len(logs))


def smooth_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`-log mean_i softmax(f(x + n_i))_y` for each sample: the cross-entropy of the smoothed soft classifier.

    Args:
        logits: `[M, N, K]` of M noisy copies.
        labels: int64 `[N]`.

    Returns:
        `[N]`, in nats.

    Source: Salman et al. 2019, arXiv:1906.04584.
    """
    return -log_mean(logits.log_softmax(2)).gather(1, labels[:, None])[:, 0]


class SmoothedGradient(Query):
    """The gradient of `smooth_loss` by the points, under noises that are handed in.

    Args:
        points: `[N, C, H, W]`.
        labels: int64 `[N]`.
        noises: `[N, M, C, H, W]`, as they are added.
    """

    labels: Tensor
    noises: Tensor

    @property
    @override
    def width(self) -> int:
        return self.noises.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        n, copies = self.noises.shape[:2]
        noisy = (self.points[:, None] + self.noises).transpose(0, 1).flatten(0, 1).requires_grad_(True)
        with torch.enable_grad():
            logits = passes.forward(noisy)[0].view(copies, n, -1)
            with passes.method():
                value = smooth_loss(logits, self.labels)
        gradient = passes.gradient(value, noisy).view(copies, *self.points.shape).sum(0)
        mean = log_mean(logits.detach().log_softmax(2))
        return Answer(logits=mean, labels=predict(mean), value=value.detach(), gradient=gradient)


@dataclass(frozen=True, slots=True)
class NoisyNetwork:
    """One network of a mixture, under noise or not.

    Args:
        counted: to the network, counted.
        sees: from images `[M, C, H, W]` to what the network takes.
        sigma: deviation of its noise; 0 for the image as it is.
        scale: factor of its logits.
    """

    counted: Oracle
    sees: Callable[[Tensor], Tensor] = lambda images: images
    sigma: float = 0.0
    scale: float = 1.0

    def say(self, points: Tensor, noises: Tensor) -> tuple[Tensor, Tensor]:
        """`log mean_i softmax(T f(x + s n_i))`, `[N, K]`, and the noisy copies, of which gradients may be asked."""
        copies = points[None] if not self.sigma else points[None] + self.sigma * noises.transpose(0, 1)
        noisy = copies.flatten(0, 1).detach().requires_grad_(True)
        logits = self.counted.forward(self.sees(noisy))[0].view(*copies.shape[:2], -1)
        return log_mean((self.scale * logits).log_softmax(2)), noisy

    def slope(self, value: Tensor, noisy: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of `value.sum()` by the points, through this network alone."""
        return self.counted.gradient(value, noisy, keep=True).view(-1, *shape).sum(0)


class MixedGradient(Query):
    """The gradient of `-log[(1 - a) p(x)_y + a q(x)_y]` by the points, p and q the means of two networks under noise.

    Args:
        points: `[N, C, H, W]`.
        labels: int64 `[N]`.
        noises: of deviation 1, `[N, M, C, H, W]`, the same for both.
        first: p.
        second: q.
        share: a, one for all, or an oracle that gives it for each image, `[N, 1]`.
    """

    labels: Tensor
    noises: Tensor
    first: NoisyNetwork
    second: NoisyNetwork
    share: float | Oracle

    @property
    @override
    def width(self) -> int:
        return 2 * self.noises.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        shape = self.points.shape
        with torch.enable_grad():
            answers = [voice.say(self.points, self.noises) for voice in (self.first, self.second)]
            image = self.points.detach().requires_grad_(True)
            less, more = self._logs(image)
            mixture = torch.logaddexp(less + answers[0][0], more + answers[1][0])
            value = -mixture.gather(1, self.labels[:, None])[:, 0]
        voices = zip((self.first, self.second), answers, strict=True)
        gradient = torch.stack([voice.slope(value, noisy, shape) for voice, (_, noisy) in voices]).sum(0)
        if isinstance(self.share, Oracle):
            gradient = gradient + self.share.gradient(value, image)
        mixture = mixture.detach()
        return Answer(logits=mixture, labels=predict(mixture), value=value.detach(), gradient=gradient)

    def _logs(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`log(1 - a)` and `log(a)`, to be added to `[N, K]`."""
        if isinstance(self.share, Oracle):
            share = self.share.forward(image)[0].clamp(1e-6, 1 - 1e-6)
            return torch.log1p(-share), share.log()
        known = [math.log(a) if a > 0 else -math.inf for a in (1 - self.share, self.share)]
        less, more = (image.new_tensor(v) for v in known)
        return less, more
