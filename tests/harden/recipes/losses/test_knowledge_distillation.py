"""Knowledge distillation: both terms of the loss by hand, and what a student takes from its teacher."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.run import recipe_text
from unshaken.harden.recipes.losses.knowledge_distillation import KnowledgeDistillation, knowledge_distillation_loss


def test_the_loss_by_hand():
    z, teacher = torch.tensor([[math.log(3.0) * 2, 0.0]]), torch.tensor([[0.0, 0.0]])
    kl = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    ce = -math.log(9 / 10)
    got = knowledge_distillation_loss(z, teacher, torch.tensor([0]), temperature=2, weight=0.7)
    assert float(got) == pytest.approx(0.7 * 4 * kl + 0.3 * ce, abs=1e-6)


def test_the_least_value_is_nought():
    z, y = torch.tensor([[3.0, 1.0, -2.0]], dtype=torch.float64), torch.tensor([0])
    assert float(knowledge_distillation_loss(z, z, y, temperature=4, weight=1)) == pytest.approx(0, abs=1e-12)
    for step in (0.1, -0.1):
        moved = z + torch.tensor([[step, 0, 0]], dtype=torch.float64)
        assert float(knowledge_distillation_loss(moved, z, y, temperature=4, weight=1)) > 0


def test_a_student_takes_over_what_the_teacher_says(bands, swapped_teacher):
    images, labels = bands.data()
    targets = swapped_teacher(images.float() / 255).argmax(1)
    student = fit(
        bands.net(2), images, labels, [KnowledgeDistillation(teacher=swapped_teacher, weight=1)], bands.quick
    ).last
    found = student(images.float() / 255).argmax(1)
    assert float((found == targets).float().mean()) > 0.9


def test_mixed_targets_reach_the_second_term(bands):
    teacher = bands.net(1)
    recipe = bands.begun(KnowledgeDistillation(teacher=teacher, weight=0))
    z, mixed = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    expected = float(F.cross_entropy(z, mixed))
    assert bands.loss_on(recipe, z, torch.tensor([2]), mixed) == pytest.approx(expected, rel=1e-6)


def test_teachers_that_cannot_teach(bands):
    soft = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    with pytest.raises(ModelError, match="the teacher 'model' gives probabilities"):
        bands.begun(KnowledgeDistillation(teacher=soft))
    with pytest.raises(ParameterError, match="name the teacher"):
        KnowledgeDistillation(teacher="")


def test_forms_and_text_leave_a_classifier_out(bands):
    assert find_method("knowledge-distillation", "harden").parameters()["teacher"]["type"] == "string"
    assert recipe_text(KnowledgeDistillation(teacher=bands.net(1))) == "knowledge-distillation:teacher=<model>"
