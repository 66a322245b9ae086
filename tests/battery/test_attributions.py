"""The contract of every registered attribution: maps that depend on the image alone, whatever it is computed with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.core.registry import find_method, list_methods, parse_method
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.run import attribute
from unshaken.models.networks.small_vit import Block

NAMES = [m.name for m in list_methods("explain") if issubclass(m.cls, Attribution)]
FEW = {
    "rise": "samples=70",
    "smoothgrad": "samples=20",
    "integrated-gradients": "steps=18",
    "gradient-shap": "samples=20",
    "expected-gradients": "samples=20,pool=10",
    "lime": "samples=70",
    "meaningful-perturbation": "steps=5",
}


def named(name: str) -> str:
    """The method with few samples."""
    return f"{name}:{FEW[name]}" if name in FEW else name


class Transformer(nn.Module):
    """A small vision transformer with a class token, for any size of image."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.embed, self.token = nn.Conv2d(channels, 8, 2, 2), nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.Sequential(Block(8, 2, 2), nn.Dropout(0.5), Block(8, 2, 2))
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.blocks(torch.cat([self.token.expand(len(x), -1, -1), patches], 1))[:, 0])


def make_net(name: str, channels: int = 3, classes: int = 5) -> Classifier:
    """A small net of the kind that a method needs: attention, or batch norm, ReLUs and global pooling; with dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        if "attention" in find_method(name, "explain").needs:
            return Classifier(Transformer(channels, classes))
        net = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5),
            nn.Linear(8, classes),
        )  # fmt: skip
    return Classifier(net)


@pytest.fixture(scope="module")
def images():
    return torch.rand(9, 3, 18, 14, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", NAMES)
def test_a_map_does_not_depend_on_the_batch(name, images):
    net, method = make_net(name), parse_method(named(name), "explain")
    ids = [f"image {i}" for i in range(9)]
    whole = attribute(net, images, method, ids=ids)
    assert whole.maps.shape == (9, 18, 14)
    most = 1e-5 * whole.maps.abs().amax() + 1e-6  # float32 rounding of the map, and of the scores that it is made from
    order = torch.tensor([4, 0, 8, 2])
    some = attribute(net, images[order], method, ids=[ids[i] for i in order], limit=5)
    alone = attribute(net, images[3:4], method, ids=ids[3:4])
    assert (some.maps - whole.maps[order]).abs().max() <= most
    assert (alone.maps - whole.maps[3:4]).abs().max() <= most
    assert torch.equal(some.forwards, whole.forwards[order])
    assert torch.equal(alone.backwards, whole.backwards[3:4])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 8)])
def test_channels_and_classes(name, channels, classes):
    images = torch.rand(2, channels, 12, 16, generator=torch.Generator().manual_seed(5))
    found = attribute(make_net(name, channels, classes), images, named(name), classes=torch.tensor([0, classes - 1]))
    assert found.maps.dtype == torch.float32
    assert found.maps.shape == (2, 12, 16)
    assert found.maps.isfinite().all()
    assert found.classes.tolist() == [0, classes - 1]


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_it_was(name, images):
    net = make_net(name).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    attribute(net, images[:2], named(name))
    assert all(m.training for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_is_told(name, images):
    net = make_net(name)
    with pytest.raises(DataError, match="classes must be 9 whole numbers from 0 to 4"):
        attribute(net, images, named(name), classes=torch.full((9,), 5))
    with pytest.raises(DataError, match="classes must be"):
        attribute(net, images, named(name), classes=torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("name", [n for n in NAMES if "gradient" in parse_method(n, "explain").needs])
def test_a_black_box_is_told(name, images):
    net = make_net(name)
    net.differentiable = False
    with pytest.raises(ModelError, match="gives no gradients"):
        attribute(net, images, named(name))


@pytest.mark.parametrize("name", [n for n in NAMES if parse_method(n, "explain").needs])
def test_an_output_that_is_no_number_is_told(name, images):
    net = make_net(name)
    with torch.no_grad():
        [m for m in net.modules() if isinstance(m, nn.Conv2d)][-1].weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="gives no prediction for image 0"):
        attribute(net, images, named(name))
    with pytest.raises(DataError, match="the map of image '0' is not finite"):
        attribute(net, images, named(name), classes=torch.zeros(9, dtype=torch.int64))
