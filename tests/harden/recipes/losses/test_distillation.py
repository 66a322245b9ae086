"""Distillation: losses by hand, and what the recipes take, refuse and learn."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import find_method, parse_method
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.logits import refuse_probabilities
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.run import recipe_text
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses.distillation import Distillation, soft_labels
from unshaken.harden.recipes.losses.knowledge_distillation import KnowledgeDistillation, knowledge_distillation_loss
from unshaken.harden.recipes.losses.temperature import Temperature, soft_cross_entropy
from unshaken.models import save_model

QUICK = Training(epochs=4, batch_size=32, lr=0.1, held_out=24, check_every=4, select="last", weight_decay=0)


def data(n=192):
    """Faint noise with one bright band, the label."""
    images = torch.randint(0, 120, (n, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(n) % 3
    images[torch.arange(n), 0, labels * 2, :] += 100
    return images, labels


def net(seed=0, classes=3):
    return fresh("small-cnn", data()[0], classes=classes, seed=seed)


@pytest.mark.parametrize(
    ("t", "expected"),
    [(1, (0.99326, 0.00669, 0.00005)), (5, (0.6652, 0.2447, 0.0900)), (20, (0.4192, 0.3265, 0.2543))],
)
def test_soft_labels_by_hand(t, expected):
    got = soft_labels(torch.tensor([[10.0, 5.0, 0.0]], requires_grad=True), t)
    assert got.flatten().tolist() == pytest.approx(expected, abs=6e-5)
    assert not got.requires_grad


def test_gradient_by_the_logits():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    q = torch.randn(1, 5, dtype=torch.float64, generator=generator).softmax(1)
    for t in (1.0, 7.0, 40.0):
        (got,) = torch.autograd.grad(soft_cross_entropy(z, q, t), z)
        torch.testing.assert_close(got, ((z / t).softmax(1) - q).detach() / t, rtol=0, atol=1e-14)


def test_the_least_values_are_the_entropy_and_nought():
    z = torch.tensor([[3.0, 1.0, -2.0]], dtype=torch.float64)
    q = soft_labels(z, 4.0)
    entropy = -float((q * q.log()).sum())
    assert float(soft_cross_entropy(z, q, 4.0)) == pytest.approx(entropy, abs=1e-12)
    y = torch.tensor([0])
    assert float(knowledge_distillation_loss(z, z, y, temperature=4, weight=1)) == pytest.approx(0, abs=1e-12)
    for step in (0.1, -0.1):
        moved = z + torch.tensor([[step, 0, 0]], dtype=torch.float64)
        assert float(soft_cross_entropy(moved, q, 4.0)) > entropy
        assert float(knowledge_distillation_loss(moved, z, y, temperature=4, weight=1)) > 0


def test_knowledge_distillation_by_hand():
    z, teacher = torch.tensor([[math.log(3.0) * 2, 0.0]]), torch.tensor([[0.0, 0.0]])
    kl = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    ce = -math.log(9 / 10)
    got = knowledge_distillation_loss(z, teacher, torch.tensor([0]), temperature=2, weight=0.7)
    assert float(got) == pytest.approx(0.7 * 4 * kl + 0.3 * ce, abs=1e-6)


def test_at_one_with_hard_labels_it_is_ordinary_training():
    images, labels = data()
    plain = fit(net(), images, labels, [], QUICK)
    same = fit(net(), images, labels, [Temperature(temperature=1)], QUICK)
    for a, b in zip(plain.last.parameters(), same.last.parameters(), strict=True):
        assert torch.equal(a, b)


def hot(loss_recipe, logits, labels=None, targets=None):
    """The loss of a recipe on given logits."""
    step = SimpleNamespace(
        model=lambda x: logits, shown=torch.zeros(len(logits), 1, 8, 8), labels=labels, targets=targets
    )
    return float(loss_recipe.loss(step))


@pytest.mark.parametrize(("power", "factor"), [(0, 1.0), (1, 40.0), (2, 1600.0)])
def test_the_power_scales_the_loss(power, factor):
    z, y = torch.tensor([[80.0, 0.0]]), torch.tensor([1])
    expected = factor * math.log(1 + math.exp(2.0))
    assert hot(Temperature(power=power), z, y) == pytest.approx(expected, rel=1e-6)
    assert hot(Temperature(power=power), z, y, torch.tensor([[0.0, 1.0]])) == pytest.approx(expected, rel=1e-6)


def begun(recipe, classes=3):
    images = data()[0][:8].float() / 255
    recipe.begin(Setup(net(), images, classes, 0, 1, 1, {}, lambda n: (images, torch.zeros(8).long())))
    return recipe


def test_the_teacher_sees_the_view_that_the_student_sees():
    teacher = net(1)
    recipe = begun(Distillation(teacher=teacher, temperature=5))
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    student = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    step = SimpleNamespace(model=lambda x: student, shown=images)
    with torch.no_grad():
        q = (copy.deepcopy(teacher).eval()(images) / 5).softmax(1)
        expected = 5 * -(q * (student / 5).log_softmax(1)).sum(1).mean()
    assert float(recipe.loss(step)) == pytest.approx(float(expected), rel=1e-5)


def test_the_teacher_is_left_as_it_is():
    teacher = net(1).train()
    before = copy.deepcopy(teacher.state_dict())
    images, labels = data()
    fit(net(), images, labels, [Distillation(teacher=teacher)], QUICK)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert teacher.training
    assert all(p.requires_grad and p.grad is None for p in teacher.parameters())


def test_a_student_takes_over_what_the_teacher_says():
    images, labels = data()
    teacher = fit(net(1), images, labels, [Temperature()], QUICK).last
    swapped = Classifier(
        nn.Sequential(teacher.net, Swap()), mean=teacher.mean.flatten().tolist(), std=teacher.std.flatten().tolist()
    )
    said = teacher(images.float() / 255).argmax(1)
    assert float((said == labels).float().mean()) > 0.9
    for recipe in (Distillation(teacher=swapped.eval()), KnowledgeDistillation(teacher=swapped, weight=1)):
        student = fit(net(2), images, labels, [recipe], QUICK).last
        found = student(images.float() / 255).argmax(1)
        assert float((found == (said + 1) % 3).float().mean()) > 0.9


class Swap(nn.Module):
    """Gives each class's logit to the next class."""

    def forward(self, z):
        return z.roll(1, 1)


