"""Distance to the k-th nearest normal feature."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import DataError
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores import knn as knn_file
from unshaken.detect.scores._nearest import QuantisedBank, fast_bytes, restored, search
from unshaken.detect.scores.knn import KNN, kth_distance

TRAIN = torch.tensor([[1.0, 0], [0, 1], [1, 1]])


def forward(anatomy, features):
    return ForwardPass(anatomy, features, {"head:in": features})


@pytest.mark.parametrize(("k", "expected"), [(1, 0.320364), (2, 0.459506), (3, 1.169421)])
def test_published_distances(anatomy, k, expected):
    # the query (3, 1) is at 0.3204 of (1, 0), at 0.4595 of (1, 1) and at 1.1694 of (0, 1)
    method = KNN(k=k)
    bank = method.fit(FitData(anatomy, rows={"penultimate": TRAIN}))
    found = method.score(forward(anatomy, torch.tensor([[3.0, 1], [30, 10]])), bank)
    assert found.tolist() == pytest.approx([expected, expected], abs=1e-6)


def test_against_the_whole_matrix_of_differences():
    torch.manual_seed(0)
    queries, bank = F.normalize(torch.randn(40, 20)), F.normalize(torch.randn(2000, 20))
    expected = torch.cdist(queries.double(), bank.double()).sort(1).values
    for k in (1, 50, 1999):
        assert torch.allclose(kth_distance(queries, bank, k).double(), expected[:, k - 1], atol=1e-6)


def test_near_copies_keep_their_digits():
    bank = F.normalize(torch.tensor([[1.0, 0], [0, 1]]))
    query = F.normalize(torch.tensor([[1.0, 1e-5]]))
    assert kth_distance(query, bank, 1).item() == pytest.approx(1e-5, rel=1e-3)


def test_the_gradient_is_that_of_the_distance():
    torch.manual_seed(1)
    queries = F.normalize(torch.randn(5, 6, dtype=torch.float64)).requires_grad_(True)
    bank = F.normalize(torch.randn(300, 6, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda q: kth_distance(q, bank, 7), queries)


def test_at_distance_zero_the_gradient_is_finite(anatomy):
    queries = TRAIN.clone().requires_grad_(True)
    method = KNN(k=1)
    method.score(forward(anatomy, queries), method.fit(FitData(anatomy, rows={"penultimate": TRAIN}))).sum().backward()
    assert queries.grad.isfinite().all()


def test_a_large_bank_is_kept_in_bytes_and_answers_alike(anatomy, monkeypatch):
    torch.manual_seed(2)
    rows, queries = torch.randn(20_000, 32), torch.randn(30, 32)
    small = KNN(k=9).fit(FitData(anatomy, rows={"penultimate": rows}))
    monkeypatch.setattr(knn_file, "LARGE", 10_000)
    large = KNN(k=9).fit(FitData(anatomy, rows={"penultimate": rows}))
    assert (set(small), set(large)) == ({"bank"}, {"codes", "rest", "scales", "errors", "count"})
    one, other = (KNN(k=9).score(forward(anatomy, queries), bank) for bank in (small, large))
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.skipif(not fast_bytes(), reason="this processor has no fast product of bytes")
def test_a_bank_that_comes_class_by_class_is_searched_in_bytes(anatomy, monkeypatch):
    """As it came, the first pieces are full of the neighbours of some queries, and the guess for these too high."""
    torch.manual_seed(4)
    centres = F.normalize(torch.randn(64, 32))
    rows = centres.repeat_interleave(1024, 0) + 0.1 * torch.randn(65_536, 32)
    queries = F.normalize(centres + 0.1 * torch.randn(64, 32))
    assert search(queries, QuantisedBank.of(F.normalize(rows)), 50)[1].sum() < 60
    monkeypatch.setattr(knn_file, "LARGE", 10_000)
    bank = restored(KNN().fit(FitData(anatomy, rows={"penultimate": rows})))
    assert search(queries, bank, 50)[1].all()


@pytest.mark.skipif(not fast_bytes(), reason="this processor has no fast product of bytes")
def test_undecided_queries_are_answered_too(monkeypatch):
    """Half of the queries lie where bytes tell nothing apart."""
    torch.manual_seed(3)
    tight = F.normalize(torch.ones(10_000, 32) + 0.001 * torch.randn(10_000, 32))
    bank = torch.cat([tight, F.normalize(torch.randn(10_000, 32))])
    queries = torch.cat([tight[:4], -tight[:4]])
    monkeypatch.setattr(knn_file, "SLAB", 3)
    expected = torch.cdist(queries.double(), bank.double()).sort(1).values[:, 4]
    _, decided = search(queries, QuantisedBank.of(bank), 5)
    assert decided.tolist() == [False] * 4 + [True] * 4
    found = kth_distance(queries, QuantisedBank.of(bank), 5).double()
    assert torch.allclose(found**2, expected**2, atol=1e-6)  # twice the similarity: it decides, to float32's digits


def test_too_few_samples(anatomy):
    with pytest.raises(DataError, match=r"the bank has 3 samples, fewer than k=50: .* such as knn:k=1$"):
        KNN().fit(FitData(anatomy, rows={"penultimate": TRAIN}))
