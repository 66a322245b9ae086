"""`Attack`: the mathematics of one search for an adversarial example."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Self, TypeVar

from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.budgeted_attack import BudgetedAttack
from unshaken.attack.engine.phase import AttackContext, Phase
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.verdict import AttackResult, Candidate
from unshaken.core.batch import Batch
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle
from unshaken.core.query import Answer, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

__all__ = ["Attack", "AttackResult", "Candidate"]

S = TypeVar("S", bound=State)


class Attack(BudgetedAttack, Generic[S]):
    """Base class of attacks that search for one adversarial example a sample.

    A subclass writes `start`, `ask`, `tell`, `done`, `result` and `cost`. Checks, budgets, restarts, early leaving,
    float32 confirmation, counting and rows live in `BudgetedAttack` and in the driver. A queried point that fools the
    model inside the budget ends a sample's search, unless `minimal` says that the attack goes on to smaller norms, or
    `stops_at_success` that it goes on to its own end.
    """

    reads_clean: ClassVar[bool] = True
    """Whether it starts from the logits of the clean image; one that does not may be run without them."""

    @abstractmethod
    def start(self, problem: Problem, rng: SampleRng) -> S:
        """The first state of each sample."""

    @abstractmethod
    def ask(self, state: S) -> Query:
        """The next query to the model."""

    @abstractmethod
    def tell(self, state: S, answer: Answer) -> S:
        """The next state."""

    @abstractmethod
    def done(self, state: S) -> Tensor:
        """Bool `[N]`: the search is over."""

    @abstractmethod
    def result(self, state: S) -> Candidate:
        """The final point, which is then verified; for minimal norms the nearest adversarial example."""

    @abstractmethod
    def cost(self, classes: int) -> tuple[int, int]:
        """Forward and backward passes that one run spends on a sample at most, the driver's confirmations left out.

        Args:
            classes: K.
        """

    @override
    def most_passes(self, classes: int) -> int | None:
        return self.runs * sum(self.cost(classes))

    def prepare(self, oracle: Oracle, batch: Batch, targeted: bool) -> Self:
        """Prepare the search on all samples of a phase; they share the cost evenly.

        For what cannot be asked sample by sample; nothing to do for other attacks.

        Args:
            oracle: runs the model and counts its passes.
            batch: the samples; labels to leave, or targets to reach.
            targeted: which of the two.
        """
        return self

    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        """The set that is searched; attacks without a norm give their own.

        Args:
            clean: `[N, C, H, W]`.
            eps: `[N]`.
            norm: one of `norms`.
            rng: the samples' streams.
        """
        return Ball.of(clean, eps, norm)

    @property
    def stops_at_success(self) -> bool:
        """Whether the first point that fools ends a sample's search; else `done` alone does."""
        return True

    @property
    def runs(self) -> int:
        """Runs from fresh random starts; a fooled sample leaves."""
        return 1

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        name = self.info.name
        return [Phase(self, name if r == 0 else f"{name}+{r + 1}", restart=r) for r in range(self.runs)], []
