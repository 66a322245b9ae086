"""Patches: outside them nothing moves, a linear model's best patch is reached, and more cells never fool fewer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.covering import covering
from unshaken.attack.patch.patch import Patch
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError


def attack(attack, model, batch, **options):
    (one,), _ = attack.attack(Oracle(model), batch, **options)
    return one


def masks(batch, patch, seed=0):
    return patch.placed(batch, seed)


@pytest.mark.parametrize("cells", [1, 2, 4])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 13, 22)])
def test_outside_the_patch_the_image_stays_to_the_bit(make, cells, shape):
    net = make.net(classes=3, channels=shape[0])
    batch = make.batch(net, make.images(20, *shape))
    patch = Patch(size=4, cells=cells, steps=5, restarts=2)
    one = attack(patch, net, batch, seed=4)
    mask = masks(batch, patch, seed=4)
    assert mask.flatten(1).sum(1).tolist() == [16 * cells] * 20
    wide = mask.expand_as(batch.images)
    assert torch.equal(one.images[~wide], batch.images[~wide])
    assert not torch.equal(one.images[wide], batch.images[wide])
    assert 0 <= float(one.images.min()) <= float(one.images.max()) <= 1
    assert torch.equal(net(one.images).argmax(1) != batch.labels, one.fooled)


def linear(w):
    """Two classes: logits <w_k, x>, with a bias that no patch overcomes."""

    class Linear(nn.Module):
        def forward(self, x):
            return x.flatten(1) @ w.flatten(1).T + torch.tensor([10.0, 0.0])

    return Classifier(Linear(), name="linear").eval()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("start", [True, False])
def test_the_best_patch_of_a_linear_model_is_reached(make, targeted, start):
    w = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) / 10
    model, images = linear(w), make.images(10, 3, 8, 8)
    batch = Batch(images, torch.zeros(10, dtype=torch.int64), tuple(f"s{i}" for i in range(10)))
    patch = Patch(size=3, cells=2, steps=12, random_start=start)
    targets = torch.ones(10, dtype=torch.int64) if targeted else None
    one = attack(patch, model, batch, targets=targets)
    best = torch.where(masks(batch, patch), ((w[1] - w[0]) > 0).float().expand_as(images), images)
    assert torch.equal(one.images, best)
    assert not bool(one.fooled.any())


def by_hand(net, batch, patch, steps, step_size, targets=None):
    """One sample after another; who is fooled at any point."""
    fooled = []
    for i in range(len(batch)):
        stream = SampleRng.of(0, "patch", batch.ids[i : i + 1]).fold(0)
        mask = patch.mask(stream, *batch.images.shape[2:]).float()
        x0, aim = batch.images[i : i + 1], (batch.labels if targets is None else targets)[i : i + 1]
        d = stream.fold(0).fold("start").uniform(*x0.shape[1:])
        hit = False
        for step in range(steps + 1):
            x = (x0 * (1 - mask) + d * mask).requires_grad_(True)
            z = net(x)
            hit |= bool((int(z.argmax(1)) == int(aim)) is (targets is not None))
            if step < steps:
                (g,) = torch.autograd.grad(F.cross_entropy(z, aim), x)
                d = (d + (step_size if targets is None else -step_size) * g.sign()).clamp(0, 1)
        fooled.append(hit)
    return torch.tensor(fooled)


@covering("steps, targeted", [0, 1, 6], [[False], [True]])
def test_fools_whom_a_plain_loop_fools(make, steps, targeted):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(60, 1, 8, 8))
    targets = net(batch.images).topk(2, 1).indices[:, 1] if targeted else None
    patch = Patch(size=2, cells=2, steps=steps, step_size=0.1)
    expected = by_hand(net, batch, patch, steps, 0.1, targets)
    assert torch.equal(attack(patch, net, batch, targets=targets).fooled, expected)
    assert 0 < int(expected.sum()) < 60


def test_the_place_stays_from_run_to_run_and_the_start_does_not(make):
    batch = Batch(make.images(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64), tuple(f"s{i}" for i in range(12)))
    unmoved = linear(torch.zeros(2, 1, 8, 8))
    first, second = (attack(Patch(size=3, steps=0, restarts=r), unmoved, batch) for r in (1, 2))
    moved = [(one.images != batch.images).any(1) for one in (first, second)]
    assert torch.equal(*moved)
    assert bool(((first.images != second.images).any(1) == moved[0]).all())


def test_runs_work_on_survivors_only(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    one, many = (attack(Patch(size=3, steps=3, restarts=r), net, batch) for r in (1, 4))
    assert bool((one.fooled <= many.fooled).all())
    assert torch.equal(many.forwards[one.fooled], one.forwards[one.fooled])
    assert [t.attack for t in many.phases] == ["patch", "patch+2", "patch+3", "patch+4"]
    still = ~many.fooled
    assert int(one.fooled.sum()) > 0
    assert int(still.sum()) > 0
    assert set(many.forwards[still].tolist()) == {16}  # in each run 3 gradients and one last look
    assert set(many.backwards[still].tolist()) == {12}
    assert Patch(steps=3).cost(3) == (3, 3)


def test_more_cells_hold_the_patch_of_fewer_so_that_it_fools_there_too(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 12, 12))
    few = attack(Patch(size=3, cells=1), net, batch)
    wide = masks(batch, Patch(size=3, cells=2)).expand_as(batch.images)
    assert int(few.fooled.sum()) > 0
    assert torch.equal(few.images[~wide], batch.images[~wide])
    counts = [int(attack(Patch(size=3, cells=n, steps=20), net, batch).fooled.sum()) for n in (1, 4, 16)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


class Bag(nn.Module):
    """Cells of 4 x 4 pixels in no order: each is looked at by itself, and the looks are pooled."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.one = nn.Parameter(torch.randn(16, 8, generator=generator))
        self.two = nn.Parameter(torch.randn(8, 3, generator=generator) / 4)

    def forward(self, x):
        cells = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).flatten(1, 3)
        return ((cells - 0.5) @ self.one).relu().mean(1) @ self.two


