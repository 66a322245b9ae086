"""Targets by rule and by name, and the rows of attacks that are to reach them."""

from __future__ import annotations

import pytest
import torch

import unshaken
from unshaken.attack.engine.targets import choose_targets, label_with, targets_by_class, targets_in_column
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.gradient.uap import UAP
from unshaken.core import Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.registry import list_methods
from unshaken.core.rng import SampleRng
from unshaken.data.arrays import InMemory
from unshaken.report.read.frame import read_outcomes
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.plan import load_plan, prepare
from unshaken.store.tables import table_of

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [1.0, 2.0, 0.0]])
LABELS = torch.tensor([0, 0, 2])
NAMES = ("bee", "ant", "fly")


def chosen(rule, *, logits=LOGITS, labels=LABELS, reject=None, seed=0):
    rng = SampleRng.of(seed, "targets", [str(i) for i in range(len(labels))])
    return choose_targets(rule, labels, logits, NAMES, rng, reject=reject).tolist()


@pytest.mark.parametrize(
    ("rule", "by_hand"),
    [
        ("least-likely", [1, 2, 0]),
        ("second", [2, 1, 1]),
        ("next", [1, 1, 0]),
        ("fly", [2, 2, -1]),
        ("2", [2, 2, -1]),
    ],
)
def test_targets_by_hand(rule, by_hand):
    assert chosen(rule) == by_hand


def test_a_class_without_a_finite_logit_and_a_rejection_are_no_targets():
    masked = LOGITS.index_fill(1, torch.tensor([1]), -torch.inf)
    assert chosen("least-likely", logits=masked) == [2, 2, 0]
    assert chosen("next", reject=1) == [2, 2, 0]
    assert set(chosen("random", reject=1)[:2]) == {2}


def test_random_targets_are_every_other_class_alike_and_follow_the_sample():
    n = 6000
    rng = SampleRng.of(0, "targets", [str(i) for i in range(n)])
    found = choose_targets("random", torch.zeros(n, dtype=torch.int64), torch.zeros(n, 4), (), rng)
    counts = found.bincount(minlength=4)
    assert counts[0] == 0
    assert ((counts[1:] - n / 3).abs() < 5 * (n * 2 / 9) ** 0.5).all()  # five deviations
    some = choose_targets("random", torch.zeros(9, dtype=torch.int64), torch.zeros(9, 4), (), rng[torch.arange(5, 14)])
    assert some.tolist() == found[5:14].tolist()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("likely", "no target 'likely': give a rule, a class by name or number, or a column of the data; did you mean"),
        ("ants", "of the data; did you mean 'ant'"),
        ("3", "target '3' is no class of the model, which has 0 to 2"),
    ],
)
def test_what_is_no_target_is_refused_in_one_line(rule, words):
    with pytest.raises(ParameterError, match=words) as caught:
        chosen(rule)
    assert "\n" not in str(caught.value)


def test_a_model_of_one_class_or_a_rejection_by_name_is_refused():
    with pytest.raises(ParameterError, match="a class besides the label"):
        chosen("next", logits=torch.zeros(1, 1), labels=torch.tensor([0]))
    with pytest.raises(ParameterError, match="rejects images"):
        chosen("fly", reject=2)


def test_conditions_have_names_of_files():
    (one,) = conditions_of(PGD(), Line("pgd+2", eps=(0.1,), target="polar bear, young"))
    assert (one.id, one.target) == ("pgd-to-polar-bear-young+2-linf-0.1", "polar bear, young")
    assert label_with("pgd", "é") == "pgd-to-class"


@pytest.mark.parametrize("method", ["oracle-bounded", "uap", "fog", "detection-pgd"])
def test_a_plan_refuses_a_target_that_its_method_cannot_reach(method):
    line = {"method": method, "target": "random"}
    with pytest.raises(ParameterError, match=f"{method}: target is given, but this method reaches no chosen class"):
        prepare(load_plan([line]))
    (other,) = load_plan([{"method": "pgd", "eps": [0.1], "target": 3}])
    assert other.target == "3"
    assert "target" not in load_plan([{"method": "pgd", "eps": [0.1]}])[0].model_dump(), "earlier runs go on"


