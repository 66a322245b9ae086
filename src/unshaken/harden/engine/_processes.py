"""One process or several: Lightning Fabric where training runs on many devices."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.device import count_devices
from unshaken.core.errors import MissingExtra, ParameterError, RunError

if TYPE_CHECKING:
    from lightning_fabric import Fabric
from typing_extensions import override

if TYPE_CHECKING:
    from lightning_fabric.accelerators.accelerator import Accelerator


PATIENCE = timedelta(minutes=30)
"""How long processes wait for each other."""
_STARTERS = ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "MASTER_ADDR")
"""What torchrun, Slurm or a hand-written launch leave in the environment."""


def _check(device: torch.device, devices: int, nodes: int) -> None:
    """Refuse numbers of processes that could not start, or would wait for machines that nobody started."""
    cores = os.cpu_count() or 1
    here = max(8, 4 * cores) if device.type == "cpu" else count_devices(device.type)
    if devices < 1 or nodes < 1 or devices > here:
        raise ParameterError(f"devices={devices} and nodes={nodes}: give 1 or more, and at most {here} devices here")
    if devices * nodes > 1 and device.index is not None:
        raise ParameterError(f"device={str(device)!r} is one device, for one process: give device={device.type!r}")
    if devices * nodes > 1 and device.type not in ("cpu", "cuda"):
        raise ParameterError(f"devices={devices} and nodes={nodes}: several processes train on cpu or cuda only")
    if nodes > 1 and not any(name in os.environ for name in _STARTERS):
        raise ParameterError(
            f"nodes={nodes}: the other machines would be waited for in vain: start unshaken on each of them with "
            f"torchrun --nnodes {nodes}"
        )


def _fabric(device: torch.device, devices: int, nodes: int, precision: str) -> Fabric:
    """A new Fabric, not launched yet."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins import MixedPrecision
        from lightning_fabric.strategies.ddp import DDPStrategy
        from lightning_fabric.strategies.single_device import SingleDeviceStrategy
    except ImportError:
        raise MissingExtra("lightning-fabric", "train", "training") from None
    mixed: Any = None if precision == "fp32" else MixedPrecision("bf16-mixed", device.type)
    if devices * nodes > 1:
        # one forward of several before a backward must not overwrite the statistics of another
        several = DDPStrategy(broadcast_buffers=False, timeout=PATIENCE)
        return Fabric(accelerator=device.type, devices=devices, num_nodes=nodes, strategy=several, plugins=mixed)
    return Fabric(accelerator=one_device(), devices=1, strategy=SingleDeviceStrategy(device), plugins=mixed)


_fabric_of_one = cache(_fabric)
"""One process has no group to leave, so that many trainings can share what only names its device and precision."""


class Processes:
    """The processes that train one model together.

    Args:
        device: such as `cpu`, `cuda:1`; a kind alone, such as `cuda`, where there are several processes.
        devices: a process each, on this machine.
        nodes: machines.
        precision: of the training passes, `fp32` or `bf16`.

    Raises:
        MissingExtra: Lightning Fabric is absent.
    """

    def __init__(self, *, device: str = "cpu", devices: int = 1, nodes: int = 1, precision: str = "fp32") -> None:
        place = torch.device(device)
        _check(place, devices, nodes)
        many = devices * nodes > 1
        asked = place, devices, nodes, precision
        self.fabric: Fabric = _fabric(*asked) if many else _fabric_of_one(*asked)
        try:
            self.fabric.launch()
        except (RuntimeError, ValueError) as error:  # torch.distributed's own errors are of these
            if not many:
                raise
            raise RunError(
                f"the {devices * nodes} processes did not find each other within {PATIENCE.seconds} s "
                f"({' '.join(str(error).split())[:200]}): start unshaken on every machine with torchrun"
            ) from None

    @property
    def world(self) -> int:
        """Number of processes."""
        return int(self.fabric.world_size)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.fabric.global_rank)

    @property
    def device(self) -> torch.device:
        """Device that this process computes on."""
        return self.fabric.device

    def setup(self, model: Classifier, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model and the optimizer as the loop calls them; the weights are the same objects."""
        wrapped, stepped = self.fabric.setup(model, optimizer)
        return wrapped, stepped

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over the processes."""
        self.fabric.backward(loss)

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which passes run in the training precision."""
        return self.fabric.autocast()

    def same(self, figures: dict[str, float]) -> dict[str, float]:
        """The first process's figures, the same in all processes."""
        return self.fabric.broadcast(figures) if self.world > 1 else figures

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in place."""
        for tensor in tensors if self.world > 1 else []:
            mean: Any = self.fabric.all_reduce(tensor, reduce_op="mean")
            tensor.copy_(mean)

    def wait(self) -> None:
        """Block until all processes are here."""
        self.fabric.barrier()

    def end(self) -> None:
        """Leave the group: its threads must not outlive the interpreter.

        A wrapped model must be gone by then. Freed later it would hold the group's last reference, and wait, with the
        interpreter's lock in its hands, for threads that want this lock.
        """
        if self.world > 1 and torch.distributed.is_initialized():
            gc.collect()
            torch.distributed.destroy_process_group()


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
