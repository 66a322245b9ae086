"""Carlini and Wagner's attack: Adam in tanh space on the squared norm and a hinge, with a search for its weight."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import margin
from unshaken.attack.engine.problem import Problem
from unshaken.core.classifier import predict
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

GUARD = 1 - 1e-6
"""Keeps w finite, so that pixels of exactly 0 or 1 can move."""
LARGEST_C = 1e10
"""In the place of an upper bound of c that was never found."""


class Hinge(Objective):
    """`c max(z_y - max_{k != y} z_k + kappa, 0)`; with targets t `c max(max_{k != t} z_k - z_t + kappa, 0)`; to fall.

    Args:
        labels: int64 `[N]`: labels y, or targets t.
        c: weights `[N]`.
        targeted: which of the two.
        kappa: confidence asked for, in logits.
    """

    labels: Tensor
    c: Tensor
    targeted: bool
    kappa: float

    @override
    def __call__(self, answer: Answer) -> Tensor:
        lead = margin(required(answer.logits), self.labels)
        return self.c * ((-lead if self.targeted else lead) + self.kappa).clamp_min(0)


class Weight(State):
    """The search for the smallest c whose run of Adam finds an example, one row a sample.

    Args:
        c: of the current run, `[N]`.
        lower: largest c that failed.
        upper: smallest c that succeeded, infinite before the first.
        runs: ended, int64 `[N]`.
    """

    c: Tensor
    lower: Tensor
    upper: Tensor
    runs: Tensor

    @classmethod
    def of(cls, c: Tensor) -> Weight:
        """Before the first run."""
        return cls(c, torch.zeros_like(c), torch.full_like(c, math.inf), torch.zeros_like(c, dtype=torch.int64))

    def next(self, ended: Tensor, found: Tensor, search_steps: int) -> Weight:
        """After a run: halve the interval, or ten times c while nothing has been found.

        Of ten runs or more, the last one has `c = upper`.

        Args:
            ended: bool `[N]`: whose run has ended; the others stay.
            found: bool `[N]`: whose run has found an example.
            search_steps: runs in all.
        """
        upper = torch.where(ended & found, torch.minimum(self.upper, self.c), self.upper)
        lower = torch.where(ended & ~found, torch.maximum(self.lower, self.c), self.lower)
        runs = self.runs + ended
        c = torch.where(upper < math.inf, (lower + upper) / 2, 10 * self.c)
        if search_steps >= 10:
            c = torch.where(runs == search_steps - 1, upper.clamp_max(LARGEST_C), c)
        return Weight(torch.where(ended, c, self.c), lower, upper, runs)


def tanh_space(x: Tensor) -> Tensor:
    """`atanh((2x - 1)(1 - 1e-6))`, of pixels in [0, 1]."""
    return x.mul(2).sub_(1).mul_(GUARD).atanh_()


def image_space(w: Tensor) -> Tensor:
    """`(tanh(w) + 1) / 2`, written as a sigmoid, which keeps small values exact.

    >>> round(float(image_space(tanh_space(torch.tensor(0.25)))), 5)
    0.25
    """
    return torch.sigmoid(2 * w)


PROGRESS = 0.9999
"""A run of Adam ends where a tenth of its steps did not bring the loss below this share."""
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8
"""Adam's decay rates and epsilon."""


class CarliniWagnerState(State):
    """One row a sample; `w`, `m`, `v` and `best` are written over at each step.

    Args:
        problem: its task.
        weight: the search for c.
        x: the current point; the nearest example, or the clean image, when the search is over.
        w: the current point in tanh space.
        m: Adam's mean of gradients by w.
        v: Adam's mean of their squares.
        origin: `x(w_0)`, the clean image within the guard.
        step: queries of this run of Adam.
        found: whether this run has found an example.
        before: the loss at the last check.
        best: the nearest example, or the clean image.
        least: squared norm of its change, infinite before the first.
        low: the largest share of the way to `best` that is known not to fool, once all runs are over.
        polished: queries of shorter ways.
    """

    problem: Problem
    weight: Weight
    x: Tensor
    w: Tensor
    m: Tensor
    v: Tensor
    origin: Tensor
    step: Tensor
    found: Tensor
    before: Tensor
    best: Tensor
    least: Tensor
    low: Tensor
    polished: Tensor


