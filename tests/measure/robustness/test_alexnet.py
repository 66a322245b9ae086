import numpy as np
import pytest

from unshaken.measure import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, BENCHMARK, VALIDATION


def test_there_are_15_and_4():
    assert (len(BENCHMARK), len(VALIDATION)) == (15, 4)
    assert set(ALEXNET_ERROR) == {*BENCHMARK, *VALIDATION}


def test_the_authors_figures_per_severity_have_these_means():
    # gaussian noise, elastic transform and snow at severities 1 to 5, as the authors list them
    assert ALEXNET_ERROR["gaussian_noise"] == pytest.approx(np.mean([0.69528, 0.82542, 0.93554, 0.98138, 0.99452]))
    assert ALEXNET_ERROR["elastic_transform"] == pytest.approx(np.mean([0.52596, 0.70116, 0.55686, 0.64076, 0.80554]))
    assert ALEXNET_ERROR["snow"] == pytest.approx(np.mean([0.71726, 0.88392, 0.86468, 0.9187, 0.94952]))


def test_an_error_of_one_half_everywhere_has_the_known_scores():
    assert np.mean([0.5 / ALEXNET_ERROR[c] for c in BENCHMARK]) == pytest.approx(0.646726, abs=5e-7)
    relative = [0.25 / (ALEXNET_ERROR[c] - ALEXNET_CLEAN_ERROR) for c in BENCHMARK]
    assert np.mean(relative) == pytest.approx(0.814695, abs=5e-7)
