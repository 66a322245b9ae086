"""Broken defences: what a careless attack reports, what `auto` reports, and which flags tell.

The careless attack is PGD without averaging over a model's randomness, made through the defence, or on the bare network
where the defence is a detector; what it found is then judged by fresh passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pytest
import torch

from unshaken.attack.ensembles.auto import Auto
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Oracle
from unshaken.core.context import Context
from unshaken.core.trust import dynamic, randomness
from unshaken.data import load_data, stream
from unshaken.models import load_model, museum
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.flags import Masking
from unshaken.store.tables import table_of

EPS, N = 0.1, 40
RANDOM = ("noise", "random_resize", "mixup", "total_variation", "me_net", "pixel_deflection", "pruned")
FALLS_TO_ANY = ("mixed_precision",)


@dataclass(frozen=True)
class Outcome:
    """Robust accuracies, flags of the rows and of the model, and what auto's stages did."""

    clean: float
    careless: float
    auto: float
    flags: set[str]
    broken_by: set[str]


@pytest.fixture(scope="module")
def batch():
    net = load_model("demo:standard")
    return next(iter(stream(load_data("demo"), range(N), view=net.view, workers=1, batch_size=N)))


def rows(attack, oracle, batch, label):
    conditions = conditions_of(attack, Line(label, eps=(EPS,)))
    return rows_of(attack, batch, conditions, Context(oracle, 0, oracle.exact(batch.images), lambda: batch))


def held(model, images, labels, looks=5):
    """Share of answers, over fresh passes, that are right or rejections."""
    with torch.no_grad():
        answers = torch.stack([model(images).argmax(1) for _ in range(looks if looks > 1 else 1)])
    fine = answers == labels
    return float((fine if model.reject is None else fine | (answers == model.reject)).double().mean())


@pytest.fixture(scope="module")
def visit(batch):
    """Each exhibit is visited once."""
    visited = {}

    def see(name) -> Outcome:
        if name not in visited:
            visited[name] = evaluated(name, batch)
        return visited[name]

    return see


def evaluated(name: str, batch: Batch) -> Outcome:
    model = load_model(f"py:unshaken.models.museum:{name}").eval().requires_grad_(False)
    oracle = Oracle(model, draws=8 if name in RANDOM else 1)
    once = Oracle(model)
    source = Oracle(load_model("demo:standard").eval().requires_grad_(False)) if name == "detector" else once
    (attacked,), _ = PGD(steps=20, rel_stepsize=0.1).attack(source, batch, norm="linf", eps=[EPS])
    parts = [
        *rows(PGD(steps=20, rel_stepsize=0.1), once, batch, "pgd"),
        *rows(Auto(steps=20, queries=600, passes=5000), oracle, batch, "auto"),
    ]
    tables = {t: pa.concat_tables([table_of(p) for p in parts if p.table == t]) for t in ("outcomes", "turns")}
    logits = oracle.exact(batch.images)
    masking = Masking(tables["turns"])
    masking.add(tables["outcomes"])
    flags = [
        *(f for p in parts for f in p.flags),
        *masking.flags(),
        *randomness(once, batch, logits),
        *dynamic(once, batch, logits),
    ]
    auto = [r for r in tables["outcomes"].to_pylist() if r["condition"].startswith("auto")]
    return Outcome(
        clean=held(model, batch.images, batch.labels),
        careless=held(model, attacked.images, batch.labels),
        auto=sum(r["broken_by"] is None for r in auto) / N,
        flags={f.name for f in flags},
        broken_by={r["broken_by"] for r in auto} - {None, "clean"},
    )


FLAGS = {
    "bit_depth": {"zero-gradient", "black-box-wins"},
    "jpeg": {"zero-gradient", "black-box-wins"},
    "distilled": {"zero-gradient"},
    "cold": {"zero-gradient"},
    "noise": {"randomness"},
    "random_resize": {"randomness"},
    "detector": set(),  # it says itself what it is: a class of rejection
    "anti_adversary": {"dynamic"},
    "mixup": {"randomness"},
    "thermometer": {"zero-gradient", "black-box-wins"},
    "total_variation": {"zero-gradient", "randomness", "black-box-wins"},
    "me_net": {"zero-gradient", "randomness", "black-box-wins"},
    "mixed_precision": set(),
    "pixel_deflection": {"zero-gradient", "randomness", "black-box-wins"},
    "pruned": {"randomness"},
}


def visited(name, *expected):
    """The case of an exhibit; it is marked `long` if it takes seconds, or another before it raises the same flags."""
    first = next(other for other in FLAGS if FLAGS[other] == FLAGS[name])
    return pytest.param(name, *expected, marks=() if first == name in museum.FIRST else pytest.mark.long)


def test_every_exhibit_is_visited():
    assert set(FLAGS) == set(museum.EXHIBITS)


@pytest.mark.parametrize("name", [visited(name) for name in FLAGS])
def test_auto_breaks_what_looks_robust_and_flags_tell_why(visit, name):
    seen = visit(name)
    assert seen.clean > 0.75
    least = 0.1 if name == "mixup" else 0.15
    assert (seen.careless > least) == (name not in FALLS_TO_ANY), "no exhibit: the careless attack breaks it"
    assert seen.auto <= 0.05
    assert seen.flags == FLAGS[name]


@pytest.mark.parametrize(
    ("name", "least"),
    [visited(*e) for e in (("bit_depth", 0.7), ("jpeg", 0.7), ("cold", 0.6), ("distilled", 0.3), ("detector", 0.5))],
)
def test_the_careless_attack_believes_it(visit, name, least):
    assert visit(name).careless >= least


@pytest.mark.parametrize(
    ("name", "attacks"),
    [visited(*expected) for expected in (
        ("bit_depth", {"bpda"}),
        ("jpeg", {"bpda"}),
        ("distilled", {"apgd-dlr", "apgd-t"}),
        ("cold", {"apgd-dlr", "apgd-t"}),
        ("noise", {"apgd-ce", "apgd-dlr"}),
        ("random_resize", {"apgd-ce", "apgd-dlr"}),
        ("detector", {"apgd-ce", "apgd-far", "apgd-t"}),
        ("anti_adversary", {"apgd-ce", "apgd-t", "apgd-smooth", "surrogate", "square", "fab-t"}),
        ("mixup", {"apgd-ce", "apgd-dlr"}),
        ("thermometer", {"bpda"}),
        ("total_variation", {"bpda"}),
        ("me_net", {"bpda"}),
        ("mixed_precision", {"apgd-ce"}),
        ("pixel_deflection", {"bpda"}),
        ("pruned", {"apgd-ce", "apgd-dlr"}),
    )],
)  # fmt: skip
def test_by_the_attack_that_sees_through_it(visit, name, attacks):
    assert visit(name).broken_by
    assert visit(name).broken_by <= attacks


def test_the_bare_network_raises_no_flag_and_falls_to_the_careless_attack(batch):
    model = load_model("demo:standard").eval().requires_grad_(False)
    parts = rows(PGD(steps=20, rel_stepsize=0.1), Oracle(model), batch, "pgd")
    assert [f for p in parts for f in p.flags] == []
    assert sum(table_of(p)["correct"].to_pylist().count(True) for p in parts if p.table == "outcomes") == 0
