"""`Ball`: the budget of an attack, an lp ball around each clean image cut with the box [0, 1]; checks of budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

NORMS = ("linf", "l2", "l1")
"""Of which each is the norm of an attack that names none."""
ALL_NORMS = (*NORMS, "l0")
"""With l0, the number of changed values, which only searches for the fewest know."""
USUAL_EPS = 8 / 255
"""The budget of an attack within a norm where none is given."""
ORDERS = {"linf": float("inf"), "region": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}
TOLERANCE = 1e-6
"""Relative: a norm up to `eps (1 + TOLERANCE)` counts as inside."""


class Ball(State):
    """The allowed perturbations, one ball per sample.

    Args:
        clean: centres, float32 `[N, C, H, W]` in [0, 1].
        eps: radii `[N]`, in the unit of [0, 1] pixels under the norm.
        lower: least value of each pixel, `[N, C, H, W]`.
        upper: as `lower`.
        norm: `linf`, `l2` or `l1`; `region` where only the pixels' bounds count; `l0`, the number of changed values,
            for `distance` and `contains` alone.
    """

    clean: Tensor
    eps: Tensor
    lower: Tensor
    upper: Tensor
    norm: str

    @classmethod
    def of(cls, clean: Tensor, eps: Tensor, norm: str) -> Ball:
        """The balls around clean images. For linf the pixels' bounds are rounded inwards, so none is crossed."""
        if norm == "linf":
            radius = _wide(eps, clean)
            lower, upper = clean - radius, clean + radius
            lower = torch.where(clean - lower > radius, lower.nextafter(clean), lower).clamp_(0, 1)
            upper = torch.where(upper - clean > radius, upper.nextafter(clean), upper).clamp_(0, 1)
        else:
            lower, upper = torch.zeros_like(clean), torch.ones_like(clean)
        return cls(clean, eps, lower, upper, norm)

    @classmethod
    def region(cls, clean: Tensor, mask: Tensor) -> Ball:
        """Pixels under a mask are free in [0, 1], all others stay as they are.

        Args:
            clean: `[N, C, H, W]` in [0, 1].
            mask: bool, broadcast over `clean`.
        """
        lower, upper = clean.masked_fill(mask, 0), clean.masked_fill(mask, 1)
        return cls(clean, clean.new_ones(len(clean)), lower, upper, "region")

    @property
    def radius(self) -> Tensor:
        """`eps` in a shape that broadcasts over images."""
        return _wide(self.eps, self.clean)

    def distance(self, x: Tensor) -> Tensor:
        """The norm of `x - clean`, float64 `[N]`."""
        return distance(x, self.clean, self.norm)

    def contains(self, x: Tensor) -> Tensor:
        """Bool `[N]`: inside the ball (to a relative 1e-6) and inside [0, 1]; in a region, within the bounds."""
        if self.norm == "region":
            return ((x >= self.lower) & (x <= self.upper)).flatten(1).all(1)
        return inside(x, self.clean, self.eps, self.norm)

    def random_point(self, rng: SampleRng) -> Tensor:
        """A point drawn uniformly from each ball, then clipped to [0, 1]."""
        shape = self.clean.shape[1:]
        rng = rng.fold("start")
        if self.norm == "region":
            return self.lower + (self.upper - self.lower) * rng.uniform(*shape).to(self.clean)
        if self.norm == "linf":
            delta = rng.uniform(*shape, low=-1, high=1)
        elif self.norm == "l2":
            direction = rng.normal(*shape).flatten(1)
            delta = direction / direction.norm(dim=1, keepdim=True)
            delta = (delta * rng.fold("radius").uniform(1) ** (1 / delta.shape[1])).view(-1, *shape)
        else:  # Laplace draws over their sum and one exponential draw more are uniform in the l1 ball
            signed = rng.uniform(*shape, low=-1, high=1).flatten(1)
            laplace = -signed.sign() * torch.log1p(-signed.abs().clamp_max(1 - 2**-24))  # -1 can be drawn
            rest = -torch.log1p(-rng.fold("rest").uniform(1))
            delta = (laplace / (laplace.abs().sum(1, keepdim=True) + rest)).view(-1, *shape)
        return self._reached(self.clean + self.radius * delta.to(self.clean))

    def sphere_point(self, rng: SampleRng) -> Tensor:
        """A point with a change of norm eps in a random direction, then clipped to [0, 1]; in l1 a projected draw.

        linf: uniform, over its largest entry. l2: a normal direction. l1: the projection of normal noise.
        """
        if self.norm == "region":
            return self.random_point(rng)
        rng, shape = rng.fold("sphere"), self.clean.shape[1:]
        if self.norm == "l1":
            return self.project(self.clean + rng.normal(*shape).to(self.clean))
        delta = rng.uniform(*shape, low=-1, high=1) if self.norm == "linf" else rng.normal(*shape)
        order = float("inf") if self.norm == "linf" else 2.0
        length = torch.linalg.vector_norm(delta.flatten(1), order, dim=1).clamp_min(1e-30)
        return self.project(self.clean + self.radius * (delta / _wide(length, delta)).to(self.clean))

    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the set for linf and l1; for l2 shrunk to the ball, then clipped."""
        if self.norm in ("linf", "region"):
            return x.clamp(self.lower, self.upper)
        delta = x - self.clean
        if self.norm == "l2":
            length = delta.flatten(1).norm(dim=1)
            delta = delta * _wide((self.eps / length.clamp_min(1e-30)).clamp_max(1.0), x)
        else:
            delta = project_l1(self.clean, delta, self.eps)
        return self._reached(self.clean + delta)

    def _reached(self, x: Tensor) -> Tensor:
        """`x` clipped to the box, and pulled back where float32's rounding alone left the ball."""
        x = x.clamp_(self.lower, self.upper)
        if self.norm in ("linf", "region"):
            return x
        ratio = widen(self.eps) / self.distance(x)
        over = ratio < 1 - TOLERANCE / 2
        if not bool(over.any()):
            return x
        clean, delta = self.clean[over], (x - self.clean)[over] * _wide(ratio[over], x)
        back = clean + delta
        back = torch.where((back - clean).abs() > delta.abs(), back.nextafter(clean), back)
        return x.index_put((over,), back)

    def steepest(self, gradient: Tensor, x: Tensor, *, quantile: float = 0.99) -> Tensor:
        """The direction of unit norm along which the objective rises fastest from `x`; see `steepest`."""
        return steepest(gradient, x, self.norm, quantile=quantile)

    def farthest(self, gradient: Tensor) -> Tensor:
        """The point of the ball that a linear objective likes best, clipped to [0, 1].

        In l1 all of eps goes to the entry of largest `|g|`, shared equally on ties.
        """
        gradient = finite_part(gradient)
        if self.norm == "l1":
            size = gradient.abs().flatten(1)
            top = ((size == size.amax(1, keepdim=True)) & (size > 0)).to(gradient)
            step = gradient.sign() * (top / top.sum(1, keepdim=True).clamp_min(1)).view_as(gradient)
        else:
            step = self.steepest(gradient, self.clean)
        return self._reached(self.clean + self.radius * step)


