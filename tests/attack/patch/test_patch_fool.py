"""Patch-Fool against a plain loop, a linear model's best patch, and the cells, pixels and bounds that it keeps to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import VisionTransformer

from unshaken.attack.engine.losses import CrossEntropy
from unshaken.attack.patch.patch import highest_cells
from unshaken.attack.patch.patch_fool import (
    GradientWithOthers,
    PatchFool,
    SmallPatch,
    cells_of,
    patch_ball,
    without_conflict,
)
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.query import Objective
from unshaken.models.networks.attention import attention_maps
from unshaken.models.networks.small_vit import SmallViT

SIDE = 4


class FineViT(SmallViT):
    """In float64, so that the same sums in another order give the same float32."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            super().__init__(3, 1, 16)
            nn.init.normal_(self.head.weight)
            nn.init.normal_(self.embed.weight)
        self.double()

    def forward(self, images):
        return super().forward(images.double())


@pytest.fixture(scope="module")
def vit():
    return Classifier(FineViT(), name="vit").eval()


@pytest.fixture
def batch(vit, make):
    return make.batch(vit, make.images(8, 1, 16, 16))


def attack(attack, model, batch, **options):
    (one,), _ = attack.attack(Oracle(model), batch, **options)
    return one


def cells_changed(one, batch, side=SIDE):
    """Bool `[N, rows, columns]`."""
    return F.max_pool2d((one.images != batch.images).any(1, keepdim=True).float(), side)[:, 0] > 0


def linear(w):
    """Two classes: logits <w_k, x>, with a bias that no patch overcomes."""

    class Linear(nn.Module):
        def forward(self, x):
            return x.flatten(1) @ w.flatten(1).T + torch.tensor([10.0, 0.0])

    return Classifier(Linear(), name="linear").eval()


@pytest.mark.parametrize("targeted", [False, True])
def test_the_best_patch_of_a_linear_model_is_reached_in_the_cells_of_largest_gradient(make, targeted):
    w = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)) / 10
    batch = Batch(make.images(6, 3, 8, 8), torch.zeros(6, dtype=torch.int64), tuple("abcdef"))
    one = attack(
        PatchFool(size=2, cells=3, steps=60), linear(w), batch, targets=torch.ones(6).long() if targeted else None
    )
    away = w[1] - w[0]
    sums = F.avg_pool2d(away.abs().sum(0)[None, None], 2).flatten()
    mask = (sums >= sums.sort().values[-3]).view(4, 4).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(one.images, torch.where(mask, (away > 0).float(), batch.images))
    assert not bool(one.fooled.any())


def by_hand(net, batch, mask, starts, *, steps, weight=0.0, scores=None, pixels=0, mask_steps=9):
    """The published loop with `torch.optim`, samples as one batch; success is not looked at."""
    clean, labels = batch.images, batch.labels
    delta = torch.where(mask, starts, clean).requires_grad_(True)
    adam = torch.optim.Adam([delta], lr=0.05)
    falling = torch.optim.lr_scheduler.StepLR(adam, step_size=2, gamma=0.5)
    chosen = mask.float()
    if pixels:
        scores = scores.clone().requires_grad_(True)
        chooser = torch.optim.Adam([scores], lr=0.01)
    token = F.max_pool2d(mask.float(), SIDE).flatten(1).argmax(1)
    for step in range(steps):
        if pixels:
            chosen = top(scores, mask, pixels)
            through = (chosen - scores * mask).detach() + scores * mask
            x = clean + through * (delta - clean)
        else:
            x = torch.where(mask, delta, clean)
        loss = F.cross_entropy(net(x), labels, reduction="sum")
        parameters = [delta, scores] if pixels else [delta]
        first = torch.autograd.grad(loss, parameters, retain_graph=True)
        total = [g.clone() for g in first]
        if weight:
            gained = maps_of(net, x)[1].mean(1)  # of four layers the second alone
            log = gained[torch.arange(len(x)), :, token + 1].log().mean(1).sum()
            other = torch.autograd.grad(log, parameters)
            for g, a, c in zip(total, other, first, strict=True):
                a, c = a.flatten(1), c.flatten(1)
                dot, size = (a * c).sum(1, keepdim=True), (c * c).sum(1, keepdim=True)
                g += weight * torch.where(dot < 0, a - dot / size * c, a).view_as(g)
        delta.grad = -total[0]
        adam.step()
        falling.step()
        delta.data.clamp_(0, 1)
        if pixels and step < mask_steps:
            scores.grad = -total[1]
            chooser.step()
    chosen = top(scores, mask, pixels) if pixels else chosen
    return torch.where(chosen.bool(), delta, clean).detach()


