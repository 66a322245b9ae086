"""What holds for every registered method of stress, attack and certify. A new method is in here without an edit."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.another_processor import TOGETHER
from tests.covering import covering
from unshaken.attack.engine.attack_run import AttackContext
from unshaken.attack.engine.ball import NORMS
from unshaken.core import Batch, Classifier, Oracle, UnshakenError, list_methods
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of, has_adapter, rows_of
from unshaken.store.tables import schema_of, table_of

ROOMS = [m for m in list_methods() if m.room in ("stress", "attack", "certify")]
STRESS = [m for m in ROOMS if m.room == "stress"]
OF_OBJECTS = {m.name for m in ROOMS if getattr(m.cls, "needs_objects", False)}
"""They take no images; their contract is in tests/attack/viewpoint."""
OTHER_TASKS = {m.name for m in ROOMS if "classification" not in getattr(m.cls, "tasks", ("classification",))}
"""Their contract is beside their tests, as in tests/attack/detection/test_contract.py."""
RUNNABLE = [m for m in ROOMS if has_adapter(m.cls) and m.name not in OF_OBJECTS | OTHER_TASKS]
ATTACK = [m for m in RUNNABLE if m.room == "attack"]
EPS = {"linf": 0.012, "l2": 0.08, "l1": 0.5, "l0": 6}
CONTINUOUS = {"logits", "confidence", "loss", "distance", "p_lower"}
ORDER = {"linf": float("inf"), "l2": 2.0, "l1": 1.0, "l0": 0.0}
FEW = (4, 10)
SHAPES = [(1, 12, 16), (3, 16, 11)]


def every(methods):
    return pytest.mark.parametrize("method", methods, ids=[m.name for m in methods])


def cheap(method):
    """An instance with its counts (steps, queries) cut to 4, or to 10 where 4 are refused: the battery stays quick."""
    values = {}
    for name, about in method.parameters().items():
        for few in FEW:
            if about.get("type") == "integer" and about.get("default", 0) > few:
                try:
                    method.cls(**values, **{name: few})
                except ParameterError:
                    continue
                values[name] = few
                break
    return method.cls(**values)


class TinyNet(nn.Module):
    """Two convolutions, a batch norm, dropout and a linear layer; any size, channels and classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.body, self.drop = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Dropout(0.5)
        self.head = nn.Linear(6, classes)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.6)
            self.eval()
            noise = torch.rand(64, channels, 12, 16, generator=generator)
            self.head.bias -= TinyNet.forward(self, noise).mean(0)  # so that every class is met, and none is far

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.body(self.norm(self.stem(x)).relu()).relu().mean((2, 3))))


