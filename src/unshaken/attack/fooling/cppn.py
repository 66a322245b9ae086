"""The CPPN encoding: a genome is a small graph from a pixel's place to its colour (Stanley 2007).

Genomes are padded matrices, so that a population varies and is drawn by a few array operations. Nodes 0 to 3 are the
inputs x, y, distance from the centre and bias; then come the outputs; the rest are hidden.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from torch import Tensor

from unshaken.attack.fooling.cppn_draw import INPUTS, KINDS, drawn
from unshaken.attack.fooling.direct import Genes, mutate
from unshaken.attack.fooling.graphs import Wired, acyclic_pairs, chosen, moved, reaches
from unshaken.attack.fooling.map_elites import Evolution
from unshaken.core.registry import register
from unshaken.core.state import State

WEIGHT = 10.0
"""Weights lie in [-WEIGHT, WEIGHT]."""


class Graphs(State):
    """Genomes that are graphs of at most M nodes.

    Args:
        wired: bool `[N, M, M]`: a connection to the row's node from the column's.
        weight: float64 `[N, M, M]`, 0 where nothing is wired.
        kind: int64 `[N, M]`, place of the node's function in `KINDS`; without meaning for inputs.
        alive: bool `[N, M]`: the node exists.
    """

    wired: Tensor
    weight: Tensor
    kind: Tensor
    alive: Tensor


@register("cppn", reference="Nguyen, Yosinski & Clune 2015, arXiv:1412.1897", group="fooling")
class Cppn(Evolution):
    """The CPPN encoding: graphs that grow from inputs wired straight to outputs. Structures are not crossed.

    The released code feeds raw pixel numbers x and y (`coordinates="raw"`), which gives fine stripes; the distance
    always runs over [-1, 1] coordinates. The rates are of one child.
    """

    coordinates: Literal["raw", "normalised"] = Field("raw", description="x and y as pixel numbers, or in [-1, 1]")
    hidden: int = Field(20, ge=0, le=200, description="hidden nodes at most")
    add_connection: float = Field(0.5, ge=0, le=1, description="probability of a new connection")
    delete_connection: float = Field(0.3, ge=0, le=1, description="probability that a connection goes")
    change_connection: float = Field(0.5, ge=0, le=1, description="probability that one end of a connection moves")
    add_node: float = Field(0.5, ge=0, le=1, description="probability that a connection is split by a new node")
    delete_node: float = Field(0.2, ge=0, le=1, description="probability that a hidden node goes")
    weight_rate: float = Field(0.1, ge=0, le=1, description="probability that a weight is mutated")
    eta_mutation: PositiveFloat = Field(15, description="distribution index of the weights' mutation")
    function_rate: float = Field(0.1, ge=0, le=1, description="probability that a node's function is drawn again")

    def begin(self, n: int, shape: tuple[int, int, int], rng: np.random.Generator) -> Graphs:
        """Every input wired to every output; weights and functions drawn uniformly."""
        outputs = shape[0]
        m = INPUTS + outputs + self.hidden
        wired, alive = np.zeros((n, m, m), bool), np.zeros((n, m), bool)
        wired[:, INPUTS : INPUTS + outputs, :INPUTS] = True
        alive[:, : INPUTS + outputs] = True
        weight = np.where(wired, rng.uniform(-WEIGHT, WEIGHT, wired.shape), 0.0)
        return _graphs(wired, weight, rng.integers(0, len(KINDS), (n, m)), alive)

    def vary(self, parents: Graphs, generation: int, rng: np.random.Generator) -> Graphs:
        """Copies of each pair in random order, each mutated."""
        n = len(parents)
        swap = np.repeat(rng.random(n // 2) < 0.5, 2)
        rows = np.arange(n) ^ swap  # the other of the pair
        child = _Children(parents, rows, outputs=self._outputs(parents))
        child.add_connection(rng.random(n) < self.add_connection, rng)
        child.delete_connection(rng.random(n) < self.delete_connection, rng)
        child.change_connection(rng.random(n) < self.change_connection, rng)
        child.add_node(rng.random(n) < self.add_node, rng)
        child.delete_node(rng.random(n) < self.delete_node, rng)
        child.prune()
        weight = mutate(child.weight, self.weight_rate, self.eta_mutation, rng, -WEIGHT, WEIGHT)
        redrawn = rng.random(child.kind.shape) < self.function_rate
        kind = np.where(redrawn, rng.integers(0, len(KINDS), child.kind.shape), child.kind)
        return _graphs(child.wired, np.where(child.wired, weight, 0.0), kind, child.alive)

    def draw(self, genomes: Graphs, shape: tuple[int, int, int]) -> Tensor:
        """What the genomes look like: uint8 `[N, C, H, W]`, `255 |o|` without its fraction, or the colours of HLS."""
        g, raw = genomes, self.coordinates == "raw"
        return drawn(g.wired, g.weight, g.kind, g.alive, shape, raw=raw)

    def _outputs(self, genomes: Graphs) -> int:
        return genomes.kind.shape[1] - INPUTS - self.hidden


class _Children:
    """Copies of parents under structural mutation; every operator acts on the rows whose coin fell so."""

    def __init__(self, parents: Graphs, rows: NDArray[Any], outputs: int) -> None:
        self.wired = parents.wired.numpy()[rows].copy()
        self.weight: Genes = parents.weight.numpy()[rows].copy()
        self.kind = parents.kind.numpy()[rows].copy()
        self.alive = parents.alive.numpy()[rows].copy()
        self.hidden = INPUTS + outputs
        nodes = np.arange(self.kind.shape[1])
        self.target, self.source = nodes >= INPUTS, (nodes < INPUTS) | (nodes >= self.hidden)

    def add_connection(self, on: NDArray[Any], rng: np.random.Generator) -> None:
        """A connection drawn from all that are absent and close no circle."""
        rows, to, source = chosen(self._allowed() & on[:, None, None], rng)
        self._wire(rows, to, source, rng.uniform(-WEIGHT, WEIGHT, len(rows)))

    def delete_connection(self, on: NDArray[Any], rng: np.random.Generator) -> None:
        """One connection goes."""
        self._cut(*chosen(self.wired & on[:, None, None], rng))

    def change_connection(self, on: NDArray[Any], rng: np.random.Generator) -> None:
        """One end of a connection moves, its weight stays; nothing happens where it has nowhere to go."""
        rows, to, source = chosen(self.wired & on[:, None, None], rng)
        weight = self.weight[rows, to, source]
        self._cut(rows, to, source)
        free = np.zeros_like(self.wired)
        free[rows] = moved(self._allowed()[rows], to, source, rng.random(len(rows)) < 0.5)
        at, new_to, new_source = chosen(free, rng)
        place = np.searchsorted(rows, at)
        to[place], source[place] = new_to, new_source
        self._wire(rows, to, source, weight)

    def add_node(self, on: NDArray[Any], rng: np.random.Generator) -> None:
        """A connection is split: 1 into the new node, the old weight out of it."""
        free = ~self.alive
        free[:, : self.hidden] = False
        rows, to, source = chosen(self.wired & (on & free.any(1))[:, None, None], rng)
        node, weight = free[rows].argmax(1), self.weight[rows, to, source]
        self._cut(rows, to, source)
        self._wire(rows, node, source, np.ones(len(rows)))
        self._wire(rows, to, node, weight)
        self.alive[rows, node] = True
        self.kind[rows, node] = rng.integers(0, len(KINDS), len(rows))

    def delete_node(self, on: NDArray[Any], rng: np.random.Generator) -> None:
        """A hidden node goes with its connections."""
        hidden = self.alive & on[:, None]
        hidden[:, : self.hidden] = False
        rows, node, _ = chosen(hidden[:, :, None], rng)
        gone = np.zeros_like(hidden)
        gone[rows, node] = True
        self._remove(gone)

    def prune(self) -> None:
        """Hidden nodes from which no way leads to an output go."""
        useful: Wired = np.asarray(reaches(self.wired)[:, INPUTS : self.hidden].any(1))
        useful[:, : self.hidden] = True
        self._remove(self.alive & ~useful)

    def _allowed(self) -> NDArray[Any]:
        ends = (self.alive & self.target)[:, :, None] & (self.alive & self.source)[:, None, :]
        return np.asarray(acyclic_pairs(self.wired) & ends)

    def _wire(self, rows: NDArray[Any], to: NDArray[Any], source: NDArray[Any], weight: Genes) -> None:
        self.wired[rows, to, source] = True
        self.weight[rows, to, source] = weight

    def _cut(self, rows: NDArray[Any], to: NDArray[Any], source: NDArray[Any]) -> None:
        self.wired[rows, to, source] = False
        self.weight[rows, to, source] = 0

    def _remove(self, gone: NDArray[Any]) -> None:
        self.alive &= ~gone
        self.wired &= ~(gone[:, :, None] | gone[:, None, :])
        self.weight *= self.wired


def _graphs(wired: NDArray[Any], weight: Genes, kind: NDArray[Any], alive: NDArray[Any]) -> Graphs:
    return Graphs(*(torch.from_numpy(x) for x in (wired, weight, kind, alive)))
