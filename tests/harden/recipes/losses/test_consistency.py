"""The consistency loss by hand, its gradients, and the noise it sees."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.compose import Composition
from unshaken.harden.recipes.adversarial.trades import Trades
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.losses.consistency import (
    Consistency,
    consistency_loss,
    disagreement,
    entropy_of_mean,
    log_mean,
)

TWO = torch.tensor([[[0.0, 0.0]], [[math.log(3.0), 0.0]]])
"""Two copies of one sample: (1/2, 1/2) and (3/4, 1/4); their mean is (5/8, 3/8)."""


def test_the_loss_by_hand():
    kl_half = 5 / 8 * math.log((5 / 8) / (1 / 2)) + 3 / 8 * math.log((3 / 8) / (1 / 2))
    kl_three = 5 / 8 * math.log((5 / 8) / (3 / 4)) + 3 / 8 * math.log((3 / 8) / (1 / 4))
    entropy = -5 / 8 * math.log(5 / 8) - 3 / 8 * math.log(3 / 8)
    assert disagreement(TWO).item() == pytest.approx((kl_half + kl_three) / 2, abs=1e-6)
    assert entropy_of_mean(TWO).item() == pytest.approx(entropy, abs=1e-6)
    assert consistency_loss(TWO, 10, 0.5).item() == pytest.approx(5 * (kl_half + kl_three) + entropy / 2, abs=1e-5)
    assert consistency_loss(TWO, 10, 0.5).item() == pytest.approx(0.679194, abs=2e-6)
    assert log_mean(TWO.log_softmax(2)).exp()[0].tolist() == pytest.approx([5 / 8, 3 / 8])


def test_the_batch_counts_by_its_mean():
    both = torch.cat([TWO, torch.zeros(2, 1, 2)], 1)
    assert disagreement(both).tolist() == pytest.approx([disagreement(TWO).item(), 0], abs=1e-7)
    assert consistency_loss(both, 10, 0).item() == pytest.approx(consistency_loss(TWO, 10, 0).item() / 2, abs=1e-6)


def test_equal_noises_give_no_disagreement_and_no_gradient():
    one = torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(0))
    logits = one.repeat(3, 1, 1).requires_grad_()
    found = consistency_loss(logits, 20, 0)
    assert found.item() == pytest.approx(0, abs=1e-5)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.abs().max() < 1e-6
    apart = torch.cat([one, 2 * one]).requires_grad_()
    (gradient,) = torch.autograd.grad(consistency_loss(apart, 20, 0), apart)
    assert gradient.abs().max() > 1e-2


def test_the_entropy_is_least_at_one_class_alone():
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    descent = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        descent.zero_grad()
        consistency_loss(logits, 0, 1.0).backward()
        descent.step()
    mean = logits.softmax(2).mean(0)
    assert mean.max(1).values.min() > 0.99
    assert entropy_of_mean(logits).max() < 0.02
    assert entropy_of_mean(torch.zeros(2, 1, 6)).item() == pytest.approx(math.log(6), abs=1e-6)
    sure = torch.tensor([[[200.0, 0, 0]]]).repeat(2, 1, 1)
    assert entropy_of_mean(sure).item() == 0


class Mean(torch.nn.Module):
    """Logits that are the images' mean, and what was seen."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, -mean], 1)


def test_the_whole_loss_of_a_step(step_of, net):
    images, labels = torch.zeros(6, 1, 16, 16), torch.tensor([0, 1, 0, 1, 0, 1])
    step, model = step_of(net(), images, labels, classes=2), Mean()
    step.model = model
    found = Consistency(sigma=0.5, copies=3, lbd=2, eta=0.1).loss(step)
    (seen,) = model.seen
    assert seen.shape == (18, 1, 16, 16)
    assert float(seen.std()) == pytest.approx(0.5, rel=0.03)
    assert float(seen.min()) < -0.5
    assert not torch.allclose(seen[:6], seen[6:12])
    mean = seen.mean((1, 2, 3)).view(3, 6)
    p = torch.stack([mean, -mean], 2).softmax(2).double()
    bar = p.mean(0)
    entropy = F.nll_loss(p.log().flatten(0, 1), labels.repeat(3))
    kl = (bar * (bar / p).log()).sum(2).mean()
    assert found.item() == pytest.approx(float(entropy + 2 * kl - 0.1 * (bar * bar.log()).sum(1).mean()), abs=1e-5)


def test_beside_others(step_of, net):
    Composition([Mixup(), Consistency()])
    with pytest.raises(ParameterError, match="both bring a loss"):
        Composition([Consistency(), Trades()])
    step, model = step_of(net(), torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64), classes=2), Mean()
    step.model, step.adversarial = model, torch.ones(2, 1, 8, 8)
    Consistency(sigma=0.01).loss(step)
    assert float(model.seen[0].mean()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("bad", [{"copies": 1}, {"sigma": -1}, {"lbd": -1}, {"eta": -0.5}])
def test_bad_parameters(bad):
    with pytest.raises(ParameterError, match=f"{next(iter(bad))}="):
        Consistency(**bad)
