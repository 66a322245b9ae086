"""The direct encoding: a genome is the pixels. Simulated binary crossover and polynomial mutation."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from unshaken.attack.fooling.map_elites import Evolution
from unshaken.core.registry import register
from unshaken.core.state import State

Genes = NDArray[np.float64]


def polynomial_step(u: Genes, eta: float) -> Genes:
    """The step `d` of polynomial mutation (Deb & Agrawal 1999) for uniform draws.

    Args:
        u: in [0, 1).
        eta: distribution index; the larger, the shorter the steps.

    Returns:
        `d` in [-1, 1], as a share of the gene's range: `(2u)^(1/(eta+1)) - 1` below 0.5, else the mirror image.

    >>> polynomial_step(np.array([0.5, 0.25, 0.75]), 15).round(6).tolist()
    [0.0, -0.042397, 0.042397]
    """
    power = 1 / (eta + 1)
    return np.asarray(np.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 * (1 - u)) ** power))


def mutate(genes: Genes, rate: float, eta: float, rng: np.random.Generator, low: float = 0, high: float = 1) -> Genes:
    """Polynomial mutation of each gene with some probability, clipped to its range.

    Args:
        genes: any shape.
        rate: probability that a gene is changed.
        eta: see `polynomial_step`.
        rng: source of the draws.
        low: of the range.
        high: of the range.

    Returns:
        New genes, the same shape.
    """
    changed, at = genes.copy(), rng.random(genes.shape, dtype=np.float32) < rate
    steps = polynomial_step(rng.random(int(at.sum())), eta)
    changed[at] = np.clip(changed[at] + steps * (high - low), low, high)
    return changed


def simulated_binary_crossover(a: Genes, b: Genes, eta: float, rng: np.random.Generator) -> tuple[Genes, Genes]:
    """Two children around two parents in [0, 1], gene by gene (Deb & Agrawal 1995, bounded).

    The spread `beta` of a gene has density falling with `eta`; its draw is cut so that no child leaves the range. A
    gene that the parents share is copied. Which child gets which of the two values is a coin a gene.

    Args:
        a: genes of the first parents, any shape.
        b: of the second, the same shape.
        eta: distribution index; the larger, the nearer the children are to the parents.
        rng: source of the draws.

    Returns:
        Both children.
    """
    low, high, first, second = np.minimum(a, b), np.maximum(a, b), a.copy(), b.copy()
    differs = high - low > 1e-12
    y1, y2 = low[differs], high[differs]
    u, swap = rng.random(len(y1)), rng.random(len(y1)) < 0.5
    c1 = 0.5 * (y1 + y2 - _spread(u, y1 / (y2 - y1), eta) * (y2 - y1))
    c2 = 0.5 * (y1 + y2 + _spread(u, (1 - y2) / (y2 - y1), eta) * (y2 - y1))
    c1, c2 = np.clip(c1, 0, 1), np.clip(c2, 0, 1)
    first[differs], second[differs] = np.where(swap, c2, c1), np.where(swap, c1, c2)
    return first, second


def _spread(u: Genes, room: Genes, eta: float) -> Genes:
    """`beta` for draws, where the range ends `room` parent distances beyond the parent."""
    alpha = 2 - (1 + 2 * room) ** -(eta + 1)
    inner = np.clip(u * alpha, 0, None)
    outer = 1 / np.maximum(2 - inner, 1e-12)
    return np.asarray(np.where(u <= 1 / alpha, inner, outer) ** (1 / (eta + 1)))


class Pixels(State):
    """Genomes that are images.

    Args:
        genes: float64 `[N, C, H, W]` in [0, 1].
    """

    genes: Tensor


@register("direct", reference="Nguyen, Yosinski & Clune 2015, arXiv:1412.1897", group="fooling")
class Direct(Evolution):
    """The direct encoding: pixels drawn uniformly, crossed and mutated one by one.

    Published runs and the released code differ in one thing: the publication halves the mutation rate every 1,000
    generations (`halve_every=1000`), the code keeps it.
    """

    crossover_rate: float = Field(
        default=0.5, ge=0, le=1, description="probability that a pair is crossed, else copied"
    )
    eta_crossover: PositiveFloat = Field(default=10, description="distribution index of the crossover")
    mutation_rate: float = Field(default=0.1, ge=0, le=1, description="probability that a gene is mutated")
    eta_mutation: PositiveFloat = Field(default=15, description="distribution index of the mutation")
    halve_every: PositiveInt | None = Field(
        default=None, description="generations after which the mutation rate is halved"
    )

    def begin(self, n: int, shape: tuple[int, int, int], rng: np.random.Generator) -> Pixels:
        """Genomes drawn uniformly."""
        return Pixels(torch.from_numpy(rng.random((n, *shape))))

    def vary(self, parents: Pixels, generation: int, rng: np.random.Generator) -> Pixels:
        """Children of neighbours: rows 0 and 1 are a pair, and so on."""
        genes = parents.genes.numpy().copy()
        crossed = 2 * np.flatnonzero(rng.random(len(genes) // 2) < self.crossover_rate)
        genes[crossed], genes[crossed + 1] = simulated_binary_crossover(
            genes[crossed], genes[crossed + 1], self.eta_crossover, rng
        )
        return Pixels(torch.from_numpy(mutate(genes, self.rate_at(generation), self.eta_mutation, rng)))

    def rate_at(self, generation: int) -> float:
        """The mutation rate of a generation.

        >>> Direct(halve_every=1000).rate_at(2500)
        0.025
        """
        return self.mutation_rate * (1.0 if self.halve_every is None else math.pow(0.5, generation // self.halve_every))

    def draw(self, genomes: Pixels, shape: tuple[int, int, int]) -> Tensor:
        """Images of the genomes: uint8 `[N, C, H, W]`, `255 g` without its fraction."""
        return (genomes.genes * 255).to(torch.uint8)
