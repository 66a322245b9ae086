"""The mixing network: its gate and losses by hand, its training, its attack, and what holds of its certificates."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import unshaken
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.engine.losses import dlr_targeted
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.smoothing.adaptive_smoothing import AdaptiveSmoothing
from unshaken.certify.smoothing.mixture import parts_of
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.context import Context
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.data.arrays import InMemory
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles._mixing_net import Block, Gate, MixingNet, TargetedOrNot, Trunk
from unshaken.harden.recipes.ensembles.mixing_network import (
    GateLoss,
    GatePGD,
    MixingNetwork,
    detector_accuracy,
    gamma_and_alpha,
    mixing_loss,
)
from unshaken.run.adapters import Line, conditions_of, rows_of

SMALL = {"widths": "4+4+4", "blocks": 1, "copies": 2, "steps": 2, "eps": 0.1}


def test_the_loss_by_hand():
    z, gamma = torch.tensor([[0.8, 0.2], [0.3, 0.7]]).log(), torch.tensor([-1.0, 2.0])
    labels, attacked = torch.tensor([0, 0]), torch.tensor([False, True])
    b = np.array([math.log(1 + math.exp(-1)), math.log(1 + math.exp(-2))])
    c = -np.log([0.8, 0.3])
    for weights in ((1.5, 0.0, 0.2), (0.0, 1.0, 0.0), (1.0, 0.5, 0.3)):
        names = dict(zip(("c_bce", "c_ce", "c_prod"), weights, strict=True))
        expected = (weights[0] * b + weights[1] * c + weights[2] * b * c).mean()
        assert mixing_loss(z, gamma, labels, attacked, **names).item() == pytest.approx(expected, rel=1e-5)


def gate(**changed):
    return Gate(**({"scale": 2.0, "bias": 1.3, "training_bias": 0.4, "low": 0.84, "span": 0.15} | changed))


def test_the_gate_in_use():
    made = gate().eval()
    made.norm.running_mean.fill_(3.0)
    made.norm.running_var.fill_(4.0)
    gamma = made(torch.tensor([3.0, 5.0]))
    assert gamma.tolist() == pytest.approx([1.3, 3.3], abs=1e-4)
    far = made.alpha(torch.tensor([-math.inf, math.inf, -1e4, 1e4]))
    assert far.tolist() == pytest.approx([0.84, 0.99, 0.84, 0.99])
    plain = gate(low=0.0, span=1.0).eval()
    assert [round(v, 5) for v in plain.alpha(torch.tensor([2.5, 3.0, 1.81529])).tolist()] == [0.92414, 0.95257, 0.86]


def test_the_gate_in_training():
    made, raw = gate().train(), torch.tensor([-4.0, 0.0, 1.0, 7.0])
    mean, deviation = 1.0, np.std([-4, 0, 1, 7])
    cut = np.clip([-4, 0, 1, 7], mean - 0.6 * deviation, mean + 0.6 * deviation)
    expected = 2 * (cut - cut.mean()) / np.sqrt(cut.var() + 1e-5) + 0.4
    gamma = made(raw)
    assert gamma.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    assert made.alpha(gamma).tolist() == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-5)  # not rescaled
    assert made.norm.running_mean.item() == pytest.approx(0.01 * cut.mean(), abs=1e-5)


def test_the_trunk():
    early, late = torch.randn(2, 6, 9, 9), torch.randn(2, 10, 5, 5)
    assert Trunk(6, 10, (8, 12, 4), 2, "conv")(early, late).shape == (2,)
    direct = Trunk(6, 10, (10, 12, 4), 1, "direct")
    assert direct(early, late).shape == (2,)
    assert direct.head.bias is None
    with pytest.raises(ModelError, match="give widths that begin with 10"):
        Trunk(6, 10, (8, 12, 4), 1, "direct")
    with pytest.raises(ModelError, match="give join=conv"):
        direct(early, torch.randn(2, 10, 4, 4))


def test_a_block_by_hand():
    block = Block(1, 1, 1).eval()
    with torch.no_grad():
        block.down.weight.zero_()[0, 0, 1, 1] = 2.0
        block.last.weight.zero_()[0, 0, 1, 1] = 3.0
    x = torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2)
    assert block(x).flatten().tolist() == pytest.approx([-1.0, 2.0 + 3 * 2 * 2], rel=1e-4)  # x + 3 relu(2 relu(x))


def small_pair(photos):
    """An accurate and a robust network in name, both fresh, of different shapes."""
    images = photos[0]
    return (
        fresh("strided-cnn", images, classes=10, seed=0),
        fresh("small-cnn", images, classes=10, seed=1).eval().requires_grad_(True),
    )


def test_only_the_mixing_network_learns(photos):
    g, h = small_pair(photos)
    before = {k: v.clone() for k, v in g.net.state_dict().items()}, copy.deepcopy(h.net.state_dict())
    recipe = MixingNetwork(**SMALL).beside(h)
    images = photos[0][:96].float() / 255
    outputs = g.eval()(images), h(images)
    training = Training(epochs=1, batch_size=32, lr=0.01, held_out=8, check_images=4, select="last")
    made = fit(g, photos[0][:104], photos[1][:104], [recipe], training, classes=10)
    net = made.last.net
    assert isinstance(net, MixingNet)
    assert all(torch.equal(v, before[0][k]) for k, v in net.accurate.state_dict().items())
    assert all(torch.equal(v, before[1][k]) for k, v in net.robust.net.state_dict().items())
    assert all(p.requires_grad for p in h.parameters())  # the one that was given is left as it was
    assert float(net.gate.norm.running_mean.abs()) > 0
    parts = parts_of(made.last)
    assert torch.allclose(parts.accurate(images), outputs[0], atol=1e-5)
    assert torch.allclose(parts.robust(images), outputs[1], atol=1e-4)
    gamma, alpha = gamma_and_alpha(made.last, images)
    assert alpha.tolist() == pytest.approx((0.84 + 0.15 * gamma.sigmoid()).tolist())
    assert torch.allclose(parts.weights(images)[:, 0], alpha, atol=1e-5)
    assert parts.least_alpha == 0.84
    mixture = (1 - alpha[:, None]) * (2 * outputs[0]).softmax(1) + alpha[:, None] * outputs[1].softmax(1)
    assert torch.allclose(made.last(images).exp(), mixture, atol=1e-4)
    assert 0 <= made.progress.curves[-1]["detector_accuracy"] <= 1


def test_without_a_span_it_is_one_of_the_two(photos):
    images = photos[0][:5].float() / 255
    for low, which in ((0.0, "accurate"), (1.0, "robust")):
        g, h = small_pair(photos)
        made = MixingNetwork(**SMALL, alpha_bias=low, alpha_scale=0.0, scale_accurate=1.0).beside(h).rebuild(g).eval()
        alone = getattr(parts_of(made), which)(images)
        assert torch.allclose(made(images), alone.log_softmax(1), atol=1e-5)


def test_a_run_of_it_loads_and_is_certified_by_its_smallest_weight(photos, tmp_path):
    data = InMemory(*photos, classes=[str(i) for i in range(10)])
    text = "mixing-network:robust=demo:robust,widths=4+4+4,blocks=1,copies=1,steps=1,alpha_bias=0.7,alpha_scale=0.2"
    settings = {"epochs": 1, "batch_size": 64, "lr": 0.01, "held_out": 8, "check_images": 4, "check_steps": 1}
    made = unshaken.harden("strided-cnn", data, [text], out=tmp_path / "run", **settings)
    images = photos[0][:8].float() / 255
    loaded = unshaken.load_model(f"run:{tmp_path / 'run'}")
    assert torch.allclose(loaded(images), made.model(images), atol=1e-4)
    batch = Batch(images, photos[1][:8], tuple(map(str, range(8))))
    found = AdaptiveSmoothing().parts(Oracle(loaded))
    assert found.least_alpha == 0.7
    weights = found.weights(batch.images)
    assert bool(((weights > 0.7) & (weights < 0.9)).all())


class Toy(nn.Module):
    """Two identity convolutions to hang maps on, then logits `(0, a (mean - t))`."""

    def __init__(self, slope, threshold):
        super().__init__()
        self.early, self.late = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)
        self.slope, self.threshold = slope, threshold
        with torch.no_grad():
            self.early.weight.fill_(1)
            self.late.weight.fill_(1)

    def forward(self, x):
        lean = self.slope * (self.late(self.early(x)).mean((1, 2, 3)) - self.threshold)
        return torch.stack([torch.zeros_like(lean), lean], 1)


class Opens(nn.Module):
    """A trunk that sees an attack in a bright image: the darker, the more the accurate network is trusted."""

    def forward(self, early, late):
        return 60 * (early.mean((1, 2, 3)) - 0.5)


def toy_mixture():
    """G says 0 below 0.52, sharply; h says 1 above 0.3, softly; the gate trusts g on images darker than 1/2."""
    g, h = Classifier(Toy(200.0, 0.52)).eval(), Classifier(Toy(10.0, 0.3)).eval()
    layers = "early+late"
    recipe = MixingNetwork(
        **SMALL, layers_accurate=layers, layers_robust=layers, alpha_bias=0.3, alpha_scale=0.69, gate_scale=1.0,
        gate_bias=0.0, scale_accurate=1.0,
    )  # fmt: skip
    made = recipe.beside(h).rebuild(g)
    made.net.trunk = Opens()
    return made.eval()


def greys(*levels):
    images = torch.stack([torch.full((1, 8, 8), v) for v in levels])
    return Batch(images, torch.ones(len(levels), dtype=torch.int64), tuple(map(str, levels)))


def test_an_attack_that_leaves_the_gate_out_overstates():
    made, batch = toy_mixture(), greys(0.56, 0.58, 0.6)
    assert made(batch.images).argmax(1).tolist() == [1, 1, 1]
    alpha = gamma_and_alpha(made, batch.images)[1]
    attack = PGD(steps=20, rel_stepsize=0.2)

    class Detached(nn.Module):
        def forward(self, x):
            net = made.net
            return net.mix(net.accurate_logits(x), net.robust_logits(x), alpha)

    through = find_end_points(made, attack, batch, norm="linf", eps=0.12, seed=0).x
    without = find_end_points(Classifier(Detached()).eval(), attack, batch, norm="linf", eps=0.12, seed=0, early=True).x
    with evaluating(made):
        assert made(through).argmax(1).tolist() == [0, 0, 0]
        assert Detached()(without).argmax(1).tolist() == [1, 1, 1]  # it looks robust


def test_a_radius_from_the_images_own_weight_is_false():
    """The toy's own weight at the image would certify what the gate then undoes."""
    made, batch = toy_mixture(), greys(0.6)
    with evaluating(made):
        alpha = gamma_and_alpha(made, batch.images)[1].item()
        p = made.net.robust_logits(batch.images).softmax(1)[0]
    assert p[1] - p[0] > (1 - alpha) / alpha  # no g could overrule h, were the weight fixed
    moved = batch.images - 0.12
    h = made.net.robust_logits(moved).softmax(1)[0]
    assert h[1] - h[0] > (1 - alpha) / alpha  # h is still sure enough for that weight
    assert made(moved).argmax(1).item() == 0
    with pytest.raises(ParameterError, match=r"may be 0\.3; certificates need 0\.5 or more"):
        AdaptiveSmoothing().parts(Oracle(made))


