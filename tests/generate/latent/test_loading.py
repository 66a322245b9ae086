"""Generators by their names: files, the user's own code, and what each wrong one is told."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.generate import EDM, save
from unshaken.generate.class_gaussian import fit_class_gaussian
from unshaken.generate.latent.adapters import DiffusionCodes
from unshaken.generate.latent.latent_generator import LatentGenerator
from unshaken.generate.latent.loading import (
    Directions,
    UserGenerator,
    load_directions,
    load_edits,
    load_latent_generator,
    save_directions,
)
from unshaken.generate.latent.vae import VAE, VAESettings

GAN = """
import torch
from torch import nn
from unshaken.generate.latent.adapters import LinearGenerator


class Gan(nn.Module):
    latents = 3

    def __init__(self):
        super().__init__()
        self.map, self.draw = nn.Linear(3, 5), nn.Linear(5, 12)

    def features(self, codes):
        return self.map(codes)

    def decode(self, features):
        return self.draw(features).sigmoid().view(-1, 3, 2, 2)

    def forward(self, codes):
        return self.decode(self.features(codes))

    def first_weight(self):
        return self.map.weight


class Signed(Gan):
    def decode(self, features):
        return 2 * super().decode(features) - 1


class Lost(Gan):
    def decode(self, features):
        return super().decode(features) * torch.nan


class Flat(Gan):
    def decode(self, features):
        return self.draw(features)


class Nameless(Gan):
    latents = None


class Other(Gan):
    latents = 4


class Wide(Gan):
    def first_weight(self):
        return self.draw.weight


class Coded(Gan):
    def encode(self, images):
        return images.flatten(1)


def linear():
    return LinearGenerator(torch.ones(4, 2), torch.zeros(4), (1, 2, 2))
