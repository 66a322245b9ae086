"""What holds for every attack on detectors of objects. A new one is in here without an edit."""

from __future__ import annotations

import pytest
import torch

from tests.attack.detection.soft import scene, soft
from tests.tasks.detection.scenes import detector, scenes
from unshaken.core import Oracle, list_methods
from unshaken.core.errors import UnshakenError
from unshaken.data import stream
from unshaken.run.adapters import Line, conditions_of

ATTACKS = [m for m in list_methods("attack") if "detection" in getattr(m.cls, "tasks", ())]
ORDER = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}
EPS = {"linf": 0.15, "l2": 1.5, "l1": 30.0}


def every(function):
    return pytest.mark.parametrize("method", ATTACKS, ids=[m.name for m in ATTACKS])(function)


def budgets(method):
    return [(norm, [EPS[norm] / 3, EPS[norm]]) for norm in method.norms] or [(None, [])]


def run(method, batch, norm, eps, oracle=None, **values):
    return method.cls(steps=4, **values).attack(oracle or Oracle(soft()), batch, norm=norm, eps=eps, seed=1)


def test_all_six_are_here():
    assert len(ATTACKS) >= 6


@every
def test_examples_are_inside_the_budget_and_outputs_are_those_of_a_fresh_pass(method):
    batch, net = scene(), soft()
    before = batch.images.clone()
    for norm, eps in budgets(method):
        found = run(method, batch, norm, eps, Oracle(net))
        for one, radius in zip(found, eps or [1.0], strict=True):
            size = torch.linalg.vector_norm((one.images - before).double().flatten(1), ORDER[norm or "linf"], dim=1)
            assert bool((size <= radius * (1 + 1e-6)).all())
            torch.testing.assert_close(one.distance, size)
            assert 0 <= float(one.images.min()) <= float(one.images.max()) <= 1
            with torch.no_grad():
                assert torch.equal(net(one.images), one.outputs)
        assert bool((found[0].value <= found[-1].value).all())
    assert torch.equal(batch.images, before)


@every
def test_passes_are_counted(method):
    oracle, batch = Oracle(soft(), limit=2), scene()
    norm, eps = budgets(method)[0]
    (one,) = run(method, batch, norm, eps[1:], oracle)
    assert oracle.meter.forwards == int(one.forwards.sum()) + len(batch)  # and the unchanged images
    assert oracle.meter.backwards == int(one.backwards.sum())
    assert int((one.forwards + one.backwards).max()) <= method.cls(steps=4).most_passes(2)


@every
def test_a_sample_does_not_depend_on_its_company(method):
    batch = scene(4)
    norm, eps = budgets(method)[0]
    whole, order = run(method, batch, norm, eps)[-1], torch.tensor([3, 1, 0, 2])
    other = run(method, batch[order], norm, eps, Oracle(soft(), limit=1))[-1][order.argsort()]
    torch.testing.assert_close(whole.images, other.images)


@every
def test_no_budget_changes_nothing(method):
    for norm in method.norms[:1]:
        (one,) = run(method, scene(), norm, [0.0])
        assert torch.equal(one.images, scene().images)
        assert not bool(one.forwards.any())


@every
def test_images_without_objects_or_detections_are_taken(method):
    batch = next(iter(stream(scenes(), [0, 1, 2, 3], batch_size=4)))
    norm, eps = budgets(method)[0]
    one = run(method, batch, norm, eps, Oracle(detector()))[-1]
    assert one.outputs.shape == (4, 5, 6)
    bare = scene(2, objects=())
    assert bare.boxes.shape == (2, 0, 7)
    assert run(method, bare, norm, eps)[-1].images.shape == bare.images.shape


@every
def test_what_it_cannot_do_is_said(method):
    norm, eps = budgets(method)[0]
    batch = scene()
    with pytest.raises(UnshakenError, match="has no boxes"):
        run(method, type(batch)(batch.images, None, batch.ids), norm, eps)
    with pytest.raises(UnshakenError, match=r"eps|norm"):
        run(method, batch, norm, [-1.0])
    with pytest.raises(UnshakenError, match="not severities"):
        conditions_of(method.cls(), Line("x", severities=[1]))
    net = soft()
    net.differentiable = False
    with pytest.raises(UnshakenError, match="gives no gradients"):
        run(method, batch, norm, eps, Oracle(net))
