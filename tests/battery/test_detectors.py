"""What holds for every registered detector. A new detector is in here without an edit."""

from __future__ import annotations

import math
from inspect import isgeneratorfunction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from unshaken.core import Batch, Classifier, list_methods
from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.registry import parse_method
from unshaken.data.arrays import InMemory
from unshaken.detect import Detector, DetectorSet, fit
from unshaken.detect.engine.guard import guard
from unshaken.detect.watermark.watermark import WatermarkDetector
from unshaken.measure.detection.ranking import auroc
from unshaken.models.networks.small import SmallCNN
from unshaken.models.zero_shot import ZeroShot

DETECTORS = [m for m in list_methods("detect") if issubclass(m.cls, Detector)]
BLIND = {"opennsfw", "nudenet"}
"""Detectors that ask a network of their own; their tests are theirs."""
TRAINED = {"learned-watermark": {"steps": 40, "batch_size": 16}}
"""Counts that a method needs to work at all, where the cut ones are too few."""
WEAK = {"rankfeat": 0.7}
"""AUROC that a method reaches on the checkerboard, where it is below 0.9: of 4 x 4 maps one component is nearly all."""
SIDE = 16


def every(methods):
    return pytest.mark.parametrize("method", methods, ids=[m.name for m in methods])


OURS = [m for m in DETECTORS if m.name not in BLIND]


class Net(nn.Module):
    """Three convolutions, dropout, and a linear head; any size, channels and classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(channels, 12, 3, padding=1), nn.Conv2d(12, 16, 3, stride=2, padding=1)
        self.last = nn.Conv2d(16, 64, 3, stride=2, padding=1)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.body(self.stem(x).relu()).relu()).relu()
        return self.head(self.drop(x.mean((2, 3))))


class Tower(nn.Module):
    """Stands for the image side of a zero-shot model: the features of a net, to be compared with class directions."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net, self.logit_scale = net, nn.Parameter(torch.tensor(math.log(20.0)))

    def encode_image(self, x: Tensor, normalize: bool = True) -> Tensor:
        net = self.net
        f = net.last(net.body(net.stem(x).relu()).relu()).relu().mean((2, 3))
        return F.normalize(f) if normalize else f


