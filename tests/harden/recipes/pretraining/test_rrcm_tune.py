"""rRCM fine-tuning: the level told, the head's own steps, the loss, and a classifier that loads with all inside."""

from __future__ import annotations

import copy

import pytest
import torch

import unshaken
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.data.arrays import InMemory
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Recipe, Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.smooth_adv import SmoothAdv
from unshaken.harden.recipes.losses.consistency import Consistency
from unshaken.harden.recipes.pretraining._timed import TimedNet
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency
from unshaken.harden.recipes.pretraining.rrcm_tune import RepresentationTuning
from unshaken.models.networks.timed_cnn import TimedCNN

SHORT = Training(epochs=1, batch_size=32, lr=1e-2, optimizer="adamw", select="last", held_out=8)


class Searching(Recipe):
    """A search, and no loss."""

    takes = frozenset({"inner"})
    info = SmoothAdv.info


def fresh_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Classifier(TimedCNN(10, 1, 28))


@pytest.mark.parametrize(("sigma", "level"), [(0.25, 0.49271), (0.5, 0.96542), (1.0, 2.00365)])
def test_the_nearest_level_is_told(sigma, level):
    recipe = RepresentationTuning(sigma=sigma)
    assert recipe.level == pytest.approx(level, abs=1e-5)
    assert recipe.rebuild(fresh_model()).net.level.item() == pytest.approx(level, abs=1e-5)
    assert RepresentationTuning(sigma=sigma, points=0).level == 2 * sigma


