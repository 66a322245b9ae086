"""`robustbench:` against a small package of the same interface."""

from __future__ import annotations

import importlib.machinery
import pickle
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision import transforms

from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import load_model
from unshaken.models.loaders.kinds import photos_learned


class BenchmarkDataset(Enum):
    cifar_10 = "cifar10"
    cifar_100 = "cifar100"
    imagenet = "imagenet"


class ThreatModel(Enum):
    Linf = "Linf"
    L2 = "L2"
    corruptions = "corruptions"
    corruptions_3d = "corruptions_3d"


def tiny(classes=10):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))


ZOO = {
    BenchmarkDataset.cifar_10: {
        ThreatModel.Linf: {
            "Tiny2020Net": {"model": tiny, "gdrive_id": "1"},
            "Deck2021": {"model": tiny, "gdrive_id": ["1", "2"]},
        },
        ThreatModel.corruptions: {"Tiny2020Fog": {"model": tiny, "gdrive_id": "3"}},
    },
    BenchmarkDataset.imagenet: {
        ThreatModel.Linf: {
            "Big2022": {"model": lambda: tiny(1000), "gdrive_id": "4", "preprocessing": "cut"},
            "Raw2023": {"model": lambda: tiny(1000), "gdrive_id": "5", "preprocessing": "raw"},
            "Hub2024": {"model": lambda: tiny(1000), "gdrive_id": None, "preprocessing": "cut"},
        }
    },
}
PREPROCESSINGS = {
    "cut": transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]),
    "raw": transforms.Compose([transforms.CenterCrop(288), transforms.ToTensor()]),
}


def fetch(path, classes):
    """What the zoo publishes."""
    torch.manual_seed(len(path.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": tiny(classes).state_dict()}, path)
    sys.stdout.write("Downloading\n")


def zoo_load_model(model_name, model_dir="./models", dataset="cifar10", threat_model="Linf"):
    dataset, threat = BenchmarkDataset(dataset), ThreatModel(threat_model.replace("_3d", ""))
    record = ZOO[dataset][threat][model_name]
    net, path = record["model"](), Path(model_dir) / dataset.value / threat.value / f"{model_name}.pt"
    if not path.is_file():
        fetch(path, net[2].out_features)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=None)["state_dict"])
    return net.eval()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache of a machine on which robustbench is installed."""
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    get = lambda dataset, threat, name, given: PREPROCESSINGS[ZOO[dataset][threat][name]["preprocessing"]]  # noqa: E731
    enums = SimpleNamespace(BenchmarkDataset=BenchmarkDataset, ThreatModel=ThreatModel)
    parts = {
        "robustbench": {"__spec__": importlib.machinery.ModuleSpec("robustbench", None), "__path__": []},
        "robustbench.utils": {"load_model": zoo_load_model},
        "robustbench.data": {"get_preprocessing": get},
        "robustbench.model_zoo": {"model_dicts": ZOO, "__path__": []},
        "robustbench.model_zoo.enums": vars(enums),
    }
    for name, holds in parts.items():
        module = ModuleType(name)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    return tmp_path / "robustbench"


def test_the_zoo_loads_the_network_once_it_may_download(cache, capsys):
    spec = "robustbench:Tiny2020Net"
    with pytest.raises(ModelError, match=r"not at .*cifar10.Linf.Tiny2020Net.pt: run again with --download"):
        load_model(spec)
    classifier = load_model(spec, download=True)
    assert "Downloading" not in capsys.readouterr().out  # which is for a command's own JSON
    weights = torch.load(cache / "cifar10/Linf/Tiny2020Net.pt", weights_only=True)["state_dict"]
    own = tiny()
    own.load_state_dict(weights)
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(classifier(images), own(images))  # images in [0, 1] as they are
    assert torch.equal(load_model(spec)(images), own(images))  # from the cache, without leave
    assert classifier.name == "robustbench:Tiny2020Net?dataset=cifar10&threat=Linf"
    assert (classifier.view.height, classifier.view.channels) == (32, 3)


def test_photos_are_prepared_as_the_zoo_does(cache):
    classifier = load_model("robustbench:Big2022?dataset=imagenet", download=True)
    view = classifier.view
    assert (view.height, view.width, view.resize, view.interpolation) == (224, 224, 256, "bilinear")
    assert classifier.classes[999] == "toilet tissue"
    with pytest.raises(ModelError, match=r"by Compose\(.*CenterCrop.*give a size"):
        load_model("robustbench:Raw2023?dataset=imagenet", download=True)
    assert load_model("robustbench:Raw2023?dataset=imagenet&size=288", download=True).view.height == 288


def test_networks_for_3d_corruptions_are_those_for_corruptions(cache):
    load_model("robustbench:Tiny2020Fog?threat=corruptions_3d", download=True)
    assert (cache / "cifar10/corruptions/Tiny2020Fog.pt").is_file()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("Tiny2020Nets", ParameterError, "no model 'Tiny2020Nets' for cifar10, Linf; did you mean 'Tiny2020Net'"),
        ("Tiny2020Net?threat=L2", ParameterError, "no model 'Tiny2020Net' for cifar10, L2; 0 are known"),
        ("Tiny2020Net?threat=linf", ParameterError, "threat=linf; did you mean 'Linf'"),
        ("Tiny2020Net?dataset=cifar", ParameterError, "dataset=cifar; did you mean 'cifar10'"),
        ("Deck2021", ModelError, r"not at .*Deck2021.pt_m0.pt: run again with --download"),
        ("Hub2024?dataset=imagenet", ModelError, "are those of timm or torchvision: run again with --download"),
    ],
)
def test_what_it_does_not_have_is_named(cache, spec, error, message):
    with pytest.raises(error, match=message):
        load_model(f"robustbench:{spec}")


class Code:
    def __reduce__(self):
        return (print, ("this ran",))


def test_a_checkpoint_with_code_is_not_run(cache, capsys, monkeypatch):
    path = cache / "cifar10/Linf/Tiny2020Net.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Code()))
    with pytest.raises(ModelError, match="cannot be loaded by RobustBench"):
        load_model("robustbench:Tiny2020Net")
    torch.save({"state_dict": Code()}, path)
    with pytest.raises(ModelError, match="cannot be loaded by RobustBench"):
        load_model("robustbench:Tiny2020Net")
    path.write_text("<html>")
    with pytest.raises(ModelError, match="is an HTML page"):
        load_model("robustbench:Tiny2020Net")
    captured = capsys.readouterr()
    assert "this ran" not in captured.out + captured.err


def test_without_the_package_a_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "robustbench", None)
    with pytest.raises(ModelError, match="needs the package 'robustbench', which is absent: pip install robustbench"):
        load_model("robustbench:Tiny2020Net")


def test_what_the_weights_learned_from():
    assert photos_learned("robustbench:Big2022?dataset=imagenet") == "ImageNet"
    assert photos_learned("robustbench:Tiny2020Net") == "CIFAR-10"
