"""`Recipe`: the hooks of one training loop. Recipes compose; each is one idea of a paper."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.step_length import StepLength
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.masks import cross_entropy
from unshaken.core.registry import Parameters, find_method
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.inner import Inner

CLASSES, MASKS, UNLABELLED = "one class an image", "masks", "no labels"
Memory = dict[str, Tensor]
"""What a recipe remembers from step to step: named tensors, kept in the checkpoint."""
Evaluate = Callable[[Callable[[Tensor], Tensor]], tuple[Tensor, Tensor, Tensor]]
"""Applies a function of images to all training samples in their order, unaugmented, in evaluation mode and without
gradients. Returns rows (places in the data set) `[n]`, labels `[n]` and results `[n, ...]`, on the model's device."""


def no_samples(read: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """`Evaluate` of a hook that is called outside of a training run: there are no training samples."""
    none = torch.zeros(0, dtype=torch.int64)
    return none, none, torch.zeros(0)


@dataclass(frozen=True, slots=True)
class Threat:
    """The threat model of a recipe: norm and radius.

    Args:
        norm: `linf`, `l2` or `l1`.
        eps: radius in [0, 1] pixel units under the norm.
    """

    norm: str
    eps: float


@dataclass(slots=True)
class Setup:
    """A run before its first step. A recipe may change the model here.

    Args:
        model: what will be trained, on its device.
        images: a few training images `[N, C, H, W]` in [0, 1], on the model's device.
        classes: number of classes K.
        seed: the run seed.
        steps: optimizer steps of an epoch.
        epochs: passes over the data.
        memory: the recipe's own.
        sample: draws training samples: from a count to images `[n, C, H, W]` and labels `[n]`, the same every time.
        samples: of the data set, those held out among them: `Step.rows` counts up to here.
        evaluate: see `Evaluate`; each image counts as one forward pass.
        batch: samples of a step and process; 0 outside of a training run.
    """

    model: Classifier
    images: Tensor
    classes: int
    seed: int
    steps: int
    epochs: int
    memory: Memory
    sample: Callable[[int], tuple[Tensor, Tensor]]
    samples: int = 0
    evaluate: Evaluate = no_samples
    batch: int = 0


@dataclass(slots=True)
class Step:
    """One batch on its way through the loop. Hooks read it and write to it.

    Args:
        model: from images to logits `[N, K]` in training mode; call it for outputs that the loss learns from.
        classifier: the same weights without the wrapping of several processes; for its modules, never to be called
            for the loss.
        images: `[N, C, H, W]` in [0, 1], as augmented so far.
        labels: int64 `[N]`; or masks `[N, H, W]`, see `Recipe.learns_from`.
        rng: the samples' streams of this epoch; fold the recipe's name into it.
        inner: the inner search.
        epoch: from 0.
        number: optimizer steps made before, over all epochs.
        share: of the whole run that is done, in [0, 1).
        epochs: passes over the data in all.
        steps: optimizer steps of an epoch.
        classes: number of classes K.
        second: gives another batch, drawn in an order of its own: rows, images and labels.
        targets: class probabilities `[N, K]` in the place of labels, where a recipe mixed them.
        adversarial: what the inner search found, `[N, C, H, W]`.
        clean_logits: of `images` in evaluation mode, where the inner search needed them.
        views: further augmented views of the images.
        extra: what else a recipe hands from one of its hooks to another.
        figures: named numbers for the curves.
        memory: each recipe's own, by its registry name.
        average: makes tensors the mean over all processes, in place.
        rows: places of the samples in the data set, int64 `[N]`, for what a recipe remembers of each.
        stop: set by a recipe's `after_step` where the model is good enough: training ends with this step.
    """

    model: Callable[[Tensor], Tensor]
    classifier: Classifier
    images: Tensor
    labels: Tensor
    rng: SampleRng
    inner: Inner
    epoch: int
    number: int
    share: float
    epochs: int
    steps: int
    classes: int
    second: Callable[[], tuple[Tensor, Tensor, Tensor]]
    memory: dict[str, Memory]
    average: Callable[[list[Tensor]], None]
    targets: Tensor | None = None
    adversarial: Tensor | None = None
    clean_logits: Tensor | None = None
    views: list[Tensor] = field(default_factory=list)
    extra: dict[str, Tensor] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    rows: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    stop: bool = False

    @property
    def shown(self) -> Tensor:
        """The images that the model is to learn from: the adversarial images where there are some, else the images."""
        return self.images if self.adversarial is None else self.adversarial

    @property
    def soft_labels(self) -> Tensor:
        """The targets `[N, K]`: as mixed, or one-hot."""
        return F.one_hot(self.labels, self.classes).float() if self.targets is None else self.targets

    def cross_entropy(self, logits: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """The mean cross-entropy against the labels, or against the mixed targets.

        Args:
            logits: `[N, K]`, or `[N, K, H, W]` where the labels are masks.
            smoothing: share of the target that is spread evenly over all K classes.

        Raises:
            ModelError: the logits are not of the kind of the labels.
        """
        return cross_entropy(logits, self.labels if self.targets is None else self.targets, smoothing=smoothing)


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch that has ended.

    Args:
        model: the live classifier.
        number: from 0.
        memory: the recipe's own.
        figures: what was measured; a recipe may add to it.
        evaluate: see `Evaluate`; each image counts as one forward pass.
    """

    model: Classifier
    number: int
    memory: Memory
    figures: dict[str, float]
    evaluate: Evaluate = no_samples


@dataclass(frozen=True, slots=True)
class FirstTry:
    """The least that a recipe needs to be tried.

    Args:
        arch: an architecture of this package that it works on.
        parameters: where there is no default.
        companions: `NAME[:k=v,...]` of recipes without which it makes no sense, to stand after it.
    """

    arch: str = "small-cnn"
    parameters: Mapping[str, object] = field(default_factory=dict)
    companions: tuple[str, ...] = ()


class Recipe(Parameters, ABC):
    """Base class of training recipes; its fields are its parameters, and every hook is optional.

    A recipe holds no state: what it must remember lies in its `memory`, which the loop keeps in the checkpoint. In one
    step the loop calls, over all recipes in the order given: `augment`, `inner`, then within all `around`: `loss` and
    `penalty`, backward and the optimizer's step, then `after_step`.
    """

    room: ClassVar[str] = "harden"
    takes: ClassVar[frozenset[str]] = frozenset()
    """What only one recipe of a run may do; see `MEANING` in `unshaken.harden.engine.compose`."""
    refuses: ClassVar[Mapping[str, str]] = {}
    """What no other recipe of the run may take, with the reason."""

    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES})
    """What it learns from, one or several: `CLASSES`, one an image, `MASKS`, one a pixel, or `UNLABELLED` images."""
    first_try: ClassVar[FirstTry] = FirstTry()
    """How to try it where defaults do not do."""

    @property
    def threat(self) -> Threat | None:
        """The threat model that the recipe trains against; held-out robustness is measured with it."""
        return None

    @property
    def budgets(self) -> tuple[Threat, ...]:
        """Every size of a change of pixels among its parameters."""
        return () if self.threat is None else (self.threat,)

    @property
    def replays(self) -> int:
        """Optimizer steps on each batch."""
        return 1

    def rebuild(self, model: Classifier) -> Classifier:
        """The classifier with the structure that this recipe trains; called before training and on loading.

        Weights that the recipe adds are fresh here. A recipe that keeps the structure leaves this out.
        """
        return model

    def begin(self, setup: Setup) -> None:
        """Before the first step, and again when a run goes on (then the memory is restored afterwards)."""

    def sampling(self, memory: Memory) -> Tensor | None:
        """Weights `[samples]` by which each sample of the data set is drawn in an epoch; None to draw each once.

        Only for a recipe that takes `sampling`. An epoch's batches are then drawn with replacement; without any, each
        sample comes once.
        """
        return None

    def augment(self, step: Step) -> None:
        """Change the images (and targets) of a batch; never in place."""

    def inner(self, step: Step) -> Tensor | None:
        """The images that the model finds hardest; only for a recipe that takes `inner`."""
        return None

    def loss(self, step: Step) -> Tensor | None:
        """The loss, a scalar; only for a recipe that takes `loss`. Without any: cross-entropy on `step.shown`."""
        return None

    def penalty(self, step: Step) -> Tensor | None:
        """A scalar to be added to the loss."""
        return None

    @contextmanager
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        """Around backward and the optimizer's step, such as weights moved for as long.

        Args:
            step: the batch.
            loss: the batch's loss under the weights as they are, with a graph.
        """
        yield

    def after_step(self, step: Step) -> None:
        """After the optimizer's step."""

    def after_epoch(self, epoch: Epoch) -> None:
        """After an epoch, before it is measured."""

    def kept(self, memory: Memory) -> Mapping[str, Tensor] | None:
        """The state dict to be measured and kept in the place of the live one; only for one that takes `average`."""
        return None

    def end(self, model: Classifier) -> None:
        """After the last step: take out what only training needed."""


def has_several_processes() -> bool:
    """Whether several processes train together."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return together and torch.distributed.get_world_size() > 1


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Forward passes in training mode inside leave the running statistics of batch norms as they were."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@torch.no_grad()
def soft_predictions(logits: Tensor) -> Tensor:
    """`softmax(logits)` cut from the graph, `[N, K]`."""
    return logits.softmax(1)


class AdversarialRecipe(Recipe):
    """Base class of recipes that train on adversarial examples."""

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})

    norm: Literal["linf", "l2", "l1"] = Field(default="linf", description="norm of the perturbation")
    eps: PositiveFloat = Field(default=8 / 255, description="radius in [0, 1] pixel units under the norm")

    @property
    @override
    def threat(self) -> Threat | None:
        return Threat(self.norm, self.eps)

    @property
    @override
    def budgets(self) -> tuple[Threat, ...]:
        return (Threat(self.norm, self.eps),)


class IterativeRecipe(StepLength, AdversarialRecipe):
    """Base class of adversarial recipes whose attack makes several steps."""

    steps: PositiveInt = Field(default=10, description="gradient steps of the inner search")
    rel_stepsize: PositiveFloat = Field(default=0.25, description="length of a step, as a share of eps")
    attack: str = Field(default="pgd", description="attack to train on, by name; it must be a single search")

    @field_validator("attack")
    @classmethod
    def _single(cls, name: str) -> str:
        try:
            found = find_method(name, "attack").cls
        except ParameterError as error:
            raise ValueError(str(error)) from None
        if not issubclass(found, Attack) or not found.norms:
            raise ValueError(f"attack {name!r} is no single search in a norm: take pgd, fgsm, mi-fgsm or apgd")
        return name

    def search(self) -> Attack[Any]:
        """The inner search, with the steps and the step size where it has such parameters."""
        cls = find_method(self.attack, "attack").cls
        own: Mapping[str, Any] = {"steps": self.steps, **self.chosen_step}
        found: Attack[Any] = cls(**{k: v for k, v in own.items() if k in cls.model_fields})
        return found
