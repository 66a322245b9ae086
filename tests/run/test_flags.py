"""One toy for each doubt, which must raise it, and a clean one that raises none."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import unshaken
from unshaken.core import Batch, Classifier, Oracle, list_methods
from unshaken.core.boxes import boxed
from unshaken.core.flag import KINDS, Flag
from unshaken.core.label_record import LabelRecord
from unshaken.core.part import CLEAN
from unshaken.core.trust import dynamic as dynamic_check
from unshaken.data import load_data
from unshaken.data.box_table import BoxTable
from unshaken.models import load_model
from unshaken.run import execute
from unshaken.run.shard import Part, table_of

ATTACK = [{"method": "fgsm", "eps": [0.02]}]


class Wrapped(nn.Module):
    """A net with something done to its input or output."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


class Noisy(nn.Module):
    """Adds other noise in every pass."""

    def __init__(self, net):
        super().__init__()
        self.net, self.generator = net, torch.Generator().manual_seed(0)

    def forward(self, x):
        z = self.net(x)
        return z + 0.1 * torch.randn(z.shape, generator=self.generator)


def names_of(job):
    execute(job)
    return {row["name"]: row for row in job.run.rows("flags").to_pylist()}


def relabelled(spec, change):
    """The same data file with its labels changed."""
    path = spec.partition(":")[2]
    table = pq.read_table(path)
    labels = change(table["label"].to_numpy().copy())
    pq.write_table(table.set_column(table.column_names.index("label"), "label", [labels]), path)
    return spec


@pytest.fixture
def job(make, tiny):
    """A job on the tiny net (or another) with one attack."""

    def build(model=None, spec=None, plan=ATTACK, **options):
        return make.job(make.folder / "run", spec or make.data(64), model=model or tiny, plan=plan, **options)

    return build


def test_a_clean_toy_raises_none(job):
    assert names_of(job()) == {}


@pytest.mark.parametrize("name", ["standard", "robust"])
def test_the_embedded_nets_raise_none(name, tmp_path):
    plan = [
        {"method": "gaussian_noise", "severities": [3]},
        {"method": "pgd", "eps": ["8/255"], "params": {"steps": 5}},
    ]
    audit = unshaken.audit(f"demo:{name}", "demo", plan, limit=100, out=tmp_path / "run", workers=1)
    assert audit.summary["flags"] == []


def rounded(x):
    return (x * 4).round() / 4


def zero_gradient(job, make, tiny):
    return job(Classifier(Wrapped(tiny.net, before=rounded)).eval())


def border_gradient(job, make, tiny):
    """A range whose bounds have no gradient, in every version of torch."""
    return job(Classifier(Wrapped(tiny.net, before=lambda x: nn.functional.hardtanh(x, 0.0, 1.0))).eval())


def train_mode(job, make, tiny):
    return job(Classifier(nn.Sequential(tiny.net, nn.Dropout(0.5))).train())


def probabilities(job, make, tiny):
    return job(Classifier(Wrapped(tiny.net, after=lambda z: z.softmax(1))).eval())


def randomness(job, make, tiny):
    return job(Classifier(Noisy(tiny.net)).eval())


def non_finite(job, make, tiny):
    def poison(z):
        return torch.where(z.amax(1, keepdim=True) > z.amax(1).median(), z / 0, z)

    return job(Classifier(Wrapped(tiny.net, after=poison)).eval(), plan=[{"method": "contrast", "severities": [1]}])


