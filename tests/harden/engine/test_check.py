"""What is measured after an epoch, on a model whose answers and margins are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier
from unshaken.core.masks import IGNORED
from unshaken.harden.engine import _check as check_file
from unshaken.harden.engine._check import Check, moved
from unshaken.harden.engine.recipe import Threat


class Brightness(nn.Module):
    """Class 1 where an image is brighter than one half, on average."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        z = self.scale * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-z, z], 1)


def batch(values, labels):
    images = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return Batch(images, torch.tensor(labels), tuple(str(i) for i in range(len(values))))


HELD = batch([0.1, 0.45, 0.7, 0.58, 0.3], [0, 0, 1, 0, 0])  # the fourth is wrong, the second within 0.1 of it
TRAINED = batch([0.52, 0.9, 0.2, 0.46], [1, 1, 0, 0])  # the first and the last are within 0.1 of being wrong


def checked(threat, attacked=4, steps=4):
    return Check(HELD, TRAINED, threat, attacked=attacked, steps=steps, seed=0)


def test_figures_by_hand(monkeypatch):
    made = []
    monkeypatch.setattr(check_file, "PGD", lambda **given: made.append(given) or PGD(**given))
    model = Classifier(Brightness()).train()
    found = checked(Threat("linf", 0.1))(model, model)
    with torch.no_grad():
        loss = float(F.cross_entropy(model(HELD.images), HELD.labels))
    assert found == {
        "held_loss": pytest.approx(loss, rel=1e-5),
        "held_accuracy": 0.8,
        "held_attacked": 4,
        "held_robust": 0.5,  # of the first four, the second and the fourth are wrong
        "train_fgsm": 0.5,
        "train_robust": 0.5,
    }
    assert made == [{"steps": 4, "step_size": 2.5 / 4}]
    assert model.training
    few = checked(Threat("linf", 0.1), attacked=99)(model, model)
    assert (few["held_attacked"], few["held_robust"]) == (5, 0.6)


def test_held_figures_are_of_the_kept_weights_and_those_of_training_of_the_live_ones():
    model = Classifier(Brightness())
    turned = moved(model, {"scale": torch.tensor(-10.0)})
    assert model.net.scale.item() == 10
    found = checked(Threat("linf", 0.1))(model, turned)
    assert found["held_accuracy"] == pytest.approx(0.2)
    assert (found["train_fgsm"], found["train_robust"]) == (0.5, 0.5)


def test_without_a_threat_nothing_is_attacked():
    model = Classifier(Brightness())
    assert checked(None)(model, model).keys() == {"held_loss", "held_accuracy"}


def test_of_masks_it_is_the_share_of_the_labelled_pixels():
    masks = torch.tensor([[[0, 1], [1, IGNORED]], [[IGNORED] * 2] * 2, [[1, 1], [1, 1]]])
    logits = F.one_hot(torch.tensor([[[0, 1], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 0]]]), 2).movedim(-1, 1).float()
    assert check_file._shares_right(logits, masks).tolist() == pytest.approx([2 / 3, 0, 3 / 4])
    assert check_file._shares_right(torch.eye(2), torch.tensor([0, 0])).tolist() == [1, 0]
