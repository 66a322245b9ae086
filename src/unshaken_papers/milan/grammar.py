"""Synthetic units: each follows one to three attributes, drawn as small images described in incomplete sentences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.explain.units.captioner import words_of
from unshaken.explain.units.concepts import COLOURS
from unshaken_papers.milan import MOST_ATTRIBUTES

SHAPES = ("square", "disc", "triangle", "cross", "ring", "diamond")
TEXTURES = ("plain", "striped", "dotted", "checked", "noisy")
PLACES = ("top-left", "top-right", "bottom-left", "bottom-right")
KINDS = (tuple(COLOURS), SHAPES, TEXTURES, PLACES)
WORDS = frozenset(itertools.chain(*KINDS))
SIDE, HALF = 32, 16
DROPPED = 0.4
"""Chance that a reference does not name an attribute."""
REFERENCES = 3


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A unit that follows attributes.

    Args:
        attributes: its value of each kind, by place; None where any will do.
        shown: the values of each exemplar, int64 `[k, 4]`.
        texts: references.
    """

    attributes: tuple[int | None, ...]
    shown: NDArray[np.int64]
    texts: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """The attributes in words."""
        return frozenset(kind[a] for kind, a in zip(KINDS, self.attributes, strict=True) if a is not None)


def synthetic_units(n: int, rng: np.random.Generator, k: int = 15) -> list[Synthetic]:
    """Units of different attributes, one to three of them, in random order.

    Args:
        n: units; there are 929 different ones.
        rng: draws them.
        k: exemplars of a unit.
    """
    known: dict[tuple[int | None, ...], None] = {}
    while len(known) < n:
        kinds = set(rng.permutation(len(KINDS))[: int(rng.integers(1, MOST_ATTRIBUTES + 1))].tolist())
        known[tuple(int(rng.integers(len(kind))) if i in kinds else None for i, kind in enumerate(KINDS))] = None
    chosen = list(known)
    return [_unit(chosen[i], rng, k) for i in rng.permutation(n)]


def _unit(attributes: tuple[int | None, ...], rng: np.random.Generator, k: int) -> Synthetic:
    shown = np.stack([rng.integers(0, len(kind), k) for kind in KINDS], 1)
    for i, a in enumerate(attributes):
        if a is not None:
            shown[:, i] = a
    return Synthetic(attributes, shown, tuple(reference(attributes, rng) for _ in range(REFERENCES)))


def reference(attributes: Sequence[int | None], rng: np.random.Generator) -> str:
    """A sentence that leaves attributes out by chance."""
    named = [
        None if a is None or rng.random() < DROPPED else kind[a] for kind, a in zip(KINDS, attributes, strict=True)
    ]
    colour, shape, texture, place = named
    head = " ".join(word for word in ("a", texture, colour, shape or "shape") if word)
    return head if place is None else f"{head} at the {place}"


def attributes_named(text: str) -> frozenset[str]:
    """The attributes that a text names.

    >>> sorted(attributes_named("a striped red shape at the top-left"))
    ['red', 'striped', 'top-left']
    """
    return WORDS & set(words_of(text))


def scores(named: frozenset[str], wanted: frozenset[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the attributes named; 0 where nothing right is named.

    >>> scores(frozenset({"red", "ring"}), frozenset({"red"}))
    (0.5, 1.0, 0.6666666666666666)
    """
    hits = len(named & wanted)
    if not hits:
        return 0.0, 0.0, 0.0
    precision, recall = hits / len(named), hits / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall)


def drawn(shown: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images float32 `[n, 3, 32, 32]` and the masks of their shapes, bool `[n, 32, 32]`.

    Args:
        shown: values of each kind, int64 `[n, 4]`.
        rng: draws the ground's noise.
    """
    n = len(shown)
    images = torch.from_numpy(rng.uniform(0.35, 0.65, (n, 3, SIDE, SIDE)).astype(np.float32))
    masks = torch.zeros(n, SIDE, SIDE, dtype=torch.bool)
    shapes, textures, colours = _shapes(), _textures(rng), torch.tensor(list(COLOURS.values()))
    for i, (colour, shape, texture, place) in enumerate(shown.tolist()):
        top, left = (HALF * v for v in divmod(place, 2))
        inside = shapes[shape]
        patch = images[i, :, top : top + HALF, left : left + HALF]
        patch[:, inside] = (colours[colour][:, None, None] * textures[texture])[:, inside]
        masks[i, top : top + HALF, left : left + HALF] = inside
    return images.clamp(0, 1), masks


def _shapes() -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(HALF) - 7.5, torch.arange(HALF) - 7.5, indexing="ij")
    radius = (rows**2 + columns**2).sqrt()
    return torch.stack(
        [
            (rows.abs() < 6) & (columns.abs() < 6), radius < 7, (rows > -7) & (columns.abs() < (rows + 7) / 2),
            ((rows.abs() < 2.5) | (columns.abs() < 2.5)) & (radius < 8), (radius < 7.5) & (radius > 4),
            rows.abs() + columns.abs() < 7.5,
        ]
    )  # fmt: skip


def _textures(rng: np.random.Generator) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(HALF), torch.arange(HALF), indexing="ij")
    dark = torch.stack(
        [
            torch.zeros(HALF, HALF, dtype=torch.bool), columns % 4 < 2, (rows % 4 < 2) & (columns % 4 < 2),
            (rows // 2 + columns // 2) % 2 == 0, torch.from_numpy(rng.random((HALF, HALF)) < 0.5),
        ]
    )  # fmt: skip
    return torch.where(dark, 0.35, 1.0)
