"""Gradient ascent on a class, with the step that a wished progress asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.fooling.base import FoolingImages, FoolingSearch
from unshaken.attack.fooling.confidence import LogOdds, TargetLogit, check_known, check_task, log_odds
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating, predict
from unshaken.core.device import widen
from unshaken.core.driver import drive
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur


def without_small(x: Tensor, percentile: float) -> Tensor:
    """Set the pixels to 0 whose norm over channels lies below a percentile of the image's own.

    Args:
        x: deviation from the mean image, `[N, C, H, W]`.
        percentile: 0 to 100; 0 leaves all.

    Returns:
        The same shape.
    """
    return _above_percentile(x, x.norm(dim=1), percentile)


def without_useless(x: Tensor, gradient: Tensor, percentile: float, *, absolute: bool) -> Tensor:
    """Set the pixels to 0 whose first-order benefit of that, `g . (-x)` over channels, lies below a percentile.

    Args:
        x: deviation from the mean image, `[N, C, H, W]`.
        gradient: g, of the objective, in the same shape.
        percentile: 0 to 100; 0 leaves all.
        absolute: go by the benefit's size, so that what matters little either way is set to 0.

    Returns:
        The same shape.
    """
    benefit = (gradient * -x).sum(1)
    return _above_percentile(x, benefit.abs() if absolute else benefit, percentile)


def _above_percentile(x: Tensor, score: Tensor, percentile: float) -> Tensor:
    if percentile == 0:
        return x
    threshold = torch.quantile(score.flatten(1), percentile / 100, dim=1)
    return x * (score >= threshold[:, None, None])[:, None]


CROSSINGS = ("majority", "0.99", "0.999", "0.9999")
"""What the first step is noted of: the class is the largest, then its confidence."""
_THRESHOLDS = torch.tensor([0.99, 0.999, 0.9999]).double().logit()


class AscentState(State):
    """One row an image: its class, its present point and its best ones.

    `x` is the deviation from the mean image, already inside the box; `best` is the best image so far.
    """

    targets: Tensor
    x: Tensor
    best: Tensor
    best_odds: Tensor
    best_step: Tensor
    crossed: Tensor
    curve: Tensor
    step: Tensor
    flat: Tensor


@register("ascent", reference="Nguyen, Yosinski & Clune 2015, arXiv:1412.1897", group="fooling", needs=["gradient"])
class Ascent(FoolingSearch):
    """The ascent: `x <- (x + lr g)(1 - decay)`, `x` the deviation from a mean image, the point clipped to [0, 1].

    `lr = min(lr_max, min(early, late (1 - p)) / |g|^2)`: to first order a step gains `early`, or the share `late` of
    what is missing. The published study without regularisers is `decay=0, early=0.02, late=0.1, steps=500`.
    """

    steps: PositiveInt = Field(default=300, description="gradient steps")
    early: PositiveFloat = Field(default=0.03, description="gain in confidence that a step aims at, far from certainty")
    late: PositiveFloat = Field(default=0.1, description="the same as a share of 1 - p, near certainty")
    lr_max: PositiveFloat = Field(
        default=1e12 / 255**2, description="largest rate; in 0-255 pixels it is 255^2 times this"
    )
    decay: float = Field(default=0.01, ge=0, lt=1, description="share of the deviation that a step takes away")
    objective: Literal["probability", "log-odds", "logit"] = Field(
        default="probability", description="quantity that is maximised"
    )
    begin: Literal["normal", "uniform", "zero"] = Field(
        default="normal", description="the first deviation from the mean"
    )
    blur: float = Field(default=0, ge=0, description="standard deviation of a Gaussian blur in pixels; 0 for none")
    blur_every: PositiveInt = Field(default=1, description="steps from one blur to the next")
    small_norm: float = Field(
        default=0, ge=0, le=100, description="percentile of norms below which pixels go to the mean"
    )
    small_benefit: float = Field(
        default=0, ge=0, le=100, description="the same for the first-order benefit of going there"
    )
    absolute_benefit: bool = Field(default=False, description="go by the size of that benefit, without its sign")

    @override
    def find(
        self,
        oracle: Oracle,
        classes: Sequence[int],
        shape: tuple[int, int, int],
        *,
        generations: int | None = None,
        population: int | None = None,
        seed: int = 0,
    ) -> FoolingImages:
        settings = self._of(generations)
        climbed = ascend(oracle, classes, shape, settings=settings, seed=seed)
        return FoolingImages(climbed.images, climbed.odds, climbed.best_step, {"settings": settings.model_dump()})

    @override
    def check(self, generations: int | None, population: int | None) -> None:
        self._of(generations)

    def _of(self, steps: int | None) -> Ascent:
        return self if steps is None else Ascent(**{**self.model_dump(), "steps": steps})


@dataclass(frozen=True, slots=True)
class AscentResult:
    """Result of ascents, one row a class and start: all starts of the first class come first.

    Args:
        classes: int64 `[N]`.
        images: uint8 `[N, C, H, W]`, the best of each, in 8 bits.
        odds: float64 `[N]`, log-odds of the 8-bit image by a fresh pass.
        prediction: int64 `[N]`, of the 8-bit image.
        best_step: int64 `[N]`: when the best image was met.
        crossed: int64 `[N, 4]`: first step of each of `CROSSINGS`, -1 for never.
        curve: float64 `[N, steps]`: confidence at each step; NaN after the end.
        steps: int64 `[N]`: made before the end, or before the gradient vanished.
    """

    classes: Tensor
    images: Tensor
    odds: Tensor
    prediction: Tensor
    best_step: Tensor
    crossed: Tensor
    curve: Tensor
    steps: Tensor

    @property
    def confidence(self) -> Tensor:
        """Confidence in the 8-bit images, float64 `[N]`."""
        return self.odds.sigmoid()


def progress_rate(p: Tensor, missing: Tensor, squared_norm: Tensor, early: float, late: float, most: float) -> Tensor:
    """The progress rule: `min(most, min(early, late (1 - p)) / |g|^2)`.

    Args:
        p: confidence, any shape.
        missing: `1 - p`, given apart since it does not round to 0.
        squared_norm: `|g|^2`.
        early: see `Ascent`.
        late: see `Ascent`.
        most: the largest rate.

    Returns:
        The rate, the same shape; 0 where the gradient is 0.

    >>> p, one = torch.tensor([0.2, 0.9]).double(), torch.ones(2).double()
    >>> progress_rate(p, 1 - p, one, early=0.03, late=0.1, most=10).numpy().round(6).tolist()
    [0.03, 0.01]
    """
    wanted = (late * missing).clamp(max=early)
    return torch.where(squared_norm > 0, (wanted / squared_norm).clamp(max=most), torch.zeros_like(p))


class _Climb:
    """The ascent as a search of the driver."""

    def __init__(self, settings: Ascent, mean: Tensor) -> None:
        self.settings, self.mean = settings, mean

    def start(self, batch: Batch, rng: SampleRng) -> AscentState:
        """The first deviations."""
        targets, shape = required(batch.labels), batch.images.shape[1:]
        if self.settings.begin == "normal":
            x = rng.fold("begin").normal(*shape) / 255  # deviation 1 in 0-255
        elif self.settings.begin == "uniform":
            x = rng.fold("begin").uniform(*shape).to(self.mean) - self.mean
        else:
            x = torch.zeros_like(batch.images)
        x = self._boxed(x.to(batch.images))
        n, new = len(batch), targets.new_full
        odds = widen(x.new_full((n,), -torch.inf))
        curve = widen(x.new_full((n, self.settings.steps), torch.nan))
        never = new((n,), -1)
        return AscentState(
            targets, x, x + self.mean, odds, never, new((n, 4), -1), curve, new((n,), 0), targets.new_zeros(n).bool()
        )

    def ask(self, state: AscentState) -> Gradient:
        """The gradient of the log-odds, from which that of the confidence follows exactly; or of the logit."""
        of = TargetLogit if self.settings.objective == "logit" else LogOdds
        return Gradient(state.x + self.mean, of=of(state.targets))

    def tell(self, state: AscentState, answer: Answer) -> AscentState:
        """Record the point if it is the best, then step."""
        s = self.settings
        odds = log_odds(required(answer.logits)).gather(1, state.targets[:, None]).flatten()
        p, missing = odds.sigmoid(), (-odds).sigmoid()
        gradient, chain = required(answer.gradient), torch.ones_like(p)
        if s.objective == "probability":
            chain = p * missing  # dp/dx = p (1 - p) d log-odds / dx, which never rounds to 0
        squared = widen(gradient).flatten(1).square().sum(1) * chain.square()
        rate = progress_rate(p, missing, squared, s.early, s.late, s.lr_max)
        x = state.x + (rate * chain).to(gradient)[:, None, None, None] * gradient
        x = self._regularised(x * (1 - s.decay), gradient, state.step)
        state = self._noted(state, odds, required(answer.labels))
        return state.replace(x=self._boxed(x), step=state.step + 1, flat=squared == 0)

    def done(self, state: AscentState) -> Tensor:
        """All steps made, or no gradient."""
        return (state.step >= self.settings.steps) | state.flat

    def result(self, state: AscentState) -> AscentState:
        """The state, which holds the best points."""
        return state

    def goal(self, state: AscentState) -> None:
        """Nobody leaves early: the best of all steps counts."""
        return

    def _noted(self, state: AscentState, odds: Tensor, labels: Tensor) -> AscentState:
        better = odds > state.best_odds
        met = torch.cat([(labels == state.targets)[:, None], odds[:, None] >= _THRESHOLDS.to(odds)], 1)
        curve = state.curve.scatter(1, state.step[:, None], odds.sigmoid()[:, None])
        return state.replace(
            best=torch.where(better[:, None, None, None], state.x + self.mean, state.best),
            best_odds=torch.where(better, odds, state.best_odds),
            best_step=torch.where(better, state.step, state.best_step),
            crossed=torch.where((state.crossed < 0) & met, state.step[:, None], state.crossed),
            curve=curve,
        )

    def _regularised(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        s = self.settings
        if s.blur > 0:
            due = (step + 1) % s.blur_every == 0
            x = torch.where(due[:, None, None, None], gaussian_blur(x, s.blur), x)
        x = without_small(x, s.small_norm)
        return without_useless(x, gradient, s.small_benefit, absolute=s.absolute_benefit)

    def _boxed(self, x: Tensor) -> Tensor:
        return (x + self.mean).clamp(0, 1) - self.mean


def ascend(
    oracle: Oracle,
    classes: Sequence[int],
    shape: tuple[int, int, int],
    *,
    settings: Ascent | None = None,
    mean: Tensor | float = 0.5,
    starts: int = 1,
    seed: int = 0,
) -> AscentResult:
    """Climb from noise to images that the model is sure of.

    Args:
        oracle: runs a model with gradients and counts its passes.
        classes: which.
        shape: channels, height and width of the images.
        settings: of the ascent; default `Ascent()`.
        mean: the mean image, to which decay leads: `[C, H, W]`, `[C, 1, 1]` or a number, in [0, 1].
        starts: ascents a class, from different noise.
        seed: of the noise; that of one class and start depends on nothing else.

    Raises:
        ParameterError: the model has no such class, or a value is not allowed.
        ModelError: the model has no gradient, or answers what is not a number.
    """
    check_task(classes, shape)
    if starts < 1:
        raise ParameterError(f"starts={starts} must be 1 or more")
    centre = _mean_image(mean, shape).to(oracle.device)
    targets = torch.tensor([c for c in classes for _ in range(starts)], device=oracle.device)
    ids = tuple(f"{c}/{i}" for c in classes for i in range(starts))
    images = centre.expand(len(ids), *shape)
    climb = _Climb(settings or Ascent(), centre)
    with evaluating(oracle.model):
        check_known(classes, oracle.exact(images[:1]).shape[1])
        rng = SampleRng(SampleRng.of(seed, "fooling-ascent", ids).keys.to(oracle.device))
        with track("ascent", len(ids)) as task:
            found = drive(climb, Batch(images, targets, ids), oracle, rng, progress=task).result
        if not bool(found.best_odds.isfinite().all()):
            raise ModelError(f"model {oracle.model.name!r} returns NaN for an image in [0, 1]: fix the model first")
        eight_bit = (found.best.clamp(0, 1) * 255).round().to(torch.uint8)
        logits = oracle.exact(eight_bit.float() / 255)
    return AscentResult(
        classes=targets.cpu(),
        images=eight_bit.cpu(),
        odds=log_odds(logits).gather(1, targets[:, None]).flatten().cpu(),
        prediction=predict(logits).cpu(),
        best_step=found.best_step.cpu(),
        crossed=found.crossed.cpu(),
        curve=found.curve.cpu(),
        steps=found.step.cpu(),
    )


def _mean_image(mean: Tensor | float, shape: tuple[int, int, int]) -> Tensor:
    image = torch.as_tensor(mean, dtype=torch.float32)
    try:
        image = image.expand(shape).contiguous()
    except RuntimeError:
        raise ParameterError(f"a mean image of shape {tuple(image.shape)} does not fit images of {shape}") from None
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise ParameterError("the mean image must lie in [0, 1], as the images do")
    return image


CHOICES: dict[str, Sequence[Any]] = {
    "decay": (0, 1e-4, 0.001, 0.01, 0.1, 0.2, 0.3),
    "blur": (0, 0.3, 0.4, 0.5, 1),
    "blur_every": (1, 2, 3, 4),
    "small_norm": (0, 10, 20, 30, 50, 80, 90),
    "small_benefit": (0, 10, 20, 30, 50, 80, 90),
    "absolute_benefit": (False, True),
    "steps": (250, 500, 750, 1000, 1500),
}
"""What each setting is drawn from, all alike."""
LR_MAX = 1e7 / 255**2
"""The largest rate of the search."""


def random_ascents(n: int, *, seed: int = 0, **fixed: Any) -> list[Ascent]:
    """Settings to try, each drawn by itself: the first ten of a hundred are those of ten.

    Args:
        n: how many.
        seed: decides the draws.
        fixed: settings that are given and not drawn, such as `steps=100`.

    Raises:
        ParameterError: n is below 1, or a given setting is not allowed.

    >>> [a.decay for a in random_ascents(2, decay=0.1)]
    [0.1, 0.1]
    """
    if n < 1:
        raise ParameterError(f"n={n} must be 1 or more")
    found = []
    for source in SampleRng.of(seed, "random-ascents", [str(i) for i in range(n)]).generators():
        drawn = {name: _one(values, source) for name, values in CHOICES.items()}
        found.append(Ascent(**{"lr_max": LR_MAX, **drawn, **fixed}))
    return found


def _one(values: Sequence[Any], source: np.random.Generator) -> Any:
    return values[int(source.integers(len(values)))]
