"""Files of diffusion models, whole and broken."""

from __future__ import annotations

import json
import sys

import diffusers
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unshaken.core.errors import MissingExtra, ModelError
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM, EDMSettings
from unshaken.generate.saved import load, load_diffusers, save
from unshaken.generate.unet import UNet

from .conftest import TINY, LabelNet


@pytest.mark.parametrize(
    "model",
    [
        EDM(UNet(TINY, seed=3), EDMSettings(sigma_data=0.7)),
        DDPM(UNet(TINY.model_copy(update={"classes": 3})), DDPMSettings(timesteps=7, schedule="cosine")),
    ],
    ids=["edm", "ddpm"],
)
def test_there_and_back(model, tmp_path):
    save(model, tmp_path / "new" / "model.safetensors")
    found = load(tmp_path / "new" / "model.safetensors")
    assert type(found) is type(model)
    assert found.settings == model.settings
    assert found.net.settings == model.net.settings
    assert not found.training
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.denoise(images, 0.2), model.denoise(images, 0.2))
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "model.safetensors"]


@pytest.fixture
def parts(tmp_path):
    """Metadata and tensors of a good file, and a way to write another."""
    path = tmp_path / "model.safetensors"
    save(EDM(UNet(TINY)), path)
    with safe_open(path, "pt") as file:
        metadata, tensors = dict(file.metadata()), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118

    def write(changes=None, weights=None):
        save_file(weights or tensors, path, {**metadata, **(changes or {})})
        return path

    return write, tensors


def test_wrong_files(parts, tmp_path):
    write, _ = parts
    other = tmp_path / "other"
    with pytest.raises(ModelError, match="no weights file"):
        load(tmp_path / "absent")
    with pytest.raises(ModelError, match="it is a folder"):
        load(tmp_path)
    for data, words in (
        (b"", "is empty"),
        (b"<html>", "HTML page"),
        (b"\x80\x02pickle", "not a complete safetensors"),
        (write().read_bytes()[:500], "not a complete safetensors"),
    ):
        other.write_bytes(data)
        with pytest.raises(ModelError, match=words):
            load(other)
    save_file({"w": torch.zeros(1)}, other)
    with pytest.raises(ModelError, match="no diffusion model of this package"):
        load(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "unshaken-diffusion-9"}, "no diffusion model"),
        ({"kind": "gan"}, "no diffusion model"),
        ({"net": "{"}, "damaged"),
        ({"net": "[1]"}, "damaged"),
        ({"net": json.dumps({"width": -4})}, "damaged .*width"),
        ({"net": json.dumps({"wide": 4})}, "damaged .*no parameter 'wide'"),
        ({"settings": json.dumps({"sigma_data": 0})}, "damaged .*sigma_data"),
        ({"net": TINY.model_copy(update={"width": 16}).model_dump_json()}, "does not fit UNet: .* of another shape"),
    ],
)
def test_damaged_metadata(parts, changes, words):
    with pytest.raises(ModelError, match=words) as error:
        load(parts[0](changes))
    assert "\n" not in str(error.value)


def test_damaged_weights(parts):
    write, tensors = parts
    spoilt = {**tensors, "stem.bias": torch.full_like(tensors["stem.bias"], torch.nan)}
    with pytest.raises(ModelError, match="no numbers"):
        load(write(weights=spoilt))
    del spoilt["stem.bias"]
    with pytest.raises(ModelError, match=r"1 keys missing \(stem.bias\)"):
        load(write(weights=spoilt))


def test_only_own_networks_are_saved(tmp_path):
    with pytest.raises(ModelError, match="with a UNet of this package are saved, not LabelNet"):
        save(EDM(LabelNet()), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def peer(**options):
    made = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16), "norm_num_groups": 4,
        "layers_per_block": 1, "attention_head_dim": 4, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return diffusers.UNet2DModel(**{**made, **options}).eval()


def pipeline(folder, net=None, **chain):
    net, scheduler = net or peer(), diffusers.DDPMScheduler(**chain)
    net.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    return net, scheduler


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_one_step_against_the_scheduler_of_the_library(prediction, tmp_path):
    net, scheduler = pipeline(tmp_path, prediction_type=prediction, beta_schedule="squaredcos_cap_v2", clip_sample=True)
    model = load_diffusers(tmp_path)
    t = model.timestep(0.25)
    noisy = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    with torch.no_grad():
        x_t = scheduler.alphas_cumprod[t].sqrt() * (2 * noisy - 1)
        clean = scheduler.step(net(x_t, t).sample, t, x_t, generator=torch.Generator()).pred_original_sample
        assert torch.allclose(model.denoise(noisy, 0.25), (clean + 1) / 2, atol=1e-4)
    assert (model.image, model.classes, model.training) == ((1, 8, 8), 0, False)


def test_a_network_alone_has_the_usual_chain(tmp_path):
    peer().save_pretrained(tmp_path)
    model = load_diffusers(tmp_path)
    assert torch.allclose(model.alpha_bar.float(), diffusers.DDPMScheduler().alphas_cumprod)


def test_a_variance_after_the_noise_is_left_alone(tmp_path):
    net, _ = pipeline(tmp_path, peer(out_channels=2))
    model = load_diffusers(tmp_path)
    x = torch.ones(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(model.noise(x, torch.tensor([300])), net(x, 300).sample[:, :1], atol=1e-5)


def test_what_is_no_such_model(tmp_path):
    with pytest.raises(ModelError, match="download the model yourself and give its folder"):
        load_diffusers("google/ddpm-cifar10-32")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_diffusers(tmp_path)
    pipeline(tmp_path, peer(num_class_embeds=3))
    with pytest.raises(ModelError, match="only unconditional models denoise"):
        load_diffusers(tmp_path)
    pipeline(tmp_path, peer(sample_size=None))
    with pytest.raises(ModelError, match="does not say for what size"):
        load_diffusers(tmp_path)
    pipeline(tmp_path)
    config = tmp_path / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "score"}))
    with pytest.raises(ModelError, match="predicts 'score'"):
        load_diffusers(tmp_path)
    for file in (tmp_path / "unet").iterdir():
        file.write_text("<html>")
    with pytest.raises(ModelError, match="cannot be loaded") as error:
        load_diffusers(tmp_path)
    assert "\n" not in str(error.value)


def test_weights_in_a_pickle_are_refused(tmp_path):
    peer().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_diffusers(tmp_path)


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unshaken\[diffusers\]'"):
        load_diffusers(tmp_path)
