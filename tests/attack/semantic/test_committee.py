"""Committees of oracles by hand: who approves, in whose classes, and what they are asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.semantic._committee import Committee, MappedClasses, approved, fit_oracles
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ParameterError


class Fixed(nn.Module):
    """The same probabilities for every image, and a lead of the first class that grows with its mean pixel."""

    def __init__(self, *shares, slope=0.0):
        super().__init__()
        self.logits, self.slope = nn.Parameter(torch.tensor(shares).log()), slope

    def forward(self, x):
        lead = torch.zeros(len(x), len(self.logits)).index_fill(1, torch.tensor([0]), 1.0)
        return self.logits + self.slope * x.mean((1, 2, 3))[:, None] * lead


def classifier(*shares, slope=0.0):
    return Classifier(Fixed(*shares, slope=slope), name="fixed").eval()


IMAGES = torch.full((2, 1, 2, 2), 0.5)
ZEROS = torch.zeros(2, dtype=torch.int64)


def votes(*first):
    """Oracles that give class 0 these probabilities, and class 1 the rest."""
    return torch.tensor([[[p, 1 - p]] for p in first])


@pytest.mark.parametrize(
    ("shares", "vote", "says"),
    [
        ((0.9, 0.4), "mean", True),
        ((0.9, 0.05), "mean", False),
        ((0.9, 0.9, 0.1), "majority", True),
        ((0.9, 0.9, 0.1, 0.1), "majority", False),  # half is not more than half
        ((0.9, 0.6), "unanimous", True),
        ((0.9, 0.6, 0.4), "unanimous", False),
        ((0.9, float("nan")), "mean", False),
        ((0.9, 0.9, float("nan")), "majority", True),
        ((0.9, 0.9, float("nan")), "unanimous", False),
    ],
)
def test_a_committee_votes(shares, vote, says):
    assert approved(votes(*shares), torch.tensor([0]), vote).tolist() == [says]


def test_a_least_confidence_is_one_of_the_mean_or_of_each():
    both = votes(0.75, 0.875)
    for vote, least, says in (
        ("mean", 0.8125, True),
        ("mean", 0.82, False),
        ("unanimous", 0.75, True),
        ("unanimous", 0.76, False),
    ):
        assert approved(both, torch.tensor([0]), vote, least).tolist() == [says], (vote, least)


def test_classes_of_an_oracle_are_added_up_and_those_of_none_left_out():
    """Shares .1, .2, .3, .4 of which the last belongs to none: of the others .1 and .5 of .6 are class 1 and 0."""
    net = MappedClasses(classifier(0.1, 0.2, 0.3, 0.4), torch.tensor([1, 0, 0, -1]), 3)
    found = net(IMAGES).exp()[0].tolist()
    assert found == pytest.approx([5 / 6, 1 / 6, 0], abs=1e-6)
    assert bool(net(IMAGES).isfinite().all())
    same = MappedClasses(classifier(0.1, 0.2, 0.7), None, 3)
    assert same(IMAGES).exp()[0].tolist() == pytest.approx([0.1, 0.2, 0.7])


def test_without_oracles_everything_is_approved_of():
    empty = Committee([])
    assert len(empty) == 0
    assert empty.approves(IMAGES, ZEROS).tolist() == [True, True]
    one = Oracle(classifier(0.6, 0.4))
    committee = Committee([one, one.share_meter(classifier(0.3, 0.7))], vote="majority")
    assert len(committee) == 2
    assert committee.approves(IMAGES, ZEROS).tolist() == [False, False]
    assert one.meter.forwards == 4
    assert committee.approves(IMAGES[:0], ZEROS[:0]).tolist() == []
    assert one.meter.forwards == 4


def test_the_gradient_is_that_of_the_mean_cross_entropy():
    nets = [classifier(0.6, 0.4, slope=2.0), classifier(0.3, 0.7, slope=-1.0)]
    first = Oracle(nets[0])
    found = Committee([first, first.share_meter(nets[1])]).loss_gradient(IMAGES, ZEROS)
    x = IMAGES.clone().requires_grad_(True)
    loss = sum(nn.functional.cross_entropy(net(x), ZEROS, reduction="sum") for net in nets) / 2
    assert torch.allclose(found, torch.autograd.grad(loss, x)[0], atol=1e-6)


def test_a_map_is_for_all_oracles_or_for_one_each(tmp_path):
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("0\n1\n1\n")
    other.write_text("1\n0\n0\n")
    nets = [classifier(0.6, 0.3, 0.1), classifier(0.6, 0.3, 0.1)]
    for maps, firsts in (((one,), [0.6, 0.6]), ((one, other), [0.6, 0.4]), ((other, one), [0.4, 0.6])):
        found = fit_oracles(nets, tuple(map(str, maps)), 2, IMAGES, "m")
        assert [float(n(IMAGES).softmax(1)[0, 0]) for n in found] == pytest.approx(firsts)
        assert not any(p.requires_grad for n in found for p in n.parameters())
    with pytest.raises(ParameterError, match="3 class maps for 2 oracles"):
        fit_oracles(nets, (str(one),) * 3, 2, IMAGES, "m")
    assert fit_oracles([], (), 2, IMAGES, "m") == []
