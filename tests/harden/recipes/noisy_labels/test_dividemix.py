"""DivideMix: the division of the samples, and a step of each phase written out."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.engine.ensemble import members_of
from unshaken.harden.engine.recipe import Epoch
from unshaken.harden.recipes.augmentation.crop_flip import random_crop_flip
from unshaken.harden.recipes.augmentation.mixup import batch_generator
from unshaken.harden.recipes.noisy_labels.dividemix import CLEAN, LOSSES, DivideMix
from unshaken.labels.engine.noise_detection import posterior_of_low


@pytest.fixture
def started(net, batch, begun):
    """A recipe, its model and its memory; views are the images themselves unless it is told otherwise."""

    def start(**options):
        recipe = DivideMix(**{"pad": 0, "mirror": 0, **options})
        model = recipe.rebuild(net(classes=3)).train()
        return recipe, model, begun(recipe, model, batch[0])

    return start


@pytest.mark.parametrize("penalty", [False, True])
def test_the_warm_up_is_cross_entropy_of_both(started, step_of, batch, penalty):
    images, labels = batch
    recipe, model, memory = started(confidence_penalty=penalty)
    logits = [m(images) for m in copy.deepcopy(members_of(model))]
    wanted = sum(F.cross_entropy(z, labels) for z in logits)
    if penalty:
        wanted = wanted + sum((z.softmax(1) * z.log_softmax(1)).sum(1).mean() for z in logits)
    found = recipe.loss(step_of(model, images, labels, classes=3, memory={"dividemix": memory}))
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_a_step_written_out(started, step_of, batch):
    """As in the official code: w of the other network, own predictions where it trusts, those of both elsewhere."""
    images, labels = batch
    recipe, model, memory = started(warmup=1, lambda_u=10.0, ramp=4.0, temperature=0.5, alpha=4.0, pad=1)
    memory[CLEAN][:, :6] = torch.tensor([[0.9, 0.2, 0.7, 0.4, 0.6, 0.1], [0.3, 0.8, 0.55, 0.05, 0.95, 0.45]])
    step = step_of(
        model, images, labels, classes=3, memory={"dividemix": memory}, rows=torch.arange(6), epoch=1, number=15
    )
    step.share = 0.75  # of two epochs: 1.5 are done, 0.5 after the warm-up
    views = [random_crop_flip(images, step.rng.fold("dividemix").fold(v), 1, 0) for v in range(2)]
    members = copy.deepcopy(members_of(model))
    with torch.no_grad():
        p = [torch.stack([m(view).softmax(1) for view in views]) for m in members]
    onehot, wanted = F.one_hot(labels, 3).float(), 0.0
    for i, member in enumerate(members):
        w = memory[CLEAN][1 - i, :6, None]
        refined = (w * onehot + (1 - w) * p[i].mean(0)) ** 2
        guessed = ((p[0][0] + p[0][1] + p[1][0] + p[1][1]) / 4) ** 2
        refined, guessed = (q / q.sum(1, keepdim=True) for q in (refined, guessed))
        rng = batch_generator(step, f"dividemix-{i}")
        share = rng.beta(4.0, 4.0)
        share, order = max(share, 1 - share), rng.permutation(12)
        targets = torch.where(w > 0.5, refined, guessed).repeat(2, 1)
        x, q = (share * v + (1 - share) * v[order] for v in (torch.cat(views), targets))
        logits, labelled = member(x), (w[:, 0] > 0.5).repeat(2)
        loss_x = -(logits.log_softmax(1) * q).sum(1)[labelled].mean()
        loss_u = ((logits.softmax(1) - q) ** 2)[~labelled].mean()
        mean = logits.softmax(1).mean(0)
        wanted = wanted + loss_x + 10 * 0.125 * loss_u + (1 / 3 * (1 / 3 / mean).log()).sum()
    found = recipe.loss(step)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    parameters = [list(m.parameters())[-1] for m in (members_of(model)[0], members[0])]
    (gradient,), (by_hand,) = torch.autograd.grad(found, parameters[0]), torch.autograd.grad(wanted, parameters[1])
    assert torch.allclose(gradient, by_hand, atol=1e-5)
    assert step.figures["trusted"] == pytest.approx(0.5)


def evaluated(model, images, labels, rows):
    def evaluate(read):
        with torch.no_grad():
            return rows, labels, read(images)

    return evaluate


def test_after_an_epoch_each_network_divides_by_its_own_losses(started, batch):
    images, labels = batch
    recipe, model, memory = started(warmup=2)
    rows = torch.tensor([4, 2, 9, 11, 0, 7])
    epoch = Epoch(model.eval(), 0, memory, {}, evaluated(model, images, labels, rows))
    recipe.after_epoch(epoch)
    assert memory[CLEAN].min() == 1  # one epoch of warm-up is left
    recipe.after_epoch(Epoch(model, 1, memory, {}, epoch.evaluate))
    for i, member in enumerate(members_of(model)):
        losses = F.cross_entropy(member(images), labels, reduction="none").detach().double().numpy()
        assert memory[CLEAN][i, rows].tolist() == pytest.approx(posterior_of_low(losses).tolist(), abs=1e-3)
    assert memory[LOSSES][0, :, rows].min(1).values.tolist() == [0, 0]
    assert memory[LOSSES][0, :, rows].max(1).values.tolist() == [1, 1]


def test_losses_are_averaged_over_the_last_epochs(started, batch):
    images, labels = batch
    recipe, model, memory = started(warmup=1, averaged=2)
    model.eval()
    kept = []
    for number in range(3):
        recipe.after_epoch(Epoch(model, number, memory, {}, evaluated(model, images, labels, torch.arange(6))))
        kept.append(memory[LOSSES][0, :, :6].clone())
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(-1.3)
    assert not torch.allclose(kept[1], kept[2])
    mean = ((kept[1] + kept[2]) / 2).double().numpy()
    wanted = [posterior_of_low(one).tolist() for one in mean]
    assert [one[:6].tolist() for one in memory[CLEAN]] == [pytest.approx(w, abs=1e-5) for w in wanted]
