"""Losses by hand and by their limits; ramps, and labels refined and guessed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from unshaken.core.masks import IGNORED
from unshaken.harden.recipes.pretraining.rrcm import info_nce
from unshaken.labels.losses import (
    CLAMP,
    early_learning,
    exponential_ramp,
    forget_rate,
    generalized_cross_entropy,
    guess_labels,
    individual_representation,
    mixmatch,
    mixture,
    multi_scale_consistency,
    multi_scale_cross_entropy,
    negative_entropy,
    prior_penalty,
    refine_labels,
    sharpen,
    smallest,
    supervised_contrastive,
    symmetric_cross_entropy,
    update_targets,
    weighted_cross_entropy,
)

P = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
Y = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)


def test_generalized_cross_entropy_of_a_label_of_probability_0_3():
    logits = P.log().requires_grad_()
    assert generalized_cross_entropy(logits, Y).item() == pytest.approx(0.813555, abs=1e-6)
    assert generalized_cross_entropy(logits, Y, q=1).item() == pytest.approx(0.7)
    assert generalized_cross_entropy(logits, Y, q=1e-9).item() == pytest.approx(1.203973, abs=1e-6)
    (gradient,) = torch.autograd.grad(generalized_cross_entropy(logits, Y).sum(), logits)
    assert gradient[0].tolist() == pytest.approx([0.2583, -0.3014, 0.0431], abs=1e-4)


def test_symmetric_cross_entropy_of_a_label_of_probability_0_3():
    logits = P.log()
    assert symmetric_cross_entropy(logits, Y).item() == pytest.approx(6.567636, abs=1e-6)
    assert symmetric_cross_entropy(logits, Y, alpha=0).item() == pytest.approx(6.447238, abs=1e-6)


def test_early_learning_on_a_batch_of_two():
    logits = torch.tensor([[2.0, 0, -1], [0, 1, 0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 1])
    targets = update_targets(torch.zeros(2, 3, dtype=torch.float64), logits, 0.7)
    assert targets.flatten().tolist() == pytest.approx(
        [0.253138, 0.034259, 0.012603, 0.063582, 0.172835, 0.063582], abs=1e-6
    )
    agreement = early_learning(targets, logits)
    assert agreement.tolist() == pytest.approx([-0.245950, -0.135275], abs=1e-6)
    loss = F.cross_entropy(logits, labels) + 3 * agreement.mean()
    assert loss.item() == pytest.approx(0.788808, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    wanted = [[0.365084, -0.402644, 0.037560], [0.128879, -0.257759, 0.128879]]
    assert gradient.flatten().tolist() == pytest.approx([*wanted[0], *wanted[1]], abs=1e-6)
    p = logits.detach().softmax(1)
    inner = (targets * p).sum(1, keepdim=True)
    by_formula = (p - F.one_hot(labels, 3) + 3 * p * (inner - targets) / (1 - inner)) / 2
    assert torch.allclose(gradient, by_formula, atol=1e-12)
    assert gradient.sum(1).abs().max() < 1e-12
    again = update_targets(targets, logits, 0.7)
    assert early_learning(again, logits).tolist() == pytest.approx([-0.463092, -0.242189], abs=1e-6)


@pytest.mark.parametrize(("steps", "total"), [(1, 0.3), (2, 0.51), (5, 0.83193)])
def test_the_average_fills_up(steps, total):
    targets = torch.zeros(1, 3, dtype=torch.float64)
    for _ in range(steps):
        targets = update_targets(targets, P.log(), 0.7)
    assert targets.sum().item() == pytest.approx(total)


@pytest.mark.parametrize(("classes", "least"), [(2, -8.517), (3, -8.112), (10, -6.909)])
def test_saturated_predictions_have_a_finite_loss(classes, least):
    logits = torch.full((1, classes), -100.0, dtype=torch.float64)
    logits[0, 0] = 100
    targets = update_targets(torch.zeros(1, classes, dtype=torch.float64), logits, 0.0)
    assert early_learning(targets, logits).item() == pytest.approx(least, abs=1e-3)
    assert CLAMP == 1e-4


def test_the_forget_rate_rises_to_the_noise_rate_in_ten_epochs():
    rates = [forget_rate(e, 0.4, 10) for e in range(12)]
    assert rates == pytest.approx([0.4 * e / 9 for e in range(10)] + [0.4, 0.4])
    assert rates[1] == pytest.approx(0.0444, abs=1e-4)
    assert forget_rate(0, 0.4, 1) == 0.4


def test_as_many_are_kept_as_published():
    losses = torch.randperm(128, generator=torch.Generator().manual_seed(0)).float()
    kept = smallest(losses, 0.4)
    assert len(kept) == int(0.6 * 128) == 76
    assert losses[kept].tolist() == list(range(76))


def test_each_row_has_its_own_and_one_is_always_kept():
    losses = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert smallest(losses, 1 / 3).tolist() == [[1, 2], [0, 2]]
    assert smallest(losses, 1.0).tolist() == [[1], [0]]


PREDICTED = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], dtype=torch.float64)
TARGETS = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], dtype=torch.float64)


def test_cross_entropy_of_the_labelled_and_squared_error_of_the_others():
    labelled = torch.tensor([True, True, False])
    entropies = [-math.log(0.6), -0.5 * math.log(0.2) - 0.5 * math.log(0.7)]
    error = (0.0 + 0.25**2 + 0.25**2) / 3
    assert mixmatch(PREDICTED.log(), TARGETS, labelled, 25.0).item() == pytest.approx(sum(entropies) / 2 + 25 * error)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_part_without_samples_counts_nothing_and_has_gradients(labelled):
    logits = PREDICTED.log().requires_grad_()
    loss = mixmatch(logits, TARGETS, torch.full((3,), labelled), 2.0)
    entropies = -(TARGETS * PREDICTED.log()).sum(1).mean()
    errors = (PREDICTED - TARGETS).square().mean()
    assert loss.item() == pytest.approx((entropies if labelled else 2 * errors).item())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_the_penalty_is_the_divergence_of_the_mean_from_uniform():
    mean = PREDICTED.mean(0)
    wanted = sum(1 / 3 * math.log((1 / 3) / float(m)) for m in mean)
    assert prior_penalty(PREDICTED.log()).item() == pytest.approx(wanted)
    assert prior_penalty(torch.zeros(4, 3)).item() == pytest.approx(0, abs=1e-6)


def test_the_negative_entropy_by_hand():
    wanted = sum(float(p) * math.log(float(p)) for p in PREDICTED.flatten()) / 3
    assert negative_entropy(PREDICTED.log()).item() == pytest.approx(wanted)


def test_a_class_that_nothing_is_predicted_as_is_punished_finitely():
    logits = torch.tensor([[300.0, 0.0], [250.0, 0.0]], requires_grad=True)
    penalty = prior_penalty(logits)
    penalty.backward()
    assert penalty.isfinite()
    assert penalty.item() > 10
    assert logits.grad.isfinite().all()


ONE = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
OTHER = torch.tensor([[0.2, 0.7, 0.1]], dtype=torch.float64)


def test_sharpening_at_half_squares_and_divides():
    assert sharpen(ONE, 0.5)[0].tolist() == pytest.approx([0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46])
    assert sharpen(ONE, 1)[0].tolist() == pytest.approx(ONE[0].tolist())


def test_a_refined_label_lies_between_label_and_prediction():
    given = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    mixed = [0.25 * 0.6, 0.75 + 0.25 * 0.3, 0.25 * 0.1]  # w = 0.75
    wanted = [m**2 / sum(n**2 for n in mixed) for m in mixed]
    found = refine_labels(given, torch.tensor([0.75], dtype=torch.float64), ONE)
    assert found[0].tolist() == pytest.approx(wanted)
    assert refine_labels(given, torch.ones(1), ONE)[0].tolist() == [0, 1, 0]


def test_a_guess_is_the_sharpened_mean_over_networks_and_views():
    p = torch.stack([torch.stack([ONE, OTHER]), torch.stack([ONE, ONE])])  # two networks, two views
    mean = [0.5, 0.4, 0.1]
    wanted = [m**2 / sum(n**2 for n in mean) for m in mean]
    assert guess_labels(p)[0].tolist() == pytest.approx(wanted)


@pytest.fixture
def views():
    g = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=g), torch.randn(6, 4, generator=g)


def test_each_its_own_positive_it_is_info_nce(views):
    found = supervised_contrastive(*views, torch.eye(6, dtype=torch.bool), 0.2)
    assert torch.allclose(found, info_nce(*views, 0.2), atol=1e-5)


def test_alike_embeddings_give_log_b_whatever_the_positives():
    same = torch.ones(6, 4)
    masks = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    found = supervised_contrastive(same, same, masks | torch.eye(6, dtype=torch.bool))
    assert found.tolist() == pytest.approx([math.log(6)] * 6, abs=1e-5)


def test_the_mean_over_positives_by_hand():
    eye = torch.eye(3)
    positives = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])
    found = supervised_contrastive(eye, eye, positives, 1.0)
    rest = math.log(math.e + 2)
    assert found.tolist() == pytest.approx([rest - 1 / 2, rest - 1, rest - 1 / 3], abs=1e-5)


def test_weights_of_one_are_plain_cross_entropy_and_of_zero_leave_samples_out():
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 3, generator=g), torch.tensor([0, 2, 1, 1, 0])
    targets = F.one_hot(labels, 3).float()
    plain = weighted_cross_entropy(logits, targets, torch.ones(5))
    assert plain.item() == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-6)
    weights = torch.tensor([1.0, 0, 1, 0, 0])
    assert weighted_cross_entropy(logits, targets, weights).item() == pytest.approx(
        F.cross_entropy(logits[[0, 2]], labels[[0, 2]]).item(), abs=1e-6
    )
    assert weighted_cross_entropy(logits, targets, torch.zeros(5)).item() == 0


CARD = [(0.9, 0.1), (0.6, 0.4), (0.75, 0.25)]


def pixel(p):
    return torch.tensor(p, dtype=torch.float64).log().view(1, -1, 1, 1)


def test_three_scales_of_one_pixel():
    logits = [pixel(p) for p in CARD]
    assert mixture([z.exp() for z in logits]).flatten().tolist() == pytest.approx([0.75, 0.25])
    assert multi_scale_consistency(logits, gate="none").item() == pytest.approx(0.1266, abs=5e-5)
    each = [stats.entropy(p, CARD[2]) for p in CARD]
    assert each == pytest.approx([0.0725, 0.0541, 0.0], abs=5e-5)
    divergence = stats.entropy(CARD[2]) - sum(stats.entropy(p) for p in CARD) / 3
    assert multi_scale_consistency(logits, gate="none").item() / 3 == pytest.approx(divergence, abs=1e-9)
    assert divergence == pytest.approx(0.0422, abs=5e-5)


def test_scales_that_agree_and_scales_in_another_order():
    logits = torch.randn(3, 2, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = logits.clamp(-1, 1)  # nothing is clamped by the mixture
    assert multi_scale_consistency([logits[0]] * 3, gate="none").item() == pytest.approx(0, abs=1e-12)
    one = multi_scale_consistency(list(logits), gate="none")
    assert multi_scale_consistency(list(logits.flip(0)), gate="none").item() == pytest.approx(one.item(), abs=1e-12)


def test_the_gates():
    sure, unsure = CARD, [(0.5, 0.5), (0.6, 0.4), (0.7, 0.3)]
    logits = [torch.cat([pixel(a), pixel(b)], 3) for a, b in zip(sure, unsure, strict=True)]
    alone = multi_scale_consistency([pixel(p) for p in sure], gate="none").item()
    both = multi_scale_consistency(logits, gate="none").item()
    at = {"sure": 0.7}
    assert multi_scale_consistency(logits, gate="image", **at).item() == pytest.approx(both)
    assert multi_scale_consistency(logits, gate="pixel", **at).item() == pytest.approx(alone / 2)
    assert multi_scale_consistency(logits, gate="image", sure=0.8).item() == 0
    ignored = torch.tensor([[[IGNORED, 0]]])
    assert multi_scale_consistency(logits, ignored, gate="image", **at).item() == 0


def test_the_gradient_flows_through_both_arguments():
    logits = [pixel(p).requires_grad_() for p in CARD]
    multi_scale_consistency(logits, gate="none").backward()
    assert all(z.grad.abs().sum() > 0 for z in logits)
    a, b, c = (z.detach().requires_grad_() for z in logits)
    assert torch.autograd.gradcheck(lambda *z: multi_scale_consistency(list(z), gate="none"), (a, b, c))


def test_cross_entropy_of_a_third_of_the_logits():
    logits, label = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)
    assert multi_scale_cross_entropy([logits], label).item() == pytest.approx(0.126928, abs=1e-6)
    assert multi_scale_cross_entropy([logits] * 3, label).item() == pytest.approx(3 * 0.414370, abs=3e-6)


def test_ignored_pixels_stay_in_the_mean():
    logits = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    labels = torch.tensor([[[0, 0, IGNORED, IGNORED]]])
    assert multi_scale_cross_entropy([logits], labels).item() == pytest.approx(0.126928 / 2, abs=1e-6)


def test_individual_representation_by_hand():
    features, frozen = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    assert individual_representation(features, frozen).item() == (4 + 9) / 2
    assert individual_representation(frozen, frozen).item() == 0


def test_its_gradient_is_twice_the_difference_over_the_batch():
    g = torch.Generator().manual_seed(0)
    features, frozen = torch.randn(5, 3, generator=g, requires_grad=True), torch.randn(5, 3, generator=g)
    individual_representation(features, frozen).backward()
    assert torch.allclose(features.grad, 2 * (features.detach() - frozen) / 5, atol=1e-6)


@pytest.mark.parametrize(("done", "power"), [(0, 5), (10, 45 / 16), (20, 5 / 4), (40, 0), (60, 0)])
def test_the_exponential_ramp_by_hand(done, power):
    assert exponential_ramp(done, 40) == pytest.approx(math.exp(-power))
    assert exponential_ramp(done, 0) == 1
