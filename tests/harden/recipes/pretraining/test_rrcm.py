"""rRCM pretraining: InfoNCE by hand, what is shown to whom in a step, and what is left behind."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.generate.edm import karras_grid
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency, info_nce, noisy
from unshaken.harden.recipes.weights.ema import EMA
from unshaken.models.networks.timed_cnn import TimedCNN

SHORT = Training(epochs=4, batch_size=32, lr=2e-3, optimizer="adamw", select="last", check_every=4, held_out=8)


def fresh_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Classifier(TimedCNN(10, 1, 28))


@pytest.fixture
def ready(photos, step_of):
    """A recipe that has begun, and a step of 16 images."""

    def make(recipe, **given):
        images, labels = photos[0][:16].float() / 255, photos[1][:16]
        model = recipe.rebuild(fresh_model())
        memory = {}
        recipe.begin(Setup(model, images[:2], 10, 5, 10, 2, memory, lambda n: (images[:n], labels[:n])))
        return step_of(model, images, labels, memory={"rrcm": memory}, **given)

    return make


def test_noise_of_a_level_is_half_of_it_on_unit_pixels():
    x, n = torch.full((2, 1, 3, 3), 0.5), torch.ones(2, 1, 3, 3)
    found = noisy(x, n, torch.tensor([2.0, 80.0]))
    assert (2 * found - 1)[:, 0, 0, 0].tolist() == [2.0, 80.0]


class Watch:
    """What the network is asked, in order: online or average, the images, the levels and the output."""

    def __init__(self, monkeypatch):
        self.calls = []
        for name in ("_online", "_average"):
            real = getattr(RepresentationConsistency, name)

            def spy(recipe, step, images, level, output, *, name=name, real=real):
                self.calls.append((name, images, level, output, torch.is_grad_enabled()))
                return real(recipe, step, images, level, output)

            monkeypatch.setattr(RepresentationConsistency, name, spy)


def test_six_passes_of_which_three_learn(ready, monkeypatch):
    step, watch = ready(RepresentationConsistency()), Watch(monkeypatch)
    loss = RepresentationConsistency().loss(step)
    names = [(c[0], c[3], c[4]) for c in watch.calls]
    assert names == [
        ("_online", "projection", True),
        ("_average", "projection", True),
        ("_online", "projection", True),
        ("_average", "projection", True),
        ("_online", "features", True),
        ("_online", "features", False),
    ]
    (first, second), (other, again) = [c[1] for c in watch.calls[:2]], [c[1] for c in watch.calls[2:4]]
    assert torch.equal(first, again)
    assert torch.equal(second, other)
    assert (first - second).abs().mean() > 0.02
    assert all(torch.equal(c[2], torch.full((16,), 0.002)) for c in watch.calls[:4])
    assert loss.item() == pytest.approx(step.figures["contrast"] + step.figures["consistency"], rel=1e-5)


def test_neighbours_share_the_image_the_noise_and_the_index(ready, monkeypatch):
    step, watch = ready(RepresentationConsistency(contrast=0, mirror=0)), Watch(monkeypatch)
    RepresentationConsistency(contrast=0, mirror=0).loss(step)
    (_, high, t, _, _), (_, low, u, _, _) = watch.calls
    assert (t.unique().numel(), u.unique().numel()) == (1, 1)
    grid = karras_grid(21).float()
    i = int((grid - t[0]).abs().argmin())
    assert torch.equal(grid[i : i + 2], torch.stack([t[0], u[0]]))
    noise = (high - step.images) / (t[0] / 2)
    assert float(noise.std()) == pytest.approx(1, rel=0.02)
    assert torch.allclose((low - step.images) / (u[0] / 2), noise, atol=1e-2 / float(u[0]))


def test_indices_are_shared_or_ones_own_and_cover_the_grid(ready):
    shared, own = RepresentationConsistency(), RepresentationConsistency(index="sample")
    step, seen = ready(shared), set()
    for number in range(200):
        step.number = number
        found = shared.drawn(step, step.rng, 5)
        assert found.unique().numel() == 1
        seen.add(int(found[0]))
    assert seen == {0, 1, 2, 3}
    found = torch.cat([own.drawn(step, step.rng.fold(i), 5) for i in range(50)])
    assert found.bincount().tolist() == pytest.approx([200] * 4, abs=60)
    assert int(found.max()) == 3


def test_curriculum_grid_and_keys_are_options(ready, monkeypatch):
    watch = Watch(monkeypatch)
    recipe = RepresentationConsistency(contrast=0, points=3, least=0.1, most=5.0, target="average", project=True)
    recipe.loss(ready(recipe))
    assert [c[0] for c in watch.calls] == ["_online", "_average"]
    assert [c[3] for c in watch.calls] == ["projection"] * 2
    grid = karras_grid(3, 5.0, 0.1).float().tolist()
    assert (float(watch.calls[0][2][0]), float(watch.calls[1][2][0])) in (tuple(grid[:2]), tuple(grid[1:]))
    watch.calls.clear()
    once = RepresentationConsistency(consistency=0, swap=False)
    once.loss(ready(once))
    assert len(watch.calls) == 2


def test_the_average_moves_by_the_schedule(ready):
    recipe = RepresentationConsistency()
    step = ready(recipe)
    memory, net = step.memory["rrcm"], step.classifier.net
    name = "encoder.body.0.0.weight"
    before = memory[f"target.{name}"].clone()
    assert torch.equal(before, net.get_parameter(name))
    with torch.no_grad():
        net.get_parameter(name).add_(1.0)
    recipe.after_step(step)
    assert torch.allclose(memory[f"target.{name}"], before + 0.01, atol=1e-6)
    RepresentationConsistency(decay=0.5, decay_end=0.5).after_step(step)
    assert torch.allclose(memory[f"target.{name}"], before + 0.505, atol=1e-6)


def test_the_average_gives_the_keys(ready):
    recipe = RepresentationConsistency()
    step = ready(recipe)
    level = torch.full((16,), 0.5)
    online = recipe._online(step, step.images, level, "features")
    assert torch.allclose(recipe._average(step, step.images, level, "features"), online, atol=1e-6)
    with torch.no_grad():
        step.classifier.net.encoder.flat.weight.mul_(-1)
    changed = recipe._online(step, step.images, level, "features")
    assert not torch.allclose(changed, online, atol=1e-2)
    kept = recipe._average(step, step.images, level, "features")
    assert torch.allclose(kept, online, atol=1e-6)
    assert not kept.requires_grad


def test_the_keys_batch_norms_are_their_own(ready):
    recipe = RepresentationConsistency()
    step = ready(recipe)
    step.classifier.train()
    recipe._average(step, step.images, torch.full((16,), 0.5), "projection")
    assert step.classifier.net.projector[1].num_batches_tracked == 0
    assert step.memory["rrcm"]["target.projector.1.num_batches_tracked"] == 1


def test_figures_by_quarters_of_the_noise(ready):
    recipe = RepresentationConsistency(contrast=0, index="sample", points=5)
    step = ready(recipe)
    recipe.loss(step)
    where = recipe.drawn(step, step.rng.fold("rrcm"), 5)
    quarters = [step.figures.get(f"consistency_quarter{q + 1}", 0.0) for q in range(4)]
    assert sum(t * int((where == q).sum()) for q, t in enumerate(quarters)) / 16 == pytest.approx(
        step.figures["consistency"], rel=1e-5
    )


def test_training_learns_both_and_leaves_head_and_labels_alone(photos):
    start = fresh_model()
    head = copy.deepcopy(start.net.head.weight)
    fitted = fit(start, *photos, [RepresentationConsistency()], SHORT)
    first, last = (fitted.progress.curves[i] for i in (0, -1))
    assert last["contrast"] < first["contrast"]
    assert last["consistency"] < first["consistency"] < math.log(32) + 0.1
    net = fitted.last.net
    assert torch.equal(net.encoder.head.weight, head)
    assert all(p.requires_grad for p in net.parameters())
    shuffled = fit(fresh_model(), photos[0], photos[1].roll(1), [RepresentationConsistency()], SHORT).last.net
    assert F.mse_loss(shuffled.encoder.flat.weight, net.encoder.flat.weight) < 1e-3


def test_an_average_to_be_kept_goes_beside(photos):
    training = SHORT.model_copy(update={"epochs": 1})
    fitted = fit(fresh_model(), *photos, [RepresentationConsistency(), EMA(decay=0.5)], training)
    assert fitted.last(photos[0][:2].float() / 255).shape == (2, 10)


def test_what_does_not_go():
    for other, why in ((Mixup(), "labels are not used"), (AdversarialTraining(), "both bring a loss")):
        with pytest.raises(ParameterError, match=why):
            Composition([RepresentationConsistency(), other])
    with pytest.raises(ParameterError, match="nothing to learn"):
        RepresentationConsistency(contrast=0, consistency=0)
    for bad in ({"points": 1}, {"least": 80.0}):
        with pytest.raises(ParameterError, match="2 points or more, and least is below most"):
            RepresentationConsistency(**bad)
    for bad in ({"temperature": 0}, {"decay": 1.0}, {"index": "image"}):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            RepresentationConsistency(**bad)


@pytest.mark.parametrize("n", [2, 256])
def test_info_nce_of_equal_embeddings_is_log_b(n):
    same = torch.ones(n, 5)
    assert info_nce(same, same).tolist() == pytest.approx([math.log(n)] * n, abs=1e-5)


def test_info_nce_of_orthonormal_embeddings():
    eye = torch.eye(256)
    wanted = math.log(math.exp(5) + 255) - 5
    assert wanted == pytest.approx(0.999961, abs=1e-6)
    assert info_nce(eye, 3 * eye).tolist() == pytest.approx([wanted] * 256, abs=1e-5)
    assert info_nce(eye[:4], eye[:4], tau=1.0)[0].item() == pytest.approx(math.log(math.e + 3) - 1, abs=1e-5)


def test_info_nce_by_hand_and_where_gradients_go():
    u = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    v = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    found = info_nce(u, v, tau=0.5)
    half = math.sqrt(0.5)
    assert found[0].item() == pytest.approx(math.log(math.exp(2) + 1) - 2, abs=1e-6)
    assert found[1].item() == pytest.approx(math.log(2 * math.exp(2 * half)) - 2 * half, abs=1e-6)
    found.sum().backward()
    assert u.grad.abs().sum() > 0
    assert v.grad is None
    assert info_nce(torch.eye(4).bfloat16(), torch.eye(4).bfloat16()).dtype == torch.float32


def test_the_usual_temperature():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(info_nce(z[:3], z[3:]), info_nce(z[:3], z[3:], 0.2))
