"""Training at a temperature, defensive distillation, and knowledge distillation."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PrivateAttr, field_serializer, field_validator
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.harden.recipe import FirstTry, Recipe, Setup, Step
from unshaken.models import load_model


def soft_labels(logits: Tensor, temperature: float) -> Tensor:
    """`softmax(z / T)`, `[N, K]`, cut from the graph.

    Args:
        logits: z `[N, K]`.
        temperature: T, above 0.

    >>> [round(p, 4) for p in soft_labels(torch.tensor([[10.0, 5.0, 0.0]]), 5).flatten().tolist()]
    [0.6652, 0.2447, 0.09]
    """
    return (logits.detach() / temperature).softmax(1)


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """`CE(q, softmax(z / T))`, the mean over the batch; its gradient by z is `(softmax(z / T) - q) / T`, over N.

    Args:
        logits: z `[N, K]`.
        targets: q, int64 `[N]` or class probabilities `[N, K]`.
        temperature: T, above 0.

    Source: Papernot et al. 2016, arXiv:1511.04508.
    """
    return F.cross_entropy(logits / temperature, targets)


def knowledge_distillation_loss(
    logits: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, weight: float
) -> Tensor:
    """`a T^2 KL(q || softmax(z / T)) + (1 - a) CE(y, softmax(z))` with `q = softmax(z_teacher / T)`, in the mean.

    Args:
        logits: z `[N, K]` of the student.
        teacher: logits `[N, K]` of the teacher.
        labels: y, int64 `[N]` or class probabilities `[N, K]`.
        temperature: T, above 0.
        weight: a, in [0, 1].

    Source: Hinton et al. 2015, arXiv:1503.02531.
    """
    t, soft = temperature, (teacher.detach() / temperature).log_softmax(1)
    kl = F.kl_div((logits / t).log_softmax(1), soft, reduction="batchmean", log_target=True)
    return weight * t * t * kl + (1 - weight) * F.cross_entropy(logits, labels)


class AtTemperature(Recipe):
    """A recipe whose loss sees `softmax(z / T)`; deployed is the network as it is, at T = 1."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    temperature: PositiveFloat = Field(40.0, description="T by which logits are divided in training, 1 to 100")
    power: NonNegativeFloat = Field(
        1.0,
        description="the loss is multiplied by T to this power, 0 to 2; at 0, as published, scale lr instead",
    )

    def begin(self, setup: Setup) -> None:
        """Refuse a network that ends in a softmax: a temperature has no meaning there.

        Raises:
            ModelError: the network gives probabilities.
        """
        refuse_probabilities(setup.model, setup.images, "the model to be trained")

    def scaled(self, logits: Tensor, targets: Tensor) -> Tensor:
        """`T^power CE(q, softmax(z / T))`."""
        weight: float = self.temperature**self.power
        return weight * soft_cross_entropy(logits, targets, self.temperature)


@register("temperature", reference="Papernot et al. 2016, arXiv:1511.04508")
class Temperature(AtTemperature):
    """Training at a temperature: cross-entropy of `softmax(z / T)`, which makes logits about T times as large.

    At T = 1, where the network is used, its softmax saturates: the gradient of the cross-entropy rounds to zero, and
    attacks that follow it fail. That is no robustness. Teachers of `distillation` are trained so.

    The gradient by the logits is T times smaller than in ordinary training (T^2 times where predictions are nearly
    even). The loss is multiplied by T, unless `power` says otherwise, so that a usual learning rate serves.
    """

    def loss(self, step: Step) -> Tensor:
        """See `AtTemperature.scaled`."""
        wanted = step.labels if step.targets is None else step.targets
        return self.scaled(step.model(step.shown), wanted)


