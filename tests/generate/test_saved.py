"""Files of diffusion models, whole and broken."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unshaken.core.errors import ModelError
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM, EDMSettings
from unshaken.generate.saved import load, save
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
