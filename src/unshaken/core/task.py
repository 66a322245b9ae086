"""`Task`: what a model's output means, and which rows follow from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.part import Condition, Part


class Task(ABC):
    """The purpose of a model. Stressors and the runner make rows through it, and look into no output themselves."""

    name: ClassVar[str]

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
