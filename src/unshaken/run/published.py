"""Corrupted images that the data brings along as files, read in the place of making them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.core.part import Condition
from unshaken.data import BadSample, Dataset, stream
from unshaken.run.plan import Step


def conditions_from_files(steps: Sequence[Step], dataset: Dataset) -> list[str]:
    """Ids of the conditions whose images are read: lines of a plan without parameters, where the data has files.

    Args:
        steps: of the plan.
        dataset: the run's data.
    """
    plain = [c for step in steps if not step.entry.params for c in step.conditions if c.severity is not None]
    return [c.id for c in plain if dataset.corrupted(c.method, c.severity or 0) is not None]


def read_corrupted(
    dataset: Dataset, condition: Condition, batch: Batch, rows: Sequence[int], view: View | None, workers: int | None
) -> tuple[Batch | None, dict[str, str]]:
    """The samples of a batch as files show them, and the reason by id for those that cannot be read.

    A file has been resized already when it was made, so of the model's view only the cut is left.

    Args:
        dataset: the run's data.
        condition: a corruption at a severity.
        batch: the clean samples.
        rows: where they stand in the data.
        view: how the model looks at photos.
        workers: threads that decode; None for the number of cores.

    Raises:
        DataError: the files are of another size than the clean images.
    """
    found = dataset.corrupted(condition.method, condition.severity or 0)
    if found is None:
        raise DataError(f"data {dataset.options.spec!r} has no files of {condition.id}")
    found.options = replace(found.options, mode="L" if batch.images.shape[1] == 1 else "RGB")
    view = None if view is None else replace(view, resize=None)
    parts, bad = list[Batch](), dict[str, str]()
    for item in stream(found, rows, view=view, workers=workers, batch_size=max(1, len(rows))):
        if isinstance(item, BadSample):
            bad[item.id] = item.reason
        else:
            parts.append(item)
    if not parts:
        return None, bad
    whole = Batch.concat(parts)
    images = whole.images.to(batch.images)
    if images.shape[1:] != batch.images.shape[1:]:
        there, here = ("x".join(map(str, shape[2:])) for shape in (images.shape, batch.images.shape))
        raise DataError(
            f"data {dataset.options.spec!r}: files of {condition.id} have {there} pixels and the clean images {here}: "
            "bring both to one size, as by ?size=224"
        )
    places = {name: i for i, name in enumerate(batch.ids)}
    labels = None if batch.labels is None else batch.labels[[places[name] for name in whole.ids]]
    return Batch(images, labels, whole.ids), bad


@dataclass(frozen=True, slots=True)
class CorruptedFiles:
    """Resource: samples as files that come with the data show them.

    Args:
        conditions: ids of those whose images are read.
        dataset: the run's data.
        places: gives sample ids' places there.
        view: how the model looks at photos.
        workers: threads that decode; None for the number of cores.
    """

    conditions: frozenset[str]
    dataset: Dataset
    places: Callable[[], Mapping[str, int]]
    view: View | None
    workers: int | None

    def read(self, condition: Condition, batch: Batch) -> tuple[Batch | None, dict[str, str]]:
        """Read the published images of a batch under a condition; see `read_corrupted`."""
        rows = [self.places()[name] for name in batch.ids]
        return read_corrupted(self.dataset, condition, batch, rows, self.view, self.workers)