class WideNet(TinyNet):
    """It computes in float64 and rounds its logits once.

    They and their gradients are then the same float32 numbers on any processor and in a batch of any size.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.double()).float()


def model(channels=1, classes=3, *, wide=False):
    return Classifier((WideNet if wide else TinyNet)(channels, classes), name="tiny").eval()


def samples(shape=(1, 12, 16), n=6, net=None, seed=0):
    images = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
    labels = None
    if net is not None:
        with torch.no_grad():
            labels = net(images).argmax(1)
    return Batch(images, labels, tuple(f"s{i}" for i in range(n)))


def some_conditions(method, built, norm=None):
    """Its conditions: first and last severity, two budgets, or its own, whichever the method takes."""
    if method.room == "attack" and not method.norms:
        return conditions_of(built, Line(method.name))
    severities = getattr(method.cls, "severities", ())
    few = tuple(dict.fromkeys((*severities[:1], *severities[-1:])))
    try:
        return conditions_of(built, Line(method.name, severities=few))
    except ParameterError:
        norm = norm or method.norms[0]
        return conditions_of(built, Line(method.name, eps=(EPS[norm] / 2, EPS[norm]), norm=norm))


# What the registry says of each.


@every(ROOMS)
def test_is_documented(method):
    assert re.fullmatch(r"[a-z0-9]+([_-][a-z0-9]+)*", method.name)
    assert len(method.summary) > 20
    assert method.summary.endswith(".")
    assert method.cls.__doc__
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.|[a-z]\.[a-z]+/\w", method.reference), method.reference
    for name, about in method.parameters().items():
        assert len(about.get("description", "")) > 5, f"{name} has no description"
        assert "default" in about, f"{name} has no default: every method runs by its name alone"


@every(ROOMS)
def test_parameters_survive_json_and_text(method):
    built = cheap(method)
    values = json.loads(json.dumps(built.model_dump(mode="json")))
    assert method.cls(**values) == built
    plain = {k: str(v) for k, v in values.items() if isinstance(v, bool | int | float | str)}
    assert (
        method.cls.from_text(plain).model_dump()
        == built.model_copy(update={k: method.cls().model_dump()[k] for k in set(values) - set(plain)}).model_dump()
    )
    assert set(method.parameters()) == set(values)


@every(ROOMS)
def test_a_wrong_parameter_is_named_in_one_line(method):
    with pytest.raises(ParameterError, match=f"^{re.escape(method.name)}: no parameter 'nonesuch'") as caught:
        method.cls(nonesuch=1)
    assert "\n" not in str(caught.value)


# Stressors.


@covering("method, shape", STRESS, [[shape] for shape in SHAPES])
def test_stress_keeps_the_form_of_images(method, shape):
    batch, built = samples(shape), cheap(method)
    before = batch.images.clone()
    noise, state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for severity in (method.cls.severities[0], method.cls.severities[-1]):
        got = built.apply(batch, severity, 3)
        assert (got.images.shape, got.images.dtype, got.ids) == (before.shape, torch.float32, batch.ids)
        assert bool(got.images.isfinite().all())
        assert float(got.images.min()) >= 0
        assert float(got.images.max()) <= 1
        assert not torch.equal(got.images, before)
    assert torch.equal(batch.images, before)
    assert (np.random.get_state()[1] == noise).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)


@every(STRESS)
def test_stress_of_a_sample_does_not_depend_on_its_company(method):
    batch, built, severity = samples((3, 13, 16), 7), cheap(method), method.cls.severities[-1]
    whole = built.apply(batch, severity, 1).images
    order = torch.tensor([4, 2, 6, 0, 1, 5, 3])
    assert torch.equal(built.apply(batch[order], severity, 1).images, whole[order])
    for rows in (slice(0, 1), slice(3, 5), slice(6, 7)):
        assert torch.equal(built.apply(batch[rows], severity, 1).images, whole[rows])
    assert torch.equal(built.apply(batch, severity, 1).images, whole)


@every(STRESS)
def test_stress_takes_half_precision_and_gives_it_back(method):
    batch, built, severity = samples(), cheap(method), method.cls.severities[0]
    half = batch.with_images(batch.images.bfloat16())
    got = built.apply(half, severity, 1).images
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, built.apply(half.with_images(half.images.float()), severity, 1).images.bfloat16())
    assert float(got.max()) <= 1


@every(STRESS)
def test_stress_takes_flat_images_and_strided_ones(method):
    built, severity = cheap(method), method.cls.severities[-1]
    for value in (0.0, 0.5, 1.0):
        flat = Batch(torch.full((2, 3, 12, 12), value), None, ("a", "b"))
        got = built.apply(flat, severity).images
        assert bool(got.isfinite().all())
        assert 0 <= float(got.min()) <= float(got.max()) <= 1
    batch = samples((3, 12, 14))
    last = batch.with_images(batch.images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(built.apply(last, severity).images, built.apply(batch, severity).images)


@every(STRESS)
def test_stress_refuses_a_severity_that_it_has_not(method):
    with pytest.raises(ParameterError, match=f"{re.escape(method.name)}: severity 99 is not one of"):
        cheap(method).apply(samples(), 99)


# Attacks.


def budgets(method):
    """Norm and two budgets for each of its norms; none of either where it has no norms."""
    return [(norm, [EPS[norm] / 2, EPS[norm]]) for norm in method.norms] or [(None, [])]


def attacked(method, net, batch, norm, oracle=None, eps=None):
    """The records at two budgets; None where the method says that it needs more classes."""
    budgets = eps or ([EPS[norm] / 2, EPS[norm]] if norm else [])
    try:
        return cheap(method).attack(oracle or Oracle(net), batch, norm=norm, eps=budgets, seed=1)[0]
    except UnshakenError as error:
        if "class" in str(error) and net.net.head.out_features < 4:
            return None
        raise


@pytest.mark.parametrize("norm", NORMS)
def test_the_toy_is_broken_in_part(norm):
    """Else the tests below would show nothing."""
    net = model(1, 4)
    (pgd,) = [m for m in ATTACK if m.name == "pgd"]
    found = attacked(pgd, net, samples((1, 12, 16), 9, net), norm)[1]
    assert 0 < int(found.fooled.sum()) < 9
    assert int(found.step.max()) > 0


def nets_and_norms(method):
    """Shape, number of classes and norm."""
    nets = ((SHAPES[0], 2), (SHAPES[1], 3), (SHAPES[1], 8))
    return [(*net, norm) for norm in method.norms or [None] for net in nets]


@covering("method, shape, classes, norm", ATTACK, nets_and_norms)
def test_attack_counts_only_true_examples(method, shape, classes, norm):
    net = model(shape[0], classes, wide=True)
    batch = samples(shape, 6, net)
    batch = Batch(batch.images, torch.cat([(batch.labels[:1] + 1) % classes, batch.labels[1:]]), batch.ids)
    before = batch.images.clone()
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    radii = [EPS[norm] / 2, EPS[norm]] if norm else [float("inf")]
    found = attacked(method, net, batch, norm)
    for one, eps in zip(found or [], radii, strict=True):
        assert (one.images.shape, one.images.dtype) == (before.shape, torch.float32)
        delta = (one.images.double() - before.double()).flatten(1)
        size = torch.linalg.vector_norm(delta, ORDER[norm or "linf"], dim=1)
        assert bool((size <= eps * (1 + 1e-6)).all()), (norm, size)
        assert bool(((one.images >= 0) & (one.images <= 1)).all())
        with torch.no_grad():
            assert torch.equal(net(one.images).argmax(1) != batch.labels, one.fooled), norm
        assert bool(one.fooled[0])
        assert torch.equal(one.images[0], before[0])
        assert int(one.forwards[0]) == int(one.backwards[0]) == 0
        assert torch.allclose(one.distance, size, atol=1e-9)
    if found:
        assert bool((found[0].fooled <= found[-1].fooled).all())
    assert torch.equal(batch.images, before)
    assert all(torch.equal(v, weights[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


ONE_TARGET = {"universal-patch"}
"""Attacks that lead all images to one class."""


@every([m for m in ATTACK if getattr(m.cls, "reaches_targets", False)])
def test_attack_reaches_only_true_targets(method):
    net = model(1, 4, wide=True)
    batch = samples((1, 12, 16), 6, net)
    targets = (batch.labels + 1) % 4
    if method.name in ONE_TARGET:
        batch = batch[batch.labels != targets[0]]
        targets = torch.full_like(batch.labels, int(targets[0]))
    norm, radii = budgets(method)[0]
    one = cheap(method).attack(Oracle(net), batch, norm=norm, eps=radii, seed=1, targets=targets)[0][-1]
    with torch.no_grad():
        assert torch.equal(net(one.images).argmax(1) == targets, one.fooled)


def norms_of(method):
    """Each norm; the first one of attacks that run others, which are tried alone in all of theirs."""
    return [[norm] for norm in method.norms[: 1 if method.name in TOGETHER else None] or [None]]


@covering("method, norm", ATTACK, norms_of)
def test_attack_of_a_sample_does_not_depend_on_its_company(method, norm):
    """Flags the same, and images but for rounding of an attack's own sums, which may turn a sign here and there."""
    net = model(1, 4, wide=True)
    batch = samples((1, 12, 16), 5, net)
    order = torch.tensor([4, 2, 0, 1, 3])
    whole = attacked(method, net, batch, norm)[-1]
    mixed = attacked(method, net, batch[order], norm, Oracle(net, limit=3))[-1]
    others = {
        "alone": attacked(method, net, batch, norm, Oracle(net, limit=1))[-1],
        "shuffled, by three": mixed[order.argsort()],
    }
    for way, other in others.items():
        assert torch.equal(whole.fooled, other.fooled), (norm, way)
        apart = (whole.images - other.images).abs().flatten(1)
        assert float(apart.mean(1).max()) <= 1e-4, (norm, way)
        assert float(apart.amax(1).median()) <= 1e-5, (norm, way)


