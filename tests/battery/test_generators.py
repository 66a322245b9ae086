"""What holds of every registered diffusion model."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.part import Condition
from unshaken.core.registry import list_methods
from unshaken.core.rng import SampleRng
from unshaken.generate import Fitting, UNet, UNetSettings, load, save
from unshaken.generate.fitting import fit
from unshaken.generate.generator import DiffusionSettings
from unshaken.generate.rows import generated_rows
from unshaken.store.tables import schema_of, table_of

METHODS = [m for m in list_methods("generate") if issubclass(m.cls, DiffusionSettings)]
SHAPES = [(1, 8, 8), (3, 8, 12)]


def every(test):
    """For each method, by name."""
    return pytest.mark.parametrize("method", METHODS, ids=[m.name for m in METHODS])(test)


def model_of(method, image=(1, 8, 8), classes=0):
    """A tiny model of a method."""
    return method.cls().build(UNet(UNetSettings(image=image, width=4, classes=classes))).eval()


def test_there_are_some():
    assert {"ddpm", "edm"} <= {m.name for m in METHODS}


@every
@pytest.mark.parametrize("image", SHAPES, ids=str)
def test_samples_are_images_that_hang_on_their_number_alone(method, image):
    model = model_of(method, image)
    five = model.sample(5, steps=3, seed=7, batch_size=5)
    assert five.shape == (5, *image)
    assert five.dtype == torch.float32
    assert 0 <= float(five.min()) <= float(five.max()) <= 1
    alone = model.sample(2, steps=3, seed=7, first=2, batch_size=1)
    assert torch.allclose(alone, five[2:4], atol=1e-4)
    assert not torch.allclose(model.sample(1, steps=3, seed=8), five[:1], atol=1e-2)


@every
def test_rows_are_whole_and_repeats_are_flagged(method):
    images = model_of(method).sample(3, steps=2)
    files, condition = ["a.png", "b.png", "c.png"], Condition(method.name, method.name)
    part = generated_rows(condition, images, torch.tensor([0, 1, 0]), files)
    table = table_of(part)
    assert table.schema.equals(schema_of("generated"))
    assert table["label"].to_pylist() == [0, 1, 0]
    assert table["file"].to_pylist() == files
    assert part.flags == ()
    spoilt = torch.stack([images[0], images[0], torch.full_like(images[0], 0.5)])
    flags = {f.name: f.ids for f in generated_rows(condition, spoilt, None, files).flags}
    assert flags == {"repeated-images": ("000001",), "flat-images": ("000002",)}


@every
def test_a_class_can_be_asked_for_and_left_out(method):
    model = model_of(method, classes=3)
    labels = torch.tensor([0, 2])
    assert model.sample(2, steps=2, labels=labels, guidance=2.0).shape == (2, 1, 8, 8)
    torch.testing.assert_close(
        model.sample(2, steps=2, labels=labels, guidance=0.0), model.sample(2, steps=2), atol=1e-4, rtol=0
    )


@every
def test_the_loss_is_of_each_image_alone_and_falls(method):
    model = model_of(method)
    x = torch.rand(4, 1, 8, 8) * 2 - 1
    rng = SampleRng.of(0, "loss", list("abcd"))
    together = model.loss(x, rng)
    assert together.shape == (4,)
    assert torch.allclose(model.loss(x[1:2], rng[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
    images = (torch.arange(64).view(1, 1, 8, 8) * torch.ones(16, 1, 1, 1)).to(torch.uint8)
    losses = fit(model, images, None, Fitting(steps=60, batch_size=16, warmup=5, lr=1e-2)).losses
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@every
def test_what_is_saved_is_read_back_and_denoises(method, tmp_path):
    model = model_of(method, (3, 8, 8))
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert type(again) is type(model)
    assert (again.kind, again.settings) == (method.name, method.cls())
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(again.denoise(images, 0.25), model.denoise(images, 0.25))


@every
def test_variations_keep_more_of_an_image_the_weaker_they_are(method):
    model = model_of(method, classes=3)
    images, labels = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    weak, strong = (model.vary(images, s, steps=6, seed=3, labels=labels) for s in (0.2, 1.0))
    assert (weak.shape, weak.dtype) == (images.shape, torch.float32)
    assert float((weak - images).abs().mean()) < float((strong - images).abs().mean())
    alone = model.vary(images[1:2], 1.0, steps=6, seed=3, first=1, labels=labels[1:2], batch_size=1)
    assert torch.allclose(alone, strong[1:2], atol=1e-4)
