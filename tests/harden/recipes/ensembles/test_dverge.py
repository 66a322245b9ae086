"""Distillation by hand, the objective on fixed weights, and diversity of linear members."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.meter import Meter
from unshaken.harden.engine.ensemble import ensemble, members_of, redrawn
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles.dverge import (
    Dverge,
    distil,
    distillation_points,
    diversity_matrix,
    features_at,
    symmetric,
)
from unshaken.models.networks.small import SmallNet, conv_bn


@pytest.fixture
def identity():
    return Classifier(nn.Flatten())


def pixels(*values):
    return torch.tensor(values).view(1, 1, 1, -1)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_distilled_through_the_identity_by_hand(identity, momentum):
    made = distil(
        identity, pixels(0.5, 0.5, 0.5), pixels(0.9, 0.5, 0.52),
        layer="logits", eps=0.07, steps=10, rel_stepsize=0.1, momentum=momentum,
    )  # fmt: skip
    assert made.flatten().tolist() == pytest.approx([0.57, 0.5, 0.514], abs=1e-6)


def test_nothing_moves_without_a_budget_or_a_difference(identity):
    source, target = torch.rand(4, 1, 3, 3), torch.rand(4, 1, 3, 3)
    assert torch.equal(distil(identity, source, target, layer="logits", eps=0.0), source)
    assert torch.equal(distil(identity, source, source, layer="logits", eps=0.1), source)


def test_the_budget_and_the_range_are_kept():
    net = Classifier(SmallNet(classes=3, channels=1, side=8)).eval()
    source, target = (torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    for layer in distillation_points(net):
        made = distil(net, source, target, layer=layer, eps=0.3, steps=5, rel_stepsize=0.3)
        assert float((made - source).abs().max()) <= 0.3 * (1 + 1e-6)
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
        with features_at(net, layer) as features, torch.no_grad():
            before, after = ((features(z) - features(target)).square().sum() for z in (source, made))
        assert float(after) < 0.9 * float(before)


def test_no_distance_grows_by_more_than_a_step(identity):
    source, target = torch.rand(4, 1, 5, 5), torch.rand(4, 1, 5, 5)
    made = distil(identity, source, target, layer="logits", eps=0.1, momentum=0.0)
    grown = (made - target).abs() - (source - target).abs()
    assert float(grown.max()) <= 0.01 + 1e-6


def test_features_are_those_before_a_relu_in_place():
    net = Classifier(nn.Sequential(*conv_bn(1, 4), nn.Flatten(), nn.Linear(4 * 9, 2))).eval()
    assert distillation_points(net) == ("1", "logits")
    images = torch.rand(2, 1, 3, 3)
    with features_at(net, "1") as features, torch.no_grad():
        seen = features(images)
    assert torch.allclose(seen, net.net[1](net.net[0](images)))
    assert float(seen.detach().min()) < 0
    assert not net.net[1]._forward_hooks
    with pytest.raises(ModelError, match="has no layer 'body'"), features_at(net, "body"):
        pass


def test_passes_are_counted(identity):
    meter = Meter()
    distil(identity, torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2), layer="logits", eps=0.1, steps=4, meter=meter)
    assert (meter.forwards, meter.backwards) == (15, 12)


def data(n=64, side=8, seed=0):
    """Two classes: a bright left or right half."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.randint(0, 100, (n, 1, side, side), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[..., label * side // 2 : (label + 1) * side // 2] += 100
    return images.to(torch.uint8), labels


QUICK = Training(
    epochs=2, batch_size=16, lr=0.05, schedule="linear", held_out=8, check_images=8, select="last", check_every=2
)


