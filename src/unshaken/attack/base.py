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

from unshaken.attack.ball import NORMS, Ball
from unshaken.attack.problem import Problem
from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.driver import Outcome, drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.run.rows import Condition, Context, Flag, Part, outcomes

S = TypeVar("S", bound=State)


class Found(State):
    """Where a search ended: points `[N, C, H, W]`."""

    x: Tensor


class Attacked(State):
    """What an attack did to each sample, in the order of the batch.

    Args:
        images: the adversarial image where fooled, else where the search ended (clean where none was needed).
        fooled: bool `[N]`: misclassified (targeted: as the target) by a fresh float32 pass, inside ball and box.
        logits: `[N, K]` of `images` by that pass.
        distance: norm of the change, float64 `[N]`.
        survives_8bit: int8 `[N]`: 1 still fooled after rounding to 8 bits, 0 not, -1 not fooled.
        forwards: passes of this budget, int64 `[N]`; a sample wrong from the start costs none.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
        step: answers told before the success, int64 `[N]`.
        restart: the restart that succeeded, or the last one.
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
    restart: Tensor


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
        result = _untouched(batch.images, clean, labels, targets is not None)
        found, doubts = {}, torch.zeros(len(batch), dtype=torch.bool)
        for radius in sorted(set(eps)):
            result = result.replace(
                forwards=torch.zeros_like(result.forwards),
                backwards=torch.zeros_like(result.backwards),
                seconds=torch.zeros_like(result.seconds),
            )
            result = self._one_budget(oracle, batch, labels, targets is not None, norm, radius, rng, result, doubts)
            found[radius] = result = _survival(oracle, result, labels, targets is not None)
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
            result = _merged(result, rows, _judged(oracle, task.problem(samples), outcome, logits), restart)
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


class _Judged(State):
    """The end points of one search under a fresh float32 pass."""

    images: Tensor
    fooled: Tensor
    logits: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    step: Tensor


def _judged(oracle: Oracle, problem: Problem, outcome: Outcome[Found], logits: Tensor) -> _Judged:
    """The last look: where no success ended the search, its end point may fool all the same.

    Args:
        oracle: the model's counted door.
        problem: the samples' tasks.
        outcome: of the search.
        logits: `[N, K]`, already those of the confirming pass where the search was stopped by success.
    """
    x, fooled = outcome.result.x, outcome.stopped.clone()
    rows = (~fooled).nonzero().flatten()
    spent = torch.zeros_like(outcome.forwards)
    if len(rows):
        looks = [oracle.exact(x[rows]) for _ in range(oracle.draws)]  # of a random model, most must agree
        hits = torch.stack([problem[rows].fooled(x[rows], z) for z in looks]).sum(0)
        fooled[rows], spent[rows] = hits * 2 > oracle.draws, oracle.draws
        logits = logits.index_copy(0, rows, looks[0])
    return _Judged(
        x,
        fooled,
        logits,
        problem.ball.distance(x),
        outcome.forwards + spent,
        outcome.backwards,
        outcome.seconds,
        outcome.steps,
    )


def _untouched(images: Tensor, clean: Tensor, labels: Tensor, targeted: bool) -> Attacked:
    """The state before any search: a sample that is wrong already counts as fooled, at no cost."""
    n, device = len(images), images.device
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    hit = clean.argmax(1) == labels
    return Attacked(
        images,
        hit if targeted else ~hit,
        clean,
        zeros.double(),
        zeros.to(torch.int8) - 1,
        zeros,
        zeros,
        zeros.double(),
        zeros,
        zeros,
    )


def _merged(result: Attacked, rows: Tensor, new: _Judged, restart: int) -> Attacked:
    """The rows of a further restart written over those it worked on; costs add up."""

    def put(old: Tensor, values: Tensor) -> Tensor:
        return old.index_copy(0, rows, values.to(old))

    return result.replace(
        images=put(result.images, new.images),
        fooled=put(result.fooled, new.fooled),
        logits=put(result.logits, new.logits),
        distance=put(result.distance, new.distance),
        forwards=result.forwards.index_add(0, rows, new.forwards.to(result.forwards)),
        backwards=result.backwards.index_add(0, rows, new.backwards.to(result.backwards)),
        seconds=result.seconds.index_add(0, rows, new.seconds.to(result.seconds)),
        step=put(result.step, new.step),
        restart=result.restart.index_fill(0, rows, restart),
    )


def _survival(oracle: Oracle, result: Attacked, labels: Tensor, targeted: bool) -> Attacked:
    """Whether each example, where not known yet, still fools when its pixels are rounded to 8 bits."""
    rows = (result.fooled & (result.distance > 0) & (result.survives_8bit < 0)).nonzero().flatten()
    if not len(rows):
        return result
    hit = oracle.exact((result.images[rows] * 255).round() / 255).argmax(1) == labels[rows]
    kept = (hit if targeted else ~hit).to(torch.int8)
    return result.replace(survives_8bit=result.survives_8bit.index_copy(0, rows, kept))


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