def top(scores, mask, pixels):
    flat = scores.detach().masked_fill(~mask, -9.0).flatten(1)
    return torch.zeros_like(flat).scatter(1, flat.topk(pixels).indices, 1.0).view_as(scores)


def maps_of(net, x):
    """Attention with its gradient, layers `[N, heads, T, T]`."""
    found = []
    hooks = [b.attn.qkv.register_forward_hook(lambda _m, _i, out: found.append(out)) for b in net.net.blocks]
    net(x)
    for hook in hooks:
        hook.remove()
    maps = []
    for out in found:
        q, k, _ = out.view(*out.shape[:2], 3, 4, 16).permute(2, 0, 3, 1, 4)
        maps.append((q @ k.transpose(-1, -2) / 4).softmax(-1))
    return maps


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("pixels", [0, 5])
def test_walks_as_the_published_loop(vit, batch, weight, pixels, monkeypatch):
    monkeypatch.setattr("unshaken.attack.engine.problem.ProblemSearch.goal", lambda self, work: None)
    search = PatchFool(
        size=SIDE, choose="random", steps=6, decay=0.5, decay_steps=2, attention=weight, pixels=pixels, mask_steps=4
    )
    one = attack(search, vit, batch)
    stream = SampleRng.of(0, "patch-fool", batch.ids).fold(0)
    mask = (
        search.ball(batch.images, torch.ones(8), "linf", stream).upper
        > search.ball(batch.images, torch.ones(8), "linf", stream).lower
    )
    starts = stream.fold(0).fold("start").uniform(1, 16, 16)
    scores = stream.fold(0).fold("pixels").uniform(1, 16, 16)
    expected = by_hand(vit, batch, mask, starts, steps=6, weight=weight, scores=scores, pixels=pixels, mask_steps=4)
    with torch.no_grad():
        wrong = vit(expected).argmax(1) != batch.labels
    assert torch.equal(one.fooled, wrong)
    assert torch.allclose(one.images, expected, atol=2e-5)
    assert not torch.allclose(one.images[mask], starts[mask], atol=0.05)


@pytest.mark.parametrize("cells", [1, 3])
def test_attention_chooses_the_cells_that_are_attended_to_most(vit, batch, cells):
    one = attack(PatchFool(choose="attention", layer=2, cells=cells, steps=2), vit, batch)
    attended = attention_maps(vit, batch.images)[2].mean((1, 2))[:, 1:]
    expected = torch.zeros(8, 16, dtype=torch.bool).scatter(1, attended.topk(cells).indices, value=True)
    assert torch.equal(cells_changed(one, batch).flatten(1), expected)
    last = attack(PatchFool(choose="attention", layer=99, steps=2), vit, batch)
    attended = attention_maps(vit, batch.images)[3].mean((1, 2))[:, 1:]
    assert torch.equal(cells_changed(last, batch).flatten(1).float().argmax(1), attended.argmax(1))


def test_the_patch_draws_attention(vit, batch):
    plain, drawn = (
        attack(PatchFool(choose="attention", layer=1, attention=w, steps=30), vit, batch) for w in (0.0, 100.0)
    )
    rows = torch.arange(8)
    cell = attention_maps(vit, batch.images)[1].mean((1, 2))[:, 1:].argmax(1)
    paid = [attention_maps(vit, one.images)[1].mean((1, 2))[rows, cell + 1] for one in (plain, drawn)]
    assert bool((paid[1] >= paid[0] - 1e-6)[~plain.fooled & ~drawn.fooled].all())
    assert float(paid[1].mean()) > float(paid[0].mean())


@pytest.mark.parametrize("options", [{}, {"pixels": 3}, {"linf": 0.2}, {"l2": 0.5}, {"l2": 0.5, "pixels": 3}])
def test_only_the_patch_changes_and_its_bounds_hold(make, options):
    net = make.net(classes=3, channels=3)
    batch = make.batch(net, make.images(12, 3, 13, 22))
    one = attack(PatchFool(size=4, cells=2, steps=8, **options), net, batch)
    change = (one.images - batch.images).double()
    assert 0 <= float(one.images.min()) <= float(one.images.max()) <= 1
    moved = (change != 0).any(1)
    assert set(cells_changed(one, batch).flatten(1).sum(1).tolist()) <= ({2} if not options else {1, 2})
    if "pixels" in options:
        assert set(moved.flatten(1).sum(1).tolist()) == {3}
    if "linf" in options:
        assert 0.15 < float(change.abs().max()) <= 0.2 + 1e-6
    if "l2" in options:
        norm = change.flatten(1).norm(dim=1)
        assert float(norm.max()) <= 0.5 * (1 + 1e-6)
        assert options.get("pixels") or float(norm.median()) > 0.45
    assert torch.equal(net(one.images).argmax(1) != batch.labels, one.fooled)


