import numpy as np
import pytest
import torch
from scipy import signal

from unshaken.certify.crops._choice import (
    MULTIPLIER,
    PRIME,
    Candidates,
    box_energy_score,
    box_mean_score,
    grey_levels,
    hash_score,
    laplacian_score,
    random_filter_score,
    score_named,
)
from unshaken.core.errors import ParameterError

NAMES = ["hash", "laplacian", "random_filter", "box_energy", "box_mean"]
SIZE = (11, 12)


@pytest.fixture
def grey():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 20, 23)))


def crops(grey):
    """Every crop, one by one: (image, top, left, pixels)."""
    for i, image in enumerate(grey.numpy()):
        for y in range(image.shape[0] - SIZE[0] + 1):
            for x in range(image.shape[1] - SIZE[1] + 1):
                yield i, y, x, image[y : y + SIZE[0], x : x + SIZE[1]]


@pytest.mark.parametrize("name", NAMES)
def test_a_score_reads_its_crop_alone(name, grey):
    score = score_named(name, 3)
    scores = score(grey, SIZE)
    assert scores.dtype == torch.int64
    assert scores.shape == (2, 10, 12)
    for i, y, x, crop in crops(grey):
        assert scores[i, y, x] == score(torch.from_numpy(crop.copy())[None], SIZE)


def test_laplacian_and_box_scores_by_hand(grey):
    laplacian, energy, mean = (s(grey, SIZE) for s in (laplacian_score(), box_energy_score(), box_mean_score()))
    for i, y, x, crop in crops(grey):
        c = crop[4:7, 5:8]
        assert laplacian[i, y, x] == abs(c[0, 1] + c[2, 1] + c[1, 0] + c[1, 2] - 4 * c[1, 1])
        assert energy[i, y, x] == (np.diff(crop, axis=0) ** 2).sum() + (np.diff(crop, axis=1) ** 2).sum()
        assert mean[i, y, x] == crop.sum()


def test_hash_is_exact_in_whole_numbers_of_any_size(grey):
    weights = np.random.Generator(np.random.Philox(5)).integers(1, 2**20, (5, 5)).astype(object)
    scores = hash_score(5)(grey, SIZE)
    for i, y, x, crop in crops(grey):
        total = int((crop[3:8, 4:9].astype(object) * weights).sum())
        assert scores[i, y, x] == total % PRIME * MULTIPLIER % PRIME


def test_random_filter_ignores_a_constant_and_is_a_correlation(grey):
    score = random_filter_score(1)
    assert not score(torch.full((1, 20, 20), 255), SIZE).any()
    pulse = torch.zeros(1, 21, 21, dtype=torch.int64)
    pulse[0, 10, 10] = 1
    kernel = score(pulse, (9, 9))[0, 2:11, 2:11].flip(0, 1)
    assert kernel.sum() == 0
    assert kernel.abs().max() > 0
    reference = signal.correlate(grey[0].numpy(), kernel.numpy(), "valid", method="direct")
    assert (score(grey, (9, 9))[0].numpy() == reference).all()


def test_seeds_differ_and_repeat(grey):
    assert (hash_score(1)(grey, SIZE) == hash_score(1)(grey, SIZE)).all()
    assert (hash_score(1)(grey, SIZE) != hash_score(2)(grey, SIZE)).any()
    for name, make in (("hash", hash_score), ("random_filter", random_filter_score)):
        assert (make()(grey, SIZE) == make(0)(grey, SIZE)).all()
        assert (score_named(name)(grey, SIZE) == make(0)(grey, SIZE)).all()


def test_grey_levels_of_known_colours():
    colours = torch.tensor([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    assert grey_levels(colours.view(5, 3, 1, 1)).flatten().tolist() == [255, 0, 76, 150, 29]
    assert grey_levels(torch.full((1, 1, 2, 2), 7, dtype=torch.uint8)).unique().tolist() == [7]


def test_other_channels_and_too_small_crops_are_refused(grey):
    with pytest.raises(ParameterError, match="1 or 3 channels, not 4"):
        grey_levels(torch.zeros(1, 4, 8, 8, dtype=torch.uint8))
    with pytest.raises(ParameterError, match="'random_filter' reads 9 x 9"):
        random_filter_score()(grey, (8, 12))


def test_the_places_of_crops_are_counted_from_the_first_candidate():
    """The best of 3 x 4 candidates from (5, 7) on is that at row 2 and column 1; in a part of them it stays there."""
    scores = torch.zeros(1, 3, 4, dtype=torch.int64)
    scores[0, 2, 1], scores[0, 1, 3] = 9, 4
    whole = Candidates(torch.zeros(1, 1, 20, 20, dtype=torch.uint8), scores, (2, 2), (5, 7))
    found = whole.best(2)
    assert (found.top.tolist(), found.left.tolist()) == ([[7, 6]], [[8, 10]])
    assert (found.score.tolist(), found.margin.tolist()) == ([[9, 4]], [5])
    inner = whole.part(1, 1, 2, 3).best()
    assert (inner.top.tolist(), inner.left.tolist(), inner.margin.tolist()) == ([[7]], [[8]], [5])
