"""RIGID: its formula by hand, its laws, its units, and that a score hangs on the sample alone."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.screen import FittedDetector, run_queries, screen
from unshaken.detect.scores.rigid import RIGID, feature_shift, sharpened
from unshaken.measure.detection.detection import detection
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur


class Eye(nn.Module):
    """The picture itself is the feature."""

    def __init__(self, d):
        super().__init__()
        self.flat = nn.Flatten()
        self.head = nn.Linear(d, 2)

    def forward(self, x):
        return self.head(self.flat(x))


class Smooth(nn.Module):
    """A smooth net of random weights; `inside` is what its head weighs."""

    def __init__(self, d=48, width=20):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.inside = nn.Sequential(nn.Flatten(), nn.Linear(d, 32), nn.Tanh(), nn.Linear(32, width), nn.Tanh())
            self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.inside(x))


def pictures(n=6, side=4, seed=0):
    images = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return Batch(images, None, tuple(f"p{i}" for i in range(n)))


def scores(net, batch, seed=0, limit=256, bank=None, **parameters):
    model = net if isinstance(net, Classifier) else Classifier(net)
    fitted = FittedDetector(RIGID(**parameters), bank or {}, torch.zeros(0))
    with evaluating(model):
        anatomy = Anatomy.of(model, batch.images)
        return screen({"rigid": fitted}, anatomy, batch, Oracle(model, limit=limit), seed)["rigid"].score


def test_the_cosine_by_hand():
    shift = feature_shift(
        torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0]]), torch.tensor([[4.0, 4.0], [0, 5], [-1, 0]])
    )
    assert shift.dtype == torch.float64
    assert (1 - shift).tolist() == pytest.approx([0.989949, 0.0, -1.0], abs=1e-6)


def test_a_small_shift_keeps_its_digits():
    """1 - cos of an angle a is 2 sin^2(a / 2): 5e-17 for 1e-8, which float32 and 1 - u v both lose."""
    for angle in (1e-2, 1e-5, 1e-8):
        f, g = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[math.cos(angle), math.sin(angle)]]).double()
        assert feature_shift(f, g).item() == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-6, abs=0)


def test_no_noise_no_shift():
    assert scores(Smooth(), pictures(), sigma=0).tolist() == [0] * 6


def test_features_that_never_change():
    net = Smooth()
    with torch.no_grad():
        net.inside[1].weight.zero_()
    assert scores(net, pictures(), sigma=0.1).tolist() == [0] * 6
    assert scores(net, pictures(), perturbation="noise+blur+sharpen+jpeg").tolist() == [0] * 6


def test_features_of_degree_one():
    """f(c x) = c f(x): image and noise scaled together leave the score as it is."""
    net, batch = Eye(48), pictures()
    once = scores(net, batch, sigma=0.1)
    twice = scores(net, batch.with_images(batch.images / 4), sigma=0.025)
    assert torch.allclose(once, twice, rtol=1e-4)
    assert not torch.allclose(once, scores(net, batch.with_images(batch.images / 4), sigma=0.1), rtol=0.1)


@pytest.mark.parametrize(("ratio", "sd"), [(0.01, 3e-6), (0.05, 4e-5), (0.1, 2e-4), (0.5, 3.5e-3)])
def test_the_law_of_contrast(ratio, sd):
    """Identity features of root mean square r: E s = 1 / sqrt(1 + (sigma / r)^2); one draw within 5 deviations."""
    images = torch.rand(4, 3, 26, 26)[:, :, :, :]
    r = images.square().mean((1, 2, 3)).sqrt()
    images = images / r.view(-1, 1, 1, 1) * 0.3
    got = 1 - scores(Eye(3 * 26 * 26), Batch(images, None, ("a", "b", "c", "d")), sigma=0.3 * ratio, copies=1)
    expected = {0.01: 0.999950, 0.05: 0.998752, 0.1: 0.995037, 0.5: 0.894427}[ratio]
    assert expected == pytest.approx(1 / math.sqrt(1 + ratio**2), abs=1e-6)
    assert (got - expected).abs().max() < 5 * sd
    assert got.std() > 0


def test_the_law_of_small_noise():
    """1 - s is `sigma^2 / 2 |P J|_F^2 / |f|^2` on average; half the noise divides it by four."""
    net, batch = Smooth(), pictures(4)
    small, half = (scores(net, batch, sigma=s, copies=1500) for s in (0.004, 0.002))
    assert (small / half).tolist() == pytest.approx([4] * 4, rel=0.1)
    for image, got in zip(batch.images, small, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: net.inside(x[None])[0], image).flatten(1).double()
        f = net.inside(image[None])[0].detach().double()
        across = jacobian - torch.outer(f, f @ jacobian) / f.square().sum()
        law = 0.004**2 / 2 * across.square().sum() / f.square().sum()
        assert got.item() == pytest.approx(law.item(), rel=0.1)


def test_more_copies_calm_the_score():
    net, batch = Smooth(), pictures(2)
    one, ten = (torch.stack([scores(net, batch, seed=s, sigma=0.05, copies=n) for s in range(200)]) for n in (1, 10))
    error = one.std(0) / math.sqrt(200)
    assert ((one.mean(0) - ten.mean(0)).abs() < 4 * error).all()
    assert (one.var(0) / ten.var(0)).tolist() == pytest.approx([10, 10], rel=0.5)


def test_units():
    """0.05 in ImageNet's units is 0.01145, 0.0112, 0.01125 in pixels: one model asked both ways."""
    std = (0.229, 0.224, 0.225)
    model = Classifier(Smooth(), mean=(0.485, 0.456, 0.406), std=std).eval()
    batch = pictures()
    method = RIGID(sigma=0.05, units="normalised", copies=1)
    anatomy = Anatomy.of(model, batch.images)
    fit_data = FitData(anatomy, tune=ForwardPass(anatomy, torch.zeros(6, 2), {}, batch.images))
    bank = run_queries(method.fit(fit_data), Oracle(model))
    assert (0.05 * bank["std"]).tolist() == pytest.approx([0.01145, 0.0112, 0.01125], rel=1e-4)
    got = scores(model, batch, sigma=0.05, units="normalised", copies=1, bank=bank)
    noise = SampleRng.of(0, "detect", batch.ids).fold("rigid").fold(0).normal(3, 4, 4)
    with torch.no_grad():
        f, g = (
            model.features(x, ["head:in"])[1]["head:in"]
            for x in (batch.images, batch.images + noise * torch.tensor(std).view(3, 1, 1) * 0.05)
        )
    assert torch.allclose(got, 1 - torch.cosine_similarity(f.double(), g.double()), rtol=1e-3)
    wrong = scores(model, batch, sigma=0.05, copies=1)
    assert (wrong / got).median().item() == pytest.approx(4.4**2, rel=0.15)
    assert run_queries(RIGID().fit(fit_data), Oracle(model)) == {}


