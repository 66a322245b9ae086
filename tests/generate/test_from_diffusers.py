"""Models of diffusers against diffusers itself."""

from __future__ import annotations

import json
import sys

import diffusers
import pytest
import torch

from unshaken.core.errors import MissingExtra, ModelError
from unshaken.generate.from_diffusers import load_diffusers


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
