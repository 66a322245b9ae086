"""Slices of a data set: columns cut into parts, accuracy in each part, and a search for the parts that are failed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from scipy.stats import hypergeom

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, same_length
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.paired import holm, newcombe, share_difference

QUARTERS = (0.25, 0.5, 0.75)
"""Quantiles at which numbers are cut where no borders are given."""
FEW = 8
"""Distinct whole numbers up to which each is a part of its own."""
MOST_PARTS = 200
"""Parts of a column at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Slicing:
    """A column that divides the samples.

    Args:
        name: of the column; of two crossed columns both, joined by `*`.
        parts: names of the slices, numbers rising, words sorted.
        codes: each sample's place in `parts`, -1 where it has no value, int64 `[N]`.
    """

    name: str
    parts: tuple[str, ...]
    codes: Indices


def cut_column(name: str, values: Sequence[Any], borders: Sequence[float] = ()) -> Slicing:
    """Divide samples by a column: words by their value, numbers at borders or at their quartiles.

    Whole numbers of at most `FEW` different values are words, unless there are borders. A part begins at its lower
    border, which belongs to it.

    Args:
        name: of the column.
        values: strings, bools or numbers `[N]`; None or NaN where a sample has none.
        borders: rising; empty for the quartiles.

    Raises:
        ParameterError: there is no value; numbers and words are mixed; borders are not rising, or are given for words;
            there are more than `MOST_PARTS` parts.

    >>> cut_column("size", [1.5, 2.5, 3.5], [2, 3]).parts
    ('below 2', '2 to 3', '3 and above')
    """
    known = [v for v in values if not (v is None or (isinstance(v, float) and math.isnan(v)))]
    if not known:
        raise ParameterError(f"slices by {name!r}: no sample has a value of it")
    is_number = {isinstance(v, int | float) and not isinstance(v, bool) for v in known}
    if len(is_number) > 1:
        raise ParameterError(f"slices by {name!r}: the column mixes numbers and words; make it one of them")
    distinct = set(known)
    as_words = is_number == {False} or (len(distinct) <= FEW and all(float(v).is_integer() for v in distinct))
    if borders and is_number == {False}:
        raise ParameterError(f"slices by {name!r}: it is a column of words, which borders do not cut")
    if as_words and not borders:
        if len(distinct) > MOST_PARTS:
            raise ParameterError(f"slices by {name!r}: {len(distinct)} different values are more than {MOST_PARTS}")
        words = {v: f"{v:g}" if isinstance(v, float) else str(v) for v in sorted(distinct)}
        parts = tuple(dict.fromkeys(words.values()))
        place = {v: parts.index(word) for v, word in words.items()}
        return Slicing(name, parts, np.array([place.get(v, -1) for v in values], np.int64))
    edges = np.asarray(borders, np.float64)
    if len(edges) and not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ParameterError(f"slices by {name!r}: borders {list(borders)} must be finite and rise")
    numbers = np.array([math.nan if v is None else v for v in values], np.float64)
    if not len(edges):
        inner = np.unique(np.nanquantile(numbers, QUARTERS))
        edges = inner[inner > np.nanmin(numbers)]  # else nothing lies below the first
    if len(edges) >= MOST_PARTS:
        raise ParameterError(f"slices by {name!r}: {len(edges)} borders make more than {MOST_PARTS} parts")
    codes = np.searchsorted(edges, numbers, side="right")
    return Slicing(name, _spans(edges.tolist()), np.where(np.isnan(numbers), -1, codes))


def _spans(edges: Sequence[float]) -> tuple[str, ...]:
    """Names of the parts between borders, with as many digits as tell these apart."""
    if not edges:
        return ("all",)
    texts = next(t for d in range(3, 18) if len(set(t := [f"{e:.{d}g}" for e in edges])) == len(edges))
    between = (f"{low} to {high}" for low, high in pairwise(texts))
    return (f"below {texts[0]}", *between, f"{texts[-1]} and above")


