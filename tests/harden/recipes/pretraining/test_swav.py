"""SwAV: its loss, a step by hand, prototypes, the queue, and training without labels that ends in a model to probe."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import unshaken
from unshaken.core.errors import ParameterError
from unshaken.data.arrays import InMemory
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.layers import last_layer
from unshaken.harden.engine.recipe import Epoch, Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.pretraining.swav import SwAV, code_entropy, power_law, sinkhorn_codes, swapped_loss

SCORES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.6]])


@pytest.mark.parametrize(
    ("eps", "iterations", "rows", "sums"),
    [
        (0.05, 3, {0: (0.9997, 0.0003), 1: (0.9851, 0.0149), 2: (0.5482, 0.4518), 3: (0, 1)}, (2.533, 1.467)),
        (0.05, 100, {0: (0.9976, 0.0024), 1: (0.8820, 0.1180), 2: (0.1204, 0.8796), 3: (0, 1)}, (2, 2)),
        (0.03, 10, {2: (0.1602, 0.8398)}, (2.154, 1.846)),
    ],
)
def test_tables_of_the_publication(eps, iterations, rows, sums):
    codes = sinkhorn_codes(SCORES, eps=eps, iterations=iterations)
    for row, wanted in rows.items():
        assert codes[row].tolist() == pytest.approx(wanted, abs=6e-5)
    assert codes.sum(0).tolist() == pytest.approx(sums, abs=6e-4)
    assert codes.sum(1).tolist() == pytest.approx([1] * 4, abs=1e-6)


def test_a_plain_softmax_is_not_balanced():
    assert torch.softmax(SCORES / 0.05, 1).sum(0).tolist() == pytest.approx([3, 1], abs=6e-4)


def reference(scores, eps, iterations, shares):
    """As published, with exponentials, in float64."""
    q = np.exp((scores - scores.max()) / eps).T
    q /= q.sum()
    for _ in range(iterations):
        q *= (shares / q.sum(1))[:, None]
        q /= q.sum(0) * q.shape[1]
    return (q / q.sum(0)).T


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_logarithms_give_what_exponentials_give(alpha):
    scores = np.random.default_rng(0).uniform(-1, 1, (12, 5))
    shares = power_law(5, alpha)
    found = sinkhorn_codes(torch.tensor(scores), eps=0.1, iterations=4, shares=shares if alpha else None)
    assert np.allclose(found.numpy(), reference(scores, 0.1, 4, shares.numpy()), atol=1e-5)


def test_what_does_not_change_codes():
    codes, order = sinkhorn_codes(SCORES), torch.tensor([1, 0])
    assert torch.allclose(sinkhorn_codes(SCORES + 7), codes, atol=1e-4)
    assert torch.allclose(sinkhorn_codes(SCORES[:, order]), codes[:, order], atol=1e-6)
    assert torch.allclose(sinkhorn_codes(torch.ones(5, 3)), torch.full((5, 3), 1 / 3), atol=1e-6)


def test_far_scores_do_not_overflow():
    codes = sinkhorn_codes(torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), eps=1e-3)
    assert torch.equal(codes, torch.eye(2))


def test_shares_fall_by_the_power_law():
    assert power_law(4, 1.0).tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12])
    assert power_law(4, 0.0).tolist() == [0.25] * 4
    uneven = sinkhorn_codes(torch.zeros(100, 4), shares=power_law(4, 1.0))
    assert uneven[0].tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12])
    many = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    balanced = sinkhorn_codes(many, eps=1.0, iterations=200, shares=power_law(4, 1.0))
    assert balanced.mean(0).tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12], abs=1e-4)


def test_entropy_of_the_mean_code_is_ln_k_at_balance():
    mean, single = code_entropy(torch.eye(3).repeat(2, 1))
    assert (mean, single) == (pytest.approx(math.log(3)), 0.0)
    mean, single = code_entropy(torch.full((4, 3), 1 / 3))
    assert (mean, single) == (pytest.approx(math.log(3)), pytest.approx(math.log(3)))


@pytest.mark.parametrize(
    ("scores", "options"),
    [
        (SCORES, {"eps": 0.0}),
        (SCORES, {"iterations": 0}),
        (SCORES[:0], {}),
        (SCORES[0], {}),
        (SCORES, {"eps": float("nan")}),
    ],
)
def test_bad_use_is_named(scores, options):
    with pytest.raises(ParameterError, match=r"eps must be above 0|scores must be \[B, K\]"):
        sinkhorn_codes(scores, **options)


TINY = {"prototypes": 4, "projected": 3, "hidden": 5}


@pytest.mark.parametrize("count", [3000, 16000])
def test_uniform_codes_and_predictions_lose_ln_k(count):
    uniform, scores = torch.full((2, count), 1 / count), torch.zeros(2, count)
    assert swapped_loss([scores] * 4, [uniform] * 2).item() == pytest.approx(math.log(count), abs=1e-4)
    assert round(math.log(count), 3) == {3000: 8.006, 16000: 9.680}[count]


def test_the_loss_by_hand_and_no_gradient_through_codes():
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(6, 4, generator=generator, requires_grad=True) for _ in range(5)]
    codes = [torch.rand(6, 4, generator=generator).requires_grad_() for _ in range(2)]
    found = swapped_loss(scores, codes, 0.2)
    wanted = 0.0
    for t in range(2):
        for p in range(5):
            if p != t:  # 2 x (5 - 1) predictions, each of the same weight
                wanted += -(codes[t] * (scores[p] / 0.2).softmax(1).log()).sum(1).mean() / 8
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    found.backward()
    assert all(code.grad is None for code in codes)
    assert all(bool(s.grad.any()) for s in scores)


@pytest.fixture
def ready(net, photos, step_of):
    images, labels = photos[0][:6].float() / 255, photos[1][:6]

    def make(batch=6, epoch=0, **options):
        recipe, memory = SwAV(**{**TINY, "norm": False, **options}), {}
        model = recipe.rebuild(net(norm=False))
        few = lambda n: (images[:n], labels[:n])  # noqa: E731
        recipe.begin(Setup(model, images[:2], 10, 5, 1, 1, memory, few, batch=batch))
        return recipe, model, memory, step_of(model, images, labels, epoch=epoch, memory={"swav": memory})

    return make


def parts(recipe, model, images):
    """Embeddings and scores of crops."""
    with model.net.giving("projection"), torch.no_grad():
        return model(images).split([recipe.projected, recipe.prototypes], 1)


def test_a_step_by_hand(ready):
    recipe, model, _, step = ready()
    big, small = recipe.crops(step)
    assert big.shape == (12, 1, 28, 28)
    assert small.shape == (12, 1, 14, 14)
    (_, large), (_, little) = (parts(recipe, model, crops) for crops in (big, small))
    assert large.abs().max() <= 1 + 1e-6
    codes = [sinkhorn_codes(s) for s in large.chunk(2)]
    wanted = swapped_loss([*large.chunk(2), *little.chunk(2)], codes, 0.1)
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-5)
    assert 0 <= step.figures["code_entropy"] <= step.figures["mean_code_entropy"] <= math.log(4) + 1e-6


def test_hard_codes_are_the_largest_entry(ready):
    recipe, model, _, step = ready(hard=1, small=0)
    big, small = recipe.crops(step)
    assert small is None
    large = parts(recipe, model, big)[1].chunk(2)
    codes = [torch.nn.functional.one_hot(sinkhorn_codes(s).argmax(1), 4).float() for s in large]
    assert recipe.loss(step).item() == pytest.approx(swapped_loss(large, codes, 0.1).item(), abs=1e-5)


@pytest.mark.parametrize("epoch", [0, 1])
def test_prototypes_have_unit_norm_after_a_step_and_do_not_move_in_the_first_epoch(ready, epoch):
    recipe, model, _, step = ready(epoch=epoch)
    prototypes = model.net.projector.prototypes
    before = prototypes.detach().clone()
    recipe.loss(step).backward()
    assert bool(prototypes.grad.any()) == (epoch > 0)
    with torch.no_grad():
        prototypes.mul_(3).add_(0.1)  # as an optimizer with momentum and decay might
    recipe.after_step(step)
    assert prototypes.norm(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-6)
    assert torch.allclose(prototypes, before, atol=1e-6) == (epoch == 0)


def test_a_small_batch_shares_prototypes_with_a_queue(ready):
    recipe, model, memory, step = ready(batch=3, small=0)
    assert memory["queue"].shape == (2, 8, 3)
    for written in (6, 12):
        recipe.loss(step)
        recipe.after_step(step)
        assert int(memory["written"]) == written
    embeddings = step.extra["queue"]
    assert torch.equal(memory["queue"][:, :4], embeddings[:, 2:])  # places 8 to 11 are 0 to 3 again
    head = model.net.projector
    large = parts(recipe, model, recipe.crops(step)[0])[1].chunk(2)
    codes = [sinkhorn_codes(torch.cat([s, memory["queue"][t] @ head.prototypes.T]))[:6] for t, s in enumerate(large)]
    assert recipe.loss(step).item() == pytest.approx(swapped_loss(large, codes, 0.1).item(), abs=1e-5)
    assert ready(batch=4)[2]["queue"].shape[1] == 0


def test_clusters_that_were_used_are_counted(ready):
    recipe, model, memory, step = ready(small=0)
    recipe.loss(step)
    recipe.after_step(step)
    epoch = Epoch(model, 0, memory, {})
    recipe.after_epoch(epoch)
    assert int(memory["usage"].sum()) == 12
    assert epoch.figures["prototypes_used"] == int((memory["usage"] > 0).sum())
    assert not memory["counts"].any()


def test_it_learns_without_labels_and_ends_in_a_model_to_probe(photos, tmp_path):
    data = InMemory(photos[0][:60, :, ::2, ::2].contiguous())
    options = {"epochs": 3, "batch_size": 20, "lr": 0.05, "weight_decay": 1e-6, "warmup": 0.1}
    made = unshaken.harden("small-cnn", data, f"swav:{','.join(f'{k}={v}' for k, v in TINY.items())}",
                           out=tmp_path / "run", **options)  # fmt: skip
    assert made.summary["figures"] == {}
    assert made.summary["chosen_by"] == "last"
    page = (tmp_path / "run" / "report.md").read_text()
    assert "60 images; 0 more were held out" in page
    assert "per cent right" not in page
    model = unshaken.load_model(f"run:{tmp_path / 'run'}")
    images = data.images[:5].float() / 255
    layer = f"{last_layer(model.net)}:in"
    assert model.features(images, [layer])[1][layer].shape == (5, 80)
    tuned = unshaken.harden(f"run:{tmp_path / 'run'}", InMemory(data.images, photos[1][:60], classes="abcdefghij"),
                            new_head=True, out=tmp_path / "tuned", epochs=1, batch_size=16)  # fmt: skip
    assert tuned.model(images).shape == (5, 10)


def test_accuracy_cannot_choose_without_labels(photos, tmp_path):
    data = InMemory(photos[0][:20])
    for options, name in (({"select": "clean"}, "select=clean"), ({"max_clean_loss": 0.1}, "max_clean_loss")):
        with pytest.raises(ParameterError, match=f"{name} needs accuracy on held-out images, and the data has no"):
            unshaken.harden("small-cnn", data, "swav", out=tmp_path / "run", **options)
    with pytest.raises(ParameterError, match="'balanced-sampling' learns from one class an image, and the data has no"):
        unshaken.harden("small-cnn", data, ["swav", "balanced-sampling"], out=tmp_path / "run")


def test_crops_of_an_image_come_together(net, photos):
    training = Training(epochs=6, batch_size=48, lr=0.05, held_out=8, select="last", check_every=6, check_images=8)
    recipe = SwAV(prototypes=8, projected=8, hidden=16, mirror=0, area=0.4, small=0)
    made = fit(net(), *photos, [recipe], training, classes=10)
    losses = [record["loss"] for record in made.progress.curves]
    assert losses[-1] < min(losses[0], math.log(8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": 1}, "prototypes"),
        ({"small_area": 0.5}, "small_area must not be larger than area"),
        ({"eps": 0}, "eps"),
        ({"scale": 2}, "scale"),
        ({"alpha": -1}, "alpha"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ParameterError, match=message):
        SwAV(**options)


def test_a_batch_of_one_and_models_of_one_size_are_refused(ready, photos, step_of, tmp_path):
    recipe, model, memory, _ = ready()
    one = step_of(model, photos[0][:1].float() / 255, photos[1][:1], memory={"swav": memory})
    with pytest.raises(ParameterError, match="a batch of 1 image"):
        recipe.loss(one)
    with pytest.raises(ParameterError, match="does not take crops of 14 x 14 pixels"):
        unshaken.harden("small", InMemory(photos[0][:20]), "swav", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="labels are not used"):
        Composition([SwAV(), Mixup()])


def test_a_model_that_asserts_its_size_is_told_of_small_crops(net, photos):
    recipe = SwAV(**TINY)
    model = recipe.rebuild(net())
    images, forward = photos[0][:2].float() / 255, model.net.encoder.forward

    def picky(x):
        assert x.shape[-1] == 28, "Wrong image width!"
        return forward(x)

    model.net.encoder.forward = picky
    with pytest.raises(ParameterError, match=r"does not take crops of 14 x 14 pixels \(Wrong image width!\)"):
        recipe.begin(Setup(model, images, 10, 5, 1, 1, {}, lambda n: (images, photos[1][:2]), batch=6))
