"""Objects and backgrounds whose colour is known, masks in a folder, and masks that do not fit."""

import pytest
import torch
from PIL import Image

from tests.explain.biases.conftest import one_hot
from unshaken.core.errors import DataError
from unshaken.explain.biases.background_reliance import BackgroundReliance, mixed, without_object

IDS = [f"pictures/{i:02}.jpg" for i in range(12)]


def scenes():
    """A square of grey `.2 + .1 c` on a ground of grey `.6 + .1 c`, c the class; and where the square is."""
    labels = torch.arange(12) % 3
    objects = torch.zeros(12, 1, 12, 12, dtype=torch.bool)
    objects[:, :, 3:9, 3:9] = True
    grey = torch.where(objects, 0.2, 0.6) + 0.1 * labels[:, None, None, None]
    return grey.expand(-1, 3, -1, -1).contiguous(), labels, objects


def by_object(x):
    return one_hot(((x[:, 0, 6, 6] - 0.2) / 0.1).round().clamp(0, 2).long())


def by_ground(x):
    return one_hot(((x[:, 0, 0, 0] - 0.6) / 0.1).round().clamp(0, 2).long())


def folder(tmp_path, objects, size=None):
    (tmp_path / "pictures").mkdir()
    for i, mask in zip(IDS, objects, strict=True):
        picture = Image.fromarray(mask[0].mul(255).byte().numpy())
        (picture.resize(size) if size else picture).save(tmp_path / i.replace(".jpg", ".png"))
    return str(tmp_path)


@pytest.mark.parametrize("with_masks", [True, False])
def test_a_net_that_reads_grounds_loses_on_other_ones(reads, subject, tmp_path, with_masks):
    images, labels, objects = scenes()
    masks = folder(tmp_path, objects) if with_masks else ""
    models = {"object": reads(by_object), "ground": reads(by_ground)}
    found = BackgroundReliance(masks=masks).find(subject(models, images, labels, ids=IDS))
    value = {name: figure.value for name, figure in found.figures.items()}
    assert [value[f"accuracy.{m}.mixed-same"] for m in models] == [1, 1]
    assert [value[f"accuracy.{m}.mixed-other"] for m in models] == [1, 0]
    assert [value[f"gap.{m}"] for m in models] == [0, 1]
    assert value["gap_difference.ground"] == 1
    assert [value[f"accuracy.{m}.original"] for m in models] == [1, 1]
    assert value["accuracy.ground.background-only"] == 1
    assert value["accuracy.object.background-only"] < 0.5
    assert value["accuracy.object.object-only"] == 1
    assert bool(found.remarks) != with_masks
    assert found.forwards == 2 * 5 * 12


def test_backgrounds_by_hand():
    images, _, objects = scenes()
    empty = without_object(images, objects)
    assert torch.allclose(empty, images[:, :, :1, :1].expand_as(images), atol=1e-6)
    swapped = mixed(images, objects, images.flip(0), objects)
    assert torch.equal(swapped[objects.expand_as(images)], images[objects.expand_as(images)])
    assert torch.equal(swapped[:, :, 0, 0], images.flip(0)[:, :, 0, 0])
    whole = torch.ones_like(objects)
    assert torch.allclose(without_object(images, whole), images.mean((2, 3), keepdim=True).expand_as(images), atol=1e-6)


def test_masks_that_do_not_fit_are_one_line(reads, subject, tmp_path):
    images, labels, objects = scenes()
    masks = folder(tmp_path, objects, size=(6, 6))
    with pytest.raises(DataError, match="12 x 12 pixels came with masks or partners of 6 x 6"):
        BackgroundReliance(masks=masks).find(subject({"m": reads(by_object)}, images, labels, ids=IDS))
    Image.new("L", (6, 6)).save(tmp_path / "pictures" / "04.jpg")
    with pytest.raises(DataError, match=r"'pictures/04\.jpg' and 'pictures/04\.png' differ in the extension alone"):
        BackgroundReliance(masks=masks).find(subject({"m": reads(by_object)}, images, labels, ids=IDS))
    (tmp_path / "pictures" / "04.jpg").unlink()
    (tmp_path / "pictures" / "04.png").unlink()
    with pytest.raises(DataError, match="1 of 12 images have none, such as 'pictures/04"):
        BackgroundReliance(masks=masks).find(subject({"m": reads(by_object)}, images, labels, ids=IDS))
