"""Attacks by viewpoint on a net that sees the azimuth alone, so that the answer is known for every view."""

import json

import pytest
import torch

from tests.attack.viewpoint.conftest import AzimuthNet, azimuth
from unshaken.attack.viewpoint.base import Objects
from unshaken.attack.viewpoint.gmvfool import Evolution, GMVFool, Population, Rates, centred_ranks, evolve, populate
from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.attack.viewpoint.natural_views import NaturalViews
from unshaken.attack.viewpoint.random_views import RandomViews
from unshaken.attack.viewpoint.viewfool import ViewFool
from unshaken.core import Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

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


QUICK = {"components": 2, "pairs": 20, "steps": 12, "samples": 20, "lr": 0.3}


def rows(part):
    return table_of(part).to_pylist()


def test_a_search_finds_the_azimuths_that_fool(azimuth_batch, evaluated):
    parts, meter = evaluated(GMVFool(**QUICK), azimuth_batch)
    views = rows(parts["views"])
    assert len(views) == 3 * 20
    assert all(v["correct"] == ((v["theta"] < 0) == (v["label"] == 0)) for v in views)  # what the net does, by hand
    fooled = sum(not v["correct"] for v in views) / len(views)
    drawn = rows(evaluated(RandomViews(samples=20), azimuth_batch)[0]["views"])
    assert sum(not v["correct"] for v in drawn) / len(drawn) < 0.7 < fooled
    assert all(abs(v["theta"]) < 180 and 20 < v["phi"] < 80 and 3.5 < v["r"] < 4.5 for v in views)
    spent = 12 * (2 + 2 * 20) + 20
    outcome = rows(parts["outcomes"])
    assert [o["forwards"] for o in outcome] == [spent] * 3
    assert meter.forwards == 3 * spent + 3  # and the clean images
    assert {v["component"] for v in views} == {0, 1}
    mixtures = rows(parts["view_mixtures"])
    assert len(mixtures) == 6
    assert mixtures[0]["renders"] == spent - 20
    assert mixtures[0]["half"] == [5, 180, 30, 0.5, 0.1, 0.1]


def test_the_outcome_is_that_of_the_hardest_view(azimuth_batch, evaluated):
    parts, _ = evaluated(RandomViews(samples=30), azimuth_batch)
    views, outcomes = rows(parts["views"]), rows(parts["outcomes"])
    for outcome in outcomes:
        mine = [v for v in views if v["id"] == outcome["id"]]
        assert outcome["correct"] == all(v["correct"] for v in mine)
        assert outcome["loss"] == pytest.approx(max(v["loss"] for v in mine))
        assert outcome["broken_by"] == "random-views"
    shown = parts["outcomes"].images(torch.tensor([2, 0]))
    worst = [max((v["loss"], v["theta"]) for v in views if v["id"] == i)[1] for i in ("c", "a")]
    assert shown[:, 0, 0, 0].tolist() == pytest.approx([t / 360 + 0.5 for t in worst], abs=1e-6)


@pytest.mark.parametrize("attack", [GMVFool(**QUICK), RandomViews(samples=9), NaturalViews(samples=9)])
def test_rows_are_the_same_alone_and_in_any_order(attack, azimuth_batch, evaluated):
    whole, _ = evaluated(attack, azimuth_batch)
    turned, _ = evaluated(attack, azimuth_batch[torch.tensor([2, 0])], limit=5)
    for table in ("views", "outcomes"):
        wanted = {(r["id"], r.get("number")): r for r in rows(whole[table])}
        for row in rows(turned[table]):
            other = wanted[row["id"], row.get("number")]
            for name in ("theta", "phi", "prediction", "forwards"):
                assert row.get(name) == other.get(name)
    other_seed, _ = evaluated(attack, azimuth_batch, seed=1)
    assert rows(other_seed["views"])[0]["theta"] != rows(whole["views"])[0]["theta"]


