"""Budgets that fit the data: linf 0.1 for drawn digits and the like, 8/255 for natural photos. Decided here alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.ball import check_budget_size
from unshaken.attack.engine.targets import RULES, class_of, names_class, targets_in_column
from unshaken.core.batch import BATCH_NUMBERS
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.data import BadSample, Dataset
from unshaken.data.resources import places_of
from unshaken.run.plan import Step
from unshaken.store.config import Entry

PHOTOS = 8 / 255
"""Largest linf budget of natural photos: beyond it changes are plainly seen (Croce et al. 2021, RobustBench)."""
DRAWINGS = 0.1
"""Largest linf budget of small drawings on a flat ground, such as MNIST (Madry et al. 2018) and Fashion-MNIST."""
FIRST_IMAGES = 16
"""Images that decide whether a data set holds drawings."""
MOST_SIDE, LEAST_FLAT = 64, 0.2
"""Drawings have this side in pixels at most, and at least this share of pixels that are exactly black or white."""


def first_images(dataset: Dataset) -> list[Tensor]:
    """The first readable images of a data set as they are, at most `FIRST_IMAGES`, each `[C, H, W]` in [0, 1].

    Fewer of very large images, which would not fit into memory together.
    """
    found: list[Tensor] = []
    for index in range(min(len(dataset), 4 * FIRST_IMAGES)):
        try:
            found.append(torch.tensor(dataset.read(index)).permute(2, 0, 1).float().div_(255))
        except BadSample:  # it is recorded where it is streamed
            continue
        if len(found) == FIRST_IMAGES or sum(image.numel() for image in found) >= BATCH_NUMBERS:
            break
    return found


def is_drawing(image: Tensor) -> bool:
    """Whether an image is a digit or the like: small, grey, on a flat ground.

    Args:
        image: `[C, H, W]` in [0, 1].
    """
    if max(image.shape[1:]) > MOST_SIDE:
        return False
    flat = float(((image == 0) | (image == 1)).float().mean())
    return bool((image == image[:1]).all()) and flat >= LEAST_FLAT


def largest_budget(images: Sequence[Tensor]) -> float:
    """The largest linf budget that fits the data: that of most of these images.

    Args:
        images: some of it, each `[C, H, W]` in [0, 1].
    """
    return DRAWINGS if 2 * sum(map(is_drawing, images)) > len(images) else PHOTOS


def fit_budgets(entries: Sequence[Entry], images: Sequence[Tensor]) -> tuple[list[Entry], str]:
    """The lines of a named plan without linf budgets too large for the data; a line left without any is dropped.

    Args:
        entries: of the plan.
        images: some of the data, each `[C, H, W]` in [0, 1].

    Returns:
        The lines, and a remark in one line; empty where no line has a linf budget.
    """
    most, found, budgets = largest_budget(images), list[Entry](), False
    for entry in entries:
        if entry.norm in (None, "linf") and entry.eps:
            budgets = True
            fitting = tuple(e for e in entry.eps if e <= most)
            found += [entry.model_copy(update={"eps": fitting})] if fitting else []
        else:
            found.append(entry)
    if not budgets or not len(images):
        return found, ""
    channels, height, width = images[0].shape
    what = f"{'grey' if channels == 1 else 'colour'} images such as of {width} x {height} pixels"
    if most == DRAWINGS:
        return found, f"linf budgets go up to 0.1: {what} on a flat ground, like digits"
    return found, f"linf budgets go up to 8/255: {what} are taken for natural photos"


def check_budget_sizes(steps: Iterable[Step], numbers: int | None, *, allow: bool) -> None:
    """Refuse budgets of attacks, and radii of certificates, that are no sensible change of pixels in [0, 1].

    Args:
        steps: of the plan.
        numbers: in an image, C x H x W; None where that is not known yet.
        allow: leave them where the user allows it.

    Raises:
        ParameterError: one is too large; see `check_budget_size`.
    """
    for step in steps:
        for condition in step.conditions:
            if condition.eps is not None and condition.norm is not None:
                check_budget_size(step.label, condition.norm, condition.eps, numbers, allow=allow)


def check_targets(steps: Iterable[Step], model: Classifier, outputs: int, dataset: Dataset, ids: Sequence[str]) -> None:
    """Refuse a target of an attack that is no rule, class or column of the data, before anything is written.

    Args:
        steps: of the plan.
        model: whose class is to be reached.
        outputs: number of its classes.
        dataset: that may have a column of this name.
        ids: of the run's samples.

    Raises:
        ParameterError: see `class_of` and `targets_in_column` in `unshaken.attack.engine.targets`.
    """
    for target in map(str, {step.entry.target for step in steps} - {None, *RULES}):
        columns = {} if names_class(target, model.classes) else dataset.columns()
        if target not in columns:
            class_of(target, model.classes, outputs, reject=model.reject, columns=list(columns))
            continue
        places, values = places_of(dataset), columns[target]
        named = [values[places[sample]] for sample in ids]
        if all(value is None for value in named):
            raise ParameterError(f"column {target!r} names no target: all of its {len(named):,} values are empty")
        targets_in_column(target, named, ids, model.classes, outputs, reject=model.reject)


_MOST = {"classes": 0, "classes - 1": -1}
"""How a field says its bound (`json_schema_extra={"most": ...}`), and what that adds to the number of classes."""


def check_class_counts(steps: Iterable[Step], classes: int) -> None:
    """Refuse a number of classes, given by the user, that the model does not have; a default is cut to what it has.

    Args:
        steps: of the plan.
        classes: K.

    Raises:
        ParameterError: a value is larger; the message names the largest.
    """
    for step in steps:
        for name, value in step.entry.params.items():
            fields: dict[str, Any] = getattr(type(step.method), "model_fields", {})
            extra = getattr(fields.get(name), "json_schema_extra", None)
            bound = extra.get("most") if isinstance(extra, dict) else None
            if isinstance(bound, str) and isinstance(value, int) and value > classes + _MOST[bound]:
                raise ParameterError(
                    f"{step.entry.method}: {name}={value} is more than the model has: it has {classes} classes, so "
                    f"{classes + _MOST[bound]} is the largest"
                )
