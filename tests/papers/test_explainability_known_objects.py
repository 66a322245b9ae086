import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken_papers.explainability.known_objects import make_mosaics, paste_on_noise


@pytest.fixture
def flat():
    """Forty images, each of its own value; five classes of unequal size."""
    labels = torch.tensor([0] * 16 + [1] * 8 + [2] * 8 + [3] * 4 + [4] * 4)
    return (torch.arange(40) / 40).view(40, 1, 1, 1).expand(-1, 2, 3, 5).clone(), labels


def test_mosaics_have_four_classes_and_no_image_twice(flat):
    images, labels = flat
    found = make_mosaics(images, labels, 6)
    assert found.images.shape == (6, 2, 6, 10)
    used = []
    for i, (mosaic, box) in enumerate(zip(found.images, found.boxes, strict=True)):
        tiles = [mosaic[:, t : t + 3, s : s + 5] for t in (0, 3) for s in (0, 5)]
        numbers = [round(tile[0, 0, 0].item() * 40) for tile in tiles]
        assert all(torch.equal(tile, images[n]) for tile, n in zip(tiles, numbers, strict=True))
        assert len({labels[n].item() for n in numbers}) == 4
        left, top, right, bottom = (int(v) for v in box[0])
        assert torch.equal(mosaic[:, top:bottom, left:right], images[numbers[i % 4]])
        assert found.classes[i] == labels[numbers[i % 4]]
        used += numbers
    assert len(set(used)) == len(used) == 24


def test_mosaics_end_with_the_images(flat):
    images, labels = flat
    assert len(make_mosaics(images, labels, 99)) == 8  # after which only one class is left
    assert torch.equal(make_mosaics(images, labels, 2).images, make_mosaics(images, labels, 2).images)
    assert not torch.equal(make_mosaics(images, labels, 2, seed=1).images, make_mosaics(images, labels, 2).images)
    with pytest.raises(DataError, match="4 different classes; there are 3"):
        make_mosaics(images[:30], labels[:30], 3)


def test_a_pasted_image_is_where_its_box_says(flat):
    images, labels = flat
    found = paste_on_noise(images, labels, [str(i) for i in range(40)])
    assert found.images.shape == (40, 2, 6, 10)
    corners = set()
    for canvas, image, box in zip(found.images, images, found.boxes, strict=True):
        left, top, right, bottom = (int(v) for v in box[0])
        assert torch.equal(canvas[:, top:bottom, left:right], image)
        corners.add((left, top))
    assert len(corners) > 12
    alone = paste_on_noise(images[7:8], labels[7:8], ["7"])
    assert torch.equal(alone.images[0], found.images[7])
    with pytest.raises(ParameterError, match="give 2 or more"):
        paste_on_noise(images, labels, ["a"] * 40, times=1)
