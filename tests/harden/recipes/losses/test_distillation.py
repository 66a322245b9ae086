"""Defensive distillation: soft labels by hand, and what a student takes from its teacher."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import find_method, parse_method
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.run import recipe_text
from unshaken.harden.recipes.losses.distillation import Distillation, soft_labels
from unshaken.models import save_model


@pytest.mark.parametrize(
    ("t", "expected"),
    [(1, (0.99326, 0.00669, 0.00005)), (5, (0.6652, 0.2447, 0.0900)), (20, (0.4192, 0.3265, 0.2543))],
)
def test_soft_labels_by_hand(t, expected):
    got = soft_labels(torch.tensor([[10.0, 5.0, 0.0]], requires_grad=True), t)
    assert got.flatten().tolist() == pytest.approx(expected, abs=6e-5)
    assert not got.requires_grad


def test_the_teacher_sees_the_view_that_the_student_sees(bands):
    teacher = bands.net(1)
    recipe = bands.begun(Distillation(teacher=teacher, temperature=5))
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    student = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    step = SimpleNamespace(model=lambda x: student, shown=images)
    with torch.no_grad():
        q = (copy.deepcopy(teacher).eval()(images) / 5).softmax(1)
        expected = 5 * -(q * (student / 5).log_softmax(1)).sum(1).mean()
    assert float(recipe.loss(step)) == pytest.approx(float(expected), rel=1e-5)


def test_the_teacher_is_left_as_it_is(bands):
    teacher = bands.net(1).train()
    before = copy.deepcopy(teacher.state_dict())
    images, labels = bands.data()
    fit(bands.net(), images, labels, [Distillation(teacher=teacher)], bands.quick)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert teacher.training
    assert all(p.requires_grad and p.grad is None for p in teacher.parameters())


def test_a_student_takes_over_what_the_teacher_says(bands, swapped_teacher):
    images, labels = bands.data()
    targets = swapped_teacher(images.float() / 255).argmax(1)
    student = fit(bands.net(2), images, labels, [Distillation(teacher=swapped_teacher)], bands.quick).last
    found = student(images.float() / 255).argmax(1)
    assert float((found == targets).float().mean()) > 0.9


def test_a_teacher_by_its_spec(bands, tmp_path):
    save_model(bands.net(1), tmp_path / "teacher", arch="small-cnn")
    recipe = bands.begun(parse_method(f"distillation:teacher=run:{tmp_path}/teacher,temperature=20", "harden"))
    images = bands.data()[0][:4].float() / 255
    with torch.no_grad():
        expected = bands.net(1).eval()(images)
    assert torch.allclose(recipe.taught(images), expected, atol=1e-5)
    assert recipe_text(recipe) == f"distillation:temperature=20.0,teacher=run:{tmp_path}/teacher"


class Picky(nn.Module):
    """Asserts its size, without a word, as some vision transformers do."""

    def forward(self, x):
        if x.shape[-1] != 64:
            raise AssertionError


def test_teachers_that_cannot_teach(bands):
    with pytest.raises(ModelError, match="has 5 classes, the data 3"):
        bands.begun(Distillation(teacher=bands.net(classes=5)))
    with pytest.raises(ModelError, match=r"cannot take images \(1, 8, 8\)"):
        bands.begun(Distillation(teacher=Classifier(nn.Sequential(nn.Flatten(), nn.Linear(5, 3)))))
    with pytest.raises(ModelError, match=r"cannot take images \(1, 8, 8\): AssertionError"):
        bands.begun(Distillation(teacher=Classifier(Picky())))
    with pytest.raises(ParameterError, match="teacher"):
        Distillation()
    with pytest.raises(ModelError, match="nowhere"):
        bands.begun(Distillation(teacher="run:nowhere"))
    with pytest.raises(ParameterError, match="call begin first"):
        Distillation(teacher=bands.net()).taught(torch.rand(1, 1, 8, 8))


def test_a_network_that_ends_in_a_softmax_is_refused(bands):
    soft = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    with pytest.raises(ModelError, match="the model to be trained gives probabilities, not logits"):
        fit(soft, *bands.data(), [Distillation(teacher=bands.net())], bands.quick)


@pytest.mark.parametrize("values", [{"temperature": 0}, {"temperature": -1}, {"power": -1}])
def test_values_that_are_not_allowed(values):
    with pytest.raises(ParameterError):
        Distillation(teacher="demo", **values)


def test_forms_leave_a_classifier_out():
    assert find_method("distillation", "harden").parameters()["teacher"]["type"] == "string"
