"""Directions as a file: read back, refused where they do not fit, and edits by name."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.generate import save
from unshaken.generate.latent.direction_file import Directions, load_directions, load_edits, save_directions
from unshaken.generate.latent.vae import VAESettings


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
