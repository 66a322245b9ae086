"""The k-th nearest of a bank, in floats and in bytes, against the whole matrix in float64."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.detect.scores import _nearest as nearest_file
from unshaken.detect.scores._nearest import Pairs, QuantisedBank, _rank, _Search, fast_bytes, nearest, search, top


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


def test_bytes_are_within_their_error():
    bank = directions(203, 40, 3) * torch.rand(203, 1)
    coarse = QuantisedBank.of(bank)
    scales, errors = (x.repeat_interleave(nearest_file.BLOCK)[:203] for x in (coarse.scales, coarse.errors))
    away = torch.linalg.vector_norm(bank - coarse.codes[:203] * scales[:, None], dim=1)
    assert (away <= errors + 1e-7).all()
    assert torch.allclose(coarse[:], bank, atol=1e-6)
    rows = torch.tensor([0, 200, 31])
    assert torch.allclose(coarse[rows], bank[rows], atol=1e-6)
    whole = 203 // nearest_file.BLOCK
    peaks = away[: whole * nearest_file.BLOCK].view(whole, -1).amax(1)
    assert (peaks >= 0.999 * coarse.errors[:whole]).all()
    assert not coarse.codes[203:].any()


@bytes_wanted
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("rows", [20_000, 19_999])
def test_bytes_find_the_kth(monkeypatch, rows, k):
    monkeypatch.setattr(nearest_file, "SAMPLE", 128)
    queries, bank = directions(50, 64, 4), directions(rows, 64, 5)
    index, decided = search(queries, QuantisedBank.of(bank), k)
    assert decided.double().mean() > 0.9
    expected = similarity(queries, bank, k)
    assert torch.allclose(own(queries, bank, index)[decided], expected[decided], atol=1e-6)


@bytes_wanted
def test_a_guess_that_was_too_high_is_known(monkeypatch):
    """Rows in an order that deceives the sample: the sampled blocks are copies of the queries."""
    monkeypatch.setattr(nearest_file, "SAMPLE", 64)
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
    queries, bank = directions(8, 64, 6), directions(nearest_file.PIECE * 8, 64, 7)
    pieces = bank.view(8, nearest_file.PIECE, 64)
    pieces[:: nearest_file.EVERY, :600] = queries.repeat(75, 1)
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


def test_pairs_by_hand():
    pairs = Pairs(torch.tensor([0, 0, 0, 2]), torch.tensor([5, 6, 7, 8]), torch.tensor([0.1, 0.9, 0.5, 0.3]), 3)
    found, best = pairs.best(2)
    assert found.tolist() == torch.tensor([[0.9, 0.5], [-torch.inf, -torch.inf], [0.3, -torch.inf]]).tolist()
    assert pairs.row[best[0]].tolist() == [6, 7]
    assert pairs.row[best[2, 0]] == 8
    one = Pairs(torch.tensor([2]), torch.tensor([9]), torch.tensor([0.2]), 3)
    two = Pairs(torch.tensor([0, 2]), torch.tensor([4, 1]), torch.tensor([0.5, 0.6]), 3)
    both = Pairs.joined([one, two])
    assert (both.query.tolist(), both.row.tolist()) == ([0, 2, 2], [4, 9, 1])
    assert both.similarity.tolist() == pytest.approx([0.5, 0.2, 0.6])
    assert both.where(both.row > 1).row.tolist() == [4, 9]


def test_the_rank_in_a_share_is_four_deviations_and_three_more():
    assert _rank(100, 0.25) == 25 + 4 * 5 + 3
    assert _rank(1, 1.0) == 8


@pytest.fixture
def task(monkeypatch):
    """20 queries, 700 rows in pieces of 64, and the similarities of all in float64."""
    monkeypatch.setattr(nearest_file, "PIECE", 64)
    monkeypatch.setattr(nearest_file, "CHUNK", 7)
    queries, bank = directions(20, 48, 11), directions(700, 48, 12)
    return _Search(queries, QuantisedBank.of(bank)), queries.double() @ bank.double().T, range(11)


@bytes_wanted
def test_bounds_hold_and_are_no_wider_than_their_errors(task):
    search_, exact, pieces = task
    pairs = Pairs.joined([search_.candidates(torch.full((20,), -2.0), pieces)])
    assert len(pairs.row) == 20 * 700
    own, away = exact[pairs.query, pairs.row], search_.bank.errors[pairs.row // nearest_file.BLOCK].double()
    width = search_.error[pairs.query].double() * (1 + away) + away
    assert ((pairs.similarity - own).abs() <= width + 1e-5).all()
    assert torch.allclose(search_.above(pairs, of_both=True).double(), pairs.similarity + width, atol=2e-5)
    half = search_.halfway(pairs)
    assert ((half.similarity - own).abs() <= away + 1e-5).all()
    assert torch.allclose(search_.above(half, of_both=False).double(), half.similarity + away, atol=2e-5)
    assert torch.allclose(search_.exact(half).similarity.double(), own, atol=1e-6)


@bytes_wanted
def test_candidates_are_the_rows_whose_bound_reaches_the_guess(task):
    search_, exact, pieces = task
    guess = exact.topk(10, 1).values[:, -1].float() - 1e-6
    pairs = search_.candidates(guess, pieces)
    found = torch.zeros_like(exact, dtype=torch.bool)
    found[pairs.query, pairs.row] = True
    assert found[exact >= guess[:, None]].all()
    assert (search_.above(pairs, of_both=True) >= guess[pairs.query] - 1e-5).all()
    assert found.sum() < 20 * 100  # most rows are passed over
    some = search_.candidates(guess, [3])
    assert set((some.row // 64).tolist()) == {3}


@bytes_wanted
def test_guesses_stay_below_what_they_guess(task):
    search_, exact, pieces = task
    guess, blocks = search_.guess(5)
    assert ((exact >= guess[:, None]).sum(1) >= 5).all()
    pairs = Pairs.joined([search_.candidates(guess, pieces)])
    held = [len({int(r) // nearest_file.BLOCK for r in pairs.row[pairs.query == q]}) for q in range(20)]
    assert (blocks - torch.tensor(held)).abs().max() <= 1  # in all 22 blocks, for the sample is the whole bank
    assert max(held) < 22
    raised = search_.raised(guess, pairs, 5)
    kth = pairs.best(5)[0][:, -1] - nearest_file.USUAL * search_.usual
    assert torch.equal(raised, torch.maximum(guess, kth))
    usual = torch.hypot(search_.error, search_.bank.errors.mean()) / 48**0.5
    assert torch.allclose(search_.usual, usual)
