"""Substitution on a case whose best attack is known: a linear model, and a mark that a small network learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark import substitution
from unshaken.detect.watermark.substitution import CLEAN, MARKED, train_substitute, transferred

EPS = 8 / 255


def gray(n=6):
    return 0.3 + 0.4 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def linear():
    """Logits (0, w x) with w of both signs: the best change is eps sign(w), the same for all images."""
    layer = nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[MARKED] = torch.linspace(-1, 1, 16)
    return Classifier(nn.Sequential(nn.Flatten(), layer))


@pytest.mark.parametrize("mode", ["image", "universal"])
@pytest.mark.parametrize(("toward", "sign"), [(MARKED, 1), (CLEAN, -1)])
def test_the_best_change_of_a_linear_model_is_found(linear, mode, toward, sign):
    """All the way, though every image is of the wanted class long before or from the start."""
    found = transferred(linear, gray(), toward, eps=EPS, mode=mode)
    best = gray() + sign * EPS * linear.net[1].weight[MARKED].sign().view(1, 4, 4)
    assert torch.allclose(found, best.detach(), atol=1e-6)


def test_it_stays_in_the_ball_and_in_the_image(linear):
    bright = torch.ones(3, 1, 4, 4)
    for mode in ("image", "universal"):
        found = transferred(linear, bright, MARKED, eps=EPS, mode=mode, steps=5)
        assert float((found - bright).abs().max()) <= EPS * (1 + 1e-6)
        assert float(found.max()) <= 1
    assert torch.equal(transferred(linear, gray(), MARKED, eps=0.0), gray())


def test_universal_is_one_change_and_image_is_not():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 2))
    with torch.no_grad():
        net[1].weight.mul_(20)
    model = Classifier(net)
    changes = {
        m: transferred(model, gray(), MARKED, eps=EPS, mode=m, steps=20) - gray() for m in ("image", "universal")
    }
    assert float((changes["universal"] - changes["universal"][:1]).abs().max()) < 1e-6
    assert float((changes["image"] - changes["image"][:1]).abs().max()) > EPS


def test_a_substitute_learns_the_mark_and_its_attack_takes_the_mark_off():
    """The mark is a checkerboard; a detector unknown to the attack reads it as a correlation."""
    board = torch.tensor([1.0, -1.0]).repeat(8).view(4, 4) * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    drawn = torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    clean, marked = drawn[:200], (drawn[200:] + 12 / 255 * board)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    to_bytes = lambda x: (255 * x).round().to(torch.uint8)  # noqa: E731
    found = train_substitute(net, to_bytes(marked), to_bytes(clean), epochs=60, lr=2e-2, noise=0.1)
    assert found.held == 80
    assert found.right / found.held > 0.6

    def detector(x):
        return (x * board).mean((1, 2, 3))

    evaded = transferred(found.model, marked, CLEAN, eps=12 / 255)
    spoofed = transferred(found.model, clean, MARKED, eps=12 / 255)
    assert float(detector(evaded).mean()) < float(detector(marked).mean()) - 6 / 255
    assert float(detector(spoofed).mean()) > float(detector(clean).mean()) + 6 / 255


def test_training_follows_from_the_seed_and_the_net_is_left_evaluating():
    def once():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
        images = (255 * gray(40)).to(torch.uint8)
        return train_substitute(net, images, images.flip(0), epochs=2)

    one, two = once(), once()
    assert torch.equal(one.model.net[1].weight, two.model.net[1].weight)
    assert one.right == two.right
    assert not one.model.training
    assert one.model.classes == ("clean", "marked")


@pytest.mark.parametrize(("epochs", "batch_size", "steps"), [(2, 20, 6), (3, 64, 3), (2, 100, 2), (0, 20, 1)])
def test_an_epoch_is_as_many_whole_batches_as_there_are(monkeypatch, epochs, batch_size, steps):
    """Of 80 images 16 are held out: 64 to train on."""
    asked = []
    monkeypatch.setattr(substitution, "descend", lambda *given, **named: asked.append((given[2], named["steps"])))
    images = (255 * gray(40)).to(torch.uint8)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    found = train_substitute(net, images, images, epochs=epochs, batch_size=batch_size)
    assert asked == [(64, steps)]
    assert found.held == 16
    assert train_substitute(net, images[:5], images[:5]).held == 2


class Shown(nn.Linear):
    """Keeps what it was given in training."""

    def forward(self, x):
        self.given = x if self.training else self.given
        return super().forward(x.flatten(1))


def test_noise_in_training_is_in_units_of_each_channels_deviation(monkeypatch):
    net, images = Shown(2 * 64, 2), torch.randint(0, 256, (60, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 8
    rng = SampleRng.of(0, "t", [str(i) for i in range(40)])
    losses = []
    monkeypatch.setattr(
        substitution, "descend", lambda *given, **named: losses.append(given[1](torch.arange(40), rng).item())
    )
    train_substitute(net, images.to(torch.uint8), images.to(torch.uint8), noise=0.0)
    quiet = net.given
    assert quiet.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=0.1)
    assert quiet.std((0, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.1)
    train_substitute(net, images.to(torch.uint8), images.to(torch.uint8), noise=0.3)
    drawn = net.given - quiet
    assert drawn.std((0, 2, 3)).tolist() == pytest.approx([0.3, 0.3], rel=0.1)
    assert all(loss > 0 for loss in losses)


def test_a_universal_step_is_its_share_of_the_budget(linear):
    """From a start of its own within the ball; steps are clipped there."""
    start = transferred(linear, gray(), MARKED, eps=EPS, mode="universal", steps=1, rel_stepsize=0.0) - gray()
    after = transferred(linear, gray(), MARKED, eps=EPS, mode="universal", steps=2, rel_stepsize=0.1) - gray()
    assert float(start.min()) < -EPS / 4 < EPS / 4 < float(start.max())
    sign = linear.net[1].weight[MARKED].sign().view(1, 4, 4)
    assert torch.allclose(after, (start + 0.2 * EPS * sign).clamp(-EPS, EPS).detach(), atol=1e-6)


def test_what_is_refused(linear):
    images = (255 * gray(10)).to(torch.uint8)
    with pytest.raises(DataError, match="uint8"):
        train_substitute(nn.Flatten(), images, images.float())
    with pytest.raises(DataError, match="at least 5"):
        train_substitute(nn.Flatten(), images, images[:3])
    for words in ({"eps": -1.0}, {"eps": 1.5}, {"steps": 0}, {"mode": "each"}):
        with pytest.raises(ParameterError, match=next(iter(words))):
            transferred(linear, gray(), CLEAN, **{"eps": EPS, **words})
    with pytest.raises(ParameterError, match="toward"):
        transferred(linear, gray(), 2, eps=EPS)