@pytest.fixture
def net(make):
    return make.net(classes=3)


def rows(method, batch, net, target, eps=(0.2, 0.5)):
    conditions = conditions_of(method, Line(method.info.name, eps=eps, target=target))
    oracle = Oracle(net)
    parts = rows_of(method, batch, conditions, Context(oracle, 0, clean=oracle.exact(batch.images)))
    return {name: [table_of(p).to_pylist() for p in parts if p.table == name] for name in {p.table for p in parts}}


def test_reached_is_what_the_model_answers(make, net):
    batch = make.batch(net, make.images(8, 1, 8, 8))
    found = rows(PGD(steps=20, rel_stepsize=0.2), batch, net, "next")
    assert set(found) == {"outcomes", "targets"}, "no turns: flags would take the few reached for masked gradients"
    for outcomes, targets in zip(found["outcomes"], found["targets"], strict=True):
        for one, aim in zip(outcomes, targets, strict=True):
            assert aim["target"] == (one["label"] + 1) % 3
            assert aim["reached"] == (one["prediction"] == aim["target"])
            assert one["distance"] <= one["eps"] * (1 + 1e-6)
            assert one["broken_by"] is None
    reached = [[t["reached"] for t in some] for some in found["targets"]]
    assert sum(reached[1]) >= sum(reached[0])
    assert any(reached[1])


def test_samples_of_the_named_class_are_left_as_they_are(make, net):
    batch = make.batch(net, make.images(8, 1, 8, 8))
    label = int(batch.labels[0])
    found = rows(PGD(steps=3), batch, net, str(label), eps=(0.2,))
    alone = rows(PGD(steps=3), batch[torch.arange(7, -1, -1)], net, str(label), eps=(0.2,))
    ((outcomes,), (targets,)) = found["outcomes"], found["targets"]
    own = [t["id"] for t in targets if t["label"] == label]
    assert own
    assert all((t["target"], t["reached"]) == (None, None) for t in targets if t["id"] in own)
    assert all((o["distance"], o["forwards"]) == (0, 0) for o in outcomes if o["id"] in own)
    assert all(t["target"] == label for t in targets if t["id"] not in own)
    by_id = {o["id"]: o["prediction"] for o in alone["outcomes"][0]}
    assert {o["id"]: o["prediction"] for o in outcomes} == by_id
    only = batch[(batch.labels == label).nonzero().flatten()]
    assert all(t["reached"] is None for t in rows(PGD(steps=3), only, net, str(label), eps=(0.2,))["targets"][0])


def test_targets_of_parts_by_class():
    rng = SampleRng.of(0, "targets", [str(i) for i in range(600)])
    scores = torch.tensor([[[9.0, 2, 1], [0, 9, 5], [3, 4, 9]]]).expand(600, 3, 3)

    def first(rule):
        return targets_by_class(rule, 3, NAMES, rng, scores)[0].tolist()

    assert (first("next"), first("second"), first("least-likely")) == ([1, 2, 0], [1, 2, 1], [2, 0, 0])
    assert first(NAMES[1]) == first("1") == [1, -1, 1]
    drawn = targets_by_class("random", 3, NAMES, rng, None)
    assert drawn.shape == (600, 3)
    for label in range(3):
        counts = drawn[:, label].bincount(minlength=3)
        assert counts[label] == 0
        assert counts[counts > 0].min() > 240
    with pytest.raises(ParameterError, match="no target 'wsap'"):
        first("wsap")
    with pytest.raises(ParameterError, match="needs a model with a class besides the label"):
        targets_by_class("next", 1, (), rng, None)


