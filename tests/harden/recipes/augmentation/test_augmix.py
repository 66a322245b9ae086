"""AugMix: mixtures by hand, chains by Pillow, the loss by the card's numbers, and the recipe in the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation._operations import APART, OPERATIONS
from unshaken.harden.recipes.augmentation.augmix import AugMix, Mixture, augmix, jsd_loss
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip

NAMES = list(OPERATIONS)
QUICK = Training(epochs=1, batch_size=32, lr=0.01, held_out=20, check_images=20, select="last")


def pictures(n=6, channels=3, height=16, width=20):
    g = torch.Generator().manual_seed(n * channels)
    return torch.randint(0, 256, (n, channels, height, width), generator=g).float() / 255


def mixture(n, names, *, share, weights, level=3.0):
    """The same chains for every image; None for no operation."""
    which = torch.tensor([[-1 if k is None else NAMES.index(k) for k in chain] for chain in names])
    which = which.expand(n, -1, -1)
    same = torch.full(which.shape, level)
    return Mixture(torch.full((n,), share), torch.tensor(weights).expand(n, -1), which, same, torch.ones(which.shape))


def streams(n, seed=0):
    return SampleRng.of(seed, "harden", [str(i) for i in range(n)])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_share_of_nothing_is_the_image_itself(channels):
    images = torch.rand(4, channels, 16, 16, generator=torch.Generator().manual_seed(1))  # between the 256 levels
    drawn = AugMix(severity=10).draw(streams(4))._replace(share=torch.zeros(4))
    assert torch.equal(augmix(images, drawn), images)


def test_the_chains_are_pillows_and_the_mixture_is_the_sum():
    images = pictures(3)
    chains = [["posterize", "translate_x"], ["equalize", None], ["solarize", "autocontrast"]]
    found = augmix(images, mixture(3, chains, share=0.25, weights=[0.5, 0.3, 0.2]))
    for image, result in zip(images, found, strict=True):
        pixels = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
        first = ImageOps.posterize(pixels, 3).transform(pixels.size, Image.Transform.AFFINE, (1, 0, 2, 0, 1, 0))
        parts = [first, ImageOps.equalize(pixels), ImageOps.autocontrast(ImageOps.solarize(pixels, 180))]
        tensors = [torch.from_numpy(np.array(p)).permute(2, 0, 1) / 255 for p in parts]
        mixed = 0.5 * tensors[0] + 0.3 * tensors[1] + 0.2 * tensors[2]
        assert torch.allclose(result, 0.75 * image + 0.25 * mixed, atol=1e-6)


def test_the_divergence_and_the_loss_of_the_card(card, step_of, net):
    three = torch.stack([card.clean, card.adversarial, card.third])
    assert jsd_loss(three).item() == pytest.approx(0.093111, abs=1e-6)
    step = step_of(net(), torch.zeros(2, 1, 4, 4), card.labels, classes=3)
    recipe = AugMix()
    step.views, step.extra["augmix"] = [step.images + 0.1, step.images + 0.2], step.images
    asked = []

    def model(images):
        asked.append(images[:, 0, 0, 0].tolist())
        return three.flatten(0, 1)

    step.model = model
    assert recipe.loss(step).item() == pytest.approx(1.878904, abs=1e-5)
    assert asked == [pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2])]  # one pass, so that batch statistics are shared


def test_the_divergence_is_zero_for_one_opinion_and_log_v_for_sure_disagreement():
    same = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    assert jsd_loss(same).item() == pytest.approx(0, abs=1e-6)
    sure = 200 * torch.eye(3)[:, None, :]
    assert jsd_loss(sure).item() == pytest.approx(np.log(3), abs=1e-5)


def test_what_is_drawn_has_its_distribution():
    drawn = AugMix(severity=3).draw(streams(6000))
    assert torch.allclose(drawn.weights.sum(1), torch.ones(6000), atol=1e-6)
    assert drawn.weights.mean(0).sub(1 / 3).abs().max() < 0.01
    assert drawn.weights.var(0).sub(1 / 18).abs().max() < 0.004  # Dirichlet(1, 1, 1): a (A - a) / (A^2 (A + 1))
    assert abs(drawn.share.mean() - 0.5) < 0.02
    assert abs(drawn.share.var() - 1 / 12) < 0.005
    used = drawn.which >= 0
    lengths = used.sum(2).flatten()
    assert (torch.bincount(lengths)[1:] / len(lengths) - 1 / 3).abs().max() < 0.02
    assert used[..., 0].all()
    counts = torch.bincount(drawn.which[used], minlength=APART)
    assert len(counts) == APART
    assert (counts / counts.sum() - 1 / APART).abs().max() < 0.01
    assert (drawn.level.min() >= 0.1) & (drawn.level.max() <= 3)
    assert abs(drawn.level.mean() - 1.55) < 0.02
    assert abs(drawn.sign.mean()) < 0.02


def test_other_shares_operations_and_lengths():
    drawn = AugMix(alpha=4, all_ops=True, depth=2, width=2).draw(streams(6000))
    assert drawn.which.shape == (6000, 2, 2)
    assert drawn.which.unique().tolist() == list(range(13))
    assert abs(drawn.share.var() - 1 / 36) < 0.002  # Beta(4, 4): 16 / (64 * 9)
    assert abs(drawn.weights[:, 0].var() - 1 / 36) < 0.002
    few = AugMix(alpha=0.1).draw(streams(6000))
    assert torch.isfinite(few.weights).all()
    assert abs(few.share.var() - 0.01 / (0.04 * 1.2)) < 0.005


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("recipe", [AugMix(), AugMix(jsd=0, all_ops=True)], ids=["views", "one"])
def test_a_sample_gets_the_same_in_any_batch(recipe, channels, step_of, net):
    images = pictures(6, channels)

    def shown(rows, fold=0):
        step = step_of(net(channels=channels), images[rows], torch.zeros(len(rows), dtype=torch.int64))
        step.rng = streams(6)[torch.tensor(rows)].fold(fold)
        recipe.augment(step)
        return torch.stack(step.views or [step.images])

    whole = shown(list(range(6)))
    assert torch.equal(shown([4, 1]), whole[:, [4, 1]])
    assert torch.equal(shown([3]), whole[:, [3]])
    assert (whole >= 0).all()
    assert (whole <= 1).all()
    assert not torch.equal(shown(list(range(6)), fold=1), whole)
    if len(whole) == 2:
        assert (whole[0] != whole[1]).flatten(1).any(1).all()


def test_without_the_divergence_it_goes_with_other_losses(photos, net):
    with pytest.raises(ParameterError, match=r"both bring a loss"):
        Composition([AugMix(), AdversarialTraining()])
    images, labels = photos
    recipes = [CropFlip(pad=2), AugMix(jsd=0), AdversarialTraining(eps=0.1, steps=1)]
    assert fit(net(), images, labels, recipes, QUICK).progress.number == 5


def test_it_trains_and_repeats(photos):
    images, labels = photos

    def weights():
        model = fresh("small-cnn", images, classes=10, seed=0)
        done = fit(model, images, labels, [CropFlip(pad=2, mirror=0), AugMix()], QUICK)
        return done.progress, torch.cat([p.flatten() for p in done.last.net.parameters()])

    (progress, first), (_, second) = weights(), weights()
    assert torch.equal(first, second)
    assert progress.forwards >= 3 * 160


def test_images_changed_after_the_views_are_told(photos):
    images, labels = photos
    model = fresh("small-cnn", images, classes=10, seed=0)
    with pytest.raises(ParameterError, match="augmix: another recipe changed the images"):
        fit(model, images, labels, [AugMix(), CropFlip()], QUICK)


@pytest.mark.parametrize(
    "wrong", [{"severity": 0}, {"severity": 11}, {"width": 0}, {"depth": -1}, {"jsd": -1}, {"alpha": 0}], ids=str
)
def test_bad_parameters_are_told(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        AugMix(**wrong)