@register("carlini-wagner", title="Carlini Wagner", reference="Carlini & Wagner 2017, arXiv:1608.04644")
class CarliniWagner(Attack[CarliniWagnerState]):
    """Carlini and Wagner's attack: finds an adversarial example with a small l2 norm, by Adam.

    With `x' = (tanh(w) + 1) / 2` it lowers `|x' - x|_2^2 + c max(z_y - max_{k != y} z_k + kappa, 0)` from
    `w_0 = atanh((2x - 1)(1 - 1e-6))`, in `search_steps` runs with another c each. The nearest example of all runs is
    kept. A sample's run ends for itself when a tenth of its steps brought less than a ten-thousandth, and its next run
    starts at once. In the end the way from the clean image to the nearest example is halved `polish` times, for the
    nearest point on it that fools: the published attack ends without, where its last step happened to be.

    The published setting is 10,000 steps a run; 1,000 is the default here. Black and white pixels have a way of about 7
    in w before they are grey, which takes 700 steps of 0.01, and while they are far from it the loss may fall too
    little for the rule that ends runs: where an image has many, take more steps, or larger ones.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    minimal: ClassVar[bool] = True

    steps: PositiveInt = Field(default=1000, description="maximum number of Adam steps in each run")
    search_steps: PositiveInt = Field(default=9, description="number of runs in the binary search for the weight c")
    initial_c: PositiveFloat = Field(default=1e-3, description="weight c of the logit term in the first run")
    lr: PositiveFloat = Field(default=0.01, description="Adam's rate, in tanh space")
    kappa: NonNegativeFloat = Field(default=0.0, description="confidence: margin of logits that an example must reach")
    polish: NonNegativeInt = Field(
        default=8, description="bisection steps towards the clean image at the end; 0 as published"
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> CarliniWagnerState:
        clean = problem.ball.clean
        w = tanh_space(clean)
        c = clean.new_full((len(clean),), self.initial_c)
        origin, none = image_space(w), torch.full_like(c, math.inf)
        zero = torch.zeros_like(problem.labels)
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        best, low = clean.clone(), torch.zeros_like(c)
        weight = Weight.of(c)
        return CarliniWagnerState(
            problem, weight, origin, w, m, v, origin, zero, zero.bool(), none, best, none.clone(), low, zero
        )

    @override
    def ask(self, state: CarliniWagnerState) -> Gradient:
        problem = state.problem
        return Gradient(state.x, of=Hinge(problem.labels, state.weight.c, problem.targeted, self.kappa))

    @override
    def tell(self, state: CarliniWagnerState, answer: Answer) -> CarliniWagnerState:
        change = state.x - state.origin
        size = change.flatten(1).square().sum(1)
        hit = self._leads(state.problem, required(answer.logits))
        better = hit & (size < state.least)
        if bool(better.any()):
            state.best[better] = state.x[better]
        least = torch.where(better, size, state.least)
        loss = required(answer.value) + size
        check = state.step % math.ceil(self.steps / 10) == 0
        over = self._over(state)
        ended = ~over & (check & ~(loss <= PROGRESS * state.before)) | (state.step + 1 >= self.steps)
        state = state.replace(
            x=self._adam(state, required(answer.gradient), change),
            step=state.step + 1,
            found=state.found | hit,
            before=torch.where(check, loss, state.before),
            least=least,
        )
        state = self._next_run(state, ended) if bool(ended.any()) else state
        return self._polish(state, over, hit) if bool(over.any()) else state

    @override
    def done(self, state: CarliniWagnerState) -> Tensor:
        return self._over(state) & ((state.polished >= self.polish) | (state.least == math.inf))

    @override
    def result(self, state: CarliniWagnerState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        queries = self.steps * self.search_steps + self.polish
        return queries, queries

    def _over(self, state: CarliniWagnerState) -> Tensor:
        return state.weight.runs >= self.search_steps

    def _polish(self, state: CarliniWagnerState, rows: Tensor, hit: Tensor) -> CarliniWagnerState:
        """After the query of a point on the way to the nearest example: halve the rest of the way.

        `rows` has the samples that queried such a point, `hit` those that it fooled: there it is `state.best`.
        """
        share = (1 + state.low) / 2
        low = torch.where(rows, torch.where(hit, state.low / share, share), state.low)
        polished = state.polished + rows
        x = torch.where((polished < self.polish).view(-1, 1, 1, 1), self._on_the_way(state, low), state.best)
        return state.replace(x=torch.where(rows.view(-1, 1, 1, 1), x, state.x), low=low, polished=polished)

    @staticmethod
    def _on_the_way(state: CarliniWagnerState, low: Tensor) -> Tensor:
        return torch.lerp(state.problem.ball.clean, state.best, ((1 + low) / 2).view(-1, 1, 1, 1))

    def _leads(self, problem: Problem, logits: Tensor) -> Tensor:
        """Bool `[N]`: another class leads the label, or the target all others, by more than kappa."""
        kappa = -self.kappa if problem.targeted else self.kappa
        if kappa:
            logits = logits.scatter_add(1, problem.labels[:, None], torch.full_like(logits[:, :1], kappa))
        return (predict(logits) == problem.labels) == problem.targeted

    def _adam(self, state: CarliniWagnerState, gradient: Tensor, change: Tensor) -> Tensor:
        """The next point by the hinge's gradient and `change = x - origin`; each sample has a count of its own.

        `w`, `m`, `v`, `gradient` and `change` are written over.
        """
        x, w, m, v = state.x, state.w, state.m, state.v
        gradient.add_(change, alpha=2).mul_(torch.addcmul(x, x, x, value=-1).mul_(2))  # dx / dw = 2 x (1 - x)
        m.lerp_(gradient, 1 - BETA1)
        v.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        count = (state.step + 1).to(w)
        rate = (-self.lr / (1 - BETA1**count)).view(-1, 1, 1, 1)
        spread = torch.sqrt(v, out=change).div_((1 - BETA2**count).sqrt().view(-1, 1, 1, 1)).add_(TINY)
        w.addcdiv_(torch.mul(m, rate, out=gradient), spread)
        return image_space(w)

    def _next_run(self, state: CarliniWagnerState, ended: Tensor) -> CarliniWagnerState:
        """Start anew, with the next c, where a run has ended; after the last one go back half the way to the image."""
        weight = state.weight.next(ended, state.found, self.search_steps)
        rows = ended.nonzero().flatten()
        over = (weight.runs[rows] >= self.search_steps).view(-1, 1, 1, 1)
        state.w[rows] = tanh_space(state.problem.ball.clean[rows])
        state.m[rows], state.v[rows] = 0, 0
        first = self._on_the_way(state, state.low)[rows] if self.polish else state.best[rows]
        x = torch.where(over, first, state.origin[rows])
        return state.replace(
            weight=weight,
            x=state.x.index_copy(0, rows, x),
            step=state.step.masked_fill(ended, 0),
            found=state.found & ~ended,
            before=state.before.masked_fill(ended, math.inf),
        )