def test_more_cells_hold_those_of_fewer(make):
    importance = make.images(20, 1, 13, 22)
    masks = [highest_cells(importance, side=4, cells=n, offset=1) for n in (1, 3, 15)]
    assert [int(m.sum()) for m in masks] == [20 * 16 * n for n in (1, 3, 15)]
    assert bool((masks[0] <= masks[1]).all())
    assert bool((masks[1] <= masks[2]).all())
    assert torch.equal(masks[2][0, 0].nonzero().aminmax(dim=0).max, torch.tensor([12, 20]))


def test_conflicting_gradients_are_projected():
    """PCGrad by hand: the second pair does not conflict, the third has nothing to project on."""
    gradient = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-2.0, 4.0]])
    other = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    expected = torch.tensor([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [0.0, 4.0]])
    assert torch.equal(without_conflict(gradient, other), expected)


def test_every_pass_is_counted(vit, batch, monkeypatch):
    monkeypatch.setattr("unshaken.attack.engine.problem.ProblemSearch.goal", lambda self, work: None)
    one = attack(PatchFool(size=4, steps=3), vit, batch)
    assert set((one.forwards - (one.survives_8bit >= 0).long()).tolist()) == {1 + 3 + 1}  # saliency, steps, a last look
    assert set(one.backwards.tolist()) == {1 + 3}
    one = attack(PatchFool(steps=3, choose="attention", attention=0.1), vit, batch)
    assert set((one.forwards - (one.survives_8bit >= 0).long()).tolist()) == {1 + 3 + 1}
    assert set(one.backwards.tolist()) == {3 * 2}
    assert PatchFool(steps=3).cost(3) == (4, 4)


def test_runs_start_anew_in_the_same_cells(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(40, 1, 8, 8))
    one, many = (attack(PatchFool(size=3, steps=2, restarts=r), net, batch) for r in (1, 4))
    assert bool((one.fooled <= many.fooled).all())
    assert [t.attack for t in many.phases] == ["patch-fool", "patch-fool+2", "patch-fool+3", "patch-fool+4"]
    still = ~many.fooled
    assert int(still.sum()) > 0
    assert torch.equal(cells_changed(one, batch, 3)[still], cells_changed(many, batch, 3)[still])
    assert not torch.equal(one.images[still], many.images[still])


@pytest.mark.parametrize("options", [{"choose": "attention"}, {"attention": 0.002}])
def test_attention_is_asked_of_transformers_alone(make, options):
    net = make.net(classes=3)
    with pytest.raises(ModelError, match="model 'tiny' has no"):
        attack(PatchFool(**options), net, make.batch(net, make.images(2, 1, 8, 8)))


def test_what_cannot_be_is_named(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(2, 1, 8, 8))
    with pytest.raises(ParameterError, match=r"linf=0.1 and l2=0.5 are two bounds of one patch; give one of them"):
        PatchFool(linf=0.1, l2=0.5)
    with pytest.raises(ParameterError, match="pixels=5 are more than the 4 of 1 cells of 2 x 2"):
        attack(PatchFool(size=2, pixels=5), net, batch)
    with pytest.raises(ParameterError, match="cells=9 of 4 x 4 pixels do not fit into images of 8 x 8, which hold 4"):
        attack(PatchFool(size=4, cells=9), net, batch)


def test_a_gradient_of_zero_is_flagged_although_attention_has_one(batch):
    net = FineViT()
    nn.init.zeros_(net.head.weight)
    blind = Classifier(net, name="blind").eval()
    with torch.no_grad():
        labels = blind(batch.images).argmax(1)
    blind_batch = Batch(batch.images, labels, batch.ids)
    _, flags = PatchFool(choose="random", size=4, attention=0.1, steps=2).attack(Oracle(blind), blind_batch)
    assert [f.name for f in flags] == ["zero-gradient"]


