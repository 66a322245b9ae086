from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.registry import parse_method
from unshaken.data.arrays import InMemory
from unshaken.data.resident import Samples, order
from unshaken.harden.engine._checkpoint import PLACE
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training, rate
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.adversarial.trades import Trades
from unshaken.store.run_dir import RunDir

EPS, STEPS = 0.1, 3


def plain_loop(
    model: Classifier, samples: Samples, training: Training, kind: str, beta: float, found: list[Tensor]
) -> Classifier:
    """Adversarial training as in the papers' own code, with the loop's order and draws.

    It trains on the points that were `found`, which must be its own but for few pixels: inner steps go by the signs of
    gradients, and where one is nearly 0 its sign is rounding's.
    """
    rows, _ = samples.split(training.held_out, training.seed)
    keys, size = samples.keys(training.seed), training.batch_size
    optimizer = torch.optim.SGD(model.parameters(), lr=training.lr, momentum=0.9, weight_decay=5e-4)
    steps = len(rows) // size
    for epoch in range(training.epochs):
        for number, chosen in enumerate(
            torch.from_numpy(order(rows, training.seed, epoch))[: steps * size].split(size)
        ):
            x, y = samples.resident[chosen].float() / 255, samples.labels[chosen]
            rng = keys[chosen].fold(epoch).fold("at" if kind == "at" else "trades").fold("start")
            model.eval()
            if kind == "at":
                point = (x + EPS * rng.uniform(*x.shape[1:], low=-1, high=1)).clamp(0, 1)
            else:
                point = (x + 0.001 * rng.normal(*x.shape[1:])).clamp(x - EPS, x + EPS).clamp(0, 1)
            for _ in range(STEPS):
                point.requires_grad_()
                loss = attack_loss(kind, model, x, y, point)
                (slope,) = torch.autograd.grad(loss, point)
                point = (point.detach() + 0.25 * EPS * slope.sign()).clamp(x - EPS, x + EPS).clamp(0, 1)
            assert float(((point - found[number]).abs() > 1e-6).float().mean()) < 0.02
            point = found[number]
            model.train()
            share = (epoch * steps + number + 0.5) / (training.epochs * steps)
            optimizer.param_groups[0]["lr"] = training.lr * rate(share, "one-cycle")
            optimizer.zero_grad()
            if kind == "at":
                loss = F.cross_entropy(model(point), y)
            else:
                clean = model(x)
                kl = F.kl_div(F.log_softmax(model(point), 1), F.softmax(clean, 1), reduction="batchmean")
                loss = F.cross_entropy(clean, y) + beta * kl
            loss.backward()
            optimizer.step()
    return model


def attack_loss(kind: str, model: Classifier, x: Tensor, y: Tensor, point: Tensor) -> Tensor:
    if kind == "at":
        return F.cross_entropy(model(point), y, reduction="sum")
    return F.kl_div(F.log_softmax(model(point), 1), F.softmax(model(x), 1), reduction="sum")


@pytest.mark.parametrize(("kind", "fast"), [("at", False), ("trades", False), ("at", True)])
def test_the_weights_of_an_epoch_are_those_of_a_plain_loop(kind, fast, photos, net, monkeypatch):
    training = Training(
        epochs=1, batch_size=32, lr=0.05, select="last", check_images=8, folded=fast, channels_last=fast
    )
    recipe = AdversarialTraining(eps=EPS, steps=STEPS) if kind == "at" else Trades(eps=EPS, steps=STEPS)
    found, loss = [], type(recipe).loss
    monkeypatch.setattr(type(recipe), "loss", lambda self, step: found.append(step.shown.clone()) or loss(self, step))
    ours = fit(net(wide=True), *photos, [recipe], training).last
    theirs = plain_loop(net(wide=True), Samples.of(*photos, 10), training, kind, 6.0, found)
    for name, weight in theirs.net.state_dict().items():
        assert torch.allclose(ours.net.state_dict()[name], weight, atol=1e-6, rtol=0), name


def test_no_budget_is_clean_training(photos, net):
    training = Training(epochs=1, batch_size=32, select="last", check_images=8)
    clean = fit(net(), *photos, [], training).last
    none = fit(net(), *photos, [AdversarialTraining(eps=1e-12, steps=1)], training).last
    for name, weight in clean.net.state_dict().items():
        assert torch.allclose(none.net.state_dict()[name], weight, atol=1e-5), name