def test_a_model_without_order_of_cells_is_fooled_alike_when_cells_change_places(make):
    model = Classifier(Bag(), name="bag").eval()
    images = make.images(30, 1, 16, 16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))

    def moved(x):
        cells = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3)[:, :, order]
        return cells.view(len(x), -1, 4, 4, 4, 4).transpose(3, 4).reshape(x.shape)

    batch = make.batch(model, images)
    one = attack(Patch(size=4, steps=15, random_start=False), model, batch)
    assert torch.allclose(model(moved(one.images)), model(one.images), atol=1e-5)
    assert torch.equal(model(moved(one.images)).argmax(1) != batch.labels, one.fooled)
    assert 0 < int(one.fooled.sum()) < 30


def test_a_fixed_square(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(10, 1, 9, 12))
    one = attack(Patch(place="fixed", size=4, row=5, column=7, steps=5), net, batch)
    moved = (one.images != batch.images).any(0)[0]
    expected = torch.zeros(9, 12, dtype=torch.bool)
    expected[5:9, 7:11] = True
    assert torch.equal(moved, expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 5}, "cells=1 of 5 x 5 pixels do not fit into images of 4 x 6"),
        ({"size": 2, "cells": 7}, "which hold 6"),
        ({"place": "fixed", "size": 3, "row": 2}, "3 pixels at row 2, column 0 do not fit"),
        ({"place": "fixed", "size": 3, "column": 4}, "row 0, column 4 do not fit"),
        ({"place": "fixed", "size": 2, "cells": 2}, "for place=fixed use cells=1"),
    ],
)
def test_a_patch_that_does_not_fit(make, values, words):
    net = make.net(classes=3)
    with pytest.raises(ParameterError) as caught:
        attack(Patch(**values), net, make.batch(net, make.images(2, 1, 4, 6)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"steps": -1}, {"step_size": 0.0}, {"cells": 0}, {"place": "left"}, {"restarts": 0}, {"row": -1}]
)
def test_bad_parameters_are_named(values):
    (name,) = values
    with pytest.raises(ParameterError, match=f"^patch: {name}="):
        Patch(**values)


def test_it_has_no_eps(make):
    net = make.net(classes=3)
    with pytest.raises(ParameterError, match="has no eps"):
        Patch().attack(Oracle(net), make.batch(net, make.images(2, 1, 8, 8)), eps=[0.1])


def test_a_grid_may_be_moved_down_and_to_the_right(make):
    batch = Batch(make.images(30, 1, 16, 17), torch.zeros(30, dtype=torch.int64), tuple(f"s{i}" for i in range(30)))
    corners = [m[0].nonzero()[0].tolist() for m in masks(batch, Patch(size=4, offset=3))]
    assert {(row - 3) % 4 for row, _ in corners} == {(column - 3) % 4 for _, column in corners} == {0}
    assert {row for row, _ in corners} == {3, 7, 11}
    assert torch.equal(Patch(size=4).placed(batch), Patch(size=4).placed(batch, 0))
    assert not torch.equal(Patch(size=4).placed(batch), Patch(size=4).placed(batch, 1))


def test_a_fixed_square_may_touch_both_borders(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(2, 1, 9, 12))
    one = attack(Patch(place="fixed", size=4, row=5, column=8, steps=1), net, batch)
    assert bool((one.images != batch.images)[:, :, 5:, 8:].any())
    assert torch.equal(one.images[:, :, :5], batch.images[:, :, :5])
