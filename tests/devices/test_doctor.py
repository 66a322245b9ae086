"""`unshaken doctor` on the simulated device: every room holds there, and a wrong product of the device is told."""

from __future__ import annotations

import json

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from unshaken.api import self_check
from unshaken.cli import main

CONVOLUTIONS = ("aten.convolution.default", "aten.conv2d.default")


@pytest.fixture
def only(monkeypatch):
    """Leaves the check of one room."""

    def only(room):
        monkeypatch.setattr(self_check, "ROOMS", {room: self_check.ROOMS[room]})

    return only


@pytest.mark.parametrize("room", list(self_check.ROOMS))
def test_a_room_holds(room, device, counts, only):
    only(room)
    (check,) = self_check.self_check(str(device))
    assert (check.device, check.room) == ("simulated:1", room)
    assert check.held, check.detail
    assert counts["to_host"] > 0  # it was computed there


def test_a_device_that_computes_wrongly_is_told(device, only):
    class Wrong(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            wrong = str(function) in CONVOLUTIONS and result.device.type == "simulated"
            return result * 1.1 if wrong else result

    only("stress")
    with Wrong():
        (check,) = self_check.self_check(str(device))
    assert check.held is False
    assert "differs from the CPU" in check.detail


def test_the_command_finds_it_and_checks_it(device, only, capsys):
    only("tasks")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["devices"]) == ["cpu", "simulated:0", "simulated:1"]
    assert [check["device"] for check in found["self_check"]["checks"]] == ["cpu", "simulated:0", "simulated:1"]