def steepest(gradient: Tensor, x: Tensor, norm: str, *, quantile: float = 0.99) -> Tensor:
    """The direction of unit norm along which the objective rises fastest from `x`.

    linf: the sign. l2: `g / |g|`. l1: the sign of the largest entries only (`|g|` at or above its quantile,
    coordinates at a wall of the box left out), over their number.

    Args:
        gradient: `[N, C, H, W]`.
        x: point of the gradient.
        norm: `linf`, `l2`, `l1`, or `region`, where it is the sign.
        quantile: share of the coordinates left out in l1, in [0, 1).
    """
    gradient = finite_part(gradient)
    if norm in ("linf", "region"):
        return gradient.sign()
    if norm == "l2":
        return gradient / _wide(gradient.flatten(1).norm(dim=1).clamp_min(1e-30), gradient)
    blocked = ((x <= 0) & (gradient < 0)) | ((x >= 1) & (gradient > 0))
    size = gradient.abs().masked_fill(blocked, 0).flatten(1)
    keep = max(1, round((1 - quantile) * size.shape[1]))
    least = size.topk(keep, dim=1).values[:, -1:]
    chosen = (size >= least) & (size > 0)
    share = chosen / chosen.sum(1, keepdim=True).clamp_min(1)
    return gradient.sign() * share.view_as(gradient)


def finite_part(gradient: Tensor) -> Tensor:
    """The gradient with 0 for entries that are NaN or infinite, so that a step along the others is possible."""
    return gradient.nan_to_num(0.0, 0.0, 0.0)


def distance(x: Tensor, clean: Tensor, norm: str) -> Tensor:
    """The norm of `x - clean` for each sample, float64 `[N]`."""
    delta = (widen(x) - widen(clean)).flatten(1)
    length: Tensor = torch.linalg.vector_norm(delta, ORDERS[norm], dim=1)
    return length


def inside(x: Tensor, clean: Tensor, eps: Tensor, norm: str) -> Tensor:
    """Bool `[N]`: within eps of the clean image (to a relative 1e-6) and inside [0, 1]."""
    low, high = x.flatten(1).aminmax(dim=1)
    return (distance(x, clean, norm) <= widen(eps) * (1 + TOLERANCE)) & (low >= 0) & (high <= 1)


