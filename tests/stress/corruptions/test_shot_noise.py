"""Shot noise against the Poisson distribution and the reference's samples."""

import numpy as np
import pytest
import torch
from scipy import stats

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.shot_noise import ShotNoise, alias_tables, shot_noise

RNG = SampleRng.of(0, "test", ["a"])


@pytest.mark.parametrize("c", [3, 12, 60, 500, 7.5])
def test_tables_hold_the_poisson_distribution(c):
    cut, alias = (table.astype(float) for table in alias_tables(c))
    cells, last = cut.shape[1], int(np.ceil(c))
    for level in (0, 1, 100, 255):
        mass = np.zeros(cells)
        mass += cut[level] / cells
        np.add.at(mass, np.minimum(np.rint(alias[level] * c), last).astype(int), (1 - cut[level]) / cells)
        rate = c * level / 255
        expected = [*stats.poisson.pmf(np.arange(last), rate), stats.poisson.sf(last - 1, rate)]
        assert np.abs(mass[: last + 1] - expected).max() < 1e-7
        assert mass[last + 1 :].sum() < 1e-7


@pytest.mark.parametrize("c", [3, 60])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_counts_are_poisson_for_levels_of_8_bits_and_between(c, shift):
    x = (90 + shift) / 255
    counts = (shot_noise(torch.full((1, 1, 400, 400), x), c, RNG) * c).round().flatten().long().numpy()
    found = np.bincount(counts, minlength=c + 1)
    expected = 160_000 * np.array([*stats.poisson.pmf(np.arange(c), c * x), stats.poisson.sf(c - 1, c * x)])
    enough = expected >= 5
    pooled = [np.append(e[enough], e[~enough].sum() + 1e-9) for e in (found.astype(float), expected)]
    keep = pooled[1] >= 5
    chi = ((pooled[0] - pooled[1])[keep] ** 2 / pooled[1][keep]).sum()
    assert stats.chi2.sf(chi, keep.sum() - 1) > 0.001


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_the_residual_has_the_distribution_of_the_reference(peer, severity):
    np.random.seed(7)  # noqa: NPY002 - the reference draws from the global state
    pixels = peer.photo()
    c = ShotNoise.strengths.at("imagenet", severity)
    ours = peer.to_rows(shot_noise(peer.to_images(pixels), c, RNG)) - pixels / 255.0
    theirs = peer.reference("shot_noise", pixels, severity) / 255 - pixels / 255.0
    n = ours.size
    assert abs(ours.mean() - theirs.mean()) < 4 * np.sqrt(2 / n) * theirs.std()
    assert abs(ours.var() / theirs.var() - 1) < 4 * np.sqrt(2 * (stats.kurtosis(theirs.ravel()) + 2) / n)


def test_black_stays_black_and_white_never_exceeds_one():
    found = shot_noise(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 1, 50, 2).contiguous(), 5, RNG)
    assert found[..., 0].abs().max() == 0
    assert found[..., 1].max() == 1


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(ShotNoise(), 3) == []
    assert peer.depends_on_batch(ShotNoise(), 1, channels=1) == []
