import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.engine.baselines import baseline_of

IMAGES = torch.tensor([[[[0.0, 1.0]], [[0.5, 0.0]]]])
RNG = SampleRng.of(0, "test", ["a"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("black", [0, 0, 0, 0]), ("grey", [0.5] * 4), ("white", [1] * 4), ("mean", [0.5, 0.5, 0.25, 0.25])],
)
def test_images_without_content_by_hand(kind, expected):
    assert baseline_of(IMAGES, kind, RNG).flatten().tolist() == expected


def test_noise_is_the_samples_own():
    noise = baseline_of(IMAGES, "noise", RNG)
    assert torch.equal(noise, baseline_of(IMAGES, "noise", RNG))
    assert not torch.equal(noise, baseline_of(IMAGES, "noise", SampleRng.of(0, "test", ["b"])))
    assert ((noise >= 0) & (noise < 1)).all()