RECIPES = [
    ["at:eps=0.1,steps=2", "awp", "ema"],
    ["free-at:eps=0.1,m=2"],
    ["fgsm-rs:eps=0.1", "gradalign:eps=0.1"],
]


@pytest.mark.parametrize("texts", RECIPES, ids=["awp-ema", "free", "gradalign"])
def test_stopped_anywhere_and_resumed_the_weights_are_equal(texts, photos, net, tmp_path):
    small = photos[0][..., ::3, ::3], photos[1]
    training = Training(epochs=2, batch_size=32, save_every=2, check_images=8)
    recipes = [parse_method(t, "harden") for t in texts]

    def loop(run: RunDir | None, stop_at: int | None = None) -> Loop:
        made = Loop(net(), Samples.of(*small, 10), recipes, training, run=run)
        seen = []

        def renew() -> None:
            seen.append(1)
            if len(seen) == stop_at:
                raise KeyboardInterrupt

        made.renew = renew
        return made

    straight = loop(None)
    straight.train()
    for stop_at in (1, 3, 4, 7):
        run = RunDir(tmp_path / str(stop_at))
        with pytest.raises(KeyboardInterrupt):
            loop(run, stop_at).train()
        again = loop(run)
        again.train(resume=True)
        for name, weight in straight.kept().net.state_dict().items():
            assert torch.equal(again.kept().net.state_dict()[name], weight), (stop_at, name)
        assert [c["loss"] for c in again.progress.curves] == [c["loss"] for c in straight.progress.curves]
        assert again.progress.forwards == straight.progress.forwards


def test_a_stop_while_the_last_epoch_is_written_leaves_no_old_weights(photos, net, tmp_path):
    training, written = Training(epochs=2, batch_size=32, check_images=8), []
    run = RunDir(tmp_path)

    def keep(model, name, progress):
        if name == "last":
            if len(written) == 1:  # the disk fills, or the process dies, at the end of the second epoch
                written.append(None)
                raise KeyboardInterrupt
            written.append({k: v.clone() for k, v in model.net.state_dict().items()})

    with pytest.raises(KeyboardInterrupt):
        Loop(net(), Samples.of(*photos, 10), [], training, run=run, keep=keep).train()
    again = Loop(net(), Samples.of(*photos, 10), [], training, run=run, keep=keep)
    again.train(resume=True)
    straight = fit(net(), *photos, [], training).last
    assert all(torch.equal(written[-1][k], v) for k, v in straight.net.state_dict().items())


def test_images_that_do_not_fit_the_memory_train_the_same(photos, net, monkeypatch):
    data = InMemory(*photos, classes=[str(i) for i in range(10)])

    monkeypatch.setattr("unshaken.data.resident.InMemory", type("Other", (), {}))
    training = Training(epochs=2, batch_size=32, check_images=8)
    resident = Samples(data, None, 10)
    assert resident.resident is not None
    monkeypatch.setattr("unshaken.data.resident.RESIDENT_BYTES", 0)
    streamed = Samples(data, None, 10)
    assert streamed.resident is None
    loops = [Loop(net(), samples, [], training) for samples in (resident, streamed)]
    for loop in loops:
        loop.train()
    first, second = (loop.live.net.state_dict() for loop in loops)
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_passes_are_counted(photos, net):
    training = Training(epochs=1, batch_size=40, select="last", check_images=8)
    n = 160 // 40 * 40
    at = fit(net(), *photos, [AdversarialTraining(eps=0.1, steps=3)], training).progress
    assert (at.forwards, at.backwards) == (4 * n, 4 * n)
    trades = fit(net(), *photos, [Trades(eps=0.1, steps=3)], training).progress
    assert (trades.forwards, trades.backwards) == (6 * n, 5 * n)
    plain = fit(net(), *photos, [], training).progress
    assert (plain.forwards, plain.backwards) == (n, n)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(photos, net, tmp_path):
    class Breaks(Recipe):
        def loss(self, step):
            value = step.cross_entropy(step.model(step.images))
            return value * (math.nan if step.number == 5 else 1)

    Breaks.info = AdversarialTraining.info.__class__("breaks", "harden", Breaks, "none")
    run = RunDir(tmp_path)
    loop = Loop(net(), Samples.of(*photos, 10), [Breaks()], Training(epochs=3, batch_size=40), run=run)
    with pytest.raises(RunError, match=r"loss became nan at epoch 2, step 2 of 4: lower lr .* last good checkpoint"):
        loop.train()
    assert run.exists(*PLACE)
    assert all(torch.isfinite(w).all() for w in loop.live.net.state_dict().values())


