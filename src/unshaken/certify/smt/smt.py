"""Safety verification (DLV): can any image of a small region have another class?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.engine.base import Certifier
from unshaken.certify.engine.layers import Chain
from unshaken.certify.engine.reading import read_chain
from unshaken.certify.smt._exact import Limits, covering, exact, layer_search
from unshaken.certify.smt._region import Finding, Region, classify_grid, corners, lattice, most_extreme
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table

__all__ = ["SMT", "Finding", "Region", "most_extreme"]


class PixelPGD(PGD):
    """PGD that changes only the pixels that a verification leaves free."""

    pixels: PositiveInt

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        ball = Ball.of(clean, eps, norm)
        free = torch.zeros_like(clean, dtype=torch.bool)
        for mask, image in zip(free.flatten(1), clean, strict=True):
            mask[most_extreme(image, self.pixels)] = True
        return ball.replace(lower=torch.where(free, ball.lower, clean), upper=torch.where(free, ball.upper, clean))


@dataclass(frozen=True, slots=True)
class Bisection:
    """Looks for the most free pixels that are proved safe: more pixels make nothing safer.

    Args:
        oracle: of the network.
        most: pixels that are tried.
        seconds: limit of the solver on one number of pixels.
        eps: radius of the free pixels.
    """

    oracle: Oracle
    most: int
    seconds: float
    eps: float

    def largest(self, image: Tensor, label: int) -> tuple[int, int, float]:
        """The number of pixels, calls of the solver, and seconds."""
        began, low, high, calls = time.perf_counter(), 0, self.most + 1, 0
        while high - low > 1:
            middle = (low + high) // 2
            method = SMT(pixels=middle, seconds=self.seconds)
            got = method.verify(self.oracle, method.region(image, label, self.eps))
            calls += got.calls
            low, high = (middle, high) if got.verdict == "safe_general" else (low, middle)
        return low, calls, time.perf_counter() - began


EPS = 0.2
declare_table(
    "verifications",
    "id string, condition string, method string, eps double, mode string, label int64, pixels int64, "
    "verdict string, detail string, margin double, points int64, calls int64, changed double, l1 double, "
    "l2 double, seconds double",
)
"""One row a region: `label` is the class that must win, `pixels` how many are free; the rest as in `Finding`."""


@register("smt", reference="Huang et al. 2017, arXiv:1610.06940")
class SMT(Certifier):
    """SMT verification: decides whether any change of a few pixels within a box can change the class.

    Modes: `exact` decides by linear bounds and a solver (extra `smt`); `covering` proves by a grid whose points reach
    halfway to each other at the margin's Lipschitz bound; `grid` and `corners` look at points and prove nothing else;
    `layer` looks at points of a hidden layer, mapped back. A tie counts as unsafe, and an adversarial image only after
    the model itself has seen it in float32. Only `safe_general` certifies: it holds for exact numbers and for float32.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf",)

    mode: Literal["exact", "grid", "corners", "covering", "layer"] = Field(default="exact", description="see above")
    pixels: PositiveInt = Field(default=10, description="number of free pixels: those farthest from the image's mean")
    places: tuple[int, ...] = Field(
        default=(), description="indices of the free pixels in the flattened image, e.g. 3+17; overrides pixels"
    )
    steps: PositiveInt = Field(default=1, description="m of a grid: each pixel takes 2 m + 1 values", le=1000)
    layer: PositiveInt = Field(default=1, description="hidden layer of mode layer, from 1")
    units: PositiveInt | None = Field(
        default=None, description="number of units searched by mode layer; default as many as free pixels"
    )
    seconds: PositiveFloat = Field(
        default=60.0, description="time limit of the solver per image, in seconds; then the result is unknown"
    )
    memory_mb: int = Field(default=4000, description="memory limit of the solver in MiB", ge=256)
    max_units: PositiveInt = Field(
        default=400, description="maximum number of undecided units; with more the solver is not started"
    )
    max_points: PositiveInt = Field(default=2**20, le=10**12, description="maximum number of grid points")

    def region(self, image: Tensor, label: int, eps: float) -> Region:
        """The free pixels of an image, each within eps of its value and within [0, 1].

        Args:
            image: `[C, H, W]` in [0, 1].
            label: the class that must win.
            eps: in [0, 1] pixel units.

        Raises:
            ParameterError: a place lies outside the image or is named twice.
        """
        free = torch.tensor(self.places) if self.places else most_extreme(image, self.pixels)
        return Region.around(image, label, free.to(image.device), eps)

    def verify(self, model: Classifier | Oracle, region: Region) -> Finding:
        """Whether another class, or a tie, is anywhere in a region.

        Args:
            model: whose layers are known; see `docs/certify/bounds.md`.
            region: of `region`, or with bounds of one's own.

        Raises:
            ModelError: the network has a layer that is not known.
            MissingExtra: z3 is needed and absent.
        """
        oracle = model if isinstance(model, Oracle) else Oracle(model)
        with evaluating(oracle.model):
            return self.verify_region(read_chain(oracle.model, region.image[None]), oracle, region)

    def verify_region(self, chain: Chain, oracle: Oracle, region: Region) -> Finding:
        """The solver's finding over a region; see `verify`.

        Args:
            chain: the network, read once.
            oracle: of the same network, which confirms what the solver finds.
            region: of one image.

        Raises:
            ParameterError: its label is no class of the network.
        """
        if not 0 <= region.label < chain.classes:
            raise ParameterError(f"smt: label {region.label} must lie below {chain.classes}, the number of classes")
        limits = Limits(self.seconds, self.memory_mb, self.max_units)
        with torch.no_grad():
            if self.mode == "exact":
                return exact(chain, oracle, region, limits)
            if self.mode == "layer":
                return layer_search(chain, oracle, region, self.layer, self.steps, self.max_points, limits, self.units)
            if self.mode == "covering":
                return covering(chain, oracle, region, lattice(region, self.steps), self.max_points)
            axes = corners(region) if self.mode == "corners" else lattice(region, self.steps)
            return classify_grid(chain, oracle, region, axes, self.max_points, self.mode)
