"""The state of a training run comes back as it was kept."""

from __future__ import annotations

import torch
from torch import nn

from unshaken.harden.engine._checkpoint import Progress, load_state, save_state
from unshaken.run.store import RunDir


def test_a_memory_comes_back_on_the_device_that_its_recipe_began_with(tmp_path):
    """A recipe that begins with its table on the CPU finds it there again, whatever the model's device."""
    run, net = RunDir(tmp_path), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters())
    save_state(run, net, optimizer, {"viat": {"mu": torch.ones(3), "later": torch.ones(2)}}, Progress(epoch=1))
    memory = {"viat": {"mu": torch.zeros(3, device="meta"), "gone": torch.zeros(1)}}
    assert load_state(run, net, optimizer, memory).epoch == 1
    devices = {name: value.device.type for name, value in memory["viat"].items()}
    assert devices == {"mu": "meta", "later": "cpu"}
