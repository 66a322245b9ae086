"""`TaskAttack`: what attacks on other tasks than classification share, such as on detectors of objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from torch import Tensor

from unshaken.attack.engine.ball import NORMS
from unshaken.core.batch import Batch
from unshaken.core.oracle import Oracle
from unshaken.core.registry import Parameters


class TaskResult(Protocol):
    """Result of an attack on each sample, in the order of the batch."""

    @property
    def images(self) -> Tensor:
        """`[N, C, H, W]`, inside the budget and [0, 1]."""

    @property
    def outputs(self) -> Tensor:
        """Outputs of the exact model for `images` by a fresh float32 pass, `[N, ...]`."""

    @property
    def distance(self) -> Tensor:
        """Norm of the change, float64 `[N]`."""

    @property
    def forwards(self) -> Tensor:
        """Forward passes of this budget, int64 `[N]`."""

    @property
    def backwards(self) -> Tensor:
        """Backward passes of this budget, int64 `[N]`."""

    @property
    def seconds(self) -> Tensor:
        """Each sample's share of the time, float64 `[N]`."""


R = TypeVar("R", bound=TaskResult)


class TaskAttack(Parameters, Generic[R]):
    """Base class of attacks whose success is no wrong class, but what the task makes of the outputs."""

    room: ClassVar[str] = "attack"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    norms: ClassVar[tuple[str, ...]] = NORMS
    """Empty for an attack whose budget is not a norm."""
    minimal: ClassVar[bool] = False

    @abstractmethod
    def attack(
        self,
        oracle: Oracle,
        batch: Batch,
        *,
        norm: str | None = None,
        eps: Sequence[float] = (),
        seed: int = 0,
        clean: Tensor | None = None,
    ) -> list[R]:
        """Attack every sample under each budget; one record a budget, in the order of `eps`."""
