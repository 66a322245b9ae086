"""Quantiles of streams: exact for few values, within the stated error for many, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.explain.units.sketch import UpperQuantile


def test_few_values_have_the_linear_rule():
    sketch = UpperQuantile(0.99)
    for part in torch.arange(1.0, 101).view(1, -1).split(7, 1):
        sketch.add(part)
    assert sketch.value().tolist() == pytest.approx([99.01])
    assert sketch.error().tolist() == [0]


def test_few_values_are_numpys_quantile():
    values = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    sketch = UpperQuantile(0.9, 300)
    sketch.add(values[:, :120])
    sketch.add(values[:, 120:])
    np.testing.assert_allclose(sketch.value(), np.quantile(values.numpy(), 0.9, axis=1), rtol=1e-6)


@pytest.mark.parametrize(("block", "blocks"), [(300, 60), (1500, 13), (37, 100)])
@pytest.mark.parametrize("q", [0.99, 0.7])
def test_many_values_are_within_the_stated_error(block, blocks, q):
    values = torch.rand(6, block * blocks, generator=torch.Generator().manual_seed(1))
    values[1] = values[1].exp() ** 5  # other scales, ties, a silent unit, order
    values[2] = (values[2] * 10).floor()
    values[3] = 0
    values[4] = values[4].sort().values
    sketch = UpperQuantile(q, 256)
    for part in values.split(block, 1):
        sketch.add(part)
    found = sketch.value()[:, None]
    below, upto = (values < found).double().mean(1), (values <= found).double().mean(1)
    off = torch.where((below <= q) & (upto >= q), 0.0, torch.minimum((below - q).abs(), (upto - q).abs()))
    error = sketch.error()
    assert 0 < float(error.min()) <= float(error.max()) < 0.1
    assert (off <= error).all()
    assert float(sketch.value()[3]) == 0


def test_memory_grows_with_the_logarithm_of_what_was_seen():
    def held(blocks):
        sketch = UpperQuantile(0.99, 64)
        for _ in range(blocks):
            sketch.add(torch.rand(2, 100))
        return sum(v.numel() for v, _ in sketch._levels.values())

    assert held(64) <= 2 * 64 * 7
    assert held(127) <= 2 * 64 * 7


def test_nothing_has_no_quantile():
    with pytest.raises(ParameterError, match="no value was seen"):
        UpperQuantile(0.9).value()
    with pytest.raises(ParameterError, match="between 0 and 1"):
        UpperQuantile(1.0)


def test_the_error_is_larger_where_blocks_are_unlike():
    """In the first stream blocks are alike; in the second the last block holds the whole upper tail."""
    alike = torch.rand(1, 8000, generator=torch.Generator().manual_seed(0))
    sketch = UpperQuantile(0.99, 64)
    for part in torch.cat([alike, alike.sort(1).values]).split(500, 1):
        sketch.add(part)
    same, other = sketch.error().tolist()
    assert same < other / 5
