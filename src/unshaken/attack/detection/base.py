"""`DetectionAttack`: what all attacks on detectors of objects share: a projected ascent, its judgement, its rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball, distance
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.engine.task_attack import LastAndBest, TaskAttack
from unshaken.core.batch import Batch
from unshaken.core.boxes import NONE
from unshaken.core.device import widen
from unshaken.core.driver import drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Gradient, Objective
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

FITS = 0.5
"""Overlap from which a detection fits an object."""
SURE = 0.5
"""Score from which a detection says what an object is, so that one of a chosen class has reached it."""
LEAST = 1e-3
"""Score from which a detection counts in objectives; those of lower scores are as good as none."""


def overlap(boxes: Tensor, objects: Tensor) -> Tensor:
    """Intersection over union of every detection with every object of its image; 0 of empty rows.

    Args:
        boxes: `[N, D, 6]`; see `unshaken.core.boxes`.
        objects: `[N, M, 7]`.

    Returns:
        `[N, D, M]`, with gradients to the detections' corners.

    >>> one = torch.tensor([[[0.0, 0, 10, 10, 0, 1]]])
    >>> overlap(one, torch.tensor([[[1.0, 1, 11, 11, 0, 0, 100]]])).round(decimals=6).tolist()
    [[[0.6806719899177551]]]
    """
    ours, theirs = boxes[:, :, None, :4], objects[:, None, :, :4].to(boxes)
    low, high = torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    union = _area(ours) + _area(theirs) - inside
    there = is_there(boxes)[:, :, None] & is_there(objects)[:, None]
    return torch.where(there & (union > 0), inside / union.clamp(min=1e-9), 0.0)


def is_there(boxes: Tensor) -> Tensor:
    """Which rows are not empty, bool `[N, M]`."""
    return boxes[..., 4] > NONE / 2


def of_same_class(boxes: Tensor, objects: Tensor) -> Tensor:
    """Which detections have the class of which objects, bool `[N, D, M]`; empty rows have none."""
    same = boxes[:, :, None, 4] == objects[:, None, :, 4].to(boxes)
    return same & is_there(boxes)[:, :, None]


def fits(boxes: Tensor, objects: Tensor) -> Tensor:
    """Which detections overlap which objects by a half and more, whatever their classes, bool `[N, D, M]`."""
    return overlap(boxes.detach(), objects) >= FITS


def log_score(boxes: Tensor) -> Tensor:
    """`log(s / LEAST)` of each detection's score s, 0 below `LEAST` and of empty rows, `[N, D]`."""
    return torch.where(is_there(boxes), (boxes[..., 5].clamp(LEAST, 1) / LEAST).log(), 0.0)


def log_absence(boxes: Tensor) -> Tensor:
    """`log(1 - s)` of each detection's score s: the log-probability that it is none; 0 of empty rows, `[N, D]`."""
    return torch.where(is_there(boxes), (1 - (1 - 1e-6) * boxes[..., 5].clamp(0, 1)).log(), 0.0)


def with_a_row(objects: Tensor) -> Tensor:
    """The same objects `[N, M, 7]`, M at least 1, so that a largest value over them exists."""
    return objects if objects.shape[1] else F.pad(objects, (0, 0, 0, 1), value=NONE)


def with_classes(objects: Tensor, targets: Tensor | None) -> Tensor:
    """The same objects, each with the class that is chosen for its own, `[N, M, 7]`; empty rows where there is none.

    Args:
        objects: `[N, M, 7]`.
        targets: int64 `[N, K]`, -1 where there is none; None for none at all.
    """
    if targets is None:
        return torch.full_like(objects, NONE)
    own, k = objects[..., 4].long(), targets.shape[1]
    named = targets.to(own).gather(1, own.clamp(0, k - 1))
    chosen = is_there(objects) & (own >= 0) & (own < k) & (named >= 0)
    moved = torch.cat([objects[..., :4], named[..., None].to(objects), objects[..., 5:]], dim=-1)
    return torch.where(chosen[..., None], moved, NONE)


def _area(corners: Tensor) -> Tensor:
    size = corners[..., 2:] - corners[..., :2]
    return size[..., 0] * size[..., 1]


