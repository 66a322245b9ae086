"""PLS and PLS-LSA: their losses in a step by hand, what an epoch's end decides, and detectors in turn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.recipe import Epoch, Setup
from unshaken.harden.engine.strong_views import strong_view
from unshaken.harden.recipes.noisy_labels.pls import CONTRAST, DETECTORS, GUESS, NOISY, PLS, WEIGHT, track
from unshaken.harden.recipes.noisy_labels.pls_lsa import PLSLSA
from unshaken.labels.engine.noise_detection import Detection, detect_by_loss, detect_linearly, guess_weights
from unshaken.labels.losses import prior_penalty, sharpen, supervised_contrastive

PLAIN = {"mixup": 0, "contrastive": 0, "pad": 0, "mirror": 0, "guesses": 1, "stage": 0}
"""No augmentation of weak views, no mixup, no contrastive loss."""
ROWS = torch.tensor([5, 0, 3, 8, 1, 7])


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    return torch.rand(6, 1, 8, 8, generator=g), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture
def begun(net, batch, step_of):
    """A recipe that has begun, and a step of its second epoch."""

    def make(recipe, epoch=1):
        images, labels = batch
        model, memory = recipe.rebuild(net(classes=3, norm=False)), {}
        recipe.begin(Setup(model, images[:2], 3, 0, 1, 1, memory, lambda n: (images[:n], labels[:n]), 10))
        name = recipe.info.name
        step = step_of(model, images, labels, classes=3, memory={name: memory}, rows=ROWS, epoch=epoch)
        return model, memory, step

    return make


def ended(recipe, model, memory, images, labels, number):
    """The end of an epoch over some samples."""
    figures = {}
    with torch.no_grad():
        recipe.after_epoch(Epoch(model, number, memory, figures, lambda read: (ROWS, labels, read(images))))
    return figures


def test_all_labels_trusted_it_is_cross_entropy(begun, batch):
    for epoch in (0, 1):
        recipe = PLS(**PLAIN)
        model, _, step = begun(recipe, epoch)
        assert recipe.loss(step).item() == pytest.approx(F.cross_entropy(model(batch[0]), batch[1]).item(), abs=1e-6)


def test_doubted_labels_without_weight_are_left_out(begun, batch):
    recipe = PLS(**PLAIN)
    model, memory, step = begun(recipe)
    memory[NOISY][ROWS[:2]] = True
    memory[WEIGHT][ROWS[:2]] = 0
    wanted = F.cross_entropy(model(batch[0][2:]), batch[1][2:])
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-6)


def test_the_penalty_on_an_uneven_mean_prediction():
    """0.5 ln(0.5 / 0.9) + 0.5 ln(0.5 / 0.1), of the batch's mean, not of each sample."""
    either = torch.tensor([[0.99, 0.01], [0.81, 0.19]]).log()
    assert prior_penalty(either).item() == pytest.approx(0.510826, abs=1e-6)


def test_a_doubted_sample_learns_the_sharpened_guess_in_a_strong_view(begun, batch):
    recipe = PLS(**PLAIN, gamma=3.0, balance=True)
    model, memory, step = begun(recipe)
    memory[NOISY][ROWS[0]], memory[WEIGHT][ROWS[0]] = True, 0.25
    guess = sharpen(model(batch[0]).softmax(1), 1 / 3)
    strong = strong_view(batch[0], CONTRAST, step.rng.fold("pls").fold("strong"), 0)
    images = torch.cat([strong[:1], batch[0][1:]])
    targets = torch.cat([guess[:1].detach(), F.one_hot(batch[1], 3)[1:].float()])
    weights, logits = torch.tensor([0.25, 1, 1, 1, 1, 1]), model(images)
    wanted = (weights * F.cross_entropy(logits, targets, reduction="none")).sum() / 5.25 + prior_penalty(logits)
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-5)
    assert not torch.equal(memory[GUESS][ROWS], guess)
    recipe.after_step(step)
    assert torch.allclose(memory[GUESS][ROWS], guess, atol=1e-6)
    assert memory[GUESS][2].tolist() == pytest.approx([1 / 3] * 3)


def test_a_mixed_step_with_the_contrastive_loss_by_hand(begun, batch):
    recipe = PLSLSA(**{**PLAIN, "mixup": 1.0, "contrastive": 0.5})
    model, _, step = begun(recipe)
    _, _, share, partners = recipe._mixed(step, batch[0], step.soft_labels, "pls-lsa")
    assert share >= 0.5
    images, targets = share * batch[0] + (1 - share) * batch[0][partners], F.one_hot(batch[1], 3).float()
    view = strong_view(batch[0], CONTRAST, step.rng.fold("pls-lsa").fold("contrast"), 0)
    with model.net.giving("projection"):
        first, second = model(images), model(view)
    logits, alike = model(images), batch[1][:, None] == batch[1]
    crossed = share * F.cross_entropy(logits, targets) + (1 - share) * F.cross_entropy(logits, targets[partners])
    rows = share * supervised_contrastive(first, second, alike) + (1 - share) * supervised_contrastive(
        first, second, alike[partners]
    )
    assert recipe.loss(step).item() == pytest.approx((crossed + 0.5 * rows.mean()).item(), abs=1e-5)


def test_the_guess_is_a_mean_over_weak_views(begun):
    recipe = PLS(**{**PLAIN, "guesses": 3, "mirror": 0.5})
    model, _, step = begun(recipe)
    rng = step.rng.fold("pls")
    views = [recipe._weak(step.images, rng.fold(i)) for i in range(3)]
    assert not torch.equal(views[1], views[2])
    wanted = sharpen(torch.stack([model(v).softmax(1) for v in views]).mean(0), 1 / 2)
    recipe.loss(step)
    assert torch.allclose(step.extra[GUESS], wanted, atol=1e-6)


