"""The k-th nearest of a bank, by blocks, against the whole matrix in float64."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.detect.scores import _nearest as nearest_file
from unshaken.detect.scores._nearest import nearest, top


def directions(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


def similarity(queries, bank, k):
    """Of the k-th nearest, from the whole matrix."""
    return (queries.double() @ bank.double().T).sort(1, descending=True).values[:, k - 1]


def own(queries, bank, index):
    return (queries.double() * bank[index].double()).sum(1)


@pytest.mark.parametrize(("length", "k"), [(1, 1), (7, 7), (100, 1), (100, 3), (1003, 10), (1003, 900)])
def test_blocks_hold_the_largest(length, k):
    values = torch.randn(20, length, generator=torch.Generator().manual_seed(0))
    found, places = top(values, k)
    assert torch.equal(found, values.sort(1, descending=True).values[:, :k])
    assert torch.equal(values.gather(1, places), found)


def test_ties_fill_the_places():
    assert top(torch.ones(2, 100), 9)[0].tolist() == [[1.0] * 9] * 2


@pytest.mark.parametrize("cells", [2**24, 2000])  # in one piece, and in many
@pytest.mark.parametrize("k", [1, 7, 300])
def test_pieces_of_the_bank_change_nothing(monkeypatch, cells, k):
    monkeypatch.setattr(nearest_file, "CELLS", cells)
    queries, bank = directions(13, 24, 1), directions(1001, 24, 2)
    found = own(queries, bank, nearest(queries, bank, k))
    assert torch.allclose(found, similarity(queries, bank, k), atol=1e-6)