class Taught(Recipe):
    """A recipe that learns from the answers of another network."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    first_try: ClassVar[FirstTry] = FirstTry(parameters={"teacher": "demo:standard"})

    teacher: str | SkipJsonSchema[Classifier] = Field(description="SPEC of the teacher, or the classifier itself")
    _loaded: Classifier | None = PrivateAttr(default=None)

    @field_validator("teacher")
    @classmethod
    def _named(cls, teacher: str | Classifier) -> str | Classifier:
        if isinstance(teacher, str) and not teacher:
            raise ValueError("name the teacher, as in teacher=run:DIR")
        return teacher

    @field_serializer("teacher")
    def _written(self, teacher: str | Classifier) -> str:
        return teacher if isinstance(teacher, str) else f"<{teacher.name}>"

    def begin(self, setup: Setup) -> None:
        """Load the teacher and see that it answers as the student must.

        Raises:
            ModelError: it cannot take the images, has other classes, or gives probabilities.
        """
        found = load_model(self.teacher) if isinstance(self.teacher, str) else self.teacher
        found = found.to(setup.images.device)
        what = f"the teacher {found.name!r}"
        try:
            refuse_probabilities(found, setup.images, what)
            with torch.no_grad(), evaluating(found):
                classes = found(setup.images).shape[1]
        except RuntimeError as error:
            shape = tuple(setup.images.shape[1:])
            raise ModelError(f"{what} cannot take images {shape}: {str(error).splitlines()[0]}") from None
        if classes != setup.classes:
            raise ModelError(f"{what} has {classes} classes, the data {setup.classes}: train one on the same classes")
        self._loaded = found

    @torch.no_grad()
    def taught(self, images: Tensor) -> Tensor:
        """The teacher's logits `[N, K]` on images as the student sees them.

        Args:
            images: `[N, C, H, W]` in [0, 1], augmented.

        Raises:
            ParameterError: training has not begun.
        """
        if self._loaded is None:
            raise ParameterError(f"{self.info.name}: the teacher is loaded when training begins; call begin first")
        with evaluating(self._loaded):
            logits: Tensor = self._loaded(images)
        return logits.to(images.dtype)


@register("distillation", reference="Papernot et al. 2016, arXiv:1511.04508")
class Distillation(Taught, AtTemperature):
    """Defensive distillation: `CE(q, softmax(z / T))` with `q = softmax(z_teacher / T)`, the teacher trained at T too.

    The teacher, trained with `temperature` at the same T, answers each view as it is augmented; labels that were mixed
    are not looked at. It blunts attacks on the cross-entropy and no others: the gradient is hidden, the boundary stays
    where it was. Attack it with `fgsm:tau=40`, `pgd:loss=margin` or `carlini-wagner` before any figure is believed.
    """

    def begin(self, setup: Setup) -> None:
        """See both bases."""
        AtTemperature.begin(self, setup)
        Taught.begin(self, setup)

    def loss(self, step: Step) -> Tensor:
        """See `AtTemperature.scaled`, against the teacher's answers."""
        return self.scaled(step.model(step.shown), soft_labels(self.taught(step.shown), self.temperature))


@register("knowledge-distillation", reference="Hinton et al. 2015, arXiv:1503.02531")
class KnowledgeDistillation(Taught):
    """Knowledge distillation: `a T^2 KL(q || softmax(z / T)) + (1 - a) CE(y, softmax(z))`, to hand a skill on.

    Often called defensive distillation, and not that: the second term, at T = 1, keeps logits small, so that nothing is
    hidden and nothing defended.
    """

    temperature: PositiveFloat = Field(4.0, description="T by which logits are divided in the first term, 2 to 20")
    weight: float = Field(0.7, description="a, the share of the first term", ge=0, le=1)

    def loss(self, step: Step) -> Tensor:
        """See `knowledge_distillation_loss`."""
        wanted = step.labels if step.targets is None else step.targets
        logits, teacher = step.model(step.shown), self.taught(step.shown)
        return knowledge_distillation_loss(logits, teacher, wanted, temperature=self.temperature, weight=self.weight)


def refuse_probabilities(model: Classifier, images: Tensor, what: str) -> None:
    """See that a model gives logits.

    Args:
        model: any; its mode and statistics are left as they are.
        images: a few, `[N, C, H, W]`.
        what: for the message.

    Raises:
        ModelError: its outputs lie in [0, 1] and sum to 1.
    """
    with torch.no_grad(), evaluating(model):
        out = model(images).float()
    if bool(((out >= 0) & (out <= 1)).all()) and bool(((out.sum(1) - 1).abs() < 1e-5).all()):
        raise ModelError(
            f"{what} gives probabilities, not logits: a temperature means nothing there; take its softmax off"
        )