def pictures(n: int, channels: int, classes: int, seed: int, height: int = SIDE, width: int = SIDE):
    """Each class is a grating of its own direction and pitch, over noise: uint8 images and labels."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angle = labels[:, None, None] * math.pi / classes
    pitch = 0.8 + 0.25 * (labels % 3)[:, None, None]
    phase = torch.rand(n, 1, 1, generator=g) * 6
    wave = torch.sin((x * torch.cos(angle) + y * torch.sin(angle)) * pitch + phase)
    shade = torch.linspace(0.6, 1, channels)[None, :, None, None]
    images = 0.5 + 0.35 * wave[:, None] * shade + 0.04 * torch.randn(n, channels, height, width, generator=g)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8), labels


def strange(n: int, seed: int) -> Tensor:
    """A checkerboard of single pixels over noise, which no grating looks like: float images of 3 channels."""
    g = torch.Generator().manual_seed(seed)
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1
    return (0.5 + 0.3 * board + 0.04 * torch.randn(n, 3, SIDE, SIDE, generator=g)).clamp(0, 1)


def learned(net: nn.Module, channels: int, classes: int, steps: int = 120) -> nn.Module:
    images, labels = pictures(512, channels, classes, 0)
    descent = torch.optim.AdamW(net.train().parameters(), 0.005, weight_decay=0.05)
    for step in range(steps):
        rows = torch.arange(step * 64, step * 64 + 64) % 512
        loss = F.cross_entropy(net(images[rows] / 255), labels[rows])
        descent.zero_grad()
        loss.backward()
        descent.step()
    return net.eval().requires_grad_(False)


def classifier(channels: int, classes: int) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = learned(Net(channels, classes), channels, classes)
    return Classifier(net, name="gratings", classes=[f"c{i}" for i in range(classes)]).eval()


@pytest.fixture(scope="session")
def nets():
    return {(c, k): classifier(c, k) for c, k in ((3, 4), (1, 2))}


@pytest.fixture(scope="session")
def members(tmp_path_factory):
    """Further nets that know the same classes, by SPEC."""
    folder, specs = tmp_path_factory.mktemp("members"), {}
    for channels, classes in ((3, 4), (1, 2)):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            net = learned(SmallCNN(classes, channels), channels, classes, 40)
        file = folder / f"{channels}-{classes}.safetensors"
        save_file(net.state_dict(), file)
        specs[channels, classes] = f"weights:{file}?arch=small-cnn"
    return specs


@pytest.fixture
def made(nets, members):
    """A method with its large counts cut to 10, and the model that it goes with."""

    def make(method, channels=3, classes=4):
        model, values = nets[channels, classes], {}
        if method.name == "mcm":
            model = zero_shot(model.net, channels, classes)
        if method.name == "ensemble":
            values["members"] = members[channels, classes]
        if method.name == "dct":
            values["n_bits"] = 4  # what 12 x 20 pixels carry
        if method.name == "policy-heads":
            values["unsafe"] = ["c0"]
        for name, about in method.parameters().items():
            if about.get("type") == "integer" and about.get("default", 0) > 10:
                try:
                    method.cls(**values, **{name: 10})
                except ParameterError:
                    continue
                values[name] = 10
        return model, method.cls(**values)

    return make


def zero_shot(net: Net, channels: int, classes: int) -> Classifier:
    tower = Tower(net)
    images, labels = pictures(200, channels, classes, 5)
    f = tower.encode_image(images / 255)
    directions = torch.stack([f[labels == c].mean(0) for c in range(classes)])
    return Classifier(ZeroShot(tower, F.normalize(directions)), name="tower").eval().requires_grad_(False)


def fitted(model, detector, channels=3, classes=4, n=480, **options) -> DetectorSet:
    data = InMemory(*pictures(n, channels, classes, 7), classes=[f"c{i}" for i in range(classes)])
    return fit(model, data, [detector], **options).detector_set


def normal(n, channels=3, classes=4):
    return pictures(n, channels, classes, 11)[0] / 255


@every(OURS)
def test_a_higher_score_is_more_abnormal(method, made):
    """Also for the policy, whose abnormal images are those of the class that it forbids, and for marks."""
    model, detector = made(method)
    detector = method.cls(**{**detector.model_dump(), **TRAINED.get(method.name, {})})
    detector_set = fitted(model, detector)
    images, labels = pictures(120, 3, 4, 11)
    if method.name == "policy-heads":
        good, bad = images[labels > 0] / 255, images[labels == 0] / 255
    elif isinstance(detector, WatermarkDetector):
        good = images / 255
        bad = detector.mark(good, detector_set.detectors[method.name].bank)
    else:
        good, bad = images / 255, strange(120, 13)
    (scores,), (worse,) = detector_set.score(good).values(), detector_set.score(bad).values()
    assert scores.dtype == torch.float64
    assert bool(scores.isfinite().all())
    assert auroc(scores.numpy(), worse.numpy()).value > WEAK.get(method.name, 0.9)


@every(OURS)
def test_no_other_sample_changes_a_score(method, made):
    model, detector = made(method)
    detector_set = fitted(model, detector, n=240)
    batch = Batch(normal(7), None, tuple("abcdefg"))
    (whole,) = (s.score for s in detector_set.examine(batch).values())
    order = torch.tensor([4, 2, 6, 0, 1, 3, 5])
    (turned,) = (s.score for s in detector_set.examine(batch[order]).values())
    (pieces,) = (s.score for s in detector_set.examine(batch, limit=2).values())
    scale = float(detector_set.detectors[door_label(detector_set)].calibration.std().clamp(min=1e-6))
    assert float((turned - whole[order]).abs().max()) < 1e-3 * scale
    assert float((pieces - whole).abs().max()) < 1e-3 * scale


@every(OURS)
def test_one_channel_two_classes_and_images_that_are_not_square(method, made):
    model, detector = made(method, 1, 2)
    data = InMemory(*pictures(200, 1, 2, 7, 12, 20), classes=["c0", "c1"])
    detector_set = fit(model, data, [detector]).detector_set
    (scores,) = detector_set.score(pictures(5, 1, 2, 3, 12, 20)[0] / 255).values()
    assert scores.shape == (5,)
    assert bool(scores.isfinite().all())


@every(OURS)
def test_what_is_saved_scores_the_same(method, made, tmp_path):
    model, detector = made(method)
    detector_set = fitted(model, detector, n=240)
    detector_set.save(tmp_path)
    back = DetectorSet.load(tmp_path, model)
    assert back.detectors[door_label(detector_set)].method == detector
    (want,), (got,) = detector_set.score(normal(5)).values(), back.score(normal(5)).values()
    assert torch.allclose(got, want, rtol=1e-9, atol=1e-12)


@every(OURS)
def test_the_model_is_left_as_it_was_found(method, made):
    model, detector = made(method)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    try:
        fitted(model, detector, n=120).score(normal(3))
        assert all(m.training for m in model.modules())
    finally:
        model.eval()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@every(OURS)
def test_the_model_behind_it_can_be_attacked(method, made):
    model, detector = made(method)
    detector_set = fitted(model, detector, n=240)
    images = normal(4).requires_grad_(True)
    logits = guard(detector_set, door_label(detector_set))(images)
    assert logits.shape == (4, 5)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert bool(gradient.isfinite().all())


@every(OURS)
def test_passes_beyond_the_shared_one_are_counted(method, made):
    model, detector = made(method)
    (scored,) = fitted(model, detector, n=120).examine(normal(3)).values()
    spent = int(scored.forwards.min()) + int(scored.backwards.min())
    assert spent == 0 or isgeneratorfunction(type(detector).score)
    if method.name in {"odin", "mc-dropout", "ensemble", "feature-squeezing", "rigid"}:
        assert spent > 0


@every(OURS)
def test_data_without_labels_is_refused_where_labels_are_needed_and_enough_where_not(method, made):
    model, detector = made(method)
    data = InMemory(pictures(240, 3, 4, 7)[0])
    if detector.labelled:
        with pytest.raises(UnshakenError, match="needs the class of each image"):
            fit(model, data, [detector])
    else:
        detector_set = fit(model, data, [detector]).detector_set
        assert np.isfinite(detector_set.threshold(door_label(detector_set)).value)


@every([m for m in OURS if m.cls.fit is not Detector.fit and "features" in m.needs])
def test_a_constant_feature_space_is_refused_in_one_line(method, made):
    """Or scored: never an explosion, never a traceback."""
    _, detector = made(method)
    net = Net(3, 4).eval().requires_grad_(False)
    torch.nn.init.zeros_(net.last.weight)
    torch.nn.init.ones_(net.last.bias)
    model = Classifier(net, name="constant", classes=["c0", "c1", "c2", "c3"]).eval()
    try:
        (scores,) = fitted(model, detector, n=120).score(normal(3)).values()
    except UnshakenError as error:
        scores, message = torch.zeros(1), str(error)
    else:
        message = ""
    assert "\n" not in message
    assert bool(scores.isfinite().all())


@every(DETECTORS)
def test_every_parameter_says_what_it_is(method):
    assert method.reference
    assert method.summary.endswith(".")
    assert all(about.get("description") for about in method.parameters().values())


@every([m for m in OURS if m.name not in {"ensemble", "policy-heads"}])
def test_its_text_makes_it_again(method):
    text = ",".join(
        f"{k}={v}" for k, v in method.cls().model_dump(mode="json").items() if isinstance(v, int | float | str)
    )
    assert parse_method(f"{method.name}:{text}" if text else method.name, "detect") == method.cls()


def door_label(detector_set: DetectorSet) -> str:
    (label,) = detector_set.detectors
    return label