"""


@pytest.fixture
def gan(tmp_path):
    (tmp_path / "gan.py").write_text(GAN, encoding="utf-8")
    return f"py:{tmp_path / 'gan.py'}"


def test_a_module_of_the_users_is_a_generator_with_its_own_parts(gan):
    made = load_latent_generator(f"{gan}:Gan")
    assert isinstance(made, UserGenerator)
    assert (made.image, made.latents, made.name) == ((3, 2, 2), 3, f"{gan}:Gan")
    assert made.encode(torch.rand(2, 3, 2, 2)) is None
    assert made.first_weight().shape == (5, 3)
    codes = torch.randn(2, 3)
    assert made.features(codes).shape == (2, 5)
    assert torch.equal(made.generate(codes), made.net(codes))
    assert not any(p.requires_grad for p in made.parameters())


def test_a_latent_generator_stays_as_it_is(gan):
    made = load_latent_generator(f"{gan}:linear")
    assert isinstance(made, LatentGenerator)
    assert not isinstance(made, UserGenerator)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("Signed", r"makes pixels from -?0\.\d+ to -?0\.\d+, not within \[0, 1\]: map them there"),
        ("Lost", "gives NaN or infinite images for 2 of 2 images"),
        ("Flat", r"makes \(2, 12\) of two codes, not images"),
        ("Nameless", "needs an attribute latents, the length of a code, not None"),
        ("Other", "takes no codes of 4 numbers: "),  # and what torch says
    ],
)
def test_a_wrong_module_is_told_in_one_line(gan, factory, message):
    with pytest.raises(ModelError, match=message) as caught:
        load_latent_generator(f"{gan}:{factory}")
    assert "\n" not in str(caught.value)


def test_a_wrong_encoder_or_weight_is_told_where_it_is_used(gan):
    with pytest.raises(ModelError, match=r"first weight .* is \(12, 5\), not \(M, 3\)"):
        load_latent_generator(f"{gan}:Wide").first_weight()
    with pytest.raises(ModelError, match=r"encodes 2 images as \(2, 12\), not as \(2, 3\)"):
        load_latent_generator(f"{gan}:Coded").encode(torch.rand(2, 3, 2, 2))


def test_files_of_both_kinds_are_generators_and_others_are_told(vae, tiny, tmp_path):
    save(vae, tmp_path / "vae.st")
    save(EDM(tiny), tmp_path / "edm.st")
    save(fit_class_gaussian(torch.randint(0, 256, (6, 1, 8, 8)).byte()), tmp_path / "gaussian.st")
    assert isinstance(load_latent_generator(str(tmp_path / "vae.st")), VAE)
    ways = load_latent_generator(str(tmp_path / "edm.st"), steps=3)
    assert isinstance(ways, DiffusionCodes)
    assert len(ways.levels) == 3
    with pytest.raises(ModelError, match="is a class-gaussian, which has no code of an image: fit a vae"):
        load_latent_generator(str(tmp_path / "gaussian.st"))
    with pytest.raises(ModelError, match=r"absent.st"):
        load_latent_generator(str(tmp_path / "absent.st"))


@pytest.mark.parametrize("spec", ["", "py:", "diffusers:"])
def test_a_name_that_names_nothing_is_refused(spec):
    with pytest.raises(ParameterError, match=f"generator '{spec}': write a file of 'generate fit'"):
        load_latent_generator(spec)


@pytest.fixture
def found():
    kept = torch.tensor([True, False, True])
    return Directions(
        torch.eye(3), torch.tensor([3.0, 2, 1]), torch.tensor([1.0, 2, 3]), torch.rand(3), kept, torch.ones(3)
    )


def test_they_are_read_back_and_those_that_are_kept_make_edits(found, vae, tmp_path):
    save_directions(found, tmp_path / "d.st", {"amplitude": 1.5})
    again = load_directions(tmp_path / "d.st")
    for field in dataclasses.fields(Directions):
        assert torch.equal(getattr(again, field.name), getattr(found, field.name))
    edits = again.edits(vae)
    assert torch.equal(edits.directions, torch.eye(3)[[0, 2]])
    assert edits.scales.tolist() == [1, 3]
    assert edits.origin.tolist() == [1, 1, 1]


def test_directions_of_another_generator_or_with_none_kept_are_refused(found, vae):
    other = VAESettings(latents=4, width=4).build((1, 8, 8), 0)
    with pytest.raises(ModelError, match="of codes of 3 numbers, those of the generator vae have 4: find its own"):
        found.edits(other)
    none = dataclasses.replace(found, kept=torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ParameterError, match="no direction keeps the class: find others with a smaller amplitude"):
        none.edits(vae)


def test_damaged_files_are_told_in_one_line(found, vae, tmp_path):
    place = tmp_path / "d.st"
    with pytest.raises(ModelError, match="no weights file"):
        load_directions(place)
    save(vae, place)
    with pytest.raises(ModelError, match="holds no directions: write them by 'generate directions'"):
        load_directions(place)
    save_directions(dataclasses.replace(found, scales=torch.ones(2)), place, {})
    with pytest.raises(ModelError, match="its tensors do not fit each other"):
        load_directions(place)
    save_directions(dataclasses.replace(found, scales=torch.tensor([1.0, torch.nan, 1])), place, {})
    with pytest.raises(ModelError, match="values that are no finite numbers"):
        load_directions(place)
    save_file({"a": torch.ones(1)}, place)
    with pytest.raises(ModelError, match="holds no directions"):
        load_directions(place)


def test_edits_by_name(found, vae, tmp_path):
    images = torch.rand(5, 1, 8, 8)
    save(vae, tmp_path / "vae.st")
    save_directions(found, tmp_path / "d.st", {})
    names = str(tmp_path / "vae.st"), str(tmp_path / "d.st")
    assert load_edits(*names, images, 8).count == 2
    assert load_edits(names[0], "", images, 2).count == 2
    assert load_edits("", "", images, 3).generator.latents == 4  # five images differ in four ways
    with pytest.raises(ParameterError, match="name the generator whose code they are of"):
        load_edits("", names[1], images, 3)
    with pytest.raises(ModelError, match=r"is for images of 1x8x8 .*, not 3x8x8"):
        load_edits(*names, torch.rand(2, 3, 8, 8), 3)
    with pytest.raises(DataError, match="principal components of 1 images"):
        load_edits("", "", images[:1], 3)
