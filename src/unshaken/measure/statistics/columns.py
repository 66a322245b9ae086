"""Columns of rows, checked once at the edge: flags, numbers and lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def flags(name: str, values: ArrayLike) -> Flags:
    """A column of yes and no as bool `[N]`.

    Args:
        name: what to call it in a message.
        values: booleans, or numbers that are 0 or 1.

    Raises:
        ParameterError: it is empty, not one-dimensional, has missing values, or others than 0 and 1.
    """
    column = _column(name, values)
    if column.dtype == np.bool_:
        return column
    column = _as_float(name, column)
    strange = (column != 0) & (column != 1)
    if strange.any():
        raise ParameterError(
            f"{name} must be true or false (1 or 0), but {strange.sum()} of {len(column)} values are not, "
            f"such as {column[strange][0]:g}"
        )
    return column.astype(np.bool_)


def numbers(name: str, values: ArrayLike, *, low: float = -np.inf, high: float = np.inf) -> Numbers:
    """A column of numbers as float64 `[N]`.

    Args:
        name: what to call it in a message.
        values: real numbers; infinity only where the range allows it.
        low: the least value allowed.
        high: the largest value allowed.

    Raises:
        ParameterError: it is empty, not one-dimensional, has missing values, or values outside the range.
    """
    column = _as_float(name, _column(name, values))
    outside = (column < low) | (column > high)
    if outside.any():
        raise ParameterError(
            f"{name} must lie in [{low:g}, {high:g}], but {outside.sum()} of {len(column)} values do not, "
            f"such as {column[outside][0]:g}"
        )
    return column


def finite_numbers(name: str, values: ArrayLike) -> Numbers:
    """A column of finite numbers as float64 `[N]`.

    Raises:
        ParameterError: it is empty, not one-dimensional, has missing values, or an infinite one.
    """
    largest = float(np.finfo(np.float64).max)
    return numbers(name, values, low=-largest, high=largest)


def integers(name: str, values: ArrayLike) -> Indices:
    """A column of whole numbers as int64 `[N]`.

    Raises:
        ParameterError: it is empty, not one-dimensional, has missing values, or a value is not whole.
    """
    column = _column(name, values)
    if np.issubdtype(column.dtype, np.integer):
        return column.astype(np.int64)
    column = _as_float(name, column)
    broken = (column != np.floor(column)) | np.isinf(column)
    if broken.any():
        raise ParameterError(
            f"{name} must be whole numbers, but {broken.sum()} of {len(column)} are not, such as {column[broken][0]:g}"
        )
    return column.astype(np.int64)


def same_length(**columns: NDArray[Any]) -> int:
    """The common length of columns.

    Raises:
        ParameterError: they differ.
    """
    if len({len(c) for c in columns.values()}) != 1:
        raise ParameterError(
            "columns must have one value a sample each, but their lengths are "
            + ", ".join(f"{name} {len(c)}" for name, c in columns.items())
        )
    return len(next(iter(columns.values())))


def _column(name: str, values: ArrayLike) -> NDArray[Any]:
    masked = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    column = np.asarray(values)
    if column.ndim != 1:
        raise ParameterError(f"{name} must be one column [N], not an array of shape {column.shape}")
    if not len(column):
        raise ParameterError(f"{name} is empty: there is no sample to measure")
    if column.dtype == np.object_:
        masked += sum(v is None for v in column)
    if masked:
        raise ParameterError(_missing(name, masked, len(column)))
    return column


def _as_float(name: str, column: NDArray[Any]) -> Numbers:
    try:
        out = column.astype(np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"{name} must be numbers, not {column.dtype} such as {column[0]!r}") from None
    nan = int(np.isnan(out).sum())
    if nan:
        raise ParameterError(_missing(name, nan, len(out)))
    return out


def _missing(name: str, count: int, n: int) -> str:
    return f"{name} has {count} missing values (NaN or null) in {n}: leave out the rows that have an error first"
