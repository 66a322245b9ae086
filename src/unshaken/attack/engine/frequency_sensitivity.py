"""Frequencies of images that a model uses: its accuracy on low or high ones, and under noise of a single one.

Radii are in bins of the 2-D DFT, as in `unshaken.measure.robustness.frequency`, and belong to one image size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.classifier import predict as predicted_classes
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.measure.robustness.accuracy import accuracy
from unshaken.measure.statistics.intervals import Figure
from unshaken.stress.engine.filters import band_pass, high_pass, low_pass

Predict = Callable[[Tensor], Tensor]
"""From images `[N, C, H, W]` in [0, 1] to logits `[N, K]`, such as `Oracle.exact`."""


def pass_curve(
    predict: Predict, images: Tensor, labels: Tensor, radii: Sequence[float], *, keep: str = "low"
) -> dict[float, Figure]:
    """Accuracy on what is left of the images inside (or outside) each radius.

    Args:
        predict: see `Predict`; what it is given is clipped to [0, 1].
        images: `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`.
        radii: in bins.
        keep: `low` or `high`.

    Raises:
        ParameterError: `keep` is neither.
    """
    if keep not in ("low", "high"):
        raise ParameterError(f"keep={keep!r} must be low or high")
    cut = low_pass if keep == "low" else high_pass
    found = {}
    for radius in radii:
        right = predicted_classes(predict(cut(images, radius).clamp(0, 1))) == labels
        found[radius] = accuracy(right.cpu().numpy())
    return found


def fourier_pattern(height: int, width: int, row: int, column: int) -> Tensor:
    """The real pattern of one frequency (and its mirror), of l2 norm 1, `[H, W]`.

    Args:
        height: of the image in pixels.
        width: likewise.
        row: cycles over the height, -H/2 to H/2.
        column: cycles over the width.
    """
    phase = (
        2
        * torch.pi
        * (
            row * torch.arange(height, dtype=torch.float64)[:, None] / height
            + column * torch.arange(width, dtype=torch.float64)[None] / width
        )
    )
    wave = torch.cos(phase) + torch.sin(phase)  # never nothing, whichever the frequency
    unit: Tensor = wave / torch.linalg.vector_norm(wave)
    return unit


def fourier_heat_map(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    norm: float,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    radius: int | None = None,
) -> Tensor:
    """The error under noise of a single frequency, for every frequency: rows and columns shifted, zero in the middle.

    Args:
        predict: see `Predict`.
        images: `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`.
        norm: l2 norm of the noise in each channel, in [0, 1] pixel units; its sign is drawn for each image and channel.
        ids: of the samples, for the signs; None: their numbers.
        seed: of the signs.
        radius: largest frequency in both directions; None: all.

    Returns:
        `[2 R + 1, 2 R + 1]` in [0, 1]. A frequency and its mirror are the same noise up to its phase, so half of the
        map is measured and the other half is its mirror.

    Raises:
        ParameterError: the norm is not above 0, or the radius is beyond the grid.
    """
    height, width = images.shape[-2:]
    most = min(height, width) // 2
    reach = most if radius is None else radius
    if not norm > 0:
        raise ParameterError(f"norm={norm!r} must be above 0")
    if not 0 <= reach <= most:
        raise ParameterError(f"radius={reach} must be 0 to {most} for images of {height} x {width}")
    names = [str(i) for i in range(len(images))] if ids is None else list(ids)
    rng = SampleRng.of(seed, "fourier-heat-map", names)
    found = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for row in range(reach + 1):
        for column in range(-reach, reach + 1):
            sign = rng.fold(row).fold(column).uniform(images.shape[1]).sub(0.5).sign()[..., None, None]
            noise = norm * fourier_pattern(height, width, row, column)
            noisy = (images + sign.to(images) * noise.to(images)).clamp(0, 1)
            error = float(widen(predicted_classes(predict(noisy)) != labels).mean())
            found[reach + row, reach + column] = found[reach - row, reach - column] = error
    return found


class BandLimitedPGD(PGD):
    """`x <- P(clean + B(x + a s(g) - clean))`, B the band `low < rho <= high`, P the ball cut with the box.

    The projection after the band may leave the band a little, where the ball or the box cuts.
    """

    low: float = Field(default=-1.0, description="lower end of the band in bins; below 0 the mean is free too")
    high: NonNegativeFloat = Field(default=8.0, description="upper end of the band in bins")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        state = super().start(problem, rng)
        ball = problem.ball
        return state.replace(x=ball.project(ball.clean + band_pass(state.x - ball.clean, self.low, self.high)))

    @override
    def tell(self, state: PGDState, answer: Answer) -> PGDState:
        ball = state.problem.ball
        direction = ball.steepest(required(answer.gradient), state.x)
        change = state.x + self.step_length(ball) * direction - ball.clean
        x = ball.project(ball.clean + band_pass(change, self.low, self.high))
        return state.replace(x=x, step=state.step + 1)
