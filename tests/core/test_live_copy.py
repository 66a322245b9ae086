from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.live_copy import live_copy


def small() -> Classifier:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 5),
    )  # fmt: skip
    return Classifier(net, mean=[0.4] * 3, std=[0.2] * 3)


def test_it_follows_the_weights_and_the_statistics():
    model = small().train().to(memory_format=torch.channels_last)
    images, labels = torch.rand(16, 3, 8, 8), torch.randint(0, 5, (16,))
    quick = live_copy(model, images[:4])
    assert len(quick.pairs) == 2
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model.train()(images), labels).backward()
        optimizer.step()
        quick.refresh()
        model.eval()
        assert torch.allclose(quick(images), model(images), atol=1e-5)
        points = images.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(model(points).square().sum(), points)
        (found,) = torch.autograd.grad(quick(points).square().sum(), points)
        assert torch.allclose(found, wanted, atol=1e-4)


def test_it_holds_no_gradient_and_leaves_mode_and_random_state():
    model = small().train()
    before = torch.get_rng_state()
    quick = live_copy(model, torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert not any(p.requires_grad for p in quick.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_a_net_that_branches_on_its_input_has_none():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3)) if x.sum() > 0 else self.conv(x).amax((2, 3))

    assert live_copy(Classifier(Branches()), torch.rand(2, 3, 8, 8)) is None
