"""`Phase`: one search of an attack; `AttackRun`: runs all of them, under one budget or for the smallest norm."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unshaken.attack.engine.ball import finite_part
from unshaken.attack.engine.problem import Problem, ProblemSearch
from unshaken.attack.engine.verdict import (
    AttackResult,
    PhaseRecord,
    Verdict,
    check_8bit,
    judge_end_points,
    merge_nearest,
    merge_verdict,
    restrict_to_budget,
)
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.driver import drive
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.numbers import show_budget
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng

if TYPE_CHECKING:
    from unshaken.attack.engine.base import Attack


ZERO_GRADIENT = FlagKind(
    "zero-gradient",
    "the input gradient is exactly zero, so gradient attacks are blind",
    "Do not use the accuracy under gradient attacks. Return logits, remove what blocks gradients, or add "
    "an attack that needs none.",
)

UNFINISHED = FlagKind(
    "unfinished-search",
    "a search ended with its budget, before its last attack",
    "Do not read the accuracy under it as robust accuracy: give the budget that the flag names, or none.",
)


def name_search(method: str, norm: str | None, eps: float | None) -> str:
    """Name the search of a method under a budget, as flags do.

    >>> name_search("auto", "linf", 8 / 255)
    'auto (linf, eps 8/255)'
    """
    return f"{method} ({norm}{'' if eps is None or eps == math.inf else f', eps {show_budget(eps)}'})"


@dataclass(frozen=True, slots=True)
class AttackContext:
    """The facts from which an attack chooses its phases; the same for every shard of a run.

    Args:
        oracle: runs the model and counts its passes.
        norm: of the budget.
        eps: the largest budget, in [0, 1] pixel units under the norm.
        classes: K.
        seed: the run seed.
        reference: the run's first samples, the same whatever the part of the run; outside a run those attacked.
        samples: in the whole run; 0 outside a run.
        once: `once(key, make)` returns what `make` made at the run's first call with this key; see
            `unshaken.core.context.Context`.
        targeted: whether chosen classes are to be reached.
    """

    oracle: Oracle
    norm: str
    eps: float
    classes: int
    seed: int
    reference: Batch | None = None
    samples: int = 0
    once: Callable[[Hashable, Callable[[], Any]], Any] = field(default=lambda key, make: make(), repr=False)
    targeted: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of an attack: a search on the samples that are not yet broken.

    Args:
        search: the method.
        name: what rows and reports call it.
        restart: number of the run from a fresh random start.
        why: the reason for this choice, for a person.
        precision: of the search, `fp32` or `bf16`; None for the oracle's own.
        draws: passes averaged, and passes of which most must be fooled; None for the oracle's own.
        surrogate: searched in the place of the model; what is found there is judged on the model.
        fit: makes the surrogate when the phase begins, so that it costs nothing where no sample is left.
        same_answers: whether the surrogate gives the model's own logits, so that a success on it ends a search.
        avoid_rejection: whether the search stays clear of a model's rejections, or leaves them to the verification.
        skip: left out; `why` says so.
        whole: passes a sample for which the whole attack would run, where a budget left this phase out or shortened it;
            0 for a phase that runs as asked.
    """

    search: Attack[Any]
    name: str
    restart: int = 0
    why: str = ""
    precision: str | None = None
    draws: int | None = None
    surrogate: Classifier | None = None
    fit: Callable[[], Classifier] | None = None
    same_answers: bool = False
    avoid_rejection: bool = True
    skip: bool = False
    whole: int = 0

    @property
    def gradients(self) -> bool:
        """Whether it follows the model's own gradients."""
        return "gradient" in self.search.info.needs and self.surrogate is None and self.fit is None


