"""CrossMax by hand: the algorithm, what it leaves alone, how it fails, and what it does to gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.defences.crossmax import CrossMax, crossmax, tied, untie
from unshaken.harden.engine.ensemble import ensemble

Z = torch.tensor([[[3.0, 1.0, 0.0], [2.0, 2.5, 0.0], [2.0, 1.0, 0.5]]])


def reference(z, k=None):
    """Algorithm 1 in numpy; the median as the middle of an odd number."""
    z = z - z.max(1, keepdims=True)
    z = z - z.max(0, keepdims=True)
    order = np.sort(z, 0)
    return order[(len(z) - 1) // 2] if k is None else order[-k]


def rows(values):
    return torch.tensor(values).unsqueeze(0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, -1, -1]),
        ({"aggregate": "top-k", "k": 2}, [0, -1, -1]),
        ({"aggregate": "top-k", "k": 3}, [-0.5, -2, -1.5]),
        ({"aggregate": "top-k", "k": 1}, [0, 0, 0]),
        ({"aggregate": "max"}, [0, 0, 0]),
        ({"aggregate": "mean", "class_max": False, "predictor_max": False}, [7 / 3, 1.5, 1 / 6]),
        ({"predictor_max": False, "aggregate": "max"}, [0, 0, -1.5]),  # Z1: the class maximum alone
        ({"aggregate": "mean"}, [-1 / 6, -1, -2.5 / 3]),  # Z2's mean
        # predictor first: Z less (3, 2.5, .5), less each row's maximum
        ({"order": "predictor-first", "aggregate": "max"}, [0, 0, 0]),
        ({"order": "predictor-first"}, [-1, -1.5, -0.5]),
    ],
)
def test_by_hand(options, expected):
    assert crossmax(Z, **options)[0].tolist() == pytest.approx(expected)


def test_against_numpy():
    generator = torch.Generator().manual_seed(0)
    for n in (2, 3, 4, 5, 10):
        z = torch.randn(6, n, 7, generator=generator)
        for i in range(6):
            assert crossmax(z)[i].numpy() == pytest.approx(reference(z[i].numpy()))
            assert crossmax(z, aggregate="top-k", k=2)[i].numpy() == pytest.approx(reference(z[i].numpy(), 2))


def test_the_median_of_an_even_number_is_the_lower_middle():
    z = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1)
    assert crossmax(z, class_max=False, predictor_max=False).item() == 2


def test_signs_and_symmetries():
    z = torch.randn(20, 5, 4, generator=torch.Generator().manual_seed(1))
    out = crossmax(z)
    assert float(out.max()) <= 0
    constants = torch.randn(20, 5, 1, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(crossmax(z + constants), out, atol=1e-5)
    assert torch.allclose(crossmax(3 * z), 3 * out, atol=1e-5)
    classes, predictors = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 2, 0, 1, 3])
    assert torch.equal(crossmax(z[:, :, classes]), out[:, classes])
    assert torch.equal(crossmax(z[:, predictors]), out)
    moved = z.clone()
    moved[:, :, 0] += 2  # a class raised for all predictors changes who is largest
    assert not torch.allclose(crossmax(moved), out, atol=1e-3)


def test_a_hijacked_member_is_overruled():
    z = rows([[2.0, 1.0, 0.0], [2.0, 0.5, 0.0], [0.0, 20.0, 0.0]])
    mean = crossmax(z, class_max=False, predictor_max=False, aggregate="mean")
    assert mean[0].tolist() == pytest.approx([4 / 3, 21.5 / 3, 0])
    out = crossmax(z)
    assert out[0].tolist() == [0, -1, 0]
    assert bool(tied(out))


def test_it_picks_the_class_that_every_member_ranks_last():
    z = rows([[0.0, -0.3, -5.0, -0.3], [-0.3, 0.0, -5.0, -0.3], [-0.3, -0.3, -5.0, 0.0]])
    assert crossmax(z)[0].tolist() == pytest.approx([-0.3, -0.3, 0, -0.3])


def test_ties_go_to_the_mean_and_change_nothing_else():
    scores = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 0.0, -2.0]])
    mean = torch.tensor([[1.0, 9.0, 1.5], [5.0, 0.0, 0.0]])
    untied = untie(scores, mean)
    assert untied.argmax(1).tolist() == [2, 1]
    assert torch.equal(untied[1], scores[1])
    assert untied[0, 2] == 0
    assert float(untied.max()) <= 0
    assert tied(scores).tolist() == [True, False]


def test_few_logits_get_a_gradient():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 5, 10, generator=generator, requires_grad=True)
    labels = torch.randint(0, 10, (400,), generator=generator)

    def reached(**options):
        (slope,) = torch.autograd.grad(F.cross_entropy(crossmax(z, **options), labels, reduction="sum"), z)
        return (slope != 0).flatten(1).sum(1)

    count = reached()
    assert 20 < float(count.double().mean()) < 22
    assert int(count.min()) >= 18
    assert int(count.max()) <= 22
    assert reached(class_max=False, predictor_max=False, aggregate="mean").unique().tolist() == [50]


def linear(weights):
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(weights))
    return Classifier(net).eval()


@pytest.fixture
def three():
    """Members that say the rows of Z to the image (1, 0)."""
    return ensemble([linear([[a, 0.0] for a in row]) for row in Z[0].tolist()])


IMAGE = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)


def test_the_guard_says_what_the_function_says(three):
    guarded = CrossMax().wrap(three)
    assert guarded(IMAGE)[0].tolist() == pytest.approx([0, -1, -1])
    assert not guarded.random
    assert guarded.bare is three
    outputs = {name: model(IMAGE)[0].tolist() for name, model in guarded.surrogates().items()}
    assert outputs["mean"] == pytest.approx([7 / 3, 1.5, 1 / 6])
    assert outputs["unsubtracted"] == pytest.approx([0, -1, -2.5])  # medians of Z1
    assert [outputs[f"part-{i}"] for i in range(3)] == [pytest.approx(row) for row in Z[0].tolist()]
    assert list(outputs) == ["mean", "unsubtracted", "part-0", "part-1", "part-2"]


def test_what_cannot_vote_is_refused(three):
    alone = linear([[1.0, 0.0]] * 3)
    with pytest.raises(ModelError, match="has one predictor: give an ensemble"):
        CrossMax().wrap(alone)
    with pytest.raises(ModelError, match="has one predictor"):
        CrossMax().wrap(ensemble([alone]))
    with pytest.raises(ModelError, match="are the same network"):
        CrossMax().wrap(ensemble([copy.deepcopy(alone) for _ in range(3)]))
    with pytest.raises(ParameterError, match="k=4 of 3 predictors"):
        CrossMax(aggregate="top-k", k=4).wrap(three)(IMAGE)
    with pytest.raises(ParameterError, match="aggregate"):
        CrossMax(aggregate="sum")
    assert crossmax(Z[:, :1].expand(1, 3, 3))[0].tolist() == [0, 0, 0]  # identical predictors: every class ties