def test_torchvisions_transformer_is_attacked_in_the_cell_that_it_attends_to_most(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = VisionTransformer(16, 4, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=3)
    model = Classifier(net, name="torchvision").eval()
    batch = make.batch(model, make.images(4, 3, 16, 16))
    one = attack(PatchFool(choose="attention", layer=0, attention=0.1, steps=3), model, batch)
    attended = attention_maps(model, batch.images)[0].mean((1, 2))[:, 1:]
    assert torch.equal(cells_changed(one, batch).flatten(1).float().argmax(1), attended.argmax(1))
    assert set(cells_changed(one, batch).flatten(1).sum(1).tolist()) == {1}


def test_random_cells_need_no_gradient_to_be_chosen():
    assert PatchFool(steps=3, choose="random").cost(3) == (3, 3)
    assert PatchFool(steps=3, choose="attention").cost(3) == (4, 3)


class FirstTwo(Objective):
    """The first two logits, each an objective."""

    def __call__(self, answer):
        return answer.logits[:, :2]


def test_of_a_random_model_the_gradients_of_all_objectives_are_means(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(3, 1, 8, 8))
    query = GradientWithOthers(batch.images, of=CrossEntropy(batch.labels), others=FirstTwo())
    one, many = (Oracle(net, draws=d).ask(query) for d in (1, 3))
    x = batch.images.clone().requires_grad_(True)
    expected = [torch.autograd.grad(net(x)[:, k].sum(), x)[0] for k in range(2)]
    for found in (one, many):
        assert torch.allclose(found.slopes, torch.stack(expected, 1), atol=1e-5)
        assert torch.allclose(found.logits, net(batch.images), atol=1e-5)
        loss = F.cross_entropy(net(x), batch.labels, reduction="none")
        assert torch.allclose(found.value, loss.detach(), atol=1e-5)
        assert torch.allclose(found.gradient, torch.autograd.grad(loss.sum(), x)[0], atol=1e-5)
    assert (one.forwards.tolist(), one.backwards.tolist()) == ([1] * 3, [3] * 3)
    assert (many.forwards.tolist(), many.backwards.tolist()) == ([3] * 3, [9] * 3)


def test_a_patch_of_a_transformer_is_touched_by_any_pixel():
    mask = torch.zeros(1, 1, 4, 8, dtype=torch.bool)
    mask[0, 0, 3, 3] = mask[0, 0, 0, 4] = True
    assert cells_of(mask, 2).tolist() == [[False, False, True, False, False, True, False, False]]


CLEAN = torch.full((1, 1, 1, 4), 0.5)
MASK = torch.tensor([True, True, True, False]).view(1, 1, 1, 4)


def row(*values):
    return torch.tensor(values).view(1, 1, 1, 4)


def test_without_a_bound_pixels_are_free():
    ball = patch_ball(CLEAN, MASK)
    assert ball.project(row(2.0, -1.0, 0.3, 0.9)).flatten().tolist() == pytest.approx([1, 0, 0.3, 0.5])
    assert not isinstance(ball, SmallPatch)


def test_in_linf_each_pixel_stays_near_its_own():
    ball = patch_ball(CLEAN, MASK, linf=0.1)
    assert ball.project(row(2.0, -1.0, 0.45, 0.9)).flatten().tolist() == pytest.approx([0.6, 0.4, 0.45, 0.5])


def test_in_l2_the_change_is_shortened():
    """(.3, .4) is of length .5: at most .25, so half of it; shorter ones stay, and other pixels never move."""
    ball = patch_ball(CLEAN, MASK, l2=0.25)
    assert isinstance(ball, SmallPatch)
    got = ball.project(row(0.8, 0.9, 0.5, 0.9))
    assert got.flatten().tolist() == pytest.approx([0.65, 0.7, 0.5, 0.5], abs=1e-5)
    near = row(0.6, 0.5, 0.45, 0.5)
    assert torch.equal(ball.project(near), near)
    for x, inside in ((near, True), (got, True), (row(0.8, 0.5, 0.5, 0.5), False), (row(0.6, 0.5, 0.5, 0.6), False)):
        assert ball.contains(x).tolist() == [inside]
    assert ball.contains(row(0.75, 0.5, 0.5, 0.5)).tolist() == [True]
    assert ball.contains(row(0.75001, 0.5, 0.5, 0.5)).tolist() == [False]


def test_a_random_patch_keeps_to_its_bound():
    n = 50
    ball = patch_ball(CLEAN.expand(n, 1, 1, 4), MASK.expand(n, 1, 1, 4), l2=0.25)
    x = ball.random_point(SampleRng.of(0, "p", [str(i) for i in range(n)]))
    assert bool(ball.contains(x).all())
    assert float(ball.distance(x).max()) > 0.2
