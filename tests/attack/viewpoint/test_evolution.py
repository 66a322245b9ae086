"""The update against the paper's sums by hand, and the search on fitness functions whose peaks are known."""

import pytest
import torch

from unshaken.attack.viewpoint._evolution import Evolution, Population, Rates, centred_ranks, evolve, populate
from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core.rng import SampleRng

NO_ENTROPY = Rates(entropy=0.0)


def fresh(mu):
    mu = torch.as_tensor(mu).float()
    return Evolution(ViewMixture(mu, torch.full_like(mu, 0.1)), torch.zeros_like(mu), torch.zeros(len(mu)).long())


def searched(start, fitness, iterations, pairs, rates=NO_ENTROPY, seed=0):
    evolution, rng = fresh(start), SampleRng.of(seed, "search", [str(i) for i in range(len(start))])
    for _ in range(iterations):
        population = populate(evolution.mixture, rng.fold(evolution.step), pairs)
        evolution = evolve(evolution, population, fitness(population.u), rates)
    return evolution.mixture


def test_centred_ranks_by_hand():
    assert centred_ranks(torch.tensor([0.3, 2, -1, 0.7, 5])).tolist() == [-0.25, 0.25, -0.5, 0, 0.5]


def test_an_increasing_transform_of_the_fitness_changes_nothing():
    evolution, rng = fresh(torch.rand(2, 3, 6)), SampleRng.of(0, "search", ["a", "b"])
    population = populate(evolution.mixture, rng, 10)
    fitness = population.u.sum(-1)
    one, other = (evolve(evolution, population, f, Rates()).mixture for f in (fitness, fitness.exp() * 3 - 7))
    assert torch.equal(one.mu, other.mu)
    assert torch.equal(one.sigma, other.sigma)


def test_the_update_is_the_sum_that_the_paper_writes():
    mu, pairs = torch.zeros(1, 2, 6), 12
    evolution, rng = fresh(mu), SampleRng.of(1, "search", ["a"])
    population = populate(evolution.mixture, rng, pairs)
    assert torch.equal(population.u[0, 2 : 2 + pairs], -population.u[0, 2 + pairs :])  # antithetic about 0
    fitness = torch.randn(1, 2 + 2 * pairs, generator=torch.Generator().manual_seed(0))
    w = centred_ranks(fitness)[0]
    plus, minus, sigma = w[2 : 2 + pairs], w[2 + pairs :], 0.1
    wanted_mu, wanted_sigma = torch.zeros(2, 6), torch.zeros(2, 6)
    for k in range(2):
        mine = population.k[0, :, 0] == k
        r = population.r[0, mine]
        wanted_mu[k] = ((plus - minus)[mine, None] * sigma * r).sum(0) / 0.5
        above = (plus + minus)[mine] / 2 - w[k]
        wanted_sigma[k] = 0.5 * (above[:, None] * ((sigma * r) ** 2 - sigma**2) / sigma / 2).mean(0)
    found = evolve(evolution, population, fitness, NO_ENTROPY)
    assert torch.allclose(found.velocity[0], 0.1 * wanted_mu, atol=1e-6)
    assert torch.allclose(found.mixture.mu[0], 0.1 * 0.1 * wanted_mu, atol=1e-6)
    change = (0.2 * wanted_sigma).clamp(-0.02, 0.02)
    assert torch.allclose(found.mixture.sigma[0], (0.1 + change) * 0.999, atol=1e-6)
    divided = evolve(evolution, population, fitness, Rates(entropy=0.0, sigma_weight="divide"))
    change = (0.2 * 4 * wanted_sigma).clamp(-0.02, 0.02)
    assert torch.allclose(divided.mixture.sigma[0], (0.1 + change) * 0.999, atol=1e-6)


def test_entropy_alone_pulls_means_to_the_middle_and_widens():
    start = torch.cat([torch.full((1, 1, 6), v) for v in (0.8, -0.8, 0.0)])
    found = searched(start, lambda u: torch.zeros(u.shape[:2]), 40, 20, Rates(entropy=1.0))
    still = searched(start, lambda u: torch.zeros(u.shape[:2]), 40, 20)
    pulled = (found.mu - still.mu)[:, 0].mean(-1)  # equal ranks in their order move both alike
    assert pulled[0] < -0.05
    assert pulled[1] > 0.05
    assert abs(float(pulled[2])) < 0.02
    assert bool((found.sigma > 0.12).all())
    assert bool((found.sigma <= 0.15).all())


@pytest.mark.parametrize("target", [0.8, -0.3])
def test_one_peak_is_found(target):
    found = searched(torch.zeros(1, 1, 6), lambda u: -(u - target).square().sum(-1), 100, 25)
    assert torch.allclose(found.mu, torch.full((1, 1, 6), target), atol=0.1)


