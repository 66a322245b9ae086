"""The published format of annotated units: what is written is read again, and each thing that is wrong is named."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import unshaken
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.explain.units.published import annotated_units, read_published


@pytest.fixture
def folder(tmp_path):
    """Two layers of units whose exemplars are of one shade, with captions that tell it."""
    place = tmp_path / "units"
    rows = [("layer", "unit", "summary")]
    for layer, first in (("conv", 0), ("3", 4)):
        (place / layer).mkdir(parents=True)
        shades = np.linspace(10, 250, 4).astype(np.uint8)
        images = np.broadcast_to(shades[:, None, None, None, None], (4, 2, 3, 8, 8)).copy()
        masks = np.zeros((4, 2, 1, 8, 8), np.uint8)
        masks[:, :, :, :4] = 1
        masks[3, 1] = 0  # filled up
        np.save(place / layer / "images.npy", images)
        np.save(place / layer / "masks.npy", masks)
        if first:
            np.save(place / layer / "units.npy", np.arange(first, first + 4))
        rows += [(layer, first + i, text) for i, text in enumerate(("black", "dark grey", "light grey", "white"))]
    with (place / "annotations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return place


def test_layers_are_read_with_their_own_numbers_and_empty_masks_left_out(folder):
    layers = {layer.name: layer for layer in read_published(folder)}
    assert {name: layer.units.tolist() for name, layer in layers.items()} == {"3": [4, 5, 6, 7], "conv": [0, 1, 2, 3]}
    images, masks = layers["conv"].exemplars(3)
    assert (images.shape, masks.shape, masks.dtype) == ((1, 3, 8, 8), (1, 8, 8), torch.bool)
    assert (images.unique().item(), int(masks.sum())) == (pytest.approx(250 / 255), 32)
    assert layers["conv"].exemplars(0, View(8, 8, channels=1))[0].shape == (2, 1, 8, 8)
    found = [(layer.name, place, texts) for layer, place, texts in annotated_units(folder, list(layers.values()))]
    assert found[:2] == [("3", 0, ["black"]), ("3", 1, ["dark grey"])]
    assert len(found) == 8


def test_a_model_is_written_and_its_folder_described_and_cut(folder, tmp_path):
    shades = torch.arange(0, 240, 8, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28).contiguous()
    data = InMemory(shades, torch.arange(30) % 3)
    written = f"milan:layers=body.3,images=20,k=3,write={tmp_path / 'own'}"
    run = unshaken.explain("demo:standard", data, written, out=tmp_path / "a").run
    (layer,) = read_published(tmp_path / "own")
    rows = run.rows("units").to_pylist()
    assert (layer.name, layer.units.tolist()) == ("body.3", [row["unit"] for row in rows])
    with (tmp_path / "own/annotations.csv").open() as file:
        kept = {int(row["unit"]): row["summary"] for row in csv.DictReader(file)}
    assert kept == {row["unit"]: row["description"] for row in rows if row["description"]}
    unit = next(iter(kept))
    images, masks = layer.exemplars(unit)
    assert images.shape[1:] == (3, 28, 28)
    assert bool(masks.flatten(1).any(1).all())

    described = f"milan:exemplars={folder},describer=captioner,captioner={folder},epochs=2,beam=2,length=3"
    result = unshaken.explain("demo:standard", None, described, out=tmp_path / "b")
    (found,) = result.summary.found.values()
    assert len(found.extra["annotations"]) == 8
    assert found.remarks[-1] == f"BLEU against the captions of 8 units: {found.extra['bleu']:.3f}."
    assert {row["layer"] for row in result.run.rows("units").to_pylist()} == {"3", "conv"}
    assert "by people" in (tmp_path / "b/report.md").read_text()

    cut = f"unit-edit:annotations={tmp_path / 'own/annotations.csv'},words={kept[unit]},draws=1"
    result = unshaken.explain("demo:standard", data, cut, out=tmp_path / "c")
    assert unit in {row["unit"] for row in result.run.rows("units").to_pylist()}


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("images.npy", np.zeros((4, 2, 1, 8, 8), np.uint8), r"images.npy must be uint8 \[U, k, 3, H, W\]"),
        ("images.npy", np.zeros((4, 2, 3, 8, 8), np.float32), "images.npy must be uint8"),
        ("masks.npy", np.zeros((4, 2, 1, 4, 4), np.uint8), r"masks.npy must be numbers \[4, 2, 1, 8, 8\]"),
        ("units.npy", np.arange(3), "units.npy must be 4 whole numbers"),
        ("units.npy", np.arange(4) - 1, "units.npy must be 4 whole numbers"),
        ("masks.npy", np.array([{}]), "masks.npy cannot be read .*give an array that numpy.save wrote"),
    ],
)
def test_a_damaged_array_is_named(folder, file, array, message):
    np.save(folder / "conv" / file, array, allow_pickle=True)
    with pytest.raises(DataError, match=message) as found:
        read_published(folder)
    assert "\n" not in str(found.value)


def test_an_absent_folder_or_layer_is_named(folder, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_published(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no folder in it holds images\.npy"):
        read_published(tmp_path / "empty")
    (folder / "conv/masks.npy").unlink()
    with pytest.raises(DataError, match=r"masks\.npy cannot be read"):
        read_published(folder)


def test_captions_of_other_units_are_refused(folder):
    (folder / "annotations.csv").write_text("layer,unit,summary\nfc,9,red\n")
    with pytest.raises(DataError, match="none of its units is in the folder, such as unit 9 of 'fc'"):
        list(annotated_units(folder, read_published(folder)))


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("milan:exemplars={}", ParameterError, "needs describer=captioner or describer=retrieval"),
        ("milan:exemplars={},describer=captioner", ParameterError, "needs captioner="),
        ("milan:exemplars={},describer=retrieval", ParameterError, "needs scorer="),
        ("milan:exemplars={},describer=captioner,ablate=3", ParameterError, "leave ablate and write out"),
        ("milan:write={}", DataError, "is there already: name a new folder"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(folder, tmp_path, line, error, message):
    with pytest.raises(error, match=message):
        unshaken.explain("demo:standard", None, line.format(folder), out=tmp_path / "run")


def test_an_edit_takes_its_words_from_one_place(folder, tmp_path):
    for place, given in enumerate(("", f"run={folder},annotations={folder}/annotations.csv,")):
        line = f"unit-edit:{given}words=a"
        with pytest.raises(ParameterError, match="give the descriptions as run="):
            unshaken.explain("demo:standard", "demo", line, limit=9, out=tmp_path / str(place))
