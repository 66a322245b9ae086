"""What all attacks share: checks at the edge, flags, random models, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken import api
from unshaken.attack.black_box.spatial import Spatial
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.jsma import JSMA
from unshaken.attack.gradient.mi_fgsm import MIFGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.attack.minimal_norm.fab import FAB
from unshaken.core import Batch, Classifier, Oracle, UnshakenError
from unshaken.core.classifier import evaluating
from unshaken.core.context import Context
from unshaken.core.errors import ModelError, ParameterError
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of


@pytest.fixture
def net(make):
    return make.net(classes=3)


@pytest.fixture
def batch(make, net):
    return make.batch(net, make.images(8, 1, 8, 8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm": "l7"}, "norm 'l7' is not one of linf, l2, l1"),
        ({"eps": []}, "give eps"),
        ({"eps": [-0.1]}, "eps -0.1 must be"),
        ({"eps": [0.1, float("nan")]}, "eps nan must be"),
        ({"eps": [float("inf")]}, "eps inf must be"),
    ],
)
def test_bad_budgets_are_refused_in_one_line(net, batch, change, words):
    with pytest.raises(ParameterError, match=words) as caught:
        FGSM().attack(Oracle(net), batch, **{"norm": "linf", "eps": [0.1], **change})
    assert "\n" not in str(caught.value)
    with pytest.raises(ParameterError, match=words):
        conditions_of(FGSM(), Line("fgsm", **{"norm": "linf", "eps": [0.1], **change}))


def test_severities_are_refused():
    with pytest.raises(ParameterError, match="eps, not severities"):
        conditions_of(FGSM(), Line("fgsm", severities=(1,), eps=(0.1,)))


@pytest.mark.parametrize(
    ("labels", "targets", "words"),
    [
        (None, None, "no labels"),
        ([0, 1, 2, 3, 0, 0, 0, 0], None, "label or target 3 is not a class of the model, which has 0 to 2"),
        ([0, 1, -1, 0, 0, 0, 0, 0], None, "-1 is not a class"),
        ([0] * 8, [1] * 7, "one target per sample"),
        ([0] * 8, [1] * 7 + [0], "different from its label"),
        ([0] * 8, [1] * 7 + [9], "9 is not a class"),
    ],
)
def test_bad_labels_and_targets_are_refused(net, batch, labels, targets, words):
    wrong = Batch(batch.images, None if labels is None else torch.tensor(labels), batch.ids)
    with pytest.raises(ParameterError, match=words):
        FGSM().attack(
            Oracle(net), wrong, norm="linf", eps=[0.1], targets=None if targets is None else torch.tensor(targets)
        )


def test_images_outside_the_unit_range_are_refused(net, batch):
    pixels = torch.zeros_like(batch.images)
    pixels[0, 0, 0, 0] = 255
    with pytest.raises(UnshakenError, match="pixel values run from 0 to 255"):
        FGSM().attack(Oracle(net), batch.with_images(pixels), norm="linf", eps=[0.1])


def test_images_that_rounding_left_outside_are_clipped_first(net, batch):
    images = batch.images.clone()
    images[:, 0, 0, 0] = 1 + 5e-5
    (got,), _ = PGD(steps=2, random_start=False).attack(Oracle(net), batch.with_images(images), norm="linf", eps=[0.01])
    assert bool((got.images <= 1).all())
    assert torch.allclose(got.distance, (got.images - images.clamp(0, 1)).abs().flatten(1).amax(1).double())


def test_half_precision_images_are_attacked_in_float32(net, batch):
    half = batch.images.bfloat16()
    (got,), _ = PGD(steps=3).attack(Oracle(net), batch.with_images(half), norm="linf", eps=[0.02])
    (same,), _ = PGD(steps=3).attack(Oracle(net), batch.with_images(half.float()), norm="linf", eps=[0.02])
    assert got.images.dtype == torch.float32
    assert torch.equal(got.images, same.images)


def test_a_black_box_is_refused_for_gradient_attacks(net, batch):
    box = Classifier(net.net, differentiable=False, name="box")
    with pytest.raises(ModelError, match="'box' gives no gradients"):
        FGSM().attack(Oracle(box), batch, norm="linf", eps=[0.1])


class Steps(nn.Module):
    """Rounds its input, so that the gradient is zero."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x * 8).round() / 8)


