"""Settings that are no weights enter a fingerprint; what passes, modes and places change does not."""

import enum
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.processes import process
from unshaken.core.classifier import Classifier, View
from unshaken.harden.defences.input_transform import InputTransform
from unshaken.models import fingerprint, load_model, museum
from unshaken.models.loaders.settings import settings_of


class Shade(enum.Enum):
    DARK = object()


class Held(nn.Module):
    """A net that holds one value as an attribute."""

    def __init__(self, value, name="value"):
        super().__init__()
        setattr(self, name, value)

    def forward(self, images):
        return images.flatten(1)[:, :3]


def of(net):
    return fingerprint(Classifier(net))


def alike(make, *variants):
    """Fingerprints of nets with equal weights."""
    nets = [make(variant) for variant in variants]
    for net in nets:
        net.load_state_dict(nets[0].state_dict())
    return {of(net) for net in nets}


@pytest.mark.parametrize(
    ("make", "variants"),
    [
        (lambda s: nn.Conv2d(3, 4, 3, stride=s), (1, 2, (1, 2))),
        (lambda p: nn.Conv2d(3, 4, 3, padding=p), (0, 1, "same")),
        (lambda m: nn.Conv2d(3, 4, 3, padding=1, padding_mode=m), ("zeros", "reflect")),
        (lambda d: nn.Sequential(nn.Conv2d(3, 4, 3, dilation=d)), (1, 2)),
        (lambda e: nn.BatchNorm2d(4, eps=e), (1e-5, 1e-3)),
        (lambda h: nn.MultiheadAttention(8, h), (2, 4)),
        (lambda a: nn.GELU(approximate=a), ("none", "tanh")),
        (lambda c: nn.MaxPool2d(2, ceil_mode=c), (False, True)),
        (lambda a: nn.TransformerEncoderLayer(8, 2, 8, activation=a), (F.relu, F.gelu)),
        (Held, (1, 2, 0.5, "a", "b", True, (1, 2), (2, 1), [3])),
        (Held, ({"a": 1}, {"a": 2}, frozenset({"x"}), Shade.DARK, F.relu, Held)),
    ],
)
def test_other_settings_of_equal_weights_are_another_model(make, variants):
    assert len(alike(make, *variants)) == len(variants)


def test_a_private_setting_of_ones_own_module_counts():
    assert len(alike(lambda v: Held(v, "_scale"), 1.0, 2.0)) == 2


def test_a_private_setting_of_torch_or_of_a_model_library_does_not():
    conv, other = nn.Conv2d(1, 1, 1), Held(1, "_version_of_library")
    before = settings_of(conv)
    conv._version_of_library = 1
    assert settings_of(conv) == before
    Library = type("Net", (Held,), {"__module__": "timm.models.net"})
    mine = type("Net", (Library,), {"__module__": "mine"})
    assert settings_of(mine(1, "_plan")) == "" != settings_of(other)


@pytest.mark.parametrize("name", ["training", "name", "path", "device", "inplace", "view", "classes"])
def test_names_places_and_ways_to_compute_do_not_count(name):
    assert len(alike(lambda v: Held(v, name), False, True)) == 1


def test_neither_mode_nor_passes_nor_hooks_make_another_model(small, images):
    net = nn.Sequential(small, nn.Dropout(0.2)).eval()
    before = of(net)
    net(images)
    net.register_forward_hook(lambda *_: None)
    net.register_full_backward_hook(lambda *_: None)
    net.requires_grad_(False)
    assert of(net.train()) == before


class Counting(nn.Module):
    """A net that counts its passes, and keeps the size of the last images."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.passes, self.size = factor, 0, None

    def forward(self, images):
        self.passes += 1
        return self.factor * self.keep(images).flatten(1)[:, :3]

    def keep(self, images):
        self.size = tuple(images.shape[2:])
        return images


def test_what_a_pass_assigns_does_not_count(images):
    net = Counting(2.0)
    before = of(net)
    net(images)
    assert (net.passes, net.size) == (1, (28, 28))
    assert of(net) == before != of(Counting(3.0))


def test_what_is_off_is_as_if_absent():
    assert len(alike(Held, None, False, (), [], {})) == 1


@pytest.mark.parametrize(
    "value",
    [object(), torch.ones(2), [torch.ones(2)], {"a": object()}, "nets/net.pt", "cuda:0", repr(object())],
    ids=["object", "tensor", "tensors", "objects", "path", "device", "address"],
)
def test_objects_tensors_and_places_do_not_count(value):
    assert settings_of(Held(value)) == ""


def test_what_a_class_names_as_its_state_does_not_count():
    class Counting(Held):
        state_attributes = frozenset({"seen"})

    assert settings_of(Counting(3, "seen")) == ""
    assert settings_of(Counting(3)) == "(value=3)"


def test_no_text_holds_an_address():
    everything = nn.ModuleList(
        Held(value) for value in (lambda: 0, F.relu, torch.relu, Held, Shade.DARK, InputTransform(), View(2, 3), object)
    )
    texts = [settings_of(module) for module in everything]
    assert all(texts)
    assert not re.search("0x[0-9a-f]{4}", " ".join(texts))


def test_an_object_with_fields_counts_by_those_that_are_plain():
    assert settings_of(Held(View(2, 3), "seen")) != settings_of(Held(View(2, 4), "seen"))
    assert settings_of(Held(InputTransform(bits=3))) != settings_of(Held(InputTransform(bits=4)))


def test_a_defence_that_a_program_wraps_is_known_by_its_parameters_and_not_by_its_draws(images):
    model = load_model("demo")
    one, other = (InputTransform(kind="resize-pad", least=least).wrap(model) for least in (0.8, 0.9))
    before = fingerprint(one)
    assert before != fingerprint(other)
    one(images)
    one.reseed("another run")
    assert fingerprint(one) == before


def test_exhibits_of_the_museum_differ_by_their_parameters():
    assert fingerprint(museum.cold(factor=2.0)) != fingerprint(museum.cold(factor=3.0))


def _write(file):
    file.write_text(settings_of(Held(frozenset({"one", "two", "three", "four", "five"}))))


def test_a_set_is_described_in_the_same_order_in_another_process(tmp_path):
    _write(tmp_path / "here")
    with process(_write, tmp_path / "there") as child:
        child.join(100)
    assert (tmp_path / "there").read_text() == (tmp_path / "here").read_text()
