"""An honest attack on a guard: what the bare model's examples do to it, and what attacks that know of it do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.batch import Batch, batch_for
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.rng import SampleRng
from unshaken.harden.engine._verdict import GuardUnderAttack, Way, joined
from unshaken.harden.engine.defence import Defence, GuardedModel, reseed


class ContinuedPGD(PGD):
    """PGD that continues from another search's end points; samples are identified by their random streams.

    Args:
        keys: int64 `[N]`, rising.
        points: `[N, C, H, W]` in the same order.
    """

    keys: Tensor
    points: Tensor

    @classmethod
    def from_points(cls, batch: Batch, points: Tensor, seed: int, settings: Mapping[str, Any]) -> ContinuedPGD:
        """Start each sample of a batch at its point.

        Args:
            batch: the samples.
            points: `[N, C, H, W]`.
            seed: of the run.
            settings: parameters of PGD.
        """
        keys, order = SampleRng.of(seed, PGD.info.name, batch.ids).keys.sort()
        return cls(keys=keys, points=points[order.to(points.device)], **settings)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        place = torch.searchsorted(self.keys, rng.keys.cpu())
        x = problem.ball.project(self.points[place.to(self.points.device)])
        return PGDState(problem, x, torch.zeros_like(problem.labels))


__all__ = ["GuardUnderAttack", "Way", "against"]


def against(
    defence: Defence | GuardedModel,
    model: Classifier | None,
    batch: Batch,
    attack: Attack[Any] | None = None,
    *,
    norm: str = "linf",
    eps: float = 8 / 255,
    seed: int = 0,
    draws: int = 10,
    looks: int = 10,
    rounds: int = 1,
) -> GuardUnderAttack:
    """Judge a guard by both figures: naive, and adaptive.

    Naive: examples made on the bare model, shown to the guard. Adaptive: the best, sample by sample, of an attack
    through the guard, of examples made on each of the guard's surrogates, of searches through the guard that start from
    the best of these, and of the naive ones. A sample that is wrong without any change counts as broken in both. Of a
    random guard, gradients are means of `draws` passes, no search ends with a lucky pass, and figures are means of
    `looks` fresh passes over the chosen images, which took no part in choosing them.

    Args:
        defence: the guard's parameters, or a model behind its guard.
        model: the bare model; None where `defence` is a guarded model.
        batch: labelled images in [0, 1].
        attack: a single search of the suite; default PGD of 50 steps of a tenth of eps.
        norm: of the budget.
        eps: radius in [0, 1] pixel units.
        seed: of searches and of what the guard draws.
        draws: passes averaged at each step, for a random guard.
        looks: passes of each judgement, for a random guard.
        rounds: searches through the guard from the best points so far, each over all samples; 0 for none.

    Raises:
        ParameterError: there are no labels, or the model is missing or given twice.
        ModelError: this model cannot be guarded so.
    """
    guarded = _guarded(defence, model)
    if batch.labels is None or not len(batch):
        raise ParameterError("against: an attack needs images with the true class of each; the data has none")
    if min(draws, looks) < 1 or rounds < 0:
        raise ParameterError(f"against: draws={draws}, looks={looks} must be 1 or more, rounds={rounds} 0 or more")
    search = PGD(steps=50, rel_stepsize=0.1) if attack is None else attack
    run = _AdaptiveAttack(
        guarded, batch, search, norm, eps, seed, draws if guarded.random else 1, looks if guarded.random else 1
    )
    clean = run.observe("clean", batch.images)
    ways = {"bare": run.attack_model("bare", guarded.bare), "direct": run.attack_model("direct", guarded)}
    for name, surrogate in guarded.surrogates().items():
        ways[name] = run.attack_model(name, surrogate)
    for number in range(rounds if guarded.surrogates() else 0):
        name = "onward" if number == 0 else f"onward+{number + 1}"
        ways[name] = run.continue_search(name, joined("best", [w for k, w in ways.items() if k != "bare"]))
    naive = run.final("naive", [clean, ways["bare"]])
    adaptive = run.final("adaptive", [clean, *ways.values()])
    return GuardUnderAttack(batch, search.info.name, norm, eps, run.looks, clean, ways, naive, adaptive)


def _guarded(defence: Defence | GuardedModel, model: Classifier | None) -> GuardedModel:
    if isinstance(defence, GuardedModel):
        if model is not None:
            raise ParameterError("against: a guarded model has its bare one already: leave model out (None)")
        return defence
    if model is None:
        raise ParameterError(f"against: {defence.info.name} guards nothing yet: give the model")
    found = defence.wrap(model)
    return (
        found
        if isinstance(found, GuardedModel)
        else GuardedModel(found, model, name=defence.info.name, random=defence.random)
    )


class _AdaptiveAttack:
    """A guard under attack: one norm, one radius."""

    def __init__(
        self,
        guarded: GuardedModel,
        batch: Batch,
        search: Attack[Any],
        norm: str,
        eps: float,
        seed: int,
        draws: int,
        looks: int,
    ) -> None:
        self.guarded, self.batch, self.search = guarded, batch, search
        self.norm, self.eps, self.seed, self.draws, self.looks = norm, eps, seed, draws, looks
        self.labels = required(batch.labels)
        radius = torch.full((len(batch),), eps, device=batch.images.device)
        self.ball = Ball.of(batch.images, radius, norm)

    def observe(self, name: str, images: Tensor, cost: Mapping[str, Tensor] | None = None) -> Way:
        """Outputs of the defended model for images, in fresh passes."""
        self.guarded.reseed(_seed(self.seed, name, "look"))
        with evaluating(self.guarded):
            oracle = Oracle(self.guarded, limit=batch_for(images))
            answers = [oracle.exact(images) for _ in range(self.looks)]
        right = torch.stack([predict(z) == self.labels for z in answers]).sum(0)
        distance = self.ball.distance(images)
        return Way(name, images, right, answers[0], distance, (name,) * len(images), **(cost or {}))

    def attack_model(self, name: str, model: Classifier) -> Way:
        """Examples made on a model, shown to the guard."""
        return self._search(name, model, self.search)

    def continue_search(self, name: str, best: Way) -> Way:
        """Searches through the guard from given points."""
        own: dict[str, Any] = {"steps": self.search.steps} if hasattr(self.search, "steps") else {}
        own |= self.search.chosen_step if isinstance(self.search, StepLength) else {}
        return self._search(name, self.guarded, ContinuedPGD.from_points(self.batch, best.images, self.seed, own))

    def _search(self, name: str, model: Classifier, search: Attack[Any]) -> Way:
        for one in {id(m): m for m in (self.guarded, model)}.values():
            reseed(one, _seed(self.seed, name, "search"))
        found = find_end_points(
            model,
            search,
            self.batch,
            norm=self.norm,
            eps=self.eps,
            seed=self.seed,
            draws=1 if model is self.guarded.bare else self.draws,
            early=model is self.guarded and self.draws == 1,
        )
        cost = {"forwards": found.forwards, "backwards": found.backwards, "seconds": found.seconds}
        inside = self.ball.contains(found.x)
        return self.observe(name, torch.where(inside.view(-1, 1, 1, 1), found.x, self.batch.images), cost)

    def final(self, name: str, ways: list[Way]) -> Way:
        """The best of several ways, judged once more where the guard is random."""
        chosen = joined(name, ways)
        if self.looks == 1:
            return chosen
        again = self.observe(name, chosen.images)
        return Way(
            name, chosen.images, again.right, again.logits, chosen.distance, chosen.broken_by,
            chosen.forwards, chosen.backwards, chosen.seconds,
        )  # fmt: skip


def _seed(seed: int, name: str, use: str) -> str:
    return f"{seed}/{name}/{use}"
