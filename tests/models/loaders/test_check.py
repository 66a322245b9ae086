"""`check_model` names what is wrong with a model; `fingerprint` tells models apart."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from tests.processes import process
from unshaken.core import batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.models import check_model, fingerprint, load_model


class Gives(nn.Module):
    """A net that returns what a function makes of `[N, 3]` logits."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        return self.change(images.flatten(1)[:, :3])


def test_a_sound_model_passes_and_keeps_its_mode(small, images):
    small.train()
    counter = small.body[0][1].num_batches_tracked.item()
    check_model(Classifier(small), images)
    check_model(Classifier(small), images[:1])
    assert small.training
    assert small.body[0][1].num_batches_tracked.item() == counter
    assert all(p.requires_grad for p in small.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x, x), "it returns a tuple of 2: return the entry with the logits alone"),
        (lambda x: {"aux": x, "logits": x}, r"a dict with keys \['aux', 'logits'\]: return output\['logits'\]"),
        (lambda x: OrderedDict(out=x, aux=x), r"a OrderedDict with keys .*: return output\['out'\]"),
        (lambda x: {"loss": x[:, 0], "scores": x}, r"return output\['scores'\]"),
        (lambda x: x.argmax(1), r"it returns torch.int64: return logits, not labels"),
        (lambda x: x + 0j, "it returns torch.complex64"),
        (lambda x: x[:, :1], "1 logit per sample; the minimum is 2"),
        (lambda x: x[:, :, None], r"shape \(2, 3, 1\) for 2 images"),
        (lambda x: x[:1], r"shape \(1, 3\) for 2 images"),
        (lambda x: x.squeeze(), r"shape \(3,\) for 1 image$"),
        (lambda x: None, "it returns a NoneType"),
        (lambda x: x @ torch.ones(4, 4), r"fails on images of shape \(2, 1, 28, 28\): RuntimeError: "),
    ],
)
def test_output_that_is_no_logits(images, change, message):
    with pytest.raises(ModelError, match=message) as caught:
        check_model(Classifier(Gives(change)), images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"view": View(28, 28, channels=1)}, (2, 3, 28, 28), "takes 1 channels but the images have 3: .* mode=L"),
        ({"view": View(32, 32)}, (2, 3, 28, 28), "takes 32 x 32 pixels but the images have 28 x 28: .* size=32$"),
        ({"view": View(32, 24)}, (2, 3, 28, 28), "size=32x24$"),
        ({"mean": [0.5] * 3, "std": [1.0] * 3}, (2, 1, 28, 28), "takes 3 channels but the images have 1: .* mode=RGB"),
        ({"classes": ["a", "b"]}, (2, 1, 28, 28), "gives 3 logits, but 2 classes are named"),
        ({}, (0, 1, 28, 28), "cannot be checked without an image"),
    ],
)
def test_images_that_do_not_fit(options, shape, message):
    with pytest.raises(ModelError, match=message):
        check_model(Classifier(Gives(lambda x: x), **options), torch.zeros(shape))


def test_the_data_set_is_named(small, photos):
    with pytest.raises(ModelError) as caught:
        check_model(Classifier(small, name="grey"), photos, data="folder:photos?size=8")
    assert str(caught.value) == (
        "model 'grey' takes 1 channels but the images of data 'folder:photos?size=8' have 3: load them with mode=L, as "
        "in --data 'folder:photos?size=8&mode=L'"
    )
    with pytest.raises(ModelError, match=r"images of data '<a loader>' have 3: load them with mode=L$"):
        check_model(Classifier(small), photos, data="<a loader>")


def test_the_first_convolution_tells_the_channels(small, photos):
    with pytest.raises(ModelError, match="takes 1 channels but the images have 3"):
        check_model(Classifier(small), photos)


def _write_fingerprint(file):
    file.write_text(fingerprint(load_model("demo")))


def test_a_fingerprint_is_the_same_in_another_process(tmp_path):
    """That process descends from one that was started apart, with another seed of Python's hashes."""
    with process(_write_fingerprint, tmp_path / "other") as child:
        child.join(100)
    assert fingerprint(load_model("demo")) == (tmp_path / "other").read_text()


def test_a_fingerprint_sees_weights_normalisation_and_classes_of_modules(small):
    plain = fingerprint(Classifier(small))
    seen = {
        plain,
        fingerprint(Classifier(small, mean=[0.5], std=[0.5])),
        fingerprint(Classifier(small, mean=[0.4], std=[0.5])),
    }
    with torch.no_grad():
        small.head.bias[0] += 1e-3
    seen.add(fingerprint(Classifier(small)))
    small.body[0][2] = nn.GELU()
    seen.add(fingerprint(Classifier(small)))
    assert len(seen) == 5


def test_a_name_is_no_part_of_the_fingerprint_nor_is_the_mode(small):
    assert fingerprint(Classifier(small, name="a")) == fingerprint(Classifier(small.train(), name="b"))


def _one_image(x):
    if len(x) > 1:
        raise ValueError("batch of one only")
    return x


def test_a_model_of_one_image_is_told_the_way_and_then_accepted(images):
    with pytest.raises(ModelError, match="batch of one only; it takes one image alone: use --batch-size 1"):
        check_model(Classifier(Gives(_one_image)), images)
    check_model(Classifier(Gives(_one_image), one_by_one=True), images)
    with pytest.raises(ModelError, match=r"shapes cannot be multiplied .*\)$"):
        check_model(Classifier(Gives(lambda x: x @ torch.ones(4, 4))), images)


def test_of_very_large_images_one_alone_is_passed(images, monkeypatch):
    seen = []
    model = Classifier(Gives(lambda x: (seen.append(len(x)), x)[1]))
    check_model(model, images[:1])
    assert seen == [2, 1]
    monkeypatch.setattr(batch, "BATCH_NUMBERS", 2 * images[0].numel() - 1)
    check_model(model, images)
    assert seen == [2, 1, 1]