def test_weights_that_are_no_numbers_are_not_kept(photos, net):
    """The loss of the last step was finite, what it did to the weights was not."""

    class Ruins(Recipe):
        def after_step(self, step):
            if step.number == 3:
                with torch.no_grad():
                    next(step.classifier.parameters()).fill_(math.inf)

    Ruins.info = AdversarialTraining.info.__class__("ruins", "harden", Ruins, "none")
    kept = []
    training = Training(epochs=1, batch_size=40, check_images=8)
    loop = Loop(net(), Samples.of(*photos, 10), [Ruins()], training, keep=lambda *given: kept.append(given[1]))
    with pytest.raises(RunError, match=r"the weights '.*' became infinite or NaN at epoch 1.* lower lr"):
        loop.train()
    assert kept == []


def test_a_recipe_may_end_the_training(photos, net):
    class Enough(Recipe):
        def after_step(self, step):
            step.stop = step.number == 5

    Enough.info = AdversarialTraining.info.__class__("enough", "harden", Enough, "none")
    training = Training(epochs=9, batch_size=40, check_images=8)  # four steps an epoch
    progress = fit(net(), *photos, [Enough()], training).progress
    assert (progress.number, progress.epoch, len(progress.curves)) == (6, 9, 2)
    assert "held_accuracy" in progress.curves[-1]
    assert progress.forwards == 6 * 40


def test_a_batch_of_one_with_batch_norm_is_refused(photos, net):
    with pytest.raises(ParameterError, match="a batch of 1 with batch norm"):
        fit(net(), *photos, [], Training(batch_size=1))
    made = fit(net(norm=False), photos[0], photos[1], [], Training(epochs=1, batch_size=1, held_out=40, check_images=4))
    assert made.progress.number == 160


def test_an_absent_class_is_named(photos, net):
    with pytest.raises(DataError, match=r"1 of 11 classes have no image to train on \('10'\)"):
        fit(net(classes=11), *photos, [], Training(epochs=1), classes=11)


def test_the_checkpoint_is_chosen_on_held_out_images(photos, net):
    made = fit(net(), *photos, [], Training(epochs=4, batch_size=32, lr=0.3))
    accuracy = [c["held_accuracy"] for c in made.progress.curves]
    assert made.progress.best == max(accuracy)
    assert made.progress.best_epoch == accuracy.index(max(accuracy))


def test_early_stop(photos, net):
    made = fit(net(norm=False), *photos, [], Training(epochs=50, batch_size=32, lr=1e-12, patience=2))
    assert made.progress.epoch == 3


def test_select_robust_needs_a_threat(photos, net):
    with pytest.raises(ParameterError, match="select=robust needs a recipe with a threat"):
        fit(net(), *photos, [], Training(select="robust"))


def test_held_out_images_are_not_trained_on(photos, net):
    images, labels = photos
    training = Training(epochs=1, batch_size=16, held_out=40)
    samples = Samples.of(images, labels, 10)
    rows, apart = samples.split(40, 0)
    assert len(apart) == 40
    assert not set(rows.tolist()) & set(apart.tolist())
    assert torch.bincount(labels[torch.from_numpy(apart)]).tolist() == [4] * 10
    changed = images.clone()
    changed[torch.from_numpy(apart)] = 0
    first = fit(net(), images, labels, [], training).last
    second = fit(net(), changed, labels, [], training).last
    assert torch.equal(first.net[0].weight, second.net[0].weight)


def test_the_callers_random_state_stays(photos, net):
    before = torch.get_rng_state()
    fit(net(), *photos, [AdversarialTraining(eps=0.1, steps=1)], Training(epochs=1, batch_size=64, check_images=8))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_model_is_what_it_was_but_for_its_weights(photos, net):
    model = net()
    made = fit(
        copy.deepcopy(model), *photos, [AdversarialTraining(eps=0.1, steps=1)], Training(epochs=1, check_images=8)
    )
    assert made.model.net.state_dict().keys() == model.net.state_dict().keys()
    assert all(p.requires_grad for p in made.last.parameters())
    assert not made.last._forward_hooks
