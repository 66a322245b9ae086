"""The state of a training run comes back as it was kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from unshaken.core.errors import RunError
from unshaken.harden.engine._checkpoint import Progress, load_state, part_names, save_state, shares
from unshaken.store.run_dir import RunDir


@dataclass
class Together:
    """A process of several, as a thread."""

    rank: int
    world: int
    barrier: threading.Barrier

    def wait(self):
        self.barrier.wait(timeout=30)


def trained(steps=3):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.rand(6, 4)).square().sum().backward()
        optimizer.step()
    return net, optimizer


def save_together(run, net, optimizer, number, world=3):
    barrier = threading.Barrier(world)
    with ThreadPoolExecutor(world) as pool:
        saved = [
            pool.submit(save_state, run, net, optimizer, {"ema": {"w": torch.ones(3)}}, Progress(number=number), p)
            for p in (Together(rank, world, barrier) for rank in range(world))
        ]
        for one in saved:
            one.result(timeout=60)


def test_a_memory_comes_back_on_the_device_that_its_recipe_began_with(tmp_path):
    """A recipe that begins with its table on the CPU finds it there again, whatever the model's device."""
    run, net = RunDir(tmp_path), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters())
    save_state(run, net, optimizer, {"viat": {"mu": torch.ones(3), "later": torch.ones(2)}}, Progress(epoch=1))
    memory = {"viat": {"mu": torch.zeros(3, device="meta"), "gone": torch.zeros(1)}}
    assert load_state(run, net, optimizer, memory).epoch == 1
    devices = {name: value.device.type for name, value in memory["viat"].items()}
    assert devices == {"mu": "meta", "later": "cpu"}


def test_shares_are_disjoint_whole_and_of_like_size():
    sizes = {f"w{i}": 100 * (i + 1) for i in range(8)} | {"own": 50}
    tensors = {name: torch.zeros(n, dtype=torch.uint8) for name, n in sizes.items()}
    found = shares(tensors, sizes.keys() - {"own"}, 3)
    assert "own" in found[0]
    assert sorted(name for share in found for name in share) == sorted(sizes)
    loads = [sum(sizes[name] for name in share) for share in found]
    assert max(loads) <= 1.1 * sum(loads) / 3
    assert found == shares(dict(reversed(tensors.items())), list(sizes.keys() - {"own"}), 3)


def test_a_state_in_parts_comes_back_to_the_bit(tmp_path):
    (net, optimizer), (other, second) = trained(), trained(1)
    run, memory = RunDir(tmp_path), {"ema": {"w": torch.zeros(3)}}
    save_together(run, net, optimizer, 3)
    assert load_state(run, other, second, memory).number == 3
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())
    assert memory["ema"]["w"].tolist() == [1, 1, 1]
    for weights, theirs in zip(net.parameters(), other.parameters(), strict=True):
        for name, value in optimizer.state[weights].items():
            assert torch.equal(value, second.state[theirs][name])


def test_parts_of_the_state_before_go_when_the_new_state_is_whole(tmp_path):
    (net, optimizer), run = trained(), RunDir(tmp_path)
    save_together(run, net, optimizer, 3)
    (tmp_path / "state" / part_names(4, 3)[1]).write_bytes(b"an interrupted writer left this")
    assert load_state(run, *trained(), {"ema": {}}).number == 3
    save_together(run, net, optimizer, 5)
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == [*part_names(5, 3), "checkpoint.safetensors"]


def test_a_part_that_is_absent_or_damaged_is_named(tmp_path):
    (net, optimizer), run = trained(), RunDir(tmp_path)
    save_together(run, net, optimizer, 3)
    part = tmp_path / "state" / part_names(3, 3)[2]
    part.write_bytes(part.read_bytes()[:-4])
    with pytest.raises(RunError, match=f"{part.name} is damaged"):
        load_state(run, *trained(), {"ema": {}})
    part.unlink()
    with pytest.raises(RunError, match=f"cannot read state/{part.name}"):
        load_state(run, *trained(), {"ema": {}})


def test_parts_outside_the_folder_are_refused(tmp_path):
    from safetensors.torch import save

    run = RunDir(tmp_path)
    meta = {"progress": Progress().model_dump_json(), "scalars": "{}", "parts": '["../../secret.safetensors"]'}
    run.write(save({}, metadata=meta), "state", "checkpoint.safetensors")
    with pytest.raises(RunError, match="is no part of a checkpoint"):
        load_state(run, *trained(), {"ema": {}})