def test_its_rows_rest_on_the_smallest_weight_and_tell_of_the_images_own():
    made, batch = toy_mixture(), greys(0.45, 0.6)
    made.net.gate.low, made.net.gate.span = 0.7, 0.29
    alpha = gamma_and_alpha(made, batch.images)[1].double()
    assert alpha[0] < 0.75 < 0.95 < alpha[1]
    rows = {}
    for name, model in (("mixture", made), ("robust", parts_of(made).robust)):
        certifier = AdaptiveSmoothing(sigma=0.3, n=400, n0=50, weight=0.7)
        with evaluating(model):
            conditions = conditions_of(certifier, Line("a", norm="l2"))
            context = Context(Oracle(model), 0, model(batch.images))
            rows[name] = [part.columns for part in rows_of(certifier, batch, conditions, context)]
    assert rows["mixture"][0]["radius"] == pytest.approx(rows["robust"][0]["radius"])  # votes and weight are equal
    assert rows["mixture"][0]["radius"][1] > 0
    votes = 400 + 50
    assert rows["mixture"][1]["forwards"].tolist() == [votes + 2] * 2  # g, and the pass that gives the weight
    shares = torch.from_numpy(rows["mixture"][1]["logits"]).double().exp()
    g = made.net.accurate_logits(batch.images).softmax(1).double()
    h = (shares - (1 - alpha[:, None]) * g) / alpha[:, None]
    assert torch.allclose(h * 400, (h * 400).round(), atol=1e-2)  # whole votes, once g's part is out


