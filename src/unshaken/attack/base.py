"""`Attack`: one final public method around the mathematics of a search in a ball."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Generic, TypeVar, final

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from unshaken.attack._judge import Attacked, Found, judged, merged, survival, untouched
from unshaken.attack.ball import NORMS, Ball
from unshaken.attack.problem import Problem
from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.driver import drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.run.rows import Condition, Context, Flag, Part, outcomes

__all__ = ["Attack", "Attacked", "Found"]

S = TypeVar("S", bound=State)


class Attack(Parameters, Generic[S]):
    """A search for an adversarial example inside a budget.

    A subclass writes `start`, `ask`, `tell`, `done` and `result`; checks, budgets, restarts, early leaving, float32
    confirmation and counting live here and in the driver.
    """

    room: ClassVar[str] = "attack"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    norms: ClassVar[tuple[str, ...]] = NORMS
    needs_labels: ClassVar[bool] = True

    restarts: PositiveInt = Field(1, description="runs from fresh random starts; a fooled sample leaves")

    @abstractmethod
    def start(self, problem: Problem, rng: SampleRng) -> S:
        """The first state of each sample."""

    @abstractmethod
    def ask(self, state: S) -> Query:
        """What to ask the model next."""

    @abstractmethod
    def tell(self, state: S, answer: Answer) -> S:
        """The next state."""

    @abstractmethod
    def done(self, state: S) -> Tensor:
        """Bool `[N]`: the search is over."""

    @abstractmethod
    def result(self, state: S) -> Found:
        """The point to be judged when the search is over."""

    def goal(self, state: S, problem: Problem) -> Goal | None:
        """When an asked point ends the search at once; attacks that go on to smaller norms say None."""
        return problem.fooled

    @final
    def attack(
        self,
        oracle: Oracle,
        batch: Batch,
        *,
        norm: str,
        eps: Sequence[float],
        seed: int = 0,
        targets: Tensor | None = None,
        clean: Tensor | None = None,
    ) -> tuple[list[Attacked], list[Flag]]:
        """Attack every sample under each budget.

        Budgets are taken from small to large; an example found in a smaller ball stands in the larger too and costs
        nothing there.

        Args:
            oracle: the model's counted door; the model in evaluation mode.
            batch: labelled images in [0, 1].
            norm: one of the attack's `norms`.
            eps: budgets, in [0, 1] pixel units under the norm.
            seed: the run seed.
            targets: int64 `[N]`: classes to reach; None for any class but the label.
            clean: logits `[N, K]` of the images, when already paid for.

        Returns:
            One record a budget, in the order of `eps`, and the flags raised.

        Raises:
            ParameterError: norm, eps, labels or targets are not allowed.
            ModelError: the attack needs gradients and the model has none.
        """
        self._check_budgets(norm, eps)
        labels = self._aims(batch, targets)
        batch = batch.with_images(in_unit_range(batch.images.float(), "attacked images"))
        if clean is None:
            clean = oracle.exact(batch.images)
        _check_classes(torch.cat([labels, required(batch.labels)]), clean.shape[1])
        rng = SampleRng.of(seed, self.info.name, batch.ids)
        result = untouched(batch.images, clean, labels, targets is not None)
        found, doubts = {}, torch.zeros(len(batch), dtype=torch.bool)
        for radius in sorted(set(eps)):
            result = result.replace(
                forwards=torch.zeros_like(result.forwards),
                backwards=torch.zeros_like(result.backwards),
                seconds=torch.zeros_like(result.seconds),
            )
            result = self._one_budget(oracle, batch, labels, targets is not None, norm, radius, rng, result, doubts)
            found[radius] = result = survival(oracle, result, labels, targets is not None)
        return [found[e] for e in eps], _flags(batch, doubts, self.info.name)

    def _one_budget(
        self,
        oracle: Oracle,
        batch: Batch,
        labels: Tensor,
        targeted: bool,
        norm: str,
        radius: float,
        rng: SampleRng,
        result: Attacked,
        doubts: Tensor,
    ) -> Attacked:
        """Restarts on those who still stand."""
        for restart in range(self.restarts if radius > 0 else 0):
            rows = (~result.fooled).nonzero().flatten()
            if not len(rows):
                break
            task = _Task(self, radius, norm, targeted, early=oracle.draws == 1)

            def notice(place: Tensor, step: Tensor, answer: Answer, rows: Tensor = rows) -> None:
                if answer.gradient is not None and bool((step == 0).any()):
                    dead = (answer.gradient.flatten(1).abs().amax(1) == 0) & (step == 0)
                    if answer.stopped is not None:
                        dead &= ~answer.stopped
                    doubts[rows[place[dead]].cpu()] = True

            samples, logits = replace(batch[rows], labels=labels[rows]), result.logits[rows].clone()
            outcome = drive(
                task,
                samples,
                oracle,
                rng[rows.to(rng.keys.device)].fold(restart),
                observe=notice,
                confirmed=partial(logits.index_copy_, 0),
            )
            result = merged(result, rows, judged(oracle, task.problem(samples), outcome, logits), restart)
        return result

    def _check_budgets(self, norm: str, eps: Sequence[float]) -> None:
        name = self.info.name
        if norm not in self.norms:
            raise ParameterError(f"{name}: norm {norm!r} is not one of {', '.join(self.norms)}")
        if not eps:
            raise ParameterError(f"{name}: give eps, such as [8/255]")
        for radius in eps:
            if not (math.isfinite(radius) and radius >= 0):
                raise ParameterError(f"{name}: eps {radius!r} must be a finite number >= 0, in units of [0, 1] pixels")

    def _aims(self, batch: Batch, targets: Tensor | None) -> Tensor:
        """The labels to leave, or the targets to reach."""
        name = self.info.name
        if batch.labels is None:
            raise ParameterError(f"{name}: the data has no labels; an attack needs the true class of each image")
        if targets is None:
            return batch.labels
        if targets.shape != batch.labels.shape or bool((targets == batch.labels).any()):
            raise ParameterError(f"{name}: give one target a sample, each another class than the label")
        return targets

    # What the runner asks of a method (`unshaken.run.rows.Evaluable`).

    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        """One condition a budget.

        Raises:
            ParameterError: norm or eps is not allowed, or severities are given.
        """
        if severities:
            raise ParameterError(f"{self.info.name}: an attack has eps, not severities")
        self._check_budgets(norm, eps)
        return [Condition(f"{label}-{norm}-{e:.6g}", self.info.name, eps=e, norm=norm) for e in eps]

    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        """Rows of one shard: the exact prediction on the attacked image."""
        budgets = [c.eps or 0.0 for c in conditions]
        found, flags = self.attack(
            context.oracle,
            batch,
            norm=conditions[0].norm or "linf",
            eps=budgets,
            seed=context.seed,
            clean=context.clean,
        )
        return [
            outcomes(
                condition,
                batch,
                one.logits,
                forwards=one.forwards,
                backwards=one.backwards,
                seconds=one.seconds,
                distance=one.distance,
                survives_8bit=one.survives_8bit,
                images=one.images.__getitem__,
                flags=flags if i == 0 else (),
            )
            for i, (condition, one) in enumerate(zip(conditions, found, strict=True))
        ]


class _Task(Generic[S]):
    """An attack under one budget, as the driver sees it; the batch's labels are the labels or targets."""

    def __init__(self, attack: Attack[S], radius: float, norm: str, targeted: bool, *, early: bool) -> None:
        self.attack, self.radius, self.norm, self.targeted, self.early = attack, radius, norm, targeted, early

    def problem(self, batch: Batch) -> Problem:
        """The samples' balls and aims."""
        eps = torch.full((len(batch),), self.radius, device=batch.images.device)
        return Problem(Ball.of(batch.images, eps, self.norm), required(batch.labels), self.targeted)

    def start(self, batch: Batch, rng: SampleRng) -> _Work[S]:
        """Each sample's task and first state."""
        problem = self.problem(batch)
        return _Work(problem, self.attack.start(problem, rng))

    def ask(self, work: _Work[S]) -> Query:
        """The attack's question."""
        return self.attack.ask(work.state)

    def done(self, work: _Work[S]) -> Tensor:
        """The attack's end."""
        return self.attack.done(work.state)

    def result(self, work: _Work[S]) -> Found:
        """The attack's result."""
        return self.attack.result(work.state)

    def tell(self, work: _Work[S], answer: Answer) -> _Work[S]:
        """The attack's next state."""
        return work.replace(state=self.attack.tell(work.state, answer))

    def goal(self, work: _Work[S]) -> Goal | None:
        """The attack's goal; none for a random model, which one lucky draw must not break."""
        return self.attack.goal(work.state, work.problem) if self.early else None


class _Work(State, Generic[S]):
    problem: Problem
    state: S


def _check_classes(labels: Tensor, classes: int) -> None:
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        wrong = labels[(labels < 0) | (labels >= classes)][0].item()
        raise ParameterError(f"label or target {wrong} is not a class of the model, which has 0 to {classes - 1}")


def _flags(batch: Batch, doubts: Tensor, name: str) -> list[Flag]:
    if not bool(doubts.any()):
        return []
    ids = tuple(batch.ids[i] for i in doubts.nonzero().flatten().tolist())
    text = (
        f"{name}: the input gradient is exactly zero at the start; gradients may be masked, try an attack without them"
    )
    return [Flag("zero-gradient", text, ids)]
