"""What the benchmarks of attacks share: passes counted from outside, a judge of its own, data, machine."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import unshaken
from unshaken.core import Batch, Classifier
from unshaken.core.oracle import required
from unshaken.data import stream

DISTRIBUTIONS = {
    "plain": "torch",
    "unshaken": "unshaken",
    "autoattack": "autoattack",
    "torchattacks": "torchattacks",
    "foolbox": "foolbox",
    "adv-lib": "adv-lib",
    "art": "adversarial-robustness-toolbox",
    "captum": "captum",
}
"""Tool to distribution."""
SOURCES = {"autoattack": "git+https://github.com/fra31/auto-attack"}
"""Where pip gets what the package index does not have."""


class Convolutions(TorchDispatchMode):
    """Counts the images that pass forward and backward through any convolution.

    Which operator torch executes differs with the mode: `aten::convolution` where gradients may be asked,
    `aten::conv2d` in inference mode, one of `mkldnn` in compiled code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward, self.backward = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, then do."""
        name = func.name()
        if "conv" in name and "backward" in name:
            self.backward += len(args[0])
        elif "conv" in name:
            self.forward += len(args[0])
        return func(*args, **(kwargs or {}))


def count(model: Classifier, images: Tensor, work: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Forward and backward passes an image that some work on `images` costs, and what the work gave."""
    with Convolutions() as one:
        x = images[:1].clone().requires_grad_(True)
        torch.autograd.grad(model(x).sum(), x)
    with Convolutions() as all_:
        found = work()
    return all_.forward / one.forward / len(images), all_.backward / one.backward / len(images), found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plain float32 pass and a float64 norm say of returned images.

    Args:
        clean: bool `[N]`: right before the attack.
        fooled: bool `[N]`: in [0, 1] and of another class than the label.
        boxed: bool `[N]`: in [0, 1].
        distance: norm of the change, float64 `[N]`.
    """

    clean: Tensor
    fooled: Tensor
    boxed: Tensor
    distance: Tensor

    def robust(self, eps: float) -> Tensor:
        """Bool `[N]`: right when clean and not broken within eps."""
        return self.clean & ~(self.fooled & (self.distance <= eps * (1 + 1e-6)))

    def accuracy(self, eps: float) -> float:
        """Robust accuracy over all images."""
        return self.robust(eps).double().mean().item()

    def outside(self, eps: float) -> int:
        """How many images lie outside the ball or outside [0, 1]."""
        return int((~self.boxed | ~(self.distance <= eps * (1 + 1e-6))).sum())

    @property
    def minimal(self) -> Tensor:
        """Float64 `[M]` over the images that are right when clean: the norm that fooled, infinite where none did."""
        return torch.where(self.fooled, self.distance, torch.inf)[self.clean]


def judge(model: Classifier, images: Tensor, labels: Tensor, found: Tensor, norm: str = "linf") -> Verdict:
    """Look at what a tool returned with passes of one's own."""
    found = found.detach()
    with torch.no_grad():
        clean = torch.cat([model(x) for x in images.split(256)]).argmax(1) == labels
        held = torch.cat([model(x.float()) for x in found.split(256)]).argmax(1) == labels
    change = (found.double() - images.double()).flatten(1)
    low, high = found.flatten(1).aminmax(dim=1)
    boxed = (low >= 0) & (high <= 1)
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    return Verdict(clean, ~held & boxed, boxed, torch.linalg.vector_norm(change, order, dim=1))


def machine() -> str:
    """Processor, cores, threads and versions, in one line."""
    info = Path("/proc/cpuinfo")
    names = [x.partition(":")[2].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {len(names)} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    )


def first_images(n: int, spec: str = "demo", model: Classifier | None = None) -> tuple[Tensor, Tensor]:
    """The first n images of some data as a model looks at them and their labels, or all where there are fewer."""
    data = unshaken.load_data(spec)
    n = min(n, len(data))
    view = None if model is None else model.view
    parts = [part for part in stream(data, range(n), batch_size=n, view=view) if isinstance(part, Batch)]
    return torch.cat([part.images for part in parts]), torch.cat([required(part.labels) for part in parts])


def installed(tool: str) -> bool:
    """Whether a tool's distribution is there."""
    try:
        importlib.metadata.version(DISTRIBUTIONS[tool])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def label(tool: str) -> str:
    """A tool's name and version."""
    return f"{tool} {'loop' if tool == 'plain' else importlib.metadata.version(DISTRIBUTIONS[tool])}"


def absent(tool: str) -> str:
    """What to do about a tool that is not there."""
    return f"absent: pip install {SOURCES.get(tool, DISTRIBUTIONS[tool])}"


def spread(values: Sequence[float], digits: int) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def span(values: Sequence[float]) -> str:
    """Shares as per cent: one where all are the same, else least to most."""
    low, high = f"{min(values):.2%}", f"{max(values):.2%}"
    return low if low == high else f"{low} to {high}"
