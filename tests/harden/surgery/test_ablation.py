"""Units taken out by weights give the logits of units taken out by a hook, from Python and from the command line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.cli.app import main
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.explain.units.ablation import Unit, ablating
from unshaken.harden.surgery import surgery
from unshaken.models import load_model, save_model
from unshaken.models.networks.small import SmallCNN


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = SmallCNN(classes=4, channels=1, side=8)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return Classifier(net.eval(), name="small")


@pytest.fixture
def images():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


UNITS = {"body.1": [3, 7], "body.2.0": [0], "body.3.2": [11]}
"""A block's output, a convolution's, an activation's."""


def test_weights_do_what_a_hook_does(model, images):
    with torch.no_grad(), ablating(model, UNITS):
        wanted = model(images)
    base = model.net.state_dict()
    signature = surgery.ablation(model.net, UNITS)
    model.net.load_state_dict(signature.apply(base))
    with torch.no_grad():
        torch.testing.assert_close(model(images), wanted)
    assert set(signature.tensors) == {
        "body.1.1.weight",
        "body.1.1.bias",
        "body.2.0.weight",
        "body.3.1.weight",
        "body.3.1.bias",
    }
    assert int((signature.tensors["body.1.1.weight"] != 0).sum()) == 2


def test_a_file_is_written_applied_loaded_and_taken_off(model, images, tmp_path, capsys):
    save_model(model, tmp_path / "base", arch="small-cnn")
    base, patch, out = (str(tmp_path / name) for name in ("base", "patch.safetensors", "out.safetensors"))
    units = [str(Unit(layer, n)) for layer, numbers in UNITS.items() for n in numbers]
    assert main(["harden", "surgery", "ablate", base, *units, "--out", patch]) == 0
    assert "takes out 4 units" in capsys.readouterr().out
    assert main(["harden", "surgery", "add", base, patch, "--out", out]) == 0
    edited = load_model(f"weights:{out}?arch=small-cnn").eval()
    with torch.no_grad(), ablating(model, UNITS):
        torch.testing.assert_close(edited(images), model(images))
    surgery.subtract(out, patch, 1.0, tmp_path / "back.safetensors")
    back = load_model(f"weights:{tmp_path}/back.safetensors?arch=small-cnn").eval()
    with torch.no_grad():
        torch.testing.assert_close(back(images), model(images))


def test_what_no_weights_turn_off_is_refused(model):
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.add, self.last = nn.Conv2d(3, 3, 1), nn.Identity(), nn.Sequential(nn.Sigmoid())

    with pytest.raises(ModelError, match=r"made by 'add' \(Identity\)"):
        surgery.ablation(Sum(), {"add": [0]})
    with pytest.raises(ModelError, match=r"made by 'last.0' \(Sigmoid\)"):
        surgery.ablation(Sum(), {"last": [0]})
    with pytest.raises(ModelError, match=r"no layer 'body\.9'"):
        surgery.ablation(model.net, {"body.9": [0]})
    with pytest.raises(ModelError, match="units 0 to 39, not 40"):
        surgery.ablation(model.net, {"body.1": [40]})
    with pytest.raises(ParameterError, match="no unit is named"):
        surgery.ablation(model.net, {})


def test_a_text_that_is_no_unit_is_refused(model, tmp_path, capsys):
    save_model(model, tmp_path / "base", arch="small-cnn")
    assert main(["harden", "surgery", "ablate", str(tmp_path / "base"), "seven", "--out", str(tmp_path / "p")]) == 2
    assert "'seven' is no unit: write LAYER:UNIT" in capsys.readouterr().err
