"""The loss by hand, the measures at their ends, and training with it."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.architecture.tap import TAP
from unshaken.harden.recipes.losses.adl import (
    ADL,
    attention_diversification,
    attention_entropy,
    attention_stability,
    overfocus,
    surviving,
)
from unshaken.harden.recipes.weights.awp import AWP
from unshaken.models.networks.attention import attention_maps
from unshaken.models.networks.small import SmallCNN
from unshaken.models.networks.small_vit import SmallViT

ROWS = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])


def adl(rows, **options):
    return attention_diversification(rows[None, None], **options).item()


@pytest.mark.parametrize("n", [2, 3, 7, 64])
def test_even_attention(n):
    even = torch.full((n, n), 1 / n)
    assert adl(even, threshold=2) == 0
    assert adl(even, threshold=0.5) == pytest.approx(1, abs=1e-6)


def test_all_rows_on_one_token():
    for n, wanted in ((2, 0), (3, 1), (16, 1)):
        rows = torch.zeros(n, n)
        rows[:, 0] = 1
        assert adl(rows) == pytest.approx(wanted)


def test_identity():
    assert adl(torch.eye(4)) == 0
    assert adl(torch.eye(4), threshold=0.5) == pytest.approx(0.5)


def test_four_tokens_by_hand():
    assert adl(ROWS, threshold=2) == 0
    assert adl(ROWS, threshold=0.5) == pytest.approx(0.608780, abs=1e-6)
    assert adl(ROWS, threshold=0) == pytest.approx(0.753198, abs=1e-6)
    assert adl(ROWS, threshold=2, pairwise=True) == pytest.approx(1 / 6)


def test_the_mean_over_heads_counts():
    heads = torch.stack([torch.eye(4), torch.full((4, 4), 0.25)])
    assert attention_diversification(heads[None]).item() == 0
    assert attention_diversification(torch.eye(4)[None, None], threshold=0.5).item() == pytest.approx(0.5)


def test_samples_are_kept_apart():
    column = torch.zeros(4, 4)
    column[:, 0] = 1
    both = torch.stack([column, torch.eye(4)])[:, None]
    assert attention_diversification(both, reduce=False).tolist() == [1, 0]
    assert attention_diversification(both).item() == pytest.approx(0.5)
    assert attention_diversification(both[:1]).item() == pytest.approx(1)  # a batch of one keeps its dimension


def test_it_lies_in_the_unit_interval_and_does_not_know_the_order_of_keys():
    torch.manual_seed(0)
    maps = (3 * torch.randn(5, 2, 9, 9)).softmax(-1)
    order = torch.randperm(9)
    for options in ({}, {"threshold": 1.0}, {"pairwise": True}):
        value = attention_diversification(maps, reduce=False, **options)
        assert bool((value >= 0).all())
        assert bool((value <= 1 + 1e-6).all())
        assert torch.allclose(attention_diversification(maps[..., order], reduce=False, **options), value, atol=1e-6)


def test_the_pairwise_form_is_the_mean_over_pairs():
    torch.manual_seed(1)
    maps = (3 * torch.randn(1, 1, 6, 6)).softmax(-1)
    rows = maps[0, 0] * (maps[0, 0] > 1 / 6)
    pairs = [
        torch.nn.functional.cosine_similarity(rows[i], rows[j], dim=0) for i in range(6) for j in range(6) if i != j
    ]
    found = attention_diversification(maps, threshold=1, pairwise=True)
    assert found.item() == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)


def test_no_gradient_where_nothing_is_above_the_threshold():
    logits = torch.full((1, 1, 5, 5), 0.3, requires_grad=True)
    attention_diversification(logits.softmax(-1)).backward()
    assert logits.grad.abs().max() == 0
    sharp = (4 * torch.eye(5) + 3 * torch.eye(5)[0]).requires_grad_()
    attention_diversification(sharp.softmax(-1)[None, None], threshold=1).backward()
    assert torch.isfinite(sharp.grad).all()
    assert sharp.grad.abs().max() > 1e-4


def test_half_precision_is_worked_out_in_single():
    maps = torch.zeros(1, 1, 3136, 3136, dtype=torch.bfloat16)
    maps[..., :700] = 1 / 700
    assert attention_diversification(maps).item() == pytest.approx(1, abs=1e-5)


def maps_of(rows):
    return rows[None, None, None]


def test_overfocus_and_entropy_at_their_ends():
    even, one = torch.full((8, 8), 1 / 8), torch.zeros(8, 8)
    one[:, 3] = 1
    assert overfocus(maps_of(even)).item() == pytest.approx(1)
    assert overfocus(maps_of(one)).item() == pytest.approx(8)
    assert attention_entropy(maps_of(even)).item() == pytest.approx(1)
    assert attention_entropy(maps_of(one)).item() == 0
    assert overfocus(maps_of(ROWS)).item() == pytest.approx(1.6)  # the first column's mean is 0.4
    by_hand = -(0.7 * math.log(0.7) + 0.3 * math.log(0.1)) / math.log(4)
    assert attention_entropy(maps_of(ROWS)).item() == pytest.approx(by_hand, abs=1e-6)
    assert surviving(maps_of(ROWS)).item() == pytest.approx(4 / 16)


def test_stability():
    other = ROWS[:, [1, 0, 2, 3]]
    same, moved = 0.52, (0.07 + 0.07 + 0.02)
    rows = [moved / same, moved / same, moved / same, 1.0]
    assert attention_stability(maps_of(ROWS), maps_of(ROWS)).item() == pytest.approx(1)
    assert attention_stability(maps_of(ROWS), maps_of(other)).item() == pytest.approx(sum(rows) / 4, abs=1e-6)
    with pytest.raises(ParameterError, match="came with"):
        attention_stability(maps_of(ROWS), maps_of(torch.eye(5)))


IMAGES = torch.randint(0, 256, (60, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 3
LONG = Training(epochs=8, batch_size=16, lr=3e-3, optimizer="adamw", select="last", check_every=8)
SHORT = Training(epochs=2, batch_size=16, lr=3e-3, optimizer="adamw", select="last", check_every=2)


def vit():
    torch.manual_seed(0)
    return Classifier(SmallViT(3, 1, 16))


def penalty_after(recipes):
    model = fit(vit(), IMAGES, LABELS, recipes, LONG).last.eval()
    maps = attention_maps(model, IMAGES.float() / 255)
    return torch.stack([attention_diversification(m, threshold=1) for m in maps]).mean().item()


def test_training_lowers_it():
    plain, less = penalty_after([]), penalty_after([ADL(weight=3, threshold=1)])
    assert less < 0.9 * plain


@pytest.mark.parametrize(
    "others", [[TAP()], [AdversarialTraining(steps=1, rel_stepsize=1)], [AWP()]], ids=["tap", "at", "awp"]
)
def test_it_goes_with_other_recipes(others):
    for recipes in ([*others, ADL(threshold=1)], [ADL(threshold=1), *others]):
        fitted = fit(vit(), IMAGES, LABELS, recipes, SHORT)
        assert math.isfinite(fitted.progress.curves[-1]["loss"])
        hooks = [m for m in fitted.last.modules() if m._forward_pre_hooks]
        assert hooks == []


def test_the_loss_is_cross_entropy_and_the_weighted_penalty():
    still = Training(epochs=1, batch_size=60, lr=1e-9, optimizer="sgd", select="last", weight_decay=0)
    model = vit()
    bare = fit(vit(), IMAGES, LABELS, [], still).progress.curves[0]["loss"]
    both = fit(vit(), IMAGES, LABELS, [ADL(weight=2, threshold=0.5, layers=(1, 3))], still).progress.curves[0]["loss"]
    assert both > bare
    maps = attention_maps(model.eval(), IMAGES.float() / 255)
    per_image = [attention_diversification(maps[i], threshold=0.5, reduce=False) for i in (1, 3)]
    assert both - bare == pytest.approx(2 * torch.stack(per_image).mean().item(), abs=0.02)


def test_bad_input():
    with pytest.raises(ParameterError, match="must be"):
        attention_diversification(torch.zeros(4, 4))
    with pytest.raises(ParameterError, match="0 or more"):
        attention_diversification(torch.zeros(1, 1, 4, 4), threshold=-1)
    with pytest.raises(ParameterError, match="2 tokens"):
        attention_diversification(torch.ones(1, 1, 1, 1), pairwise=True)
    with pytest.raises(ParameterError, match="layers 0 to 3"):
        fit(vit(), IMAGES, LABELS, [ADL(layers=(4,))], SHORT)
    with pytest.raises(ModelError, match="no attention layers"):
        fit(Classifier(SmallCNN(3, 1, 16)), IMAGES, LABELS, [ADL()], SHORT)
    with pytest.raises(ParameterError, match="weight"):
        ADL(weight=-1)
