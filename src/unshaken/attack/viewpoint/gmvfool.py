"""GMVFool: a mixture of Gaussians over viewpoints that a model fails from, learned for each object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.viewpoint.base import ChosenViews, Objects, Render, RenderedViews, ViewAttack
from unshaken.attack.viewpoint.mixture import (
    ViewMixture,
    draw_components,
    entropy,
    entropy_slopes,
    mixture_rows,
    read_mixtures,
)
from unshaken.core.batch import Batch
from unshaken.core.driver import Outcome, drive
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.query import Answer
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

LEAST, MOST = 0.01, 0.15
"""Bounds of sigma."""
START = 0.1
"""Sigma at the start."""


class Population(State):
    """Viewpoints that are tried, before the tanh: the K means, then P points and their P mirror images.

    Args:
        u: `[N, K + 2 P, 6]`.
        k: the component of each coordinate of a pair, int64 `[N, P, 6]`.
        r: standard normal, `[N, P, 6]`.
    """

    u: Tensor
    k: Tensor
    r: Tensor


class Evolution(State):
    """The search of each object.

    Args:
        mixture: so far.
        velocity: of the means, `[N, K, 6]`.
        step: iterations done, int64 `[N]`.
    """

    mixture: ViewMixture
    velocity: Tensor
    step: Tensor


@dataclass(frozen=True, slots=True)
class Rates:
    """How the mixture follows the ranks.

    Args:
        entropy: weight lambda of the entropy.
        mu: learning rate of the means.
        decay: its factor from one iteration to the next.
        momentum: of the means' velocity.
        sigma: learning rate of the deviations.
        sigma_weight: whether the deviations' gradient is multiplied by omega, as in the published code, or divided by
            it, as that of the means.
    """

    entropy: float = 0.05
    mu: float = 0.1
    decay: float = 0.99
    momentum: float = 0.9
    sigma: float = 0.2
    sigma_weight: Literal["multiply", "divide"] = "multiply"


def populate(mixture: ViewMixture, rng: SampleRng, pairs: int) -> Population:
    """Draw a population.

    Args:
        mixture: of each object.
        rng: the objects' streams of this iteration.
        pairs: number P.
    """
    k = draw_components(rng, mixture.mu.shape[1], pairs, mixture.per_dim)
    r = rng.fold("r").normal(pairs, 6)
    centre, step = mixture.mu.gather(1, k), mixture.sigma.gather(1, k) * r
    return Population(torch.cat([mixture.mu, centre + step, centre - step], 1), k, r)


def centred_ranks(fitness: Tensor) -> Tensor:
    """`rank / (n - 1) - 1/2` along the last dimension, rank 0 the smallest; equal values in their order.

    >>> centred_ranks(torch.tensor([0.3, 2, -1, 0.7, 5])).tolist()
    [-0.25, 0.25, -0.5, 0.0, 0.5]
    """
    ranks = fitness.argsort(dim=-1, stable=True).argsort(dim=-1)
    return ranks.float() / max(1, fitness.shape[-1] - 1) - 0.5


def evolve(evolution: Evolution, population: Population, fitness: Tensor, rates: Rates) -> Evolution:
    """The mixture after an iteration.

    Symbols of the paper's code: `w` centred ranks, `c_k` the rank of the mean k, `r` standard normal, `omega = 1 / K`.

    Args:
        evolution: before it.
        population: drawn from its mixture.
        fitness: of each point, to be raised, `[N, K + 2 P]`.
        rates: of the change.
    """
    mixture, k, r = evolution.mixture, population.k, population.r
    mu, sigma, components, pairs = mixture.mu, mixture.sigma, mixture.mu.shape[1], k.shape[1]
    omega = 1 / components
    w = centred_ranks(fitness)
    c, plus, minus = w[:, :components], w[:, components : components + pairs], w[:, components + pairs :]
    count = _sums(k, torch.ones_like(r), components)
    many = count.clamp(min=1)

    # The means: sum over pairs of (w+ - w-) sigma_k r / omega.
    drawn = sigma.gather(1, k)
    by_mu = _sums(k, (plus - minus)[..., None] * drawn * r, components) / omega
    # The deviations: mean over pairs of ((w+ + w-) / 2 - c_k) (eps^2 - sigma^2) / (2 sigma).
    above = ((plus + minus) / 2)[..., None] - c[..., None].expand(-1, -1, 6).gather(1, k)
    by_sigma = _sums(k, above * ((drawn * r) ** 2 - drawn**2) / drawn / 2, components) / many
    by_sigma = by_sigma * (omega if rates.sigma_weight == "multiply" else 1 / omega)

    # The entropy: means over the component's draws, both of each pair, and its mean with r = 0.
    entropy_mu, entropy_sigma = entropy_slopes(mu, torch.zeros_like(mu), sigma)
    both = (population.u[:, components : components + pairs], r), (population.u[:, components + pairs :], -r)
    for u, normal in both:
        slope_mu, slope_sigma = entropy_slopes(u, normal, drawn)
        entropy_mu = entropy_mu + _sums(k, slope_mu, components)
        entropy_sigma = entropy_sigma + _sums(k, slope_sigma, components)
    draws = 2 * count + 1
    by_mu = by_mu + rates.entropy * omega * entropy_mu / draws
    by_sigma = by_sigma + rates.entropy * omega * entropy_sigma / draws

    velocity = rates.momentum * evolution.velocity + (1 - rates.momentum) * by_mu
    rate = rates.mu * rates.decay ** evolution.step.to(mu)[:, None, None]
    change = (rates.sigma * by_sigma).clamp(-0.2 * sigma, 0.2 * sigma)
    wide = (sigma + change).clamp(LEAST, MOST)
    wide = torch.where(wide > LEAST, (wide * 0.999).clamp(min=LEAST), wide)
    return Evolution(mixture.replace(mu=mu + rate * velocity, sigma=wide), velocity, evolution.step + 1)


def _sums(k: Tensor, values: Tensor, components: int) -> Tensor:
    """Sums over the draws of each component, `[N, K, 6]`, of values `[N, P, 6]`."""
    return values.new_zeros(len(values), components, 6).scatter_add(1, k, values)


FREE = {"all": (1, 1, 1, 1, 1, 1), "angles": (1, 1, 1, 0, 0, 0), "position": (0, 0, 0, 1, 1, 1)}
"""Coordinates that are searched; the others stay at the centre of the box."""


class MixtureState(State):
    """State of the search, one row an object.

    Args:
        objects: number and label.
        evolution: the mixture, and how it moves.
        fitness: mean cross-entropy of the last population, `[N]`.
        rng: the objects' streams.
    """

    objects: Objects
    evolution: Evolution
    fitness: Tensor
    rng: SampleRng


class MixtureResult(State):
    """Result of the search.

    Args:
        mixture: of each object.
        fitness: mean cross-entropy of the last population, in nats, `[N]`.
    """

    mixture: ViewMixture
    fitness: Tensor


class MixtureSearch:
    """The search as the driver runs it.

    Args:
        attack: its settings.
        render: makes pictures.
        start: mixtures to go on from, in the order of all objects; None for fresh ones.
    """

    def __init__(self, attack: GMVFool, render: Render, start: ViewMixture | None = None) -> None:
        self.attack, self.render, self.given = attack, render, start

    def start(self, samples: Any, rng: SampleRng) -> MixtureState:
        """The mixtures that were given, or means drawn from [-1, 1]."""
        objects: Objects = samples
        zero = torch.zeros_like(objects.labels)
        if self.given is None:
            mu = rng.fold("start").uniform(self.attack.components, 6, low=-1, high=1)
            mixture = ViewMixture(mu, torch.full_like(mu, START), self.attack.component == "per_dim")
        else:
            mixture = self.given[objects.number]
        evolution = Evolution(mixture, torch.zeros_like(mixture.mu), zero)
        return MixtureState(objects, evolution, zero.float(), rng)

    def ask(self, state: MixtureState) -> RenderedViews:
        """The logits of the population."""
        u = populate(state.evolution.mixture, state.rng.fold(state.evolution.step), self.attack.pairs).u
        return RenderedViews(self.attack.views(u), state.objects.number, self.render)

    def tell(self, state: MixtureState, answer: Answer) -> MixtureState:
        """Follow the ranks of the cross-entropy."""
        logits = required(answer.logits)
        labels = state.objects.labels[:, None].expand(logits.shape[:2])
        fitness = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        population = populate(state.evolution.mixture, state.rng.fold(state.evolution.step), self.attack.pairs)
        evolution = evolve(state.evolution, population, fitness, self.attack.rates)
        return state.replace(evolution=evolution, fitness=fitness.mean(1))

    def done(self, state: MixtureState) -> Tensor:
        """All iterations made."""
        return state.evolution.step >= self.attack.steps

    def result(self, state: MixtureState) -> MixtureResult:
        """The mixtures at the end of the search."""
        return MixtureResult(state.evolution.mixture, state.fitness)

    def goal(self, state: MixtureState) -> None:
        """None: a distribution is wanted, not one view that fools."""
        return


@register("gmvfool", reference="Ruan et al. 2023, arXiv:2307.10235")
class GMVFool(ViewAttack):
    """GMVFool: learns, for each object, a mixture of Gaussians over viewpoints that the model fails from.

    An evolution strategy on the ranks of the cross-entropy, with an entropy term that keeps the mixture wide. No
    gradient is needed, of the model or of the renderer. `views` then has draws of the mixture, `view_mixtures` the
    mixture itself, which `start` takes up again: with `steps=0` to show another model the same views. The
    published code has 50 pairs, 50 steps and a learning rate of 0.1, which is three times the renders.
    """

    components: PositiveInt = Field(default=5, le=64, description="K, Gaussians of the mixture")
    pairs: PositiveInt = Field(default=25, le=5000, description="antithetic pairs tried in a step, beside the K means")
    steps: NonNegativeInt = Field(default=30, le=10_000, description="steps of the search")
    entropy: NonNegativeFloat = Field(default=0.05, description="weight of the mixture's entropy")
    lr: PositiveFloat = Field(
        default=0.2,
        description="learning rate of the means; a step grows with the pairs, so more pairs need a smaller one",
    )
    component: Literal["joint", "per_dim"] = Field(
        default="joint", description="draw one component a view, or one a coordinate as the published code does"
    )
    sigma_weight: Literal["multiply", "divide"] = Field(
        default="multiply",
        description="multiply the deviations' gradient by 1/K, as the published code, or divide by it",
    )
    search: Literal["all", "angles", "position"] = Field(default="all", description="coordinates that are searched")
    start: str = Field(
        default="", description="run directory whose saved mixtures the search starts from; default none"
    )

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (f"{self.start.rstrip('/')}/rows/view_mixtures",) if self.start else ()

    @property
    def rates(self) -> Rates:
        """How the mixture follows the ranks."""
        return Rates(entropy=self.entropy, mu=self.lr, sigma_weight=self.sigma_weight)

    @cached_property
    def free(self) -> Tensor:
        """Coordinates that are searched, bool `[6]`."""
        return torch.tensor(FREE[self.search], dtype=torch.bool)

    def views(self, u: Tensor) -> Tensor:
        """Viewpoints of points `[..., 6]` of the search."""
        return self.box.view(u * self.free.to(u))

    def learn(
        self, objects: Objects, render: Render, oracle: Oracle, rng: SampleRng, start: ViewMixture | None = None
    ) -> Outcome[MixtureResult]:
        """Learn a mixture for each object.

        Args:
            objects: numbered from 0 in their order.
            render: makes pictures.
            oracle: runs the model and counts its passes.
            rng: the objects' streams.
            start: mixtures to go on from.
        """
        return drive(MixtureSearch(self, render, start), objects, oracle, rng, width=self.width(oracle.limit))

    @override
    def width(self, limit: int) -> int:
        return max(1, limit // (self.components + 2 * self.pairs))

    @override
    def choose(
        self, objects: Objects, ids: Sequence[str], render: Render, oracle: Oracle, rng: SampleRng
    ) -> ChosenViews:
        start = read_mixtures(self.start, ids, self.box).to(objects.labels.device) if self.start else None
        found = self.learn(objects, render, oracle, rng, start)
        u, k = found.result.mixture.draw(rng.fold("judged"), self.samples)
        result = found.result
        component = torch.full_like(k[..., 0], -1) if result.mixture.per_dim else k[..., 0]
        return ChosenViews(self.views(u), component, found.forwards, found.seconds, result.mixture, result.fitness)

    def most_passes(self, classes: int) -> int:
        """All populations, and the views that are judged."""
        return self.steps * (self.components + 2 * self.pairs) + self.samples

    @override
    def extra_rows(self, condition: Condition, batch: Batch, chosen: ChosenViews, broken: Tensor) -> list[Part]:
        mixture, fitness = chosen.mixture, chosen.fitness
        if mixture is None or fitness is None:
            return []
        width = entropy(mixture, self.box, self.free)
        turn = {
            "condition": [condition.id],
            "turn": [0],
            "attack": [self.info.name],
            "gradients": [False],
            "standing": [len(batch)],
            "broken": [int(broken.sum())],
            "forwards": [int(chosen.forwards.sum())],
            "backwards": [0],
            "seconds": [float(chosen.seconds.sum())],
        }
        return [
            Part("turns", condition, turn),
            mixture_rows(
                condition, batch.ids, mixture, self.box, entropy=width, fitness=fitness, renders=chosen.forwards
            ),
        ]
