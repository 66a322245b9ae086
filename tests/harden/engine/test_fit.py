"""Fresh networks with the statistics of the images, and the number of classes that labels show."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.masks import IGNORED
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training

QUICK = Training(epochs=1, batch_size=8, held_out=4, check_images=4, select="last")


def test_a_fresh_network_normalises_with_its_images():
    images = torch.randint(0, 256, (30, 2, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:, 1] = 51
    before = torch.get_rng_state()
    made, same, other = (fresh("small-cnn", images, classes=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    values = images[:, 0].double() / 255
    assert made.mean.flatten().tolist() == pytest.approx([values.mean().item(), 0.2], rel=1e-5)
    assert made.std.flatten().tolist() == pytest.approx([values.std().item(), 1e-3], rel=1e-5)
    weights = [next(m.net.parameters()) for m in (made, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_there_are_as_many_classes_as_the_largest_label_and_one():
    images = torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels, shown = torch.arange(24) % 3, []
    made = fit(
        fresh("small-cnn", images, classes=3, seed=0), images, labels, [], QUICK,
        after_epoch=lambda live: shown.append(live),
    )  # fmt: skip
    assert len(shown) == made.progress.epoch == 1
    assert not made.model.training
    assert not made.last.training
    masks = labels[:, None, None].expand(24, 8, 8).to(torch.uint8).clone()
    masks[:, 0] = IGNORED
    assert fit(fresh("unet", images, classes=3, seed=0), images, masks, [], QUICK).progress.epoch == 1
