"""Dropout drawn by sample: known expectations, independence of the batch, counting, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unshaken.core import Batch, Classifier
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.screen import FittedDetector, screen
from unshaken.detect.scores.ensemble import disagreement
from unshaken.detect.scores.mc_dropout import DropoutDraws, MCDropout


class Dropping(nn.Module):
    """Conv, channel dropout, pool, dropout, head."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.conv, self.channels = nn.Conv2d(1, 6, 3, padding=1), nn.Dropout2d(rate)
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d(1), nn.Dropout(rate), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.pool(self.channels(self.conv(x))).flatten(1)))


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Dropping(), name="dropping").eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(9, 1, 5, 5, generator=torch.Generator().manual_seed(1))


def drawn(oracle: Oracle, images: Tensor, draws: int, names: list[str]) -> Tensor:
    answer = oracle.ask(DropoutDraws(images, SampleRng.of(0, "x", names), draws))
    assert answer.logits is not None
    return answer.logits.detach()


def test_masks_hang_on_the_sample_alone(model, images):
    names = [str(i) for i in range(9)]
    whole = drawn(Oracle(model), images, 4, names)
    pieces = drawn(Oracle(model, limit=2), images, 4, names)
    turned = drawn(Oracle(model), images.flip(0), 4, names[::-1]).flip(0)
    assert torch.allclose(whole, pieces, atol=1e-6)
    assert torch.allclose(whole, turned, atol=1e-6)
    assert torch.allclose(whole[:, :2], drawn(Oracle(model), images, 2, names), atol=1e-6)
    assert whole.std(1).min() > 1e-4


def test_the_mean_over_draws_of_a_linear_net_is_its_plain_answer(model, images):
    found = drawn(Oracle(model), images[:2], 600, ["a", "b"])
    error = (found.mean(1) - model(images[:2]).detach()).abs() / (found.std(1) / 600**0.5)
    assert error.max() < 5


def test_channel_dropout_drops_whole_channels_at_its_rate():
    net = nn.Sequential(nn.Dropout2d(0.25), nn.Flatten())
    found = drawn(Oracle(Classifier(net).eval()), torch.ones(1, 8, 2, 2), 500, ["a"]).view(500, 8, 4)
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert sorted(set(found.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_dropout_of_all_leaves_nothing():
    net = nn.Sequential(nn.Dropout(1.0), nn.Flatten())
    assert not drawn(Oracle(Classifier(net).eval()), torch.ones(2, 1, 2, 2), 2, ["a", "b"]).any()


class Twice(nn.Module):
    """The same dropout layer, called twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.drop(x.flatten(1)), self.drop(x.flatten(1))], 1)


def test_each_call_of_a_layer_has_a_mask_of_its_own():
    found = drawn(Oracle(Classifier(Twice()).eval()), torch.ones(1, 1, 8, 8), 2, ["a"])
    assert not torch.equal(found[..., :64], found[..., 64:])
    assert not torch.equal(found[:, 0], found[:, 1])


def test_passes_are_counted_and_the_model_is_left_as_it_was(model, images):
    batch = Batch(images, None, tuple(str(i) for i in range(9)))
    oracle = Oracle(model, search_copy=search_copy(model, images))
    anatomy = Anatomy.of(model, images)
    fitted = {"mc-dropout": FittedDetector(MCDropout(draws=5), {}, torch.zeros(0))}
    before = model(images)
    found = screen(fitted, anatomy, batch, oracle)["mc-dropout"]
    assert found.forwards.tolist() == [5] * 9
    assert oracle.meter.forwards == 9 * 6
    assert found.score.std() > 0
    assert torch.equal(model(images), before)
    assert not any(m._forward_hooks for m in model.net.modules())
    assert not any(m.training for m in model.modules())


def test_a_model_without_dropout_is_refused(images):
    bare = Classifier(Dropping(rate=0.0), name="bare").eval()
    with pytest.raises(ModelError, match="'bare' has no dropout layer"):
        drawn(Oracle(bare), images, 2, [str(i) for i in range(9)])


def test_dropout_that_mixes_samples_is_refused(images):
    net = nn.Sequential(nn.Flatten(0), nn.Dropout(0.5), nn.Unflatten(0, (9, 25)))
    with pytest.raises(ModelError, match="dropout layer '1' sees 225 rows for 9 samples"):
        drawn(Oracle(Classifier(net).eval()), images, 2, [str(i) for i in range(9)])


def test_disagreement_by_hand():
    torn = torch.tensor([[[1.0, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]]).double()
    log2 = np.log(2)
    expected = {
        "mutual-information": [log2, 0],
        "entropy": [log2, log2],
        "mean-entropy": [0, log2],
        "max-variance": [0.25, 0],
    }
    for measure, values in expected.items():
        assert disagreement(torn, measure).tolist() == pytest.approx(values)
