"""Base classes of attacks: `BudgetedAttack` with the one final public method, `Attack` for a single search."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, final

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, AttackRun, Phase, run_budget, run_minimal_norm
from unshaken.attack.engine.ball import NORMS, Ball, check_budgets
from unshaken.attack.engine.problem import Candidate, Problem
from unshaken.attack.engine.step_length import check_step_size
from unshaken.attack.engine.verdict import AttackResult, initial_result
from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.context import Context
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.query import Answer, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

__all__ = ["Attack", "AttackResult", "BudgetedAttack", "Candidate"]


class BudgetedAttack(Parameters):
    """Base class of all attacks under a budget: a single search (`Attack`), or several phases.

    A subclass chooses its phases.
    """

    room: ClassVar[str] = "attack"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    norms: ClassVar[tuple[str, ...]] = NORMS
    """Empty for an attack whose budget is not a norm, such as a rotation."""
    minimal: ClassVar[bool] = False
    """Whether it searches for the smallest norm; then one run answers all budgets, and `inf` is one."""
    needs_labels: ClassVar[bool] = True

    @abstractmethod
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        """The phases to run one after the other, and flags raised while choosing them.

        Raises:
            ParameterError: the attack cannot be run here; the message proposes what can.
        """

    def most_passes(self, classes: int) -> int | None:
        """Forward and backward passes that one budget spends on a sample at most; None where that is not known.

        Args:
            classes: K.
        """
        return None

    @final
    def attack(
        self,
        oracle: Oracle,
        batch: Batch,
        *,
        norm: str | None = None,
        eps: Sequence[float] = (),
        seed: int = 0,
        targets: Tensor | None = None,
        clean: Tensor | None = None,
        reference: Batch | None = None,
        samples: int = 0,
        once: Callable[[Hashable, Callable[[], Any]], Any] = lambda key, make: make(),
    ) -> tuple[list[AttackResult], list[Flag]]:
        """Attack every sample under each budget.

        Budgets are taken from small to large; an example found in a smaller ball stands in the larger too and costs
        nothing there. A minimal-norm attack runs once for all budgets; the cost stands with the first.

        Args:
            oracle: runs the model and counts its passes; the model in evaluation mode.
            batch: labelled images in [0, 1].
            norm: one of the attack's `norms`; None for an attack that has none.
            eps: budgets, in [0, 1] pixel units under the norm; empty for an attack without norms. `inf`, for
                minimal-norm attacks, asks for the nearest example at any distance.
            seed: the run seed.
            targets: int64 `[N]`: classes to reach; None for any class but the label.
            clean: logits `[N, K]` of the images, when already paid for.
            reference: the run's first samples, from which an attack chooses its phases; default the batch.
            samples: in the whole run; 0 when unknown.
            once: keeps what is made once a run, such as a trained substitute; see `unshaken.core.context.Context`.

        Returns:
            One record a budget, in the order of `eps`, and the flags raised.

        Raises:
            ParameterError: norm, eps, labels or targets are not allowed.
            ModelError: the attack needs gradients and the model has none.
        """
        name = self.info.name
        radii = check_budgets(name, self.norms, norm, eps, minimal=self.minimal)
        if "gradient" in self.needs and not oracle.model.differentiable:
            raise ModelError(
                f"{name}: model {oracle.model.name!r} gives no gradients (black box): use square, spsa or spatial, "
                "which need logits, hop-skip-jump, which needs labels, or transfer from a surrogate"
            )
        labels = self._labels_or_targets(batch, targets)
        batch = batch.with_images(in_unit_range(batch.images.float(), "attacked images"))
        if clean is None:
            clean = oracle.exact(batch.images)
        _check_classes(torch.cat([labels, required(batch.labels)]), clean.shape[1])
        norm = norm or "linf"
        finite = [r for r in radii if r < math.inf]
        context = AttackContext(
            oracle,
            norm,
            max(finite, default=math.inf),
            clean.shape[1],
            seed,
            batch if reference is None else reference,
            samples,
            once,
        )
        result = initial_result(batch.images, clean, labels, targets is not None)
        phases, flags = ([], []) if bool(result.fooled.all()) else self.phases(context)
        for phase in phases:
            check_step_size(phase.search, radii)
        attack_run = AttackRun(oracle, batch, labels, targets is not None, norm, seed, clean)
        if self.minimal:
            found = run_minimal_norm(attack_run, phases, result, sorted(set(radii)))
        else:
            found = {}
            for radius in sorted(set(radii)):
                found[radius] = result = run_budget(attack_run, phases, result, radius)
        flags = [*flags, *attack_run.flags(), *attack_run.check_finished(name, phases, found)]
        return [found[e] for e in radii], flags

    def _labels_or_targets(self, batch: Batch, targets: Tensor | None) -> Tensor:
        name = self.info.name
        if batch.labels is None:
            raise ParameterError(f"{name}: the data has no labels; an attack needs the true class of each image")
        if targets is None:
            return batch.labels
        if targets.shape != batch.labels.shape or bool((targets == batch.labels).any()):
            raise ParameterError(f"{name}: give one target per sample, different from its label")
        return targets

    def further_rows(self, batch: Batch, condition: Condition, result: AttackResult, context: Context) -> list[Part]:
        """Rows of a table of the attack's own, one a sample; by default there are none.

        Args:
            batch: the samples, unchanged.
            condition: one budget.
            result: under it.
            context: of the run.
        """
        return []


def _check_classes(labels: Tensor, classes: int) -> None:
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        wrong = labels[(labels < 0) | (labels >= classes)][0].item()
        raise ParameterError(f"label or target {wrong} is not a class of the model, which has 0 to {classes - 1}")


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
