import numpy as np
import pytest
import torch
from scipy import stats

from unshaken.attack.fooling import Direct
from unshaken.attack.fooling.direct import Pixels, mutate, polynomial_step, simulated_binary_crossover
from unshaken.core.errors import ParameterError


class Draws:
    """Gives numbers that a test knows, in turn."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self, n):
        return np.full(n, self.values.pop(0))


def test_polynomial_mutation_by_hand():
    np.testing.assert_allclose(polynomial_step(np.array([0.5, 0.25, 0.75]), 15), [0, -0.042397, 0.042397], atol=5e-7)
    u = np.linspace(0.001, 0.999, 999)
    steps = polynomial_step(u, 15)
    assert np.abs(steps).max() <= 1
    np.testing.assert_allclose(steps, -polynomial_step(1 - u, 15), atol=1e-12)


def test_polynomial_mutation_has_its_published_density():
    steps = polynomial_step(np.random.default_rng(0).random(20_000), 15)

    def cdf(d):  # of the density (eta + 1) (1 - |d|)^eta / 2
        tail = 0.5 * (1 - np.abs(d)) ** 16
        return np.where(d < 0, tail, 1 - tail)

    assert stats.kstest(steps, cdf).pvalue > 0.01


def test_mutation_touches_the_share_of_genes_and_stays_in_range():
    genes = np.full((100, 100), 0.99)
    changed = mutate(genes, 0.1, 15, np.random.default_rng(1))
    assert 0.08 < (changed != genes).mean() < 0.12
    assert changed.max() <= 1
    assert (genes == 0.99).all()
    wide = mutate(np.zeros((100, 100)), 1, 15, np.random.default_rng(1), -10, 10)
    assert np.abs(wide).max() > 3  # steps are shares of the range of 20
    assert (mutate(genes, 0, 15, np.random.default_rng(1)) == genes).all()


@pytest.mark.parametrize(
    ("u", "children"),  # eta 1: beta = 2 on either side, alpha = 1.75
    [(0.5, (0.266146, 0.733854)), (0.9, (0.116518, 0.883482)), (1.0, (0.0, 1.0)), (0.0, (0.5, 0.5))],
)
def test_crossover_by_hand(u, children):
    a, b = np.full(3, 0.75), np.full(3, 0.25)
    for swap, wanted in ((0.9, children), (0.1, children[::-1])):
        first, second = simulated_binary_crossover(a, b, 1, Draws(u, swap))
        np.testing.assert_allclose(first, wanted[0], atol=1e-6)
        np.testing.assert_allclose(second, wanted[1], atol=1e-6)


def test_crossover_copies_shared_genes_and_stays_in_range():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 5000))
    b[::2] = a[::2]
    first, second = simulated_binary_crossover(a, b, 10, rng)
    assert (first[::2] == a[::2]).all()
    assert (second[::2] == a[::2]).all()
    for child in (first, second):
        assert child.min() >= 0
        assert child.max() <= 1
    unbounded = np.minimum(a, b) > 0.4  # far from the borders the pair keeps its mean
    middle = unbounded & (np.maximum(a, b) < 0.6)
    np.testing.assert_allclose((first + second)[middle], (a + b)[middle], atol=1e-3)


def test_children_without_mutation_are_copies_or_crossed_as_pairs():
    parents = Direct().begin(40, (1, 5, 4), np.random.default_rng(0))
    same = Direct(crossover_rate=0, mutation_rate=0).vary(parents, 1, np.random.default_rng(1))
    assert (same.genes == parents.genes).all()
    crossed = Direct(crossover_rate=1, mutation_rate=0).vary(parents, 1, np.random.default_rng(1)).genes
    pairs, old = crossed.reshape(20, 2, -1), parents.genes.reshape(20, 2, -1)
    assert (pairs != old).any(2).all()
    assert (pairs.sum(1) - old.sum(1)).abs().mean() < 0.05
    share = Direct(mutation_rate=0).vary(parents, 1, np.random.default_rng(1)).genes != parents.genes
    assert 5 <= int(share.reshape(20, -1).any(1).sum()) <= 15


def test_pixels_are_cut_to_8_bits():
    genes = torch.tensor([0.0, 0.5, 0.999, 1.0, 254.9 / 255]).double().reshape(1, 1, 1, 5)
    assert Direct().draw(Pixels(genes), (1, 1, 5)).flatten().tolist() == [0, 127, 254, 255, 254]


def test_the_published_rate_halves_and_the_released_one_does_not():
    assert [Direct(halve_every=1000).rate_at(g) for g in (0, 999, 1000, 3000)] == [0.1, 0.1, 0.05, 0.0125]
    assert Direct().rate_at(10**6) == 0.1


@pytest.mark.parametrize("wrong", [{"crossover_rate": 1.1}, {"mutation_rate": -0.1}, {"eta_mutation": 0}, {"rate": 1}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Direct(**wrong)
