"""Error under common corruptions: mean error, CE, mCE and relative mCE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, flags, integers, same_length
from unshaken.measure.statistics.intervals import Figure, bootstrap_means, clopper_pearson, percent
from unshaken.measure.statistics.join import CodedColumn, Column, encode, match, tabulate
from unshaken.measure.statistics.means import mean_figure

BENCHMARK = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions of mCE, in the authors' order."""

VALIDATION = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The 4 corruptions held out for tuning; not part of mCE."""

ALEXNET_ERROR: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
        "speckle_noise": 0.845388,
        "gaussian_blur": 0.787108,
        "spatter": 0.717512,
        "saturate": 0.658248,
    }
)
"""AlexNet's top-1 error on each corruption, the mean of severities 1 to 5 (Hendrycks & Dietterich 2019)."""

ALEXNET_CLEAN_ERROR = 0.435
"""AlexNet's top-1 error on the clean images, as the authors use it for relative mCE."""

SEVERITIES = (1, 2, 3, 4, 5)
"""The severities that `ALEXNET_ERROR` is the mean of."""

Cell = tuple[str, int]
"""A corruption and a severity."""


@dataclass(frozen=True, slots=True)
class CorruptionError:
    """Errors of one model under corruptions; all are shares, so AlexNet's own mCE is 1 and not 100.

    Args:
        n: samples, each with a row in every cell.
        dropped: samples left out because a cell lacked them.
        mean_error: mean over the corruptions of the mean over their severities, whichever were run. On CIFAR-C this
            is by custom what is called mCE.
        by_corruption: the mean over severities for each corruption.
        by_cell: the error of each corruption at each severity, with a Clopper-Pearson interval.
        ce: `sum_s E_sc / sum_s E_sc(AlexNet)` for the corruptions where it applies.
        mce: mean of `ce` over the 15 of the benchmark, or None.
        relative_mce: mean over the 15 of `sum_s (E_sc - E_clean)` over the same of AlexNet, or None.
        without_mce: why `mce` is None; empty when it is given.
        without_relative_mce: why `relative_mce` is None; empty when it is given.
    """

    n: int
    dropped: int
    mean_error: Figure
    by_corruption: dict[str, Figure]
    by_cell: dict[Cell, Figure]
    ce: dict[str, Figure]
    mce: Figure | None
    relative_mce: Figure | None
    without_mce: str
    without_relative_mce: str


