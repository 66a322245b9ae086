"""The archive and the search of MAP-Elites, by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.attack.fooling import Archive, Cppn, Direct, MapElites, map_elites
from unshaken.attack.fooling.direct import Pixels
from unshaken.attack.fooling.map_elites import ten_crops
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ModelError, ParameterError


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


SHAPE = (1, 6, 6)
SHORT = MapElites(population=12, generations=9)


@pytest.fixture
def counted(make):
    return Oracle(make.net(classes=4))


@pytest.mark.parametrize("encoding", [Direct(), Cppn(hidden=6)])
def test_elites_never_fall_and_jumps_add_up(counted, encoding):
    seen = []
    found = map_elites(
        counted, encoding, range(4), SHAPE, settings=SHORT, observe=lambda a, g: seen.append((a.odds, a.generation, g))
    )
    assert [g.generation for *_, g in seen] == list(range(9))
    for (before, *_), (after, *_) in pairwise(seen):
        assert bool((after >= before).all())
    for number, (odds, when, record) in enumerate(seen):
        p = odds.sigmoid()
        assert (record.low, record.high) == (float(p.min()), float(p.max()))
        assert record.median == pytest.approx(float(np.median(p.numpy())))
        assert record.above_99 == int((p >= 0.99).sum())
        assert record.evaluations == 12 * (number + 1)
        moved = int((when == number).sum())
        assert moved <= record.jumps <= 12 * 4
        assert (moved == 0) == (record.jumps == 0)
    assert found.history == tuple(g for *_, g in seen)
    assert counted.meter.forwards == 12 * 9


@pytest.mark.parametrize("encoding", [Direct(), Cppn(hidden=6)])
def test_the_confidence_is_that_of_the_8_bit_image_of_the_genome(counted, encoding):
    archive = map_elites(counted, encoding, [3, 1], SHAPE, settings=SHORT).archive
    assert archive.images.dtype == torch.uint8
    assert (encoding.draw(archive.genomes, SHAPE) == archive.images).all()
    with torch.no_grad():
        p = counted.model(archive.images.float() / 255).double().softmax(1)
    np.testing.assert_allclose(archive.confidence.numpy(), p[[0, 1], [3, 1]].numpy(), rtol=1e-5)


@pytest.mark.parametrize("encoding", [Direct(), Cppn(hidden=6)])
def test_the_seed_decides_all(counted, encoding):
    first, again = (map_elites(counted, encoding, range(4), SHAPE, settings=SHORT, seed=5) for _ in range(2))
    assert first.history == again.history
    assert (first.archive.images == again.archive.images).all()
    other = map_elites(counted, encoding, range(4), SHAPE, settings=SHORT, seed=6)
    assert (first.archive.images != other.archive.images).any()


def test_evolution_nears_the_corner_that_is_best(make):
    w = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1))
    model = make.affine(w)  # logits (m, -m) / 2, so the log-odds of class 0 are m = w.x
    settings = MapElites(population=40, generations=120)
    odds = map_elites(Oracle(model), Direct(), [0, 1], (1, 3, 3), settings=settings).archive.odds
    best = [float(w.clamp(min=0).sum()), float(-w.clamp(max=0).sum())]
    assert all(0.9 * b < o <= b + 1e-5 for o, b in zip(odds.tolist(), best, strict=True))


def test_it_stops_when_every_class_has_enough(make):
    model = make.affine(torch.full((1, 3, 3), 1.0), b=-4.5)
    settings = MapElites(population=40, generations=400, enough=0.8)
    history = map_elites(Oracle(model), Direct(), [0, 1], (1, 3, 3), settings=settings).history
    assert len(history) < 400
    assert history[-1].low >= 0.8
    assert all(g.low < 0.8 for g in history[:-1])


def test_a_search_a_class_never_fills_another_cell(counted):
    """The ablation: with it, an elite stems from the elite of the same cell."""
    lines = []
    settings = MapElites(population=40, generations=30, independent=True)
    still = Direct(crossover_rate=0, mutation_rate=0.02)
    map_elites(counted, still, range(4), SHAPE, settings=settings, observe=lambda a, _: lines.append(a.genomes.genes))
    for before, after in pairwise(lines):
        changed = (before != after).flatten(1).double().mean(1)
        assert float(changed.max()) < 0.3  # a few mutated pixels; another cell's elite differs in nearly all
    shared = []
    settings = MapElites(population=40, generations=30)
    map_elites(counted, still, range(4), SHAPE, settings=settings, observe=lambda a, _: shared.append(a.genomes.genes))
    jumps = [(b != a).flatten(1).double().mean(1).max() for b, a in pairwise(shared)]
    assert max(jumps) > 0.4


def test_batch_statistics_of_the_population_play_no_part_and_the_mode_is_put_back():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))
    model = Classifier(net).train()
    archive = map_elites(Oracle(model), Direct(), range(3), SHAPE, settings=SHORT).archive
    assert model.training
    assert net[1].training
    assert net[1].num_batches_tracked == 0
    with torch.no_grad():
        p = model.eval()(archive.images.float() / 255).double().softmax(1)
    np.testing.assert_allclose(archive.confidence.numpy(), p.diagonal().numpy(), rtol=1e-5)


def test_ten_crops_by_hand():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    crops = ten_crops(image, 2)[0, :, 0]
    assert crops[:5, 0, 0].tolist() == [0, 2, 4, 6, 1]
    assert crops[9].tolist() == [[2, 1], [6, 5]]
    assert (crops[5:] == crops[:5].flip(2)).all()


def test_confidence_may_be_a_mean_over_ten_crops(counted):
    settings = MapElites(population=8, generations=3, crop=5)
    archive = map_elites(counted, Direct(), range(4), SHAPE, settings=settings).archive
    assert counted.meter.forwards == 8 * 3 * 10
    with torch.no_grad():
        p = counted.model(ten_crops(archive.images.float() / 255, 5).flatten(0, 1)).double().softmax(1)
    wanted = p.reshape(4, 10, 4).mean(1).diagonal()
    np.testing.assert_allclose(archive.confidence.numpy(), wanted.numpy(), rtol=1e-5)


def test_colours_are_evolved_too(make):
    archive = map_elites(Oracle(make.net(channels=3)), Cppn(), range(3), (3, 5, 7), settings=SHORT).archive
    assert archive.images.shape == (3, 3, 5, 7)


def test_wrong_use_is_one_line(counted, make):
    for classes, settings, words in (
        ([4], SHORT, "class 4 does not exist: the model's last class is 3"),
        ([0, 0], SHORT, "each once"),
        ([0], MapElites(crop=7), "crop=7 is larger than the image, 6 x 6"),
    ):
        with pytest.raises(ParameterError, match=words):
            map_elites(counted, Direct(), classes, SHAPE, settings=settings)
    with pytest.raises(ModelError, match="NaN"):
        map_elites(Oracle(make.affine(torch.full(SHAPE, torch.nan))), Direct(), [0], SHAPE, settings=SHORT)
    one = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(36, 1)))
    with pytest.raises(ModelError, match="two classes"):
        map_elites(Oracle(one), Direct(), [0], SHAPE, settings=SHORT)


@pytest.mark.parametrize(
    "wrong", [{"population": 3}, {"population": 0}, {"generations": 0}, {"enough": 0}, {"crop": 0}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        MapElites(**wrong)


def test_the_seed_is_0_unless_given(counted):
    brief = MapElites(population=4, generations=1)
    found, same, other = (
        map_elites(counted, Direct(), [0], SHAPE, settings=brief, **seed).archive.images
        for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert torch.equal(found, same)
    assert not torch.equal(found, other)
    own = Direct().find(counted, [0], SHAPE, generations=1, population=4)
    assert torch.equal(own.images, found)
