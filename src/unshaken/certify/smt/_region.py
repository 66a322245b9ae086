"""The region that a verification speaks of: a box in a few pixels of one image, all others fixed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds, rounding
from unshaken.certify.bounds.linear import BUDGET, LinearBounds
from unshaken.certify.engine.layers import Affine, Chain
from unshaken.core.device import float64_device, widen
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle

Verdict = Literal["adversarial", "safe_on_grid", "safe_general", "unknown"]
TIE = 1e-5
"""Of the largest logit: a margin in float32 up to this counts as a tie, and a tie as unsafe."""


@dataclass(frozen=True, eq=False)
class Region:
    """All images that differ from one in its free pixels only, each within its own bounds.

    Args:
        image: float32 `[C, H, W]` in [0, 1].
        label: the class that must win.
        free: places of the free pixels in the flat image, int64 `[D]`; each channel's value is a pixel of its own.
        lower: least values of the free pixels, float32 `[D]`.
        upper: largest values.

    Raises:
        ParameterError: there is no free pixel, one is named twice or lies outside the image, or a bound is not in
            [0, 1] or above the other.
    """

    image: Tensor
    label: int
    free: Tensor
    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        _check_places(self.free, self.image.numel())
        if not bool(((self.lower >= 0) & (self.lower <= self.upper) & (self.upper <= 1)).all()):
            raise ParameterError("bounds of the free pixels must lie in [0, 1], the lower ones below the upper ones")

    @classmethod
    def around(cls, image: Tensor, label: int, free: Tensor, eps: float) -> Region:
        """The free pixels within eps of their values, cut with [0, 1] and rounded inwards to float32."""
        _check_places(free, image.numel())
        values = image.flatten()[free].to(float64_device(image.device)).double()
        lower, upper = (values - eps).clamp_min(0), (values + eps).clamp_max(1)
        low, high = lower.float(), upper.float()
        low = torch.where(low.double() < lower, low.nextafter(torch.ones_like(low)), low)
        high = torch.where(high.double() > upper, high.nextafter(torch.zeros_like(high)), high)
        return cls(image.float(), label, free, low, high)

    @property
    def box(self) -> tuple[Tensor, Tensor]:
        """Least and largest images, float64 `[1, C, H, W]`."""
        low, high = self.filled(self.lower[None]), self.filled(self.upper[None])
        return low.double(), high.double()

    def filled(self, values: Tensor) -> Tensor:
        """Images with values `[P, D]` in the free pixels, in the type of the values: `[P, C, H, W]`."""
        flat = self.image.to(values).flatten().repeat(len(values), 1)
        flat[:, self.free.to(flat.device)] = values
        return flat.view(len(values), *self.image.shape)

    def rounded(self, values: Tensor) -> Tensor:
        """Values `[P, D]` in float32, inside the bounds."""
        return torch.minimum(torch.maximum(values.float().to(self.lower.device), self.lower), self.upper)


def _check_places(free: Tensor, size: int) -> None:
    places = free.tolist()
    if not places or len(set(places)) < len(places) or min(places) < 0 or max(places) >= size:
        raise ParameterError(f"free pixels {places} must be different places below {size}, at least one")


def most_extreme(image: Tensor, count: int) -> Tensor:
    """The places of the pixels farthest from the image's mean, int64; of equal ones the first.

    Args:
        image: `[C, H, W]`.
        count: how many; all of the image where it has fewer.
    """
    flat = widen(image.flatten())
    return (flat - flat.mean()).abs().sort(descending=True, stable=True).indices[:count]


@dataclass(frozen=True, eq=False)
class Finding:
    """The finding on a region.

    Args:
        verdict: `adversarial`; `safe_general`, no image of the region has another class or ties; `safe_on_grid`, none
            of those looked at has; or `unknown`.
        detail: one line: why, and what the verdict rests on.
        counterexample: the image found, float32 `[C, H, W]`; its margin was checked in float32 by the model itself.
        margin: of the counterexample, or the least of the points looked at; None where none was.
        points: images looked at.
        calls: of the solver.
        seconds: it took.
        data: further figures of the certificate, such as the grid's size and spacing and the Lipschitz bound.
    """

    verdict: Verdict
    detail: str
    counterexample: Tensor | None = None
    margin: float | None = None
    points: int = 0
    calls: int = 0
    seconds: float = 0.0
    data: dict[str, Any] | None = None

    def distances(self, region: Region) -> dict[str, float]:
        """Share of pixels that a counterexample changes, and the l1 and l2 norms of the change; empty without one."""
        if self.counterexample is None:
            return {}
        delta = (self.counterexample.double() - region.image.double()).flatten()
        return {
            "changed": float((delta != 0).double().mean()),
            "l1": float(delta.abs().sum()),
            "l2": float(delta.norm()),
        }


def margins_of(logits: Tensor, label: int) -> Tensor:
    """`min_j z_y - z_j` of logits `[P, K]`."""
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
    return logits[:, label] - others.amax(1)


def first_confirmed(oracle: Oracle, region: Region, values: Tensor) -> tuple[Tensor, float] | None:
    """The first of some points, as an image, that float32 finds on the wrong side or in a tie, and its margin.

    Args:
        oracle: runs the model and counts its passes.
        region: where the points lie.
        values: of the free pixels, `[P, D]`.
    """
    images = region.filled(region.rounded(values))
    logits = oracle.exact(images)
    margin = margins_of(logits, region.label)
    wrong = margin <= TIE * logits.abs().amax(1).clamp_min(1)
    if not bool(wrong.any()):
        return None
    at = int(torch.where(wrong, margin, torch.inf).argmin())
    return images[at].cpu(), float(margin[at])


def lattice(region: Region, steps: int) -> list[Tensor]:
    """Values of each free pixel: `x + i s` for i from -m to m with `s = span / m`, cut with its bounds; each once.

    The span is the longer way from the pixel to a bound, so that both bounds are among the values.

    Args:
        region: the box.
        steps: m, at least 1.
    """
    found = []
    for value, low, high in zip(
        region.image.flatten()[region.free].double(), region.lower.double(), region.upper.double(), strict=True
    ):
        span = torch.maximum(high - value, value - low)
        values = value + torch.arange(-steps, steps + 1, device=value.device) * (span / steps)
        found.append(values.clamp(float(low), float(high)).float().unique())
    return found


def corners(region: Region) -> list[Tensor]:
    """Both bounds of each free pixel."""
    return [a[None] if a == b else torch.stack([a, b]) for a, b in zip(region.lower, region.upper, strict=True)]


def size(axes: list[Tensor]) -> int:
    """Points of the grid."""
    return math.prod(len(a) for a in axes)


def points(axes: list[Tensor], at: Tensor) -> Tensor:
    """The points of the numbers `at` `[P]` in the grid's order, the last axis fastest: `[P, D]`."""
    values, rest = [], at
    for axis in reversed(axes):
        values.append(axis[rest % len(axis)])
        rest = rest // len(axis)
    return torch.stack(values[::-1], 1)