def project_l1(clean: Tensor, delta: Tensor, eps: Tensor) -> Tensor:
    """The Euclidean projection of `delta` on `|delta|_1 <= eps` cut with `0 <= clean + delta <= 1`.

    The solution is `sign(delta) min(max(|delta| - t, 0), cap)`, where `cap` is the room to the wall; the threshold t
    follows from sorting the points where an entry starts to move and where it comes free of its cap.

    Args:
        clean: `[N, C, H, W]` in [0, 1].
        delta: as `clean`.
        eps: `[N]`.
    """
    size, sign = widen(delta.abs().flatten(1)), delta.sign()
    cap = widen(torch.where(delta > 0, 1 - clean, clean).flatten(1))
    boxed = torch.minimum(size, cap)
    radius = widen(eps)[:, None]
    # f(t) = sum min(max(size - t, 0), cap) falls, linear between the knots size (slope ends) and size - cap (starts).
    knots = torch.cat([size, (size - cap).clamp_min(0)], 1)
    slope = torch.cat([torch.ones_like(size), -torch.ones_like(size)], 1)
    knots, order = knots.sort(1)
    before = widen(boxed.gt(0).new_zeros(len(size), 1))
    slopes = -(slope.gather(1, order).flip(1).cumsum(1).flip(1))  # slope on the interval that ends at a knot
    widths = torch.diff(knots, dim=1, prepend=before)
    values = boxed.sum(1, keepdim=True) + (slopes * widths).cumsum(1)
    at = (values > radius).sum(1, keepdim=True).clamp_max(knots.shape[1] - 1)  # first knot where f <= eps
    left = torch.where(at > 0, knots.gather(1, (at - 1).clamp_min(0)), before)
    level = torch.where(at > 0, values.gather(1, (at - 1).clamp_min(0)), boxed.sum(1, keepdim=True))
    steep = slopes.gather(1, at)
    t = left + (radius - level) / steep.clamp_max(-1e-30)
    t = torch.where(boxed.sum(1, keepdim=True) <= radius, before, t)
    moved = torch.minimum((size - t).clamp_min(0), cap)
    return sign * moved.to(delta).view_as(delta)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like).view(-1, *(1,) * (like.ndim - 1))


def check_budget_size(name: str, norm: str, eps: float, numbers: int | None, *, allow: bool) -> None:
    """Refuse a budget of more than half of what pixels in [0, 1] can change by, such as `8` for `8/255`.

    Args:
        name: of the method, for messages.
        norm: `linf`, `l2` or `l1`; under any other the size is no change of pixels, and nothing is checked.
        eps: the budget.
        numbers: in an image, C x H x W, of which the largest l2 is the square root and the largest l1 all; None where
            that is not known yet, and only linf is checked.
        allow: leave it where the user allows it.

    Raises:
        ParameterError: it is larger.
    """
    if allow or norm not in NORMS or (numbers is None and norm != "linf"):
        return
    half = 0.5 * (numbers or 1) ** (1 / ORDERS[norm])
    if half * (1 + TOLERANCE) < eps < math.inf:
        meant = f"{eps:g}/255" if eps >= 1 else "8/255"
        raise ParameterError(
            f"{name}: {norm} eps={eps:g} is above {half:g}, half of the largest change of pixels in [0, 1]: "
            f"did you mean {meant}? To keep it give --allow-large-eps (in Python allow_large_eps=True)"
        )


def check_budgets(
    name: str, norms: Sequence[str], norm: str | None, eps: Sequence[float], *, minimal: bool = False
) -> list[float]:
    """Check the budgets of an attack on any task.

    Args:
        name: of the attack, for messages.
        norms: that it has; empty for one whose budget is not a norm.
        norm: of the budgets.
        eps: the budgets, in [0, 1] pixel units under the norm.
        minimal: whether `inf` is one, for the nearest example at any distance.

    Returns:
        The budgets, or infinity for an attack without norms.

    Raises:
        ParameterError: the norm or eps is not allowed.
    """
    if not norms:
        if eps:
            raise ParameterError(f"{name}: has no eps; its budget is set by its own parameters: omit eps")
        return [math.inf]
    if norm not in norms:
        raise ParameterError(f"{name}: norm {norm!r} is not one of {', '.join(norms)}")
    if not eps:
        raise ParameterError(f"{name}: give eps, such as [8/255]")
    for radius in eps:
        if not (radius >= 0 and (math.isfinite(radius) or minimal)):
            raise ParameterError(f"{name}: eps {radius!r} must be a finite number >= 0, in units of [0, 1] pixels")
        if norm == "l0" and radius < math.inf and radius % 1:
            raise ParameterError(f"{name}: l0 eps={radius:g} counts changed values: give a whole number, such as 10")
    return list(eps)
