"""The cases of the card, what does not change it, and filters."""

import math

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.explain.biases.total_variation import kernel_variation, total_variation

MATRIX = torch.tensor([[1.0, 2, 4], [0, 0, 3], [5, 1, 1]])


def test_cases_by_hand():
    assert float(total_variation(MATRIX)) == 22
    assert float(MATRIX.diff(dim=0).abs().sum()) == 12
    one = torch.zeros(5, 5)
    one[2, 2] = 1
    assert float(total_variation(one)) == 4
    checks = (torch.arange(4)[:, None] + torch.arange(4)) % 2
    assert float(total_variation(checks.float())) == 24
    assert float(total_variation(torch.full((4, 6), 0.3))) == 0


def test_it_scales_and_does_not_change_with_constants_flips_and_transposes():
    maps = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    plain = total_variation(maps)
    assert plain.shape == (3, 2)
    for other in (maps + 3, maps.flip(2), maps.flip(3), maps.mT):
        assert torch.allclose(total_variation(other), plain)
    assert torch.allclose(total_variation(-2 * maps), 2 * plain)


def test_white_noise_varies_by_its_expectation_a_pair():
    noise = torch.randn(224, 224, generator=torch.Generator().manual_seed(0))
    assert float(total_variation(noise)) / (2 * 224 * 223) == pytest.approx(2 / math.sqrt(math.pi), rel=0.01)


def test_filters_are_compared_at_norm_one():
    kernels = torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(kernel_variation(5 * kernels), kernel_variation(kernels))
    single = torch.zeros(1, 1, 3, 3)
    single[..., 1, 1] = 7
    assert float(kernel_variation(single)) == pytest.approx(4)
    assert float(kernel_variation(torch.zeros(1, 1, 3, 3))) == 0
    with pytest.raises(DataError, match="have no neighbours"):
        kernel_variation(torch.rand(2, 3, 1, 1))
