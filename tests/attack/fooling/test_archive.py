import pytest
import torch

from unshaken.attack.fooling import Archive
from unshaken.attack.fooling.direct import Pixels
from unshaken.core.errors import ParameterError


def children(n, start=0):
    values = torch.arange(start, start + n)
    return Pixels(values.double().reshape(n, 1, 1, 1)), values.to(torch.uint8).reshape(n, 1, 1, 1)


def one_by_one(elites, odds):
    """The published loop: each child against each cell."""
    best, owner, jumps = list(elites), [None] * len(elites), 0
    for child, row in enumerate(odds.tolist()):
        for cell, value in enumerate(row):
            if value > best[cell]:
                best[cell], owner[cell], jumps = value, child, jumps + 1
    return best, owner, jumps


def test_it_is_the_loop_over_children_and_cells():
    generator = torch.Generator().manual_seed(0)
    archive = Archive.empty((4, 7, 9), *children(1))
    before, total, wanted_total = [-torch.inf] * 3, 0, 0
    for generation in range(6):
        odds = torch.randn(8, 3, generator=generator).double().round(decimals=1)  # ties occur
        genomes, images = children(8, start=10 * generation)
        last = archive
        archive, jumps = last.offer(genomes, images, odds, generation)
        best, owner, wanted = one_by_one(before, odds)
        assert archive.odds.tolist() == best
        assert bool((archive.odds >= last.odds).all())
        for cell, child in enumerate(owner):
            if child is None:
                assert archive.generation[cell] == last.generation[cell]
                assert (archive.images[cell] == last.images[cell]).all()
            else:
                assert archive.generation[cell] == generation
                assert archive.images[cell].item() == 10 * generation + child
                assert archive.genomes.genes[cell].item() == 10 * generation + child
        before, total, wanted_total = best, total + jumps, wanted_total + wanted
    assert total == wanted_total > 3


def test_a_child_that_is_best_everywhere_fills_every_cell():
    archive = Archive.empty((0, 1, 2), *children(1))
    assert archive.filled.tolist() == []
    assert archive.confidence.tolist() == [0, 0, 0]
    archive, jumps = archive.offer(*children(2, start=5), torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).double(), 0)
    assert jumps == 3
    assert archive.filled.tolist() == [0, 1, 2]
    assert archive.images.flatten().tolist() == [5, 5, 5]
    same, jumps = archive.offer(*children(1, start=9), torch.tensor([[1.0, 2.0, 3.0]]).double(), 1)
    assert jumps == 0
    assert same.images.flatten().tolist() == [5, 5, 5]


def test_what_is_no_answer_is_refused():
    archive = Archive.empty((0, 1), *children(1))
    with pytest.raises(ParameterError, match=r"\(2, 2\), not \(2, 3\)"):
        archive.offer(*children(2), torch.zeros(2, 3).double(), 0)
    with pytest.raises(ParameterError, match="NaN"):
        archive.offer(*children(1), torch.tensor([[0.0, torch.nan]]).double(), 0)
