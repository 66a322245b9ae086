"""`OneDevice`: Lightning Fabric's way to any single device that torch knows, those of plug-ins too."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric.accelerators.accelerator import Accelerator
from typing_extensions import override


class OneDevice(Accelerator):
    """The accelerator of a `SingleDeviceStrategy`, which names the device."""

    @override
    def setup_device(self, device: torch.device) -> None:
        if device.index is not None and device.type not in ("cpu", "mps"):
            torch.get_device_module(device).set_device(device)

    @override
    def teardown(self) -> None: ...

    @staticmethod
    @override
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    @override
    def get_parallel_devices(devices: Any) -> Any:
        return []

    @staticmethod
    @override
    def auto_device_count() -> int:
        return 1

    @staticmethod
    @override
    def is_available() -> bool:
        return True

    @staticmethod
    @override
    def name() -> str:
        return "one-device"