def test_training_at_a_temperature_makes_large_logits():
    images, labels = data()
    gaps = []
    for recipes in ([], [Temperature(temperature=40)]):
        z = fit(net(), images, labels, recipes, QUICK).last(images.float() / 255)
        top = z.detach().topk(2, 1).values
        gaps.append(float((top[:, 0] - top[:, 1]).median()))
        assert float((z.argmax(1) == labels).float().mean()) > 0.9
    assert gaps[1] > 5 * gaps[0]


def test_a_teacher_by_its_spec(tmp_path):
    save_model(net(1), tmp_path / "teacher", arch="small-cnn")
    recipe = begun(parse_method(f"distillation:teacher=run:{tmp_path}/teacher,temperature=20", "harden"))
    images = data()[0][:4].float() / 255
    with torch.no_grad():
        expected = net(1).eval()(images)
    assert torch.allclose(recipe.taught(images), expected, atol=1e-5)
    assert recipe_text(recipe) == f"distillation:temperature=20.0,teacher=run:{tmp_path}/teacher"
    assert recipe_text(KnowledgeDistillation(teacher=net(1))) == "knowledge-distillation:teacher=<model>"


def test_teachers_that_cannot_teach():
    with pytest.raises(ModelError, match="has 5 classes, the data 3"):
        begun(Distillation(teacher=net(classes=5)))
    soft = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    with pytest.raises(ModelError, match="the teacher 'model' gives probabilities"):
        begun(KnowledgeDistillation(teacher=soft))
    with pytest.raises(ModelError, match=r"cannot take images \(1, 8, 8\)"):
        begun(Distillation(teacher=Classifier(nn.Sequential(nn.Flatten(), nn.Linear(5, 3)))))
    with pytest.raises(ParameterError, match="teacher"):
        Distillation()
    with pytest.raises(ParameterError, match="name the teacher"):
        KnowledgeDistillation(teacher="")
    with pytest.raises(ModelError, match="nowhere"):
        begun(Distillation(teacher="run:nowhere"))
    with pytest.raises(ParameterError, match="call begin first"):
        Distillation(teacher=net()).taught(torch.rand(1, 1, 8, 8))


def test_a_network_that_ends_in_a_softmax_is_refused():
    images, labels = data()
    soft = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    for recipe in (Temperature(), Distillation(teacher=net())):
        with pytest.raises(ModelError, match="the model to be trained gives probabilities, not logits"):
            fit(soft, images, labels, [recipe], QUICK)
    refuse_probabilities(net(), images[:4].float() / 255, "a net")


@pytest.mark.parametrize("values", [{"temperature": 0}, {"temperature": -1}, {"power": -1}])
def test_values_that_are_not_allowed(values):
    with pytest.raises(ParameterError):
        Temperature(**values)
    with pytest.raises(ParameterError):
        Distillation(teacher="demo", **values)


def test_only_one_recipe_brings_a_loss():
    images, labels = data(40)
    with pytest.raises(ParameterError, match="both bring a loss"):
        fit(net(), images, labels, [Temperature(), AdversarialTraining()], QUICK)


def test_forms_leave_a_classifier_out():
    for name in ("distillation", "knowledge-distillation"):
        assert find_method(name, "harden").parameters()["teacher"]["type"] == "string"


def test_mixed_targets_reach_the_second_term():
    teacher = net(1)
    recipe = begun(KnowledgeDistillation(teacher=teacher, weight=0))
    z, mixed = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    expected = float(F.cross_entropy(z, mixed))
    assert hot(recipe, z, torch.tensor([2]), mixed) == pytest.approx(expected, rel=1e-6)