class DetectionProblem(State):
    """Facts of each sample for an attack on a detector.

    Args:
        ball: the budget.
        objects: those of the image, `[N, M, 7]`, M at least 1; see `unshaken.core.boxes`. Where classes are chosen,
            objects that are to have none are empty rows.
        found: detections of the unchanged image, `[N, D, 6]`.
        aimed: the objects with the classes under which they are to be found, `[N, M, 7]`; empty rows for those that
            are to have none.
        toward: whether these were chosen; else they were drawn.
    """

    ball: Ball
    objects: Tensor
    found: Tensor
    aimed: Tensor
    toward: bool


class DetectionState(State):
    """One row a sample: its problem, the current point, and the best one so far with its objective."""

    problem: DetectionProblem
    x: Tensor
    best: Tensor
    value: Tensor
    step: Tensor


class DetectionResult(State):
    """Result of an attack on each sample, in the order of the batch.

    Args:
        images: `[N, C, H, W]`, inside the budget and [0, 1].
        outputs: of the exact model by a fresh float32 pass on them, `[N, D, 6]`.
        value: the attack's objective on these outputs, `[N]`; never below that of the unchanged image.
        distance: norm of the change, float64 `[N]`.
        forwards: passes of this budget, int64 `[N]`.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
    """

    images: Tensor
    outputs: Tensor
    value: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


