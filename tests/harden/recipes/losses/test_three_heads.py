"""Three heads against numbers by hand, and the original that must stay as it was to the bit."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.noise import Noise
from unshaken.harden.recipes.losses.three_heads import (
    ThreeHeads,
    cost,
    distillation,
    heads,
    in_mode,
    original,
    routed,
    teacher_passes,
)
from unshaken.harden.recipes.losses.three_heads_net import route, section_of, trunk_of
from unshaken.harden.surgery.surgery import checksum
from unshaken.models import load_model
from unshaken.models.networks.small import SmallCNN

MODES = ("route", "combined", "clean", "unclean", "average", "uncertainty-only")
QUICK = Training(
    epochs=1, batch_size=40, optimizer="adamw", lr=0.01, held_out=20, check_images=1, select="last", channels_last=False
)
SECTION = "body.3+head"


def fresh(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return Classifier(SmallCNN(10, 1, 28), mean=[0.3], std=[0.4]).eval()


@pytest.fixture(scope="module")
def some(photos):
    return photos[0][:32].float() / 255


@pytest.fixture(scope="module")
def photos():
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (200, 1, 28, 28), generator=draw, dtype=torch.uint8), torch.arange(200) % 10


@pytest.fixture(scope="module")
def trained(photos):
    """The model before, and with three heads after a few steps."""
    model = fresh()
    before = copy.deepcopy(model)
    recipe = ThreeHeads(section=SECTION).taught_by(fresh(3))
    return before, fit(model, *photos, [recipe, Noise()], QUICK, classes=10).last, recipe


def test_before_training_all_modes_are_the_original(some):
    model = fresh()
    wanted = model(some)
    three = ThreeHeads(section=SECTION).rebuild(copy.deepcopy(model))
    for logits in heads(three, some):
        assert torch.equal(logits, wanted)
    for mode in MODES:
        found = in_mode(three, mode)(some)
        if mode == "average":
            assert torch.allclose(found, wanted.log_softmax(1), atol=1e-5)
        else:
            assert torch.equal(found, wanted)
    predicted, chosen = routed(three, some)
    assert chosen.sum() == 0
    assert torch.equal(predicted, wanted.argmax(1))


def test_after_training_the_original_is_there_to_the_bit(trained, some):
    before, three, _ = trained
    assert checksum(original(three).net.state_dict()) == checksum(before.net.state_dict())
    assert torch.equal(in_mode(three, "clean")(some), before(some))
    assert torch.equal(heads(three, some)[0], before(some))
    assert all(p.grad is None for p in three.net.net.parameters())
    for part in (three.net.unclean, three.net.combined):
        assert all(float(p.grad.abs().sum()) > 0 for p in part.parameters())
    logits = heads(three, some).detach()
    assert float((logits[1] - logits[0]).abs().max()) > 1e-3
    assert float((logits[2] - logits[1]).abs().max()) > 1e-3


def test_counts_of_batch_norms_in_the_trunk_stay_and_in_the_copies_move(trained):
    _, three, _ = trained
    assert int(three.net.net.body[0][1].num_batches_tracked) == 0
    assert int(three.net.unclean[0][1].num_batches_tracked) == 4
    assert int(three.net.combined[0][1].num_batches_tracked) == 4


def test_no_gradient_reaches_the_teacher(trained):
    teacher = trained[2]._teacher
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())


def test_modes_by_their_definitions(trained, some):
    _, three, _ = trained
    logits = heads(three, some)
    probabilities = logits.softmax(2)
    assert torch.equal(in_mode(three, "unclean")(some), logits[1])
    assert torch.equal(three(some), logits[2])
    assert torch.allclose(in_mode(three, "average")(some).exp(), probabilities.mean(0), atol=1e-6)
    chosen = (-(probabilities * probabilities.log()).sum(2)).argmin(0)
    sure = in_mode(three, "uncertainty-only")(some)
    assert all(torch.equal(sure[i], logits[h, i]) for i, h in enumerate(chosen.tolist()))
    _, sent = routed(three, some)
    way = in_mode(three, "route")(some)
    assert all(torch.equal(way[i], logits[h, i]) for i, h in enumerate(sent.tolist()))


def test_routing_by_hand():
    clean, unclean, combined = ([0.8, 0.2], [0.5, 0.5], [0.9, 0.1])
    logits = torch.tensor([[clean, unclean], [unclean, clean], [combined, combined]]).log()
    assert route(logits).tolist() == [0, 1]
    combined, clean, unclean = logits[2, :1], logits[0, :1], logits[1, :1]
    assert float((combined.exp() * (combined - clean)).sum()) == pytest.approx(0.036690, abs=1e-6)
    assert float(distillation(clean, combined, 1.0)) == pytest.approx(0.036690, abs=1e-6)
    assert float(distillation(unclean, combined, 1.0)) == pytest.approx(0.368064, abs=1e-6)


def test_distillation_by_hand():
    student = torch.tensor([[2.0, 0.0]], requires_grad=True)
    teacher = torch.zeros(1, 2)
    assert float(distillation(student.detach(), teacher, 1.0)) == pytest.approx(0.433781, abs=1e-6)
    assert float(distillation(student.detach(), student.detach(), 2.0)) == 0
    tau = 3.0
    (slope,) = torch.autograd.grad(distillation(student, teacher, tau).sum(), student)
    assert torch.allclose(slope, tau * ((student / tau).softmax(1) - (teacher / tau).softmax(1)), atol=1e-6)


def test_a_teacher_that_knows_nothing_teaches_nothing(photos, step_of):
    """With uniform teacher predictions w is 0: the loss is that without a teacher."""
    net = SmallCNN(10, 1, 28)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    losses = []
    for recipe in (ThreeHeads(section=SECTION).taught_by(Classifier(net)), ThreeHeads(section=SECTION)):
        model = recipe.rebuild(fresh()).train()
        step = step_of(model, photos[0][:8].float() / 255, photos[1][:8])
        recipe.augment(step)
        Noise().augment(step)
        losses.append(float(recipe.loss(step).detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_the_loss_by_hand(photos, step_of):
    teacher = fresh(3)
    recipe = ThreeHeads(section=SECTION, dropout=0, weight=0.7).taught_by(teacher)
    model = recipe.rebuild(fresh()).train()
    labels = photos[1][:8]
    step = step_of(model, photos[0][:8].float() / 255, labels)
    recipe.augment(step)
    clean = step.images
    Noise().augment(step)
    logits = model(torch.cat([clean, step.images]))
    c, m, u, m2 = logits[:8, 0], logits[:8, 1], logits[8:, 0], logits[8:, 1]
    t = teacher(step.images)

    def kd(z, target):
        p = (target / 2).softmax(1)
        return 4 * (p * (p.log() - (z / 2).log_softmax(1))).sum(1)

    def sure(z):
        return 1 + (z.softmax(1) * z.log_softmax(1)).sum(1) / math.log(10)

    cross = sum(nn.functional.cross_entropy(z, labels) for z in (u, m, m2))
    terms = (sure(t) * kd(u, t)).mean() + (sure(c) * kd(m, c)).mean() + (sure(t) * kd(m2, t)).mean()
    assert float(recipe.loss(step).detach()) == pytest.approx(float((cross + 0.7 * terms).detach()), rel=1e-5)
    silent = recipe.model_copy(update={"labelled": False})
    silent._teacher = teacher
    assert float(silent.loss(step).detach()) == pytest.approx(float((0.7 * terms).detach()), rel=1e-4)


def test_passes_of_a_teacher_with_dropout(some):
    teacher, rng = fresh(), SampleRng.of(0, "t", [str(i) for i in range(len(some))])
    still = teacher_passes(teacher, some, rate=0, passes=3, rng=rng)
    assert all(torch.allclose(p, teacher(some), atol=1e-6) for p in still)
    noisy = teacher_passes(teacher, some, rate=0.3, passes=400, rng=rng)
    assert float((noisy[0] - noisy[1]).abs().max()) > 1e-3
    assert torch.allclose(noisy.mean(0), teacher(some), atol=0.05)
    assert torch.equal(noisy, teacher_passes(teacher, some, rate=0.3, passes=400, rng=rng))
    without = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Tanh()))
    assert torch.equal(*teacher_passes(without, some, rate=0.3, passes=2, rng=rng))


def test_the_cost_is_counted(trained, some):
    _, three, _ = trained
    report = cost(three, some[:1])
    learn = sum(p.numel() for p in three.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in SmallCNN(10, 1, 28).parameters())
    assert report.tunable == learn == 2 * (40 * 80 * 9 + 2 * 80 + 80 * 10 + 10)
    assert report.share == learn / whole
    section = 2 * (14 * 14 // 4 * 40 * 80 * 9 + 80 * 10)
    assert report.flops_three - report.flops_original == 2 * section


def test_the_section_follows_from_a_share():
    net = SmallCNN(10, 3, 32)  # head 810, last block 28,960, of 52,110 in all
    assert section_of(net, (), 0.05) == ("head",)
    assert section_of(net, (), 0.01) == ("head",)
    assert section_of(net, (), 1.0) == ("head",)
    assert section_of(net, (), 1.2) == ("body.3", "head")
    assert trunk_of(net, ("body.3", "head")) == ("body.0", "body.1", "body.2")
    with pytest.raises(ParameterError, match="no module 'heads'; did you mean 'head'"):
        section_of(net, ("heads",), 0.1)
    with pytest.raises(ParameterError, match="lies in another"):
        section_of(net, ("body", "body.3"), 0.1)


class Winding(nn.Module):
    """A list of blocks, one activation used everywhere, a parameter of its own, and code between modules."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 6))
        self.stem = nn.Linear(784, 6)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 10)

    def forward(self, images):
        x = self.stem(images.flatten(1)) + self.token
        for block in self.blocks:
            x = x + self.act(block(x))
        return self.head(self.act(x))


