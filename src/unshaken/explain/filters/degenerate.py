"""Layers that a network does not use well, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SPARSE, LOW_VARIANCE, RANDOM = "sparse", "low-variance", "random"
KINDS = (SPARSE, LOW_VARIANCE, RANDOM)
FEWEST = 16
"""Filters that an entropy needs to say anything of a layer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a layer counts as degenerate.

    Args:
        sparse: share of filters next to nothing, above which it is `sparse`.
        entropy: variance entropy below which it is `low-variance`: few directions, repeated.
    """

    sparse: float = 0.5
    entropy: float = 0.5


def degenerate_kinds(
    sparsity: float, entropy: float, random_entropy: float | None, filters: int, bounds: Bounds | None = None
) -> tuple[str, ...]:
    """The kinds that a layer is of: `sparse`, `low-variance`, `random` (as an untrained one); empty for none.

    Args:
        sparsity: share of filters next to nothing.
        entropy: variance entropy H.
        random_entropy: the threshold T_H of as many Gaussian filters; None where it is not known.
        filters: their number; below 16 the entropy is not judged.
        bounds: default those of `Bounds`.

    >>> degenerate_kinds(0.0, 0.96, 0.95, 4096), degenerate_kinds(0.6, 0.3, 0.95, 4096)
    (('random',), ('sparse', 'low-variance'))
    """
    limit = bounds or Bounds()
    enough = filters >= FEWEST
    marks = {
        SPARSE: sparsity > limit.sparse,
        LOW_VARIANCE: enough and entropy < limit.entropy,
        RANDOM: enough and random_entropy is not None and entropy >= random_entropy,
    }
    return tuple(kind for kind in KINDS if marks[kind])


def count_kinds(layers: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """How many layers are of each kind."""
    return {kind: sum(kind in one for one in layers) for kind in KINDS}
