"""The k-th nearest of a bank of bytes, against the whole matrix in float64; and when it is left to floats."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.detect.scores import _byte_search as byte_search
from unshaken.detect.scores import _quantised as quantised
from unshaken.detect.scores._byte_search import search
from unshaken.detect.scores._quantised import QuantisedBank, fast_bytes

bytes_wanted = pytest.mark.skipif(not fast_bytes(), reason="this processor has no fast product of bytes")


def test_products_that_saturate_are_not_used(monkeypatch):
    """As older kernels do: they add 128 to one side, cut sums of two products at 16 bits, and take 128 back."""

    def cut(a, b):
        pairs = ((a[:, :, None].int() + 128) * b[None].int()).view(len(a), -1, 2, b.shape[1]).sum(2)
        return pairs.clamp(-(2**15), 2**15 - 1).sum(1) - 128 * b.int().sum(0)

    capable = {"avx512_vnni": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable)
    monkeypatch.setattr(torch, "_int_mm", cut)
    assert not fast_bytes.__wrapped__()
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.double() @ b.double()).int())
    assert fast_bytes.__wrapped__()
    capable.clear()
    assert not fast_bytes.__wrapped__()


def directions(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)))


def similarity(queries, bank, k):
    """Of the k-th nearest, from the whole matrix."""
    return (queries.double() @ bank.double().T).sort(1, descending=True).values[:, k - 1]


def own(queries, bank, index):
    return (queries.double() * bank[index].double()).sum(1)


def test_bytes_are_within_their_error():
    bank = directions(203, 40, 3) * torch.rand(203, 1)
    coarse = QuantisedBank.of(bank)
    scales, errors = (x.repeat_interleave(quantised.BLOCK)[:203] for x in (coarse.scales, coarse.errors))
    away = torch.linalg.vector_norm(bank - coarse.codes[:203] * scales[:, None], dim=1)
    assert (away <= errors + 1e-7).all()
    assert torch.allclose(coarse[:], bank, atol=1e-6)
    rows = torch.tensor([0, 200, 31])
    assert torch.allclose(coarse[rows], bank[rows], atol=1e-6)
    whole = 203 // quantised.BLOCK
    peaks = away[: whole * quantised.BLOCK].view(whole, -1).amax(1)
    assert (peaks >= 0.999 * coarse.errors[:whole]).all()
    assert not coarse.codes[203:].any()


@bytes_wanted
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("rows", [20_000, 19_999])
def test_bytes_find_the_kth(monkeypatch, rows, k):
    monkeypatch.setattr(byte_search, "SAMPLE", 128)
    queries, bank = directions(50, 64, 4), directions(rows, 64, 5)
    index, decided = search(queries, QuantisedBank.of(bank), k)
    assert decided.double().mean() > 0.9
    expected = similarity(queries, bank, k)
    assert torch.allclose(own(queries, bank, index)[decided], expected[decided], atol=1e-6)


@bytes_wanted
def test_a_guess_that_was_too_high_is_known(monkeypatch):
    """Rows in an order that deceives the sample: the sampled blocks are copies of the queries."""
    monkeypatch.setattr(byte_search, "SAMPLE", 64)
    queries, bank = directions(8, 64, 6), directions(64 * 16 * 20, 64, 7)
    blocks = bank.view(-1, 16, 64)
    blocks[::20] = queries.repeat(2, 1)
    index, decided = search(queries, QuantisedBank.of(bank), 200)
    expected = similarity(queries, bank, 200)
    assert not decided.all()
    assert torch.allclose(own(queries, bank, index)[decided], expected[decided], atol=1e-6)


@bytes_wanted
def test_a_guess_that_was_raised_too_high_is_known():
    """The pieces that are searched first hold more copies of the queries than their share."""
    queries, bank = directions(8, 64, 6), directions(quantised.PIECE * 8, 64, 7)
    pieces = bank.view(8, quantised.PIECE, 64)
    pieces[:: byte_search.EVERY, :600] = queries.repeat(75, 1)
    _, decided = search(queries, QuantisedBank.of(bank), 200)
    assert not decided.any()
    assert search(queries, QuantisedBank.of(bank), 100)[1].all()


@bytes_wanted
def test_what_bytes_cannot_tell_apart_is_left_to_floats():
    bank = F.normalize(torch.ones(20_000, 32) + 1e-3 * directions(20_000, 32, 8))
    _, decided = search(bank[:5], QuantisedBank.of(bank), 5)
    assert not decided.any()


@bytes_wanted
def test_queries_that_are_no_numbers_are_not_decided():
    queries, bank = directions(3, 32, 10), directions(20_000, 32, 9)
    queries[1] = torch.nan
    index, decided = search(queries, QuantisedBank.of(bank), 5)
    assert decided.tolist() == [True, False, True]
    assert torch.allclose(own(queries, bank, index)[::2], similarity(queries[::2], bank, 5), atol=1e-6)