def test_zero_gradients_are_flagged_with_the_samples(net, make):
    model = Classifier(Steps(net.net)).eval()
    batch = make.batch(model, make.images(5, 1, 8, 8))
    for attack in (FGSM(), PGD(steps=3)):
        _, flags = attack.attack(Oracle(model), batch, norm="linf", eps=[0.001])
        assert [(f.name, f.ids) for f in flags] == [("zero-gradient", batch.ids)]


def test_no_flag_where_gradients_are_there(net, batch):
    assert PGD(steps=3).attack(Oracle(net), batch, norm="linf", eps=[0.01, 0.3])[1] == []


class Dice(nn.Module):
    """Robust but for luck: now and then a forward pass answers another class, whatever the image."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.count, self.w = every, 0, nn.Parameter(torch.ones(1))

    def forward(self, x):
        self.count += 1
        total = x.flatten(1).sum(1) * self.w * 1e-3 + (1.0 if self.count % self.every else -1.0)
        return torch.stack([total, -total], 1)


def test_a_random_model_is_not_broken_by_one_lucky_draw():
    batch = Batch(torch.full((4, 1, 4, 4), 0.5), torch.zeros(4, dtype=torch.int64), tuple("abcd"))
    clean = torch.tensor([[1.0, -1.0]]).expand(4, 2)
    lucky = PGD(steps=8).attack(Oracle(Classifier(Dice(1))), batch, norm="linf", eps=[0.1], clean=clean)[0][0]
    assert bool(lucky.fooled.all())  # always wrong: broken, by a vote of all draws too
    for every in (2, 3, 5):
        # Odd numbers of draws at the last look: most of them are right.
        oracle = Oracle(Classifier(Dice(every)), draws=5)
        (got,), _ = PGD(steps=8).attack(oracle, batch, norm="linf", eps=[0.1], clean=clean)
        assert not bool(got.fooled.any()), every
        assert got.forwards.tolist() == [8 * 5 + 5] * 4
        assert got.backwards.tolist() == [8 * 5] * 4
    (broken,), _ = PGD(steps=2).attack(Oracle(Classifier(Dice(1)), draws=5), batch, norm="linf", eps=[0.1], clean=clean)
    assert bool(broken.fooled.all())


def test_gradients_of_a_random_model_are_averages():
    class Signs(nn.Module):
        """Its gradient is +3 every fourth pass and -2 else: the mean of four, -0.75, has another sign than one."""

        def __init__(self):
            super().__init__()
            self.count = 0

        def forward(self, x):
            self.count += 1
            total = x.flatten(1).sum(1) * (3.0 if self.count % 4 == 1 else -2.0) / 10 + 1
            return torch.stack([total, -total], 1)

    batch = Batch(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, dtype=torch.int64), ("a",))
    clean = torch.tensor([[1.0, -1.0]])
    # The loss rises as the total falls: the mean slope is negative, so the pixels rise.
    (one,), _ = FGSM().attack(Oracle(Classifier(Signs())), batch, norm="linf", eps=[0.1], clean=clean)
    (four,), _ = FGSM().attack(Oracle(Classifier(Signs()), draws=4), batch, norm="linf", eps=[0.1], clean=clean)
    assert one.images.flatten().tolist() == pytest.approx([0.4] * 4)
    assert four.images.flatten().tolist() == pytest.approx([0.6] * 4)


def test_bf16_search_is_judged_in_float32(net, batch):
    (got,), _ = PGD(steps=10, rel_stepsize=0.2).attack(Oracle(net, precision="bf16"), batch, norm="linf", eps=[0.05])
    assert got.images.dtype == torch.float32
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    assert int(got.fooled.sum()) > 0


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_batch_size_and_order_change_no_flag(net, batch, limit):
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    (whole,), _ = PGD(steps=5, restarts=2).attack(Oracle(net), batch, norm="linf", eps=[0.03])
    (other,), _ = PGD(steps=5, restarts=2).attack(Oracle(net, limit=limit), batch[order], norm="linf", eps=[0.03])
    assert torch.equal(whole.fooled[order], other.fooled)
    assert torch.allclose(whole.images[order], other.images, atol=1e-5)
    assert torch.equal(whole.forwards[order], other.forwards)


def test_the_seed_matters_and_repeats(net, batch):
    same, again, other = (
        PGD(steps=1).attack(Oracle(net), batch, norm="linf", eps=[1e-3], seed=s)[0][0].images for s in (0, 0, 1)
    )
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_an_empty_batch_has_empty_results(net, batch):
    (got,), flags = PGD().attack(Oracle(net), batch[slice(0, 0)], norm="linf", eps=[0.1])
    assert got.images.shape == (0, 1, 8, 8)
    assert flags == []


def test_rows_of_two_budgets(net, batch):
    oracle = Oracle(net)
    attack = PGD(steps=5)
    conditions = conditions_of(attack, Line("pgd", eps=(0.01, 0.1)))
    assert [c.id for c in conditions] == ["pgd-linf-0.01", "pgd-linf-0.1"]
    with evaluating(net):
        parts = rows_of(attack, batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    found, _ = attack.attack(Oracle(net), batch, norm="linf", eps=[0.01, 0.1])
    turns = [p for p in parts if p.table == "turns"]
    assert [p.columns["standing"] for p in turns] == [[8], [8 - int(found[0].fooled.sum())]]
    assert [p.columns["broken"] for p in turns] == [
        [int(found[0].fooled.sum())],
        [int((found[1].fooled & ~found[0].fooled).sum())],
    ]
    for part, one, eps in zip([p for p in parts if p.table == "outcomes"], found, (0.01, 0.1), strict=True):
        table = table_of(part)
        assert table["broken_by"].to_pylist() == ["pgd" if f else None for f in one.fooled.tolist()]
        assert table["eps"].to_pylist() == [eps] * 8
        assert table["correct"].to_pylist() == (~one.fooled).tolist()
        assert table["distance"].to_pylist() == one.distance.tolist()
        assert table["forwards"].to_pylist() == one.forwards.tolist()
        assert table["survives_8bit"].to_pylist() == [None if v < 0 else bool(v) for v in one.survives_8bit.tolist()]
        assert torch.equal(part.images(torch.tensor([1, 3])), one.images[[1, 3]])


def test_flags_stand_with_the_first_budget(net, make):
    model = Classifier(Steps(net.net)).eval()
    batch = make.batch(model, make.images(5, 1, 8, 8))
    conditions = conditions_of(FGSM(), Line("fgsm", eps=(1e-3, 2e-3)))
    parts = rows_of(FGSM(), batch, conditions, Context(Oracle(model), 0, model(batch.images).detach()))
    assert [len(p.flags) for p in parts if p.table == "outcomes"] == [1, 0]
    assert [p.columns["turn"] for p in parts if p.table == "turns"] == [[0], [0]]


def test_phases_are_chosen_for_the_largest_finite_budget(net, batch):
    asked = []

    class Curious(DeepFool):
        def phases(self, context):
            asked.append((context.eps, context.norm, context.classes, context.seed, context.samples))
            return super().phases(context)

    attack = Curious(steps=1)
    attack.attack(Oracle(net), batch, norm="l2", eps=[0.1, 0.3, float("inf")])
    attack.attack(Oracle(net), batch, norm="linf", eps=[float("inf")], seed=4, samples=9)
    assert asked == [(0.3, "l2", 3, 0, 0), (float("inf"), "linf", 3, 4, 9)]


def test_the_most_passes_are_those_of_all_runs():
    assert PGD(steps=5, restarts=3).most_passes(10) == 3 * (5 + 5)
    assert PGD(steps=5).cost(10) == (5, 5)
    assert FGSM().cost(10) == (1, 1)
    assert FGSM().most_passes(10) == 2


def test_targeted_examples_are_examined_in_8_bits_too(net, batch):
    targets = net(batch.images).topk(2, 1).indices[:, 1]
    (got,), _ = PGD(steps=10, rel_stepsize=0.2).attack(Oracle(net), batch, norm="linf", eps=[0.1], targets=targets)
    assert int(got.fooled.sum()) > 2
    kept = (net((got.images * 255).round() / 255).argmax(1) == targets).to(torch.int8)
    assert torch.equal(got.survives_8bit, torch.where(got.fooled, kept, -1).to(torch.int8))


class Root(nn.Module):
    """The lead is the last pixel less 0.45; the first pixel has no part, and a gradient of NaN where it is black."""

    def forward(self, x):
        lead = x.flatten(1)[:, -1] - 0.45 + 0 * x.flatten(1)[:, 0].sqrt()
        return torch.stack([lead, -lead], 1)


@pytest.mark.parametrize(
    ("attack", "norms"),
    [
        (FGSM(), ("linf", "l2", "l1")),
        (PGD(steps=9, rel_stepsize=0.3, random_start=False), ("linf", "l2", "l1")),
        (MIFGSM(), ("linf", "l2", "l1")),
        (APGD(steps=20), ("linf", "l2", "l1")),
        (JSMA(theta=-1.0), ("linf",)),
        (DeepFool(), ("linf", "l2")),
        (FAB(steps=5), ("linf", "l2", "l1")),
        (CarliniWagner(steps=50, search_steps=3, initial_c=1.0), ("l2",)),
    ],
    ids=["fgsm", "pgd", "mi-fgsm", "apgd", "jsma", "deepfool", "fab", "carlini-wagner"],
)
def test_a_pixel_without_a_gradient_does_not_stop_an_attack(attack, norms):
    batch = Batch(torch.tensor([0.0, 0.5, 0.5]).view(1, 1, 1, 3), torch.zeros(1, dtype=torch.int64), ("a",))
    model = Classifier(Root()).eval()
    for norm in norms:
        (got,), flags = attack.attack(Oracle(model), batch, norm=norm, eps=[0.1])
        assert got.fooled.tolist() == [True], norm
        assert bool(got.images.isfinite().all())
        assert flags == []


def test_a_gradient_of_nan_everywhere_is_flagged():
    class Nowhere(nn.Module):
        def forward(self, x):
            lead = 1 + 0 * x.flatten(1).sum(1).sqrt()
            return torch.stack([lead, -lead], 1)

    batch = Batch(torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    _, flags = FGSM().attack(Oracle(Classifier(Nowhere()).eval()), batch, norm="linf", eps=[0.1])
    assert [(f.name, f.ids) for f in flags] == [("zero-gradient", ("a", "b"))]


@pytest.mark.parametrize(
    ("eps", "ids"),
    [
        ((), ["m-l2"]),
        ((0.5,), ["m-l2-0.5", "m-l2"]),
        ((0.5, math.inf, 0.1), ["m-l2-0.5", "m-l2-0.1", "m-l2"]),
    ],
)
def test_conditions_of_a_minimal_attack_have_one_without_a_budget(eps, ids):
    got = conditions_of(DeepFool(), Line("m", eps=eps, norm="l2"))
    assert [c.id for c in got] == ids
    assert [(c.eps, c.norm) for c in got][-1] == (None, "l2")


def test_rows_of_a_minimal_attack(make):
    model, batch, distance = make.spread("l2", 20)
    attack, oracle = DeepFool(), Oracle(model)
    conditions = conditions_of(attack, Line("deepfool", eps=(float(distance.median()),), norm="l2"))
    parts = rows_of(attack, batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    rows = [p for p in parts if p.table == "outcomes"]
    assert [p.condition for p in rows] == conditions
    assert [sum(p.columns["correct"]) for p in rows] == [
        int((1.02 * distance > float(distance.median())).sum()),
        0,
    ]
    assert [p.columns["standing"] for p in parts if p.table == "turns"] == [[20], [20]]


def test_an_attack_without_a_norm_has_no_eps(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    (condition,) = conditions_of(Spatial(), Line("spatial"))
    assert (condition.id, condition.eps, condition.norm) == ("spatial", None, None)
    for call in (
        lambda: conditions_of(Spatial(), Line("spatial", eps=(0.1,))),
        lambda: Spatial().attack(Oracle(net), batch, eps=[0.1]),
    ):
        with pytest.raises(ParameterError, match=r"^spatial: has no eps; its budget is set by its own"):
            call()
    (got,), _ = Spatial().attack(Oracle(net), batch)
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)


# An attack called on tensors.


def test_an_attack_on_tensors_is_that_of_a_run(make, tmp_path):
    """The net computes in float64: passes are the same numbers in a batch of any size."""
    net = make.net(classes=3).net.train()
    images = torch.randint(0, 256, (12, 1, 8, 8), generator=torch.Generator().manual_seed(3)) / 255
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[0] = (labels[0] + 1) % 3  # one that is wrong from the start
    mark = images.clone()
    found = PGD(steps=3).perturb(net, images, labels, eps=0.1)
    assert torch.equal(PGD(steps=3)(net, images, labels, eps="0.1"), found.images)
    assert torch.equal(images, mark)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    run = api.attack(net, (images, labels), PGD(steps=3), eps=0.1, save_examples=-1, out=tmp_path / "run").run
    rows = {r["id"]: r for r in run.rows("outcomes").to_pylist() if r["condition"].startswith("pgd")}
    assert [not rows[str(i)]["correct"] for i in range(12)] == found.fooled.tolist()
    assert found.fooled.any()
    assert not found.fooled.all()
    kept = run.examples("pgd-linf-0.1")
    for i in (i for i in range(12) if str(i) in kept):
        assert torch.allclose(kept[str(i)], found.images[i], atol=1e-6)
    assert [rows[str(i)]["forwards"] for i in range(12)] == found.forwards.tolist()


def test_adversarial_tensors_fool_within_the_budget(make):
    model, batch, _ = make.spread("linf", 8)  # affine: each image's smallest eps is known by hand
    for attack in (FGSM(), PGD(steps=5), MIFGSM(steps=5)):
        found = attack.perturb(model, batch.images.double(), batch.labels.int(), norm="linf", eps=0.02)
        assert found.images.shape == batch.images.shape
        assert bool(((found.images - batch.images).abs() <= 0.02 + 1e-6).all())
        assert torch.equal(model(found.images).argmax(1) != batch.labels, found.fooled)


def test_without_a_budget_the_usual_one_or_the_nearest_example(make):
    model, batch, smallest = make.spread("l2", 4)
    near = DeepFool().perturb(model, batch.images, batch.labels, norm="l2")
    assert torch.allclose(near.distance, smallest.double(), rtol=0.05, atol=1e-3)
    usual = PGD(steps=5)(model, batch.images, batch.labels)
    assert torch.equal(usual, PGD(steps=5)(model, batch.images, batch.labels, eps=8 / 255))
    assert Spatial(rotation=1, translation=0)(model, batch.images, batch.labels).shape == batch.images.shape


def test_targets_are_reached(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    targets = (batch.labels + 1) % 3
    found = PGD(steps=20).perturb(net, batch.images, batch.labels, targets=targets, eps=0.5)
    assert bool(found.fooled.any())
    assert torch.equal(net(found.images).argmax(1) == targets, found.fooled)


def test_no_image_gives_no_image(net, batch):
    assert PGD()(net, batch.images[:0], batch.labels[:0]).shape == (0, 1, 8, 8)


def test_flags_of_an_attack_on_tensors_are_warnings(net, make):
    model = Classifier(Steps(net.net)).eval()
    batch = make.batch(model, make.images(5, 1, 8, 8))
    with pytest.warns(UserWarning, match="fgsm: zero-gradient: "):
        FGSM()(model, batch.images, batch.labels, eps=0.001)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "demo"}, "fgsm: the model must be a torch module, not 'demo': see unshaken.load_model"),
        ({"images": [[0.0]]}, "fgsm: images must be a tensor, not of type list"),
        ({"labels": [0]}, "fgsm: labels must be a tensor, not of type list"),
        ({"labels": torch.zeros(8)}, "labels must be int64 of shape"),
        ({"images": torch.zeros(8, 1, 8, 8, dtype=torch.uint8)}, "images must be float"),
        ({"images": torch.full((8, 1, 8, 8), 200.0)}, "pixel values run from 200 to 200, not within"),
        ({"eps": "many"}, "eps"),
        ({"norm": "l7"}, "norm 'l7' is not one of linf, l2, l1"),
    ],
)
def test_wrong_tensors_are_one_clear_line(net, batch, change, words):
    given = {"model": net, "images": batch.images, "labels": batch.labels, **change}
    with pytest.raises(UnshakenError, match=words) as caught:
        FGSM()(**given)
    assert "\n" not in str(caught.value)
