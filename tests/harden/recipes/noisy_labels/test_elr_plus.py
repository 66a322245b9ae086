"""ELR+: two steps written out, its averaged weights, and its schedules."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.engine.ensemble import members_of
from unshaken.harden.recipes.augmentation.mixup import batch_generator
from unshaken.harden.recipes.noisy_labels.elr_plus import AVERAGE, TABLE, ELRPlus, average_decay

LR = 0.1


def test_the_decay_grows_as_published():
    assert average_decay(0, 40_000, 0.997) == pytest.approx(0.997 * math.exp(-5))
    assert average_decay(20_000, 40_000, 0.997) == pytest.approx(0.997 * math.exp(-5 * 0.25))
    assert average_decay(50_000, 40_000, 0.997) == 0.997
    assert [average_decay(k, 0, 0.9) for k in (0, 1, 3, 50)] == pytest.approx([0, 0.5, 0.75, 0.9])


def soft(labels, logits):
    return -(labels * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("reweigh", [False, True])
def test_two_steps_written_out(net, step_of, batch, begun, reweigh):
    """Targets of each network from the averaged other on unmixed images; images, labels and targets mixed alike."""
    images, labels = batch
    recipe = ELRPlus(strength=2.0, beta=0.6, alpha=1.0, decay=0.5, decay_ramp=0.0, reweigh=reweigh)
    model = recipe.rebuild(net(classes=3)).train()
    memory, rows = begun(recipe, model, images), torch.tensor([3, 1, 19, 0, 7, 5])
    plain = [copy.deepcopy(m) for m in members_of(model)]
    averages, table = [copy.deepcopy(m) for m in plain], torch.zeros(2, 6, 3)
    for number in range(2):
        step = step_of(model, images, labels, classes=3, memory={"elr-plus": memory}, rows=rows, number=number)
        model.zero_grad()
        loss = recipe.loss(step)
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= LR * p.grad
            predictions = [average(images).softmax(1) for average in averages]
        recipe.after_step(step)

        table = torch.stack([0.6 * table[i] + 0.4 * predictions[1 - i] for i in (0, 1)])
        assert torch.allclose(memory[TABLE][:, rows], table, atol=1e-6)
        total = 0.0
        for i, member in enumerate(plain):
            rng = batch_generator(step, f"elr-plus-{i}")
            share = rng.beta(1.0, 1.0)
            share, order = max(share, 1 - share), rng.permutation(6)
            x, y, q = (share * v + (1 - share) * v[order] for v in (images, F.one_hot(labels, 3).float(), table[i]))
            y = y * q / (y * q).sum(1, keepdim=True) if reweigh else y
            logits = member(x)
            own = soft(y, logits) + 2 * (1 - (q * logits.softmax(1)).sum(1)).log().mean()
            member.zero_grad()
            own.backward()
            total += own.item()
            with torch.no_grad():
                for p, kept in zip(member.parameters(), averages[i].parameters(), strict=True):
                    p -= LR * p.grad
                    stays = min(1 - 1 / (number + 2), 0.5)
                    kept.mul_(stays).add_(p, alpha=1 - stays)
        assert loss.item() == pytest.approx(total, abs=1e-5)
    for member, by_hand in zip(members_of(model), plain, strict=True):
        for p, wanted in zip(member.parameters(), by_hand.parameters(), strict=True):
            assert torch.allclose(p, wanted, atol=1e-5)
    statistics = averages[0].net[1].running_mean  # batch norms of an averaged copy run along in training mode
    assert torch.allclose(memory[f"{AVERAGE}members.0.net.1.running_mean"], statistics, atol=1e-6)


def test_without_strength_it_is_mixup_and_the_table_fills(net, step_of, batch, begun):
    images, labels = batch
    recipe = ELRPlus(strength=0)
    model = recipe.rebuild(net(classes=3)).train()
    memory = begun(recipe, model, images)
    step = step_of(model, images, labels, classes=3, memory={"elr-plus": memory}, rows=torch.arange(6))
    assert recipe.loss(step).item() > 0
    assert memory[TABLE][:, :6].sum(2).flatten().tolist() == pytest.approx([0.3] * 12, abs=1e-6)
    assert memory[TABLE][:, 6:].count_nonzero() == 0
