"""The principal directions of scaled filters, in which models are compared: fitted once, kept, used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.models.loaders.weights import read_weights

Numbers = NDArray[np.float64]


def scaled(filters: Numbers) -> Numbers:
    """Each filter divided by its own largest absolute weight; filters of zeros stay 0.

    Args:
        filters: `[n, d]`.
    """
    largest = np.abs(filters).max(1, keepdims=True)
    return np.asarray(filters / np.where(largest > 0, largest, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal directions of scaled filters.

    Args:
        mean: `[d]`, of the scaled filters.
        directions: `[d, d]`, a direction a row, the one with the largest variance first.
        shares: `[d]`, each one's share of the variance; their sum is 1.
    """

    mean: Numbers
    directions: Numbers
    shares: Numbers

    def coefficients(self, filters: Numbers) -> Numbers:
        """Filters, which are scaled here, in this basis.

        Args:
            filters: `[n, d]`.

        Raises:
            ParameterError: they have another size.
        """
        if filters.shape[1] != len(self.mean):
            raise ParameterError(
                f"filters of {filters.shape[1]} weights do not fit a basis of {len(self.mean)}: use kernels of one size"
            )
        return np.asarray((scaled(filters) - self.mean) @ self.directions.T)

    def tensors(self) -> dict[str, Tensor]:
        """As float64 tensors, to be kept in a safetensors file."""
        return {
            "basis_mean": torch.from_numpy(self.mean),
            "basis_directions": torch.from_numpy(self.directions),
            "basis_shares": torch.from_numpy(self.shares),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], source: str) -> Basis:
        """The basis that `tensors` kept.

        Raises:
            ModelError: it is not there, or not of one size.
        """
        names = ("basis_mean", "basis_directions", "basis_shares")
        if missing := [n for n in names if n not in tensors]:
            raise ModelError(
                f"{source} holds no basis of filters: {missing[0]!r} is missing; give arrays of filter-drift"
            )
        mean, directions, shares = (np.asarray(widen(tensors[n]).numpy()) for n in names)
        if directions.shape != (mean.size, mean.size) or shares.shape != mean.shape or mean.ndim != 1:
            raise ModelError(f"{source}: the parts of the basis have shapes that do not fit each other")
        return cls(mean, directions, shares)


def read_basis(path: str) -> Basis:
    """A basis from the arrays of an earlier `filter-drift`.

    Raises:
        ModelError: the file is absent or holds none.
    """
    return Basis.of_tensors(read_weights(Path(path)), path)


def fit_basis(pools: Sequence[Numbers]) -> Basis:
    """The basis of all filters of some pools together, from their covariance in float64.

    Args:
        pools: each `[n, d]`, unscaled.

    Raises:
        ParameterError: there is no filter, or all are equal once scaled, so that there is no direction.
    """
    rows = np.concatenate([scaled(p) for p in pools]) if len(pools) else np.zeros((0, 1))
    if not len(rows):
        raise ParameterError("there is no filter to fit a basis to")
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean))
    values = values[::-1].clip(0)
    if values.sum() <= 1e-20 * rows.size:
        raise ParameterError("all filters are equal once scaled: they have no principal directions")
    directions = vectors[:, ::-1].T
    leading = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    return Basis(mean, np.ascontiguousarray(directions * np.sign(leading)), values / values.sum())
