"""Hybrids of two pictures, and nets that read one band."""

import pytest
import torch

from tests.explain.biases.conftest import discs, one_hot
from unshaken.explain.biases.frequency_bias import FrequencyBias, hybrids
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur

IMAGES = 0.3 + 0.4 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_hybrid_with_itself_is_itself_and_its_parts_come_from_the_two():
    assert torch.allclose(hybrids(IMAGES, IMAGES, 1.5), IMAGES, atol=1e-6)
    flat = torch.full_like(IMAGES, 0.5)
    assert torch.allclose(hybrids(IMAGES, flat, 1.5), gaussian_blur(IMAGES, 1.5), atol=1e-6)
    assert torch.allclose(hybrids(flat, IMAGES, 1.5), 0.5 + IMAGES - gaussian_blur(IMAGES, 1.5), atol=1e-6)


def test_a_net_that_reads_means_goes_by_low_frequencies_and_one_that_reads_stripes_by_high_ones(reads, subject):
    """Grey `c` and stripes of phase `c`: the low and the high frequencies of a class agree."""
    labels = torch.arange(12) % 3
    stripes = torch.tensor([[1.0, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]]).repeat(1, 4)
    images = (0.3 + 0.2 * labels[:, None, None] + 0.05 * stripes[labels][:, None, :]).expand(-1, 16, -1)
    images = images[:, None].expand(-1, 3, -1, -1).contiguous()

    def by_mean(x):
        return one_hot(((x.mean((1, 2, 3)) - 0.3) / 0.2).round().clamp(0, 2).long())

    def by_stripes(x):
        return one_hot(torch.einsum("nw,kw->nk", x.mean((1, 2)), stripes).argmax(1))

    models = {"low": reads(by_mean), "high": reads(by_stripes)}
    found = FrequencyBias(sigma=2.0, radii="3").find(subject(models, images, labels))
    assert found.figures["bias.low"].value == 1
    assert found.figures["bias.high"].value == 0
    assert found.figures["accuracy.low.low-pass-3"].value == 1
    assert found.figures["accuracy.high.high-pass-3"].value == 1
    assert found.figures["difference.high"].value == -1
    assert found.extra["cues"] == ("low frequencies", "high frequencies")
    assert found.forwards == 2 * 3 * 12


def test_rows_do_not_depend_on_the_size_of_batches(reads, subject):
    net = reads(lambda x: torch.stack([x.mean((1, 2, 3)), x[:, 0, 8, 8], x[:, 0, 4].mean(1)], 1))
    one, other = (FrequencyBias().find(subject({"m": net}, *discs(), batch=batch)).rows for batch in (1, 7))
    columns = [[r[k] for k in ("stimulus", "id", "second_cue", "prediction")] for r in (one, other)]
    assert sorted(zip(*columns[0], strict=True), key=str) == sorted(zip(*columns[1], strict=True), key=str)
    assert sum(one["confidence"]) == pytest.approx(sum(other["confidence"]))
