"""How stages are run: under one budget over those who still stand, or once for the smallest norm."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from unshaken.attack.engine.judge import Attacked, Judged, closest, judged, merged, survival, within
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.stage import Stage, Turn
from unshaken.core.batch import Batch
from unshaken.core.driver import drive
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.run.rows import Flag


class Field:
    """The samples of one attack, and the doubts that it meets.

    Args:
        oracle: the model's counted door.
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

    def problem(self, rows: Tensor, stage: Stage, rng: SampleRng, radius: float) -> Problem:
        """The tasks of some samples."""
        images = self.batch.images[rows]
        eps = torch.full((len(rows),), radius, device=images.device)
        ball = stage.search.ball(images, eps, self.norm, rng)
        reject = self.oracle.model.reject
        return Problem(ball, self.labels[rows], self.targeted, self.clean[rows], reject, stage.heed)

    def run(self, stage: Stage, rows: Tensor, radius: float, *, early: bool) -> Judged:
        """One stage over some samples, and the last look at what it found."""
        from unshaken.attack.engine.task import Task

        stage, shares = self.prepared(stage, rows)
        ids = tuple(self.batch.ids[i] for i in rows.tolist())
        rng = SampleRng.of(self.seed, stage.search.info.name, ids).to(rows.device).fold(stage.restart)
        problem, logits = self.problem(rows, stage, rng, radius), self.clean[rows].clone()
        judge = self.oracle.beside(draws=stage.draws)
        outcome = drive(
            Task(stage.search, early=early and judge.draws == 1 and stage.surrogate is None),
            problem,
            judge.beside(stage.surrogate, precision=stage.precision),
            rng,
            observe=partial(self._notice, stage.name, rows),
            confirmed=partial(logits.index_copy_, 0),
        )
        found = judged(judge, problem, outcome, logits, outwards=stage.search.minimal)
        return found.replace(forwards=found.forwards + shares[0], backwards=found.backwards + shares[1])

    def prepared(self, stage: Stage, rows: Tensor) -> tuple[Stage, tuple[Tensor, Tensor]]:
        """A stage made ready on some samples, and what that cost each of them, in passes forward and backward."""
        batch, before = self.batch[rows], _spent(self.oracle)
        batch = Batch(batch.images, self.labels[rows], batch.ids)
        with self.oracle.meter.method():
            stage = replace(stage, search=stage.search.prepared(self.oracle, batch, self.targeted))
        spent = [now - then for now, then in zip(_spent(self.oracle), before, strict=True)]
        place = torch.zeros_like(rows)
        if any(spent):
            place = torch.tensor(sorted(range(len(rows)), key=batch.ids.__getitem__), device=rows.device).argsort()
        forwards, backwards = (n // len(rows) + (place < n % len(rows)).long() for n in spent)
        return stage, (forwards, backwards)

    def flags(self) -> list[Flag]:
        """Samples whose input gradient was exactly zero where a search started."""
        found = []
        for name, dead in self.doubts.items():
            ids = tuple(self.batch.ids[i] for i in dead.nonzero().flatten().tolist())
            text = f"{name}: the input gradient is exactly zero at the start; gradients may be masked"
            found.append(Flag("zero-gradient", f"{text}: try square, or transfer from another model", ids))
        return found

    def _notice(self, name: str, rows: Tensor, place: Tensor, step: Tensor, answer: Answer) -> None:
        slope = answer.gradient if answer.slopes is None else answer.slopes
        if slope is None or not bool((step == 0).any()):
            return
        dead = (slope.flatten(1).abs().amax(1) == 0) & (step == 0)
        if answer.stopped is not None:
            dead &= ~answer.stopped
        if bool(dead.any()):
            self.doubts.setdefault(name, torch.zeros(len(self.batch), dtype=torch.bool))[rows[place[dead]].cpu()] = True


def one_budget(field: Field, stages: Sequence[Stage], result: Attacked, radius: float) -> Attacked:
    """Every stage in turn over those who still stand.

    Args:
        field: the samples.
        stages: in order.
        result: of the next smaller budget, or untouched.
        radius: eps.
    """
    result, turns = result.unpaid(), []
    for number, stage in enumerate(stages):
        rows = (~result.fooled).nonzero().flatten() if radius > 0 else result.step[:0]
        if stage.skip:
            turns.append(Turn(stage.name, stage.why, stage.gradients, len(rows), 0, 0, 0, 0.0))
            continue
        began, before = time.perf_counter(), _spent(field.oracle)
        if len(rows):
            result = merged(result, rows, field.run(stage, rows, radius, early=True), number)
        broken = len(rows) - int((~result.fooled).sum()) if len(rows) else 0
        turns.append(_turn(stage, len(rows), broken, field.oracle, before, began))
    result = survival(field.oracle, result.replace(turns=tuple(turns)), field.labels, field.targeted)
    return result


def minimal_norms(
    field: Field, stages: Sequence[Stage], result: Attacked, radii: Sequence[float]
) -> dict[float, Attacked]:
    """Every stage over all samples once; each budget holds those whose nearest example lies within.

    Args:
        field: the samples.
        stages: in order.
        result: untouched.
        radii: budgets, rising; the cost stands with the first.
    """
    clean, turns = result, []
    for number, stage in enumerate(stages):
        rows = (~clean.fooled).nonzero().flatten() if any(r > 0 for r in radii) else result.step[:0]
        began, before = time.perf_counter(), _spent(field.oracle)
        standing = int((~result.fooled).sum())
        if len(rows):
            new = field.run(stage, rows, math.inf, early=False)
            result = closest(result, rows, new, number)
        broken = standing - int((~result.fooled).sum())
        turns.append(_turn(stage, len(rows), broken, field.oracle, before, began))
    result = survival(field.oracle, result.replace(turns=tuple(turns)), field.labels, field.targeted)
    found: dict[float, Attacked] = {}
    for radius in radii:
        one = within(result, clean, radius)
        found[radius] = one.unpaid() if found else one
    return found


def _spent(oracle: Oracle) -> tuple[int, int]:
    return oracle.meter.forwards, oracle.meter.backwards


def _turn(stage: Stage, standing: int, broken: int, oracle: Oracle, before: tuple[int, int], began: float) -> Turn:
    now = _spent(oracle)
    return Turn(
        stage.name,
        stage.why,
        stage.gradients,
        standing,
        broken,
        now[0] - before[0],
        now[1] - before[1],
        time.perf_counter() - began,
    )
