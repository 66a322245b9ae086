"""Concept sets: made here, and in a folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.explain.units.concepts import COLOURS, Concept, ConceptFolder, ConceptImages, made_concepts


def test_made_images_show_what_their_maps_say():
    found = made_concepts(12, 16)
    images, maps = found.dataset.images, found.label_maps([str(i) for i in range(12)], None)
    names = [c.name for c in found.concepts]
    assert {"red", "noise", "Bag"} < set(names)
    for image, one in zip(images, maps, strict=True):
        assert [int((m > 0).sum()) for m in one] == [64, 64, 64]
        assert int(((one > 0).sum(0) > 1).sum()) == 0  # the three patches lie apart
        number = int(one[0].max())
        pixels = image[:, one[0] > 0].float() / 255
        torch.testing.assert_close(
            pixels, torch.tensor(COLOURS[names[number - 1]])[:, None].expand_as(pixels), atol=0.003, rtol=0
        )


def test_made_images_depend_on_the_seed_alone():
    one, other, third = made_concepts(5, 16, seed=1), made_concepts(9, 16, seed=1), made_concepts(5, 16, seed=2)
    assert torch.equal(one.dataset.images, other.dataset.images[:5])
    assert not torch.equal(one.dataset.images, third.dataset.images)


def test_grey_images_have_grey_colours():
    found = made_concepts(4, 16, channels=1)
    assert found.dataset.images.shape == (4, 1, 16, 16)
    assert {c.name for c in found.concepts if c.category == "colour"} == {"black", "grey", "white"}


@pytest.fixture
def folder(tmp_path):
    """Two images of 8 x 4 pixels; one tells of colour and of scene, the other of colour alone."""
    (tmp_path / "concepts.csv").write_text("number,name,category\n1,red,colour\n2,sky,scene\n")
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / "images" / name)
    for category in ("colour", "scene"):
        (tmp_path / "masks" / category).mkdir(parents=True)
    numbers = np.zeros((4, 8), np.uint8)
    numbers[:, 4:] = 1
    for name in ("a.png", "b.png"):
        Image.fromarray(numbers).save(tmp_path / "masks" / "colour" / name)
    Image.fromarray((2 * numbers).astype(np.uint16)).save(tmp_path / "masks" / "scene" / "a.png")
    return tmp_path


def test_a_folder_is_read_as_its_layout_says(folder):
    found = ConceptFolder(folder)
    maps = found.label_maps(["a.png", "b.jpg"], None)
    assert maps.shape == (2, 2, 4, 8)
    assert maps[0, :, 0, 0].tolist() == [0, 0]
    assert maps[0, :, 0, 7].tolist() == [1, 2]
    assert maps[1, :, 0, 7].tolist() == [1, -1]


def test_maps_are_cut_as_the_images_are(folder):
    maps = ConceptFolder(folder).label_maps(["a.png"], View(2, 2))
    assert maps.shape == (1, 2, 2, 2)
    assert maps[0, 0].tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "concepts.csv").write_text("name\nred\n"), "must begin with the line number,name,category"),
        (lambda f: (f / "concepts.csv").write_text("number,name,category\n2,red,colour\n"), "expected 1"),
        (lambda f: (f / "masks" / "size").mkdir(), "'size' is no category of concepts.csv"),
        (lambda f: Image.new("RGB", (8, 4)).save(f / "images" / "b.png"), "'b.jpg' and 'b.png' would have one mask"),
        (lambda f: (f / "masks" / "colour" / "c.png").write_bytes(b""), "there is no image of this name"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_refused(folder, spoil, message):
    spoil(folder)
    with pytest.raises(DataError, match=message):
        ConceptFolder(folder)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 7), np.uint8), "has 7 x 4 pixels, its image 8 x 4"),
        (np.zeros((4, 8, 3), np.uint8), "is of mode RGB"),
        (np.full((4, 8), 9, np.uint8), "number 9 is no concept"),
        (np.full((4, 8), 2, np.uint8), "is of scene, in the map of colour"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(folder, pixels, message):
    Image.fromarray(pixels).save(folder / "masks" / "colour" / "a.png")
    with pytest.raises(DataError, match=message):
        ConceptFolder(folder).label_maps(["a.png"], None)


def test_an_image_without_any_mask_is_refused(folder):
    (folder / "masks" / "colour" / "b.png").unlink()
    with pytest.raises(DataError, match="has no mask in any category"):
        ConceptFolder(folder).label_maps(["b.jpg"], None)


def test_each_concept_is_where_the_map_of_its_category_has_its_number():
    """Concepts 1 and 3 are colours, 2 is an object; the second image says nothing of objects."""
    concepts = [Concept("red", "colour"), Concept("ball", "object"), Concept("blue", "colour")]
    maps = torch.tensor([[[[1, 3]], [[0, 2]]], [[[0, 1]], [[-1, -1]]]], dtype=torch.int16)
    found = ConceptImages(concepts, torch.zeros(2, 3, 1, 2, dtype=torch.uint8), maps)
    where, spoken = found.found(list(found.dataset.ids), None)
    assert where.flatten(2).tolist() == [
        [[True, False], [False, True], [False, True]], [[False, True], [False, False], [False, False]],
    ]  # fmt: skip
    assert spoken.tolist() == [[True, True], [True, False]]
