"""`TaskAttack`: what attacks on other tasks than classification share, such as on detectors of objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar, final

from pydantic import Field, PositiveInt
from torch import Tensor

from unshaken.attack.engine.ball import NORMS, check_budgets
from unshaken.attack.engine.step_length import check_step_size
from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import Parameters
from unshaken.core.state import State


class LastAndBest(State):
    """The end of a search: the last point, and the best one that was queried."""

    last: Tensor
    best: Tensor


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
    """Base class of attacks whose success is no wrong class, but what the task makes of the outputs.

    A subclass writes `check_batch` and `search`, the search under one budget.
    """

    room: ClassVar[str] = "attack"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    norms: ClassVar[tuple[str, ...]] = NORMS
    """Empty for an attack whose budget is not a norm."""
    minimal: ClassVar[bool] = False
    reaches_targets: ClassVar[bool] = False
    """Whether it can search for chosen classes."""
    target_rules: ClassVar[tuple[str, ...]] = ("next", "random")
    """Rules by which it can choose them; others need logits of all classes."""

    steps: PositiveInt = Field(default=20, description="gradient steps")
    random_start: bool = Field(
        default=True, description="start at a random point of the ball, else at the unchanged image"
    )

    @abstractmethod
    def check_batch(self, batch: Batch) -> None:
        """Refuse data that lack what the attack needs.

        Raises:
            ParameterError: they lack it.
        """

    @abstractmethod
    def search(
        self, oracle: Oracle, batch: Batch, norm: str, eps: float, seed: int, outputs: Tensor, previous: R | None,
        targets: Tensor | None,
    ) -> R:  # fmt: skip
        """Search under one budget, and verify by fresh float32 passes.

        Args:
            oracle: runs the model and counts its passes.
            batch: images in [0, 1], float32.
            norm: of the budget.
            eps: radius in [0, 1] pixel units; infinite for an attack without norms.
            seed: the run seed.
            outputs: of the exact model for the unchanged images.
            previous: the result under the next smaller budget; None for the smallest.
            targets: as of `attack`.
        """

    def class_scores(self, outputs: Tensor, batch: Batch) -> Tensor | None:
        """Mean logits over the parts of each class, `[N, K, K]`; None where outputs have no logits of all classes.

        Args:
            outputs: of the exact model for the unchanged images.
            batch: those, with what is known of their parts.
        """
        return None

    def count_reached(self, outputs: Tensor, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Parts of each class that are to be given another, and how many of them are, int64 `[N, K]` both.

        Args:
            outputs: of the exact model.
            batch: the images, with what is known of their parts: pixels or objects.
            targets: as of `attack`.

        Raises:
            ParameterError: the attack reaches no chosen class.
        """
        raise ParameterError(f"{self.info.name}: it reaches no chosen class")

    def most_passes(self, classes: int) -> int | None:
        """Forward and backward passes that one budget spends on a sample at most."""
        return 2 * self.steps + 2

    @final
    def attack(
        self,
        oracle: Oracle,
        batch: Batch,
        *,
        norm: str | None = None,
        eps: Sequence[float] = (),
        seed: int = 0,
        clean: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> list[R]:
        """Attack every sample under each budget.

        Budgets are taken from small to large; what was found in a smaller ball stands in the larger too.

        Args:
            oracle: runs the model and counts its passes; the model in evaluation mode.
            batch: images in [0, 1], with the labels, masks or boxes of the task.
            norm: one of the attack's `norms`; None for an attack that has none.
            eps: budgets, in [0, 1] pixel units under the norm; empty for an attack without norms.
            seed: the run seed.
            clean: outputs for the images, when already paid for.
            targets: int64 `[N, K]`, the class to reach for parts of each class; -1 for parts that are left alone. None
                for any wrong class.

        Returns:
            One record a budget, in the order of `eps`.

        Raises:
            ParameterError: norm, eps or targets are not allowed, or the data lack what the attack needs.
            ModelError: the model gives no gradients.
        """
        radii = check_budgets(self.info.name, self.norms, norm, eps)
        check_step_size(self, radii)
        if targets is not None and not self.reaches_targets:
            raise ParameterError(f"{self.info.name}: it reaches no chosen class: leave targets out")
        oracle.check_gradients()
        self.check_batch(batch)
        batch = batch.with_images(in_unit_range(batch.images.float(), "attacked images"))
        outputs = oracle.exact(batch.images) if clean is None else clean
        results: dict[float, R] = {}
        previous = None
        for radius in sorted(set(radii)):
            previous = results[radius] = self.search(
                oracle, batch, norm or "linf", radius, seed, outputs, previous, targets
            )
        return [results[radius] for radius in radii]
