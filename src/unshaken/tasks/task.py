"""`Task`: what a model's outputs mean, and which rows follow from them; a task is a file that enters one by `@task`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar, cast

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.part import Condition, Part
from unshaken.core.sources import sources_of
from unshaken.data import Dataset
from unshaken.models.align import Alignment, ModelClasses, align

T = TypeVar("T", bound="type[Task]")


class Task(ABC):
    """The purpose of a model. Stressors and the runner make rows through it, and look into no output themselves."""

    name: ClassVar[str]
    gives_logits: ClassVar[bool] = True
    """Whether outputs are `[N, K, ...]` with a number for each of K classes."""

    @classmethod
    def of(cls, dataset: Dataset, view: View | None) -> Self:
        """The task on a run's samples.

        Args:
            dataset: of the model's classes.
            view: how the model looks at photos; None for as they are.
        """
        return cls()

    @classmethod
    def align(cls, dataset: Dataset, model: ModelClasses, *, needed: bool) -> Alignment:
        """Data whose labels are of the model's classes, and how they became so; by default one label an image.

        Args:
            dataset: labels number its own classes.
            model: its classes.
            needed: False to go on without labels where they are of other classes.

        Raises:
            DataError: the data has no such labels, or they are of other classes.
        """
        return align(dataset, model, needed=needed)

    @abstractmethod
    def rows(self, condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
        """The rows of outputs: one part of the table `outcomes`, whose `loss` says how wrong each is, and others.

        Args:
            condition: where the rows belong.
            batch: the samples, as they were asked about.
            outputs: of the exact model, `[N, ...]`.
            columns: as of `unshaken.core.outcomes.outcomes`: cost and pictures.
        """

    def flags(self, oracle: Oracle, batch: Batch, outputs: Tensor) -> list[Flag]:
        """Doubts about a model, from its outputs for the first samples."""
        return []


def task(name: str) -> Callable[[T], T]:
    """Enter a subclass of `Task` under the name that nets give in their attribute `task`."""

    def enter(cls: T) -> T:
        cls.name = name
        return cls

    return enter


def find_task(name: str) -> type[Task]:
    """The task of a name; no other one is imported.

    Raises:
        ParameterError: there is no such task.
    """
    known = {source.name: source for source in sources_of("tasks", "task")}
    if name not in known:
        raise ParameterError(f"there is no task {name!r}; {did_you_mean(name, known)}")
    return cast(type[Task], getattr(importlib.import_module(known[name].module), known[name].symbol))
