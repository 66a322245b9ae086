"""`weights:` with the small nets of this package."""

import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError, ParameterError
from unshaken.models import load_model
from unshaken.models.networks.small import SmallNet


@pytest.mark.parametrize(("classes", "channels", "side"), [(2, 1, 28), (3, 3, 32), (8, 3, 16)])
def test_classes_channels_and_side_follow_from_the_file(tmp_path, classes, channels, side):
    net = SmallNet(classes, channels, side).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    classifier = load_model(f"weights:{tmp_path}/w.safetensors?arch=small")
    images = torch.rand(2, channels, side, side)
    assert torch.equal(classifier(images), net(images))
    assert (classifier.input_size, classifier.view.channels) == ((side, side), channels)


@pytest.mark.parametrize(
    ("arch", "error", "message"),
    [
        ("smal", ParameterError, "no architecture 'smal'; did you mean 'small'?"),
        ("torchvision:resnt18", ParameterError, "torchvision has no classifier 'resnt18'; did you mean"),
        ("small", ModelError, "no key head.weight or body.0.0.weight"),
        ("torchvision:squeezenet1_1", ModelError, "does not fit SqueezeNet: .* keys missing .* 1 keys unknown"),
    ],
)
def test_a_wrong_architecture(tmp_path, arch, error, message):
    save_file({"x": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(error, match=message):
        load_model(f"weights:{tmp_path}/w.safetensors?arch={arch}")
