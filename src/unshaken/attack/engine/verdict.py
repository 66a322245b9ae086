"""Results of attacks, and the verification that decides which examples count."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unshaken.attack.engine.ball import TOLERANCE
from unshaken.attack.engine.problem import Candidate, Problem
from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.driver import Outcome
from unshaken.core.oracle import Oracle
from unshaken.core.state import State


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """Record of one phase: samples broken, and cost.

    Args:
        attack: the phase's name.
        why: the reason for this choice.
        gradients: whether it follows the model's own gradients.
        standing: samples not broken before it.
        broken: by it.
        forwards: passes spent.
        backwards: as `forwards`.
        seconds: wall time.
    """

    attack: str
    why: str
    gradients: bool
    standing: int
    broken: int
    forwards: int
    backwards: int
    seconds: float


class AttackResult(State):
    """Result of an attack for each sample, in the order of the batch.

    Args:
        images: the adversarial image where fooled, else where the last search ended inside the budget, or clean.
        fooled: bool `[N]`: misclassified (targeted: as the target) by a fresh float32 pass, inside ball and box.
        logits: `[N, K]` of `images` by that pass.
        distance: norm of the change, float64 `[N]`; infinite where the nearest example at any distance was asked for
            and none was found.
        survives_8bit: int8 `[N]`: 1 still fooled after rounding to 8 bits, 0 not, -1 not fooled.
        forwards: passes of this budget, int64 `[N]`; a sample wrong from the start costs none.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
        step: answers before the success, int64 `[N]`, in the phase that succeeded or the last one.
        phase: the phase that succeeded, as its place in `phases`; -1 where none did or none was needed.
        phases: the record of each phase.
        notes: further findings of the last search of each sample, by name, int64 `[N]`; -1 where there was none.
    """

    images: Tensor
    fooled: Tensor
    logits: Tensor
    distance: Tensor
    survives_8bit: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    step: Tensor
    phase: Tensor
    phases: tuple[PhaseRecord, ...] = ()
    notes: dict[str, Tensor] = field(default_factory=dict)

    def breakers(self) -> list[str | None]:
        """The name of the phase that broke each sample; `clean` if misclassified from the start, None if unbroken."""
        names = [record.attack for record in self.phases]
        return [
            None if not fooled else "clean" if phase < 0 else names[phase]
            for fooled, phase in zip(self.fooled.tolist(), self.phase.tolist(), strict=True)
        ]

    def without_cost(self) -> AttackResult:
        """The same result with zero cost, for the next budget."""
        zero = torch.zeros_like(self.forwards)
        return self.replace(forwards=zero, backwards=zero, seconds=widen(zero))


class Verdict(State):
    """The end points of one search, verified by a fresh float32 pass."""

    images: Tensor
    fooled: Tensor
    logits: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    step: Tensor
    notes: dict[str, Tensor] | None = None


OUTWARDS = (1e-4, 1e-3, 1e-2)
"""Shares by which a nearest example that the verification refutes is moved on, one after the other."""


def judge_end_points(
    oracle: Oracle, problem: Problem, outcome: Outcome[Candidate], logits: Tensor, *, outwards: bool = False
) -> Verdict:
    """Verify the end points of a search by fresh float32 passes.

    Args:
        oracle: runs the model and counts its passes.
        problem: of the samples.
        outcome: of the search.
        logits: `[N, K]`, already those of the confirming pass where the search was stopped by success.
        outwards: move end points that were thought to fool, and do not, a little further from the clean image.
    """
    x, fooled = outcome.result.x, outcome.stopped.clone()
    rows = (~fooled).nonzero().flatten()
    spent = torch.zeros_like(outcome.forwards)
    if len(rows):
        passes = [oracle.exact(x[rows]) for _ in range(oracle.draws)]  # of a random model, most must agree
        hits = torch.stack([problem[rows].fooled(x[rows], z) for z in passes]).sum(0)
        fooled[rows], spent[rows] = hits * 2 > oracle.draws, oracle.draws
        logits = logits.index_copy(0, rows, passes[0])
    for share in OUTWARDS if outwards else ():
        rows = (~fooled & (problem.ball.distance(x) > 0)).nonzero().flatten()
        if not len(rows):
            break
        clean = problem.ball.clean[rows]
        moved = (clean + (1 + share) * (outcome.result.x[rows] - clean)).clamp(0, 1)
        answer = oracle.exact(moved)
        hit, spent[rows] = problem[rows].fooled(moved, answer), spent[rows] + 1
        x, logits = x.index_copy(0, rows[hit], moved[hit]), logits.index_copy(0, rows[hit], answer[hit])
        fooled[rows[hit]] = True
    right = predict(logits) == problem.labels
    astray = (~fooled & ~(problem.ball.contains(x) & (right | problem.targeted))).nonzero().flatten()
    if len(astray):
        x = x.index_copy(0, astray, problem.ball.clean[astray])
        logits = logits.index_copy(0, astray, problem.logits[astray])
    return Verdict(
        x,
        fooled,
        logits,
        problem.ball.distance(x),
        outcome.forwards + spent,
        outcome.backwards,
        outcome.seconds,
        outcome.steps,
        outcome.result.notes,
    )


def initial_result(images: Tensor, clean: Tensor, labels: Tensor, targeted: bool) -> AttackResult:
    """The result before any search: misclassified samples count as fooled, at no cost."""
    n, device = len(images), images.device
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    hit = predict(clean) == labels
    return AttackResult(
        images,
        hit if targeted else ~hit,
        clean,
        widen(zeros),
        zeros.to(torch.int8) - 1,
        zeros,
        zeros,
        widen(zeros),
        zeros,
        zeros - 1,
    )


def merge_verdict(result: AttackResult, rows: Tensor, new: Verdict, number: int) -> AttackResult:
    """Merge the verdict of a further phase into the result; costs add up.

    Args:
        result: so far.
        rows: that the phase worked on.
        new: verdict of the phase.
        number: place of the phase.
    """

    def put(old: Tensor, values: Tensor) -> Tensor:
        return old.index_copy(0, rows, values.to(old))

    none = torch.full_like(result.step, -1)
    return result.replace(
        notes=result.notes | {k: put(result.notes.get(k, none), v) for k, v in (new.notes or {}).items()},
        images=put(result.images, new.images),
        fooled=put(result.fooled, new.fooled),
        logits=put(result.logits, new.logits),
        distance=put(result.distance, new.distance),
        forwards=result.forwards.index_add(0, rows, new.forwards.to(result.forwards)),
        backwards=result.backwards.index_add(0, rows, new.backwards.to(result.backwards)),
        seconds=result.seconds.index_add(0, rows, new.seconds.to(result.seconds)),
        step=put(result.step, new.step),
        phase=result.phase.index_fill(0, rows[new.fooled], number),
    )


def merge_nearest(result: AttackResult, rows: Tensor, new: Verdict, number: int) -> AttackResult:
    """Merge a verdict, keeping each sample's nearest example."""
    better = new.fooled & ~(result.fooled[rows] & (result.distance[rows] <= new.distance))
    old = result[rows]
    wide = better.view(-1, 1, 1, 1)
    mixed = new.replace(
        images=torch.where(wide, new.images, old.images),
        fooled=better | old.fooled,
        logits=torch.where(better[:, None], new.logits, old.logits),
        distance=torch.where(better, new.distance, old.distance),
        step=torch.where(better, new.step, old.step),
    )
    phase = result.phase.index_fill(0, rows[better], number)
    return merge_verdict(result, rows, mixed, number).replace(phase=phase)


