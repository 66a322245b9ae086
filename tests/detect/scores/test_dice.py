"""Energy of a sparse head."""

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.dice import DICE, sparse_head
from unshaken.detect.scores.energy import Energy

WEIGHT = torch.tensor([[1.0, -2, 3], [4, 5, -6]])
HEAD = Anatomy("toy", 2, "head", (), WEIGHT, torch.tensor([0.5, -0.5]))


def forward(features):
    return ForwardPass(HEAD, HEAD.read_out(features).float(), {"head:in": features})


def test_weights_stay_by_their_contribution_not_their_size():
    # contributions with E[f] = (1, 2, 0.5): 1, -4, 1.5, 4, 10, -3
    found = sparse_head(WEIGHT, torch.tensor([1.0, 2, 0.5]), 50)
    assert found.tolist() == [[0, 0, 3], [4, 5, 0]]


def test_score_by_hand():
    features = torch.tensor([[1.0, 2, 0.5], [1, 2, 0.5]])
    method = DICE(percentile=50)
    bank = method.fit(FitData(HEAD, rows={"penultimate": features}))
    expected = -torch.tensor([3 * 2 + 0.5, 4 * 1 + 5 * 1 - 0.5]).logsumexp(0)
    assert method.score(forward(torch.tensor([[1.0, 1, 2]])), bank).item() == pytest.approx(expected.item(), abs=1e-5)


def test_nearly_nothing_cut_is_energy():
    features = torch.rand(50, 3) + 0.1
    head = Anatomy("toy", 2, "head", (), torch.cat([WEIGHT.abs(), -torch.ones(2, 1)], 1), torch.zeros(2))
    wide = torch.cat([features, torch.zeros(50, 1)], 1)  # a dead unit contributes least, and nothing
    method = DICE(percentile=25)
    bank = method.fit(FitData(head, rows={"penultimate": wide}))
    sample = ForwardPass(head, head.read_out(wide).float(), {"head:in": wide})
    assert torch.allclose(method.score(sample, bank), Energy().score(sample, {}), atol=1e-5)


def test_features_without_contribution_are_refused():
    with pytest.raises(DataError, match="dice: no weight of the head contributes above the percentile 90"):
        DICE().fit(FitData(HEAD, rows={"penultimate": torch.zeros(5, 3)}))
