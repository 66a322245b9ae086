import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
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
