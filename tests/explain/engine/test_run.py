import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.explain.engine.run import attribute


def test_the_predicted_class_is_explained_by_default(conv, images):
    found = attribute(conv, images, "gradient")
    assert torch.equal(found.classes, conv(images).argmax(1))
    assert torch.equal(found.maps, attribute(conv, images, "gradient", classes=found.classes).maps)


def test_the_limit_bounds_a_pass(conv, images):
    largest = []
    handle = conv.register_forward_pre_hook(lambda module, inputs: largest.append(len(inputs[0])))
    attribute(conv, images, "smoothgrad:samples=12", limit=6)
    handle.remove()
    assert max(largest) <= 6


@pytest.mark.parametrize("name", ["gradcamm", "fog"])
def test_what_is_no_attribution_is_told(conv, images, name):
    with pytest.raises(ParameterError, match=name):
        attribute(conv, images, name)


@pytest.mark.parametrize(
    ("change", "ids", "words"),
    [
        (lambda x: x[0], None, "images must be float"),
        (lambda x: (x * 255).byte(), None, "images must be float"),
        (lambda x: x[:0], None, "there is no image to explain"),
        (lambda x: x, ["a"], "7 images came with 1 ids"),
    ],
)
def test_images_of_another_form_are_told(conv, images, change, ids, words):
    with pytest.raises(DataError, match=words):
        attribute(conv, change(images), "gradient", ids=ids)


def test_methods_of_many_passes_ask_a_copy_without_batch_norm():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-1, 1)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model, passes = Classifier(net.eval()), []
    handle = norm.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    images, classes = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
    found = attribute(model, images, "integrated-gradients:steps=10", classes=classes)
    assert sum(passes) == 5  # to know the classes, to compare the copy with the model, and whether it has gradients
    handle.remove()
    points = [(i + 0.5) / 10 * images for i in range(10)]
    slopes = [torch.autograd.grad(model(x.requires_grad_())[[0, 1], classes].sum(), x)[0] for x in points]
    assert torch.allclose(found.maps, (images * torch.stack(slopes).mean(0)).sum(1), atol=1e-5)


@pytest.mark.parametrize("method", ["gradient", "integrated-gradients:steps=3"])
def test_a_model_that_cuts_gradients_off_is_refused(method):
    """Of a connected model that is constant, in contrast, all gradients are 0 and so is the map."""

    class Cut(nn.Module):
        def __init__(self, *, connected):
            super().__init__()
            self.connected = connected

        def forward(self, x):
            return (
                torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], 1) * 0 if self.connected else x.detach().sum((2, 3))
            )

    images = torch.rand(1, 2, 3, 3)
    with pytest.raises(ModelError, match="cuts gradients off"):
        attribute(Classifier(Cut(connected=False)), images, method)
    assert not attribute(Classifier(Cut(connected=True)), images, method).maps.any()
