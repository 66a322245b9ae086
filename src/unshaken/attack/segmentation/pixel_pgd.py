"""PGD on a class for each pixel: projected ascent on the mean cross-entropy of an image's pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball, distance
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.engine.targets import RULES
from unshaken.attack.engine.task_attack import LastAndBest, TaskAttack
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.driver import drive
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Gradient, Objective
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


def wrong_pixels(logits: Tensor, masks: Tensor) -> Tensor:
    """Share of the labelled pixels of each image that are given another class, `[N]`; 0 where none is labelled.

    Args:
        logits: `[N, K, H, W]`.
        masks: int64 `[N, H, W]`; pixels of `IGNORED` are left out.
    """
    known = masks != IGNORED
    wrong = (predict(logits.movedim(1, -1)) != masks) & known
    return wrong.flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


def goal_masks(masks: Tensor, targets: Tensor) -> Tensor:
    """The class that each pixel is to be given, int64 `[N, H, W]`; `IGNORED` where there is none.

    Args:
        masks: its own class, int64 `[N, H, W]`.
        targets: of each class, int64 `[N, K]`; -1 where there is none.
    """
    known = masks != IGNORED
    named = targets.gather(1, masks.masked_fill(~known, 0).flatten(1)).view_as(masks)
    return torch.where(known & (named >= 0), named, IGNORED)


class PixelCrossEntropy(Objective):
    """Mean cross-entropy over the labelled pixels in nats, with pixels that are won already weighed apart.

    Args:
        masks: int64 `[N, H, W]`.
        weight: of pixels that are won, in [0, 1], `[N]`; others weigh one less it. None for the plain mean.
        toward: masks are what pixels are to be given: a pixel is won when it has its class, and the mean is to fall,
            so that its negative is taken. Else it is won when it has another.
    """

    masks: Tensor
    weight: Tensor | None = None
    toward: bool = False

    @override
    def __call__(self, answer: Answer) -> Tensor:
        logits = required(answer.logits)
        losses = F.cross_entropy(logits, self.masks, reduction="none", ignore_index=IGNORED)
        if self.weight is not None:
            weight = self.weight.to(losses).view(-1, 1, 1)
            won = (logits.argmax(1) == self.masks) == self.toward
            losses = losses * torch.where(won, weight, 1 - weight)
        mean = losses.flatten(1).sum(1) / (self.masks != IGNORED).flatten(1).sum(1).clamp_min(1)
        return -mean if self.toward else mean


class PixelProblem(State):
    """Facts of each sample for the attack.

    Args:
        ball: its budget.
        masks: the class of each pixel, or the one to reach, `[N, H, W]`.
        toward: whether it is the one to reach.
    """

    ball: Ball
    masks: Tensor
    toward: bool = False

    def won(self, logits: Tensor) -> Tensor:
        """Share of the pixels that are wrong, or that have the class to reach, `[N]`; 1 where none is to reach one."""
        wrong = wrong_pixels(logits, self.masks)
        return 1 - wrong if self.toward else wrong


class PixelState(State):
    """One row a sample: its problem, the current point, the most damaging one so far, and the share won there."""

    problem: PixelProblem
    x: Tensor
    best: Tensor
    won: Tensor
    step: Tensor


class PixelResult(State):
    """Result of an attack on each sample, in the order of the batch.

    Args:
        images: `[N, C, H, W]`, inside the budget and [0, 1].
        outputs: of the exact model by a fresh float32 pass on them, `[N, K, H, W]`.
        won: share of the labelled pixels that are wrong, or of those with a target that are given it, `[N]`; never
            below that of the unchanged image.
        distance: norm of the change, float64 `[N]`.
        forwards: passes of this budget, int64 `[N]`.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
    """

    images: Tensor
    outputs: Tensor
    won: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


@register(
    "pixel-pgd",
    title="pixel PGD",
    reference="Madry et al. 2018, arXiv:1706.06083; Gu et al. 2022, arXiv:2207.12391 (SegPGD)",
)
class PixelPGD(StepLength, TaskAttack[PixelResult]):
    """PGD on pixels' classes: raises the mean cross-entropy, so that as many pixels as possible become wrong.

    `segpgd` begins with the pixels that are right and lets the others count more from step to step, at last as much.
    Of all points the last and the one with most wrong pixels are judged by fresh float32 passes; the worse one stands,
    or what a smaller budget found, or the unchanged image. With targets as many pixels as possible are to be given the
    class that is chosen for those of their class.
    """

    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    needs_labels: ClassVar[bool] = True
    reaches_targets: ClassVar[bool] = True
    target_rules: ClassVar[tuple[str, ...]] = tuple(RULES)

    loss: Literal["ce", "segpgd"] = Field(
        default="segpgd", description="loss to maximise: the plain mean over pixels, or that of SegPGD"
    )

    @override
    def check_batch(self, batch: Batch) -> None:
        if batch.labels is None or batch.labels.ndim != 3:
            raise ParameterError(f"{self.info.name}: the data has no masks; give a class for each pixel, as masks:DIR")

    @override
    def search(
        self,
        oracle: Oracle,
        batch: Batch,
        norm: str,
        eps: float,
        seed: int,
        outputs: Tensor,
        previous: PixelResult | None,
        targets: Tensor | None,
    ) -> PixelResult:
        clean, masks = batch.images, required(batch.labels)
        zeros = torch.zeros(len(batch), dtype=torch.int64, device=clean.device)
        ball = Ball.of(clean, torch.full((len(batch),), eps, device=clean.device), norm)
        goals = masks if targets is None else goal_masks(masks, targets)
        problem = PixelProblem(ball, goals, targets is not None)
        result = previous or PixelResult(clean, outputs, problem.won(outputs), widen(zeros), zeros, zeros, widen(zeros))
        result = result.replace(forwards=zeros, backwards=zeros, seconds=widen(zeros))
        if eps == 0 or not len(batch):
            return result
        rng = SampleRng.of(seed, self.info.name, batch.ids).to(clean.device)
        outcome = drive(_Ascent(self), problem, oracle, rng)
        for x in (outcome.result.last, outcome.result.best):
            logits = oracle.exact(x)
            won = problem.won(logits)
            better = ((won > result.won) & ball.contains(x)).view(-1, 1, 1, 1)
            result = result.replace(
                images=torch.where(better, x, result.images),
                outputs=torch.where(better, logits, result.outputs),
                won=torch.where(better.flatten(), won, result.won),
            )
        return result.replace(
            distance=distance(result.images, clean, norm), forwards=outcome.forwards + 2,
            backwards=outcome.backwards, seconds=outcome.seconds,
        )  # fmt: skip

    @override
    def class_scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        k = outputs.shape[1]
        found = outputs.new_zeros(len(batch), k, k)
        for scores, logits, mask in zip(found, outputs.movedim(1, -1), required(batch.labels), strict=True):
            known = (mask != IGNORED) & (mask < k)
            scores.index_add_(0, mask[known], logits[known])
            scores /= mask[known].bincount(minlength=k).clamp_min(1)[:, None]
        return found

    @override
    def count_reached(self, outputs: Tensor, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
        masks, k = required(batch.labels), targets.shape[1]
        goals = goal_masks(masks, targets)
        hit = (goals != IGNORED) & (predict(outputs.movedim(1, -1)) == goals)
        return tuple(  # type: ignore[return-value]
            torch.stack([own[which].bincount(minlength=k) for own, which in zip(masks, some, strict=True)])
            for some in (goals != IGNORED, hit)
        )


class _Ascent:
    """The attack as a search of the driver."""

    def __init__(self, attack: PixelPGD) -> None:
        self.attack = attack

    def start(self, samples: PixelProblem, rng: SampleRng) -> PixelState:
        """A random point of the ball, or the unchanged image."""
        ball = samples.ball
        x = ball.random_point(rng) if self.attack.random_start else ball.clean
        none = torch.full_like(ball.eps, -1.0)
        return PixelState(samples, x, ball.clean, none, torch.zeros_like(rng.keys))

    def ask(self, state: PixelState) -> Gradient:
        """The gradient of the loss; step t of T weighs pixels that are won by `t / 2T`."""
        weight = state.step / (2 * self.attack.steps) if self.attack.loss == "segpgd" else None
        return Gradient(state.x, of=PixelCrossEntropy(state.problem.masks, weight, state.problem.toward))

    def tell(self, state: PixelState, answer: Answer) -> PixelState:
        """The most damaging point so far, and a step along the norm's steepest direction, back into the ball."""
        ball, won = state.problem.ball, state.problem.won(required(answer.logits))
        better = won > state.won
        direction = ball.steepest(required(answer.gradient), state.x)
        x = ball.project(state.x + self.attack.step_length(ball) * direction)
        best = torch.where(better.view(-1, 1, 1, 1), state.x, state.best)
        return state.replace(x=x, best=best, won=torch.where(better, won, state.won), step=state.step + 1)

    def done(self, state: PixelState) -> Tensor:
        """All steps made, or every pixel won at a point that was asked about."""
        return (state.step >= self.attack.steps) | (state.won >= 1)

    def result(self, state: PixelState) -> LastAndBest:
        """The last point, and the most damaging one."""
        return LastAndBest(state.x, state.best)

    def goal(self, state: PixelState) -> Goal | None:
        """None: an attack on pixels goes on to its own end."""
        return None
