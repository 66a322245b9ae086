"""Labels that give a class for each pixel, through the one loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import unshaken
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.masks import IGNORED, cross_entropy
from unshaken.data.arrays import InMemory
from unshaken.data.resident import Samples
from unshaken.data.spec import Options
from unshaken.data.streaming import stream
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.noisy_labels.adele import ADELE
from unshaken.harden.recipes.weights.ema import EMA

QUICK = Training(epochs=3, batch_size=8, lr=0.05, held_out=8, select="last", optimizer="adam", check_images=4)


@pytest.fixture(scope="module")
def squares():
    """Images with a bright square of one of two brightnesses, and its mask; a column is not labelled."""
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (40, 1, 16, 16), generator=g)
    masks = torch.zeros(40, 16, 16, dtype=torch.uint8)
    for i in range(40):
        row, column = torch.randint(0, 9, (2,), generator=g).tolist()
        images[i, 0, row : row + 7, column : column + 7] += 80 + 90 * (i % 2)
        masks[i, row : row + 7, column : column + 7] = 1 + i % 2
    masks[:, :, 0] = IGNORED
    return images.to(torch.uint8), masks


def unet(images, classes=3):
    return fresh("unet", images, classes=classes, seed=0)


def test_masks_are_learned(squares):
    images, masks = squares
    done = fit(unet(images), images, masks, [EMA(decay=0.5)], QUICK.model_copy(update={"epochs": 12}))
    held = [c["held_accuracy"] for c in done.progress.curves]
    assert held[-1] > 0.97 > held[0]
    assert done.model(images[:2].float() / 255).shape == (2, 3, 16, 16)


def test_accuracy_is_the_mean_over_images_of_the_right_share_of_their_pixels(squares):
    images, masks = squares
    done = fit(unet(images), images, masks, [], QUICK)
    _, held = Samples.of(images, masks, 3).split(8, 0)
    right = done.last(images[held].float() / 255).argmax(1) == masks[held]
    share = right[:, :, 1:].double().flatten(1).mean(1).mean()
    assert done.progress.curves[-1]["held_accuracy"] == pytest.approx(share.item())


def test_ignored_pixels_count_for_nothing(squares):
    images, masks = squares
    other = images.clone()
    logits = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    wanted = masks[:4].long()
    by_hand = F.cross_entropy(logits[..., 1:].movedim(1, -1).reshape(-1, 3), wanted[:, :, 1:].reshape(-1))
    assert cross_entropy(logits, wanted).item() == pytest.approx(by_hand.item(), abs=1e-6)
    many = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    labels = torch.full((5,), IGNORED)
    assert cross_entropy(many, labels).item() == F.cross_entropy(many, labels).item()  # a class like any other
    assert torch.equal(other, images)


def test_a_share_of_pixels_is_not_told_as_a_number_of_images(squares, tmp_path):
    images, masks = squares
    data = InMemory(images, masks, classes=["none", "grey", "bright"])
    run = unshaken.harden(unet(images), data, [], out=tmp_path / "run", epochs=1, batch_size=8, held_out=8)
    assert run.summary["figures"] == {}


def test_a_recipe_and_a_network_for_the_other_kind_of_labels_are_refused(squares):
    images, masks = squares
    with pytest.raises(ParameterError, match="'mixup' learns from one class an image, and the data has masks"):
        fit(unet(images), images, masks, [Mixup()], QUICK)
    with pytest.raises(ParameterError, match="'adele' learns from masks, and the data has one class an image"):
        fit(unet(images), images, torch.arange(40) % 3, [ADELE()], QUICK)
    with pytest.raises(ModelError, match=r"the model gives one class \(logits \(8, 3\)\), the labels are masks"):
        fit(fresh("small-cnn", images, classes=3, seed=0), images, masks, [], QUICK)
    with pytest.raises(ModelError, match="the model gives a class for each pixel"):
        fit(unet(images), images, torch.arange(40) % 3, [], QUICK)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m[:, :8], r"or of shape \(40, 16, 16\) for masks, not torch.uint8 of shape \(40, 8, 16\)"),
        (lambda m: m.float(), "whole numbers"),
        (lambda m: torch.where(m == IGNORED, -1, m.int()), "hold the value -1"),
        (lambda m: torch.where(m == 2, 254, m), "hold the value 254"),
        (lambda m: torch.where(m == 2, 7, m), "masks hold the class 7, but there are 3 classes, from 0"),
        (lambda m: torch.where(m == 2, 1, m), "1 of 3 classes have no image"),
    ],
)
def test_bad_masks_are_one_line(squares, spoil, message):
    images, masks = squares
    with pytest.raises(DataError, match=message):
        fit(unet(images), images, spoil(masks), [], QUICK, classes=3)


def test_masks_of_images_that_are_decoded_on_the_way(squares):
    images, masks = squares
    data = InMemory(images, masks, classes=["none", "grey", "bright"], options=Options(spec="<scenes>", mode="RGB"))
    (batch,) = stream(data, batch_size=40)
    assert batch.images.shape == (40, 3, 16, 16)
    assert torch.equal(batch.labels, masks.long())
    samples = Samples(data, None, 3)
    assert samples.are_masks
    assert torch.equal(samples.whole(samples.good[:4]).labels, masks[:4].long())


def test_masks_need_a_model_of_masks(squares, tmp_path):
    data = InMemory(*squares, classes=["none", "grey", "bright"])
    with pytest.raises(DataError, match="is labelled with masks, which are not resized with its images"):
        unshaken.audit("demo:standard", data, out=tmp_path / "run")
    with pytest.raises(DataError, match="is labelled with masks: one class an image is needed here"):
        unshaken.audit(fresh("small-cnn", squares[0], classes=3, seed=0), data, out=tmp_path / "other")
    found = unshaken.audit(unet(squares[0]), data, [], out=tmp_path / "third")
    assert 0 <= found.summary["clean"]["value"] <= 1
    assert found.summary["conditions"] == []


def test_a_batch_takes_masks_of_the_size_of_its_images():
    images, ids = torch.zeros(2, 1, 4, 5), ("a", "b")
    batch = Batch(images, torch.zeros(2, 4, 5).long(), ids)
    assert batch[:1].labels.shape == (1, 4, 5)
    with pytest.raises(DataError, match=r"or of shape \(2, 4, 5\) for masks"):
        Batch(images, torch.zeros(2, 5, 4).long(), ids)
