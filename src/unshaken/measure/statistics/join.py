"""Rows of many conditions brought together by sample id, with nothing missing in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, same_length

Column = Sequence[Any] | NDArray[Any]
"""Ids or names: a list, an array of strings or whole numbers, or a pyarrow array."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumn:
    """A column of ids or names as numbers.

    Args:
        names: the distinct values, sorted.
        codes: int64 `[N]`, each row's place in `names`.
    """

    names: tuple[Any, ...]
    codes: Indices


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One row a sample, one column a condition.

    Args:
        ids: the samples, sorted, so that nothing depends on the order of the rows.
        values: bool `[N, K]`.
        dropped: samples left out because a condition lacked them.
    """

    ids: tuple[Any, ...]
    values: Flags
    dropped: int


def encode(name: str, values: Column) -> CodedColumn:
    """A column of ids or names as codes.

    Args:
        name: what to call it in a message.
        values: strings or whole numbers `[N]`.

    Raises:
        ParameterError: it is empty, holds nulls, mixes types, or is of another type.
    """
    try:
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise ParameterError(f"{name} must be one column of strings or of whole numbers, not a mixture") from None
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # a dictionary may hold names that no row has any more
    if column.null_count:
        raise ParameterError(f"{name} has {column.null_count} missing values in {len(column)}: every row needs one")
    if not len(column):
        raise ParameterError(f"{name} is empty: there is no sample to measure")
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    if not any(kind(column.type) for kind in kinds):
        raise ParameterError(f"{name} must be strings or whole numbers, not {column.type}")
    coded = column.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    order = sorted(range(len(distinct)), key=distinct.__getitem__)
    place = np.empty(len(distinct), np.int64)
    place[order] = np.arange(len(distinct))
    return CodedColumn(tuple(distinct[i] for i in order), place[coded.indices.to_numpy(zero_copy_only=False)])


def tabulate(samples: CodedColumn, conditions: CodedColumn, values: Flags, *, complete_only: bool = False) -> Table:
    """Rows of (sample, condition, value) as a table.

    Args:
        samples: the rows' ids.
        conditions: the rows' conditions.
        values: bool `[R]`.
        complete_only: leave out samples that lack a condition, and count them, instead of raising.

    Raises:
        ParameterError: a pair stands twice; a sample lacks a condition; no sample has all.
    """
    same_length(ids=samples.codes, conditions=conditions.codes, values=values)
    n, k = len(samples.names), len(conditions.names)
    place = samples.codes * k + conditions.codes
    counts = np.bincount(place, minlength=n * k).reshape(n, k)
    if (counts > 1).any():
        i, j = np.argwhere(counts > 1)[0]
        raise ParameterError(
            f"{(counts > 1).sum()} pairs of sample and condition stand more than once, such as "
            f"{samples.names[i]!r} in {conditions.names[j]!r}: merge the shards without overlap"
        )
    whole = (counts > 0).all(1)
    missing = int((~whole).sum())
    if missing and not (complete_only and whole.any()):
        i, j = np.argwhere(counts == 0)[0]
        raise ParameterError(
            f"{missing} of {n} samples lack a row in at least one of {k} conditions, such as "
            f"{samples.names[i]!r} in {conditions.names[j]!r}: finish the run, or take complete samples only"
        )
    table = np.zeros(n * k, np.bool_)
    table[place] = values
    ids = samples.names if not missing else tuple(np.array(samples.names, object)[whole])
    return Table(ids, table.reshape(n, k)[whole], missing)


def match(ids_a: Column, ids_b: Column, *, complete_only: bool = False) -> tuple[Indices, Indices]:
    """Where the same samples stand in two columns of ids.

    Args:
        ids_a: ids of one side, each once.
        ids_b: ids of the other side.
        complete_only: take the ids that both sides have, instead of raising.

    Returns:
        Two int64 arrays `[N]`: places in a and in b, ordered by id.

    Raises:
        ParameterError: an id stands twice on a side; an id is missing on a side; no id is common.
    """
    a, b = encode("ids of the first side", ids_a), encode("ids of the second side", ids_b)
    for side, column in (("first", a), ("second", b)):
        if len(column.names) != len(column.codes):
            twice = column.names[int(np.bincount(column.codes).argmax())]
            raise ParameterError(f"ids must stand once on each side, but {twice!r} is repeated on the {side} side")
    place_a, place_b = np.argsort(a.codes), np.argsort(b.codes)
    if a.names == b.names:
        return place_a, place_b
    known_a, known_b = dict(zip(a.names, place_a, strict=True)), dict(zip(b.names, place_b, strict=True))
    common = [i for i in a.names if i in known_b]
    if not common or not complete_only:
        only_a, only_b = [i for i in a.names if i not in known_b], [i for i in b.names if i not in known_a]
        raise ParameterError(
            f"the two sides are not the same samples: {len(only_a)} of {len(known_a)} ids are missing on the second "
            f"side, {len(only_b)} of {len(known_b)} on the first, such as {(only_a or only_b)[0]!r}"
        )
    return np.array([known_a[i] for i in common]), np.array([known_b[i] for i in common])
