"""`timm:` against timm itself, the hub's cache faked."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import load_model

NAME = "test_resnet.r160_in1k"


@pytest.fixture
def peer():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model(NAME, pretrained=False).eval()


@pytest.fixture
def cache(tmp_path, monkeypatch, peer):
    """The Hugging Face hub's cache with the peer's weights in the repository of that name."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--timm--test_resnet.r160_in1k" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--timm--test_resnet.r160_in1k" / "refs").mkdir()
    (tmp_path / "models--timm--test_resnet.r160_in1k" / "refs" / "main").write_text("0123")
    save_file(peer.state_dict(), snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


def test_weights_and_preprocessing_from_the_cache(cache, peer, photos):
    classifier = load_model(f"timm:{NAME}")
    assert torch.allclose(classifier(photos), peer(photos * 2 - 1), atol=1e-4)
    view = classifier.view
    assert (view.height, view.resize, view.interpolation, view.channels) == (160, 168, "bilinear", 3)  # 160 / 0.95
    assert classifier.classes[999] == "toilet tissue"


def test_an_empty_cache_names_the_command(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"not in the local cache of 'timm/test_resnet.r160_in1k': run again with --down"
    ):
        load_model(f"timm:{NAME}")


def test_a_web_page_in_the_cache_is_noticed(cache):
    cache.write_text("<html>")
    with pytest.raises(ModelError, match="is an HTML page"):
        load_model(f"timm:{NAME}")


@pytest.mark.parametrize("form", ["timm:test_resnet?weights={}", "weights:{}?arch=timm:test_resnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_a_file_with_other_classes_and_channels(tmp_path, form, channels):
    peer = timm.create_model("test_resnet", pretrained=False, num_classes=4, in_chans=channels).eval()
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    classifier = load_model(form.format(tmp_path / "w.safetensors") + "&mean=0.25&std=0.5&size=32")
    images = torch.rand(2, channels, 32, 32)
    assert torch.allclose(classifier(images), peer(images * 2 - 0.5), atol=1e-5)
    assert classifier.view.channels == channels


def test_a_grey_network_needs_its_own_mean_and_std(tmp_path):
    save_file(timm.create_model("test_resnet", in_chans=1).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ParameterError, match="takes 1 channels, the published mean and std have 3: give both"):
        load_model(f"timm:test_resnet?weights={tmp_path}/w.safetensors")


def test_a_misfit_is_named(tmp_path):
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(
        ModelError, match=r"does not fit ResNet: \d+ keys missing \(.*\.\.\.\); 1 keys unknown \(conv.weight\)"
    ):
        load_model(f"timm:test_resnet?weights={tmp_path}/w.safetensors")


def test_a_model_without_published_weights_says_so():
    name = next(n for n in timm.list_models("resnet*") if not timm.is_model_pretrained(n))
    with pytest.raises(ModelError, match="timm publishes no weights"):
        load_model(f"timm:{name}")
