"""The mixture of two classifiers' probabilities: as arithmetic, as a network, and its certified radii.

Radii follow from the robust model's probabilities h alone, whatever the accurate model g says: with weight `a >= 1/2`
the mixture `(1 - a) g + a h` of two vectors in [0, 1]^K has its largest entry at y wherever `h_y - h_i > (1 - a) / a`
for all other i. Functions of radii work in float64 on numbers or tensors that broadcast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import widest_float
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


def check_weight(weight: float, owner: str) -> float:
    """The weight of h.

    Raises:
        ParameterError: it lies outside [0, 1].
    """
    if not 0 <= weight <= 1:
        raise ParameterError(f"{owner}: weight={weight} must lie in [0, 1]; 1 is the robust model alone")
    return weight


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
        """The mixture's log-probabilities; see `mixed`."""
        return mixed(accurate, robust, alpha, scale_accurate=self.scale_accurate, scale_robust=self.scale_robust)

    @override
    def forward(self, images: Tensor) -> Tensor:
        return self.mix(self.accurate_logits(images), self.robust_logits(images), self.alpha)


Which = Literal["accurate", "robust", "weights"]


class Side(nn.Module):
    """One model of a mixture, alone.

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
    """The two models of a mixture.

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


Value = float | Tensor
HALVINGS = 64
SLACK = 1e-12
"""By how much the margin must exceed what is needed: more than float64 rounds away."""


def margin_needed(alpha: float) -> float:
    """`(1 - a) / a`: by how much h must prefer its class so that no g can overrule it.

    Args:
        alpha: weight of h, in [1/2, 1].

    Raises:
        ParameterError: alpha is below 1/2, where a sure g always wins, or above 1.

    >>> [round(margin_needed(a), 4) for a in (0.5, 0.6, 0.76, 0.84, 0.99)]
    [1.0, 0.6667, 0.3158, 0.1905, 0.0101]
    """
    if not 0.5 <= alpha <= 1:
        raise ParameterError(
            f"alpha={alpha}: a mixture has certificates for alpha in [0.5, 1]; below, a sure accurate model decides"
        )
    return (1 - alpha) / alpha


def smooth_lipschitz(sigma: float, kind: Literal["sharp", "published"] = "sharp") -> float:
    """Lipschitz constant in l2 of a [0, 1]-valued function smoothed by `N(0, sigma^2 I)`.

    Args:
        sigma: deviation of the noise.
        kind: `sharp` is `1 / (sigma sqrt(2 pi))`; `published`, `sqrt(2 / pi) / sigma`, is twice that.

    >>> round(smooth_lipschitz(1.0), 5), round(smooth_lipschitz(1.0, "published"), 5)
    (0.39894, 0.79788)
    """
    return math.sqrt(2 / math.pi) / sigma / (1 if kind == "published" else 2)


def lipschitz_radius(top: Value, other: Value, alpha: float, lipschitz: float) -> Tensor:
    """`(a (h_y - h_i) + a - 1) / (a (Lip(h_y) + Lip(h_i)))`, its positive part, for equal Lipschitz constants.

    Args:
        top: h_y in [0, 1], or a lower bound of it.
        other: h_i in [0, 1], or an upper bound; the least radius over all i holds.
        alpha: weight of h, in [1/2, 1].
        lipschitz: of each entry of h, in the norm that the radius is meant in.

    Returns:
        Radii in float64.

    >>> round(lipschitz_radius(0.95, 0.03, 0.67, smooth_lipschitz(1.0)).item(), 5)
    0.53575
    """
    y, i = _probabilities(top, other)
    return ((y - i - margin_needed(alpha)) / (2 * lipschitz)).clamp(min=0)


def smoothing_radius(top: Value, other: Value, alpha: float, sigma: float) -> Tensor:
    """`(s / 2) [Phi^-1(a h_y) - Phi^-1(a h_i + 1 - a)]`, its positive part: the published radius.

    Args:
        top: h_y, an expectation over `N(0, s^2 I)` of a function with values in [0, 1], or a lower bound of it.
        other: h_i, or an upper bound; the second likeliest class gives the least radius.
        alpha: weight of h, in [1/2, 1].
        sigma: s, in the unit of the images.

    Returns:
        Radii in l2, float64.

    >>> round(smoothing_radius(0.95, 0.03, 0.67, 1.0).item(), 5)
    0.36708
    """
    margin_needed(alpha)
    y, i = _probabilities(top, other)
    radius = sigma / 2 * (torch.special.ndtri(alpha * y) - torch.special.ndtri(alpha * i + 1 - alpha))
    return torch.where(y - i > margin_needed(alpha), radius, 0.0).clamp(min=0)


def sharp_radius(top: Value, other: Value, alpha: float, sigma: float) -> Tensor:
    """The largest r with `Phi(Phi^-1(h_y) - r/s) - Phi(Phi^-1(h_i) + r/s) > (1 - a) / a`, by bisection from below.

    The two terms are the least h_y and the largest h_i at distance r (Cohen et al. 2019), so it uses what the other
    radii use and is never below them. With alpha 1 it is the usual radius of two classes.

    Args:
        top: as in `smoothing_radius`.
        other: as in `smoothing_radius`.
        alpha: as in `smoothing_radius`.
        sigma: as in `smoothing_radius`.

    Returns:
        Radii in l2, float64; infinite where h_y is 1 and nothing else may rise enough.

    >>> round(sharp_radius(0.95, 0.03, 0.67, 1.0).item(), 5), round(sharp_radius(0.95, 0.03, 1.0, 1.0).item(), 5)
    (1.09541, 1.76282)
    """
    needed = margin_needed(alpha)
    y, i = _probabilities(top, other)
    high, low = torch.special.ndtri(y), torch.special.ndtri(i)
    need = torch.special.ndtri(torch.tensor([needed, 1 - needed], dtype=widest_float(y.device), device=y.device))
    zero = torch.zeros_like(y)
    most = torch.minimum(torch.minimum((high - low) / 2, high - need[0]), need[1] - low)
    least, most = zero, torch.where(y - i > needed + SLACK, most, 0.0).clamp(min=0)
    endless = most.isinf()
    most = torch.where(endless, 0.0, most)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        holds = torch.special.ndtr(high - middle) - torch.special.ndtr(low + middle) > needed + SLACK
        least, most = torch.where(holds, middle, least), torch.where(holds, most, middle)
    return torch.where(endless, torch.inf, sigma * torch.where(most > 0, least, 0.0))


def _probabilities(top: Value, other: Value) -> tuple[Tensor, Tensor]:
    y, i = (torch.as_tensor(v, dtype=torch.float64) for v in (top, other))
    shape = (y + i).shape
    y, i = y.expand(shape), i.expand(shape)
    if bool(((y < 0) | (y > 1) | (i < 0) | (i > 1) | y.isnan() | i.isnan()).any()):
        raise ParameterError("certificates of a mixture need probabilities in [0, 1]: give h after its softmax or vote")
    return y, i