def test_batch_and_order_do_not_matter():
    net, batch = Smooth(), pictures(11)
    whole = scores(net, batch)
    assert torch.equal(whole, scores(net, batch))
    order = torch.tensor([4, 0, 10, 9, 1, 3, 2, 8, 7, 6, 5])
    assert torch.allclose(scores(net, batch[order], limit=3), whole[order], rtol=1e-3)
    assert not torch.allclose(scores(net, batch, seed=1), whole, rtol=1e-3)
    same = batch.with_images(batch.images[:1].expand(11, -1, -1, -1).clone())
    assert len(set(scores(net, same).tolist())) == 11  # each sample has noise of its own


def test_the_farthest_of_several_changes():
    net, batch = Smooth(), pictures(8)
    alone = torch.stack([scores(net, batch, perturbation=k, blur=0.33) for k in ("noise", "blur")])
    both = scores(net, batch, perturbation="noise+blur", blur=0.33)
    assert torch.equal(both, alone.amax(0))
    assert 0 < (alone[0] > alone[1]).sum() < 8


def test_other_changes_are_what_they_say():
    batch = pictures(3, side=16)
    soft = gaussian_blur(batch.images, 1.0)
    assert torch.allclose(sharpened(batch.images, 0.5), 1.5 * batch.images - 0.5 * soft, atol=1e-6)
    net = Eye(3 * 256)
    for kind, changed in (("sharpen", sharpened(batch.images, 0.5)), ("blur", gaussian_blur(batch.images, 0.55))):
        expected = feature_shift(batch.images.flatten(1), changed.flatten(1))
        assert torch.allclose(scores(net, batch, perturbation=kind), expected, rtol=1e-4)
    assert scores(net, batch, perturbation="jpeg", quality=10).min() > scores(net, batch, perturbation="jpeg").max() > 0
    assert scores(net, batch, perturbation="blur", blur=0).tolist() == [0] * 3


def test_a_layer_of_ones_own():
    net, batch = Smooth(), pictures()
    first = scores(net, batch, layer="inside.1", copies=1)
    noise = SampleRng.of(0, "detect", batch.ids).fold("rigid").fold(0).normal(3, 4, 4)
    with torch.no_grad():
        f, g = (net.inside[:2](x) for x in (batch.images, batch.images + 0.0113 * noise))
    assert torch.allclose(first, feature_shift(f, g), rtol=1e-3)
    with pytest.raises(ModelError, match="no layer 'insides'"):
        scores(net, batch, layer="insides")


def test_published_figures_of_a_ranking():
    real, fake = np.array([0.99, 0.98, 0.97, 0.96, 0.90]), np.array([0.975, 0.95, 0.93, 0.92, 0.85])
    found = detection(1 - real, 1 - fake, resamples=10)
    assert found.auroc.value == pytest.approx(0.76)
    assert found.aupr_normal.figure.value == pytest.approx(0.821111, abs=1e-6)
    assert found.fpr95_id_accept.value == pytest.approx(0.8)


@pytest.mark.parametrize("text", ["", "noise+noise", "fog", "noise,blur"])
def test_kinds_that_are_none(text):
    with pytest.raises(ParameterError, match="perturbation"):
        RIGID(perturbation=text)