def test_two_components_find_two_peaks_and_one_finds_one():
    def fitness(u):
        return -torch.minimum((u - 0.8).square().sum(-1), (u + 0.8).square().sum(-1))

    start = torch.tensor([0.2, -0.2]).view(1, 2, 1).expand(1, 2, 6)
    both = searched(start, fitness, 100, 25).mu[0]
    assert torch.allclose(both, torch.tensor([[0.8], [-0.8]]).expand(2, 6), atol=0.15)
    alone = searched(start[:, :1], fitness, 100, 25).mu[0]
    assert torch.allclose(alone, torch.full((1, 6), 0.8), atol=0.15)


def test_the_rates_of_the_published_code():
    assert Rates() == Rates(entropy=0.05, mu=0.1, decay=0.99, momentum=0.9, sigma=0.2, sigma_weight="multiply")


def test_the_part_of_the_entropy_by_hand():
    """`omega` times the mean of `-2 tanh u` and of `1 / sigma - 2 r tanh u` over both draws of a pair and the mean."""
    pairs, rates = 8, Rates(entropy=0.7, sigma=1e-4)
    evolution, rng = fresh(torch.tensor([0.6, -0.3]).view(1, 2, 1).expand(1, 2, 6)), SampleRng.of(2, "search", ["a"])
    population = populate(evolution.mixture, rng, pairs)
    fitness = torch.randn(1, 2 + 2 * pairs, generator=torch.Generator().manual_seed(0))
    with_it = evolve(evolution, population, fitness, rates)
    without = evolve(evolution, population, fitness, Rates(entropy=0.0, sigma=1e-4))
    for k, mean in enumerate((0.6, -0.3)):
        mine = population.k[0, :, 0] == k
        r = population.r[0, mine, 0].double()
        u = torch.cat([torch.tensor([mean]).double(), mean + 0.1 * r, mean - 0.1 * r])
        normal = torch.cat([torch.zeros(1).double(), r, -r])
        by_mu = 0.7 * 0.5 * (-2 * u.tanh()).mean()
        by_sigma = 0.7 * 0.5 * (10 - 2 * normal * u.tanh()).mean()
        change = (with_it.velocity - without.velocity)[0, k, 0]
        assert float(change) == pytest.approx(0.1 * float(by_mu), rel=1e-3)
        wider = (with_it.mixture.sigma - without.mixture.sigma)[0, k, 0] / 0.999
        assert float(wider) == pytest.approx(1e-4 * float(by_sigma), rel=2e-2)


def test_velocity_is_kept_and_the_rate_decays():
    evolution, rng = fresh(torch.zeros(1, 1, 6)), SampleRng.of(1, "search", ["a"])
    population = populate(evolution.mixture, rng, 5)
    fitness = torch.randn(1, 11, generator=torch.Generator().manual_seed(0))
    first = evolve(evolution, population, fitness, NO_ENTROPY)
    moving = evolution.replace(velocity=torch.full((1, 1, 6), 0.5), step=torch.tensor([7]))
    later = evolve(moving, population, fitness, NO_ENTROPY)
    assert torch.allclose(later.velocity, 0.45 + first.velocity, atol=1e-6)
    assert torch.allclose(later.mixture.mu, 0.1 * 0.99**7 * later.velocity, atol=1e-6)
    assert later.step.tolist() == [8]


@pytest.mark.parametrize(
    ("sigma", "far", "expected"),
    [
        (0.1, True, 0.12 * 0.999),  # a fifth wider at most
        (0.1, False, 0.08 * 0.999),
        (0.14, True, 0.15 * 0.999),
        (0.011, False, 0.01),
        (0.01, True, 0.012 * 0.999),
    ],
)
def test_deviations_change_by_a_fifth_at_most_and_keep_to_their_bounds(sigma, far, expected):
    """Two pairs, of which the far or the near one is better than the mean; r of 3 and of 0.1."""
    mu = torch.zeros(1, 1, 6)
    mixture = ViewMixture(mu, torch.full_like(mu, sigma))
    r = torch.tensor([3.0, 0.1]).view(1, 2, 1).expand(1, 2, 6)
    u = torch.cat([mu, sigma * r, -sigma * r], 1)
    best, worst = ([1, 3], [2, 4]) if far else ([2, 4], [1, 3])
    fitness = torch.zeros(1, 5)
    fitness[0, best], fitness[0, worst] = 1.0, -1.0
    population = Population(u, torch.zeros(1, 2, 6, dtype=torch.int64), r)
    found = evolve(Evolution(mixture, mu, torch.zeros(1).long()), population, fitness, Rates(entropy=0.0, sigma=1e3))
    assert found.mixture.sigma.flatten().tolist() == pytest.approx([expected] * 6, rel=1e-5)