def cross_slices(first: Slicing, second: Slicing) -> Slicing:
    """Divide samples by two columns at once: one part for each pair of parts that a sample is in.

    Raises:
        ParameterError: there are more than `MOST_PARTS` parts.
    """
    whole = (first.codes >= 0) & (second.codes >= 0)
    pairs = np.where(whole, first.codes * len(second.parts) + second.codes, -1)
    there, codes = np.unique(pairs[whole], return_inverse=True)
    name = f"{first.name}*{second.name}"
    if len(there) > MOST_PARTS:
        raise ParameterError(f"slices by {name!r}: {len(there)} pairs of parts are more than {MOST_PARTS}")
    out = np.full(len(pairs), -1)
    out[whole] = codes
    a, b = np.divmod(there, len(second.parts))
    return Slicing(name, tuple(f"{first.parts[i]}*{second.parts[j]}" for i, j in zip(a, b, strict=True)), out)


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """What a model does in one slice under one condition.

    Args:
        slicing: name of the column.
        part: of it.
        condition: place of the condition; 0 is unchanged.
        accuracy: in the slice.
        drop: accuracy under the condition less that on the same samples unchanged; None for unchanged ones.
    """

    slicing: str
    part: str
    condition: int
    accuracy: Figure
    drop: Figure | None


def slice_figures(
    right: np.ndarray[Any, Any], slicings: Sequence[Slicing], *, level: float = 0.95
) -> list[SliceFigures]:
    """Accuracy and its drop in every slice under every condition, with intervals that all hold together.

    Of M slices and conditions each interval has the level `1 - (1 - level) / M` (Bonferroni), those of the drops as a
    family of their own.

    Args:
        right: `[N, C]`: 1 right, 0 wrong, -1 unknown; the first column is of unchanged samples.
        slicings: of the samples.
        level: with which the intervals hold together.

    Returns:
        By slicing, part and condition; a slice without a known outcome is left out.
    """
    known = right >= 0
    both = known & known[:, :1]
    places = [(s, k, j) for s in slicings for k in range(len(s.parts)) for j in range(right.shape[1])]
    found = []
    cells = [(s, k, j, s.codes == k) for s, k, j in places if known[s.codes == k, j].any()]
    drops = sum(1 for *_, j, rows in cells if j and both[rows, j].any())
    each, paired = 1 - (1 - level) / max(1, len(cells)), 1 - (1 - level) / max(1, drops)
    for s, k, j, rows in cells:
        own = right[rows & known[:, j], j]
        drop = None
        if j and both[rows, j].any():
            before, after = (right[rows & both[:, j], c] for c in (0, j))
            lost, gained = int((before > after).sum()), int((after > before).sum())
            drop = share_difference(lost, gained, len(before), level=paired)
        found.append(SliceFigures(s.name, s.parts[k], j, share(int(own.sum()), len(own), level=each), drop))
    return found


# The search.


@dataclass(frozen=True, slots=True, eq=False)
class WeakSlice:
    """A slice that a search found on one half of the samples, measured on the other half.

    Args:
        parts: pairs of a column and its part, one or two.
        rows: the samples in it, of both halves, `[N]`.
        found: accuracy in the slice on the half that it was found on, too low by the choice.
        accuracy: on the other half; the intervals of all slices found hold together.
        gap: accuracy in the slice less that of all other samples, on the other half; simultaneous as well.
        p_value: of the gap's being none or above 0 on the other half, corrected for the slices found (Holm).
        confirmed: whether that shows the slice to be weak at the level.
    """

    parts: tuple[tuple[str, str], ...]
    rows: Flags
    found: float
    accuracy: Figure
    gap: Figure
    p_value: float
    confirmed: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    parts: tuple[tuple[str, str], ...]
    rows: Flags
    p: float


