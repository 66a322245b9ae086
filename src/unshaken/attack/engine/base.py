"""Base classes of attacks: `BudgetedAttack` with the one final public method, `Attack` for a single search."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, AttackRun, Phase, run_budget, run_minimal_norm
from unshaken.attack.engine.ball import NORMS, USUAL_EPS, Ball, check_budgets
from unshaken.attack.engine.problem import Candidate, Problem
from unshaken.attack.engine.step_length import check_step_size
from unshaken.attack.engine.verdict import AttackResult, initial_result
from unshaken.core.batch import Batch, batch_for, in_unit_range
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.context import Context
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.flag import Flag
from unshaken.core.numbers import parse_number, shorten
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.query import Answer, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
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
    reaches_targets: ClassVar[bool] = True
    """Whether it can be asked for a chosen class; one that cannot leaves the label alone."""

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
        if oracle.model.labels_only and (lack := oracle.model.lacks(self.needs)):
            raise ModelError(f"{name}: {lack}")
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
            targets is not None,
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

    @final
    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        eps: float | str | None = None,
        norm: str | None = None,
        targets: Tensor | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Attack images in memory: the images of `perturb`, whose arguments it takes.

        >>> import torch, unshaken
        >>> from unshaken.attack import PGD
        >>> images, labels = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
        >>> adversarial = PGD(steps=2)(unshaken.load_model("demo"), images, labels, eps=8 / 255)
        >>> bool((adversarial - images).abs().max() <= 8 / 255 + 1e-6)
        True
        """
        return self.perturb(model, images, labels, eps=eps, norm=norm, targets=targets, seed=seed).images

    @final
    def perturb(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        eps: float | str | None = None,
        norm: str | None = None,
        targets: Tensor | None = None,
        seed: int = 0,
    ) -> AttackResult:
        """Attack images in memory, as a run attacks them; nothing is written, and flags become warnings.

        Args:
            model: a `Classifier`, or any module from [0, 1] images to logits; its mode is put back afterwards.
            images: float `[N, C, H, W]` in [0, 1], on any device.
            labels: `[N]`, the true classes, whole numbers from 0.
            eps: the budget, in [0, 1] pixel units under the norm, or a fraction such as `8/255`, the default; by
                default the nearest example of a minimal-norm attack; none for an attack without norms.
            norm: one of the attack's `norms`; default the first.
            targets: `[N]`, classes to reach; None for any class but the label.
            seed: image i draws from (seed, the attack's name, i).

        Returns:
            A record on the device of the images and in their order: `images`, float32, the adversarial image where
            `fooled`, else where the search ended; `fooled`, bool `[N]`, confirmed by a fresh float32 pass; and more.

        Raises:
            ParameterError: norm, eps, labels or targets are not allowed.
            ModelError: the model is none, is for another task, or gives no gradients that the attack needs.
            DataError: images or labels are no tensors, shapes or types do not fit, or pixels lie outside [0, 1].
        """
        name = self.info.name
        if not isinstance(model, nn.Module):
            raise ModelError(f"{name}: the model must be a torch module, not {shorten(model)}: see unshaken.load_model")
        for what, given in (("images", images), ("labels", labels)):
            if not isinstance(given, Tensor):
                raise DataError(f"{name}: {what} must be a tensor, not of type {type(given).__name__}")
        classifier = model if isinstance(model, Classifier) else Classifier(model, name=type(model).__name__)
        if classifier.task not in self.tasks:
            raise ModelError(f"{name} is for {', '.join(self.tasks)}, and the model is for {classifier.task}")
        if eps is None and self.norms:
            eps = math.inf if self.minimal else USUAL_EPS
        radii = [] if eps is None else [parse_number(eps, "eps") if isinstance(eps, str) else eps]
        device = device_of(classifier)
        ids = tuple(str(i) for i in range(len(images)))
        labels = labels if labels.is_floating_point() else labels.long()  # the former are refused by the batch
        batch = Batch(images.detach(), labels, ids).to(device)
        with evaluating(classifier):
            quick = search_copy(classifier, in_unit_range(batch.images[:2].float(), "images")) if ids else None
            oracle = Oracle(classifier, limit=batch_for(images, device), search_copy=quick)
            aims = None if targets is None else targets.to(device).long()
            found, flags = self.attack(
                oracle, batch, norm=norm or next(iter(self.norms), None), eps=radii, seed=seed, targets=aims,
                samples=len(ids),
            )  # fmt: skip
        for flag in flags:
            warnings.warn(f"{name}: {flag.name}: {flag.detail}", stacklevel=2)
        return found[0].to(images.device)

    def _labels_or_targets(self, batch: Batch, targets: Tensor | None) -> Tensor:
        name = self.info.name
        if batch.labels is None:
            raise ParameterError(f"{name}: the data has no labels; an attack needs the true class of each image")
        if targets is None:
            return batch.labels
        if not self.reaches_targets:
            raise ParameterError(
                f"{name}: it leaves the label and reaches no chosen class: omit targets, or use pgd, apgd or square"
            )
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
