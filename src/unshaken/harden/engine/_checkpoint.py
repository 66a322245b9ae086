"""The resumable state of a training run, there whole or not at all: a safetensors file, or one and its parts.

A single process writes `state/checkpoint.safetensors`. Of several that train together each writes a part beside it; the
file then has no tensors and names the parts. It is written last, and the parts of the state before go after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from unshaken.core.device import device_of
from unshaken.core.errors import RunError
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.recipe import Memory
from unshaken.models.loaders.weights import first_line
from unshaken.store.run_dir import RunDir

PLACE = ("state", "checkpoint.safetensors")


class Progress(BaseModel):
    """Progress of a training run, apart from its tensors.

    Args:
        epoch: epochs finished.
        batch: batches of the next epoch that are done.
        number: optimizer steps made.
        seconds: wall time spent.
        best: the best figure so far that chooses the checkpoint; None before the first check.
        best_epoch: when it was reached; -1 for the starting weights.
        start: figures of the starting weights, where these may be kept.
        waited: checks since.
        curves: one record an epoch.
        flags: name to detail of doubts met.
        losses: sum of the epoch's losses so far, and their number.
        sums: the same of the figures that recipes record in their steps.
        forwards: image passes so far, those of the inner search and of training.
        backwards: as `forwards`.
    """

    model_config = ConfigDict(extra="forbid")

    epoch: int = 0
    batch: int = 0
    number: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_epoch: int = -1
    start: dict[str, float] = {}
    waited: int = 0
    curves: list[dict[str, float]] = []
    flags: dict[str, str] = {}
    losses: tuple[float, int] = (0.0, 0)
    sums: dict[str, tuple[float, int]] = {}
    forwards: int = 0
    backwards: int = 0


def save_state(
    run: RunDir,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: Mapping[str, Memory],
    progress: Progress,
    processes: Processes | None = None,
) -> None:
    """Write the state; what was there before stays until the new one is whole.

    Args:
        run: its directory, which all processes see.
        net: with its weights and statistics.
        optimizer: of the weights.
        memory: of the recipes.
        progress: where the run is.
        processes: those that train together, all of which call this; None for this one alone.
    """
    tensors, scalars = _tensors(net, optimizer, memory)
    meta = {"progress": progress.model_dump_json(), "scalars": json.dumps(scalars)}
    if processes is None or processes.world == 1:
        run.write(save_tensors(_detached(tensors, tensors), metadata=meta), *PLACE)
        return
    # statistics of normalisation and memories may differ between processes: the first one's count
    weights = {f"net.{name}" for name, _ in net.named_parameters()}
    alike = {name for name in tensors if name in weights or name.startswith("optimizer.")}
    names = part_names(progress.number, processes.world)
    own = shares(tensors, alike, processes.world)[processes.rank]
    run.write(save_tensors(_detached(tensors, own)), PLACE[0], names[processes.rank])
    processes.wait()
    if processes.rank == 0:
        run.write(save_tensors({}, metadata={**meta, "parts": json.dumps(names)}), *PLACE)
        for name in run.names(PLACE[0]):
            if is_part(name) and name not in names:
                run.remove(PLACE[0], name)


def _tensors(
    net: nn.Module, optimizer: torch.optim.Optimizer, memory: Mapping[str, Memory]
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """The state's tensors by name, and what the optimizer keeps beside tensors."""
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"memory.{name}.{k}": v for name, m in memory.items() for k, v in m.items()}
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for k, v in values.items():
            if isinstance(v, Tensor):
                tensors[f"optimizer.{index}.{k}"] = v
            else:
                scalars.setdefault(str(index), {})[k] = v
    return tensors, scalars


def _detached(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    return {name: tensors[name].detach().cpu().contiguous().clone() for name in names}


def load_state(run: RunDir, net: nn.Module, optimizer: torch.optim.Optimizer, memory: Mapping[str, Memory]) -> Progress:
    """Put a saved state back, bit by bit.

    Raises:
        RunError: it is absent or damaged.
    """
    place, data = PLACE, run.read(*PLACE)
    try:
        size = int.from_bytes(data[:8], "little")
        meta = json.loads(data[8 : 8 + size])["__metadata__"]
        tensors = load_tensors(data)
        progress = Progress.model_validate_json(meta["progress"])
        scalars = json.loads(meta["scalars"])
        rest = {int(i): dict(values) for i, values in scalars.items()}
        for name in json.loads(meta.get("parts", "[]")):
            if not is_part(name):
                raise ValueError(f"{name!r} is no part of a checkpoint")
            place = (PLACE[0], name)
            tensors |= load_tensors(run.read(*place))
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{run}: {'/'.join(place)} is damaged ({first_line(error)}); start a new run") from None
    try:
        _put_back(tensors, rest, net, optimizer, memory)
    except (RuntimeError, ValueError, LookupError) as error:
        raise RunError(
            f"{run}: {'/'.join(PLACE)} is of another training ({first_line(error)}); start a new run"
        ) from None
    return progress


def _put_back(
    tensors: Mapping[str, Tensor],
    rest: Mapping[int, dict[str, Any]],
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: Mapping[str, Memory],
) -> None:
    net.load_state_dict(_under(tensors, "net."))
    device = device_of(net)
    for name, held in memory.items():
        places = {k: v.device for k, v in held.items()}  # as the recipe began: some count on the CPU
        held.clear()
        held.update({k: v.to(places.get(k, device)) for k, v in _under(tensors, f"memory.{name}.").items()})
    state = optimizer.state_dict()
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    found = {i: dict(values) for i, values in rest.items()}
    for key, value in _under(tensors, "optimizer.").items():
        index, _, name = key.partition(".")
        like = weights[int(index)]
        if value.shape == like.shape:  # in the layout of the weights, so that no kernel takes another way
            value = torch.empty_like(like).copy_(value).detach()
        found.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**state, "state": found})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


_PART = re.compile(r"checkpoint-\d{8,}-\d{3,}-of-\d{3,}\.safetensors")


def part_names(number: int, processes: int) -> list[str]:
    """The files of a checkpoint by process.

    Those of another step have other names: an interrupted writer leaves the parts of the step before as they were.

    >>> part_names(120, 2)
    ['checkpoint-00000120-001-of-002.safetensors', 'checkpoint-00000120-002-of-002.safetensors']
    """
    return [f"checkpoint-{number:08d}-{k:03d}-of-{processes:03d}.safetensors" for k in range(1, processes + 1)]


def is_part(name: str) -> bool:
    """Whether a file's name is that of a part."""
    return _PART.fullmatch(name) is not None


def shares(tensors: Mapping[str, Tensor], alike: Collection[str], processes: int) -> list[list[str]]:
    """The names of the tensors that each process writes: all processes find the same shares.

    Args:
        tensors: of the whole state.
        alike: names of those that every process holds to the bit; the first process writes the others.
        processes: how many share.
    """
    found: list[list[str]] = [[] for _ in range(processes)]
    found[0] = [name for name in tensors if name not in alike]
    loads = [sum(tensors[name].nbytes for name in found[0])] + [0] * (processes - 1)
    for name in sorted(alike, key=lambda name: (-tensors[name].nbytes, name)):
        least = loads.index(min(loads))
        found[least].append(name)
        loads[least] += tensors[name].nbytes
    return found