def find_weak_slices(
    right: Flags, slicings: Sequence[Slicing], first: Flags, *, least: int = 20, most: int = 10, level: float = 0.95
) -> list[WeakSlice]:
    """Search all slices of one column and of two for those where a model is worse than elsewhere.

    Slices are chosen on one half of the samples: by Fisher's exact test against all other samples, one-sided below
    0.05; one of two columns must also be worse than the rest of each of its columns' parts. Of slices that share more
    than half of their samples the clearest is taken. Each is tested again, in the same way, on the other half, which
    the choice has not seen; Holm's correction for the slices chosen bounds the chance that any slice is confirmed which
    is not worse than the other samples.

    Args:
        right: whether each sample's prediction is right, bool `[N]`.
        slicings: columns, not crossed.
        first: samples of the half to search, bool `[N]`, chosen without a look at `right`.
        least: samples of a slice in each half.
        most: slices chosen.
        level: 1 minus the chance of confirming any that is not worse.

    Returns:
        The slices chosen, the confirmed ones first, then by their gap.

    Raises:
        ParameterError: lengths differ, or a half has fewer than `2 * least` samples.
    """
    same_length(right=right, first=first, **{f"column {i}": s.codes for i, s in enumerate(slicings)})
    if min(first.sum(), (~first).sum()) < 2 * least:
        raise ParameterError(
            f"{len(first)} samples are too few to search for weak slices: each half must hold {2 * least} samples"
        )
    chosen = _choose(list(_lattice(right, slicings, first, least)), first, most)
    if not chosen:
        return []
    second, each = ~first, 1 - (1 - level) / len(chosen)
    corrected = holm([_below(right, one.rows & second, second) for one in chosen])
    weak = []
    for one, p in zip(chosen, corrected.tolist(), strict=True):
        own, rest = right[one.rows & second], right[~one.rows & second]
        gap = newcombe((int(own.sum()), int(rest.sum())), (len(own), len(rest)), level=each)
        accuracy = share(int(own.sum()), len(own), level=each)
        is_weak = p <= 1 - level and gap.high < 0
        weak.append(WeakSlice(one.parts, one.rows, float(right[one.rows & first].mean()), accuracy, gap, p, is_weak))
    return sorted(weak, key=lambda w: (not w.confirmed, w.gap.value))


def _below(right: Flags, own: Flags, of: Flags) -> float:
    """Fisher's exact one-sided p-value that samples `own` of `of` are no less often right than the rest of them."""
    return float(hypergeom.cdf(right[own].sum(), of.sum(), right[of].sum(), own.sum()))


def _lattice(right: Flags, slicings: Sequence[Slicing], first: Flags, least: int) -> Iterator[_Candidate]:
    """Slices that are worse on the first half, of one column and of two."""

    def fits(rows: Flags) -> bool:
        inside = (int((rows & half).sum()) for half in (first, ~first))
        outside = (int((~rows & half).sum()) for half in (first, ~first))
        return min(*inside) >= least and min(*outside) >= least

    singles = [
        [_Candidate(((s.name, part),), rows, 0.0) for k, part in enumerate(s.parts) if fits(rows := s.codes == k)]
        for s in slicings
    ]
    for one in (c for column in singles for c in column):
        p = _below(right, one.rows & first, first)
        if p < 0.05:
            yield replace(one, p=p)
    for left, other in combinations(singles, 2):
        for a in left:
            for b in other:
                rows = a.rows & b.rows
                if not fits(rows):
                    continue
                own, p = rows & first, _below(right, rows & first, first)
                if p < 0.05 and all(_below(right, own, parent.rows & first) < 0.05 for parent in (a, b)):
                    yield _Candidate((*a.parts, *b.parts), rows, p)


def _choose(candidates: list[_Candidate], first: Flags, most: int) -> list[_Candidate]:
    """The clearest candidates, none of which shares more than half of its samples with another."""
    chosen = list[_Candidate]()
    for one in sorted(candidates, key=lambda c: (c.p, c.parts)):
        own = one.rows & first
        if all((own & c.rows).sum() <= 0.5 * (own | (c.rows & first)).sum() for c in chosen):
            chosen.append(one)
        if len(chosen) == most:
            break
    return chosen
