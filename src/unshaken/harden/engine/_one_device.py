"""`one_device`: Lightning Fabric's way to any single device that torch knows, those of plug-ins too."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

if TYPE_CHECKING:
    from lightning_fabric.accelerators.accelerator import Accelerator


@cache
def one_device() -> Accelerator:
    """The accelerator of a `SingleDeviceStrategy`, which names the device itself."""
    from lightning_fabric.accelerators.accelerator import Accelerator

    class OneDevice(Accelerator):
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

    return OneDevice()