def test_gate_loss_by_hand():
    of = TargetedOrNot(torch.tensor([0, 0]), torch.tensor([-1, 2]))
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.5, 0.2, 0.2, 0.1]]).log()
    answer = Answer(logits=logits, features={"gate": torch.tensor([1.0, -2.0])})
    pulled = dlr_targeted(logits, torch.tensor([0, 0]), torch.tensor([2, 2]))[1].item()
    expected = [0.75 * math.log(2) + 0.25 * math.log1p(math.exp(-1)), 0.5 * pulled + 0.5 * math.log1p(math.exp(2))]
    found = GateLoss(of, torch.tensor([0.25, 0.5]), "gate")(answer)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    few = Answer(logits=logits[:, :3])
    assert TargetedOrNot(torch.tensor([0, 0]), torch.tensor([-1, 2]))(few)[1].item() == pytest.approx(math.log(0.4))


def test_without_a_share_it_is_pgd(photos):
    g, h = small_pair(photos)
    made = MixingNetwork(**SMALL).beside(h).rebuild(g).eval()
    batch = Batch(photos[0][:6].float() / 255, photos[1][:6], tuple("abcdef"))
    given = {"steps": 5, "rel_stepsize": 0.3}
    ways = [
        find_end_points(made, attack, batch, norm="linf", eps=0.05, seed=0).x
        for attack in (PGD(**given), GatePGD(**given, share=0.0))
    ]
    assert (ways[0] - ways[1]).abs().max() < 1e-4