@every(ATTACK)
def test_attack_counts_its_passes(method):
    net = model(1, 4)
    batch = samples((1, 12, 16), 6, net)
    seen = [0]
    net.net.register_forward_pre_hook(lambda _m, inputs: seen.__setitem__(0, seen[0] + len(inputs[0])))
    oracle = Oracle(net, limit=4)
    norm, radii = budgets(method)[0]
    one = attacked(method, net, batch, norm, oracle, eps=radii[1:])[0]
    if method.name != "substitution":  # there the passes of another network are counted as well
        assert seen[0] == oracle.meter.forwards
    before = Oracle(net)  # what is spent before the attacks are chosen belongs to no sample
    cheap(method).phases(AttackContext(before, norm or "linf", EPS["linf"], 4, 1, batch))
    assert oracle.meter.forwards == int(one.forwards.sum()) + len(batch) + before.meter.forwards
    assert oracle.meter.backwards >= int(one.backwards.sum()) + before.meter.backwards
    alone = attacked(method, net, batch, norm, Oracle(net, limit=1), eps=radii[1:])[0]
    assert torch.equal(one.backwards, alone.backwards)  # what each needed, whoever shares its batches


@every(ATTACK)
def test_attack_of_samples_that_are_wrong_already_is_free(method):
    net = model(3, 4)
    batch = samples((3, 9, 12), 4, net)
    batch = Batch(batch.images, (batch.labels + 1) % 4, batch.ids)
    oracle = Oracle(net)
    one = attacked(method, net, batch, budgets(method)[0][0], oracle)[-1]
    assert bool(one.fooled.all())
    assert oracle.meter.forwards == len(batch)
    assert torch.equal(one.images, batch.images)