def corruption_error(
    ids: Column,
    corruption: Column,
    severity: ArrayLike,
    correct: ArrayLike,
    *,
    imagenet: bool,
    clean_ids: Column | None = None,
    clean_correct: ArrayLike | None = None,
    not_comparable: Mapping[str, str] | None = None,
    complete_only: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CorruptionError:
    """All errors under corruptions from one row a sample, corruption and severity, in any order.

    Intervals come from a bootstrap over samples: a resampled id brings its rows in all cells and its clean row, so
    that the cells' dependence remains. Where no or few samples err, they hold as well: see `mean_figure`.

    Args:
        ids: the rows' sample ids `[R]`.
        corruption: their corruptions' names.
        severity: their severities, 1 to 5 in the benchmark.
        correct: their correctness.
        imagenet: the samples are ImageNet's in ImageNet-C's form, so that AlexNet's errors are the right unit.
        clean_ids: ids of the clean rows, which must hold all of `ids`; for relative mCE.
        clean_correct: correctness of the clean rows.
        not_comparable: corruptions that differ from the benchmark's, with the reason, as in
            `{"frost": "made with the procedural texture"}`.
        complete_only: leave out samples that lack a cell or a clean row, and count them, instead of raising.
        level: coverage of the intervals.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ParameterError: a sample lacks a cell or stands in it twice; a value is missing; lengths differ; only one of
            `clean_ids` and `clean_correct` is given.

    Source: Hendrycks & Dietterich 2019, arXiv:1903.12261, section 4.
    """
    right, strength = flags("correct", correct), integers("severity", severity)
    samples, names = encode("ids", ids), encode("corruption", corruption)
    same_length(ids=samples.codes, corruption=names.codes, severity=strength, correct=right)
    cells, codes = _cells(names, strength)
    table = tabulate(samples, CodedColumn(cells, codes), ~right, complete_only=complete_only)
    wrong, complete, dropped = table.values, table.ids, table.dropped
    clean = None
    if (clean_ids is None) != (clean_correct is None):
        raise ParameterError("give clean_ids and clean_correct together, or neither")
    if clean_ids is not None and clean_correct is not None:
        rows, clean = _clean(complete, clean_ids, flags("clean_correct", clean_correct), complete_only)
        wrong, dropped = wrong[rows], dropped + len(complete) - len(rows)
    return _errors(cells, wrong, clean, dropped, imagenet, not_comparable or {}, level, resamples, seed)


def corruption_error_of_matrix(
    cells: Sequence[Cell],
    wrong: Flags,
    *,
    clean_wrong: Flags,
    imagenet: bool,
    not_comparable: Mapping[str, str] | None = None,
) -> CorruptionError:
    """All errors under corruptions from one row a sample and one column a cell; see `corruption_error`.

    Args:
        cells: corruptions and severities, sorted, `[K]`.
        wrong: bool `[N, K]`.
        clean_wrong: bool `[N]`, of the clean images.
        imagenet: as in `corruption_error`.
        not_comparable: likewise.
    """
    return _errors(tuple(cells), wrong, clean_wrong, 0, imagenet, not_comparable or {}, 0.95, 2000, 0)


def _cells(names: CodedColumn, severity: Indices) -> tuple[tuple[Cell, ...], Indices]:
    strengths, place = np.unique(severity, return_inverse=True)
    met, codes = np.unique(names.codes * len(strengths) + place, return_inverse=True)
    cells = tuple((str(names.names[c // len(strengths)]), int(strengths[c % len(strengths)])) for c in met.tolist())
    return cells, codes


def _clean(ids: tuple[object, ...], clean_ids: Column, right: Flags, complete_only: bool) -> tuple[Indices, Flags]:
    """Places in `ids` that have a clean row, and that row's error."""
    known = encode("clean_ids", clean_ids)
    same_length(clean_ids=known.codes, clean_correct=right)
    wanted = set(ids)
    inside = np.array([name in wanted for name in known.names])[known.codes]
    chosen = [known.names[c] for c in known.codes[inside].tolist()]
    if not chosen:
        raise ParameterError(f"none of the {len(ids)} samples has a clean row: the ids of both must be the same")
    rows, place = match(list(ids), chosen, complete_only=complete_only)
    return rows, ~right[inside][place]


def _errors(
    cells: tuple[Cell, ...],
    wrong: Flags,
    clean: Flags | None,
    dropped: int,
    imagenet: bool,
    not_comparable: Mapping[str, str],
    level: float,
    resamples: int,
    seed: int,
) -> CorruptionError:
    n = len(wrong)
    names = tuple(dict.fromkeys(name for name, _ in cells))
    columns = [[j for j, (name, _) in enumerate(cells) if name == c] for c in names]
    per_sample = np.stack([wrong[:, j].mean(1) for j in columns] + ([] if clean is None else [clean]), 1)
    draws = bootstrap_means(per_sample, resamples=resamples, seed=seed)

    def figure(weights: Numbers) -> Figure:
        """The mean of a weighted sum of the columns of `per_sample`, which lie in [0, 1]."""
        low, high = float(weights.clip(max=0).sum()), float(weights.clip(min=0).sum())
        return mean_figure(per_sample @ weights, low=low, high=high, draws=draws @ weights, level=level)

    unit = np.eye(per_sample.shape[1])
    place = {c: i for i, c in enumerate(names)}
    whole = {c for c, j in zip(names, columns, strict=True) if {cells[i][1] for i in j} == set(SEVERITIES)}
    comparable = whole - set(not_comparable) if imagenet else set()
    mce = relative = None
    reason = _reason(cells, imagenet, not_comparable)
    no_relative = reason or ("relative mCE needs the clean rows of the same samples" if clean is None else "")
    if not reason:
        mce = figure(sum((unit[place[c]] / ALEXNET_ERROR[c] for c in BENCHMARK), np.zeros(len(unit))) / len(BENCHMARK))
    if not no_relative:
        above = [(unit[place[c]] - unit[-1]) / (ALEXNET_ERROR[c] - ALEXNET_CLEAN_ERROR) for c in BENCHMARK]
        relative = figure(np.mean(above, 0))
    k = len(names)
    return CorruptionError(
        n=n,
        dropped=dropped,
        mean_error=figure(unit[:k].mean(0)),
        by_corruption={c: figure(unit[place[c]]) for c in names},
        by_cell=_by_cell(cells, wrong, level),
        ce={c: figure(unit[place[c]] / ALEXNET_ERROR[c]) for c in ALEXNET_ERROR if c in comparable},
        mce=mce,
        relative_mce=relative,
        without_mce=reason,
        without_relative_mce=no_relative,
    )


def _by_cell(cells: tuple[Cell, ...], wrong: Flags, level: float) -> dict[Cell, Figure]:
    n, count = len(wrong), wrong.sum(0)
    low, high = clopper_pearson(count, n, level=level)
    method = f"clopper-pearson {percent(level)}"
    return {
        cell: Figure(int(k) / n, float(a), float(b), n, method)
        for cell, k, a, b in zip(cells, count, low, high, strict=True)
    }


def _reason(cells: tuple[Cell, ...], imagenet: bool, not_comparable: Mapping[str, str]) -> str:
    """Why mCE cannot be given, in one line, or nothing."""
    if not imagenet:
        return "mCE is counted in AlexNet's errors on ImageNet-C, and these samples are not ImageNet's"
    found = set(cells)
    lacking = []
    for name in BENCHMARK:
        absent = [s for s in SEVERITIES if (name, s) not in found]
        if absent:
            all_five = len(absent) == len(SEVERITIES)
            lacking.append(name if all_five else f"{name} at severity {', '.join(map(str, absent))}")
    if lacking:
        return f"mCE needs the 15 corruptions at severities 1 to 5, but there is no {'; '.join(lacking)}"
    differing = [f"{c} is not the benchmark's ({not_comparable[c]})" for c in BENCHMARK if c in not_comparable]
    return f"mCE would not be comparable: {'; '.join(differing)}" if differing else ""