def test_the_head_alone_is_for_one_process(photos, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    recipe, images = RepresentationTuning(head_steps=3), photos[0][:2].float() / 255
    setup = Setup(recipe.rebuild(fresh_model()), images, 10, 0, 1, 1, {}, lambda n: (images, photos[1][:2]))
    with pytest.raises(ParameterError, match="head_steps works in one process"):
        recipe.begin(setup)
    RepresentationTuning().begin(setup)


def test_coarse_grids_are_far_off():
    assert RepresentationTuning(sigma=0.25, points=41).level == pytest.approx(0.56663, abs=1e-5)


def test_the_projector_goes_and_the_encoder_stays():
    model = RepresentationConsistency().rebuild(fresh_model())
    weight = model.net.encoder.flat.weight
    tuned = RepresentationTuning().rebuild(model)
    assert tuned.net.projector is None
    assert tuned.net.encoder.flat.weight is weight
    assert not any(k.startswith("projector") for k in tuned.net.state_dict())


def test_the_loss_is_that_of_consistency_under_the_same_noise(photos, step_of):
    images, labels = photos[0][:8].float() / 255, photos[1][:8]
    recipe = RepresentationTuning(sigma=0.5, lbd=5, eta=0.5)
    step = step_of(recipe.rebuild(fresh_model()).eval(), images, labels)
    found = recipe.loss(step)
    step.rng = copy.deepcopy(step.rng)
    seen = []
    model = step.model
    step.model = lambda x: (seen.append(x), model(x))[1]
    again = recipe.loss(step)
    assert again.item() == found.item()
    assert float((seen[0][:8] - images).std()) == pytest.approx(0.5, rel=0.03)
    p = model(seen[0]).detach().softmax(1).double().view(2, 8, 10)
    bar = p.mean(0)
    entropy = -p[:, torch.arange(8), labels].log().mean()
    kl = (bar * (bar / p).log()).sum(2).mean()
    wanted = entropy + 5 * kl - 0.5 * (bar * bar.log()).sum(1).mean()
    assert found.item() == pytest.approx(float(wanted), rel=1e-4)


def test_the_head_learns_alone_at_first(photos):
    start = fresh_model()
    before = {k: v.clone() for k, v in start.net.state_dict().items()}
    alone = fit(start, *photos, [RepresentationTuning(head_steps=100)], SHORT).last.net.state_dict()
    moved = {k for k in before if not torch.equal(alone[f"encoder.{k}"], before[k])}
    assert moved == {"head.weight", "head.bias"}
    both = fit(fresh_model(), *photos, [RepresentationTuning(head_steps=2)], SHORT).last.net.state_dict()
    assert not torch.equal(both["encoder.flat.weight"], before["flat.weight"])


def test_afterwards_the_head_may_stay(photos):
    training = SHORT.model_copy(update={"epochs": 2, "schedule": "constant"})
    heads = []
    for steps in (2, 2):
        recipe = RepresentationTuning(head_steps=steps, keep_head=True)
        epochs = training.model_copy(update={"epochs": 1 + len(heads)})
        heads.append(fit(fresh_model(), *photos, [recipe], epochs).last.net)
    assert torch.equal(heads[0].encoder.head.weight, heads[1].encoder.head.weight)
    assert not torch.equal(heads[0].encoder.flat.weight, heads[1].encoder.flat.weight)
    assert all(p.requires_grad for p in heads[0].parameters())


@pytest.mark.parametrize("injection", ["bias", "film"])
def test_a_run_loads_with_level_and_scaling_inside(photos, tmp_path, injection):
    data = InMemory(*photos, classes=[str(i) for i in range(10)])
    settings = SHORT.model_dump()
    pretrained = RepresentationConsistency(injection=injection)
    unshaken.harden("small-cnn", data, [pretrained], out=tmp_path / "pre", **settings)
    tuned = unshaken.harden(
        f"run:{tmp_path}/pre", data, [RepresentationTuning(sigma=0.5)], out=tmp_path / "tuned", **settings
    )
    loaded = unshaken.load_model(f"run:{tmp_path}/tuned").eval()
    assert isinstance(loaded.net, TimedNet)
    assert loaded.net.level.item() == pytest.approx(0.96542, abs=1e-5)
    assert loaded.mean.flatten().tolist() == [0.5]
    x = photos[0][:6].float() / 255
    assert torch.allclose(loaded(x), tuned.model(x), atol=1e-5)
    scaled = (2 * x - 1) / (loaded.net.level**2 + 0.25) ** 0.5
    encoder = loaded.net.encoder
    wanted = encoder.head(encoder.features(scaled, torch.full((6,), loaded.net.level.item())))
    assert torch.allclose(loaded(x), wanted, atol=1e-5)


@pytest.mark.parametrize("arch", ["small-cnn", "small-vit"])
def test_images_without_labels_and_classes_afterwards(photos, tmp_path, arch):
    images, labels = photos
    unlabelled = InMemory(images, torch.zeros(len(images), dtype=torch.int64), classes=["any"])
    labelled = InMemory(images, labels, classes=[str(i) for i in range(10)])
    recipe = RepresentationConsistency(injection="token" if arch == "small-vit" else "bias")
    unshaken.harden(arch, unlabelled, [recipe], out=tmp_path / "pre", **SHORT.model_dump())
    tuned = unshaken.harden(
        f"run:{tmp_path}/pre", labelled, [RepresentationTuning()], new_head=True, out=tmp_path / "tuned",
        **SHORT.model_dump(),
    )  # fmt: skip
    x = images[:5].float() / 255
    assert tuned.model(x).shape == (5, 10)
    assert torch.allclose(unshaken.load_model(f"run:{tmp_path}/tuned")(x), tuned.model(x), atol=1e-5)


def test_what_does_not_go():
    with pytest.raises(ParameterError, match="take smooth-adv afterwards"):
        Composition([RepresentationTuning(), Searching()])
    with pytest.raises(ParameterError, match="both bring"):
        Composition([RepresentationTuning(), Consistency()])
    for bad, why in (
        ({"copies": 1}, "one copy cannot disagree"),
        ({"keep_head": True}, "untrained head"),
        ({"points": 1}, "2 points or more"),
        ({"least": 90.0}, "least is below most"),
        ({"sigma": 0}, "sigma=0"),
    ):
        with pytest.raises(ParameterError, match=why):
            RepresentationTuning(**bad)
    assert RepresentationTuning(copies=1, lbd=0).copies == 1
