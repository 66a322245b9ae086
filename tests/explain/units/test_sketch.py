"""Quantiles of streams: exact for few values, within the stated bound for many, whatever their order and division."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.explain.units.sketch import EXACT, OCTAVES, QuantileSketch


def sketch_of(values: Tensor, q: float, parts: int, resolution: int = 32) -> QuantileSketch:
    """The sketch of streams `[D, n]` that were given in parts of a width."""
    sketch = QuantileSketch(q, resolution)
    for part in values.split(parts, 1):
        sketch.add(part[None])
    return sketch


def hostile_streams(n: int) -> Tensor:
    """Streams of other scales, signs, ties and tails, float32 `[10, n]`."""
    draw = torch.randn(10, n, generator=torch.Generator().manual_seed(0))
    draw[1] = draw[1].exp() ** 3
    draw[2] = (draw[2] * 4).floor()
    draw[3] = 0
    draw[4] = draw[4].sort().values
    draw[5] = draw[5].relu() * 1e-20
    draw[6] = -draw[6].abs() * 1e20
    draw[7] = draw[7] - 4
    draw[8] = 6
    draw[9, -1] = 1e30  # the last value takes all other buckets away
    return draw


def test_few_values_have_the_linear_rule():
    sketch = sketch_of(torch.arange(1.0, 101)[None], 0.99, 7)
    assert sketch.value().tolist() == pytest.approx([99.01])
    assert sketch.error() == 0


def test_few_values_are_numpys_quantile():
    values = hostile_streams(EXACT)
    sketch = sketch_of(values, 0.9, 300)
    np.testing.assert_allclose(sketch.value(), np.quantile(values.double().numpy(), 0.9, axis=1), rtol=1e-6)


@pytest.mark.parametrize("resolution", [2, 32, 128])
@pytest.mark.parametrize("q", [0.001, 0.5, 0.99, 0.9999])
def test_many_values_are_within_the_stated_bound_of_numpys_quantile(q, resolution):
    values = hostile_streams(6000)
    sketch = sketch_of(values, q, 700, resolution)
    exact, found = np.quantile(values.double().numpy(), q, axis=1), sketch.value().double().numpy()
    largest = values.double().abs().amax(1).numpy()
    bound = np.maximum(np.abs(exact) * sketch.error(), largest * 2.0**-OCTAVES)
    assert sketch.error() == 1 / resolution
    assert (np.abs(found - exact) <= bound * (1 + 1e-6))[:9].all()
    assert found[3] == 0
    assert found[8] == 6  # a constant is exact: nothing is above it
    if q < 0.99:
        assert abs(found[9] - exact[9]) <= bound[9]


def test_values_spread_evenly_in_their_bucket_are_found_far_more_exactly_than_the_bound():
    values = torch.rand(1, 50000, generator=torch.Generator().manual_seed(1))
    assert float(sketch_of(values, 0.99, 50000).value()) == pytest.approx(np.quantile(values.numpy(), 0.99), rel=1e-3)


@pytest.mark.parametrize("parts", [1, 999, 3000])
def test_neither_order_nor_division_changes_a_bit(parts):
    values = hostile_streams(3000)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(2))
    whole, other = QuantileSketch(0.97), sketch_of(values[:, order], 0.97, parts)
    whole.add(values.view(10, 3, 1000).transpose(0, 1))
    assert torch.equal(whole.value(), other.value())


def test_memory_does_not_grow():
    def held(n):
        buckets = sketch_of(torch.rand(2, n), 0.99, 2000)._buckets
        return buckets.counts.numel()

    assert held(2000) == held(40000)


def test_counts_beyond_32_bits_are_kept_in_64(monkeypatch):
    values = torch.rand(3, 3000, generator=torch.Generator().manual_seed(3))
    sketch = sketch_of(values, 0.9, 3000)
    found = sketch.value()
    sketch._buckets.total = 2**31
    sketch.add(values[None])
    assert sketch._buckets.counts.dtype == torch.int64
    torch.testing.assert_close(sketch.value(), found, rtol=1e-2, atol=0)


def test_nothing_has_no_quantile_and_parameters_have_their_range():
    with pytest.raises(ParameterError, match="no value was seen"):
        QuantileSketch(0.9).value()
    with pytest.raises(ParameterError, match="between 0 and 1"):
        QuantileSketch(1.0)
    with pytest.raises(ParameterError, match="resolution 1024 must be a power of two from 2 to 128"):
        QuantileSketch(0.9, 1024)


def test_streams_may_come_from_several_images_at_once():
    values = torch.randn(7, 3, 400, generator=torch.Generator().manual_seed(1))
    together, apart = QuantileSketch(0.9, 128), QuantileSketch(0.9, 128)
    together.add(values)
    for image in values:
        apart.add(image[None])
    exact = np.quantile(values.transpose(0, 1).flatten(1).double().numpy(), 0.9, axis=1)
    assert torch.equal(together.value(), apart.value())
    np.testing.assert_allclose(together.value(), exact, rtol=2 / 128)


def test_counts_become_64_bits_long_before_they_can_overflow():
    sketch, values = QuantileSketch(0.9, 128), torch.randn(7, 3, EXACT, generator=torch.Generator().manual_seed(1))
    sketch.add(values)
    sketch.value()
    assert sketch._buckets.counts.dtype == torch.int32
    sketch._buckets.total = torch.iinfo(torch.int32).max - 6 * EXACT
    sketch._buckets.count(values)
    assert sketch._buckets.counts.dtype == torch.int64
