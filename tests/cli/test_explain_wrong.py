"""`unshaken explain` with models, data and files that are wrong: told in one line, or in the record's remarks."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from unshaken.api import explain
from unshaken.core.errors import UnshakenError

NETS = '''
import torch
from torch import nn

class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = conv()

    def forward(self, x):
        return self.net(x.detach()).detach()

class Overflow(nn.Module):
    """Its second layer's maps are NaN, its output is not."""

    def __init__(self):
        super().__init__()
        self.first, self.root, self.head = nn.Conv2d(3, 4, 3), Root(), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.root(self.first(x)).mean((2, 3)).nan_to_num())

class Root(nn.Module):
    def forward(self, x):
        return (x - 1e9).sqrt()

class Dark(nn.Module):
    """No finite output for dark images."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return torch.stack([mean, (mean - 0.5).sqrt()], 1)

def conv():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()

def not_numbers():
    net = conv()
    net[0].weight.data[0] = float("nan")
    return net

def detached():
    return Detached().eval()

class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x):
        with torch.no_grad():
            return self.head(self.norm(self.first(x)).mean((2, 3)))

def frozen():
    return Frozen().eval()

def overflow():
    return Overflow().eval()

def dark():
    return Dark().eval()
'''
DATA = "--data folder:photos?size=8 --out run"


@pytest.fixture
def nets(place):
    (place / "nets.py").write_text(NETS)
    return place


def check_refused(result, words):
    assert result.code == 2
    assert result.err.count("\n") == 1
    for word in words.split("|"):
        assert word in result.err


@pytest.mark.parametrize(
    ("asked", "net", "words"),
    [
        ("netdissect:images=2", "flat", "cannot take images of 3 x 32 x 32|?size="),
        ("milan:images=2", "flat", "cannot take images of 3 x 32 x 32|?size="),
        ("concept-level:images=2", "flat", "cannot take images of 3 x 32 x 32|?size="),
        ("gradient", "not_numbers", "its weights '0.weight' are not numbers|gradient"),
        ("cue-conflict", "not_numbers", "its weights '0.weight' are not numbers|cue-conflict"),
        ("netdissect:images=2", "not_numbers", "its weights '0.weight' are not numbers|netdissect"),
        ("filter-quality representation-dimension:k=2", "not_numbers", "'0.weight' are not numbers|representation"),
        ("gradient", "detached", "cuts gradients off|rise"),
        ("gradcam", "detached", "cuts gradients off|rise"),
        ("integrated-gradients", "frozen", "cuts gradients off|rise"),
        ("meaningful-perturbation:steps=2", "frozen", "cuts gradients off|rise"),
        ("smoothness:layers=first+root", "overflow", "activations of layer 'root' are infinite or NaN"),
        ("smoothness:layers=frist", "overflow", "no layer 'frist'; did you mean 'first'?"),
        ("smoothness:layers=zz", "overflow", "no layer 'zz'; known: first, head, root"),
        ("intrinsic-dimension:layer=zz,k=2", "conv", "has no layer 'zz'; known: 0, 1, 2, 3, 4"),
        ("label-sharpness:layer=zz", "conv", "has no layer 'zz'; known: 0, 1, 2, 3, 4"),
        ("gradient --metric road:steps=65", "conv", "steps=65: an image of 8 x 8 has 64 pixels"),
        ("rise:samples=2,cells=100000", "conv", "cells=100000|less than or equal to 1000"),
        ("distortions:distortions=blur-1e9", "conv", "blur-1e9|100 at most"),
        ("frequency-bias:radii=-1", "conv", "radii|greater than 0"),
        ("lime:sigma=1e9", "conv", "sigma|less than or equal to 100"),
        ("meaningful-perturbation:blur=1e9", "conv", "blur|less than or equal to 1"),
    ],
)
def test_what_a_model_cannot_do_is_told(unshaken, nets, asked, net, words):
    check_refused(unshaken(f"explain {asked} --model py:nets.py:{net} {DATA}"), words)


@pytest.mark.parametrize(
    ("asked", "net", "name", "remark"),
    [
        ("netdissect:images=2,layers=first+root", "overflow", "", "4 of 8 units are infinite or NaN"),
        ("distortions:distortions=grey", "dark", "", "gives no finite output for"),
        (
            "gradient --metric mask-share --boxes one.csv",
            "conv",
            "gradient",
            "mask-share has no value on 11 of 12 samples",
        ),
        ("gradient --metric mask-share --boxes all.csv", "conv", "gradient", ""),
    ],
)
def test_what_could_not_be_measured_is_a_remark(unshaken, nets, asked, net, name, remark):
    (nets / "one.csv").write_text("id,x,y,w,h\nlight/1.png,0.5,0.5,0.5,0.5\n")
    boxes = [f"{kind}/{n}.png,0.5,0.5,0.5,0.5" for kind in ("dark", "light") for n in range(6)]
    (nets / "all.csv").write_text("\n".join(["id,x,y,w,h", *boxes]))
    result = unshaken(f"explain {asked} --model py:nets.py:{net} {DATA}")
    assert (result.code, result.err) == (0, "")
    found = json.loads((nets / "run/explain.json").read_text())["found"]
    remarks = " ".join(found[name or asked.partition(":")[0]]["remarks"])
    assert remark in remarks if remark else not remarks
    assert remark in (nets / "run/report.md").read_text()


def test_the_features_of_a_layer_can_be_measured(unshaken, nets):
    result = unshaken(f"explain intrinsic-dimension:layer=0,k=2 label-sharpness:layer=0 --model py:nets.py:conv {DATA}")
    assert (result.code, result.err) == (0, "")
    record = json.loads((nets / "run/explain.json").read_text())
    assert record["settings"]["models"] == ["py:nets.py:conv"]
    assert record["found"]["label-sharpness"]["forwards"] == 12


def test_boxes_without_a_row_are_told(unshaken, nets):
    (nets / "none.csv").write_text("id,x,y,w,h\n")
    asked = f"explain gradient --metric mask-share --boxes none.csv --model py:nets.py:conv {DATA}"
    check_refused(unshaken(asked), "boxes|empty")


def test_a_directory_of_another_command_is_left_alone(unshaken, nets):
    assert (
        unshaken("audit --model py:nets.py:conv --data folder:photos?size=8 --plan fog.yaml --out run --quiet").code
        == 0
    )
    page = (nets / "run/report.html").read_bytes()
    check_refused(
        unshaken(f"explain gradient --model py:nets.py:conv {DATA}"), "--out 'run' holds other files, such as"
    )
    assert (nets / "run/report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"methods": 3}, "3 names no method"),
        ({"methods": "gradient", "metrics": 3}, "3 names no method"),
        ({"methods": "gradient", "boxes": 3}, "boxes=3 must be a path"),
        ({"methods": "gradient", "masks": 3}, "masks=3 must be a path"),
        ({"methods": "gradient", "model": 7}, "not of type int"),
        ({"methods": "gradient", "save_maps": -7}, "maps kept -7 must be from -1"),
    ],
)
def test_arguments_of_other_types_are_told(tmp_path, asked, words):
    with pytest.raises(UnshakenError, match=words):
        explain(**{"data": "demo", "limit": 2, "out": tmp_path / "run", **asked})


def test_a_full_memory_is_told(unshaken, nets, monkeypatch):
    def fail(*given, **options):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr("unshaken.api.explain", fail)
    check_refused(unshaken(f"explain gradient --model py:nets.py:conv {DATA}"), "memory ran out")


def test_hostile_names_stay_text_in_the_page(unshaken, nets):
    for n, name in enumerate(("<script>alert(1)<", "new\nline")):
        folder = nets / "hostile" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (n * 90,) * 3).save(folder / f"<img src=x onerror=alert({n})>.png")
    result = unshaken("explain gradient --model py:nets.py:conv --data folder:hostile?size=8 --out run")
    assert (result.code, result.err) == (0, "")
    page = (nets / "run/report.html").read_text()
    assert "<img src=x" not in page
    assert "<script>alert" not in page
