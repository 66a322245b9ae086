"""One batch on its way through the loop: what is learned from, targets, and running statistics."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.recipe import Threat, frozen_statistics, no_samples, soft_predictions
from unshaken.harden.recipes.adversarial.at import AdversarialTraining


@pytest.fixture
def step(net, step_of):
    return step_of(net(), torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 3]))


def test_adversarial_images_are_learned_from_where_there_are_some(step):
    assert step.shown is step.images
    step.adversarial = step.images + 0.1
    assert step.shown is step.adversarial


def test_targets_are_the_labels_or_as_mixed(step):
    logits = step.model(step.images).detach()
    assert torch.equal(step.soft_labels, torch.eye(10)[:4])
    assert torch.equal(step.cross_entropy(logits), F.cross_entropy(logits, step.labels))
    step.targets = torch.full((4, 10), 0.1)
    assert step.soft_labels is step.targets
    assert float(step.cross_entropy(logits)) == pytest.approx(float(-logits.log_softmax(1).mean()), rel=1e-6)


def test_smoothing_spreads_a_share_of_the_target(step):
    logits = step.model(step.images).detach()
    smoothed = 0.9 * torch.eye(10)[:4] + 0.01
    expected = float(-(smoothed * logits.log_softmax(1)).sum(1).mean())
    assert float(step.cross_entropy(logits, smoothing=0.1)) == pytest.approx(expected, rel=1e-5)


def test_running_statistics_stay_inside_and_move_outside(net):
    model, images = net().train(), torch.rand(4, 1, 28, 28)
    norm = model.net[1]
    before = norm.running_mean.clone()
    with frozen_statistics(model):
        inside = model(images)
    assert torch.equal(norm.running_mean, before)
    assert torch.equal(model(images), inside)
    assert not torch.equal(norm.running_mean, before)
    with pytest.raises(KeyError), frozen_statistics(model):
        raise KeyError
    assert norm.track_running_stats


def test_soft_predictions_have_no_graph():
    logits = torch.tensor([[0.0, 0.0]], requires_grad=True)
    found = soft_predictions(logits)
    assert found.tolist() == [[0.5, 0.5]]
    assert not found.requires_grad


def test_a_norm_without_running_statistics_stays_without(net):
    model = net().train()
    model.net[1].track_running_stats = False
    with frozen_statistics(model):
        pass
    assert not model.net[1].track_running_stats


def test_outside_of_a_run_there_are_no_samples():
    assert [len(part) for part in no_samples(lambda images: images)] == [0, 0, 0]


def test_held_out_images_are_attacked_with_the_budget_of_training():
    assert AdversarialTraining(norm="l2", eps=0.5).threat == Threat("l2", 0.5)


def test_defaults_are_the_usual_budget_and_ten_steps_of_a_quarter():
    made = AdversarialTraining()
    assert made.threat == Threat("linf", 8 / 255)
    assert (made.steps, made.rel_stepsize, made.attack) == (10, 0.25, "pgd")


def test_the_inner_attack_gets_the_steps_that_it_knows():
    pgd = AdversarialTraining(steps=3, rel_stepsize=0.5).search()
    assert (pgd.info.name, pgd.steps, pgd.rel_stepsize) == ("pgd", 3, 0.5)
    assert AdversarialTraining(steps=3, attack="fgsm").search().info.name == "fgsm"


@pytest.mark.parametrize(
    ("attack", "message"),
    [("autoattack", "is no single search in a norm: take pgd"), ("pdg", "did you mean 'pgd'")],
)
def test_an_attack_that_is_no_single_search_is_refused(attack, message):
    with pytest.raises(ParameterError, match=message):
        AdversarialTraining(attack=attack)