def test_natural_views_stay_in_front(azimuth_batch, evaluated):
    views = rows(evaluated(NaturalViews(samples=40), azimuth_batch)[0]["views"])
    assert all(abs(v["theta"]) < 45 and 60 < v["phi"] < 80 for v in views)


def test_one_component_is_viewfool():
    oracle, objects = Oracle(Classifier(AzimuthNet()).eval()), Objects(torch.arange(2), torch.tensor([0, 1]))
    rng = SampleRng.of(0, "search", ["a", "b"])
    few = {"pairs": 6, "steps": 5, "entropy": 0.01}
    found = [
        attack.learn(objects, azimuth, oracle, rng).result.mixture
        for attack in (GMVFool(components=1, **few), ViewFool(**few))
    ]
    assert found[0].mu.shape == (2, 1, 6)
    assert torch.equal(found[0].mu, found[1].mu)
    assert torch.equal(found[0].sigma, found[1].sigma)


def test_coordinates_that_are_not_searched_stay(azimuth_batch, evaluated):
    views = rows(evaluated(GMVFool(**QUICK, search="angles"), azimuth_batch)[0]["views"])
    assert {(v["r"], v["dx"], v["dy"]) for v in views} == {(4, 0, 0)}
    assert len({v["theta"] for v in views}) == len(views)
    own = GMVFool(**QUICK, half=(1, 20, 5, 0.1, 0.1, 0.1), centre=(0, 90, 60, 5, 0, 0))
    views = rows(evaluated(own, azimuth_batch)[0]["views"])
    assert all(70 < v["theta"] < 110 and 4.9 < v["r"] < 5.1 for v in views)


def test_saved_mixtures_are_shown_to_another_model(azimuth_batch, evaluated, tmp_path):
    first, _ = evaluated(GMVFool(**QUICK, component="per_dim"), azimuth_batch)
    run = RunDir(tmp_path / "run")
    run.write_rows(table_of(first["view_mixtures"]), "view_mixtures", "gmvfool", 0)
    again = GMVFool(**QUICK | {"steps": 0}, start=str(tmp_path / "run"))
    second, meter = evaluated(again, azimuth_batch[torch.tensor([1])])
    assert again.further_files == (f"{tmp_path / 'run'}/rows/view_mixtures",)
    assert rows(second["view_mixtures"])[0]["mu"] == rows(first["view_mixtures"])[2]["mu"]
    assert {v["component"] for v in rows(second["views"])} == {None}  # each coordinate draws one of its own
    assert meter.forwards == 20 + 1
    other = azimuth_batch[torch.tensor([1])]
    with pytest.raises(ParameterError, match="1 objects have no mixture there, such as 'z'"):
        evaluated(again, type(other)(other.images, other.labels, ("z",)))
    with pytest.raises(ParameterError, match=r"are of the box half=\[5.0, 180.0"):
        evaluated(GMVFool(start=str(tmp_path / "run"), region="whole"), other)
    with pytest.raises(ParameterError, match="one search with saved mixtures is needed there; it has none"):
        evaluated(GMVFool(start=str(tmp_path / "empty")), other)


def test_wrong_use_is_one_line(azimuth_batch, evaluated):
    with pytest.raises(ParameterError, match="random-views: it needs objects that can be rendered"):
        evaluated(RandomViews(), azimuth_batch, render=None)
    with pytest.raises(ParameterError, match="neither severities nor eps"):
        conditions_of(GMVFool(), Line("gmvfool", eps=(0.1,)))
    with pytest.raises(ParameterError, match="half and centre make one box"):
        GMVFool(half=(1, 1, 1, 1, 1, 1))
    with pytest.raises(ParameterError, match="r must stay positive"):
        GMVFool(half=(1, 1, 1, 1, 1, 1), centre=(0, 0, 0, 1, 0, 0))
    assert GMVFool(**json.loads(json.dumps(GMVFool().model_dump(mode="json")))) == GMVFool()