def test_detectors_take_turns(begun, batch, monkeypatch):
    """`linear+loss`: linear after epochs 0 and 2, small loss after epochs 1 and 3."""
    for name, row in (("linear", 5), ("loss", 8)):
        flagged = (row == ROWS).numpy()
        monkeypatch.setitem(DETECTORS, name, lambda *_, flagged=flagged: Detection(flagged.astype(float), flagged))
    recipe = PLSLSA(**PLAIN)
    model, memory, _ = begun(recipe)
    for number, row in enumerate((5, 8, 5, 8)):
        figures = ended(recipe, model, memory, *batch, number)
        assert memory[NOISY].nonzero().flatten().tolist() == [row]
        assert figures["flagged"] == pytest.approx(1 / 6)


def test_the_line_is_drawn_in_features_between_small_losses_and_others(net):
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels, recipe = torch.arange(40) % 3, PLSLSA(**PLAIN)
    model = recipe.rebuild(net(classes=3, norm=False))
    with torch.no_grad():
        model.net.last.weight.mul_(30)  # so that losses are of two groups
    tracked = track(model, lambda read: (torch.arange(40), labels, read(images).detach()), stage=0)
    logits, given = model.features(images, ["encoder.1"])
    features = given["encoder.1"].mean((2, 3)).detach().double().numpy()
    losses = F.cross_entropy(logits, labels, reduction="none").detach().double().numpy()
    small = detect_by_loss(losses, 0.5)
    line = detect_linearly(features, small.flagged)
    assert (line.flagged != small.flagged).any()
    none = torch.zeros(40, dtype=torch.bool)
    for name, wanted in (("linear", line), ("loss", small)):
        found = DETECTORS[name](tracked, partial(detect_by_loss, threshold=0.5), none)
        assert np.array_equal(found.flagged, wanted.flagged)


def test_a_known_share_of_labels_is_doubted_by_either_detector(begun, batch):
    """The two largest of six losses, and the line that is drawn between them and the others."""
    for name in ("loss", "linear"):
        recipe = PLS(**PLAIN, alternate=name, share=1 / 3)
        model, memory, _ = begun(recipe)
        losses = F.cross_entropy(model(batch[0]), batch[1], reduction="none").detach()
        largest = torch.zeros(6, dtype=torch.bool)
        largest[losses.topk(2).indices] = True
        features = track(model, lambda read: (ROWS, batch[1], read(batch[0]).detach()), stage=0).features
        line = detect_linearly(features.double().numpy(), largest.numpy())
        ended(recipe, model, memory, *batch, 0)
        assert memory[NOISY][ROWS].tolist() == (largest if name == "loss" else torch.from_numpy(line.flagged)).tolist()


def test_weights_are_of_losses_against_the_stored_guesses(begun, batch):
    recipe = PLS(**PLAIN, alternate="oracle", wrong=(5, 0, 3, 8))
    model, memory, _ = begun(recipe)
    g = torch.Generator().manual_seed(3)
    memory[GUESS] = torch.rand(10, 3, generator=g).softmax(1)
    memory[GUESS][[5, 0]] = torch.tensor([1e-9, 1.0, 0])
    ended(recipe, model, memory, *batch, 0)
    assert memory[NOISY].nonzero().flatten().tolist() == [0, 3, 5, 8]
    losses = F.cross_entropy(model(batch[0]), memory[GUESS][ROWS], reduction="none").detach().double().numpy()
    wanted = guess_weights(losses, np.array([True] * 4 + [False] * 2))
    assert memory[WEIGHT][ROWS].tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    assert memory[WEIGHT][[2, 4, 6, 9]].tolist() == [1] * 4


def test_nothing_is_decided_in_the_warm_up_nor_where_one_set_is_empty(begun, batch):
    recipe = PLSLSA(**PLAIN, warmup=1)
    model, memory, step = begun(recipe, epoch=0)
    recipe.loss(step)
    assert GUESS not in step.extra
    assert ended(recipe, model, memory, *batch, 0) == {}
    memory[NOISY][3] = True
    with torch.no_grad():
        model.net.last.weight.zero_()
        model.net.last.bias.zero_()  # all losses alike
    ended(recipe, model, memory, *batch, 2)  # linear separation of no suspect sample: the decision before stands
    assert memory[NOISY].nonzero().flatten().tolist() == [3]


def test_neighbours_decide_by_projections(begun, batch):
    recipe = PLS(**PLAIN, alternate="rrl+none")
    model, memory, _ = begun(recipe)
    with torch.no_grad():
        model.net.last.bias.copy_(torch.tensor([40.0, 0, 0]))  # all are predicted to be of class 0
    ended(recipe, model, memory, *batch, 0)
    assert memory[NOISY][ROWS].tolist() == (batch[1] != 0).tolist()
    ended(recipe, model, memory, *batch, 1)
    assert not memory[NOISY].any()


def test_what_it_cannot_do_is_told(begun):
    with pytest.raises(ModelError, match=r"stage=9: the network has \d stages"):
        begun(PLS(stage=9))
    with pytest.raises(ParameterError, match="oracle needs the samples that are wrong"):
        PLS(alternate="oracle")
    with pytest.raises(ParameterError, match="alternate"):
        PLS(alternate="linear,loss")
