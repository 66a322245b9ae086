"""The universal patch: a linear model's best one, the same for all, fitted once and paid for by all."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.patch.universal_patch import Overlay, UniversalPatch
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError


def at(row, column, side, angle=0.0, round=False, n=1):
    return Overlay(*(torch.full((n,), float(v)) for v in (row, column, side, angle)), round)


@pytest.mark.parametrize(("row", "column", "side"), [(0, 0, 4), (3, 5, 4), (7, 2, 5), (0, 0, 12)])
def test_an_upright_square_lies_pixel_on_pixel(make, row, column, side):
    images, patch = make.images(2, 3, 12, 16), make.images(3, side, side, seed=1)
    got, mask = at(row + side / 2, column + side / 2, side, n=2).paste(images, patch)
    expected = images.clone()
    expected[:, :, row : row + side, column : column + side] = patch
    assert torch.allclose(got, expected, atol=1e-6)
    outside = (mask == 0).expand_as(images)
    assert torch.equal(got[outside], images[outside])
    assert mask.sum((1, 2, 3)).tolist() == [side**2] * 2
    assert set(mask.unique().tolist()) == {0.0, 1.0} or side == 12


def test_the_disc_follows_its_formula():
    overlay = at(16, 16, 32, round=True)
    mask = overlay.mask(overlay.coordinates(32, 32))[0, 0]
    for y in range(0, 32, 5):
        for x in range(0, 32, 3):
            u, v = (x + 0.5 - 16) / 16, (y + 0.5 - 16) / 16
            assert float(mask[y, x]) == pytest.approx(max(0.0, 1 - (u * u + v * v) ** 40), abs=1e-5)
    assert float(mask.mean()) == pytest.approx(math.pi / 4, abs=0.02)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns(make, turns):
    images, patch = torch.zeros(1, 1, 9, 9), make.images(1, 5, 5)
    got, _ = at(4.5, 4.5, 5 - 1e-4, math.pi / 2 * turns).paste(images, patch)
    assert torch.allclose(got[0, :, 2:7, 2:7], patch.rot90(-turns, (1, 2)), atol=1e-3)


def test_half_the_side_shows_means_of_neighbours(make):
    patch = make.images(1, 8, 8)
    got, _ = at(2, 2, 4).paste(torch.zeros(1, 1, 4, 4), patch)
    assert torch.allclose(got[0], torch.nn.functional.avg_pool2d(patch[None], 2)[0], atol=1e-6)


def test_the_gradient_comes_back_through_the_mask(make):
    images, patch = make.images(3, 1, 8, 8), make.images(1, 4, 4, seed=2).requires_grad_(True)
    overlay = Overlay(
        torch.tensor([2.0, 4, 5]), torch.tensor([3.0, 4, 6]), torch.full((3,), 4.0), torch.zeros(3), False
    )
    stuck, mask = overlay.paste(images, patch)
    (g,) = torch.autograd.grad(stuck.sum(), patch)
    assert torch.allclose(g, torch.full((1, 4, 4), 3.0), atol=1e-5)
    assert float(mask.sum()) == 48


FIXED = {"place": "fixed", "mask": "square", "row": 2, "column": 3, "scale_max": 0.5}


def attack(attack, model, batch, **options):
    (one,), _ = attack.attack(options.pop("oracle", None) or Oracle(model), batch, **options)
    return one


class Linear(nn.Module):
    """Two classes: logits <w_k, x>, and a bias that no patch overcomes."""

    def __init__(self, w, bias=10.0):
        super().__init__()
        self.w, self.bias = nn.Parameter(w), bias

    def forward(self, x):
        return x.flatten(1) @ self.w.flatten(1).T + torch.tensor([self.bias, 0.0])


def zeros(make, n, *shape, prefix="s", seed=0):
    return Batch(
        make.images(n, *shape, seed=seed), torch.zeros(n, dtype=torch.int64), tuple(f"{prefix}{i}" for i in range(n))
    )


@pytest.mark.parametrize("targeted", [False, True])
def test_the_best_patch_of_a_linear_model_is_reached(make, targeted):
    w = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) / 10
    batch = zeros(make, 9, 3, 8, 8)
    targets = torch.ones(9, dtype=torch.int64) if targeted else None
    one = attack(UniversalPatch(**FIXED, steps=60), Classifier(Linear(w)).eval(), batch, targets=targets)
    expected = batch.images.clone()
    expected[:, :, 2:6, 3:7] = ((w[1] - w[0])[:, 2:6, 3:7] > 0).float()
    assert torch.allclose(one.images, expected, atol=1e-6)
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[2:6, 3:7] = False
    assert torch.equal(one.images[..., outside], batch.images[..., outside])


def by_hand(net, batch, attack, seed):
    """The fit as one loop through the whole graph, for an upright square."""
    order = sorted(range(len(batch)), key=lambda i: batch.ids[i])
    rng = SampleRng.of(seed, "universal-patch/fit", ("patch",))
    order = torch.tensor(order)[rng.fold("order").fresh(len(batch))[0].argsort()]
    patch = torch.full((1, 4, 4), 0.5, requires_grad=True)
    adam = torch.optim.Adam([patch], lr=attack.lr)
    for step in range(attack.steps):
        rows = order[[(step * attack.batch_size + j) % len(order) for j in range(attack.batch_size)]]
        x = batch.images[rows].clone()
        x[:, :, 2:6, 3:7] = patch
        adam.zero_grad()
        (-F.cross_entropy(net(x), batch.labels[rows])).backward()
        adam.step()
        patch.data.clamp_(0, 1)
    return patch.detach()


def test_the_fit_is_that_of_a_plain_loop(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(11, 1, 8, 8))
    method = UniversalPatch(**FIXED, steps=15, batch_size=4)
    one = attack(method, net, batch, seed=3)
    expected = by_hand(net, batch, method, 3)
    assert float((expected - 0.5).abs().min()) > 0.01
    assert torch.allclose(one.images[:, :, 2:6, 3:7], expected.expand(11, -1, -1, -1), atol=1e-5)


def test_it_depends_on_the_runs_first_samples_and_not_on_those_attacked(make):
    net = make.net(classes=3)
    first = make.batch(net, make.images(8, 1, 8, 8), prefix="r")
    method = UniversalPatch(**FIXED, steps=12, batch_size=4)
    some = make.batch(net, make.images(5, 1, 8, 8, seed=1))
    others = make.batch(net, make.images(6, 1, 8, 8, seed=2), prefix="t")
    a, b = (attack(method, net, x, reference=first).images[:, :, 2:6, 3:7] for x in (some, others))
    assert torch.equal(a[:1].expand(6, -1, -1, -1), b)
    assert torch.equal(a[:1].expand(5, -1, -1, -1), a)
    own = attack(method, net, some).images[:, :, 2:6, 3:7]
    assert not torch.allclose(own[0], a[0], atol=1e-3)
    assert torch.equal(attack(method, net, some).images[:, :, 2:6, 3:7], own)


def test_it_raises_the_loss_at_places_that_it_was_not_fitted_at(make):
    net = make.net(classes=3, channels=3)
    seen, unseen = (make.batch(net, make.images(32, 3, 16, 16, seed=s), prefix=f"{s}-") for s in (0, 1))
    options = {"scale_min": 0.4, "scale_max": 0.6}
    loss = []
    for steps in (1, 80):
        one = attack(UniversalPatch(**options, steps=steps), net, unseen, reference=seen, seed=1)
        loss.append(F.cross_entropy(one.logits, unseen.labels).item())
    assert loss[1] > loss[0] + 0.02


def test_placements_are_drawn_for_each_sample_within_the_image(make):
    net = Classifier(Linear(torch.zeros(2, 1, 20, 24), 1.0)).eval()
    batch = zeros(make, 40, 1, 20, 24)
    one = attack(UniversalPatch(steps=1, scale_min=0.2, scale_max=0.4), net, batch)
    moved = (one.images != batch.images).any(1)
    areas = moved.flatten(1).sum(1)
    assert 10 <= int(areas.min()) <= 25  # discs of 4 to 8 pixels across have 13 to 50
    assert 40 <= int(areas.max()) <= 60
    centres = torch.stack([m.nonzero().float().mean(0) for m in moved])
    assert float(centres.std(0).min()) > 3
    assert len({tuple(c) for c in centres.tolist()}) == 40


def test_the_fit_is_paid_once_and_shared_evenly(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(7, 1, 8, 8))
    oracle = Oracle(net)
    method = UniversalPatch(steps=5, batch_size=3, restarts=3, scale_max=0.2)
    one = attack(method, net, batch, oracle=oracle)
    assert oracle.meter.backwards == int(one.backwards.sum()) == 15
    assert sorted(one.backwards.tolist()) == [2, 2, 2, 2, 2, 2, 3]
    assert oracle.meter.forwards == int(one.forwards.sum()) + len(batch)
    assert method.cost(3) == (0, 0)
    still = ~one.fooled
    assert int(still.sum()) > 0
    assert set((one.forwards - one.backwards)[still].tolist()) == {3}  # a look at each placement


def test_different_targets_are_refused(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    targets = (batch.labels + 1 + torch.arange(6) % 2) % 3
    with pytest.raises(ParameterError, match="one patch has one target"):
        attack(UniversalPatch(steps=1), net, batch, targets=targets)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scale_min": 0.6, "scale_max": 0.5}, "scale_min=0.6 is above scale_max=0.5"),
        ({"scale_max": 1.5}, "scale_max=1.5"),
        ({"rotation": 200}, "rotation=200"),
        ({"steps": 0}, "steps=0"),
        ({"mask": "star"}, "mask='star'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        UniversalPatch(**values)
    assert words in str(caught.value)
    assert str(caught.value).startswith("universal-patch: ")
    assert "\n" not in str(caught.value)


def test_a_fixed_patch_that_does_not_fit(make):
    net = make.net(classes=3)
    with pytest.raises(
        ParameterError, match="a patch of 4 pixels at row 5, column 0 does not fit into images of 8 x 9"
    ):
        attack(UniversalPatch(place="fixed", row=5, scale_max=0.5), net, make.batch(net, make.images(2, 1, 8, 9)))


def test_a_placement_by_hand():
    """Of a wide image: sides from .2 to .6 of 20 pixels, centres where the patch fits, angles either way."""
    method = UniversalPatch(scale_min=0.2, scale_max=0.6, rotation=30)
    draws = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.5, 0.25, 0.5, 0.75], [1.0, 0.0, 1.0, 1.0]])
    got = method.placement(draws, 20, 40)
    assert got.side.tolist() == pytest.approx([4, 8, 12])
    assert got.row.tolist() == pytest.approx([2, 10, 14])
    assert got.column.tolist() == pytest.approx([38, 4 + 8, 6])
    assert got.angle.tolist() == pytest.approx([-math.pi / 6, math.pi / 12, math.pi / 6])
    assert got.round
    fixed = UniversalPatch(**FIXED | {"row": 4, "column": 4}).placement(draws, 8, 8)
    assert (fixed.row.tolist(), fixed.column.tolist(), fixed.side.tolist()) == ([6] * 3, [6] * 3, [4] * 3)
    assert not bool(fixed.angle.any())
    assert not fixed.round