class AttackRun:
    """One attack on a batch of samples, and the warnings that it collects.

    Args:
        oracle: runs the model and counts its passes.
        batch: the samples.
        labels: int64 `[N]`: labels to leave, or targets to reach.
        targeted: which of the two.
        norm: of the budgets.
        seed: the run seed.
        clean: logits `[N, K]` of the unchanged images.
    """

    def __init__(
        self, oracle: Oracle, batch: Batch, labels: Tensor, targeted: bool, norm: str, seed: int, clean: Tensor
    ) -> None:
        self.oracle, self.batch, self.labels, self.targeted = oracle, batch, labels, targeted
        self.norm, self.seed, self.clean = norm, seed, clean
        self.doubts: dict[str, Tensor] = {}

    def problem(self, rows: Tensor, phase: Phase, rng: SampleRng, radius: float) -> Problem:
        """The attack problem of some samples."""
        images = self.batch.images[rows]
        eps = torch.full((len(rows),), radius, device=images.device)
        ball = phase.search.ball(images, eps, self.norm, rng)
        reject = self.oracle.model.reject
        return Problem(ball, self.labels[rows], self.targeted, self.clean[rows], reject, phase.avoid_rejection)

    def run(self, phase: Phase, rows: Tensor, radius: float, *, early: bool) -> Verdict:
        """Run one phase on some samples, and verify what it found."""
        if phase.fit is not None:
            phase = replace(phase, surrogate=phase.fit())
        phase, shares = self.prepare(phase, rows)
        ids = tuple(self.batch.ids[i] for i in rows.tolist())
        rng = SampleRng.of(self.seed, phase.search.info.name, ids).to(rows.device).fold(phase.restart)
        problem, logits = self.problem(rows, phase, rng, radius), self.clean[rows].clone()
        judge = self.oracle.share_meter(draws=phase.draws)
        early = early and phase.search.stops_at_success and judge.draws == 1
        early = early and (phase.surrogate is None or phase.same_answers)
        outcome = drive(
            ProblemSearch(phase.search, early=early),
            problem,
            judge.share_meter(phase.surrogate, precision=phase.precision, draws=phase.draws),
            rng,
            observe=partial(self._notice, phase.name, rows),
            confirmed=partial(logits.index_copy_, 0),
        )
        found = judge_end_points(judge, problem, outcome, logits, outwards=phase.search.minimal)
        return found.replace(forwards=found.forwards + shares[0], backwards=found.backwards + shares[1])

    def prepare(self, phase: Phase, rows: Tensor) -> tuple[Phase, tuple[Tensor, Tensor]]:
        """Prepare a phase on some samples; also its cost per sample, in forward and backward passes."""
        batch, before = self.batch[rows], _spent(self.oracle)
        batch = Batch(batch.images, self.labels[rows], batch.ids)
        with self.oracle.meter.method():
            phase = replace(phase, search=phase.search.prepare(self.oracle, batch, self.targeted))
        spent = [now - then for now, then in zip(_spent(self.oracle), before, strict=True)]
        place = torch.zeros_like(rows)
        if any(spent):
            place = torch.tensor(sorted(range(len(rows)), key=batch.ids.__getitem__), device=rows.device).argsort()
        forwards, backwards = (n // len(rows) + (place < n % len(rows)).long() for n in spent)
        return phase, (forwards, backwards)

    def flags(self) -> list[Flag]:
        """Samples whose input gradient was zero, or not finite, in every pixel where a search started."""
        found = []
        for name, dead in self.doubts.items():
            ids = tuple(self.batch.ids[i] for i in dead.nonzero().flatten().tolist())
            text = f"{name}: the input gradient is exactly zero, or NaN, at the start; gradients may be masked"
            found.append(ZERO_GRADIENT.flag(f"{text}: try square, or transfer from another model", ids))
        return found

    def check_finished(self, name: str, phases: Sequence[Phase], found: Mapping[float, AttackResult]) -> list[Flag]:
        """A flag for each radius at which samples withstood a search that its budget cut short."""
        cut = [phase for phase in phases if phase.whole]
        flags = []
        for radius, result in found.items() if cut else ():
            rows = (~result.fooled).nonzero().flatten().tolist() if radius > 0 else []
            left = [phase.name if phase.skip else f"a part of {phase.name}" for phase in cut]
            text = (
                f"{name_search(name, self.norm, radius)} did not finish: its budget left out "
                f"{' and '.join([', '.join(left[:-1]), left[-1]] if left[1:] else left)}, so more may be broken; "
                f"--budget {cut[0].whole} finishes it"
            )
            flags += [UNFINISHED.flag(text, [self.batch.ids[i] for i in rows])] if rows else []
        return flags

    def _notice(self, name: str, rows: Tensor, place: Tensor, step: Tensor, answer: Answer) -> None:
        slope = answer.slopes if answer.gradient is None else answer.gradient
        if slope is None or not bool((step == 0).any()):
            return
        dead = (finite_part(slope).flatten(1).abs().amax(1) == 0).cpu() & (step == 0)
        if answer.stopped is not None:
            dead &= ~answer.stopped
        if bool(dead.any()):
            self.doubts.setdefault(name, torch.zeros(len(self.batch), dtype=torch.bool))[rows[place[dead]].cpu()] = True


def run_budget(attack_run: AttackRun, phases: Sequence[Phase], result: AttackResult, radius: float) -> AttackResult:
    """Run the phases one after the other, on the samples that are not yet broken.

    Args:
        attack_run: the samples.
        phases: in order.
        result: of the next smaller budget, or untouched.
        radius: eps.
    """
    result, records = result.without_cost(), []
    for number, phase in enumerate(phases):
        rows = (~result.fooled).nonzero().flatten() if radius > 0 else result.step[:0]
        if phase.skip:
            records.append(PhaseRecord(phase.name, phase.why, phase.gradients, len(rows), 0, 0, 0, 0.0))
            continue
        began, before = time.perf_counter(), _spent(attack_run.oracle)
        if len(rows):
            result = merge_verdict(result, rows, attack_run.run(phase, rows, radius, early=True), number)
        broken = len(rows) - int((~result.fooled).sum()) if len(rows) else 0
        records.append(_record(phase, len(rows), broken, attack_run.oracle, before, began))
    return check_8bit(attack_run.oracle, result.replace(phases=tuple(records)), attack_run.labels, attack_run.targeted)


def run_minimal_norm(
    attack_run: AttackRun, phases: Sequence[Phase], result: AttackResult, radii: Sequence[float]
) -> dict[float, AttackResult]:
    """Run every phase once for the smallest norm; a budget holds the examples nearer than its radius.

    Args:
        attack_run: the samples.
        phases: in order.
        result: untouched.
        radii: budgets, rising; the cost stands with the first.
    """
    clean, records = result, []
    for number, phase in enumerate(phases):
        rows = (~clean.fooled).nonzero().flatten() if any(r > 0 for r in radii) else result.step[:0]
        began, before = time.perf_counter(), _spent(attack_run.oracle)
        standing = int((~result.fooled).sum())
        if len(rows):
            result = merge_nearest(result, rows, attack_run.run(phase, rows, math.inf, early=False), number)
        broken = standing - int((~result.fooled).sum())
        records.append(_record(phase, len(rows), broken, attack_run.oracle, before, began))
    result = check_8bit(
        attack_run.oracle, result.replace(phases=tuple(records)), attack_run.labels, attack_run.targeted
    )
    found: dict[float, AttackResult] = {}
    for radius in radii:
        one = restrict_to_budget(result, clean, radius)
        found[radius] = one.without_cost() if found else one
    return found


def _spent(oracle: Oracle) -> tuple[int, int]:
    return oracle.meter.forwards, oracle.meter.backwards


def _record(
    phase: Phase, standing: int, broken: int, oracle: Oracle, before: tuple[int, int], began: float
) -> PhaseRecord:
    now = _spent(oracle)
    return PhaseRecord(
        phase.name,
        phase.why,
        phase.gradients,
        standing,
        broken,
        now[0] - before[0],
        now[1] - before[1],
        time.perf_counter() - began,
    )