class DetectionAttack(TaskAttack[DetectionResult]):
    """Base class of attacks on detectors of objects: projected ascent on an objective of the detections.

    A subclass says what rises. Gradients reach the scores and corners of detections that the model puts out: what its
    threshold or its suppression of overlapping boxes has removed gives none. Of all points of the search the best and
    the last are judged by fresh float32 passes of the exact model, and that of the larger objective stands, or the
    unchanged image if it is neither.
    """

    tasks: ClassVar[tuple[str, ...]] = ("detection",)
    needs_labels: ClassVar[bool] = False

    @override
    def count_reached(self, outputs: Tensor, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Objects, crowds left out, and those whose surest detection is one of their target of a score of `SURE`."""
        objects, k = with_a_row(required(batch.boxes)), targets.shape[1]
        aimed = with_classes(objects, targets)
        counted = is_there(aimed) & (aimed[..., 5] <= 0)
        scores = torch.where(fits(outputs, objects), outputs[..., 5, None], 0.0)  # [N, D, M]
        score, best = scores.max(1) if outputs.shape[1] else (torch.zeros_like(aimed[..., 4]), None)
        hit = torch.zeros_like(counted)
        if best is not None:
            hit = counted & (score >= SURE) & (outputs[..., 4].gather(1, best) == aimed[..., 4].to(outputs))
        own = objects[..., 4].long().clamp(0, k - 1)
        empty = torch.zeros_like(targets)
        return empty.scatter_add(1, own, counted.to(empty)), empty.scatter_add(1, own, hit.to(empty))

    @abstractmethod
    def objective(self, problem: DetectionProblem) -> Objective:
        """The objective to be raised: detections `[N, D, 6]`, an answer's `logits`, to `[N]`, with gradients."""

    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        """The set that is searched."""
        return Ball.of(clean, eps, norm)

    @override
    def check_batch(self, batch: Batch) -> None:
        if batch.boxes is None:
            raise ParameterError(f"{self.info.name}: the data has no boxes; give a file of them by the option boxes")

    @override
    def search(
        self,
        oracle: Oracle,
        batch: Batch,
        norm: str,
        eps: float,
        seed: int,
        outputs: Tensor,
        previous: DetectionResult | None,
        targets: Tensor | None,
    ) -> DetectionResult:
        clean, rng = batch.images, SampleRng.of(seed, self.info.name, batch.ids).to(batch.images.device)
        ball = self.ball(clean, torch.full((len(batch),), eps, device=clean.device), norm, rng)
        objects, count = with_a_row(required(batch.boxes)), len(oracle.model.classes)
        drawn = None
        if targets is None and count > 1:
            drawn = (torch.arange(count, device=clean.device) + rng.fold("class").integers(1, count, 1)) % count
        aimed = with_classes(objects, drawn if targets is None else targets)
        if targets is not None:
            objects = torch.where(is_there(aimed)[..., None], objects, NONE)
        problem = DetectionProblem(ball, objects, outputs, aimed, targets is not None)
        nothing = torch.zeros(len(batch), dtype=torch.int64, device=clean.device)
        objective = self.objective(problem)
        with torch.no_grad():
            value = objective(Answer(logits=outputs)).nan_to_num(-math.inf)
        result = previous or DetectionResult(clean, outputs, value, widen(nothing), nothing, nothing, widen(nothing))
        result = result.replace(forwards=nothing, backwards=nothing, seconds=widen(nothing))
        if not len(batch) or eps == 0:
            return result
        outcome = drive(_Ascent(self), problem, oracle, rng)
        for x in (outcome.result.last, outcome.result.best):
            found = oracle.exact(x)
            with torch.no_grad():
                value = objective(Answer(logits=found)).nan_to_num(-math.inf)
            better = (value > result.value) & ball.contains(x)
            result = result.replace(
                images=torch.where(_wide(better, x), x, result.images),
                outputs=torch.where(_wide(better, found), found, result.outputs),
                value=torch.where(better, value, result.value),
            )
        return result.replace(
            distance=distance(result.images, clean, norm),
            forwards=outcome.forwards + 2,
            backwards=outcome.backwards,
            seconds=outcome.seconds,
        )

    def start(self, problem: DetectionProblem, rng: SampleRng) -> DetectionState:
        """A random point of the ball, or the unchanged image."""
        x = problem.ball.random_point(rng) if self.random_start else problem.ball.clean
        none = torch.full_like(problem.ball.eps, -math.inf)
        return DetectionState(problem, x, problem.ball.clean, none, torch.zeros_like(none, dtype=torch.int64))

    @abstractmethod
    def move(self, state: DetectionState, gradient: Tensor) -> Tensor:
        """The next point, inside the ball."""

    def finished(self, state: DetectionState, outputs: Tensor) -> Tensor:
        """Bool `[N]`: nothing more to gain at the current point, whose detections are given."""
        return torch.zeros_like(state.step, dtype=torch.bool)


class DetectionAscent(StepLength, DetectionAttack):
    """Base class of attacks on detectors under a norm whose steps go along its steepest direction."""

    @override
    def move(self, state: DetectionState, gradient: Tensor) -> Tensor:
        ball = state.problem.ball
        return ball.project(state.x + self.step_length(ball) * ball.steepest(gradient, state.x))


class _Ascent:
    """A `DetectionAttack` as a search of the driver."""

    def __init__(self, attack: DetectionAttack) -> None:
        self.attack = attack

    def start(self, samples: DetectionProblem, rng: SampleRng) -> DetectionState:
        """Each sample's first state."""
        return self.attack.start(samples, rng)

    def ask(self, state: DetectionState) -> Gradient:
        """The gradient of the objective at the current point."""
        return Gradient(state.x, of=self.attack.objective(state.problem))

    def tell(self, state: DetectionState, answer: Answer) -> DetectionState:
        """The best point so far, and the next one."""
        value = required(answer.value).nan_to_num(-math.inf)
        better = value > state.value
        over = self.attack.finished(state, required(answer.logits))
        x = self.attack.move(state, required(answer.gradient).nan_to_num(0.0))
        return state.replace(
            x=torch.where(_wide(over, x), state.x, x),
            best=torch.where(_wide(better, x), state.x, state.best),
            value=torch.where(better, value, state.value),
            step=torch.where(over, self.attack.steps, state.step + 1),
        )

    def done(self, state: DetectionState) -> Tensor:
        """All steps made."""
        return state.step >= self.attack.steps

    def result(self, state: DetectionState) -> LastAndBest:
        """The last point, and the best one."""
        return LastAndBest(state.x, state.best)

    def goal(self, state: DetectionState) -> Goal | None:
        """None: an attack on detections goes on to its own end."""
        return None


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(-1, *(1,) * (like.ndim - 1))