@every(ATTACK)
def test_attack_with_no_budget_is_clean_accuracy_and_a_single_sample_will_do(method):
    net = model(1, 4)
    batch = samples((1, 12, 16), 1, net)
    for norm in method.norms:
        none, some = attacked(method, net, batch, norm, eps=[0.0, EPS[norm]])
        assert none.fooled.tolist() == [False]
        assert torch.equal(none.images, batch.images)
        assert some.images.shape == batch.images.shape


@every(ATTACK)
def test_attack_takes_half_precision_images(method):
    net = model(1, 4)
    batch = samples((1, 12, 16), 4, net)
    half = batch.with_images(batch.images.bfloat16())
    norm = budgets(method)[0][0]
    got = attacked(method, net, half, norm)[-1]
    expected = attacked(method, net, half.with_images(half.images.float()), norm)[-1]
    assert got.images.dtype == torch.float32
    assert torch.equal(got.fooled, expected.fooled)


@every(ATTACK)
def test_attack_takes_a_half_precision_model(method):
    net = model(1, 4).bfloat16()
    batch = samples((1, 12, 16), 4, net)
    norm, radii = budgets(method)[0]
    one = attacked(method, net, batch, norm)[-1]
    assert one.images.dtype == one.logits.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(net(one.images).argmax(1) != batch.labels, one.fooled)
    if radii:
        assert bool((one.distance[one.fooled] <= radii[-1] * (1 + 1e-6)).all())


