"""`Context`: what a run gives a method beside the samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle

T = TypeVar("T")


def _make(key: Hashable, make: Callable[[], Any]) -> Any:
    return make()


@dataclass(frozen=True, slots=True)
class Context:
    """The runner's side of a method: oracle, seed, clean logits, and whatever else its rows are computed with.

    Args:
        oracle: runs the model and counts its passes.
        seed: the run seed.
        clean: logits `[N, K]` of the unchanged images, already paid for.
        reference: gives the run's first samples, the same in every part of the run; None outside a run.
        samples: in the whole run; 0 when unknown.
        journal: gives, for a condition, where its finished samples are kept until its rows are written; None outside a
            run.
        once: `once(key, make)` returns what `make` made at the run's first call with this key, such as detectors read
            from a folder; kept as long as the run is under way, and made anew at each call outside a run.
        resources: what the data and the run offer beyond that, by its type, such as `ObjectMasks`; see `find`.
    """

    oracle: Oracle
    seed: int
    clean: Tensor
    reference: Callable[[], Batch] | None = None
    samples: int = 0
    journal: Callable[[str], Journal] | None = None
    once: Callable[[Hashable, Callable[[], Any]], Any] = field(default=_make, repr=False)
    resources: Mapping[type[Any], Any] = field(default_factory=dict, repr=False)

    def find(self, kind: type[T]) -> T | None:
        """A resource, which a method names by its type; None where neither the data nor the run offers it."""
        return self.resources.get(kind)

    def get(self, kind: type[T], missing: str) -> T:
        """A resource that the method cannot do without.

        Args:
            kind: its type.
            missing: what to say where it is not offered: which data would do.

        Raises:
            ParameterError: neither the data nor the run offers it.
        """
        found = self.find(kind)
        if found is None:
            raise ParameterError(missing)
        return found

    def journal_of(self, condition: str) -> Journal | None:
        """Where finished samples of a condition are kept; None outside a run."""
        return None if self.journal is None else self.journal(condition)


class Journal(Protocol):
    """Stores finished samples of a shard, so that an interruption costs seconds and not the shard."""

    def found(self) -> dict[str, dict[str, Any]]:
        """Sample id to what was kept of it."""

    def keep(self, sample: str, record: dict[str, Any]) -> None:
        """A sample is finished; its record is JSON."""

    def flush(self) -> None:
        """Write what is waiting."""


class ObjectMasks(Protocol):
    """Resource: where the objects of samples are, in what the model sees."""

    def __call__(self, folder: str, ids: Sequence[str]) -> Tensor:
        """Bool `[N, H, W]` for samples (ids), from a folder of masks as large as the photos."""


class PhotoMap(Protocol):
    """Resource: numbers of the pixels of a photo, brought to what the model sees of it."""

    def __call__(self, sample: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From a sample's id and one number a pixel of its photo, `[H, W]`, to those of what the model sees."""


class SampleColumns(Protocol):
    """Resource: columns that the data have of their samples, such as a class to reach."""

    def __call__(self, name: str, ids: Sequence[str]) -> list[Any] | None:
        """Strings, bools, numbers or None, one a sample (ids); None where there is no such column."""


class Renderer(Protocol):
    """Resource: pictures of objects from any viewpoint."""

    def __call__(self, sample: str, views: Tensor) -> Tensor:
        """Pictures `[n, C, H, W]` of a sample, by its id, from viewpoints `[n, 6]`, as the model is shown samples."""
