from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED
from unshaken.harden.engine import checks
from unshaken.harden.engine.checks import Check, catastrophic_overfitting, moved, robust_overfitting, selection_of
from unshaken.harden.engine.recipe import Threat
from unshaken.harden.engine.training import Training


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
    monkeypatch.setattr(checks, "PGD", lambda **given: made.append(given) or PGD(**given))
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
    assert made == [{"steps": 4, "rel_stepsize": 2.5 / 4}]
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
    assert checks._shares_right(logits, masks).tolist() == pytest.approx([2 / 3, 0, 3 / 4])
    assert checks._shares_right(torch.eye(2), torch.tensor([0, 0])).tolist() == [1, 0]


def curve(**columns):
    return [
        {"epoch": float(i), **dict(zip(columns, row, strict=True))}
        for i, row in enumerate(zip(*columns.values(), strict=True))
    ]


def test_fgsm_withstood_and_pgd_not_is_catastrophic():
    seen = curve(train_fgsm=[0.3, 0.4, 0.9], train_robust=[0.3, 0.38, 0.02])
    message = catastrophic_overfitting(seen)
    assert "epoch 3" in message
    assert "90.0% withstand FGSM but 2.0% PGD (best 38.0%)" in message
    assert catastrophic_overfitting(seen[:2]) is None


def test_a_fall_of_both_is_no_catastrophe():
    assert catastrophic_overfitting(curve(train_fgsm=[0.5, 0.1], train_robust=[0.45, 0.05])) is None
    assert catastrophic_overfitting([{"epoch": 0.0, "loss": 1.0}]) is None


def test_held_out_falls_while_training_rises():
    seen = curve(held_robust=[0.4, 0.5, 0.44, 0.42], train_robust=[0.4, 0.52, 0.7, 0.8], held_attacked=[2000.0] * 4)
    message = robust_overfitting(seen)
    assert "from 50.0% (epoch 2) to 42.0%" in message
    assert robust_overfitting(seen[:2]) is None


def test_a_fall_within_the_noise_of_few_images_is_none():
    seen = curve(held_robust=[0.4, 0.5, 0.44, 0.42], train_robust=[0.4, 0.52, 0.7, 0.8], held_attacked=[100.0] * 4)
    assert robust_overfitting(seen) is None


def test_a_fall_on_training_images_too_is_no_overfitting():
    seen = curve(held_robust=[0.5, 0.4, 0.4], train_robust=[0.6, 0.5, 0.5], held_attacked=[2000.0] * 3)
    assert robust_overfitting(seen) is None


@pytest.mark.parametrize(
    ("fgsm", "robust", "seen"),
    [
        (0.95, [0.8, 0.65], False),  # a fall of 15 points
        (0.95, [0.8, 0.55], True),
        (0.9, [0.3, 0.16], False),  # more than half of the best is left
        (0.9, [0.3, 0.14], True),
        (0.5, [0.8, 0.35], False),  # FGSM lies 15 points above alone
        (0.5, [0.8, 0.25], True),
        (0.9, [0.1], False),
    ],
)
def test_the_bounds_of_a_catastrophe(fgsm, robust, seen):
    curves = curve(train_fgsm=[fgsm] * len(robust), train_robust=robust)
    assert (catastrophic_overfitting(curves) is not None) == seen


@pytest.mark.parametrize(
    ("held", "n", "seen"),
    [
        ([0.5, 0.485, 0.485], 1e6, False),  # a fall of a point and a half
        ([0.5, 0.47, 0.47], 1e6, True),
        ([0.5, 0.45, 0.45], 700, False),  # twice the standard error is .053
        ([0.5, 0.45, 0.45], 1000, True),  # and here .0445
        ([0.5, 0.5, 0.4], 1000, True),  # the last two checks count: .45 of them
        ([0.5, 0.52, 0.4], 1000, True),
        ([0.5, 0.4], 1000, False),
    ],
)
def test_the_bounds_of_robust_overfitting(held, n, seen):
    rising = [0.5 + 0.1 * i for i in range(len(held))]
    curves = curve(held_robust=held, train_robust=rising, held_attacked=[float(n)] * len(held))
    assert (robust_overfitting(curves) is not None) == seen


@pytest.mark.parametrize(
    ("select", "threat", "chosen"),
    [
        ("auto", True, "robust"),
        ("auto", False, "clean"),
        ("clean", True, "clean"),
        ("last", True, "last"),
        ("robust", True, "robust"),
    ],
)
def test_auto_is_robust_where_a_recipe_has_a_threat(select, threat, chosen):
    training = Training(select=select)
    assert selection_of(training, None, threat=threat, labelled=True) == chosen
    assert selection_of(training, lambda model, held: 0.5, threat=threat, labelled=True) == "repair"


def test_without_labels_it_is_the_last():
    for select in ("auto", "last"):
        assert selection_of(Training(select=select), None, threat=True, labelled=False) == "last"
    for given in ({"select": "robust"}, {"select": "clean"}, {"max_clean_loss": 0.0}):
        with pytest.raises(ParameterError, match="needs accuracy on held-out images, and the data has no labels"):
            selection_of(Training(**given), None, threat=True, labelled=False)
    with pytest.raises(ParameterError, match="validation needs accuracy"):
        selection_of(Training(), lambda model, held: 0.5, threat=True, labelled=False)


def test_robust_needs_a_threat():
    with pytest.raises(ParameterError, match="select=robust needs a recipe with a threat"):
        selection_of(Training(select="robust"), None, threat=False, labelled=True)
