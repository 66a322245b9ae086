"""Two tones, the ground at the border, and Otsu's threshold against scikit-image's."""

import pytest
import torch

from unshaken.stress.cues.silhouette import otsu, silhouette


def disc(object_grey, ground_grey, side=24):
    """A disc of one grey with some grain, on a ground of another."""
    rows = torch.arange(side) - side / 2 + 0.5
    inside = (rows[:, None].square() + rows.square()).sqrt() < side / 3
    grain = 0.1 * torch.rand(side, side, generator=torch.Generator().manual_seed(0))
    return (torch.where(inside, object_grey, ground_grey) + grain)[None, None], inside


@pytest.mark.parametrize(("front", "back"), [(0.2, 0.8), (0.8, 0.2)])
def test_an_object_brighter_or_darker_than_its_ground_is_black_on_white(front, back):
    images, inside = disc(front, back)
    found = silhouette(images.expand(1, 3, -1, -1))
    assert torch.equal(found[0, 0] == 0, inside)
    assert found.unique().tolist() == [0, 1]
    assert torch.equal(silhouette(images, "white"), 1 - silhouette(images))


def test_an_image_of_one_grey_is_all_ground():
    assert float(silhouette(torch.full((2, 3, 9, 9), 0.4)).min()) == 1


def test_the_threshold_is_scikit_image_s():
    filters = pytest.importorskip("skimage.filters")
    grey = torch.randint(0, 256, (6, 1, 20, 17), generator=torch.Generator().manual_seed(1))
    grey[3:] = grey[3:] ** 2 // 255
    theirs = [int(filters.threshold_otsu(one.numpy())) for one in grey.byte()]
    assert otsu(grey).tolist() == theirs