class Optimising(nn.Module):
    """Takes a step on its input before it answers."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.net(inner).amax(1).sum(), inner)
        return self.net(x + 0.01 * slope.sign())


def dynamic(job, make, tiny):
    return job(Classifier(Optimising(tiny.net)).eval())


def black_box_wins(job, make, tiny):
    return job(
        Classifier(Wrapped(tiny.net, before=rounded)).eval(),
        plan=[{"method": "fgsm", "eps": [0.1]}, {"method": "square", "params": {"queries": 50}, "eps": [0.1]}],
    )


def eps_zero(job, make, tiny):
    return job(plan=[{"method": "fgsm", "eps": [0.0, 0.02]}])


def single_class(job, make, tiny):
    return job(spec=relabelled(make.data(64), lambda y: y * 0 + 1))


def label_out_of_range(job, make, tiny):
    built = job(spec=relabelled(make.data(64), lambda y: np.where(np.arange(64) < 3, 9, y)))
    return dataclasses.replace(built, dataset=built.dataset.within(3))


def near_chance(job, make, tiny):
    return job(spec=relabelled(make.data(64), lambda y: np.arange(64) % 3))


def permuted_classes(job, make, tiny):
    return job(spec=relabelled(make.data(64), lambda y: (y + 1) % 3))


def classes_by_position(job, make, tiny):
    built = job(spec=make.data(16))
    labels = LabelRecord(by="positions", classes={"cat": 0, "dog": 1}, asked=True)
    return dataclasses.replace(built, config=built.config.model_copy(update={"labels": labels}))


def boxes_cut(job, make, tiny):
    """Three boxes of three samples, one of which reaches 5 % beyond its photo."""
    built = job(spec=make.data(16))
    table = BoxTable(
        built.dataset.ids[:3], np.array([[0.5, 0.5, 0.2, 0.2], [0.95, 0.5, 0.2, 0.2], [0.5, 0.9, 0.2, 0.2]])
    )
    return dataclasses.replace(built, dataset=built.dataset.with_boxes(table))


def not_run(job, make, tiny):
    return job(spec=make.data(64, labelled=False))


TOYS = {
    "zero-gradient": zero_gradient,
    "border-gradient": border_gradient,
    "train-mode": train_mode,
    "probabilities": probabilities,
    "randomness": randomness,
    "dynamic": dynamic,
    "black-box-wins": black_box_wins,
    "non-finite": non_finite,
    "eps-zero": eps_zero,
    "single-class": single_class,
    "label-out-of-range": label_out_of_range,
    "near-chance": near_chance,
    "permuted-classes": permuted_classes,
    "classes-by-position": classes_by_position,
    "boxes-cut": boxes_cut,
    "not-run": not_run,
}


IN_COMPANY = {
    "permuted-classes": {"near-chance"},
    "probabilities": {"zero-gradient"},
    "non-finite": {"near-chance"},
    "black-box-wins": {"zero-gradient"},
}
"""Doubts that a toy raises beside its own."""


@pytest.mark.parametrize("name", TOYS)
def test_each_doubt_has_a_toy_that_raises_it(name, job, make, tiny):
    found = names_of(TOYS[name](job, make, tiny))
    assert name in found
    text = found[name]["detail"]
    assert text
    assert "\n" not in text
    assert set(found) - {name} <= IN_COMPANY.get(name, set())


def test_boxes_that_leave_their_photos_are_counted_with_their_samples(job, make, tiny):
    flag = names_of(boxes_cut(job, make, tiny))["boxes-cut"]
    second = make.data(16)
    assert flag["detail"].startswith("1 of 3 boxes leave their photos; what is outside was cut off: check them, first ")
    assert flag["id"] == load_data(second).ids[1]


def test_no_doubt_lacks_a_test():
    of_detectors = {"detector-without-gradient", "few-calibration-samples", "scored-on-fit-data"}
    tested = set(TOYS) | {"out-of-budget", "normalisation", "certificate-broken"} | of_detectors
    elsewhere = {"unknown-method"}  # tests/report/test_without_plugin.py
    elsewhere |= {
        "assumed-depth",
        "labels-only",
        "assumed-object",
        "lost-frame",
        "no-guide",
        "weak-substitute",
        "no-oracle",
        "unfit-oracle",
        "unfiltered-directions",
        "flat-images",
        "repeated-images",
        "confident-on-nonsense",
    }  # tests of their methods
    elsewhere |= {"not-kept"}  # tests of repairs
    elsewhere |= {"unfinished-search"}  # tests/report/test_unfinished.py
    elsewhere |= {"no-detections", "other-classes", "high-threshold"}  # tests/tasks/detection/test_flags.py
    elsewhere |= {"one-class-of-pixels", "other-classes-of-pixels", "pixels-without-class"}  # tests/tasks/segmentation
    list_methods()  # imports every method, and with it the kinds of flags that it raises
    importlib.import_module("unshaken.api.fool")  # and those of verbs that have tables of their own
    importlib.import_module("unshaken.api.generate")
    importlib.import_module("unshaken.api.harden")
    importlib.import_module("unshaken.tasks.detection.task")
    importlib.import_module("unshaken.tasks.segmentation.task")
    assert tested | elsewhere == set(KINDS)


@pytest.mark.parametrize(
    ("before", "attack"),
    [
        (lambda x: nn.functional.hardtanh(x, 0.0, 1.0), {"method": "square", "params": {"queries": 50}}),
        (boxed, {"method": "fgsm"}),
    ],
    ids=["square", "fgsm"],
)
def test_borders_are_looked_at_where_gradients_are_followed_and_a_box_passes(before, attack, job, tiny):
    model = Classifier(Wrapped(tiny.net, before=before)).eval()
    assert names_of(job(model, plan=[{**attack, "eps": [0.02]}])) == {}


def test_training_mode_does_not_matter_where_no_layer_minds_it(job, tiny):
    assert names_of(job(Classifier(tiny.net).train())) == {}


def test_label_out_of_range_names_the_samples(job, make, tiny):
    execute(built := label_out_of_range(job, make, tiny))
    flags = [r for r in built.run.rows("flags").to_pylist() if r["name"] == "label-out-of-range"]
    assert [f["id"] for f in flags] == ["s000", "s001", "s002"]


def test_out_of_budget_is_found_in_rows_and_named(job, monkeypatch):
    from unshaken.attack.engine.ball import Ball

    monkeypatch.setattr(Ball, "farthest", lambda self, gradient: self.clean + 1.01 * self.radius * gradient.sign())
    monkeypatch.setattr(Ball, "contains", lambda self, x: torch.ones(len(x), dtype=torch.bool))
    found = names_of(job())
    assert "lie outside their budget" in found["out-of-budget"]["detail"]
    assert found["out-of-budget"]["id"].startswith("s0")


def test_rounding_is_not_out_of_budget(job):
    plan = [
        {"method": "pgd", "params": {"steps": 3}, "norm": n, "eps": [e, 10 * e]}
        for n, e in (("linf", 8 / 255), ("l2", 0.003), ("l1", 0.01))
    ]
    assert names_of(job(plan=plan)) == {}


@pytest.mark.parametrize(
    ("mean", "std", "raised"),
    [((0.286,), (0.353,), False), (None, None, True), ((0.286 + 0.286 * 0.353,), (0.353**2,), True)],
    ids=["right", "never", "twice"],
)
def test_normalisation_of_a_net_with_batch_norm(mean, std, raised, tmp_path):
    net = load_model("demo:standard")
    model = Classifier(net.net, mean=mean, std=std, view=net.view, classes=net.classes)
    plan = [{"method": "contrast", "severities": [1]}]
    audit = unshaken.audit(model, "demo", plan, limit=100, out=tmp_path / "run", workers=1)
    assert ("normalisation" in {f["name"] for f in audit.summary["flags"]}) is raised


def test_normalisation_of_a_net_without_batch_norm(job, make, tiny):
    """A net that answers best when its input is rescaled by mean 0.5 and std 0.5."""

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, x):
            total = x.flatten(1).mean(1) * self.w
            return torch.stack([-total, total, total * 0 - 9], 1)

    spec = make.data(64)
    dataset = unshaken.load_data(spec)
    above = np.array([dataset.read(i).mean() > 127.5 for i in range(64)]).astype(np.int64)
    relabelled(spec, lambda y: above)
    wrong = names_of(job(Classifier(Half()).eval(), spec=spec, shard_size=64))
    assert "normalisation" in wrong
    assert "mean 0.5 and std 0.5" in wrong["normalisation"]["detail"]
    right = make.job(make.folder / "right", spec, model=Classifier(Half(), mean=[0.5], std=[0.5]).eval(), plan=ATTACK)
    assert "normalisation" not in names_of(right)


def test_a_call_without_gradients_saves_nothing_for_them(tiny):
    """Whatever gradients the caller has on, and whether the weights want some: a plain net is not dynamic."""
    batch = Batch(torch.rand(3, 1, 10, 10), torch.zeros(3, dtype=torch.int64), ("a", "b", "c"))
    for model in (tiny, Classifier(Optimising(tiny.net)).eval()):
        for wanted in (True, False):
            model.requires_grad_(wanted)
            names = [f.name for f in dynamic_check(Oracle(model), batch, torch.zeros(3, 3))]
            assert names == ([] if model is tiny else ["dynamic"])


def test_flags_are_rows_with_their_samples(make):
    part = Part("flags", CLEAN, {"name": ["x"], "detail": ["y"], "id": [None]})
    assert table_of(part).to_pylist() == [{"name": "x", "detail": "y", "id": None, "meaning": None, "advice": None}]
    assert "ids" in inspect.signature(Flag).parameters


def test_meanings_are_one_line_each():
    assert all(text and "\n" not in text for k in KINDS.values() for text in (k.meaning, k.advice))
