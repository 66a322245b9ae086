"""The recipe of NaTra: its loss by hand, what makes it standard training, and the kinds of edit."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate import save
from unshaken.generate.latent.adapters import LinearGenerator, fit_linear_generator
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.natural_edits import edits_of
from unshaken.generate.latent.vae import VAESettings
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.natra_training import NaTraTraining, natra_loss

TRAINING = Training(epochs=2, batch_size=20, lr=0.02, held_out=8, check_images=8, check_steps=1)


@pytest.fixture(scope="module")
def small(photos):
    images, labels = photos
    return images[:48, :, ::4, ::4].contiguous(), labels[:48]


@pytest.fixture(scope="module")
def edits(small):
    shown = small[0].float() / 255
    return edits_of(fit_linear_generator(shown, 12), shown, 4)


def trained(small, *recipes):
    return fit(fresh("small-cnn", small[0], classes=10, seed=0), *small, recipes, TRAINING)


def test_the_loss_by_hand(card):
    p, q = card.clean.softmax(1), card.adversarial.softmax(1)
    ce = [-(x.log()[torch.arange(2), card.labels]).mean() for x in (p, q)]
    kl = (p * (p / q).log()).sum(1).mean()
    wanted = 0.7 * ce[0] + 0.3 * ce[1] + 2 * kl
    assert natra_loss(card.clean, card.adversarial, card.labels, 0.3, 2.0).item() == pytest.approx(wanted.item())
    one_hot = F.one_hot(card.labels, 3).float()
    assert natra_loss(card.clean, card.adversarial, one_hot, 0.3, 2.0).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("given", [{"amplitude": 0}, {"beta": 0}])
def test_without_amplitude_or_share_training_is_the_standard_one_to_the_bit(small, edits, given):
    plain, natra = trained(small), trained(small, NaTraTraining(**given).with_edits(edits))
    weights = natra.last.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in plain.last.state_dict().items())
    assert natra.progress.forwards == plain.progress.forwards


def found_by(recipe, small, edits, net, step_of):
    images = small[0][:20].float() / 255
    memory = {"natra-training": {}}
    step = step_of(net(), images, small[1][:20], memory=memory, rows=torch.arange(20))
    return step, recipe.with_edits(edits).inner(step)


def loss_of(step, images):
    return F.cross_entropy(step.inner.logits(images), step.labels, reduction="none")


def test_more_draws_are_never_less_harmful_and_all_are_more_than_none(small, edits, net, step_of):
    losses = []
    for draws in (1, 4, 12):
        step, found = found_by(NaTraTraining(draws=draws), small, edits, net, step_of)
        losses.append(loss_of(step, found))
    assert bool((losses[0] >= loss_of(step, step.images) - 1e-5).all())
    assert bool((losses[1] >= losses[0] - 1e-5).all() and (losses[2] >= losses[1] - 1e-5).all())
    assert float((losses[2] - losses[0]).mean()) > 0


def test_kinds_of_edit(small, edits, net, step_of):
    step, rebuilt = found_by(NaTraTraining(edit="rebuilt"), small, edits, net, step_of)
    codes = edits.encode(step.images)
    assert torch.equal(rebuilt, edits.rebuild(codes).clamp(0, 1))
    for kind in ("random", "mixed"):
        _, found = found_by(NaTraTraining(edit=kind, amplitude=0.5), small, edits, net, step_of)
        residual = edits.edit(step.images, codes, torch.zeros(20, 4))
        change = (found - residual).flatten(1)
        inside = (found > 0) & (found < 1)  # where nothing is cut
        wanted = (edits.rebuild(codes + edits.directions.sum(0)) - edits.rebuild(codes)).flatten(1)
        assert change.shape == wanted.shape
        assert bool(change.abs().flatten(1).amax(1).gt(0).any())
        amounts = torch.linalg.lstsq(edits.generator.weight @ edits.directions.T, change.T).solution.T / edits.scales
        whole = inside.flatten(1).all(1)
        assert bool((amounts[whole].abs() <= 0.5 + 1e-3).all())


class NoEncoder(LinearGenerator):
    def encode(self, images):
        return None


def test_without_an_encoder_each_training_image_is_inverted_once(small, edits):
    linear = edits.generator
    blind = NoEncoder(linear.weight, linear.mean, linear.image)
    made = edits_of(blind, small[0].float() / 255, 4, inversion=Inversion(steps=20))
    counts = []
    generate = blind.features
    blind.features = lambda codes: counts.append(len(codes)) or generate(codes)
    recipe = NaTraTraining(draws=1).with_edits(made)
    result = trained(small, recipe)
    assert math.isfinite(result.progress.curves[-1]["loss"])
    begun = 40 * (1 + 20 + 1) + 1  # all images at the start, in each step and at the end of it, and one for its form
    searched = 40 * 2 * 3  # two epochs: the image without an edit, and with the one that is asked about and kept
    assert sum(counts) == begun + searched


def test_offline_edits_are_those_of_the_first_epoch(small, edits, net, step_of):
    recipe = NaTraTraining(mode="offline").with_edits(edits)
    memory = {"natra-training": {"edited": torch.zeros(48, 1, 7, 7).byte(), "known": torch.zeros(48).bool()}}
    rows = torch.arange(20) + 5
    images = small[0][rows].float() / 255
    first = recipe.inner(step_of(net(), images, small[1][rows], memory=memory, rows=rows))
    again = recipe.inner(step_of(net(), images.flip(3), small[1][rows], memory=memory, rows=rows))
    assert float((again - first).abs().max()) <= 0.5 / 255 + 1e-6
    assert memory["natra-training"]["known"].nonzero().flatten().tolist() == rows.tolist()
    trained(small, recipe)


def test_offline_edits_stay_as_they_were_beside_images_that_are_new(small, edits, net, step_of):
    recipe = NaTraTraining(mode="offline").with_edits(edits)
    memory = {"natra-training": {"edited": torch.zeros(48, 1, 7, 7).byte(), "known": torch.zeros(48).bool()}}
    made = []
    for first, flipped in ((0, False), (10, True)):
        rows = torch.arange(20) + first
        images = small[0][rows].float() / 255
        images = images.flip(3) if flipped else images
        made.append(recipe.inner(step_of(net(), images, small[1][rows], memory=memory, rows=rows)))
    assert torch.equal(made[1][:10], made[0][10:])
    kept = memory["natra-training"]["edited"].float() / 255
    assert torch.equal(kept[:20], made[0])
    assert torch.equal(kept[20:30], made[1][10:])


def test_wrong_generators_and_data_of_one_class_are_told(small, tmp_path):
    place = tmp_path / "vae.st"
    save(VAESettings(latents=2, width=4).build((1, 8, 8), 0), place)
    with pytest.raises(ModelError, match=r"vae is for images of 1x8x8 .*, not 1x7x7"):
        trained(small, NaTraTraining(generator=str(place)))
    one = fresh("small-cnn", small[0], classes=1, seed=0)
    with pytest.raises(ParameterError, match="natra-training: the data has one class"):
        fit(one, small[0], torch.zeros(48, dtype=torch.int64), [NaTraTraining()], TRAINING, classes=1)
