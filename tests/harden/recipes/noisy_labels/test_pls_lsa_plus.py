"""PLS-LSA+: a step of both networks written out, what each doubts, and the guesses that each is held to."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import ensemble, members_of
from unshaken.harden.engine.recipe import Epoch
from unshaken.harden.engine.strong_views import strong_view
from unshaken.harden.recipes.augmentation.mixup import batch_generator, dominant_pairs
from unshaken.harden.recipes.noisy_labels.pls import CONTRAST, DETECTORS, GUESS, NOISY, WEIGHT
from unshaken.harden.recipes.noisy_labels.pls_lsa_plus import PLSLSAPlus
from unshaken.labels.engine.noise_detection import Detection, guess_weights
from unshaken.labels.losses import sharpen, supervised_contrastive

PLAIN = {"mixup": 0, "contrastive": 0, "pad": 0, "mirror": 0, "stage": 0, "projected": 4}
ROWS = torch.tensor([5, 0, 3, 8, 1, 7])


@pytest.fixture
def started(net, batch, begun, step_of):
    """A recipe, its model, its memory, and a step of its second epoch."""

    def start(epoch=1, **options):
        recipe = PLSLSAPlus(**{**PLAIN, **options})
        model = recipe.rebuild(net(classes=3, norm=False)).train()
        memory = begun(recipe, model, batch[0], samples=10)
        own = {recipe.info.name: memory}
        return recipe, model, memory, step_of(model, *batch, classes=3, memory=own, rows=ROWS, epoch=epoch)

    return start


def test_both_begin_with_the_same_weights_but_for_the_last_layer(started):
    _, model, *_ = started()
    first, second = (dict(m.net.named_parameters()) for m in members_of(model))
    same = {name for name in first if torch.equal(first[name], second[name])}
    assert {name for name in first if name not in same} == {
        "encoder.4.weight", "encoder.4.bias", "projector.0.weight", "projector.0.bias"
    }  # fmt: skip


def test_the_warm_up_is_cross_entropy_of_both(started, batch):
    recipe, model, _, step = started(epoch=0)
    wanted = sum(F.cross_entropy(member(batch[0]), batch[1]) for member in members_of(model))
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-5)


def test_a_step_written_out(started, batch):
    """Doubted by both: sample 0 alone. Its guess is of both networks; weights, views and mixtures as stated."""
    images, labels = batch
    recipe, model, memory, step = started(mixup=1.0, contrastive=0.5, mirror=0.5)
    memory[NOISY][:, ROWS[:2]] = torch.tensor([[True, True], [True, False]])
    memory[WEIGHT][:, ROWS[0]] = torch.tensor([0.2, 0.6])
    members, onehot, wanted, guesses = copy.deepcopy(members_of(model)), F.one_hot(labels, 3).float(), 0.0, []
    for i, member in enumerate(members):
        rng = step.rng.fold(f"pls-lsa-plus-{i}")
        weak = recipe._weak(images, rng.fold(0))
        guesses.append(sharpen(sum(m(weak).softmax(1) for m in members).detach() / 2, 1 / 2))
        strong = strong_view(images, CONTRAST, rng.fold("strong"), 0.5)
        shown = torch.cat([strong[:1], weak[1:]])
        targets = torch.cat([guesses[i][:1], onehot[1:]])
        w = torch.tensor([0.4, 1, 1, 1, 1, 1])
        weights, pairs = dominant_pairs(batch_generator(step, f"pls-lsa-plus-{i}"), 6, 1.0)
        share, o = float(weights[0]), pairs[1]
        assert share >= 0.5
        mixed = share * shown + (1 - share) * shown[o]
        with member.net.giving("projection"):
            first = member(mixed)
            second = member(strong_view(images, CONTRAST, rng.fold("contrast"), 0.5))
        entropy = [F.cross_entropy(member(mixed), targets[p], reduction="none") for p in (slice(None), o)]
        entropy = [(w[p] * e).sum() / w.sum() for p, e in zip((slice(None), o), entropy, strict=True)]
        kinds = targets.argmax(1)
        alike = [supervised_contrastive(first, second, kinds[p, None] == kinds) for p in (torch.arange(6), o)]
        wanted = wanted + share * entropy[0] + (1 - share) * entropy[1]
        wanted = wanted + 0.5 * (share * alike[0] + (1 - share) * alike[1]).mean()
    found = recipe.loss(step)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    last = [list(m.net.encoder.parameters())[-1] for m in (members_of(model)[1], members[1])]
    (gradient,), (by_hand,) = torch.autograd.grad(found, last[0]), torch.autograd.grad(wanted, last[1])
    assert torch.allclose(gradient, by_hand, atol=1e-5)
    assert step.figures["doubted"] == pytest.approx(1 / 6)
    recipe.after_step(step)
    assert torch.allclose(memory[GUESS][:, ROWS], torch.stack(guesses), atol=1e-6)


@pytest.mark.parametrize(("doubt", "doubted"), [("both", [1, 1]), ("own", [2, 1]), ("other", [1, 2])])
def test_who_doubts_is_an_option(started, doubt, doubted):
    recipe, _, memory, step = started(doubt=doubt)
    memory[NOISY][:, ROWS[:2]] = torch.tensor([[True, True], [True, False]])
    assert recipe._doubted(step)[0].sum(1).tolist() == doubted


def test_each_is_held_to_the_guesses_of_the_other(started, batch, monkeypatch):
    images, labels = batch
    recipe, model, memory, _ = started(alternate="loss")
    memory[GUESS] = torch.rand(2, 10, 3, generator=torch.Generator().manual_seed(3)).softmax(2)
    guesses, flagged = memory[GUESS].clone(), torch.tensor([True] * 4 + [False] * 2).numpy()
    monkeypatch.setitem(DETECTORS, "loss", lambda *_: Detection(flagged.astype(float), flagged))

    def evaluate(read):
        with torch.no_grad():
            return ROWS, labels, read(images)

    epoch = Epoch(model.eval(), 0, memory, {}, evaluate)
    recipe.after_epoch(epoch)
    for i, member in enumerate(members_of(model)):
        losses = F.cross_entropy(member(images), guesses[1 - i, ROWS], reduction="none").detach().double().numpy()
        assert memory[WEIGHT][i, ROWS].tolist() == pytest.approx(guess_weights(losses, flagged).tolist(), abs=1e-6)
        assert memory[NOISY][i].nonzero().flatten().tolist() == [0, 3, 5, 8]
    assert epoch.figures["flagged"] == pytest.approx(4 / 6)


def test_three_networks_are_refused(net, batch, begun):
    three = ensemble([net(classes=3, norm=False) for _ in range(3)])
    with pytest.raises(ParameterError, match="give one, or an ensemble of 2, not of 3"):
        begun(PLSLSAPlus(), PLSLSAPlus().rebuild(three), batch[0])