@every(ATTACK)
def test_attack_refuses_what_it_cannot_do(method):
    net = model(1, 4)
    batch = samples((1, 12, 16), 2, net)
    built = cheap(method)
    norm, radii = budgets(method)[0]
    if norm:
        with pytest.raises(ParameterError, match=f"{re.escape(method.name)}: norm 'l5'"):
            built.attack(Oracle(net), batch, norm="l5", eps=[0.1])
    with pytest.raises(ParameterError, match=f"{re.escape(method.name)}: (eps|has no eps)"):
        built.attack(Oracle(net), batch, norm=norm, eps=[-1.0])
    with pytest.raises(ParameterError, match=f"{re.escape(method.name)}: the data has no labels"):
        built.attack(Oracle(net), Batch(batch.images, None, batch.ids), norm=norm, eps=radii)


# Rows, of every method that can stand in a plan.


@every(RUNNABLE)
def test_rows_are_whole_and_the_model_is_left_as_it_was(method):
    net = model(1, 4)
    batch, built = samples((1, 12, 16), 5, net), cheap(method)
    before = batch.images.clone()
    modes = [m.training for m in net.modules()]
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    conditions = some_conditions(method, built)
    assert len({c.id for c in conditions}) == len(conditions)
    assert {c.method for c in conditions} == {method.name}
    oracle = Oracle(net)
    clean = oracle.exact(batch.images)
    began = time.perf_counter()
    parts = rows_of(built, batch, conditions, Context(oracle, 1, clean))
    wall = time.perf_counter() - began
    assert [p.condition for p in parts if p.table == "outcomes"] == conditions  # by these a run knows what is done
    assert {p.condition for p in parts} == set(conditions)
    for part in parts:
        table = table_of(part)
        assert table.schema.equals(schema_of(part.table))
        if "id" not in table.column_names:  # turns: what a whole batch cost
            continue
        assert table["id"].to_pylist() == list(batch.ids)
        assert min(table["seconds"].to_pylist()) >= 0
        assert sum(table["seconds"].to_pylist()) <= wall  # each sample has its share of the time
        if part.images is not None:
            seen = part.images(torch.tensor([3, 1]))
            assert seen.shape[:2] == (2, 1)
            if method.room != "certify":  # there another model than the bare one may have answered
                assert seen.shape[2:] == (12, 16)
                answers = [int(net(x[None]).argmax()) for x in seen]
                assert [table["prediction"].to_pylist()[i] for i in (3, 1)] == answers
    assert torch.equal(batch.images, before)
    assert [m.training for m in net.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(v, weights[k]) for k, v in net.state_dict().items())


@every(RUNNABLE)
def test_rows_do_not_depend_on_the_batch_size(method):
    net, built = model(1, 4, wide=method.room != "certify"), cheap(method)  # bounds follow layers one by one
    batch = samples((1, 12, 16), 5, net)
    order = torch.tensor([4, 2, 0, 1, 3])
    found = []
    ways = [(batch, 64), (batch[order], 3), (batch[:2], 1)]
    for part_of, limit in ways[: 2 if method.room == "attack" else 3]:  # attacks one by one: above
        oracle = Oracle(net, limit=limit)
        context = Context(oracle, 1, oracle.exact(part_of.images), lambda: batch)
        parts = [p for p in rows_of(built, part_of, some_conditions(method, built), context) if "id" in p.columns]
        found.append({(p.table, r["condition"], r["id"]): r for p in parts for r in table_of(p).to_pylist()})
    assert len(found[0]) == len(found[1])
    for other in found[1:]:
        for key, row in other.items():
            for name in set(row) - {"seconds"}:
                slack = 1e-3 if name in CONTINUOUS else 0
                same = pytest.approx(row[name], abs=slack) if slack and row[name] is not None else row[name]
                assert found[0][key][name] == same, (key, name)


@every([m for m in RUNNABLE if "gradient" in m.needs])
def test_a_black_box_is_refused_by_what_needs_gradients(method):
    net, built = model(1, 4), cheap(method)
    batch = samples((1, 12, 16), 2, net)
    net.differentiable = False
    oracle = Oracle(net)
    with pytest.raises(UnshakenError, match="gives no gradients"):
        rows_of(built, batch, some_conditions(method, built), Context(oracle, 1, oracle.exact(batch.images)))
