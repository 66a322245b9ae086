"""The mixture of two classifiers' probabilities, as arithmetic and as a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError


def mixed(
    accurate: Tensor,
    robust: Tensor,
    alpha: float | Tensor,
    *,
    scale_accurate: float = 1.0,
    scale_robust: float = 1.0,
) -> Tensor:
    """`f = log[(1 - a) softmax(T_g g) + a softmax(T_h h)]`, by `logaddexp`: no probability is ever rounded to 0.

    Args:
        accurate: logits g, `[N, K]`.
        robust: logits h, `[N, K]`.
        alpha: the weight a of h in [0, 1], one for all or `[N]`.
        scale_accurate: T_g.
        scale_robust: T_h.

    Returns:
        Log-probabilities `[N, K]`.

    >>> g, h = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.1, 0.6, 0.3]]).log()
    >>> [round(v, 4) for v in mixed(g, h, 0.6)[0].tolist()]
    [-1.0788, -0.821, -1.5141]
    """
    log_g = F.log_softmax(scale_accurate * accurate, 1)
    log_h = F.log_softmax(scale_robust * robust, 1)
    if isinstance(alpha, Tensor):
        a = alpha.to(log_h)[:, None]
        return torch.logaddexp(_log(1 - a) + log_g, _log(a) + log_h)
    if alpha == 0 or alpha == 1:
        return log_h if alpha else log_g
    return torch.logaddexp(math.log1p(-alpha) + log_g, math.log(alpha) + log_h)


def _log(weight: Tensor) -> Tensor:
    """The logarithm, -inf at 0, without a gradient there that is no number."""
    return torch.where(weight > 0, weight.clamp(min=1e-30).log(), -torch.inf)


def check_alpha(alpha: float, owner: str) -> float:
    """The weight of h.

    Raises:
        ParameterError: it lies outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ParameterError(f"{owner}: alpha={alpha} must lie in [0, 1]; 1 is the robust model alone")
    return alpha


class MixtureNet(nn.Module):
    """Both networks under one graph: one backward pass serves an attack on the whole.

    Args:
        accurate: g, to logits.
        robust: h, to logits of the same classes.
        alpha: weight of h.
        scale_accurate: T_g.
        scale_robust: T_h.
        side: height and width in pixels to which g's images are resized (bilinear); None to leave them.
    """

    varies: ClassVar[bool] = False
    """Whether the weight depends on the image."""

    def __init__(
        self,
        accurate: nn.Module,
        robust: nn.Module,
        *,
        alpha: float,
        scale_accurate: float = 1.0,
        scale_robust: float = 1.0,
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.accurate, self.robust, self.side = accurate, robust, side
        self.alpha, self.scale_accurate, self.scale_robust = alpha, scale_accurate, scale_robust

    @property
    def least_alpha(self) -> float:
        """The smallest weight that h can have, on whatever image: what a certificate must reckon with."""
        return self.alpha

    def weights(self, images: Tensor) -> Tensor:
        """The weight of h on each image, `[N]`."""
        return torch.full((len(images),), self.alpha, device=images.device)

    def accurate_logits(self, images: Tensor) -> Tensor:
        """Logits of g, `[N, K]`, T_g left out."""
        if self.side is not None and tuple(images.shape[-2:]) != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", align_corners=False)
        logits: Tensor = self.accurate(images)
        return logits

    def robust_logits(self, images: Tensor) -> Tensor:
        """Logits of h, `[N, K]`, T_h left out."""
        logits: Tensor = self.robust(images)
        return logits

    def mix(self, accurate: Tensor, robust: Tensor, alpha: float | Tensor) -> Tensor:
        """See `mixed`."""
        return mixed(accurate, robust, alpha, scale_accurate=self.scale_accurate, scale_robust=self.scale_robust)

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.mix(self.accurate_logits(images), self.robust_logits(images), self.alpha)


Which = Literal["accurate", "robust", "weights"]


class Side(nn.Module):
    """What a mixture is made of, alone.

    Args:
        net: the mixture.
        which: g, h, or the weight of h.
    """

    def __init__(self, net: MixtureNet, which: Which) -> None:
        super().__init__()
        self.net, self.which = net, which

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.which == "weights":
            return self.net.weights(images)[:, None]
        return self.net.robust_logits(images) if self.which == "robust" else self.net.accurate_logits(images)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a mixture is made of.

    Args:
        accurate: g, a classifier of images in [0, 1].
        robust: h, as g.
        scale_accurate: T_g.
        least_alpha: the smallest weight of h.
        weights: from images in [0, 1] to the weight of h, `[N, 1]`; None where it is the smallest one for all.
    """

    accurate: Classifier
    robust: Classifier
    scale_accurate: float
    least_alpha: float
    weights: Classifier | None = None


def parts_of(model: Classifier) -> Parts | None:
    """The parts of a mixture, with the same weights; None for any other model."""
    net = model.net
    if not isinstance(net, MixtureNet):
        return None
    weights = one_side(model, net, "weights") if net.varies else None
    accurate, robust = one_side(model, net, "accurate"), one_side(model, net, "robust")
    return Parts(accurate, robust, net.scale_accurate, net.least_alpha, weights)


def one_side(model: Classifier, net: MixtureNet, which: Which) -> Classifier:
    """A part of a mixture as a classifier of its own; it holds the same weights.

    Args:
        model: the mixture.
        net: its net.
        which: see `Side`.
    """
    found = Classifier(
        Side(net, which),
        classes=model.classes,
        view=model.view,
        differentiable=model.differentiable,
        name=f"{which} of {model.name}",
        reject=model.reject,
    )
    found.mean, found.std = model.mean, model.std
    return found.train(model.training)


def normalised(model: Classifier, images: Tensor) -> Tensor:
    """Images in [0, 1] as the model's net sees them."""
    if model.mean is None or model.std is None:
        return images
    return (images - model.mean.to(images)) / model.std.to(images)
