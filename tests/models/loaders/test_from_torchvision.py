"""`torchvision:` against torchvision itself, its cache faked."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from unshaken.core.errors import ModelError
from unshaken.models import load_model

NAME, PUBLISHED = "squeezenet1_1", models.SqueezeNet1_1_Weights.IMAGENET1K_V1


@pytest.fixture
def peer():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return models.squeezenet1_1().eval()


@pytest.fixture
def cache(tmp_path, monkeypatch, peer):
    """torch.hub's folder with the peer's weights under the name that torchvision publishes."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(peer.state_dict(), folder / "w.pth")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(PUBLISHED.value, "url", f"https://example.org/squeezenet1_1-{digest}.pth")
    return (folder / "w.pth").rename(folder / f"squeezenet1_1-{digest}.pth")


@pytest.mark.parametrize("tail", ["", "@DEFAULT", "@IMAGENET1K_V1"])
def test_weights_and_preprocessing_from_the_cache(cache, peer, tail):
    classifier = load_model(f"torchvision:{NAME}{tail}")
    photo = torch.rand(1, 3, 300, 260, generator=torch.Generator().manual_seed(0))
    view = classifier.view
    assert (view.height, view.width, view.resize, view.interpolation, view.channels) == (224, 224, 256, "bilinear", 3)
    cut = photo[..., 38:262, 18:242]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert torch.allclose(classifier(cut), peer((cut - mean) / std), atol=1e-4)
    assert classifier.classes[0] == "tench"
    assert len(classifier.classes) == 1000
    assert classifier.name == f"torchvision:{NAME}@IMAGENET1K_V1"


def test_an_empty_cache_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"squeezenet1_1-b8a52dc0.pth: run again with --download"):
        load_model(f"torchvision:{NAME}")


def test_another_file_in_the_cache_is_noticed(cache):
    cache.write_bytes(cache.read_bytes() + b"x")
    with pytest.raises(ModelError, match="damaged or another file: its SHA-256 begins"):
        load_model(f"torchvision:{NAME}")


def test_a_web_page_in_the_cache_is_noticed(cache):
    cache.write_text("<!DOCTYPE html>")
    with pytest.raises(ModelError, match="is an HTML page"):
        load_model(f"torchvision:{NAME}")


@pytest.mark.parametrize("form", ["torchvision:{n}?weights={f}", "weights:{f}?arch=torchvision:{n}"])
def test_weights_of_a_file_with_other_classes(tmp_path, form, photos):
    peer = models.squeezenet1_1(num_classes=7).eval()
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    classifier = load_model(form.format(n=NAME, f=tmp_path / "w.safetensors") + "&mean=0.5&std=0.5")
    assert torch.allclose(classifier(photos), peer(photos * 2 - 1), atol=1e-5)


def test_no_weights(photos):
    classifier = load_model("torchvision:squeezenet1_1?weights=none")
    assert classifier(photos).shape == (2, 1000)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out(name):
    assert not load_model(f"torchvision:{name}?weights=none").net.aux_logits