@pytest.mark.parametrize("section", ["head", "blocks.2+head", "blocks.1+blocks.2+head", "blocks+head"])
def test_any_network_can_be_divided(some, section):
    model = Classifier(Winding()).eval()
    wanted = model(some)
    three = ThreeHeads(section=section).rebuild(model)
    for logits in heads(three, some):
        assert torch.equal(logits, wanted)
    for module in three.net.unclean.modules():
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0.01)
    other = copy.deepcopy(original(three))
    for path, module in zip(three.net.section, three.net.unclean, strict=True):
        other.net.set_submodule(path, module)
    assert torch.equal(heads(three, some)[1], other(some))
    assert not torch.equal(other(some), wanted)
    assert torch.equal(heads(three, some)[0], wanted)


def test_an_output_that_is_changed_in_place_is_refused(some):
    class Crooked(Winding):
        def forward(self, images):
            x = self.stem(images.flatten(1))
            x += self.token
            return self.head(x)

    three = ThreeHeads(section="head").rebuild(Classifier(Crooked()).eval())
    with pytest.raises(ModelError, match="the output of 'stem' is changed in place"):
        heads(three, some)


def test_one_shared_copy(photos, some):
    recipe = ThreeHeads(section=SECTION, shared=True, weight=0)
    three = fit(fresh(), *photos, [recipe, Noise()], QUICK, classes=10).last
    net = three.net
    assert net.unclean[0] is net.combined[0]
    assert net.unclean[1] is not net.combined[1]
    assert cost(three, some[:1]).tunable == 40 * 80 * 9 + 2 * 80 + 2 * (80 * 10 + 10)
    assert torch.equal(heads(three, some)[0], fresh()(some))


