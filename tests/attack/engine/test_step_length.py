"""The length of a step: a share of eps, or a length in the unit of eps, and never one taken for the other."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack import MIFGSM, PGD
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.end_point import find_end_points
from unshaken.core import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.registry import list_methods, parse_method
from unshaken.run.plan import load_plan, prepare

W = torch.tensor([[[1.0, -2.0], [3.0, -1.0]]])
BATCH = Batch(torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 0]), ("a", "b"))


@pytest.mark.parametrize("cls", [PGD, MIFGSM])
@pytest.mark.parametrize(("given", "moved"), [({"step_size": 0.03}, 0.06), ({"rel_stepsize": 0.3}, 0.12)])
def test_two_steps_go_as_far_as_the_parameter_says(make, cls, given, moved):
    start = {"random_start": False} if "random_start" in cls.model_fields else {}
    found = find_end_points(make.affine(W, 20.0), cls(steps=2, **given, **start), BATCH, norm="linf", eps=0.2, seed=0)
    torch.testing.assert_close(found.x, BATCH.images - moved * W.sign(), atol=1e-6, rtol=0)


def test_the_length_of_each_sample_is_the_share_of_its_own_eps():
    ball = Ball.of(BATCH.images, torch.tensor([0.1, 0.4]), "l2")
    assert PGD(rel_stepsize=0.5).step_length(ball).flatten().tolist() == pytest.approx([0.05, 0.2])
    assert PGD(step_size=0.05).step_length(ball).flatten().tolist() == pytest.approx([0.05, 0.05])


METHODS = [
    m.name
    for room in ("attack", "certify", "harden")
    for m in list_methods(room)
    if {"rel_stepsize", "step_size"} & set(m.cls.model_fields)
]
PIXELS = {"patch", "patch-fool", "detection-patch", "oracle-bounded", "ddn", "fmn"}
"""Their step has no eps to be a share of: it is in pixels, or in deviations of a code."""


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_one_of_the_two(name):
    if name in PIXELS:
        with pytest.raises(ParameterError, match=f"^{name}: no parameter 'rel_stepsize'"):
            parse_method(f"{name}:rel_stepsize=0.2")
        return
    assert parse_method(f"{name}:rel_stepsize=1/4").chosen_step == {"rel_stepsize": 0.25}
    assert parse_method(f"{name}:step_size=1/255").chosen_step == {"step_size": 1 / 255}
    with pytest.raises(ParameterError, match=rf"^{name}: rel_stepsize, a share of eps, and step_size, .*: give one of"):
        parse_method(f"{name}:step_size=1/255,rel_stepsize=1/4")


HINT = r"step_size is in pixel units; for a share of eps write rel_stepsize=0\.25"


def test_a_step_above_the_smallest_budget_is_refused_when_the_plan_is_read():
    line = {"method": "pgd", "params": {"step_size": 0.25}, "eps": [0.3, "8/255"]}
    with pytest.raises(ParameterError, match=rf"^pgd: step_size=0.25 is above eps=8/255: {HINT}"):
        prepare(load_plan([line]))
    assert prepare(load_plan([{**line, "eps": [0.3, 0]}]))
    with pytest.raises(ParameterError, match=rf"^smoothing-attack: step_size=0.25 is above eps=0.125: {HINT}"):
        prepare(load_plan([{"method": "smoothing-attack", "params": {"step_size": 0.25}, "eps": [0.125]}]))


def test_so_is_one_of_a_search_inside_another_attack(make):
    attack = parse_method("transfer:search=pgd:step_size=0.25")
    net = make.net(classes=3, channels=3)
    batch = make.batch(net, make.images(2, 3, 8, 8))
    with pytest.raises(ParameterError, match=rf"^pgd: step_size=0.25 is above eps=0.1: {HINT}"):
        attack.attack(Oracle(net), batch, norm="linf", eps=[0.1])


def test_a_recipe_knows_its_own_eps():
    with pytest.raises(ParameterError, match=rf"^at: step_size=0.25 is above eps=8/255: {HINT}"):
        parse_method("at:step_size=0.25")
    assert parse_method("fgsm-rs:eps=8/255,step_size=10/255").step_size == 10 / 255  # as published
    with pytest.raises(ParameterError, match=rf"^fgsm-rs: step_size=0.25 is above 2 times eps=8/255: {HINT}"):
        parse_method("fgsm-rs:step_size=0.25")