@pytest.mark.parametrize("rule", ["second", "least-likely"])
@pytest.mark.parametrize("method", ["object-mislabeling", "dag"])
def test_a_rule_that_needs_logits_of_all_classes_is_refused_for_objects(method, rule):
    words = f"{method}: target {rule} needs logits of all classes, which detections lack: give next, random, a class"
    with pytest.raises(ParameterError, match=words):
        prepare(load_plan([{"method": method, "eps": [0.1], "target": rule}]))
    prepare(load_plan([{"method": "pixel-pgd", "eps": [0.1], "target": rule}]))


def test_attacks_that_reach_no_targets_say_so(make, net):
    batch = make.batch(net, make.images(2, 1, 8, 8))
    with pytest.raises(ParameterError, match=r"^uap: .*or square") as caught:
        UAP().attack(Oracle(net), batch, norm="l2", eps=[1.0], targets=(batch.labels + 1) % 3)
    assert "\n" not in str(caught.value)
    refusing = {m.name for m in list_methods("attack") if getattr(m.cls, "reaches_targets", None) is False}
    assert refusing >= {"uap", "oracle-bounded"}
    assert "hop-skip-jump" not in refusing


def test_a_column_names_classes_by_name_and_by_number():
    values = ["ant", 2, 2.0, "0", None, None]
    assert targets_in_column("goal", values, list("abcdef"), NAMES, 3) == [1, 2, 2, 0, -1, -1]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("wasp", "column 'goal' has 'wasp' as the target of sample 'b': give a class by name or by number, 0 to 2, or"),
        (0.5, "column 'goal' has 0.5 as the target of sample 'b'"),
        (-1, "column 'goal' has -1 as the target of sample 'b'"),
        (True, "column 'goal' has True as the target of sample 'b'"),
        (7, "column 'goal', sample 'b': target '7' is no class of the model, which has 0 to 2"),
        ("fly", "column 'goal', sample 'b': target 'fly' is the class by which the model rejects"),
    ],
)
def test_a_value_that_is_no_class_is_refused_in_one_line(value, words):
    with pytest.raises(ParameterError, match=words) as caught:
        targets_in_column("goal", [None, value], ["a", "b"], NAMES, 3, reject=2)
    assert "\n" not in str(caught.value)


class WithColumns(InMemory):
    """Images with columns; `goal` names targets."""

    own: dict[str, list]

    def columns(self):
        return self.own


@pytest.fixture
def columned(make, net):
    images = (make.images(6, 1, 8, 8) * 255).byte()
    with torch.no_grad():
        labels = net(images.float() / 255).argmax(1)
    data = WithColumns(images, labels)
    goal = [None, int(labels[1]), *((labels[2:] + 1) % 3).tolist()]
    data.own = {"goal": goal, "none": [None] * 6, "wrong": [0, 0, 0, 0, 0, "wasp"]}
    return data


def test_a_run_reaches_for_the_class_that_a_column_names(columned, net, tmp_path):
    found = unshaken.attack(net, columned, PGD(steps=2), eps=0.2, target="goal", out=tmp_path / "run", device="cpu")
    table = read_outcomes(found.run, "pgd-to-goal-linf-0.2", [0], ["id", "target"], table="targets")
    rows = {row["id"]: row["target"] for row in table.to_pylist()}
    assert rows == dict(zip("012345", [None, None, *columned.own["goal"][2:]], strict=True))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gaol", "no target 'gaol': .* or a column of the data; did you mean 'goal'"),
        ("none", "column 'none' names no target: all of its 6 values are empty"),
        ("wrong", "column 'wrong' has 'wasp' as the target of sample '5'"),
    ],
)
def test_a_wrong_column_is_refused_before_anything_is_written(columned, net, tmp_path, target, words):
    with pytest.raises(ParameterError, match=words):
        unshaken.attack(net, columned, PGD(steps=2), eps=0.2, target=target, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "rows").exists()
