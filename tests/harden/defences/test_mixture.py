"""The defence `mixture`: its SPEC, its fit, what attacks do to it, and what careless ones overstate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unshaken
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.smoothing.mixture import MixtureNet
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import View, evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.data.resident import Samples
from unshaken.harden.defences.mixture import Mixture, loaded, margins, mixture
from unshaken.harden.engine.adaptive import against

EPS = 0.1


@pytest.fixture(scope="module")
def pair():
    return unshaken.load_model("demo:standard"), unshaken.load_model("demo:robust")


@pytest.fixture(scope="module")
def batch():
    samples = Samples(unshaken.load_data("demo"), None, 10, limit=60)
    return samples.whole(samples.good)


def test_a_spec_names_both(pair, batch):
    made = unshaken.load_model("demo:standard?defence=mixture:robust=demo:robust,weight=0.7,scale_robust=2")
    g, h = (model(batch.images) for model in pair)
    wanted = (0.3 * g.softmax(1) + 0.7 * (2 * h).softmax(1)).log()
    assert torch.allclose(made(batch.images), wanted, atol=1e-5)
    assert made.name == "demo:standard behind mixture"
    assert made.classes == pair[0].classes
    assert not made.training


def test_a_nested_spec_may_have_options(tmp_path):
    path = unshaken.models.__path__[0] + "/demo/robust.safetensors"
    nested = f"weights:{path}?arch=small%26mean=0.2860%26std=0.3530"
    made = unshaken.load_model(f"demo:standard?defence=mixture:robust={nested},weight=0.9")
    assert made.net.alpha == 0.9
    assert made.net.robust.mean.item() == pytest.approx(0.286)
    plain = unshaken.load_model(f"demo:standard?defence=mixture:robust=weights:{path}?arch=small,weight=0.9")
    assert plain.net.robust.mean is None
    assert loaded("demo:robust").name == "demo:robust"


def test_a_missing_or_wrong_robust_model_is_one_line(pair):
    with pytest.raises(ModelError, match=r"name the robust model, as in 'SPEC\?defence=mixture:robust="):
        unshaken.load_model("demo?defence=mixture")
    with pytest.raises(ParameterError, match="no demo model 'rubust'"):
        unshaken.load_model("demo?defence=mixture:robust=demo:rubust")
    with pytest.raises(ParameterError, match="mixture: weight="):
        unshaken.load_model("demo?defence=mixture:robust=demo:robust,weight=1.5")
    with pytest.raises(ParameterError, match="must lie in"):
        mixture(*pair, weight=-0.5)


def test_models_that_do_not_fit_are_refused(pair):
    view = View(28, 28, channels=1)
    two = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), view=view)
    with pytest.raises(ModelError, match="accurate model has 10 classes, the robust one 2"):
        mixture(pair[0], two)
    anywhere = [Classifier(nn.Sequential(nn.Conv2d(1, k, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())) for k in (4, 5)]
    with pytest.raises(ModelError, match="accurate model has 4 classes, the robust one 5"):
        mixture(*anywhere)
    other = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(ModelError, match="do not take the same images"):
        mixture(pair[0], other)
    named = Classifier(nn.Flatten(), classes=("a", "b"))
    with pytest.raises(ParameterError, match="has no class named as 10 of the 10 classes"):
        mixture(pair[0], named)


def test_one_graph_and_the_weights_left_alone(pair, batch):
    made = mixture(*pair, weight=0.6)
    x = batch.images[:4].clone().requires_grad_(True)
    made(x)[:, 0].sum().backward()
    own = x.grad.clone()
    x.grad = None
    z = (0.4 * pair[0](x).softmax(1) + 0.6 * pair[1](x).softmax(1)).log()
    z[:, 0].sum().backward()
    assert torch.allclose(own, x.grad, atol=1e-4)
    assert set(made.surrogates()) == {"accurate", "robust"}
    assert made.bare is pair[0]


def test_an_attack_through_the_whole_finds_what_one_on_a_part_does_not(pair, batch):
    """Examples made on h alone overstate the mixture's robustness."""
    made = mixture(*pair, weight=0.8)
    attack = PGD(steps=20, rel_stepsize=0.125)
    right = {}
    for name, model in (("whole", made), ("robust", pair[1]), ("accurate", pair[0])):
        x = find_end_points(model, attack, batch, norm="linf", eps=EPS, seed=0, early=name == "whole").x
        with evaluating(made):
            right[name] = int((Oracle(made).exact(x).argmax(1) == batch.labels).sum())
    assert right["whole"] + 4 <= right["robust"]
    assert right["whole"] < right["accurate"]
    found = against(Mixture(robust="demo:robust", weight=0.8), pair[0], batch, attack, eps=EPS, rounds=0)
    assert set(found.ways) == {"bare", "direct", "accurate", "robust"}
    assert int(found.adaptive.right.sum()) <= right["whole"]


def test_below_one_half_the_accurate_model_decides(pair, batch):
    attack = PGD(steps=20, rel_stepsize=0.125)
    right = []
    for alpha in (0.3, 0.8, 1.0):
        made = mixture(*pair, weight=alpha)
        x = find_end_points(made, attack, batch, norm="linf", eps=EPS, seed=0, early=True).x
        with evaluating(made):
            right.append(int((Oracle(made).exact(x).argmax(1) == batch.labels).sum()))
    assert right[0] < 0.2 * right[1]
    assert right[1] <= right[2]


def test_margins_by_hand():
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.1, 0.7]]).log()
    sure, right = margins(logits, torch.tensor([0, 1]))
    assert sure.tolist() == pytest.approx([0.2, 0.5])
    assert right.tolist() == [True, False]
    squared = margins(logits, torch.tensor([0, 1]), scale=2.0)[0]  # .25, .09, .04 of .38
    assert squared[0].item() == pytest.approx((0.25 - 0.09) / 0.38)


def test_a_black_box_part_makes_a_black_box():
    view = View(4, 4, channels=1)
    nets = [
        Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), view=view, differentiable=d) for d in (True, False)
    ]
    assert not mixture(*nets).differentiable
    assert isinstance(mixture(*nets).net, MixtureNet)
    batch = Batch(torch.zeros(1, 1, 4, 4), torch.tensor([0]), ("a",))
    with pytest.raises(ModelError, match="gives no gradients"):
        against(mixture(*nets), None, batch, PGD(steps=1))