class TestTraining:
    def test_members_learn_from_the_images_of_the_others_by_hand(self):
        """One step on one batch: the weights follow from the objective, written out here."""
        images, labels = data(16)
        first = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
        start = ensemble([first, redrawn(first, 5)])
        before = copy.deepcopy(start)
        training = QUICK.model_copy(update={"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"})
        recipe = Dverge(eps=0.2, steps=3, layers=("logits",))
        seen = []
        original = Dverge.inner
        with pytest.MonkeyPatch.context() as patch:

            def spy(self, step):
                original(self, step)
                seen.append((step.images, step.labels, step.extra["dverge.distilled"]))

            patch.setattr(Dverge, "inner", spy)
            after = fit(start, images, labels, [recipe], training).last
        (sources, wanted, distilled), *rest = seen
        assert not rest
        for i, j in ((0, 1), (1, 0)):
            old, new = members_of(before)[i], members_of(after)[i]
            loss = F.cross_entropy(old(distilled[j]), wanted)  # from the other member, with the source's label
            loss.backward()
            for p, q in zip(old.parameters(), new.parameters(), strict=True):
                assert torch.allclose(p - training.lr * p.grad, q, atol=1e-6)
            assert float((distilled[i] - sources).abs().max()) <= 0.2 * (1 + 1e-6)
        assert not torch.equal(distilled[0], distilled[1])

    def test_warm_up_attacks_and_three_members(self):
        images, labels = data(48)
        net = Classifier(SmallNet(classes=2, channels=1, side=8), mean=[0.4], std=[0.2])
        recipe = Dverge(eps=0.1, steps=2, warmup=1, adversarial=1.0, attack_steps=2, attack_eps=0.05)
        fitted = fit(net, images, labels, [recipe], QUICK)
        assert len(members_of(fitted.model)) == 3
        assert [c["epoch"] for c in fitted.progress.curves] == [0, 1]
        heads = [m.net.head.weight for m in members_of(fitted.model)]
        assert not torch.equal(heads[0], heads[1])
        assert not torch.equal(heads[1], heads[2])
        # of 2 x 16 images in each of 2 epochs: 3 members on all of them; then distilled 2 (T + 1), attacked 2,
        # 2 + 1 training passes a member
        warm, main = 2 * 16 * 3, 2 * 16 * 3 * (3 + 2 + 3)
        assert fitted.progress.forwards == pytest.approx(warm + main, abs=200)

    def test_the_same_seed_gives_the_same_members(self):
        images, labels = data(48)

        def weights():
            with torch.random.fork_rng():
                torch.manual_seed(3)
                net = Classifier(SmallNet(classes=2, channels=1, side=8))
            return fit(net, images, labels, [Dverge(eps=0.1, steps=1, members=2)], QUICK).last.state_dict()

        one, other = weights(), weights()
        assert all(torch.equal(v, other[k]) for k, v in one.items())

    def test_one_member_is_refused(self):
        images, labels = data(32)
        alone = ensemble([Classifier(SmallNet(classes=2, channels=1, side=8))])
        with pytest.raises(ParameterError, match="an ensemble of 1 member has no diversity"):
            fit(alone, images, labels, [Dverge()], QUICK)
        with pytest.raises(ParameterError, match="members=1"):
            Dverge(members=1)
        two = Classifier(SmallNet(classes=2, channels=1, side=8))
        with pytest.raises(ModelError, match="has no layer 'nowhere'"):
            fit(two, images, labels, [Dverge(layers=("nowhere",))], QUICK)


class TestDiversity:
    def test_of_identical_members_is_one_number(self):
        member = Classifier(SmallNet(classes=3, channels=1, side=8)).eval()
        model = ensemble([member, copy.deepcopy(member)])
        batch = Batch(torch.rand(8, 1, 8, 8), torch.arange(8) % 3, tuple("abcdefgh"))
        matrix = diversity_matrix(model, batch, eps=0.1, steps=2)
        assert matrix.flatten().tolist() == pytest.approx([float(matrix[0, 0])] * 4)

    def test_by_hand_where_distillation_reaches_the_target(self):
        """With a budget of 1 through the identity the distilled image is the target to within a step."""

        class Scaled(nn.Module):
            def __init__(self, by):
                super().__init__()
                self.by = by

            def forward(self, x):
                return self.by * x.flatten(1)

        model = ensemble([Classifier(Scaled(1.0)), Classifier(Scaled(3.0))])
        images, labels = torch.rand(4, 1, 1, 3), torch.tensor([0, 1, 2, 0])
        batch = Batch(images, labels, tuple("abcd"))
        matrix = diversity_matrix(
            model, batch, eps=1.0, steps=2000, rel_stepsize=0.0005, momentum=0.0, layers=("logits",), piece=4
        )
        ends = [float(F.cross_entropy(by * images.flatten(1), labels)) for by in (1.0, 3.0)]
        assert matrix.tolist() == [pytest.approx(ends, abs=5e-3)] * 2

    def test_symmetric_by_hand(self):
        assert symmetric(torch.tensor([[1.0, 2.0], [4.0, 3.0]])).tolist() == [[1, 3], [3, 3]]

    def test_bad_input(self):
        member = Classifier(SmallNet(classes=3, channels=1, side=8))
        batch = Batch(torch.rand(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), ("a",))
        with pytest.raises(ModelError, match="single network"):
            diversity_matrix(member, batch)
        with pytest.raises(ParameterError, match="makes no pair"):
            diversity_matrix(ensemble([member, member]), batch)


@pytest.mark.parametrize(("draw", "most"), [("epoch", 1), ("batch", 3)])
def test_the_layer_is_drawn_as_often_as_said(draw, most, monkeypatch):
    images, labels = data(64)
    seen = []
    monkeypatch.setattr(
        "unshaken.harden.recipes.ensembles.dverge.distil", lambda _m, x, _t, layer, **_: seen.append(layer) or x
    )
    net = Classifier(SmallNet(classes=2, channels=1, side=8))
    training = QUICK.model_copy(update={"epochs": 4})
    fit(net, images, labels, [Dverge(members=2, draw=draw)], training)
    epochs = [seen[i : i + len(seen) // 4] for i in range(0, len(seen), len(seen) // 4)]
    assert len(seen) == 4 * 3 * 2  # epochs, steps, members
    assert all(one[0::2] == one[1::2] for one in epochs)  # the same for both members
    assert max(len(set(one)) for one in epochs) == most
    assert len(set(seen)) > 1
