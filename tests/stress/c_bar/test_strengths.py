"""The two published sets: their ten names each, the strengths, and that a sample does not depend on its batch."""

import pytest

from unshaken.core.registry import find_method
from unshaken.run.plan import CIFAR_C_BAR, IMAGENET_C_BAR

# the authors' tables (imagenet_c_bar.csv and cifar10_c_bar.csv of their repository), sums of the five strengths
IMAGENET = {
    "blue_noise_sample": 14.4,
    "brownish_noise": 15,
    "caustic_refraction": 26.2,
    "checkerboard_cutout": 20,
    "cocentric_sine_waves": 35,
    "inverse_sparkles": 26,
    "perlin_noise": 32,
    "plasma_noise": 39.5,
    "single_frequency_greyscale": 14,
    "sparkles": 17,
}
CIFAR = {
    "blue_noise_sample": 11.9,
    "brownish_noise": 25.5,
    "checkerboard_cutout": 15,
    "circular_motion_blur": 22,
    "inverse_sparkles": 14.5,
    "lines": 7.5,
    "pinch_and_twirl": 36.5,
    "ripple": 33.5,
    "sparkles": 23.1,
    "transverse_chromatic_abberation": 27,
}


@pytest.mark.parametrize(
    ("names", "side", "sums"), [(IMAGENET_C_BAR, 224, IMAGENET), (CIFAR_C_BAR, 32, CIFAR)], ids=["imagenet", "cifar"]
)
def test_strengths_are_the_authors(names, side, sums):
    assert set(names) == set(sums)
    assert len(names) == 10
    for name in names:
        method = find_method(name, "stress").cls()
        strengths = [method.strength(side, severity) for severity in method.severities]
        assert strengths == sorted(strengths)
        assert sum(strengths) == pytest.approx(sums[name]), name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted({*IMAGENET_C_BAR, *CIFAR_C_BAR}))
def test_a_sample_does_not_depend_on_its_batch(peer, name, channels):
    assert peer.depends_on_batch(find_method(name, "stress").cls(truncate=False), 3, 13, 14, channels=channels) == []