def test_a_share_of_the_effort_fools_the_gate():
    made, batch = toy_mixture(), greys(0.6, 0.62)
    given = {"steps": 10, "rel_stepsize": 0.3}
    gammas = [
        gamma_and_alpha(made, find_end_points(made, attack, batch, norm="linf", eps=0.02, seed=0).x)[0]
        for attack in (PGD(**given), GatePGD(**given, share=0.9))
    ]
    assert bool((gammas[1] <= gammas[0] + 1e-4).all())
    assert bool((gammas[1] < gamma_and_alpha(made, batch.images)[0] - 1).all())


def test_it_is_an_attack_like_any_other():
    made, batch = toy_mixture(), greys(0.56, 0.6, 0.69)
    with evaluating(made):
        oracle = Oracle(made)
        (found,), _ = GatePGD(steps=10, rel_stepsize=0.3, share=0.5).attack(oracle, batch, norm="linf", eps=[0.12])
    assert found.fooled.tolist() == [True, True, False]
    assert float((found.images - batch.images).abs().max()) <= 0.12 + 1e-6
    assert oracle.meter.forwards == int(found.forwards.sum()) + 3


def test_strengths_are_drawn_for_each_sample():
    made, batch = toy_mixture(), greys(*np.linspace(0.4, 0.7, 40).tolist())
    attack = GatePGD(steps=20, varied=True, share=0.4)
    rng = SampleRng.of(0, "pgd", batch.ids)
    ball = attack.ball(batch.images, torch.full((40,), 0.1), "linf", rng)
    state = attack.start(Problem(ball, batch.labels, False, torch.empty(40, 0)), rng)
    assert state.limit.double().mean().item() == pytest.approx(20, abs=4)  # chi-squared: mean 20, variance 40
    assert 10 < state.limit.double().var().item() < 100
    assert bool(((state.share >= 0) & (state.share < 0.4)).all())
    assert bool(((state.decay >= 0) & (state.decay < 0.9)).all())
    assert len(set(state.share.tolist())) > 30
    found = find_end_points(made, attack, batch, norm="linf", eps=0.1, seed=0).x
    assert float((found - batch.images).abs().max()) <= 0.1 + 1e-6