def classify_grid(
    chain: Chain, oracle: Oracle, region: Region, axes: list[Tensor], most: int, name: str = "grid"
) -> Finding:
    """Every point of a grid is classified.

    Margins are computed in float64 from the first linear layer on, of which only the free pixels' columns are needed
    again; whatever lies within float32's rounding of a tie is classified by the model itself.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        axes: values of each free pixel.
        most: points at most; a larger grid is not begun.
        name: what the finding calls the grid.
    """
    began, count = time.perf_counter(), size(axes)
    if count > most:
        return Finding("unknown", f"{name}: {count} points are more than max_points={most}; nothing was looked at")
    slack = margin_rounding(chain, region)
    least, tested = math.inf, 0
    for values, logits in propagate_points(chain, region, axes):
        margin = margins_of(logits, region.label)
        tested += len(values)
        least = min(least, float(margin.min()))
        near = margin <= slack
        if bool(near.any()):
            doubtful = values[near][margin[near].argsort()].to(region.lower.device)
            for piece in torch.split(doubtful, oracle.limit):  # the likeliest first
                found = first_confirmed(oracle, region, piece)
                if found is not None:
                    detail, seconds = f"{name}: a point of {count}", time.perf_counter() - began
                    return Finding("adversarial", detail, *found, tested, 0, seconds)
    return Finding(
        "safe_on_grid",
        f"{name}: none of {count} points has another class; nothing is said of what lies between",
        None,
        least,
        tested,
        0,
        time.perf_counter() - began,
        {"grid": count, "least_margin": least},
    )


def propagate_points(chain: Chain, region: Region, axes: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Points and their logits in float64, chunk by chunk: base + columns * offsets, then the layers left."""
    first = next((i for i, v in enumerate(chain.layers) if not isinstance(v, Affine)), len(chain.layers))
    base = region.filled(region.lower[None]).to(chain.device, torch.float64)
    columns = torch.eye(region.image.numel(), dtype=torch.float64, device=chain.device)[region.free.to(chain.device)]
    columns = columns.view(-1, *region.image.shape)
    for layer in chain.layers[:first]:
        base, columns = layer.forward(base), layer.map(columns)  # type: ignore[attr-defined]
    count, chunk = size(axes), max(1, BUDGET // chain.largest)
    for start in range(0, count, chunk):
        at = torch.arange(start, min(start + chunk, count), device=region.lower.device)
        values = points(axes, at)
        offsets = (values.double() - region.lower.double()).to(chain.device)
        x = base + (offsets @ columns.flatten(1)).view(-1, *base.shape[1:])
        for layer in chain.layers[first:]:
            x = layer.forward(x)
        yield values.to(chain.device), x


def margin_rounding(chain: Chain, region: Region) -> float:
    """How far a margin in float32 may be from the exact one, anywhere in the region."""
    bounds = LinearBounds(chain, on(region.box, chain), refine=False).bounds
    off = rounding(chain, bounds)[0]
    return float(off[region.label] + off.max())


def on(bounds: Bounds, chain: Chain) -> Bounds:
    """Bounds where the chain lies."""
    return bounds[0].to(chain.device), bounds[1].to(chain.device)