def test_gradients_of_an_attack_pass_through_every_mode(trained, some):
    _, three, _ = trained
    for mode in MODES:
        images = some.clone().requires_grad_(True)
        in_mode(three, mode)(images).sum().backward()
        assert float(images.grad.abs().sum()) > 0


def test_a_run_is_found_again(photos, tmp_path, some):
    from unshaken import harden

    run = harden("demo:standard", "demo", ["three-heads:share=0.3", "noise:sigma=0.1"], out=tmp_path / "run", limit=80,
                 epochs=1, batch_size=20, held_out=10, check_images=1)  # fmt: skip
    found = load_model(f"run:{tmp_path / 'run'}")
    assert torch.allclose(found(some), run.model(some), atol=1e-4)
    assert checksum(original(found).net.state_dict()) == checksum(load_model("demo:standard").net.state_dict())
    gap = found.net.combined[0].weight - original(found).net.head.weight
    assert float(gap.detach().abs().max()) > 1e-4


def test_wrong_use(photos, some, step_of):
    with pytest.raises(ParameterError, match="name a recipe after it"):
        fit(fresh(), *photos, [ThreeHeads(section=SECTION)], QUICK, classes=10)
    other = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)))
    with pytest.raises(ModelError, match="teacher has 3 classes, the data 10"):
        fit(fresh(), *photos, [ThreeHeads(section=SECTION).taught_by(other), Noise()], QUICK, classes=10)
    with pytest.raises(ParameterError, match="nothing to learn from"):
        fit(fresh(), *photos, [ThreeHeads(section=SECTION, labelled=False, weight=0), Noise()], QUICK, classes=10)
    for call in (lambda m: heads(m, some), original, lambda m: in_mode(m, "clean"), lambda m: cost(m, some[:1])):
        with pytest.raises(ModelError, match="has no three heads"):
            call(fresh())
    with pytest.raises(ParameterError, match="mode="):
        ThreeHeads(mode="best")
    three = ThreeHeads(section=SECTION).rebuild(fresh())
    assert ThreeHeads(section=SECTION).rebuild(three).net is three.net
    with pytest.raises(ParameterError, match="as many changed ones, not from 3"):
        three.train()(some[:3])
