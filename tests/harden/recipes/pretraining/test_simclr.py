"""SimCLR: what is contrasted in a step, what learns, and that features of like images come together."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.strong_views import SMALL, strong_view
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.pretraining.simclr import SimCLR, nt_xent


def test_a_step_by_hand(net, photos, step_of):
    images, labels = photos[0][:6].float() / 255, photos[1][:6]
    recipe, model = SimCLR(temperature=0.3, hidden=5, projected=4), net(norm=False)
    model = recipe.rebuild(model)
    recipe.begin(Setup(model, images[:2], 10, 5, 1, 1, {}, lambda n: (images[:n], labels[:n])))
    step = step_of(model, images, labels)
    rng = step.rng.fold("simclr")
    with model.net.giving("projection"):
        one, two = (model(strong_view(images, SMALL[0], rng.fold(f"view{i}"))) for i in range(2))
    assert recipe.loss(step).item() == pytest.approx(nt_xent(one, two, 0.3).mean().item(), abs=1e-5)


def test_the_head_stays_as_it_is_and_the_projection_head_leaves(net, photos):
    model = net()
    before = {k: v.clone() for k, v in model.net.state_dict().items()}
    training = Training(epochs=1, batch_size=32, lr=0.1, held_out=8, select="last", check_images=8)
    after = fit(model, photos[0][:72], photos[1][:72], [SimCLR()], training, classes=10).model.net.state_dict()
    assert after.keys() == before.keys()
    assert torch.equal(after["5.weight"], before["5.weight"])
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert all(p.requires_grad for p in model.net.parameters())


def test_two_views_of_an_image_come_nearer_than_others(net, photos):
    """The loss of the last epoch is below that of the first, and below what equal features would have."""
    training = Training(epochs=6, batch_size=48, lr=0.02, held_out=8, select="last", check_every=6, check_images=8)
    made = fit(net(), photos[0], photos[1], [SimCLR(mirror=0)], training, classes=10)
    losses = [record["loss"] for record in made.progress.curves]
    assert losses[-1] < losses[0]
    assert losses[-1] < torch.log(torch.tensor(95.0)) - 0.3


def test_it_does_not_go_with_mixed_labels():
    with pytest.raises(ParameterError, match="labels are not used"):
        Composition([SimCLR(), Mixup()])


def test_nt_xent_of_equal_views_is_the_log_of_the_others():
    same = torch.ones(8, 5)
    assert nt_xent(same, same).tolist() == pytest.approx([math.log(15)] * 16, abs=1e-5)


def test_nt_xent_by_hand():
    """Orthonormal samples: a partner at cosine 1 among 2 B - 2 others at 0."""
    eye = torch.eye(4, requires_grad=True)
    other = (3 * torch.eye(4)).requires_grad_()
    found = nt_xent(eye, other, tau=0.5)
    assert found.tolist() == pytest.approx([math.log(math.exp(2) + 6) - 2] * 8, abs=1e-5)
    found[0].backward()
    assert eye.grad.abs().sum() > 0
    assert other.grad.abs().sum() > 0


def test_nt_xent_is_the_cross_entropy_of_each_row_without_itself():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(6, 4, generator=g)
    unit = torch.nn.functional.normalize(z, dim=1).double()
    found = nt_xent(z[:3], z[3:], tau=0.3)
    for i in range(6):
        others = [math.exp(float(unit[i] @ unit[j]) / 0.3) for j in range(6) if j != i]
        partner = math.exp(float(unit[i] @ unit[(i + 3) % 6]) / 0.3)
        assert found[i].item() == pytest.approx(-math.log(partner / sum(others)), abs=1e-5)


def test_the_usual_temperature():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nt_xent(z[:3], z[3:]), nt_xent(z[:3], z[3:], 0.5))
