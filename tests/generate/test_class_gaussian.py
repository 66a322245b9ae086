"""Gaussians of classes: exact moments, temperature, clusters, codes kept by variations, and what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.generate import load, load_generator, save
from unshaken.generate.class_gaussian import ClassGaussianSettings, fit_class_gaussian
from unshaken.measure import diversity

LABELS = torch.arange(2).repeat(60)


@pytest.fixture(scope="module")
def images():
    """120 images of 4 x 4 in two classes of different brightness; class 1 has a dark and a bright half."""
    draw = np.random.default_rng(0)
    pixels = draw.normal(0, 8, (120, 1, 4, 4)) + 90
    pixels[1::4] += 70
    return torch.from_numpy(pixels.clip(0, 255)).to(torch.uint8)


@pytest.fixture(scope="module")
def model(images):
    return fit_class_gaussian(images, LABELS, ClassGaussianSettings(components=16))


def test_samples_have_the_mean_and_the_covariance_of_their_class(model, images):
    made = model.sample(4000, labels=torch.zeros(4000, dtype=torch.int64), batch_size=2000)
    real = images[LABELS == 0].flatten(1).double() / 255
    assert torch.allclose(made.flatten(1).double().mean(0), real.mean(0), atol=0.003)
    assert torch.allclose(made.flatten(1).double().T.cov(), real.T.cov(), atol=1.5e-4)


def test_guidance_is_the_inverse_of_a_temperature(model):
    """Exact for the codes: the deviation of each pixel around the class's mean is scaled by 1 / w."""
    labels = torch.zeros(50, dtype=torch.int64)
    plain, cold = (model.sample(50, labels=labels, guidance=w, seed=1).flatten(1) for w in (1.0, 2.0))
    mean = (model.mean[0] + 1) / 2
    assert torch.allclose(cold - mean, (plain - mean) / 2, atol=1e-6)
    spread = [diversity(made.numpy(), labels.numpy()).mean for made in (plain, cold)]
    assert spread[1] == pytest.approx(spread[0] / 2, rel=1e-5)


def test_sample_i_is_the_same_to_the_byte_in_any_batch(model):
    labels = torch.arange(2).repeat(20)
    whole = model.sample(40, labels=labels, seed=5, batch_size=40)
    parts = model.sample(10, labels=labels[30:], seed=5, first=30, batch_size=3)
    assert torch.equal(whole[30:].mul(255).round(), parts.mul(255).round())
    assert not torch.equal(whole[:2], model.sample(2, labels=labels[:2], seed=6))


def test_clusters_find_the_two_halves_of_a_class(images):
    model = fit_class_gaussian(images, LABELS, ClassGaussianSettings(components=4, clusters=2))
    assert model.owner.tolist() == [0, 0, 1, 1]
    halves = model.mean[model.owner == 1].mean(1)
    assert float((halves[0] - halves[1]).abs()) == pytest.approx(70 / 127.5, rel=0.05)
    assert model.share[model.owner == 1].tolist() == pytest.approx([0.5, 0.5])


def test_a_variation_of_no_strength_is_the_projection_and_of_full_strength_a_sample(model, images):
    some, labels = images[:4].float() / 255, LABELS[:4]
    near = model.vary(some, 1e-6, labels=labels)
    assert torch.allclose(near, some, atol=1e-4)  # 16 components hold all of 16 pixels
    full = model.vary(some, 1.0, labels=labels, seed=2)
    assert torch.allclose(full, model.sample(4, labels=labels, seed=2), atol=1e-6)
    assert torch.allclose(model.vary(some, 1e-6), some, atol=1e-4)  # the nearest cluster of any class


def test_it_is_saved_and_read_back_and_is_no_diffusion_model(model, tmp_path):
    save(model, tmp_path / "g.safetensors")
    again = load_generator(tmp_path / "g.safetensors")
    assert (again.image, again.classes, again.settings) == (model.image, 2, model.settings)
    labels = torch.tensor([0, 1])
    assert torch.equal(again.sample(2, labels=labels), model.sample(2, labels=labels))
    with pytest.raises(ModelError, match="no diffusion model"):
        load(tmp_path / "g.safetensors")
    spoilt = fit_class_gaussian(torch.randint(0, 255, (9, 1, 2, 2)).to(torch.uint8))
    spoilt.share = torch.ones(3)
    save(spoilt, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match="its tensors do not fit each other"):
        load_generator(tmp_path / "bad.safetensors")


def test_without_labels_there_is_no_class(images):
    model = fit_class_gaussian(images)
    assert model.classes == 0
    assert model.sample(3).shape == (3, 1, 4, 4)
    with pytest.raises(ParameterError, match="trained without classes"):
        model.sample(1, labels=torch.tensor([0]))


def test_bad_input(model, images):
    with pytest.raises(DataError, match="must be uint8"):
        fit_class_gaussian(images.float())
    with pytest.raises(DataError, match="class 1 has 1 images: two or more are needed"):
        fit_class_gaussian(images[:3], torch.tensor([0, 0, 1]))
    with pytest.raises(ParameterError, match="leave steps out"):
        model.sample(1, steps=3)
    with pytest.raises(ParameterError, match="guidance=0 must be above 0"):
        model.sample(1, guidance=0)
    with pytest.raises(ParameterError, match="strength=0 must be in"):
        model.vary(images[:1].float() / 255, 0.0)
    with pytest.raises(ParameterError, match="no finite numbers"):
        model.vary(torch.full((1, 1, 4, 4), torch.nan), 0.5)
    with pytest.raises(ModelError, match="1x4x4"):
        model.vary(torch.zeros(1, 1, 5, 5), 0.5)


def test_draws_are_made_where_the_model_is():
    """A model has no parameters, and goes to another device all the same."""
    model = fit_class_gaussian(torch.arange(128, dtype=torch.uint8).view(2, 1, 8, 8), torch.zeros(2).long()).to("meta")
    model.check = lambda images, labels: None  # it reads the classes, which are not to be had there
    seen = []

    def draw(rng, chosen, rows):
        seen.extend([rng.keys.device.type, chosen.device.type])
        return torch.zeros(2, 1, 8, 8, device="meta")

    found = model._sampled(2, draw, seed=0, first=0, labels=torch.tensor([0, 0]), batch_size=4)
    assert (seen, found.device.type) == (["meta", "meta"], "meta")


@pytest.mark.parametrize("name", ["components", "clusters"])
def test_more_than_the_images_is_refused_where_it_was_asked_for(name):
    images = torch.zeros(6, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ParameterError, match=rf"^class-gaussian: {name}=7 is more than the 6 images: give fewer"):
        fit_class_gaussian(images, settings=ClassGaussianSettings(**{name: 7}))
    assert fit_class_gaussian(images).classes == 0  # the default takes fewer