def test_detector_accuracy_by_hand():
    made = toy_mixture()
    clean, attacked = greys(0.4, 0.45, 0.55).images, greys(0.6, 0.3).images
    assert detector_accuracy(made, clean, attacked) == pytest.approx(3 / 5)
    with pytest.raises(ParameterError, match="no images"):
        detector_accuracy(made, clean[:0], clean[:0])


def test_what_does_not_go_is_one_line(photos):
    g, h = small_pair(photos)
    with pytest.raises(ModelError, match="name the robust model"):
        MixingNetwork().rebuild(g)
    with pytest.raises(ModelError, match=r"no layer 'body\.9'"):
        MixingNetwork(layers_accurate="body.9+body.1").beside(h).rebuild(g)
    with pytest.raises(ModelError, match="one gives no maps"):
        MixingNetwork(layers_accurate="body.1+head").beside(h).rebuild(g)
    with pytest.raises(ModelError, match="no mixing network"):
        gamma_and_alpha(h, photos[0][:1].float())
    two = fresh("small-cnn", photos[0], classes=2, seed=0)
    with pytest.raises(ModelError, match="accurate model has 10 classes, the robust 2"):
        fit(g, *photos, [MixingNetwork(**SMALL).beside(two)], Training(epochs=1, batch_size=16))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha_bias": 0.9, "alpha_scale": 0.2}, "must not exceed 1"),
        ({"weakest": 2.0}, "must not exceed strongest"),
        ({"widths": "8+8"}, "it takes 3 values, not 2"),
        ({"widths": "8+0+8"}, "widths=0: "),
        ({"layers_robust": "body.1"}, "must be two names"),
    ],
)
def test_parameters_that_do_not_fit(given, message):
    with pytest.raises(ParameterError, match=message):
        MixingNetwork(**given)


def test_clean_and_attacked_images_are_half_of_each(photos, step_of, monkeypatch):
    g, h = small_pair(photos)
    recipe = MixingNetwork(**SMALL).beside(h)
    made = recipe.rebuild(g)
    images = photos[0][:4].float() / 255
    step = step_of(made, images, photos[1][:4])
    first = recipe.inner(step)
    assert first.shape == images.shape
    seen = {}
    real = mixing_loss

    def watch(z, gamma, labels, attacked, **weights):
        seen.update(z=z, labels=labels, attacked=attacked)
        return real(z, gamma, labels, attacked, **weights)

    monkeypatch.setattr("unshaken.harden.recipes.ensembles.mixing_network.mixing_loss", watch)
    made.train()
    loss = recipe.loss(step)
    assert seen["z"].shape == (16, 10)
    assert seen["attacked"].tolist() == [False] * 8 + [True] * 8
    assert seen["labels"].tolist() == photos[1][:4].tolist() * 4
    assert torch.allclose(seen["z"].exp().sum(1), torch.ones(16), atol=1e-5)
    loss.backward()
    learned = {n for n, p in made.named_parameters() if p.grad is not None}
    assert learned
    assert all(n.startswith("net.trunk.") for n in learned)
