from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.training import Training, build_optimizer, rate


def test_cyclic_rates_over_fifteen_epochs():
    found = [0.2 * rate(epoch / 15, "cyclic") for epoch in (0, 3.75, 7.5, 11.25, 15)]
    assert found == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def test_step_divides_at_its_milestones():
    found = [rate(epoch / 200, "step", milestones=(0.5, 0.75)) for epoch in (0, 99, 100, 149, 150, 199)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_one_cycle_rises_and_falls():
    found = [rate(s, "one-cycle", warmup=0.5) for s in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-12)
    assert [rate(s, "cosine") for s in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0], abs=1e-12)
    assert [rate(s, "linear") for s in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert rate(0.7, "constant") == 1
    assert [rate(s, "one-cycle", warmup=1) for s in (0, 0.5, 1)] == [0, 0.5, 1]
    assert [rate(s, "one-cycle", warmup=0) for s in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0], abs=1e-12)


def test_norms_and_biases_may_be_left_out_of_the_decay():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    groups = build_optimizer(net, Training(decay_norms=False, weight_decay=0.1)).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (3, 0.0)]


def test_a_net_without_norms_and_biases_has_one_group():
    groups = build_optimizer(nn.Linear(2, 2, bias=False), Training(decay_norms=False)).param_groups
    assert [len(g["params"]) for g in groups] == [1]


def test_weights_that_want_no_gradient_are_left_out():
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    optimizer = build_optimizer(net, Training(momentum=0.7, nesterov=True, lr=0.3))
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 1
    assert (group["momentum"], group["nesterov"], group["lr"], group["weight_decay"]) == (0.7, True, 0.3, 5e-4)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_other_optimizers(name):
    optimizer = build_optimizer(nn.Linear(2, 2), Training(optimizer=name, lr=0.01, weight_decay=0.1))
    assert type(optimizer) is {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    assert optimizer.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"lr": -1}, "lr=-1"),
        ({"schedule": "stairs"}, "schedule='stairs'"),
        ({"milestones": (0.7, 0.5)}, "milestones are rising"),
        ({"milestones": (0.0, 0.5)}, "milestones are rising"),
        ({"milestones": (0.5, 1.0)}, "milestones are rising"),
        ({"optimizer": "adam", "nesterov": True}, "nesterov is for sgd"),
        ({"momentum": 0, "nesterov": True}, "nesterov is for sgd"),
        ({"smoothing": 1.0}, "smoothing=1.0"),
        ({"warmup": 1.01}, "warmup=1.01"),
        ({"max_clean_loss": 1.01}, "max_clean_loss=1.01"),
        ({"max_clean_loss": -0.01}, "max_clean_loss=-0.01"),
        ({"save_every": 10**12 + 1}, "save_every"),
        ({"epoch": 3}, "no parameter 'epoch'; did you mean 'epochs'"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(ParameterError, match=message.replace("(", r"\(")):
        Training(**values)


def test_values_as_text():
    found = Training.from_text({"lr": "1/8", "nesterov": "true", "milestones": [0.3], "patience": "4"})
    assert (found.lr, found.nesterov, found.patience) == (0.125, True, 4)


def test_ends_of_ranges_are_allowed():
    found = Training(smoothing=0.99, warmup=1, max_clean_loss=1, save_every=10**12)
    assert (found.warmup, found.max_clean_loss, found.save_every) == (1, 1, 10**12)
    assert (Training(warmup=0, max_clean_loss=0).warmup, Training(weight_decay=0).weight_decay) == (0, 0)


def test_defaults_decide_the_weights_of_every_run_that_names_none():
    assert Training().model_dump() == {
        "epochs": 10, "batch_size": 128, "lr": 0.1, "optimizer": "sgd", "momentum": 0.9, "nesterov": False,
        "weight_decay": 5e-4, "decay_norms": True, "schedule": "one-cycle", "warmup": 0.25, "milestones": (0.5, 0.75),
        "smoothing": 0.0, "clip": None, "held_out": 1000, "check_images": 512, "check_steps": 10, "check_every": 1,
        "select": "auto", "max_clean_loss": None, "patience": None, "precision": "fp32", "inner_precision": "fp32",
        "channels_last": True, "folded": True, "save_every": 200, "seed": 0,
    }  # fmt: skip
    assert rate(0.125, "one-cycle") == rate(0.125, "one-cycle", warmup=0.25)
    assert [rate(s, "step") for s in (0.49, 0.5, 0.74, 0.75)] == pytest.approx([1, 0.1, 0.1, 0.01])
