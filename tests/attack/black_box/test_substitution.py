"""A linear model's boundary is learned from its answers alone, and its examples transfer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.black_box import substitution
from unshaken.attack.black_box.substitution import Substitution
from unshaken.attack.black_box.transfer import Transfer
from unshaken.attack.engine.attack_run import AttackContext
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of, rows_of


class Bright(nn.Module):
    """Class 1 where the mean is above one half; it has no gradient to follow."""

    def forward(self, x):
        bright = (x.mean((1, 2, 3)) > 0.5).float()
        return torch.stack([1 - bright, bright], 1)


def batch(n=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    level = torch.linspace(0.35, 0.65, n)[:, None, None, None]
    images = (level + 0.05 * torch.randn(n, 1, 8, 8, generator=generator)).clamp(0, 1)
    return Batch(images, (images.mean((1, 2, 3)) > 0.5).long(), tuple(f"s{i:02d}" for i in range(n)))


def test_a_black_box_falls_to_examples_of_its_substitute():
    model = Classifier(Bright(), name="bright").eval()
    model.differentiable = False
    oracle, samples = Oracle(model), batch()
    attack = Substitution(rounds=2, epochs=10, steps=10, loss="ce")
    (found,), flags = attack.attack(oracle, samples, norm="linf", eps=[0.2])
    noise = 0.2 * (torch.rand(samples.images.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1).sign()
    by_chance = model((samples.images + noise).clamp(0, 1)).argmax(1) != samples.labels
    assert found.fooled.double().mean() > by_chance.double().mean() + 0.2
    assert flags == []
    assert int(found.backwards.max()) <= 10  # those of the substitute; the model gives none
    assert "on a substitute that agrees with the model" in found.phases[0].why


def test_the_substitute_is_trained_once_a_run():
    model, made = Classifier(Bright(), name="bright").eval(), {}

    def once(key, make):
        if key not in made:
            made[key] = make()
        return made[key]

    attack, samples, spent = Substitution(rounds=1, epochs=1, steps=2), batch(), []
    for part in (samples[:12], samples[12:]):
        oracle = Oracle(model)
        context = Context(oracle, 0, oracle.exact(part.images), lambda: samples, once=once)
        before = oracle.meter.forwards
        parts = rows_of(attack, part, conditions_of(attack, Line("s", eps=[0.1])), context)
        per_sample = sum(sum(p.columns["forwards"]) for p in parts if p.table == "outcomes")
        spent.append(oracle.meter.forwards - before - per_sample)
    assert spent == [2 * len(samples), 0]  # the images and as many new ones, asked about once


def test_a_substitute_that_learned_nothing_is_flagged(monkeypatch):
    model, names = Classifier(Bright(), name="bright").eval(), []
    substitute = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), name="substitute").eval()
    for share in (0.4, 0.5, 0.9):
        monkeypatch.setattr(Substitution, "train", lambda self, context, share=share: (substitute, share))
        _, flags = Substitution(steps=1).attack(Oracle(model), batch(), norm="linf", eps=[0.1])
        names.append([f.name for f in flags])
    assert names == [["weak-substitute"], [], []]


def test_the_most_passes_are_those_on_the_other_network():
    """A step and a start each way, with three starts at most, for each of two losses."""
    for attack in (Substitution(steps=10), Transfer(steps=10)):
        assert attack.most_passes(5) == 2 * (13 + 13)
    assert Substitution(steps=10, loss="ce").most_passes(5) == Transfer(steps=10, loss="margin").most_passes(5) == 26
    assert Transfer(search="pgd:steps=5").most_passes(5) == 10


def test_new_images_follow_the_sign_of_the_substitutes_gradient_at_the_models_class():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
    net[1].weight.data = torch.tensor([[1.0, -2.0, 0.0], [-1.0, 3.0, 0.5]])
    images = torch.tensor([[0.5, 0.5, 0.5], [0.05, 0.95, 0.5]]).view(2, 1, 1, 3)
    found = Substitution(shift=0.1)._moved(Classifier(net).eval(), images, torch.tensor([0, 1]))
    assert found.flatten(1).tolist() == [pytest.approx([0.6, 0.4, 0.5]), pytest.approx([0.0, 1.0, 0.6])]


def test_each_round_trains_on_twice_as_many_images_in_whole_batches(monkeypatch):
    model, rounds = Classifier(Bright(), name="bright").eval(), []

    def descend(optimizer, loss, n, **options):
        rounds.append((n, options["steps"], options["batch_size"], options["name"], optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(substitution, "descend", descend)
    context = AttackContext(Oracle(model), "linf", 0.1, 2, 0, batch())
    found, share = Substitution(rounds=2, epochs=10, lr=0.01).train(context)
    assert rounds == [
        (24, 10, 24, "substitute-0", 0.01),
        (48, 10, 32, "substitute-1", 0.01),
        (96, 30, 32, "substitute-2", 0.01),
    ]
    assert 0 <= share <= 1
    assert not any(p.requires_grad for p in found.parameters())
    assert context.oracle.meter.forwards == 24 + 24 + 48
    assert torch.allclose(found.mean.flatten(), batch().images.mean(), atol=1e-5)
    with pytest.raises(ParameterError, match="no images to ask the model about"):
        Substitution().train(AttackContext(Oracle(model), "linf", 0.1, 2, 0, None))
