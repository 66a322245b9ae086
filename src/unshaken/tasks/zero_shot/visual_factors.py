"""Factors that make an image hard (pose, background, size, ...), and figures of a model on the images of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.measure import Figure, share
from unshaken.measure.statistics.columns import Flags
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.tasks.zero_shot.tables import read_table


@dataclass(frozen=True, slots=True)
class FactorFigures:
    """The figures of a model on the images of one factor.

    Args:
        accuracy: on these images.
        error_ratio: their error over the error of all images, with a bootstrap interval over images; None where the
            model makes no error at all.
    """

    accuracy: Figure
    error_ratio: Figure | None


def read_factors(file: str | Path) -> dict[str, tuple[str, ...]]:
    """Factors of images from a CSV file with the columns `id` and `factor`.

    An image may stand in several lines, one a factor. Of ImageNet-X take the top factor alone, and leave the
    prototypical images out.

    Returns:
        Factor to the ids of its images, in order of the file.

    Raises:
        DataError: the file cannot be read or lacks a column, a value is empty, or a line stands twice.
    """
    path = Path(file)
    lines = read_table(path, ("id", "factor"), "factors of images")
    found: dict[str, list[str]] = {}
    for number, (image, factor) in enumerate(lines, 2):
        ids = found.setdefault(factor, [])
        if not image or not factor:
            raise DataError(f"{path}, line {number}: the {'id' if not image else 'factor'} is empty")
        ids.append(image)
    for factor, ids in found.items():
        if len(set(ids)) < len(ids):
            twice = max(ids, key=ids.count)
            raise DataError(f"{path}: image {shorten(twice)} has the factor {shorten(factor)} twice; give it once")
    return {factor: tuple(ids) for factor, ids in found.items()}


def check_factors(factors: Mapping[str, Sequence[str]], ids: Sequence[str], *, whole: bool = True) -> None:
    """Refuse factors of images that are not there.

    Args:
        factors: as `read_factors` gives them.
        ids: of the data's samples.
        whole: whether these are all samples; a subset may lack some of the images, but not all.

    Raises:
        DataError: an image is no sample of the data, or none is.
    """
    known = set(ids)
    lost = [image for images in factors.values() for image in images if image not in known]
    named = sum(map(len, factors.values()))
    if lost and (whole or len(lost) == named):
        raise DataError(
            f"factors are given for {len(lost)} images that the data does not have, such as {shorten(lost[0])}; its "
            f"ids are like {shorten(next(iter(ids), ''))}"
        )


def factor_figures(
    ids: Sequence[str], correct: Flags, factors: Mapping[str, Sequence[str]]
) -> dict[str, FactorFigures]:
    """A model's figures on the images of each factor.

    Args:
        ids: of N samples.
        correct: bool `[N]`.
        factors: factor to ids of its images; those that are no sample are left out.

    Returns:
        By factor; one without a sample has no entry.
    """
    found, wrong = {}, ~np.asarray(correct, np.bool_)
    for factor, images in factors.items():
        own = np.isin(np.asarray(ids), np.asarray(images))
        n = int(own.sum())
        if n:
            accuracy = share(n - int((own & wrong).sum()), n)
            found[factor] = FactorFigures(accuracy, error_ratio(own, wrong) if wrong.any() else None)
    return found


def error_ratio(own: Flags, wrong: Flags) -> Figure:
    """`(1 - accuracy of a factor) / (1 - accuracy of all)`, with a bootstrap interval over images.

    Args:
        own: whether an image has the factor, bool `[N]`.
        wrong: whether the model errs on it, bool `[N]`, once at least.

    >>> error_ratio(np.array([True, True, False, False]), np.array([True, False, True, False])).value
    1.0
    """
    columns = np.stack([own & wrong, own, wrong], 1).astype(np.float64)
    # images with and without the factor, on which the model errs or not
    possible = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        return figure_of_means(columns, lambda m: m[..., 0] / m[..., 1] / m[..., 2], possible=lambda: possible)
