"""Knowledge distillation: learn from labels and from a teacher's soft answers."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Step
from unshaken.harden.recipes.losses._teacher import TeacherRecipe


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


@register("knowledge-distillation", reference="Hinton et al. 2015, arXiv:1503.02531")
class KnowledgeDistillation(TeacherRecipe):
    """Knowledge distillation: `a T^2 KL(q || softmax(z / T)) + (1 - a) CE(y, softmax(z))`, q from a teacher.

    Often called defensive distillation, and not that: the second term, at T = 1, keeps logits small, so that nothing is
    hidden and nothing defended.
    """

    temperature: PositiveFloat = Field(
        default=4.0, description="T by which logits are divided in the first term, 2 to 20"
    )
    weight: float = Field(default=0.7, description="a, the share of the first term", ge=0, le=1)

    @override
    def loss(self, step: Step) -> Tensor:
        wanted = step.labels if step.targets is None else step.targets
        logits, teacher = step.model(step.shown), self.taught(step.shown)
        return knowledge_distillation_loss(logits, teacher, wanted, temperature=self.temperature, weight=self.weight)
