"""The contract of every registered metric of maps: values that depend on the sample, its map and the seed alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.registry import list_methods, parse_method
from unshaken.explain.engine.metric import Case, MapMetric, make_case
from unshaken.explain.engine.probed_metric import ProbedMetric

NAMES = [m.name for m in list_methods("explain") if issubclass(m.cls, MapMetric)]
FEW = {
    "insertion": "steps=70,corrected=true", "deletion": "steps=5", "sensitivity-n": "samples=12", "road": "steps=2",
    "infidelity": "samples=9", "max-sensitivity": "samples=2", "randomisation": "stages=2",
}  # fmt: skip
LOCAL = [name for name in NAMES if {"truth", "boxes"} & parse_method(name, "explain").needs]
FREE = [n for n in NAMES if n not in LOCAL]
SILENT = ("pointing-game", "wsol", "sensitivity-n", "randomisation", "mask-share", "max-sensitivity")
"""Those that say nothing of a map of zeros."""
IDS = tuple("abcdefghi")


def make_net() -> Classifier:
    """A small net with batch norm, dropout and global pooling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 5),
        )  # fmt: skip
    return Classifier(net.eval(), mean=[0.5, 0.4, 0.3], std=[0.05, 0.06, 0.05])


def named(name: str) -> MapMetric:
    """The metric with few samples."""
    return parse_method(f"{name}:{FEW[name]}" if name in FEW else name, "explain")


@pytest.fixture(scope="module")
def case():
    images = torch.rand(9, 3, 12, 10, generator=torch.Generator().manual_seed(4))
    boxes = [torch.tensor([[1.0, 2, 6, 9], [0, 0, 3, 3]])] * 9
    return make_case(make_net(), images, "gradcam", boxes=boxes, ids=IDS)[0]


def rows(case: Case, order: list[int], limit: int) -> Case:
    """Some samples of a case, with another limit."""
    chosen = torch.tensor(order)
    return make_case(
        case.model, case.images[chosen], "gradcam", boxes=[case.boxes[i] for i in order], limit=limit,
        ids=[case.ids[i] for i in order],
    )[0]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_value_does_not_depend_on_the_batch(name, case):
    metric = named(name)
    whole = metric.judge(case)
    assert whole.value.dtype == torch.float64
    assert whole.value.isfinite().any()
    for order, limit in (([4, 0, 8, 2, 7, 1, 3], 7), ([5], 1), (list(range(9))[::-1], 256)):
        some = metric.judge(rows(case, order, limit))
        torch.testing.assert_close(some.value, whole.value[order], rtol=1e-4, atol=1e-5, equal_nan=True)
        assert torch.equal(some.forwards, whole.forwards[order])
        assert torch.equal(some.backwards, whole.backwards[order])


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_map(name, case):
    """A map of zeros has no maximum, no blob and no correlation; what only orders pixels takes them row by row."""
    flat = dataclasses.replace(
        case, maps=torch.zeros_like(case.maps), again=lambda x, model, classes: make_case(
            case.model, x, "gradcam", classes=case.classes, ids=IDS)[1],
    )  # fmt: skip
    value = named(name).judge(flat).value
    assert value.isnan().all() if name in SILENT else value.isfinite().all()


@pytest.mark.parametrize("name", LOCAL)
def test_a_sample_without_an_object_has_no_value(name, case):
    empty = [torch.zeros(0, 4), torch.tensor([[30.0, 30, 40, 40]]), *case.boxes[2:]]
    value = named(name).judge(dataclasses.replace(case, boxes=empty)).value
    assert value[0].isnan()
    assert value[1].isnan() if name != "wsol" else value[1] == 0  # a box outside overlaps nothing
    assert value[2:].isfinite().all()


@pytest.mark.parametrize("name", LOCAL)
def test_a_case_without_objects_is_told(name, case):
    with pytest.raises(DataError, match=f"{name} needs .*--boxes FILE"):
        named(name).judge(dataclasses.replace(case, boxes=None))


@pytest.mark.parametrize("name", [n for n in NAMES if issubclass(parse_method(n, "explain").__class__, ProbedMetric)])
def test_passes_are_counted_and_bounded(name, case):
    largest: list[int] = []
    handle = case.model.register_forward_pre_hook(lambda module, inputs: largest.append(len(inputs[0])))
    found = named(name).judge(dataclasses.replace(case, limit=8))
    handle.remove()
    assert max(largest) <= 8
    assert int(found.forwards.sum()) == sum(largest)


@pytest.mark.parametrize("name", FREE)
def test_the_model_is_left_as_it_was(name, case):
    before = {k: v.clone() for k, v in case.model.state_dict().items()}
    named(name).judge(case)
    assert all(torch.equal(v, before[k]) for k, v in case.model.state_dict().items())
    assert all(p.requires_grad for p in case.model.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in case.model.modules())