def restrict_to_budget(result: AttackResult, clean: AttackResult, radius: float) -> AttackResult:
    """Keep the examples inside a budget, and reset all other samples to clean.

    Args:
        result: nearest examples at any distance.
        clean: the samples before the attack.
        radius: eps.
    """
    lost = ~(result.fooled & (result.distance <= radius * (1 + TOLERANCE)))
    wide = lost.view(-1, 1, 1, 1)
    far = torch.full_like(result.distance, 0.0 if radius < math.inf else math.inf)
    return result.replace(
        images=torch.where(wide, clean.images, result.images),
        fooled=~lost,
        logits=torch.where(lost[:, None], clean.logits, result.logits),
        distance=torch.where(lost, far, result.distance),
        survives_8bit=result.survives_8bit.masked_fill(lost, -1),
        phase=result.phase.masked_fill(lost, -1),
    )


def check_8bit(oracle: Oracle, result: AttackResult, labels: Tensor, targeted: bool) -> AttackResult:
    """Check whether examples still fool after rounding to 8 bits; one pass each."""
    rows = (result.fooled & (result.distance > 0) & (result.survives_8bit < 0)).nonzero().flatten()
    if not len(rows):
        return result
    answer = predict(oracle.exact((result.images[rows] * 255).round() / 255))
    hit = answer == labels[rows]
    if oracle.model.reject is not None:
        hit |= (answer == oracle.model.reject) & (not targeted)
    survives = (hit if targeted else ~hit).to(torch.int8)
    forwards = result.forwards.index_add(0, rows, torch.ones_like(rows))
    return result.replace(survives_8bit=result.survives_8bit.index_copy(0, rows, survives), forwards=forwards)
