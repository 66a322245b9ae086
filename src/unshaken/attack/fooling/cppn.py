"""The CPPN encoding: a genome is a small graph from a pixel's place to its colour (Stanley 2007).

Genomes are padded matrices, so that a population varies and is drawn by a few array operations. Nodes 0 to 3 are the
inputs x, y, distance from the centre and bias; then come the outputs; the rest are hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from torch import Tensor

from unshaken.attack.fooling.direct import Genes, mutate
from unshaken.attack.fooling.map_elites import Evolution
from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.state import State

Wired = NDArray[np.bool_]
Places = NDArray[np.int64]


def reaches(wired: Wired) -> Wired:
    """Whether a way leads to the row's node from the column's; every node reaches itself.

    Args:
        wired: bool `[N, M, M]`.
    """
    m = wired.shape[1]
    reach = (wired | np.eye(m, dtype=bool)).astype(np.float32)
    for _ in range(max(1, (m - 1).bit_length())):
        reach = (reach @ reach > 0).astype(np.float32)
    return reach > 0


def acyclic_pairs(wired: Wired) -> Wired:
    """The connections that are absent and would close no circle."""
    return ~wired & ~reaches(wired).transpose(0, 2, 1)


def depths(wired: Wired) -> Places:
    """Length of the longest way into each node, int64 `[N, M]`; 0 where nothing leads in. The graphs have no circle."""
    depth = np.zeros(wired.shape[:2], np.int64)
    for _ in range(wired.shape[1]):
        new = np.where(wired, depth[:, None, :] + 1, 0).max(2)
        if np.array_equal(new, depth):
            break
        depth = new
    return depth


def chosen(allowed: Wired, rng: np.random.Generator) -> tuple[Places, Places, Places]:
    """One allowed place in each graph that has any, drawn uniformly.

    Args:
        allowed: bool `[N, A, B]`.
        rng: source of the draws.

    Returns:
        Graph, row and column of each, the graphs rising.
    """
    flat = allowed.reshape(len(allowed), -1)
    rows = np.flatnonzero(flat.any(1))
    count = flat[rows].sum(1)
    nth = (rng.random(len(rows)) * count).astype(np.int64)
    place = (flat[rows].cumsum(1) == nth[:, None] + 1).argmax(1)
    return rows, *np.divmod(place, allowed.shape[2])


def moved(allowed: Wired, to: Places, source: Places, at_source: Wired) -> Wired:
    """The allowed connections that share one end with a given one, its own place left out.

    Args:
        allowed: bool `[N, M, M]`.
        to: row of the given connection, `[N]`.
        source: its column, `[N]`.
        at_source: bool `[N]`: its source is to move, else its target.
    """
    n = np.arange(len(allowed))
    same = np.zeros_like(allowed)
    same[n[at_source], to[at_source]] = True
    same[n[~at_source], :, source[~at_source]] = True
    same[n, to, source] = False
    return allowed & same


INPUTS = 4
"""x, y, distance from the centre, bias."""

KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": torch.sin,
    "sigmoid": lambda p: torch.tanh(p / 2),  # 2 / (1 + exp(-p)) - 1
    "gaussian": lambda p: torch.exp(-p * p),
    "linear": lambda p: p.clamp(-3, 3) / 3,
}
"""The functions of nodes, from any sum to [-1, 1]."""

_AT_ONCE = 1 << 23
"""Values held in one piece of a population."""


def inputs(height: int, width: int, *, raw: bool) -> Tensor:
    """The inputs of a graph for each pixel.

    Args:
        height: in pixels.
        width: in pixels.
        raw: x and y as pixel numbers from 0, else over [-1, 1]. The distance from the centre is over [-1, 1] always.

    Returns:
        float64 `[4, height * width]`: x, y, distance, 1.
    """
    unit = [torch.linspace(-1, 1, n).double() if n > 1 else torch.zeros(1).double() for n in (height, width)]
    y, x = torch.meshgrid(*unit, indexing="ij")
    distance = (x * x + y * y).sqrt()
    if raw:
        y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    return torch.stack([x, y, distance, torch.ones_like(x)]).flatten(1)


def drawn(
    wired: Tensor, weight: Tensor, kind: Tensor, alive: Tensor, shape: tuple[int, int, int], *, raw: bool
) -> Tensor:
    """The images of graphs.

    Args:
        wired: bool `[N, M, M]`, without circles; see `unshaken.attack.fooling.cppn.Graphs`.
        weight: float64 `[N, M, M]`.
        kind: int64 `[N, M]`.
        alive: bool `[N, M]`.
        shape: channels (as many as outputs: 1 is grey; 3 are hue, lightness and saturation), height and width.
        raw: see `inputs`.

    Returns:
        uint8 `[N, C, H, W]`, in RGB where there are three channels.
    """
    outputs, height, width = shape
    place = inputs(height, width, raw=raw)
    piece = max(1, _AT_ONCE // (kind.shape[1] * place.shape[1]))
    parts = [
        answers(w, v, k, a, place)[:, INPUTS : INPUTS + outputs]
        for w, v, k, a in zip(*(torch.split(x, piece) for x in (wired, weight, kind, alive)), strict=True)
    ]
    pixels = (torch.cat(parts).abs() * 255).to(torch.uint8).reshape(-1, outputs, height, width)
    return pixels if outputs == 1 else from_hls(pixels)


def answers(wired: Tensor, weight: Tensor, kind: Tensor, alive: Tensor, place: Tensor) -> Tensor:
    """The value of every node at every pixel.

    A node is computed once all that lead to it are: what repeating synchronous updates as often as the graph is deep
    comes to. The nodes of each graph are sorted by depth first, so that all graphs go through the same places.

    Args:
        wired: bool `[N, M, M]`, without circles.
        weight: float64 `[N, M, M]`, 0 where nothing is wired.
        kind: int64 `[N, M]`.
        alive: bool `[N, M]`.
        place: float64 `[4, P]`, see `inputs`.

    Returns:
        float64 `[N, M, P]`, in [-1, 1] but for the inputs; 0 for nodes that do not exist.
    """
    n, m = kind.shape
    depth = torch.from_numpy(depths(wired.numpy())).masked_fill(~alive, m)
    depth[:, :INPUTS] = -1
    order = depth.argsort(dim=1, stable=True)
    rows = torch.arange(n)[:, None]
    sorted_weight = weight[rows[..., None], order[:, :, None], order[:, None, :]]
    sorted_kind = kind.gather(1, order).masked_fill(~alive.gather(1, order), len(KINDS))
    count = int(alive.sum(1).max())
    values = torch.zeros(n, count, place.shape[1], dtype=torch.float64)
    values[:, :INPUTS] = place
    for slot in range(INPUTS, count):
        total = torch.bmm(sorted_weight[:, slot : slot + 1, :slot], values[:, :slot])[:, 0]
        for number, function in enumerate(KINDS.values()):
            of = (sorted_kind[:, slot] == number).nonzero().flatten()
            values[of, slot] = function(total[of])
    back = order.argsort(1)
    return torch.cat([values, values.new_zeros(n, 1, place.shape[1])], 1)[rows, back.clamp(max=count)]


def from_hls(pixels: Tensor) -> Tensor:
    """RGB of hue, lightness and saturation in 8 bits; a step of hue is 2 degrees, as 8-bit images have it.

    Args:
        pixels: uint8 `[N, 3, H, W]`.

    Returns:
        The same shape and type.
    """
    hue, light, saturation = widen(pixels).unbind(1)
    hue, light, saturation = hue * 2 / 360, light / 255, saturation / 255
    upper = torch.where(light <= 0.5, light * (1 + saturation), light + saturation - light * saturation)
    lower = 2 * light - upper
    shift = torch.tensor([1 / 3, 0.0, -1 / 3], dtype=torch.float64).view(1, 3, 1, 1)
    turn = (hue[:, None] + shift) % 1
    rise, fall = (x.clamp(0, 1) for x in (6 * turn, 4 - 6 * turn))
    rgb = lower[:, None] + (upper - lower)[:, None] * torch.minimum(rise, fall)
    return (rgb * 255).round().clamp(0, 255).to(torch.uint8)


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

    coordinates: Literal["raw", "normalised"] = Field(
        default="raw", description="x and y as pixel numbers, or in [-1, 1]"
    )
    hidden: int = Field(default=20, ge=0, le=200, description="hidden nodes at most")
    add_connection: float = Field(default=0.5, ge=0, le=1, description="probability of a new connection")
    delete_connection: float = Field(default=0.3, ge=0, le=1, description="probability that a connection goes")
    change_connection: float = Field(
        default=0.5, ge=0, le=1, description="probability that one end of a connection moves"
    )
    add_node: float = Field(default=0.5, ge=0, le=1, description="probability that a connection is split by a new node")
    delete_node: float = Field(default=0.2, ge=0, le=1, description="probability that a hidden node goes")
    weight_rate: float = Field(default=0.1, ge=0, le=1, description="probability that a weight is mutated")
    eta_mutation: PositiveFloat = Field(default=15, description="distribution index of the weights' mutation")
    function_rate: float = Field(
        default=0.1, ge=0, le=1, description="probability that a node's function is drawn again"
    )

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
        """Images of the genomes: uint8 `[N, C, H, W]`, `255 |o|` without its fraction, or the colours of HLS."""
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
        """Remove one connection, drawn at random."""
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
